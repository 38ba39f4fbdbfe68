//! Objects to configuration: what may be in it is, what has a problem is left out and says why.

#![allow(clippy::unwrap_used)]

mod common;

use common::{catalogue, device, endpoint, objects, policy, region, site};
use proptest::prelude::*;
use sallyport_core::level::AccessLevel;
use sallyport_plan::catalogue::{Catalogue, ObjectKey};
use sallyport_plan::problem::{Problem, judge_device, judge_endpoint, judge_policy, judge_site};
use sallyport_plan::region_config::{Authorities, Compiled, compile};
use serde_json::json;

fn compiled(all: &Catalogue) -> Compiled {
    let key = ObjectKey::new("dmz", "eu");
    let region = all.regions.get(&key).cloned().unwrap_or_else(|| std::sync::Arc::new(region(json!({}))));
    compile(&key, &region, Authorities::NoConfigMap, 7, all)
}

#[test]
fn a_whole_region() {
    let compiled = compiled(&catalogue());
    let config = &compiled.config;
    let device = &config.devices[&"lyon/ct".parse().unwrap()];
    assert_eq!((device.level, device.product.as_str()), (AccessLevel::PermanentLimited, "Example CT (7)"));
    assert!(config.endpoints.contains_key(&"lyon/agent".parse().unwrap()));
    assert_eq!(config.policies[&"dmz/all".parse().unwrap()].devices.len(), 1);
    assert_eq!(
        config.settings.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["eu-gateway-0", "eu-gateway-1"]
    );
    assert_eq!((config.settings.offers_period, config.settings.engineer_authorities.as_str()), (7, ""));
    assert_eq!(compiled.offers[&"lyon/agent".parse().unwrap()][0].services[0].port, 22);
    let coverage = compiled.coverage[&"dmz/all".parse().unwrap()];
    assert_eq!((coverage.sites, coverage.devices), (1, 1));
    assert!(compiled.settings_problem.is_some(), "no engineers' authorities");
}

#[test]
fn a_suspended_site_suspends_its_endpoints() {
    let all = Catalogue { sites: objects(vec![site("lyon", "hospital", json!({ "suspended": true }))]), ..catalogue() };
    assert!(compiled(&all).config.endpoints[&"lyon/agent".parse().unwrap()].suspended);
}

#[test]
fn selectors_decide_which_devices_a_policy_covers() {
    let mut all = catalogue();
    let mut other = device("lyon", "mr", "hospital", "agent", "10.77.0.11");
    other.metadata.labels = Some([("modality".to_owned(), "mr".to_owned())].into());
    all.devices = objects(vec![device("lyon", "ct", "hospital", "agent", "10.77.0.10"), other]);
    let none = json!({ "siteSelector": { "matchLabels": { "market": "nowhere" } } });
    let mr = json!({ "deviceSelector": { "matchExpressions": [{ "key": "modality", "operator": "In", "values": ["mr"] }] } });
    all.policies = objects(vec![policy("none", none), policy("mr", mr)]);
    let config = compiled(&all).config;
    assert!(config.policies[&"dmz/none".parse().unwrap()].devices.is_empty());
    let covered = &config.policies[&"dmz/mr".parse().unwrap()].devices;
    assert_eq!(covered.iter().map(ToString::to_string).collect::<Vec<_>>(), ["lyon/mr"]);
}

/// Every problem: what causes it, its reason, and that the object is left out.
#[test]
fn each_problem_is_named_and_leaves_the_object_out() {
    let deleted = |all: &mut Catalogue| {
        let mut site = site("lyon", "hospital", json!({}));
        site.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        all.sites = objects(vec![site]);
    };
    type Change = Box<dyn Fn(&mut Catalogue)>;
    let with_device =
        |d: fn() -> sallyport_api::Device| -> Change { Box::new(move |all| all.devices = objects(vec![d()])) };
    let cases: Vec<(Change, &str)> = vec![
        (with_device(|| device("lyon", "ct", "hospital", "agent", "127.0.0.1")), "AddressRefused"),
        (with_device(|| device("lyon", "ct", "hospital", "gone", "10.0.0.1")), "EndpointNotFound"),
        (with_device(|| device("lyon", "ct", "gone", "agent", "10.0.0.1")), "SiteNotFound"),
        (with_device(|| device("lyon", "ct.1", "hospital", "agent", "10.0.0.1")), "Invalid"),
        (
            with_device(|| {
                let mut device = device("lyon", "ct", "hospital", "agent", "10.0.0.1");
                device.spec.services.push(device.spec.services[0].clone());
                device
            }),
            "Duplicate",
        ),
        (
            Box::new(|all| {
                all.sites = objects(vec![site("lyon", "hospital", json!({})), site("lyon", "other", json!({}))]);
                all.endpoints = objects(vec![endpoint("lyon", "agent", "other")]);
            }),
            "EndpointOfOtherSite",
        ),
        (Box::new(|all| all.regions = objects(vec![])), "SiteNotUsable"),
        (Box::new(|all| all.regions = objects(vec![region(json!({ "allowedSites": null }))])), "SiteNotUsable"),
        (Box::new(deleted), "SiteNotUsable"),
    ];
    for (change, reason) in cases {
        let mut all = catalogue();
        change(&mut all);
        let device = all.devices.values().next().unwrap();
        let problem = judge_device(device, &all).unwrap_err();
        assert_eq!(problem.reason(), reason, "{problem}");
        assert!(compiled(&all).config.devices.is_empty(), "{reason}");
    }
}

#[test]
fn sites_endpoints_and_policies_have_their_own_problems() {
    let mut all = catalogue();
    all.regions = objects(vec![]);
    assert!(matches!(judge_site(&site("lyon", "hospital", json!({})), &all), Err(Problem::RegionMissing(_))));
    assert!(matches!(judge_policy(&policy("p", json!({})), &all), Err(Problem::RegionMissing(_))));
    assert!(matches!(judge_endpoint(&endpoint("lyon", "a", "hospital"), &all), Err(Problem::SiteRefused(_))));
    assert!(matches!(judge_endpoint(&endpoint("lyon", "a", "gone"), &all), Err(Problem::SiteMissing(_))));
    let all = Catalogue { regions: objects(vec![region(json!({ "allowedSites": null }))]), ..catalogue() };
    assert!(matches!(judge_site(&site("lyon", "hospital", json!({})), &all), Err(Problem::RegionForbids { .. })));
    let own = site("dmz", "own", json!({}));
    assert!(judge_site(&own, &all).is_ok(), "a region's own namespace always may");
    for (spec, field) in [
        (json!({ "siteSelector": { "matchExpressions": [{ "key": "a", "operator": "Like" }] } }), "spec.siteSelector"),
        (json!({ "subjects": { "users": ["a b"] } }), "spec.subjects.users"),
        (json!({ "services": ["A"] }), "spec.services"),
        (json!({ "maxSession": "0s" }), "spec.maxSession"),
    ] {
        let problem = judge_policy(&policy("p", spec), &all).unwrap_err();
        assert!(problem.to_string().starts_with(field), "{problem}");
    }
}

#[test]
fn it_heals_when_the_reference_appears() {
    let mut all = catalogue();
    let sites = std::mem::take(&mut all.sites);
    assert!(compiled(&all).config.endpoints.is_empty());
    all.sites = sites;
    assert_eq!(compiled(&all).config.endpoints.len(), 1);
}

#[test]
fn unreadable_engineers_authorities_let_nobody_in() {
    let (all, key) = (catalogue(), ObjectKey::new("dmz", "eu"));
    let region = &all.regions[&key];
    for found in
        [Authorities::NoConfigMap, Authorities::NoKey, Authorities::Found(""), Authorities::Found("-----BEGIN x")]
    {
        let compiled = compile(&key, region, found, 0, &all);
        assert_eq!(compiled.config.settings.engineer_authorities, "");
        let problem = compiled.settings_problem.unwrap().to_string();
        assert!(problem.starts_with("spec.engineers.clientCertificates.authoritiesRef"), "{problem}");
    }
}

/// Texts that a schema would refuse, and that may come all the same: from an older schema, or none.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("hospital".to_owned()),
        Just("agent".to_owned()),
        Just(String::new()),
        Just("../../x".to_owned()),
        Just("a\0b\n${x}".to_owned()),
        Just("é".repeat(300)),
        "[a-z]{1,3}",
        ".{0,20}",
    ]
}

proptest! {
    /// Whatever the texts are, nothing panics, and what is in the configuration survives the wire.
    #[test]
    fn hostile_texts_are_judged_and_never_sent(
        names in prop::collection::vec(hostile(), 12), address in hostile(), service in hostile(), port in any::<u16>(),
    ) {
        let n = |i: usize| names[i].as_str();
        let mut ct = device(n(0), n(1), n(2), n(3), &address);
        ct.spec.services[0].name = service;
        ct.spec.services[0].port = port;
        let all = Catalogue {
            regions: objects(vec![region(json!({ "allowedSites": { "namespaces": [n(0), n(4)] } }))]),
            sites: objects(vec![site(n(0), n(2), json!({})), site("lyon", "hospital", json!({}))]),
            endpoints: objects(vec![endpoint(n(0), n(3), n(2)), endpoint(n(4), n(5), n(6))]),
            devices: objects(vec![ct]),
            policies: objects(vec![policy(n(7), json!({ "services": [n(8)], "subjects": { "users": [n(9)], "groups": [n(10)] } }))]),
        };
        let config = compiled(&all).config;
        for change in sallyport_core::config::RegionConfig::default().diff(&config) {
            let wire = sallyport_control::convert::to_wire(&change);
            prop_assert_eq!(sallyport_control::convert::from_wire(wire).unwrap(), change);
        }
    }
}
