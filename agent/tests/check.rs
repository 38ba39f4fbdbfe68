//! `sallyport-agent check`, once for each thing that can be wrong between a hospital and its gateway.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_agent::check::{self, Finding, NAMES, Outcome, Report};
use sallyport_agent::surroundings::Surroundings;
use sallyport_pki::profile::Profile;
use support::*;
use tokio::net::TcpListener;

const PREFLIGHT: &str =
    r#"{"gateway":"gw-0","endpoint":"lyon/ct-room-2","suspended":false,"time":"2026-11-24T12:00:00Z"}"#;

async fn report(region: &Region, port: u16, surroundings: &Surroundings) -> Report {
    region.write("agent.yaml", &region.yaml(port));
    if !exists(&region.path("allow.yaml")) {
        region.write("allow.yaml", "allow: []");
    }
    check::run(&region.path("agent.yaml"), surroundings, |_| None).await
}

/// The one check that failed; all later ones must be skipped or fine, and the names complete and in order.
fn failure(report: &Report) -> &Finding {
    assert_eq!(report.findings.iter().map(|f| f.name).collect::<Vec<_>>(), NAMES);
    assert!(!report.passed());
    let failed: Vec<_> = report.findings.iter().filter(|f| f.outcome == Outcome::Failed).collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert!(failed[0].remedy.is_some());
    failed[0]
}

fn assert_failure(report: &Report, name: &str, seen: &str, remedy: &str) {
    let finding = failure(report);
    assert_eq!(finding.name, name, "{report}");
    assert!(finding.seen.contains(seen), "{report}");
    assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{report}");
}

async fn preflight_gateway(region: &Region) -> Gateway {
    Gateway::start(region, HOST, |_| Reply::Json(PREFLIGHT.to_owned())).await
}

#[tokio::test]
async fn when_all_is_well() {
    let region = Region::new();
    let gateway = preflight_gateway(&region).await;
    let report = report(&region, gateway.port, &surroundings()).await;
    assert!(report.passed(), "{report}");
    assert!(report.findings.iter().all(|f| f.outcome == Outcome::Ok), "{report}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["passed"], true);
    assert_eq!(json["checks"].as_array().unwrap().len(), NAMES.len());
    assert!(report.to_string().ends_with("all checks passed\n"));
}

#[tokio::test]
async fn the_files() {
    let region = Region::new();
    let nothing = check::run(&region.path("no.yaml"), &surroundings(), |_| None).await;
    assert_failure(&nothing, "configuration", "no.yaml", "--help");
    assert_eq!(nothing.findings.iter().filter(|f| f.outcome == Outcome::Skipped).count(), NAMES.len() - 1);

    let gateway = preflight_gateway(&region).await;
    region.write("allow.yaml", "allow: [{host: 10.0.0.0/8}]");
    assert_failure(&report(&region, gateway.port, &surroundings()).await, "allow-list", "ports", "allow");
    region.write("allow.yaml", "allow: []");

    let key = std::fs::read_to_string(region.path("tls.key")).unwrap();
    region.renew(Duration::from_secs(90 * 86400));
    region.write("tls.key", &key);
    let mixed = report(&region, gateway.port, &surroundings()).await;
    let failed: Vec<_> = mixed.findings.iter().filter(|f| f.outcome == Outcome::Failed).map(|f| f.name).collect();
    assert_eq!(failed.first(), Some(&"key fits certificate"), "{mixed}");

    region.write("tls.crt", "no certificate");
    assert_failure(&report(&region, gateway.port, &surroundings()).await, "certificate files", "tls.crt", "delivery");
    region.renew(Duration::from_secs(90 * 86400));
    std::fs::copy(region.path("tls.crt"), region.path("ca.crt")).unwrap();
    assert_failure(&report(&region, gateway.port, &surroundings()).await, "certificate files", "ca.crt", "trust");
}

#[tokio::test]
async fn the_certificate() {
    let region = Region::new();
    let gateway = preflight_gateway(&region).await;
    region.certificate(Profile::Operator, Duration::from_secs(90 * 86400));
    let names = report(&region, gateway.port, &surroundings()).await;
    assert_failure(&names, "certificate names an endpoint", "operator", "this site");

    region.renew(Duration::from_secs(5 * 86400));
    let soon = report(&region, gateway.port, &surroundings()).await;
    assert!(soon.passed(), "{soon}");
    assert_eq!(soon.findings[4].outcome, Outcome::Warning);

    let late = at(|| Timestamp::now() + SignedDuration::from_hours(24 * 30));
    let report = report(&region, gateway.port, &late).await;
    let failed: Vec<_> = report.findings.iter().filter(|f| f.outcome == Outcome::Failed).map(|f| f.name).collect();
    assert_eq!(failed, ["certificate valid now", "clock"], "{report}");
}

#[tokio::test]
async fn whether_it_will_renew_and_whom_it_trusts() {
    let region = Region::new();
    let gateway = preflight_gateway(&region).await;
    let finding = |report: &Report, name: &str| report.findings.iter().find(|f| f.name == name).unwrap().clone();

    let first = report(&region, gateway.port, &surroundings()).await;
    let renewal = finding(&first, "certificate renewal");
    assert_eq!(renewal.outcome, Outcome::Ok);
    for word in ["CN=test ca G1", &region.authority.fingerprint(), "renewed between", "writable"] {
        assert!(renewal.seen.contains(word), "{word}: {}", renewal.seen);
    }
    let trust = finding(&first, "trust");
    let digest = region.authority.bundle().digest();
    assert!(trust.seen.contains(&digest) && trust.seen.contains("no announcement"), "{}", trust.seen);

    // Two thirds of its life ago, and nothing happened.
    let late = at(|| Timestamp::now() + SignedDuration::from_hours(24 * 65));
    let overdue = finding(&report(&region, gateway.port, &late).await, "certificate renewal");
    assert_eq!(overdue.outcome, Outcome::Warning);
    assert!(overdue.seen.contains("due since") && overdue.remedy.unwrap().contains("journalctl"));

    // An announcement was taken, and then the file was changed by hand.
    let (second, _) = region.generation(2);
    let site = sallyport_agent::handler::Site::open(
        region.config(gateway.port, 1),
        surroundings(),
        sallyport_agent::metrics::Metrics::new(
            &sallyport_runtime::metrics::Registry::new(),
            &sallyport_runtime::admin::Readiness::new(),
        ),
    );
    site.unwrap().take_trust(&region.announce(7, &region.authority.bundle(), &region.authority)).unwrap();
    let taken = finding(&report(&region, gateway.port, &surroundings()).await, "trust");
    assert!(taken.outcome == Outcome::Ok && taken.seen.contains("announcement 7"), "{}", taken.seen);
    region.write("ca.crt", &region.authority.bundle().union(&second.bundle()).to_pem());
    let changed = finding(&report(&region, gateway.port, &surroundings()).await, "trust");
    assert!(changed.outcome == Outcome::Warning && changed.seen.contains(&digest), "{}", changed.seen);
    region.write("trust.newest", "seven");
    assert_failure(&report(&region, gateway.port, &surroundings()).await, "trust", "trust.newest", "enrol");
    std::fs::remove_file(region.path("trust.newest")).unwrap();

    // The CA changed while this agent was away.
    region.write("ca.crt", &second.certificate_pem());
    let orphan = finding(&report(&region, gateway.port, &surroundings()).await, "certificate renewal");
    assert!(orphan.outcome == Outcome::Warning && orphan.remedy.unwrap().contains("enrol again"));
    region.write("ca.crt", &region.authority.certificate_pem());

    // Files that cannot be replaced, which only matters if the agent is to replace them.
    let name = "k".repeat(255);
    std::fs::copy(region.path("tls.key"), region.path(&name)).unwrap();
    for (renew, outcome) in [(true, Outcome::Warning), (false, Outcome::Ok)] {
        let yaml = region.yaml(gateway.port).replace("tls.key", &name) + &format!("renew: {renew}\n");
        region.write("agent.yaml", &yaml);
        let report = check::run(&region.path("agent.yaml"), &surroundings(), |_| None).await;
        assert_eq!(finding(&report, "certificate renewal").outcome, outcome, "{report}");
    }
}

#[tokio::test]
async fn a_clock_that_is_behind() {
    let region = Region::new();
    let gateway = preflight_gateway(&region).await;
    let early = at(|| Timestamp::now() - SignedDuration::from_hours(2));
    let report = report(&region, gateway.port, &early).await;
    let valid = &report.findings[4];
    assert_eq!((valid.name, valid.outcome), ("certificate valid now", Outcome::Failed));
    assert!(valid.remedy.as_ref().unwrap().contains("clock"), "{report}");
}

#[tokio::test]
async fn name_and_port() {
    let region = Region::new();
    let nowhere = Surroundings::new(Timestamp::now, |_| Box::pin(async { Err(std::io::Error::other("NXDOMAIN")) }));
    assert_failure(&report(&region, 443, &nowhere).await, "gateway name resolves", "NXDOMAIN", "gateway.address");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert_failure(&report(&region, closed, &surroundings()).await, "gateway port reachable", "refused", "closed");
}

#[tokio::test]
async fn a_middlebox_that_opens_tls() {
    let region = Region::new();
    let middlebox = Region::new();
    let gateway = Gateway::start_with(&region, middlebox.door(HOST), |_| Reply::Json(PREFLIGHT.to_owned())).await;
    let report = report(&region, gateway.port, &surroundings()).await;
    assert_failure(&report, "tls handshake", "issued by CN=test ca", "inspection");
}

#[tokio::test]
async fn another_server_of_the_vendor() {
    let region = Region::new();
    let gateway = Gateway::start(&region, "inner.example.test", |_| Reply::Json(PREFLIGHT.to_owned())).await;
    let report = report(&region, gateway.port, &surroundings()).await;
    assert_failure(&report, "tls handshake", "not valid for outer.example.test", "gateway.host");
}

#[tokio::test]
async fn something_that_speaks_no_tls() {
    use tokio::io::AsyncWriteExt;
    let region = Region::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_failure(&report(&region, port, &surroundings()).await, "tls handshake", "tls", "captive portal");
}

#[tokio::test]
async fn a_gateway_that_refuses() {
    let region = Region::new();
    for (status, reason, remedy) in
        [(403, "suspended", "suspended"), (403, "unknownEndpoint", "no such endpoint"), (503, "draining", "again")]
    {
        let gateway = Gateway::start(&region, HOST, move |_| Reply::Refuse(status, reason)).await;
        let report = report(&region, gateway.port, &surroundings()).await;
        assert_failure(&report, "gateway accepts this endpoint", reason, remedy);
    }
    let suspended = PREFLIGHT.replace("false", "true");
    let gateway = Gateway::start(&region, HOST, move |_| Reply::Json(suspended.clone())).await;
    let report = report(&region, gateway.port, &surroundings()).await;
    assert_failure(&report, "gateway accepts this endpoint", "suspended", "service desk");
}

#[tokio::test]
async fn a_gateway_of_another_region_refuses_the_certificate_after_the_handshake() {
    let region = Region::new();
    let other = Region::new();
    // It trusts another CA for its clients, but shows a certificate that this agent trusts.
    let gateway = Gateway::start_with(&other, region.door(HOST), |_| Reply::Json(PREFLIGHT.to_owned())).await;
    let report = report(&region, gateway.port, &surroundings()).await;
    assert_failure(&report, "gateway accepts this endpoint", "", "new one");
}
