//! Certificates of a revoked object that nobody wrote down, or whose record was lost with a status: an endpoint that uses
//! one is cut off all the same. They are known from what gateways report, and from what its `TunnelEndpoint` remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_endpoint::AgentStatus;

use super::{RevokedCertificate, authority_of, is_past, is_revoked, reason, seen};
use crate::catalogue::{Catalogue, ObjectKey, Objects};

/// What it is told by.
pub struct Unrecorded<'a> {
    /// All objects.
    pub all: &'a Catalogue,
    /// All certificates of endpoints.
    pub certificates: &'a Objects<TunnelCertificate>,
    /// What gateways report of an endpoint's tunnels now.
    pub live: &'a dyn Fn(&ObjectKey) -> Vec<AgentStatus>,
    /// The generations of the authority that are trusted, by fingerprint: a certificate of another opens no door.
    pub generations: &'a BTreeMap<String, u32>,
}

/// What a revoked object's endpoint uses and no object claims. Nothing for an object that is not revoked.
///
/// Gateways are not believed too much: what is another endpoint's, or a gateway's own, is never taken for this one's.
pub fn unrecorded(certificate: &TunnelCertificate, by: &Unrecorded<'_>, now: Timestamp) -> Vec<RevokedCertificate> {
    let Some(reason) = reason(certificate) else { return Vec::new() };
    let namespace = certificate.metadata.namespace.as_deref().unwrap_or_default();
    let endpoint = ObjectKey::new(namespace, &certificate.spec.endpoint_ref.name);
    let mut reported = (by.live)(&endpoint);
    let remembered = by.all.endpoints.get(&endpoint).and_then(|endpoint| endpoint.status.as_ref()?.agent.clone());
    reported.extend(remembered);
    reported.sort_by(|a, b| a.serial.cmp(&b.serial));
    reported.dedup_by(|a, b| a.serial == b.serial);
    let of = |agent: AgentStatus| RevokedCertificate {
        issuer_generation: by.generations.get(&agent.issuer).copied().unwrap_or_default(),
        not_after: agent.not_after.parse().unwrap_or(Timestamp::MAX),
        serial: agent.serial,
        reason,
        at: seen(certificate, now),
    };
    let trusted = reported.into_iter().filter(|agent| by.generations.contains_key(&agent.issuer)).map(of);
    trusted.filter(|one| !is_past(one.not_after, now) && !is_claimed(certificate, &one.serial, by)).collect()
}

impl Unrecorded<'_> {
    /// The same of all objects of an authority, for its lists. While another object of the endpoint has yet to write down
    /// what is in its Secret, that may be what its endpoint uses: then nothing is listed yet.
    pub fn of_authority(&self, authority: &ObjectKey, now: Timestamp) -> Vec<RevokedCertificate> {
        let revoked = self.certificates.values().filter(|certificate| is_revoked(certificate));
        let mine = revoked.filter(|certificate| authority_of(certificate, self.all).as_ref() == Some(authority));
        let decided = mine.filter(|certificate| !self.awaits_a_claim(certificate));
        decided.flat_map(|certificate| unrecorded(certificate, self, now)).collect()
    }

    fn awaits_a_claim(&self, certificate: &TunnelCertificate) -> bool {
        self.certificates.values().any(|other| {
            is_same_endpoint(certificate, other)
                && !is_revoked(other)
                && other.spec.secret_name.is_some()
                && other.status.as_ref().is_none_or(|status| status.serial.is_none())
        })
    }
}

fn is_same_endpoint(a: &TunnelCertificate, b: &TunnelCertificate) -> bool {
    a.metadata.namespace == b.metadata.namespace && a.spec.endpoint_ref.name == b.spec.endpoint_ref.name
}

fn is_claimed(mine: &TunnelCertificate, serial: &str, by: &Unrecorded<'_>) -> bool {
    let has = |certificate: &TunnelCertificate| {
        certificate.status.as_ref().is_some_and(|status| {
            status.serial.as_deref() == Some(serial) || status.earlier.iter().any(|earlier| earlier.serial == serial)
        })
    };
    let of_a_gateway = || {
        let regions = by.all.regions.values().filter_map(|region| region.status.as_ref());
        regions
            .flat_map(|status| &status.gateways)
            .flat_map(|gateway| &gateway.certificates)
            .any(|c| c.serial == serial)
    };
    has(mine) || by.certificates.values().any(|certificate| has(certificate)) || of_a_gateway()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sallyport_api::tunnel_certificate::RevocationReason;
    use sallyport_api::{DmzRegion, TunnelEndpoint};
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    fn certificate(name: &str, spec: Value, status: Value) -> (ObjectKey, Arc<TunnelCertificate>) {
        let mut whole = json!({ "endpointRef": { "name": "agent" } });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelCertificate",
            "metadata": { "name": name, "namespace": "lyon" }, "spec": whole, "status": status,
        });
        (ObjectKey::new("lyon", name), Arc::new(serde_json::from_value(object).unwrap()))
    }

    /// Restored from a backup without its status; the authority is known by what was written of it.
    fn revoked() -> (ObjectKey, Arc<TunnelCertificate>) {
        certificate("old", json!({ "revoked": { "reason": "keyCompromise" } }), json!({ "authority": "dmz/ca" }))
    }

    fn agent(serial: &str, issuer: &str) -> AgentStatus {
        let not_after = "2026-04-01T00:00:00Z".to_owned();
        AgentStatus { serial: serial.into(), issuer: issuer.into(), not_after, trust_digest: String::new() }
    }

    struct World {
        all: Catalogue,
        certificates: Objects<TunnelCertificate>,
        live: Vec<AgentStatus>,
    }

    impl World {
        fn of(certificates: Vec<(ObjectKey, Arc<TunnelCertificate>)>, live: Vec<AgentStatus>) -> Self {
            Self { all: Catalogue::default(), certificates: certificates.into_iter().collect(), live }
        }

        fn listed(&self, now: Timestamp) -> Vec<(String, u32)> {
            let live = |endpoint: &ObjectKey| {
                if endpoint.name == "agent" { self.live.clone() } else { Vec::new() }
            };
            let generations = BTreeMap::from([("g2".to_owned(), 2)]);
            let Self { all, certificates, .. } = self;
            let by = Unrecorded { all, certificates, live: &live, generations: &generations };
            let all = by.of_authority(&ObjectKey::new("dmz", "ca"), now);
            assert!(all.iter().all(|one| one.reason == RevocationReason::KeyCompromise));
            all.into_iter().map(|one| (one.serial, one.issuer_generation)).collect()
        }
    }

    #[test]
    fn what_an_endpoint_uses_and_nobody_wrote_down_is_revoked_with_its_object() {
        let live = vec![agent("4a", "g2"), agent("4a", "g2"), agent("4b", "of no authority of ours")];
        let world = World::of(vec![revoked()], live);
        assert_eq!(world.listed(now()), [("4a".to_owned(), 2)]);
        assert_eq!(world.listed("2026-04-02T00:00:00Z".parse().unwrap()), []);
        let good = certificate("old", json!({}), json!({ "authority": "dmz/ca" }));
        assert_eq!(World::of(vec![good], vec![agent("4a", "g2")]).listed(now()), []);
    }

    #[test]
    fn what_its_endpoint_remembers_counts_while_the_agent_is_away() {
        let endpoint: TunnelEndpoint = serde_json::from_value(json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelEndpoint",
            "metadata": { "name": "agent", "namespace": "lyon" },
            "spec": { "siteRef": { "name": "hospital" }, "webSocket": { "route": "direct" } },
            "status": { "agent": agent("4c", "g2") },
        }))
        .unwrap();
        let mut world = World::of(vec![revoked()], Vec::new());
        world.all.endpoints = std::iter::once((ObjectKey::new("lyon", "agent"), Arc::new(endpoint))).collect();
        assert_eq!(world.listed(now()), [("4c".to_owned(), 2)]);
    }

    #[test]
    fn what_somebody_else_claims_is_left_alone() {
        let live = || vec![agent("4a", "g2")];
        let current = certificate("new", json!({}), json!({ "serial": "4a" }));
        assert_eq!(World::of(vec![revoked(), current], live()).listed(now()), []);
        let earlier = json!({ "earlier": [{ "serial": "4a", "notAfter": "x", "issuerGeneration": 2 }] });
        assert_eq!(World::of(vec![revoked(), certificate("new", json!({}), earlier)], live()).listed(now()), []);
        // Its Secret may hold just this one: the operator has not looked yet.
        let by_secret = certificate("new", json!({ "secretName": "new" }), json!({}));
        assert_eq!(World::of(vec![revoked(), by_secret], live()).listed(now()), []);

        let region: DmzRegion = serde_json::from_value(json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "DmzRegion", "metadata": { "name": "eu", "namespace": "dmz" },
            "spec": {
                "outer": { "host": "outer.example" }, "inner": { "host": "inner.example" }, "replicas": 2,
                "certificateAuthorityRef": { "name": "ca" },
                "engineers": { "clientCertificates": { "authoritiesRef": { "name": "engineers" } } },
            },
            "status": { "gateways": [{
                "name": "eu-gateway-1", "attached": true, "tunnels": 0, "sessions": 0,
                "certificates": [{ "purpose": "peer", "serial": "4a", "issuer": "g2", "notAfter": "x" }],
            }] },
        }))
        .unwrap();
        let mut world = World::of(vec![revoked()], live());
        world.all.regions = std::iter::once((ObjectKey::new("dmz", "eu"), Arc::new(region))).collect();
        assert_eq!(world.listed(now()), [], "no gateway has another gateway revoked");
    }
}
