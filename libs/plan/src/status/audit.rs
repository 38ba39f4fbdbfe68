//! What the status of a region and of a site says about audit records.

use jiff::Timestamp;
use sallyport_api::audit::{
    ErasedStatus, GatewayAuditStatus, LogHealth, RegionAuditStatus, SiteAuditStatus, SiteLogStatus,
};
use sallyport_api::common::condition;
use sallyport_api::{CustomerSite, DmzRegion};

use super::conditions::{More, Standing, Verdict};
use crate::audit::facts::{Archive, AuditFacts, GatewayAudit, SiteAuditFacts};
use crate::audit::{is_accepted, webhook};

/// Records may be out of the archive for this long before the region says so: collection takes seconds, the restart of an
/// operator or of a gateway a few minutes.
pub const BEHIND: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// How full a log's volume may be, in percent, before somebody must do something.
pub const VOLUME_ALARM: u8 = 80;

/// Logs of a site that its status names. A gateway has one incarnation in years, so this is a region of nine for long.
const LOGS: usize = 32;

/// Region: what was collected. What status says of gateways and erasures that the operator has not heard of stays.
pub(super) fn region(region: &DmzRegion, facts: &AuditFacts) -> RegionAuditStatus {
    let before = region.status.as_ref().and_then(|status| status.audit.clone()).unwrap_or_default();
    let unheard = before.gateways.into_iter().filter(|gateway| !facts.gateways.contains_key(&gateway.name));
    let mut gateways: Vec<_> = facts.gateways.iter().map(|(name, log)| gateway(name, log)).chain(unheard).collect();
    gateways.retain(|gateway| is_replica(region, &gateway.name));
    gateways.sort_by(|a, b| a.name.cmp(&b.name));
    let erased = region.spec.audit.erasures.iter().filter_map(|erasure| {
        let now = facts.erased.get(&erasure.id).map(|erased| ErasedStatus {
            id: erasure.id.clone(),
            keys: erased.keys,
            at: second(erased.at),
        });
        now.or_else(|| before.erased.iter().find(|erased| erased.id == erasure.id).cloned())
    });
    RegionAuditStatus {
        verifier_key: facts.verifier_key.clone().or(before.verifier_key),
        gateways,
        erased: erased.collect(),
    }
}

fn is_replica(region: &DmzRegion, pod: &str) -> bool {
    let name = region.metadata.name.as_deref().unwrap_or_default();
    (0..region.spec.replicas).any(|ordinal| crate::names::pod(name, ordinal) == pod)
}

fn gateway(name: &str, log: &GatewayAudit) -> GatewayAuditStatus {
    GatewayAuditStatus {
        name: name.to_owned(),
        incarnation: log.incarnation.clone(),
        archived_through: log.archived_through,
        archived_at: log.archived_at.map(second),
        behind: log.behind(),
        health: log.health,
        volume_used_percent: log.volume_step(),
    }
}

/// Region: a log that takes no record lets no session begin, so the region is not ready.
pub(super) fn verdict(facts: &AuditFacts) -> Option<Verdict> {
    let closed: Vec<_> = facts
        .gateways
        .iter()
        .filter_map(|(name, log)| Some((name, log.health.filter(|health| *health != LogHealth::Open)?)))
        .map(|(name, health)| format!("{name}: {}", remedy(health)))
        .collect();
    let message = format!("no session begins where nothing can be recorded: {}", closed.join("; "));
    (!closed.is_empty()).then(|| Verdict::new(Standing::Stalled, "AuditLogClosed", message))
}

fn remedy(health: LogHealth) -> &'static str {
    match health {
        LogHealth::Open => "open",
        LogHealth::Full => "the volume is full; see the condition AuditArchived, or enlarge the volume",
        LogHealth::Stalled => "the volume takes longer than 5 s for a write; look at its storage",
        LogHealth::Sealed => "a write or sync failed; look at its storage, then delete the pod",
    }
}

/// Region: `AuditArchived` and `AuditIntact`.
pub(super) fn conditions(region: &DmzRegion, facts: &AuditFacts, now: Timestamp) -> Vec<More> {
    vec![archived(facts, now), intact(region, facts)]
}

fn archived(facts: &AuditFacts, now: Timestamp) -> More {
    let named = |is: &dyn Fn(&GatewayAudit) -> bool| {
        let names = facts.gateways.iter().filter(|(_, log)| is(log)).map(|(name, _)| name.as_str());
        Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    };
    let filling = named(&|log| log.volume_step().is_some_and(|percent| percent >= VOLUME_ALARM));
    let late = named(&|log| log.behind_since.is_some_and(|since| now.duration_since(since) >= BEHIND));
    let (holds, reason, message) = match (&facts.archive, filling, late) {
        (Archive::Missing, ..) => (
            false,
            "NoArchive",
            "records stay on the gateways' volumes, because the operator has no archive: set the chart's value archive"
                .to_owned(),
        ),
        (Archive::Unreachable { why }, ..) => (
            false,
            "ArchiveUnreachable",
            format!("records stay on the gateways' volumes until the archive can be written: {why}"),
        ),
        (Archive::Ready, Some(names), _) => (
            false,
            "VolumeFilling",
            format!(
                "the volume with the log is at least {VOLUME_ALARM} % full at {names}; when it is full no session begins: enlarge the volume, or see why records are not collected"
            ),
        ),
        (Archive::Ready, None, Some(names)) => (
            false,
            "Behind",
            format!("records are not in the archive for more than 15 minutes: {names}; see the operator's log"),
        ),
        (Archive::Ready, None, None) => (
            true,
            "Collected",
            "what the gateways recorded is in the archive, but for the last minutes at most".to_owned(),
        ),
    };
    More { type_: condition::AUDIT_ARCHIVED, holds, reason, message }
}

fn intact(region: &DmzRegion, facts: &AuditFacts) -> More {
    let open = facts.evidence.iter().find(|found| !is_accepted(region, &found.gateway, &found.incarnation));
    let (holds, reason, message) = match open {
        None => (true, "Verified", "every log goes on from what is archived of it".to_owned()),
        Some(found) => (
            false,
            found.kind.label(),
            format!(
                "gateway {}, incarnation {}: {}; it is not collected until somebody has looked into it and added it to spec.audit.acceptedForks",
                found.gateway, found.incarnation, found.what
            ),
        ),
    };
    More { type_: condition::AUDIT_INTACT, holds, reason, message }
}

/// Site: its logs and what was delivered.
pub(super) fn site(site: &CustomerSite, facts: &SiteAuditFacts) -> SiteAuditStatus {
    let before = site.status.as_ref().and_then(|status| status.audit.as_ref());
    let mut logs = facts.logs.clone();
    logs.sort_by(|a, b| b.checkpoint_at.cmp(&a.checkpoint_at).then_with(|| a.incarnation.cmp(&b.incarnation)));
    logs.truncate(LOGS);
    logs.sort_by(|a, b| (&a.gateway, &a.incarnation).cmp(&(&b.gateway, &b.incarnation)));
    let shown = |log: crate::audit::facts::SiteLog| SiteLogStatus {
        gateway: log.gateway,
        incarnation: log.incarnation,
        size: log.size,
        checkpoint_at: second(log.checkpoint_at),
    };
    SiteAuditStatus {
        logs: logs.into_iter().map(shown).collect(),
        last_delivered: facts.last_delivered.map(second).or_else(|| before?.last_delivered.clone()),
    }
}

/// Site: `AuditDelivered`, where there is a webhook.
pub(super) fn delivered(site: &CustomerSite, facts: &SiteAuditFacts) -> Option<More> {
    let last = self::site(site, facts).last_delivered;
    let (holds, reason, message) = match (webhook(site), &facts.failed, last) {
        (Ok(None), ..) => return None,
        (Err(problem), ..) => (false, problem.reason(), problem.to_string()),
        (Ok(Some(hook)), Some(why), _) => {
            (false, "DeliveryFailed", format!("{} did not take the checkpoints, and is tried again: {why}", hook.url))
        }
        (Ok(Some(_)), None, None) => (false, "NothingDelivered", "no checkpoint was due yet".to_owned()),
        (Ok(Some(hook)), None, Some(_)) => {
            (true, "Delivered", format!("{} took the checkpoints that were due", hook.url))
        }
    };
    Some(More { type_: condition::AUDIT_DELIVERED, holds, reason, message })
}

fn second(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
