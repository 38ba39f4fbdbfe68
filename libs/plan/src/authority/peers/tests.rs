use std::sync::Arc;

use jiff::SignedDuration;
use kube::ResourceExt;
use sallyport_pki::generation::Generation;
use sallyport_pki::inspect::Validity;
use sallyport_pki::rotation::{Cause, GenerationState, Stage};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::secret_facts::LeafFacts;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn later() -> Timestamp {
    now() + DAY
}

/// Two generations whose fingerprints are `g1` and `g2`.
fn state() -> State {
    let generation = |number: u32, stage| GenerationState {
        generation: Generation { number, fingerprint: format!("g{number}"), not_before: now(), not_after: later() },
        stage,
        since: now(),
        cause: Cause::First,
        made_for: String::new(),
        drop_others_at: None,
    };
    State { generations: vec![generation(1, Stage::PhasingOut), generation(2, Stage::Issuing)], ..State::default() }
}

fn object<K: DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: Value, status: Value) -> K {
    let object = json!({ "apiVersion": "sallyport.dev/v1alpha1", "kind": kind,
        "metadata": { "namespace": namespace, "name": name }, "spec": spec, "status": status });
    serde_json::from_value(object).unwrap()
}

fn objects<K: ResourceExt>(items: Vec<K>) -> Objects<K> {
    items.into_iter().map(|item| (ObjectKey::of(&item), Arc::new(item))).collect()
}

fn region(gateways: &Value) -> DmzRegion {
    let spec = json!({ "outer": { "host": "o.example" }, "inner": { "host": "i.example" }, "replicas": 1,
        "certificateAuthorityRef": { "name": "ca" },
        "engineers": { "clientCertificates": { "authoritiesRef": { "name": "engineers" } } } });
    object("DmzRegion", "dmz", "eu", spec, json!({ "gateways": gateways }))
}

fn catalogue(region: DmzRegion, endpoint_status: Value) -> Catalogue {
    let site =
        json!({ "customer": { "name": "H" }, "country": "FR", "regionRef": { "name": "eu", "namespace": "dmz" } });
    let endpoint = json!({ "siteRef": { "name": "hospital" }, "webSocket": { "route": "direct" } });
    Catalogue {
        regions: objects(vec![region]),
        sites: objects(vec![object("CustomerSite", "lyon", "hospital", site, json!({}))]),
        endpoints: objects(vec![object("TunnelEndpoint", "lyon", "agent", endpoint, endpoint_status)]),
        ..Catalogue::default()
    }
}

fn certificate(spec: Value, serial: &str, generation: u32) -> TunnelCertificate {
    let mut whole = json!({ "endpointRef": { "name": "agent" } });
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let status = json!({ "serial": serial, "notAfter": later().to_string(), "issuerGeneration": generation,
        "issuedAt": (now() - DAY).to_string() });
    object("TunnelCertificate", "lyon", serial, whole, status)
}

#[derive(Default)]
struct Links {
    gateway: Option<LiveGateway>,
    agents: Vec<AgentStatus>,
    connected: bool,
    bootstrap: Option<SecretFacts>,
}

impl Live for Links {
    fn gateway(&self, _: &ObjectKey, _: &str) -> Option<LiveGateway> {
        self.gateway.clone()
    }
    fn agents(&self, _: &ObjectKey, _: &ObjectKey) -> Vec<AgentStatus> {
        self.agents.clone()
    }
    fn is_connected(&self, _: &ObjectKey, _: &ObjectKey) -> bool {
        self.connected
    }
    fn bootstrap(&self, _: &ObjectKey) -> Option<SecretFacts> {
        self.bootstrap.clone()
    }
}

fn peers(all: &Catalogue, certificates: Vec<TunnelCertificate>, live: &Links) -> BTreeMap<String, Peer> {
    let (authority, state) = (ObjectKey::new("dmz", "ca"), state());
    let certificates = objects(certificates);
    of(
        &Known {
            authority: &authority,
            state: &state,
            digest: "d",
            all,
            certificates: &certificates,
            live,
            began: now() - DAY,
        },
        now(),
    )
}

fn agent(serial: &str, issuer: &str) -> AgentStatus {
    let not_after = later().to_string();
    AgentStatus { serial: serial.into(), issuer: issuer.into(), not_after, trust_digest: "d".into() }
}

fn held(issuer: u32) -> Held {
    Held { issuer, not_after: later() }
}

#[test]
fn a_gateway_that_never_spoke_is_none_and_what_it_says_counts_before_what_status_remembers() {
    let remembered = json!([{ "name": "eu-gateway-0", "attached": true, "trustDigest": "old",
        "certificates": [{ "purpose": "peer", "serial": "1", "issuer": "g1", "notAfter": later().to_string() }] }]);
    let name = "gateway dmz/eu-gateway-0";
    let of = |status: &Value, gateway: Option<LiveGateway>| {
        let live = Links { gateway, ..Links::default() };
        peers(&catalogue(region(status), json!({})), vec![], &live).remove(name)
    };
    assert_eq!(of(&json!([]), None), None);
    let away = of(&remembered, None).unwrap();
    assert_eq!(
        (away.acknowledged.as_deref(), away.away_since, away.holds),
        (Some("old"), Some(now() - DAY), vec![held(1)])
    );
    // It attached and has acknowledged nothing since.
    let attached = of(&remembered, Some(LiveGateway::default())).unwrap();
    assert_eq!((attached.acknowledged, attached.away_since, attached.holds), (None, None, vec![held(1)]));
    let told = LiveGateway {
        trust_digest: Some("new".into()),
        certificates: Some(vec![("g2".into(), later())]),
        ..LiveGateway::default()
    };
    let told = of(&remembered, Some(told)).unwrap();
    assert_eq!((told.acknowledged.as_deref(), told.holds), (Some("new"), vec![held(2)]));
}

#[test]
fn a_bootstrap_secret_trusts_what_is_beside_its_certificate() {
    let leaf = LeafFacts {
        identity: None,
        serial: "1".into(),
        validity: Validity { not_before: now(), not_after: later() },
        issuer: "g1".into(),
    };
    let secret = SecretFacts { leaf: Some(leaf), trust: "damaged".into(), ..SecretFacts::default() };
    let live = Links { bootstrap: Some(secret), ..Links::default() };
    let peer = peers(&catalogue(region(&json!([])), json!({})), vec![], &live).remove("bootstrap dmz/eu").unwrap();
    assert_eq!((peer.acknowledged, peer.away_since, peer.holds), (None, None, vec![held(1)]));
}

#[test]
fn an_endpoint_counts_by_what_it_proved_or_else_by_what_was_issued_last() {
    let all = catalogue(region(&json!([])), json!({}));
    let of = |certificates, live: &Links| peers(&all, certificates, live).remove("lyon/agent");
    let enrolled = || certificate(json!({}), "a2", 2);
    assert_eq!(of(vec![], &Links::default()), None, "nothing was issued to it");
    let never_dialled = of(vec![enrolled()], &Links::default()).unwrap();
    assert_eq!((never_dialled.holds, never_dialled.away_since), (vec![held(2)], Some(now() - DAY)));
    // Its certificate of before is still in use, though another was issued.
    let mut renewed = enrolled();
    let earlier = json!([{ "serial": "a1", "notAfter": later().to_string(), "issuerGeneration": 1 }]);
    renewed.status.as_mut().unwrap().earlier = serde_json::from_value(earlier).unwrap();
    let live = Links { agents: vec![agent("a1", "g1")], connected: true, ..Links::default() };
    let peer = of(vec![renewed.clone()], &live).unwrap();
    let both = vec![held(1), held(2)];
    assert_eq!((peer.holds, peer.away_since, peer.acknowledged.as_deref()), (both.clone(), None, Some("d")));
    // Two tunnels: what is behind counts.
    let behind = AgentStatus { trust_digest: "old".into(), ..agent("a1", "g1") };
    let live = Links { agents: vec![agent("a2", "g2"), behind], connected: true, ..Links::default() };
    let peer = of(vec![renewed.clone()], &live).unwrap();
    assert_eq!((peer.holds, peer.acknowledged.as_deref()), (both, Some("old")));
    let live = Links { agents: vec![agent("a2", "g2")], connected: true, ..Links::default() };
    assert_eq!(of(vec![renewed], &live).unwrap().holds, [held(2)]);
}

#[test]
fn what_is_revoked_or_was_never_used_is_nobodys() {
    let all = catalogue(region(&json!([])), json!({}));
    let of = |certificates, live: &Links| peers(&all, certificates, live).remove("lyon/agent");
    let revoked = certificate(json!({ "revoked": { "reason": "unspecified" } }), "a1", 1);
    let live = Links { agents: vec![agent("a1", "g1")], ..Links::default() };
    assert_eq!(of(vec![revoked.clone()], &live), None);
    // It was given another: what it proved with the revoked one counts no more.
    let peer = of(vec![revoked, certificate(json!({}), "a2", 2)], &live).unwrap();
    assert_eq!(peer.holds, [held(2)]);
    let delivered = || certificate(json!({ "secretName": "files" }), "a3", 1);
    assert_eq!(of(vec![delivered()], &Links::default()), None, "certificate and bundle wait together in the Secret");
    let dialled = Links { agents: vec![agent("a3", "g1")], ..Links::default() };
    assert_eq!(of(vec![delivered()], &dialled).unwrap().holds, [held(1)]);
}

#[test]
fn an_endpoint_is_away_since_its_condition_says_so() {
    let since = now() - DAY;
    let status = |connected: &str| {
        json!({ "agent": agent("a2", "g2"), "conditions": [{ "type": "Connected", "status": connected, "reason": "x",
            "message": "", "lastTransitionTime": since.to_string() }] })
    };
    let away = |connected, live: &Links| {
        let all = catalogue(region(&json!([])), status(connected));
        peers(&all, vec![certificate(json!({}), "a2", 2)], live)["lyon/agent"].away_since
    };
    assert_eq!(away("False", &Links::default()), Some(since));
    assert_eq!(away("True", &Links::default()), Some(now()), "status has not caught up");
    assert_eq!(away("False", &Links { connected: true, ..Links::default() }), None);
}

#[test]
fn holders_are_counted_once_for_each_generation_and_only_while_their_certificate_lasts() {
    let ended = Held { issuer: 1, not_after: now() };
    let peer = |holds| Peer { holds, ..Peer::default() };
    let peers = BTreeMap::from([
        ("a".to_owned(), peer(vec![held(1), held(1), held(2)])),
        ("b".to_owned(), peer(vec![held(2), ended])),
    ]);
    assert_eq!(holders(&peers, now()), BTreeMap::from([(1, 1), (2, 2)]));
}
