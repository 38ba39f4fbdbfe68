//! `audit key`, `audit status` and `audit erase`: what a region says about its records, and a lawful erasure.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use sallyport_api::DmzRegion;
use sallyport_api::audit::{ErasedStatus, Erasure as Entry, RegionAuditStatus};
use sallyport_api::common::Condition;
use sallyport_api::common::condition::{AUDIT_ARCHIVED, AUDIT_INTACT};
use sallyport_audit::Subject;
use sallyport_core::engineer::UserId;
use serde_json::json;

use super::authority::text;
use super::client::Cluster;
use super::owned;
use super::refusal::Refusal;
use super::rotate;
use super::wait::{self, Awaited};
use crate::failure::Failure;
use crate::output::{self, Output, table};

const MANAGER: &str = "sallyportctl-erase";
/// Somebody else asked for an erasure at the same moment; more often than this it is no coincidence.
const TRIES: usize = 5;

/// What is asked for.
pub(crate) struct Erasure {
    pub user: UserId,
    pub region: String,
    pub legal_basis: String,
    pub confirmed: bool,
    pub within: Option<Duration>,
}

pub(crate) async fn key(cluster: &Cluster, name: &str, output: &Output) -> Result<(), Failure> {
    let region: DmzRegion = cluster.get(&cluster.namespace, name).await?;
    let key = audit(&region).and_then(|audit| audit.verifier_key).ok_or_else(|| Refusal::Unfit {
        object: object(&region),
        why: "status.audit.verifierKey is missing: the operator has not made the region's audit key yet".to_owned(),
        remedy: "look at the region's conditions (sallyportctl audit status), and at the operator's log".to_owned(),
    })?;
    output.answer(&json!({ "region": object(&region), "verifierKey": key }), || key.clone())
}

pub(crate) async fn status(cluster: &Cluster, name: &str, output: &Output) -> Result<(), Failure> {
    let region: DmzRegion = cluster.get(&cluster.namespace, name).await?;
    let conditions: Vec<_> = region.status.iter().flat_map(|status| &status.conditions).cloned().collect();
    let conditions: Vec<_> =
        conditions.into_iter().filter(|c| [AUDIT_ARCHIVED, AUDIT_INTACT].contains(&c.type_.as_str())).collect();
    let audit = audit(&region).unwrap_or_default();
    let answer = json!({ "region": object(&region), "audit": audit, "conditions": conditions });
    output.answer(&answer, || shown(&audit, &conditions, &region.spec.audit.erasures))
}

pub(crate) async fn erase(cluster: &Cluster, wish: &Erasure, output: &Output) -> Result<(), Failure> {
    let basis = wish.legal_basis.trim();
    // The field is kept for years and shown to many.
    if basis.to_ascii_lowercase().contains(&wish.user.to_string()) {
        return Err(Failure::Usage("--legal-basis must not name the person: it stays when they are erased".to_owned()));
    }
    let region: DmzRegion = cluster.get(&cluster.namespace, &wish.region).await?;
    output::say(&format!(
        "erasure of {} in {}: every key by which records say who it was is destroyed in the archive. It cannot be undone. \
         The records stay, and still prove themselves.",
        wish.user,
        object(&region)
    ));
    confirm(wish)?;
    let entry = Entry {
        id: rotate::id(Timestamp::now())?,
        subject: Subject::of(&wish.user).to_string(),
        legal_basis: basis.to_owned(),
        requested_at: Timestamp::now().to_string(),
    };
    let written = write(cluster, &wish.region, &entry).await?;
    let Some(within) = wish.within else {
        return output.answer(&json!({ "erasure": entry }), || {
            let Erasure { region, .. } = wish;
            let namespace = &cluster.namespace;
            format!("erasure {} written; sallyportctl audit status {region} --namespace {namespace}", entry.id)
        });
    };
    output::say(&format!("erasure {} written", entry.id));
    let (namespace, name) = (cluster.namespace.as_str(), wish.region.as_str());
    let see = |seen: &DmzRegion| Ok(done(seen, &entry.id));
    let state = || format!("status.audit.erased of {} does not name {}", object(&written), entry.id);
    let erased = wait::until(cluster, Awaited { namespace, name, within }, see, state).await?;
    output.answer(&json!({ "erasure": entry, "erased": erased }), || match erased.keys {
        0 => "no record names this person; the request is recorded".to_owned(),
        keys => format!("erased: {keys} keys were destroyed at {}", text::time(&erased.at)),
    })
}

/// A slip of the keyboard must not erase somebody.
fn confirm(wish: &Erasure) -> Result<(), Failure> {
    if wish.confirmed {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let words = "an erasure asks first, and standard input is no terminal; add --yes if you mean it";
        return Err(Failure::Usage(words.to_owned()));
    }
    output::say(&format!("Type {} to go on:", wish.user));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| Failure::Local { what: "cannot read your answer".to_owned(), source })?;
    if answer.trim().eq_ignore_ascii_case(&wish.user.to_string()) {
        return Ok(());
    }
    Err(Failure::Usage(format!("you did not type {}; nothing was changed", wish.user)))
}

/// Read, change, write; again when somebody else wrote in between.
async fn write(cluster: &Cluster, name: &str, entry: &Entry) -> Result<DmzRegion, Refusal> {
    let mut tries = 0;
    loop {
        let region: DmzRegion = cluster.get(&cluster.namespace, name).await?;
        let spec = json!({ "audit": { "erasures": entries(&region, entry) } });
        match cluster.apply_unchanged(MANAGER, &region, &spec).await {
            Err(Refusal::Conflict { .. }) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// Those that this program wrote before and that are not done, and the new one. What others wrote stays theirs; what is
/// done may go, its record is in the log.
fn entries(region: &DmzRegion, entry: &Entry) -> Vec<Entry> {
    let ours = owned::keys(region.managed_fields(), MANAGER, &["audit", "erasures"], "id");
    let pending =
        region.spec.audit.erasures.iter().filter(|old| ours.contains(&old.id) && done(region, &old.id).is_none());
    pending.cloned().chain([entry.clone()]).collect()
}

fn done(region: &DmzRegion, id: &str) -> Option<ErasedStatus> {
    audit(region)?.erased.into_iter().find(|erased| erased.id == id)
}

fn audit(region: &DmzRegion) -> Option<RegionAuditStatus> {
    region.status.as_ref()?.audit.clone()
}

fn object(region: &DmzRegion) -> String {
    format!("DmzRegion {}/{}", region.namespace().unwrap_or_default(), region.name_any())
}

fn shown(audit: &RegionAuditStatus, conditions: &[Condition], asked: &[Entry]) -> String {
    let mut shown = format!("key  {}\n", audit.verifier_key.as_deref().unwrap_or("none yet"));
    let rows = conditions.iter().map(|c| vec![c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()]);
    shown.push('\n');
    shown.push_str(&table(&["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows.collect::<Vec<_>>()));
    let rows = audit.gateways.iter().map(|gateway| {
        vec![
            gateway.name.clone(),
            gateway.incarnation.clone(),
            gateway.archived_through.to_string(),
            gateway.archived_at.as_deref().map_or_else(|| "-".to_owned(), text::time),
            gateway.behind.to_string(),
            gateway.health.map_or_else(|| "-".to_owned(), |health| health.label().to_owned()),
            gateway.volume_used_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
        ]
    });
    shown.push('\n');
    let head = ["GATEWAY", "INCARNATION", "ARCHIVED", "UNTIL", "BEHIND", "LOG", "VOLUME"];
    shown.push_str(&table(&head, &rows.collect::<Vec<_>>()));
    if !asked.is_empty() || !audit.erased.is_empty() {
        let pending = asked.iter().filter(|entry| !audit.erased.iter().any(|erased| erased.id == entry.id));
        let pending =
            pending.map(|entry| vec![entry.id.clone(), "asked for".to_owned(), text::time(&entry.requested_at)]);
        let erased = audit.erased.iter();
        let erased =
            erased.map(|erased| vec![erased.id.clone(), format!("{} keys", erased.keys), text::time(&erased.at)]);
        shown.push('\n');
        shown.push_str(&table(&["ERASURE", "DONE", "AT"], &erased.chain(pending).collect::<Vec<_>>()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use sallyport_api::audit::{GatewayAuditStatus, LogHealth};

    use super::*;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.into(),
            subject: "0".repeat(64),
            legal_basis: "x".into(),
            requested_at: "2026-11-24T08:00:00Z".into(),
        }
    }

    #[test]
    fn a_status_says_how_far_all_is_and_what_was_erased() {
        let audit = RegionAuditStatus {
            verifier_key: Some("sallyport.dev/dmz/eu+1f0c5a3e+AZk=".into()),
            gateways: vec![GatewayAuditStatus {
                name: "eu-gateway-0".into(),
                incarnation: "00ff12ab".into(),
                archived_through: 4711,
                archived_at: Some("2026-11-24T08:00:00Z".into()),
                behind: 10,
                health: Some(LogHealth::Open),
                volume_used_percent: Some(5),
            }],
            erased: vec![ErasedStatus { id: "a".into(), keys: 3, at: "2026-11-24T09:00:00Z".into() }],
        };
        let words = shown(&audit, &[], &[entry("a"), entry("b")]);
        for expected in
            ["+1f0c5a3e+", "eu-gateway-0   00ff12ab      4711", "Open   5 %", "a         3 keys", "b         asked for"]
        {
            assert!(words.contains(expected), "{expected}:\n{words}");
        }
    }
}
