//! Who holds a certificate of an authority or verifies one, and what is known of each: the peers of the rotation
//! machine. What gateways say now counts before what status remembers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sallyport_api::common::condition;
use sallyport_api::dmz_region::{DmzRegion, GatewayStatus};
use sallyport_api::tunnel_endpoint::AgentStatus;
use sallyport_api::{TunnelCertificate, TunnelEndpoint};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::rotation::{Held, Peer, State};

use crate::catalogue::{Catalogue, ObjectKey, Objects};
use crate::names;
use crate::revocation::is_revoked;
use crate::secret_facts::SecretFacts;

/// Everything that is known.
pub struct Known<'a> {
    /// The authority.
    pub authority: &'a ObjectKey,
    /// Its state: it tells which generation a fingerprint is.
    pub state: &'a State,
    /// Digest of the bundle that the state publishes.
    pub digest: &'a str,
    /// All objects.
    pub all: &'a Catalogue,
    /// All certificates of endpoints.
    pub certificates: &'a Objects<TunnelCertificate>,
    /// What live links and caches know.
    pub live: &'a dyn Live,
    /// Since when they know anything: whoever was not heard since is away at least since then.
    pub began: Timestamp,
}

/// What the operator knows beyond objects and their status.
pub trait Live {
    /// A gateway, if anything was heard of it since the operator began, or it may still be heard of.
    fn gateway(&self, region: &ObjectKey, pod: &str) -> Option<LiveGateway>;
    /// What an endpoint's agent proved on each of its tunnels; nothing before a gateway said so since the operator began.
    fn agents(&self, region: &ObjectKey, endpoint: &ObjectKey) -> Vec<AgentStatus>;
    /// Whether an endpoint has a tunnel.
    fn is_connected(&self, region: &ObjectKey, endpoint: &ObjectKey) -> bool;
    /// The Secret with a region's bootstrap certificate.
    fn bootstrap(&self, region: &ObjectKey) -> Option<SecretFacts>;
}

/// What links know of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveGateway {
    /// Since when the operator has had no control stream to it; nothing while it has one.
    pub away_since: Option<Timestamp>,
    /// Digest of the bundle that it acknowledged last.
    pub trust_digest: Option<String>,
    /// Issuer's fingerprint and end of each certificate that it uses; nothing before its first report.
    pub certificates: Option<Vec<(String, Timestamp)>>,
}

/// The peers of an authority, by name.
pub fn of(known: &Known<'_>, now: Timestamp) -> BTreeMap<String, Peer> {
    let mut peers = BTreeMap::new();
    let certified = certified(known.certificates);
    for (key, region) in known.all.regions_of(known.authority) {
        gateways(known, key, region, &mut peers);
        if let Some(secret) = known.live.bootstrap(key) {
            peers.insert(format!("bootstrap {key}"), bootstrap(known.state, &secret));
        }
        for (site, _) in known.all.sites_of(key) {
            for (endpoint, object) in known.all.endpoints_of(site) {
                let certificates = certified.get(endpoint).map(Vec::as_slice).unwrap_or_default();
                if let Some(peer) = self::endpoint(known, key, (endpoint, object), certificates, now) {
                    peers.insert(endpoint.to_string(), peer);
                }
            }
        }
    }
    peers
}

/// How many peers hold an unexpired certificate of each generation.
pub fn holders(peers: &BTreeMap<String, Peer>, now: Timestamp) -> BTreeMap<u32, u32> {
    let mut holders = BTreeMap::new();
    for peer in peers.values() {
        let issuers: BTreeSet<_> = peer.holds.iter().filter(|held| held.not_after > now).map(|h| h.issuer).collect();
        for issuer in issuers {
            *holders.entry(issuer).or_default() += 1;
        }
    }
    holders
}

fn gateways(known: &Known<'_>, key: &ObjectKey, region: &DmzRegion, peers: &mut BTreeMap<String, Peer>) {
    for pod in (0..region.spec.replicas).map(|ordinal| names::pod(&key.name, ordinal)) {
        let remembered = region.status.iter().flat_map(|status| &status.gateways).find(|gateway| gateway.name == pod);
        if let Some(peer) = gateway(known, known.live.gateway(key, &pod), remembered) {
            peers.insert(format!("gateway {}/{pod}", key.namespace), peer);
        }
    }
}

/// A gateway of which nothing was ever heard is no peer: it takes its first certificate and the bundle together.
fn gateway(known: &Known<'_>, live: Option<LiveGateway>, remembered: Option<&GatewayStatus>) -> Option<Peer> {
    let remembered_digest = remembered.map(|r| r.trust_digest.clone()).filter(|digest| !digest.is_empty());
    let remembered_certificates = || {
        let all = remembered.into_iter().flat_map(|r| &r.certificates);
        all.filter_map(|c| Some((c.issuer.clone(), c.not_after.parse().ok()?))).collect::<Vec<_>>()
    };
    let (away_since, acknowledged, certificates) = match live {
        // What it acknowledged before it attached is not known: it may have been made anew.
        Some(live) if live.away_since.is_none() => {
            (None, live.trust_digest, live.certificates.unwrap_or_else(remembered_certificates))
        }
        Some(live) => (
            live.away_since,
            live.trust_digest.or(remembered_digest),
            live.certificates.unwrap_or_else(remembered_certificates),
        ),
        None => {
            let certificates = remembered_certificates();
            if certificates.is_empty() && remembered_digest.is_none() {
                return None;
            }
            (Some(known.began), remembered_digest, certificates)
        }
    };
    let holds = certificates.iter().filter_map(|(issuer, end)| held(known.state, issuer, *end)).collect();
    Some(Peer { acknowledged, away_since, holds })
}

/// A Secret that pods mount: it trusts what is beside its certificate.
fn bootstrap(state: &State, secret: &SecretFacts) -> Peer {
    let acknowledged = TrustBundle::from_pem(&secret.trust).ok().map(|bundle| bundle.digest());
    let leaf = secret.leaf.as_ref();
    let holds = leaf.and_then(|leaf| held(state, &leaf.issuer, leaf.validity.not_after)).into_iter().collect();
    Peer { acknowledged, away_since: None, holds }
}

fn endpoint(
    known: &Known<'_>,
    region: &ObjectKey,
    (key, object): (&ObjectKey, &TunnelEndpoint),
    certificates: &[&TunnelCertificate],
    now: Timestamp,
) -> Option<Peer> {
    let status = object.status.as_ref();
    let mut agents = known.live.agents(region, key);
    if agents.is_empty() {
        agents.extend(status.and_then(|status| status.agent.clone()));
    }
    let usable: Vec<_> = certificates.iter().filter(|c| !is_revoked(c)).collect();
    // What is handed over in a Secret comes with the bundle: until it dials for the first time nobody uses it.
    let counts = |c: &&&&TunnelCertificate| !agents.is_empty() || c.spec.secret_name.is_none();
    let holds: Vec<_> = usable.iter().filter(counts).flat_map(|c| in_use(c, &agents)).collect();
    if !holds.iter().any(|held| held.not_after > now) {
        return None;
    }
    // With several tunnels the one that is behind counts.
    let behind = agents.iter().map(|agent| &agent.trust_digest).find(|digest| *digest != known.digest);
    let acknowledged = behind.or(agents.first().map(|agent| &agent.trust_digest)).filter(|digest| !digest.is_empty());
    let acknowledged = acknowledged.cloned();
    let away_since = if known.live.is_connected(region, key) { None } else { Some(away_since(object, &usable, now)) };
    Some(Peer { acknowledged, away_since, holds })
}

/// Since when an endpoint without a tunnel has had none: as its condition says, or since it was given its certificate.
fn away_since(object: &TunnelEndpoint, certificates: &[&&TunnelCertificate], now: Timestamp) -> Timestamp {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let connected = conditions.into_iter().find(|c| c.type_ == condition::CONNECTED);
    match connected {
        // Status has not caught up: it was connected until just now.
        Some(connected) if connected.status == "True" => now,
        Some(connected) if object.status.as_ref().is_some_and(|s| s.agent.is_some()) => {
            connected.last_transition_time.0
        }
        _ => {
            let begins = certificates.iter().filter_map(|c| {
                let status = c.status.as_ref()?;
                status.issued_at.as_deref().or(status.not_before.as_deref())?.parse().ok()
            });
            begins.max().unwrap_or(now)
        }
    }
}

fn certified(certificates: &Objects<TunnelCertificate>) -> BTreeMap<ObjectKey, Vec<&TunnelCertificate>> {
    let mut certified = BTreeMap::<_, Vec<_>>::new();
    for (key, certificate) in certificates.iter() {
        let endpoint = ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name);
        certified.entry(endpoint).or_default().push(&**certificate);
    }
    certified
}

/// What was issued for an object and may be in use: from the oldest that an agent proved on; the last if none did.
fn in_use(certificate: &TunnelCertificate, agents: &[AgentStatus]) -> Vec<Held> {
    let issued = issued(certificate);
    let proved = issued.iter().position(|(serial, _)| agents.iter().any(|agent| agent.serial == *serial));
    let first = proved.unwrap_or(issued.len().saturating_sub(1));
    issued.into_iter().skip(first).map(|(_, held)| held).collect()
}

/// Serial number, issuer and end of what was issued for an object, the newest last.
fn issued(certificate: &TunnelCertificate) -> Vec<(&str, Held)> {
    let Some(status) = &certificate.status else { return Vec::new() };
    let held = |issuer, end: &str| Some(Held { issuer, not_after: end.parse().ok()? });
    let earlier =
        status.earlier.iter().filter_map(|e| Some((e.serial.as_str(), held(e.issuer_generation, &e.not_after)?)));
    let current = status
        .serial
        .as_deref()
        .and_then(|serial| Some((serial, held(status.issuer_generation?, status.not_after.as_deref()?)?)));
    earlier.chain(current).collect()
}

fn held(state: &State, issuer: &str, not_after: Timestamp) -> Option<Held> {
    let known = state.generations.iter().find(|g| g.generation.fingerprint == issuer)?;
    Some(Held { issuer: known.generation.number, not_after })
}

#[cfg(test)]
mod tests;
