//! One authority in the middle of a rotation, and the life of a request.

use jiff::Timestamp;
use sallyport_testkit::golden;
use serde_json::{Value, json};

use super::follow::{Follow, Turn};
use super::report::{self, Report};
use super::{Facts, text};

const NOW: &str = "2026-03-10T12:00:00Z";
const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const CURRENT: &str = "abababababababababababababababababababababababababababababababab";

fn check(name: &str, actual: &str) {
    golden::check(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR")), actual);
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn generation(number: u32, state: &str, cause: &str) -> Value {
    let (fingerprint, since) = if number == 1 { (OLD, "2025-01-01T00:00:00Z") } else { (NEW, "2026-03-09T12:00:00Z") };
    json!({
        "number": number, "fingerprint": fingerprint, "notBefore": since, "notAfter": "2035-01-01T00:00:00Z",
        "state": state, "since": since, "cause": cause, "madeFor": "x", "holders": 3,
    })
}

fn authority(status: &Value) -> sallyport_api::CertificateAuthority {
    serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
        "metadata": { "name": "frankfurt", "namespace": "dmz" },
        "spec": { "subject": { "commonName": "Frankfurt" }, "rotateRequest": { "id": "r1", "reason": "exercise" } },
        "status": status,
    }))
    .unwrap()
}

fn rotating() -> Value {
    json!({
        "conditions": [condition("Ready", "True", "Issued", "2025-01-01T00:00:00Z")],
        "issuing": 2,
        "generations": [generation(1, "PhasingOut", "First"), generation(2, "Issuing", "Request")],
        "rotation": {
            "to": 2, "waitsFor": "every peer to hold a certificate of generation 2", "done": 3, "of": 6,
            "blockers": [{ "name": "lyon/ct-2", "reason": "away since 2026-03-01" }], "blockedBy": 3,
            "nextStep": "2026-03-31T00:00:00Z",
        },
        "trustBundle": "frankfurt-ca-trust", "trustDigest": CURRENT, "trustSequence": 4, "lastRequest": "r1",
        "givenUp": [{ "name": "lyon/mr", "reason": "spec.lostPeers: destroyed", "at": "2026-03-09T12:00:00Z", "generation": 2 }],
        "history": (0..7).map(|n| json!({
            "at": format!("2026-03-0{}T12:00:00Z", n + 1), "generation": 2, "state": "NotYetTrusted", "why": format!("step {n}"),
        })).collect::<Vec<_>>(),
        "revocationLists": { "revoked": 1, "nextUpdate": "2026-03-17T00:00:00Z", "renewAt": "2026-03-12T08:00:00Z" },
    })
}

fn condition(kind: &str, status: &str, reason: &str, since: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since })
}

fn region(name: &str, authority: &str) -> Value {
    json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "DmzRegion", "metadata": { "name": name, "namespace": "dmz" },
        "spec": {
            "outer": { "host": "outer.example" }, "inner": { "host": "inner.example" },
            "certificateAuthorityRef": { "name": authority },
            "engineers": { "clientCertificates": { "authoritiesRef": { "name": "engineers" } } },
            "allowedSites": { "namespaces": ["lyon"] },
        },
        "status": { "gateways": [gateway("0", CURRENT, NEW), gateway("1", "", OLD)] },
    })
}

fn gateway(ordinal: &str, digest: &str, issuer: &str) -> Value {
    let held =
        |purpose| json!({ "purpose": purpose, "serial": "1", "issuer": issuer, "notAfter": "2026-06-01T00:00:00Z" });
    json!({
        "name": format!("frankfurt-gateway-{ordinal}"), "attached": true, "trustDigest": digest,
        "certificates": [held("inner"), held("outer")],
    })
}

fn site(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "CustomerSite", "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "customer": { "name": format!("Hospital {name}") }, "country": "FR",
            "regionRef": { "name": "frankfurt", "namespace": "dmz" },
        },
    })
}

/// `agent`: issuer and acknowledged digest; nothing when it was never there.
fn endpoint(name: &str, connected: bool, agent: Option<(&str, &str)>) -> Value {
    let state = if connected { "True" } else { "False" };
    let agent = agent.map(|(issuer, digest)| {
        json!({ "serial": name, "issuer": issuer, "notAfter": "2026-05-01T00:00:00Z", "trustDigest": digest })
    });
    json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelEndpoint",
        "metadata": { "name": name, "namespace": "lyon" },
        "spec": { "siteRef": { "name": "lyon" }, "webSocket": { "route": "direct" } },
        "status": { "conditions": [condition("Connected", state, "Tunnel", "2026-03-01T08:00:00Z")], "agent": agent },
    })
}

fn certificate(endpoint: &str, spec: Value, end: &str) -> Value {
    let mut object = json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelCertificate",
        "metadata": { "name": format!("{endpoint}-{end}"), "namespace": "lyon" },
        "spec": spec,
        "status": { "serial": endpoint, "notAfter": end, "issuerGeneration": 1 },
    });
    object["spec"]["endpointRef"] = json!({ "name": endpoint });
    object
}

fn facts(endpoints: Vec<Value>, certificates: Vec<Value>) -> Facts {
    Facts {
        authority: authority(&rotating()),
        regions: serde_json::from_value(json!([region("frankfurt", "frankfurt"), region("osaka", "osaka")])).unwrap(),
        sites: serde_json::from_value(json!([site("lyon", "lyon"), site("stranger", "stranger")])).unwrap(),
        endpoints: serde_json::from_value(endpoints.into()).unwrap(),
        certificates: serde_json::from_value(certificates.into()).unwrap(),
    }
}

/// One of each: done, behind, gone, unknown, only issued, delivered, never enrolled, expired, revoked.
fn fleet() -> Facts {
    let later = "2026-06-01T00:00:00Z";
    let revoked = json!({ "revoked": { "reason": "keyCompromise" } });
    facts(
        vec![
            endpoint("ct-1", true, Some((NEW, CURRENT))),
            endpoint("ct-2", false, Some((OLD, "before"))),
            endpoint("ct-3", true, Some((OLD, CURRENT))),
            endpoint("foreign", true, Some(("33", CURRENT))),
            endpoint("issued", false, None),
            endpoint("delivered", false, None),
            endpoint("bare", false, None),
            endpoint("expired", false, None),
            endpoint("revoked", true, Some((OLD, CURRENT))),
        ],
        vec![
            certificate("issued", json!({}), later),
            certificate("delivered", json!({ "secretName": "files" }), later),
            certificate("expired", json!({}), "2026-03-10T11:59:59Z"),
            certificate("revoked", revoked, later),
        ],
    )
}

fn cut(report: &Report, generation: u32) -> Vec<&str> {
    let dropped = report.if_dropped.iter().find(|dropped| dropped.generation == generation).unwrap();
    dropped.cut.iter().map(|cut| cut.name.as_str()).collect()
}

#[test]
fn a_rotation_is_told_site_by_site() {
    let report = report::of(&fleet(), now());
    check("ca-status.txt", &(text::status(&report, now()) + "\n"));
    check("ca-status.json", &(serde_json::to_string_pretty(&report).unwrap() + "\n"));
}

#[test]
fn every_endpoint_is_counted_once() {
    let report = report::of(&fleet(), now());
    let [site] = report.sites.as_slice() else { panic!("{:?}", report.sites) };
    assert_eq!(site.name, "lyon", "a site whose namespace the region does not admit is none");
    assert_eq!((site.newest, site.older, site.unknown, site.without), (1, 4, 1, 3));
    assert_eq!(site.newest + site.older + site.unknown + site.without, site.endpoints.len());
}

#[test]
fn who_holds_a_dropped_generation_or_does_not_trust_its_successor_is_cut() {
    let report = report::of(&fleet(), now());
    let first = ["lyon/ct-2", "lyon/ct-3", "lyon/delivered", "lyon/issued", "gateway dmz/frankfurt-gateway-1"];
    assert_eq!(cut(&report, 1), first);
    // Of the newest only who holds it; that others do not trust it yet harms nobody when it goes.
    assert_eq!(cut(&report, 2), ["lyon/ct-1", "gateway dmz/frankfurt-gateway-0"]);
}

#[test]
fn who_holds_the_new_generation_and_has_not_acknowledged_it_is_cut_with_the_old() {
    let report = report::of(&facts(vec![endpoint("a", true, Some((NEW, "before")))], Vec::new()), now());
    assert!(cut(&report, 1).contains(&"lyon/a"));
    let why = &report.if_dropped[0].cut[0].why;
    assert_eq!(why, &["it has not acknowledged the trust bundle with generation 2"]);
}

#[test]
fn an_authority_that_nobody_looked_at_is_told_so() {
    let mut facts = facts(Vec::new(), Vec::new());
    facts.authority.status = None;
    facts.regions.clear();
    let text = text::status(&report::of(&facts, now()), now());
    assert!(text.contains("the operator has not looked at it yet"), "{text}");
    assert!(text.contains("no site attaches"), "{text}");
}

#[test]
fn an_empty_digest_is_no_acknowledgement() {
    let mut facts = facts(vec![endpoint("a", true, Some((NEW, "")))], Vec::new());
    if let Some(status) = &mut facts.authority.status {
        status.trust_digest = Some(String::new());
    }
    let report = report::of(&facts, now());
    assert_eq!(report.sites[0].acknowledged, 0);
    assert!(!report.regions[0].gateways[1].acknowledged);
}

fn follow(before: &Value) -> Follow {
    Follow::new("r1", &authority(before))
}

fn line(turn: Turn) -> String {
    match turn {
        Turn::Goes { line } => line.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_followed_from_waiting_to_done() {
    let before = json!({ "issuing": 1, "generations": [generation(1, "Issuing", "First")] });
    let mut follow = follow(&before);
    assert!(line(follow.see(&authority(&before))).contains("has not taken it up"));
    assert_eq!(line(follow.see(&authority(&before))), "", "nothing is said twice");
    let mut status = rotating();
    status["generations"][1]["state"] = json!("NotYetTrusted");
    let said = line(follow.see(&authority(&status)));
    assert!(said.starts_with("generation 2 is NotYetTrusted; it waits for: every peer"), "{said}");
    assert!(said.ends_with("(3 of 6 done), blocked by lyon/ct-2 and 2 more"), "{said}");
    assert!(line(follow.see(&authority(&rotating()))).starts_with("generation 2 is Issuing"));
    status = rotating();
    status["generations"][0]["state"] = json!("Removed");
    status["generations"][1]["state"] = json!("Issuing");
    assert_eq!(follow.see(&authority(&status)), Turn::Done { generation: 2 });
}

#[test]
fn a_generation_of_an_earlier_rotation_is_not_taken_for_the_requested_one() {
    // At the moment of the request a scheduled rotation to 2 is under way.
    let mut status = rotating();
    status["lastRequest"] = Value::Null;
    status["generations"][1]["cause"] = json!("Schedule");
    let mut follow = follow(&status);
    assert!(line(follow.see(&authority(&status))).starts_with("it begins after the rotation to generation 2"));
    // Even when it is done, ours is not.
    status["generations"][0]["state"] = json!("Removed");
    status["lastRequest"] = json!("r1");
    assert!(line(follow.see(&authority(&status))).contains("makes the new generation"));
}

#[test]
fn an_overtaken_request_is_told() {
    let mut follow = follow(&json!({ "generations": [generation(1, "Issuing", "First")] }));
    let mut other = authority(&json!({}));
    if let Some(request) = &mut other.spec.rotate_request {
        request.id = "r2".to_owned();
    }
    assert!(matches!(follow.see(&other), Turn::Overtaken { why } if why.contains("r2")));
    let mut status = rotating();
    status["generations"][1]["state"] = json!("Removed");
    assert!(
        matches!(follow.see(&authority(&status)), Turn::Overtaken { why } if why.contains("generation 2 was removed"))
    );
}
