//! What each kind's status says in each case, as golden YAML.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::dmz_region::GatewayCertificate;
use sallyport_api::tunnel_endpoint::{AgentStatus, TunnelStatus};
use sallyport_core::level::AccessLevel;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::enforcement::{self, Gateway, Progress};
use sallyport_plan::problem::{Problem, judge_endpoint};
use sallyport_plan::region_config::Coverage;
use sallyport_plan::status::{
    self, DeviceFacts, EndpointFacts, GatewayFacts, ListsFacts, RegionFacts, SiteFacts, Trouble,
};
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

fn suspension(state: Gateway) -> Progress {
    enforcement::progress(None, Some(now()), &BTreeMap::from([("eu-gateway-0".to_owned(), state)]), now())
}

fn waiting() -> tunnels_cut::Decision {
    tunnels_cut::decide(&BTreeMap::from([("eu-gateway-0".to_owned(), tunnels_cut::Gateway::Holds)]))
}

#[test]
fn sites() {
    let (mut golden, site) = (Golden::default(), common::site("lyon", "hospital", json!({ "suspended": true })));
    let owes = Some(suspension(Gateway::Owes));
    let facts = SiteFacts {
        judged: Ok(()),
        leaving: None,
        endpoints: 2,
        connected: 1,
        devices: 3,
        suspension: owes,
        audit: None,
    };
    golden.add("suspended, with a tunnel", &status::site(&site, &facts, now()));
    let enforced = SiteFacts {
        suspension: Some(suspension(Gateway::Enforces { since: now() + SignedDuration::from_millis(212) })),
        connected: 0,
        ..facts.clone()
    };
    golden.add("suspended, and enforced", &status::site(&site, &enforced, now()));
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
    let proved = |issuer: &str, digest: &str| AgentStatus {
        serial: format!("4a-{issuer}"),
        issuer: issuer.into(),
        not_after: "2026-05-01T00:00:00Z".into(),
        trust_digest: digest.into(),
    };
    let facts = EndpointFacts {
        judged,
        leaving: None,
        tunnels: vec![tunnel("eu-gateway-0"), tunnel("eu-gateway-1")],
        proved: vec![proved("ca2", "new"), proved("ca1", "old")],
        current: Some(("ca2".into(), "new".into())),
    };
    let status = status::endpoint(&endpoint, &facts, now());
    golden.add("two tunnels, one of them still with the certificate and the bundle from before", &status);
    let (mut away, proved) = (endpoint.clone(), Vec::new());
    away.status = Some(status);
    let facts = EndpointFacts { tunnels: vec![], proved, ..facts };
    golden.add("away: what it proved last stays", &status::endpoint(&away, &facts, now()));
    let facts = EndpointFacts { judged: Err(Problem::SiteMissing(key("hospital"))), current: None, ..facts };
    golden.add("no site", &status::endpoint(&endpoint, &facts, now()));
    common::check("status-endpoint.yaml", &golden.0);
}

#[test]
fn devices_and_policies() {
    let (mut golden, device) = (Golden::default(), common::device("lyon", "ct", "hospital", "agent", "10.0.0.1"));
    let fine = DeviceFacts { judged: Ok(AccessLevel::PermanentLimited), connected: true, suspension: None };
    golden.add("device, reachable", &status::device(&device, &fine, now()));
    let enforces = Gateway::Enforces { since: now() + SignedDuration::from_millis(48) };
    let suspended = DeviceFacts { suspension: Some(suspension(enforces)), ..fine };
    golden.add("device, suspended", &status::device(&device, &suspended, now()));
    let elsewhere = Problem::EndpointElsewhere { endpoint: key("agent"), site: "other".into() };
    for problem in [
        Problem::Address("127.0.0.1".parse::<sallyport_core::address::TargetAddress>().unwrap_err()),
        Problem::Duplicate { field: "spec.services", name: "ssh".into() },
        elsewhere,
        Problem::EndpointMissing(key("agent")),
        Problem::EndpointRefused(key("agent")),
        Problem::SiteRefused(key("hospital")),
    ] {
        let facts = DeviceFacts { judged: Err(problem), connected: false, suspension: None };
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
fn regions() {
    let (mut golden, region) = (Golden::default(), common::region(json!({})));
    let gateway = GatewayFacts {
        attached: true,
        version: Some("0.1.0".into()),
        configuration: Some(7),
        tunnels: 2,
        sessions: 1,
        trust_digest: Some("d1".into()),
        certificates: Some(vec![GatewayCertificate {
            purpose: "outer".into(),
            serial: "4c".into(),
            issuer: "ca2".into(),
            not_after: "2026-04-01T00:00:00Z".into(),
        }]),
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
    let refused = GatewayFacts { trust_refused: Some("sequence 3 is below 4".into()), ..gateway.clone() };
    golden.add("one refuses the trust", &status::region(&region, &facts(refused), now()).conditions);
    let lists = |alarm: i64| {
        let [end, alarm] = [3, alarm].map(|hours| now() + SignedDuration::from_hours(hours));
        RegionFacts { lists: Some(ListsFacts { end, alarm }), ..facts(gateway.clone()) }
    };
    golden.add("its revocation lists end soon", &status::region(&region, &lists(-1), now()).conditions);
    assert_eq!(status::region(&region, &lists(1), now()), status::region(&region, &facts(gateway.clone()), now()));
    let mut begun = region.clone();
    begun.status = Some(status::region(&region, &facts(gateway.clone()), now()));
    let unknown = GatewayFacts { trust_digest: None, certificates: None, ..gateway.clone() };
    let remembered = status::region(&begun, &facts(unknown), now());
    assert_eq!(Some(&remembered), begun.status.as_ref(), "an operator that has just begun forgets nothing");
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
    let facts = SiteFacts {
        judged: Ok(()),
        leaving: None,
        endpoints: 1,
        connected: 1,
        devices: 1,
        suspension: None,
        audit: None,
    };
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
