//! What gateways said, by region and pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelEndpoint;
use sallyport_api::dmz_region::GatewayCertificate;
use sallyport_api::tunnel_endpoint::{AgentStatus, TunnelStatus};
use sallyport_core::config::RegionConfig;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::GatewayFacts;

use super::trust::Told;

/// A gateway that is out of the operator's reach keeps its tunnels, so its last word counts this long. Longer than a
/// gateway's restart or an operator's, so that neither shows a thousand sites as disconnected.
pub const GRACE: SignedDuration = SignedDuration::from_secs(45);

/// An operator that begins is attached to its gateways well within this: until then a region's status stays as it was,
/// so that a restart shows no outage that there is not.
const SETTLING: SignedDuration = SignedDuration::from_secs(10);

/// What gateways said.
#[derive(Debug)]
pub struct Links {
    regions: Mutex<BTreeMap<ObjectKey, BTreeMap<String, Link>>>,
    began: Timestamp,
}

/// One gateway.
#[derive(Clone, Debug, Default)]
struct Link {
    facts: GatewayFacts,
    in_force: Option<InForce<RegionConfig>>,
    trust: Option<InForce<Told>>,
    /// Nothing before its first report.
    tunnels: Option<BTreeMap<ObjectKey, Tunnel>>,
}

/// What a gateway enforces, and when it said so.
#[derive(Debug)]
pub struct InForce<T> {
    /// What.
    pub what: Arc<T>,
    /// Since when.
    pub since: Timestamp,
}

impl<T> Clone for InForce<T> {
    fn clone(&self) -> Self {
        Self { what: self.what.clone(), since: self.since }
    }
}

/// A tunnel that a gateway holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What status shows of it.
    pub status: TunnelStatus,
    /// What the agent proved on it.
    pub agent: Option<AgentStatus>,
}

/// A gateway's report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By endpoint.
    pub tunnels: BTreeMap<ObjectKey, Tunnel>,
    /// Sessions it carries.
    pub sessions: u32,
    /// The certificates it uses.
    pub certificates: Vec<GatewayCertificate>,
}

/// What is new in a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportNews {
    /// Endpoints whose tunnels are others, or whose agent proved something else.
    pub endpoints: Vec<ObjectKey>,
    /// Whether the gateway uses other certificates.
    pub certificates: bool,
}

impl Links {
    /// Nobody has said anything yet.
    pub fn new(now: Timestamp) -> Self {
        Self { regions: Mutex::default(), began: now }
    }

    /// Changes what is known of a gateway.
    pub fn update<T>(&self, region: &ObjectKey, pod: &str, change: impl FnOnce(&mut GatewayFacts) -> T) -> T {
        self.with(region, pod, |link| change(&mut link.facts))
    }

    /// When the operator began to listen: before that nobody can have been heard.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Whether the operator has only just begun, so that a gateway without a stream means nothing yet.
    pub fn is_settling(&self, now: Timestamp) -> bool {
        now.duration_since(self.began) < SETTLING
    }

    /// A gateway has a control stream. What it trusts is unknown until it says so: it may have been made anew.
    pub fn attached(&self, region: &ObjectKey, pod: &str, version: &str, configuration: Option<u64>) {
        self.with(region, pod, |link| {
            link.facts = GatewayFacts {
                attached: true,
                version: Some(version.to_owned()),
                configuration,
                tunnels: link.facts.tunnels,
                sessions: link.facts.sessions,
                certificates: link.facts.certificates.take(),
                ..GatewayFacts::default()
            };
            link.in_force = None;
            link.trust = None;
        });
    }

    /// A gateway has lost its control stream.
    pub fn detached(&self, region: &ObjectKey, pod: &str, now: Timestamp) {
        self.with(region, pod, |link| {
            link.facts.attached = false;
            link.facts.owes_since = None;
            link.facts.away_since.get_or_insert(now);
        });
    }

    /// A gateway enforces this configuration.
    pub fn enforces(&self, region: &ObjectKey, pod: &str, generation: u64, config: Arc<RegionConfig>, now: Timestamp) {
        self.with(region, pod, |link| {
            link.facts.configuration = Some(generation);
            link.facts.refused = None;
            link.in_force = Some(InForce { what: config, since: now });
        });
    }

    /// A gateway goes by this trust, and has cut what it forbids. Whether its bundle is news.
    pub fn trusts(&self, region: &ObjectKey, pod: &str, told: Arc<Told>, now: Timestamp) -> bool {
        self.with(region, pod, |link| {
            let before = link.facts.trust_digest.replace(told.signer.digest.clone());
            let news = before.as_ref() != Some(&told.signer.digest);
            link.facts.trust_refused = None;
            link.trust = Some(InForce { what: told, since: now });
            news
        })
    }

    /// What a gateway enforces, as far as it said so since it attached. It keeps that when it is out of reach.
    pub fn in_force(&self, region: &ObjectKey, pod: &str) -> Option<InForce<RegionConfig>> {
        self.with(region, pod, |link| link.in_force.clone())
    }

    /// The trust that a gateway goes by, as far as it said so since it attached.
    pub fn trust(&self, region: &ObjectKey, pod: &str) -> Option<InForce<Told>> {
        self.with(region, pod, |link| link.trust.clone())
    }

    /// A gateway reported.
    pub fn report(&self, region: &ObjectKey, pod: &str, report: Report) -> ReportNews {
        self.with(region, pod, |link| {
            link.facts.tunnels = u32::try_from(report.tunnels.len()).unwrap_or(u32::MAX);
            link.facts.sessions = report.sessions;
            let certificates = link.facts.certificates.as_ref() != Some(&report.certificates);
            link.facts.certificates = Some(report.certificates);
            // A first report is news for all that it does not list, too: status may remember a tunnel that is gone.
            let before = link.tunnels.replace(report.tunnels).unwrap_or_default();
            let now = link.tunnels.as_ref();
            let now = |key: &ObjectKey| now.and_then(|tunnels| tunnels.get(key));
            let gone = before.keys().filter(|key| now(key).is_none());
            let new = link.tunnels.iter().flatten().filter(|(key, t)| before.get(*key) != Some(*t)).map(|(key, _)| key);
            ReportNews { endpoints: gone.chain(new).cloned().collect(), certificates }
        })
    }

    /// Whether a gateway has reported since it was last out of reach for long.
    pub fn has_reported(&self, region: &ObjectKey, pod: &str) -> bool {
        self.with(region, pod, |link| link.tunnels.is_some())
    }

    /// A gateway has been out of reach for so long that nobody knows what it holds.
    pub fn forget_tunnels(&self, region: &ObjectKey, pod: &str) {
        self.with(region, pod, |link| {
            link.tunnels = Some(BTreeMap::new());
            link.facts.tunnels = 0;
            link.facts.sessions = 0;
        });
    }

    /// What status shows of a gateway.
    pub fn facts(&self, region: &ObjectKey, pod: &str) -> GatewayFacts {
        self.with(region, pod, |link| link.facts.clone())
    }

    /// What is known of a region's gateways, by pod: those of which anything was heard.
    pub fn gateways(&self, region: &ObjectKey) -> BTreeMap<String, GatewayFacts> {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let gateways = regions.get(region).into_iter().flatten();
        gateways.map(|(pod, link)| (pod.clone(), link.facts.clone())).collect()
    }

    /// What an endpoint's agent proved, on each of its tunnels.
    pub fn agents(&self, region: &ObjectKey, endpoint: &ObjectKey) -> Vec<AgentStatus> {
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let links = regions.get(region).into_iter().flat_map(BTreeMap::values);
        links.filter_map(|link| link.tunnels.as_ref()?.get(endpoint)?.agent.clone()).collect()
    }

    /// Tunnels of an endpoint, by gateway. For a gateway that has not reported yet, what status remembers.
    pub fn tunnels(
        &self,
        region: &ObjectKey,
        endpoint: &ObjectKey,
        object: Option<&TunnelEndpoint>,
    ) -> Vec<TunnelStatus> {
        let remembered = object.and_then(|e| e.status.as_ref()).map(|s| s.tunnels.as_slice()).unwrap_or_default();
        let regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let gateways = regions.get(region);
        let reported = |pod: &str| gateways.and_then(|g| g.get(pod)).and_then(|link| link.tunnels.as_ref());
        let told = gateways.into_iter().flatten();
        let told = told.filter_map(|(_, link)| link.tunnels.as_ref()?.get(endpoint).map(|t| t.status.clone()));
        // Only while the operator is young: later a gateway that never reported is none.
        let young = Timestamp::now().duration_since(self.began) < GRACE;
        let old = remembered.iter().filter(|t| young && reported(&t.gateway).is_none()).cloned();
        let mut all: Vec<_> = told.chain(old).collect();
        all.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        all.dedup_by(|a, b| a.gateway == b.gateway);
        all
    }

    /// Whether an endpoint has a tunnel.
    pub fn is_connected(&self, region: &ObjectKey, endpoint: &ObjectKey, object: Option<&TunnelEndpoint>) -> bool {
        !self.tunnels(region, endpoint, object).is_empty()
    }

    /// A region, or a replica of it, is gone.
    pub fn remove(&self, region: &ObjectKey, keep: impl Fn(&str) -> bool) {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gateways) = regions.get_mut(region) {
            gateways.retain(|pod, _| keep(pod));
            if gateways.is_empty() {
                regions.remove(region);
            }
        }
    }

    fn with<T>(&self, region: &ObjectKey, pod: &str, act: impl FnOnce(&mut Link) -> T) -> T {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let gateways = regions.entry(region.clone()).or_default();
        act(gateways.entry(pod.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(gateway: &str, serial: &str) -> Tunnel {
        let status =
            TunnelStatus { gateway: gateway.into(), since: "t".into(), from: "f".into(), agent_version: "1".into() };
        let agent =
            AgentStatus { serial: serial.into(), issuer: "ca".into(), not_after: "t".into(), trust_digest: "d".into() };
        Tunnel { status, agent: Some(agent) }
    }

    fn report(tunnels: &[(&ObjectKey, &str)]) -> Report {
        let tunnels = tunnels.iter().map(|(key, serial)| ((*key).clone(), tunnel("eu-gateway-0", serial))).collect();
        Report { tunnels, ..Report::default() }
    }

    #[test]
    fn a_report_names_what_is_news() {
        let links = Links::new(Timestamp::now());
        let (region, a, b) = (ObjectKey::new("dmz", "eu"), ObjectKey::new("x", "a"), ObjectKey::new("x", "b"));
        let told = |of: &[(&ObjectKey, &str)]| links.report(&region, "eu-gateway-0", report(of));
        assert_eq!(told(&[(&a, "1"), (&b, "1")]).endpoints.len(), 2);
        assert_eq!(told(&[(&a, "1"), (&b, "1")]), ReportNews::default());
        assert_eq!(told(&[(&a, "2"), (&b, "1")]).endpoints, std::slice::from_ref(&a), "a renewed certificate is news");
        assert_eq!(told(&[(&a, "2")]).endpoints, std::slice::from_ref(&b));
        assert!(links.is_connected(&region, &a, None) && !links.is_connected(&region, &b, None));
        assert_eq!(links.agents(&region, &a)[0].serial, "2");
    }

    #[test]
    fn a_gateway_out_of_reach_still_enforces_what_it_acknowledged() {
        let links = Links::new(Timestamp::now());
        let region = ObjectKey::new("dmz", "eu");
        links.attached(&region, "p", "1", Some(3));
        assert!(links.in_force(&region, "p").is_none());
        links.enforces(&region, "p", 4, Arc::new(RegionConfig::default()), Timestamp::now());
        links.detached(&region, "p", Timestamp::now());
        assert!(links.in_force(&region, "p").is_some());
        let facts = links.facts(&region, "p");
        assert!(!facts.attached && facts.away_since.is_some());
    }
}
