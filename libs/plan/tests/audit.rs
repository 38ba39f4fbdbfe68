//! Audit records: what objects say about them, how long they are kept, and what status says.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::{catalogue, region, site};
use jiff::{SignedDuration, Timestamp};
use sallyport_api::audit::LogHealth;
use sallyport_api::{CustomerSite, DmzRegion};
use sallyport_plan::audit::facts::{
    Archive, AuditFacts, Erased, Evidence, EvidenceKind, GatewayAudit, SiteAuditFacts, SiteLog,
};
use sallyport_plan::audit::{auditors, is_accepted, pending_erasures, webhook, witnesses};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::region_config::{Authorities, compile};
use sallyport_plan::retention;
use sallyport_plan::status::{self, GatewayFacts, RegionFacts, SiteFacts};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-03-01T10:00:00.7Z".parse().unwrap()
}

fn with(audit: Value) -> DmzRegion {
    region(json!({ "audit": audit }))
}

fn hospital(audit: Value) -> CustomerSite {
    site("lyon", "hospital", json!({ "audit": audit }))
}

/// NAME `witness.example/w`, key 04 and then 32 times 01.
const VKEY: &str = "witness.example/w+46d9ff8c+BAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

fn witness(url: &str, key: &str) -> Value {
    json!({ "witnesses": [{ "name": "w", "url": url, "verifierKey": key }] })
}

#[test]
fn auditors_are_in_the_settings_and_nobody_is_where_they_cannot_be_read() {
    let of = |region: &DmzRegion| {
        compile(&ObjectKey::new("dmz", "eu"), region, Authorities::NoConfigMap, 0, &catalogue())
            .config
            .settings
            .auditors
    };
    assert_eq!(of(&region(json!({}))), Default::default());
    let named = with(json!({ "auditors": { "users": ["Ada@vendor.example"], "groups": ["Audit"] } }));
    assert_eq!(of(&named).users, ["ada@vendor.example".parse().unwrap()].into());
    assert_eq!(of(&named).groups, ["Audit".to_owned()].into());
    for (wrong, name) in [
        (json!({ "users": ["a b"], "groups": ["Audit"] }), "spec.audit.auditors.users"),
        (json!({ "groups": ["Audit", ""] }), "spec.audit.auditors.groups"),
    ] {
        let wrong = with(json!({ "auditors": wrong }));
        assert_eq!(of(&wrong), Default::default());
        let problem = auditors(&wrong).unwrap_err().to_string();
        assert!(problem.starts_with(name) && problem.contains("nobody reads"), "{problem}");
    }
}

#[test]
fn a_witness_that_cannot_be_is_left_out_and_named() {
    let fine = with(witness("https://witness.example/add", VKEY));
    assert_eq!((witnesses(&fine).0.len(), witnesses(&fine).1), (1, None));
    let altered = VKEY.replace("AQEB", "AQEC");
    let key_of_a_log = "a+00000000+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    for (url, key, name) in [
        ("http://witness.example", VKEY, "spec.audit.witnesses.url"),
        ("https://u@witness.example", VKEY, "spec.audit.witnesses.url"),
        ("https://witness.example", altered.as_str(), "spec.audit.witnesses.verifierKey"),
        ("https://witness.example", key_of_a_log, "spec.audit.witnesses.verifierKey"),
        ("https://witness.example", "", "spec.audit.witnesses.verifierKey"),
    ] {
        let region = with(witness(url, key));
        let (usable, problem) = witnesses(&region);
        let problem = problem.unwrap().to_string();
        assert!(usable.is_empty() && problem.starts_with(name) && problem.contains("\"w\""), "{problem}");
    }
    let mut twice = fine.clone();
    twice.spec.audit.witnesses.push(fine.spec.audit.witnesses[0].clone());
    let (usable, problem) = witnesses(&twice);
    assert_eq!((usable.len(), problem.unwrap().reason()), (1, "Duplicate"));
}

#[test]
fn a_webhook_is_a_server_by_name() {
    assert_eq!(webhook(&hospital(json!({}))).unwrap(), None);
    let fine = hospital(json!({ "webhook": { "url": "https://audit.hospital.example/sallyport" } }));
    assert_eq!(webhook(&fine).unwrap().unwrap().every_minutes, 1440);
    for url in
        ["http://a.example", "https://u:p@a.example", "https://10.0.0.1/", "https://0x7f.1", "https://a.example?q"]
    {
        let problem = webhook(&hospital(json!({ "webhook": { "url": url } }))).unwrap_err().to_string();
        assert!(problem.starts_with("spec.audit.webhook.url"), "{problem}");
    }
}

#[test]
fn the_site_decides_how_long_in_both_directions_and_a_hold_stops_everything() {
    let region = with(json!({ "retention": { "years": 10 } }));
    let years = |audit| retention::of(Some(&hospital(audit)), &region).years;
    assert_eq!(retention::of(None, &common::region(json!({}))).years, 6);
    assert_eq!(years(json!({})), 10);
    assert_eq!(years(json!({ "retention": { "years": 2, "legalBasis": "contract 7" } })), 2);
    assert_eq!(years(json!({ "retention": { "years": 30, "legalBasis": "contract 7" } })), 30);
    assert_eq!(years(json!({ "retention": { "years": 2, "legalBasis": " " } })), 10, "never shorter without its basis");
    assert_eq!(years(json!({ "retention": { "years": 0, "legalBasis": "x" } })), 1, "never at once");
    let own = hospital(json!({ "retention": { "years": 2, "legalBasis": "contract 7" } }));
    let kept = retention::of(Some(&own), &region);
    assert_eq!(kept.legal_basis.as_deref(), Some("contract 7"));
    assert_eq!(kept.deletes_before(now()).unwrap().to_string(), "2024-03-01T10:00:00.7Z");
    let held = hospital(json!({ "legalHold": { "reason": "case 12", "since": "2026-01-01T00:00:00Z" } }));
    let held = retention::of(Some(&held), &region);
    assert_eq!((held.held.as_deref(), held.deletes_before(now())), (Some("case 12"), None));
}

fn log() -> GatewayAudit {
    GatewayAudit {
        incarnation: "0a1b2c3d".into(),
        archived_through: 40,
        archived_at: Some(now()),
        newest: 43,
        behind_since: Some(now()),
        health: Some(LogHealth::Open),
        volume_used_percent: Some(33),
    }
}

fn facts(log: GatewayAudit) -> RegionFacts {
    let gateway = GatewayFacts { attached: true, configuration: Some(7), ..GatewayFacts::default() };
    let audit = AuditFacts {
        verifier_key: Some("sallyport.dev/dmz/eu+00000000+AQ".into()),
        archive: Archive::Ready,
        gateways: [("eu-gateway-0".to_owned(), log)].into(),
        ..AuditFacts::default()
    };
    RegionFacts { gateways: [("eu-gateway-0".into(), gateway)].into(), audit: Some(audit), ..RegionFacts::default() }
}

/// Type, status and reason of each condition.
fn said(conditions: &[sallyport_api::common::Condition]) -> Vec<String> {
    conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
}

#[test]
fn a_region_says_what_is_archived_and_what_did_not_fit() {
    let erasure = json!({ "id": "e1", "subject": "ab".repeat(32), "legalBasis": "Art. 17", "requestedAt": "2026-02-01T00:00:00Z" });
    let mut eu = with(json!({ "erasures": [erasure] }));
    assert_eq!(pending_erasures(&eu).count(), 1);
    let mut known = facts(log());
    let audit = known.audit.as_mut().unwrap();
    audit.erased = BTreeMap::from([("e1".to_owned(), Erased { keys: 3, at: now() })]);
    let mut golden = String::new();
    let mut add = |case: &str, region: &DmzRegion, facts: &RegionFacts| {
        let status = status::region(region, facts, now());
        golden += &format!("# {case}\n{}", serde_yaml::to_string(&status.audit).unwrap());
        golden += &format!("{}\n", serde_yaml::to_string(&status.conditions).unwrap());
        status
    };
    let status = add("collected, and one person erased", &eu, &known);
    eu.status = Some(status.clone());
    assert_eq!(pending_erasures(&eu).count(), 0);
    assert_eq!(
        status::region(&eu, &RegionFacts { audit: None, ..known.clone() }, now()),
        status,
        "nothing is forgotten"
    );
    let restarted = AuditFacts { gateways: BTreeMap::new(), archive: Archive::Ready, ..AuditFacts::default() };
    let restarted = RegionFacts { audit: Some(restarted), ..known.clone() };
    assert_eq!(status::region(&eu, &restarted, now()).audit, status.audit, "what it has not heard of yet stays");
    let mut forked = known.clone();
    forked.audit.as_mut().unwrap().evidence = vec![Evidence {
        gateway: "eu-gateway-0".into(),
        incarnation: "0a1b2c3d".into(),
        kind: EvidenceKind::ForkFound,
        what: "record 17 of log region differs from the archived one (dmz/eu/evidence/1)".into(),
    }];
    add("a fork", &eu, &forked);
    eu.spec.audit.accepted_forks = vec![
        serde_json::from_value(json!({ "gateway": "eu-gateway-0", "incarnation": "0a1b2c3d", "reason": "restored" }))
            .unwrap(),
    ];
    assert!(is_accepted(&eu, "eu-gateway-0", "0a1b2c3d") && !is_accepted(&eu, "eu-gateway-1", "0a1b2c3d"));
    assert!(said(&status::region(&eu, &forked, now()).conditions).contains(&"AuditIntact True Verified".to_owned()));
    add("sealed", &eu, &facts(GatewayAudit { health: Some(LogHealth::Sealed), ..log() }));
    common::check("status-region-audit.yaml", &golden);
}

#[test]
fn why_records_are_not_in_the_archive() {
    let archive = |archive| {
        let mut facts = facts(log());
        facts.audit.as_mut().unwrap().archive = archive;
        facts
    };
    let late =
        |minutes| facts(GatewayAudit { behind_since: Some(now() - SignedDuration::from_mins(minutes)), ..log() });
    let filled = |percent| facts(GatewayAudit { volume_used_percent: Some(percent), ..log() });
    for (facts, expected) in [
        (archive(Archive::Missing), "AuditArchived False NoArchive"),
        (archive(Archive::Unreachable { why: "timeout".into() }), "AuditArchived False ArchiveUnreachable"),
        (late(15), "AuditArchived False Behind"),
        (late(14), "AuditArchived True Collected"),
        (filled(76), "AuditArchived False VolumeFilling"),
        (filled(75), "AuditArchived True Collected"),
    ] {
        let conditions = status::region(&region(json!({})), &facts, now()).conditions;
        assert_eq!(said(&conditions)[0], expected);
    }
}

#[test]
fn a_site_says_which_logs_it_has_and_whether_they_were_delivered() {
    let log = |n: i64| SiteLog {
        gateway: "eu-gateway-0".into(),
        incarnation: format!("{n:08x}"),
        size: 7,
        checkpoint_at: now() + SignedDuration::from_secs(n),
    };
    let known = SiteAuditFacts { logs: (0..40).map(log).collect(), ..SiteAuditFacts::default() };
    let of = |site: &CustomerSite, audit| {
        let facts = SiteFacts {
            judged: Ok(()),
            leaving: None,
            endpoints: 1,
            connected: 1,
            devices: 1,
            suspension: None,
            audit: Some(audit),
        };
        status::site(site, &facts, now())
    };
    let plain = of(&hospital(json!({})), known.clone());
    assert_eq!(plain.audit.as_ref().unwrap().logs.len(), 32, "bounded");
    assert_eq!(plain.audit.unwrap().logs[0].incarnation, "00000008", "the newest ones");
    assert!(!said(&plain.conditions).iter().any(|c| c.starts_with("AuditDelivered")), "no webhook");
    let mut hook = hospital(json!({ "webhook": { "url": "https://audit.hospital.example/" } }));
    let first = |status: &sallyport_api::customer_site::CustomerSiteStatus| said(&status.conditions)[0].clone();
    assert_eq!(first(&of(&hook, known.clone())), "AuditDelivered False NothingDelivered");
    let failed = SiteAuditFacts { failed: Some("status 503".into()), ..known.clone() };
    assert_eq!(first(&of(&hook, failed)), "AuditDelivered False DeliveryFailed");
    let took = of(&hook, SiteAuditFacts { last_delivered: Some(now()), ..known.clone() });
    assert_eq!(first(&took), "AuditDelivered True Delivered");
    hook.status = Some(took);
    assert_eq!(first(&of(&hook, known.clone())), "AuditDelivered True Delivered", "a restart forgets nothing");
    let wrong = hospital(json!({ "webhook": { "url": "https://10.0.0.1/" } }));
    assert_eq!(first(&of(&wrong, known)), "AuditDelivered False Invalid");
}
