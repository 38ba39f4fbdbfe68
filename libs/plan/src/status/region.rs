//! Status of a `DmzRegion`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::DmzRegion;
use sallyport_api::common::{Condition, condition};
use sallyport_api::dmz_region::{
    DmzRegionStatus, Door, FirewallAddress, GatewayCertificate, GatewayStatus, RegionSummary,
};

use super::conditions::{More, Standing, Verdict, conditions};
use super::{Trouble, audit};
use crate::audit::facts::AuditFacts;

/// A gateway may take this long to acknowledge before the region is not ready: an ordinary change takes milliseconds,
/// one that ends sessions up to their controlled end.
pub const LAG: SignedDuration = SignedDuration::from_secs(10);

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayFacts {
    /// The operator has a control stream to it.
    pub attached: bool,
    /// Its version.
    pub version: Option<String>,
    /// The generation it enforces.
    pub configuration: Option<u64>,
    /// Since when it owes an acknowledgement.
    pub owes_since: Option<Timestamp>,
    /// Why it refused the newest configuration.
    pub refused: Option<String>,
    /// Tunnels it holds.
    pub tunnels: u32,
    /// Sessions it carries.
    pub sessions: u32,
    /// Digest of the trust bundle that it acknowledged last; nothing while it has not, since the operator began.
    pub trust_digest: Option<String>,
    /// Why it refused the newest trust.
    pub trust_refused: Option<String>,
    /// The certificates that it uses; nothing before its first report.
    pub certificates: Option<Vec<GatewayCertificate>>,
    /// Since when it has no control stream.
    pub away_since: Option<Timestamp>,
}

impl GatewayFacts {
    /// Whether it enforces the current configuration, or a moment ago did.
    fn is_current(&self, now: Timestamp) -> bool {
        let late = self.owes_since.is_some_and(|since| now.duration_since(since) >= LAG);
        let refused = self.refused.is_some() || self.trust_refused.is_some();
        self.attached && self.configuration.is_some() && !refused && !late
    }
}

/// What is known of a region.
#[derive(Clone, Debug, Default)]
pub struct RegionFacts {
    /// What keeps the operator from building it, the gravest first.
    pub troubles: Vec<Trouble>,
    /// The image that the gateways run.
    pub image: Option<String>,
    /// The gateways that are wanted, by pod name.
    pub gateways: BTreeMap<String, GatewayFacts>,
    /// Sites in the configuration.
    pub sites: u32,
    /// Devices in the configuration.
    pub devices: u32,
    /// Addresses of the outer door's load balancer.
    pub outer_addresses: Vec<String>,
    /// Addresses of the inner door's load balancer.
    pub inner_addresses: Vec<String>,
    /// The authority's revocation lists, if it has any.
    pub lists: Option<ListsFacts>,
    /// The audit records; nothing while the operator has just begun and has not heard of them: what status says stays.
    pub audit: Option<AuditFacts>,
}

/// How long revocation lists last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListsFacts {
    /// When the first of them ends, and doors that need it are closed.
    pub end: Timestamp,
    /// When a third of their life is left: they should have been signed anew long before.
    pub alarm: Timestamp,
}

/// The status of a region.
pub fn region(region: &DmzRegion, facts: &RegionFacts, now: Timestamp) -> DmzRegionStatus {
    let current = facts.gateways.values().filter(|g| g.is_current(now)).count();
    let old = region.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let more = facts.audit.as_ref().map(|facts| audit::conditions(region, facts, now)).unwrap_or_default();
    DmzRegionStatus {
        observed_generation: region.metadata.generation,
        conditions: all_conditions(old, &verdict(facts, now), more, region.metadata.generation, now),
        image: facts.image.clone(),
        summary: Some(RegionSummary {
            gateways: format!("{current}/{}", facts.gateways.len()),
            sites: facts.sites,
            devices: facts.devices,
        }),
        gateways: facts.gateways.iter().map(|(name, facts)| gateway(region, name, facts)).collect(),
        addresses: vec![
            address("engineers", &region.spec.inner, &facts.inner_addresses),
            address("sites", &region.spec.outer, &facts.outer_addresses),
        ],
        audit: match &facts.audit {
            Some(facts) => Some(audit::region(region, facts)),
            None => region.status.as_ref().and_then(|status| status.audit.clone()),
        },
    }
}

/// Those about the audit stay as they were while nothing is known of it.
fn all_conditions(
    old: &[Condition],
    verdict: &Verdict,
    more: Vec<More>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let unknown = more.is_empty();
    let mut all = conditions(old, verdict, more, generation, now);
    let of_audit = |c: &&Condition| [condition::AUDIT_ARCHIVED, condition::AUDIT_INTACT].contains(&c.type_.as_str());
    if unknown {
        all.extend(old.iter().filter(of_audit).cloned());
        all.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
    all
}

fn verdict(facts: &RegionFacts, now: Timestamp) -> Verdict {
    if let Some(trouble) = facts.troubles.first() {
        return trouble.into();
    }
    if let Some((name, why)) = facts.gateways.iter().find_map(|(n, g)| Some((n, g.refused.as_ref()?))) {
        let message = format!("gateway {name} refused the configuration and enforces the one before: {why}");
        return Verdict::new(Standing::Stalled, "ConfigurationRefused", message);
    }
    if let Some((name, why)) = facts.gateways.iter().find_map(|(n, g)| Some((n, g.trust_refused.as_ref()?))) {
        let message = format!("gateway {name} refused the trust bundle and uses the one before: {why}");
        return Verdict::new(Standing::Stalled, "TrustRefused", message);
    }
    if let Some(ListsFacts { end, .. }) = facts.lists.filter(|lists| now >= lists.alarm) {
        let message = format!(
            "the revocation lists end at {end}, and then the doors admit nobody: the CertificateAuthority has not signed them anew; see its conditions"
        );
        return Verdict::new(Standing::Stalled, "RevocationListsEnding", message);
    }
    if let Some(verdict) = facts.audit.as_ref().and_then(audit::verdict) {
        return verdict;
    }
    let missing: Vec<_> = facts.gateways.iter().filter(|(_, g)| !g.is_current(now)).map(|(n, _)| n.as_str()).collect();
    if missing.is_empty() {
        return Verdict::new(Standing::Ready, "Enforced", "every gateway enforces the current configuration and trust");
    }
    let message = format!("waiting for {} to attach and acknowledge configuration and trust", missing.join(", "));
    Verdict::new(Standing::Reconciling, "GatewaysNotReady", message)
}

/// An operator that has just begun knows less than the status that it finds; that stays until it knows better.
fn gateway(region: &DmzRegion, name: &str, facts: &GatewayFacts) -> GatewayStatus {
    let before = region.status.iter().flat_map(|status| &status.gateways).find(|before| before.name == name);
    GatewayStatus {
        name: name.to_owned(),
        attached: facts.attached,
        version: facts.version.clone(),
        configuration: facts.configuration,
        refused: facts.refused.clone(),
        tunnels: facts.tunnels,
        sessions: facts.sessions,
        trust_digest: match (&facts.trust_digest, before) {
            (Some(digest), _) => digest.clone(),
            (None, Some(before)) => before.trust_digest.clone(),
            (None, None) => String::new(),
        },
        certificates: match (&facts.certificates, before) {
            (Some(certificates), _) => certificates.clone(),
            (None, Some(before)) => before.certificates.clone(),
            (None, None) => Vec::new(),
        },
    }
}

fn address(purpose: &str, door: &Door, addresses: &[String]) -> FirewallAddress {
    let mut addresses = addresses.to_vec();
    addresses.sort();
    FirewallAddress { purpose: purpose.to_owned(), host: door.host.clone(), port: door.service.port, addresses }
}
