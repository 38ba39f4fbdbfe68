//! What each kind's status says in each case, as golden YAML.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::tunnel_endpoint::TunnelStatus;
use sallyport_api::{CertificateAuthority, TunnelCertificate};
use sallyport_core::level::AccessLevel;
use sallyport_pki::generation::Generation;
use sallyport_pki::inspect::Validity;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::problem::{Problem, judge_endpoint};
use sallyport_plan::region_config::Coverage;
use sallyport_plan::status::{self, DeviceFacts, EndpointFacts, GatewayFacts, Issued, RegionFacts, SiteFacts, Trouble};
use sallyport_plan::tunnels_cut;
use serde::Serialize;
use serde_json::json;

fn now() -> Timestamp {
    "2026-03-01T10:00:00.7Z".parse().unwrap()
}

#[derive(Default)]
struct Golden(String);

impl Golden {
    fn add(&mut self, case: &str, status: &impl Serialize) {
        self.0 += &format!("# {case}\n{}\n", serde_yaml::to_string(status).unwrap());
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("lyon", name)
}

fn waiting() -> tunnels_cut::Decision {
    tunnels_cut::decide(&BTreeMap::from([("eu-gateway-0".to_owned(), tunnels_cut::Gateway::Holds)]))
}

#[test]
fn sites() {
    let (mut golden, site) = (Golden::default(), common::site("lyon", "hospital", json!({ "suspended": true })));
    let facts = SiteFacts { judged: Ok(()), leaving: None, endpoints: 2, connected: 1, devices: 3 };
    golden.add("suspended, with a tunnel", &status::site(&site, &facts, now()));
    let leaving = SiteFacts { leaving: Some(waiting()), connected: 0, ..facts.clone() };
    golden.add("being deleted", &status::site(&site, &leaving, now()));
    let forbidden = Problem::RegionForbids { region: ObjectKey::new("dmz", "eu"), namespace: "lyon".into() };
    let facts = SiteFacts { judged: Err(forbidden), endpoints: 0, connected: 0, ..facts };
    golden.add("not admitted by the region", &status::site(&site, &facts, now()));
    common::check("status-site.yaml", &golden.0);
}

#[test]
fn endpoints() {
    let (mut golden, endpoint) = (Golden::default(), common::endpoint("lyon", "agent", "hospital"));
    let judged = judge_endpoint(&endpoint, &common::catalogue()).map(|(id, _, region)| (id, region));
    let tunnel = |gateway: &str| TunnelStatus {
        gateway: gateway.into(),
        since: "2026-03-01T09:00:00Z".into(),
        from: "192.0.2.7:40000".into(),
        agent_version: "0.1.0".into(),
    };
    let facts = EndpointFacts { judged, leaving: None, tunnels: vec![tunnel("eu-gateway-0"), tunnel("eu-gateway-1")] };
    golden.add("two tunnels", &status::endpoint(&endpoint, &facts, now()));
    let facts = EndpointFacts { judged: Err(Problem::SiteMissing(key("hospital"))), leaving: None, tunnels: vec![] };
    golden.add("no site", &status::endpoint(&endpoint, &facts, now()));
    common::check("status-endpoint.yaml", &golden.0);
}

#[test]
fn devices_and_policies() {
    let (mut golden, device) = (Golden::default(), common::device("lyon", "ct", "hospital", "agent", "10.0.0.1"));
    let fine = DeviceFacts { judged: Ok(AccessLevel::PermanentLimited), connected: true };
    golden.add("device, reachable", &status::device(&device, &fine, now()));
    let elsewhere = Problem::EndpointElsewhere { endpoint: key("agent"), site: "other".into() };
    for problem in [
        Problem::Address("127.0.0.1".parse::<sallyport_core::address::TargetAddress>().unwrap_err()),
        Problem::Duplicate { field: "spec.services", name: "ssh".into() },
        elsewhere,
        Problem::EndpointMissing(key("agent")),
        Problem::EndpointRefused(key("agent")),
        Problem::SiteRefused(key("hospital")),
    ] {
        let facts = DeviceFacts { judged: Err(problem), connected: false };
        golden.add("device, left out", &status::device(&device, &facts, now()).conditions[1]);
    }
    let policy = common::policy("all", json!({}));
    golden.add("policy", &status::policy(&policy, &Ok(Coverage { sites: 2, devices: 5 }), now()));
    golden.add("policy without a device", &status::policy(&policy, &Ok(Coverage::default()), now()));
    let wrong = Problem::Field { field: "spec.siteSelector", why: "\"a\": this operator needs values".into() };
    golden.add("policy, not understood", &status::policy(&policy, &Err(wrong), now()));
    common::check("status-device-policy.yaml", &golden.0);
}

#[test]
fn certificates_and_authorities() {
    let mut golden = Golden::default();
    let spec = json!({ "endpointRef": { "name": "agent" }, "secretName": "agent-tunnel" });
    let certificate: TunnelCertificate = common::object("TunnelCertificate", "lyon", "agent", spec);
    let validity = Validity { not_before: now(), not_after: now() + SignedDuration::from_hours(24) };
    let issued = Issued { serial: "4a".into(), validity, renew_at: now(), issuer_generation: 1 };
    golden.add("certificate, issued", &status::certificate(&certificate, &Ok(issued), now()));
    for trouble in [
        Trouble::NamespaceNotForSites("lyon".into()),
        Trouble::ForeignObject("Secret lyon/agent-tunnel".into()),
        Trouble::AuthorityNotReady(ObjectKey::new("dmz", "ca")),
        Trouble::NotPermitted { what: "apply Secret lyon/agent-tunnel".into(), why: "secrets is forbidden".into() },
    ] {
        golden.add("certificate, in trouble", &status::certificate(&certificate, &Err(trouble), now()));
    }
    let authority: CertificateAuthority =
        common::object("CertificateAuthority", "dmz", "ca", json!({ "subject": { "commonName": "EU" } }));
    let hours = SignedDuration::from_hours;
    let generation = Generation { number: 1, fingerprint: "ab".into(), not_before: now(), not_after: now() + hours(1) };
    golden.add("authority, signing", &status::authority(&authority, &Ok(generation.clone()), now()));
    golden.add("authority, ended", &status::authority(&authority, &Ok(generation), now() + hours(2)));
    let lost = Trouble::AuthorityLost(ObjectKey::new("dmz", "ca-ca"));
    golden.add("authority, key lost", &status::authority(&authority, &Err(lost), now()));
    common::check("status-certificate-authority.yaml", &golden.0);
}

#[test]
fn regions() {
    let (mut golden, region) = (Golden::default(), common::region(json!({})));
    let gateway = GatewayFacts {
        attached: true,
        version: Some("0.1.0".into()),
        configuration: Some(7),
        tunnels: 2,
        sessions: 1,
        ..GatewayFacts::default()
    };
    let facts = |second: GatewayFacts| RegionFacts {
        gateways: [("eu-gateway-0".into(), gateway.clone()), ("eu-gateway-1".into(), second)].into(),
        image: Some("registry.example/gateway:1".into()),
        sites: 1,
        devices: 2,
        outer_addresses: vec!["192.0.2.9".into()],
        ..RegionFacts::default()
    };
    golden.add("all gateways enforce", &status::region(&region, &facts(gateway.clone()), now()));
    golden.add("one is away", &status::region(&region, &facts(GatewayFacts::default()), now()));
    let refused = GatewayFacts { refused: Some("lyon/ct: address: no".into()), ..gateway.clone() };
    golden.add("one refuses", &status::region(&region, &facts(refused), now()));
    let owes =
        |seconds| GatewayFacts { owes_since: Some(now() - SignedDuration::from_secs(seconds)), ..gateway.clone() };
    golden.add("one owes an answer since a moment", &status::region(&region, &facts(owes(2)), now()).conditions);
    golden.add("one owes an answer for long", &status::region(&region, &facts(owes(11)), now()).conditions);
    for trouble in [
        Trouble::NamespaceNotForRegions("dmz".into()),
        Trouble::AuthorityMissing(ObjectKey::new("dmz", "ca")),
        Trouble::ForeignObject("Service dmz/eu-outer".into()),
    ] {
        let facts = RegionFacts { troubles: vec![trouble], ..facts(gateway.clone()) };
        golden.add("in trouble", &status::region(&region, &facts, now()).conditions);
    }
    common::check("status-region.yaml", &golden.0);
}

/// Converged is silent: the same facts give the same status later, too.
#[test]
fn a_status_changes_only_with_its_facts() {
    let mut site = common::site("lyon", "hospital", json!({}));
    let facts = SiteFacts { judged: Ok(()), leaving: None, endpoints: 1, connected: 1, devices: 1 };
    let first = status::site(&site, &facts, now());
    assert!(status::needs_write(None, &first) && status::ready_changed(None, &first).is_some());
    site.status = Some(first.clone());
    let later = now() + SignedDuration::from_hours(5);
    assert!(!status::needs_write(Some(&first), &status::site(&site, &facts, later)));
    let lost = status::site(&site, &SiteFacts { connected: 0, ..facts }, later);
    assert!(status::needs_write(Some(&first), &lost) && status::ready_changed(Some(&first), &lost).is_none());
    let times = |s: &sallyport_api::customer_site::CustomerSiteStatus| {
        s.conditions.iter().map(|c| c.last_transition_time.0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(times(&lost), ["2026-03-01T15:00:00Z", "2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"]);
}
