//! From the engineer to the device and back, and everything that must stop it.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use sallyport_audit::Event;
use sallyport_audit::event::SessionEnded;
use sallyport_core::session::EndReason;
use sallyport_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::{Agent, EngineerClient, Operator, Region, WITHIN, audit};

async fn echo(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    tokio::time::timeout(WITHIN, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_carries_bytes_and_its_record_comes_first() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    assert_eq!(agent.gateway, "frankfurt-gateway-0");
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let (_, devices) = ada.call(Method::GET, "/v1/devices", None).await.unwrap();
    assert_eq!(devices["devices"][0]["id"], "lyon/ct");
    assert_eq!(devices["devices"][0]["connected"], true);

    let session = ada.opened("lyon/ct").await;
    assert!(audit(&region, 0).iter().any(|e| matches!(e, Event::SessionStarted(e) if e.session.as_str() == session)));
    let (mut one, mut two) = (ada.stream(&session).await.unwrap(), ada.stream(&session).await.unwrap());
    echo(&mut one, &vec![7; 300_000]).await;
    echo(&mut two, b"hello").await;
    assert_eq!(agent.script.targets.lock().unwrap()[0].service.as_str(), "console");
    operator.reported(|report| report.sessions == 1).await;

    let (status, ended) = ada.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await.unwrap();
    assert_eq!((status, ended["state"].as_str()), (StatusCode::OK, Some("ended")));
    assert_eq!(ended["bytesOut"], 300_005);
    assert_eq!(one.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(ada.stream(&session).await.err().unwrap(), "410 sessionEnded");
    let ended = audit(&region, 0).into_iter().find_map(|event| match event {
        Event::SessionEnded(e) => Some((e.reason, e.verified, e.bytes_in)),
        _ => None,
    });
    assert_eq!(ended, Some((EndReason::EndedByEngineer, true, 300_005)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_the_tunnel_reaches_it_through_its_peer() {
    let region = Region::new(2);
    let (zero, _operator0) = region.ready(0, &region.config()).await;
    let (one, _operator1) = region.ready(1, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &zero, "a/0").await.unwrap();
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &one };
    eventually(WITHIN, "the tunnel is seen from the other replica", async || {
        ada.call(Method::GET, "/v1/devices", None).await.unwrap().1["devices"][0]["connected"] == true
    })
    .await;
    let session = ada.opened("lyon/ct").await;
    assert!(session.starts_with("0-"), "{session} lives where the tunnel is");
    echo(&mut ada.stream(&session).await.unwrap(), b"through two gateways").await;
    let (_, list) = ada.call(Method::GET, "/v1/sessions", None).await.unwrap();
    assert_eq!(list["sessions"][0]["id"], session);
    // Nobody else's session exists for another engineer, on any replica.
    let eve = EngineerClient {
        credential: region.engineers.engineer("eve@vendor.example", &["ct-service"]),
        ..EngineerClient { ca: &region.ca, credential: region.ada(), running: &one }
    };
    assert_eq!(eve.stream(&session).await.err().unwrap(), "404 unknownSession");
    let (status, _) = ada.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let (_, status) = ada.call(Method::GET, "/v1/status", None).await.unwrap();
    assert_eq!(status["gateways"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["gateways"][0]["reachable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_policy_cuts_before_it_is_acknowledged() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    echo(&mut stream, b"before").await;

    let mut without = region.config();
    without.policies.clear();
    let began = Instant::now();
    operator.put(&without).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "cut and acknowledged in {:?}", began.elapsed());
    // Acknowledged means cut: not one more byte comes back.
    let _ = stream.write_all(b"after").await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let ended = audit(&region, 0).into_iter().any(|event| {
        matches!(event, Event::SessionEnded(SessionEnded { reason: EndReason::Withdrawn, verified: true, .. }))
    });
    assert!(ended);
    let (status, denied) = ada.open("lyon/ct").await.unwrap();
    assert_eq!((status, denied["code"].as_str()), (StatusCode::FORBIDDEN, Some("noPolicyForEngineer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_no_longer_trusted_ends_its_engineers_sessions() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    echo(&mut stream, b"before").await;
    let mut old = ada.connection().await;
    let mut other = region.config();
    other.settings.engineer_authorities = sallyport_testkit::EngineersCa::new().bundle().to_pem();
    operator.put(&other).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(ada.open("lyon/ct").await.is_err(), "the inner door does not know Ada any more");
    // Nor does it over a connection from before.
    let body = r#"{"device":"lyon/ct","service":"console","reason":"tube arcing"}"#;
    let request = http::Request::post("/v1/sessions").header("host", "inner.example").body(body.into()).unwrap();
    assert_eq!(old.send_request(request).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_site_loses_its_tunnel_and_gets_none() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let mut suspended = region.config();
    suspended.endpoints.values_mut().for_each(|endpoint| endpoint.suspended = true);
    operator.put(&suspended).await.unwrap();
    tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap();
    assert_eq!(Agent::dial(&region.ca, &credential, &running, "a/0").await.err().unwrap(), "403 suspended");
    let unknown = region.ca.endpoint("lyon", "nowhere");
    assert_eq!(Agent::dial(&region.ca, &unknown, &running, "a/0").await.err().unwrap(), "403 unknownEndpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_ends_with_the_certificate_that_opened_it() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let credential = support::short_lived(&region.ca, Duration::from_secs(2));
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    let reason = tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap();
    assert!(reason.to_string().contains("certificate ended"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_approval_or_a_policy_is_refused_with_a_reason() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let refused = async |device: &str| {
        let (status, body) = ada.open(device).await.unwrap();
        (status.as_u16(), body["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused("lyon/lab").await, (403, "approvalRequired".to_owned()));
    assert_eq!(refused("lyon/nowhere").await, (403, "unknownDevice".to_owned()));
    assert_eq!(refused("lyon/ct").await, (503, "deviceNotConnected".to_owned()));
    let stranger = EngineerClient {
        credential: region.engineers.engineer("bob@vendor.example", &["mr-service"]),
        ..EngineerClient { ca: &region.ca, credential: region.ada(), running: &running }
    };
    let (status, body) = stranger.open("lyon/ct").await.unwrap();
    assert_eq!((status, body["code"].as_str()), (StatusCode::FORBIDDEN, Some("noPolicyForEngineer")));
    let (status, _) = ada.call(Method::POST, "/v1/sessions", Some(serde_json::json!({ "x": 1 }))).await.unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let denials = audit(&region, 0).iter().filter(|event| matches!(event, Event::SessionDenied(_))).count();
    assert_eq!(denials, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_refuses_and_counts_the_wrong_party() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let (ca, foreign) = (&region.ca, sallyport_testkit::Ca::new("dmz", "frankfurt"));
    // A foreign CA of the same name, an expired certificate, and valid certificates of other roles.
    let expired = ca.issue_expired(sallyport_pki::profile::Profile::Endpoint("lyon/agent".parse().unwrap()));
    for wrong in
        [foreign.endpoint("lyon", "agent"), expired, ca.operator(), ca.gateway("frankfurt-gateway-0"), region.ada()]
    {
        assert!(Agent::dial(ca, &wrong, &running, "a/0").await.is_err());
    }
    for wrong in [ca.endpoint("lyon", "agent"), foreign.operator(), region.ada(), ca.gateway("frankfurt-gateway-0")] {
        assert!(Operator::attach_as(ca, &wrong, &running).await.is_err());
    }
    let expired = region.engineers.expired_engineer("ada@vendor.example", &["ct-service"]);
    for wrong in [ca.endpoint("lyon", "agent"), ca.operator(), expired] {
        let client = EngineerClient { ca, credential: wrong, running: &running };
        assert!(client.open("lyon/ct").await.is_err());
    }
    for wrong in [ca.endpoint("lyon", "agent"), ca.operator(), foreign.gateway("frankfurt-gateway-1"), region.ada()] {
        assert!(support::peer_answers(ca, &wrong, &running).await.is_err());
    }
    support::peer_answers(ca, &ca.gateway("frankfurt-gateway-1"), &running).await.unwrap();
    let counted =
        |door: &str, reason: &str| running.gateway.metrics.handshakes_refused.with_label_values(&[door, reason]).get();
    // The client learns of the refusal before the server has counted it.
    eventually(WITHIN, "everything is counted by door and reason", async || {
        counted("outer", "roleSwapped") == 2
            && counted("outer", "expired") == 1
            && counted("control", "roleSwapped") >= 2
            && counted("peer", "roleSwapped") == 2
            && counted("inner", "expired") == 1
            && counted("outer", "unknownIssuer") + counted("outer", "badSignature") == 2
            && counted("inner", "unknownIssuer") == 2
    })
    .await;
}
