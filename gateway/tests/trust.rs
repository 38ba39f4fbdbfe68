//! Trust and revocation at a running gateway: what is refused, what is cut, what goes on.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use sallyport_audit::event::{SessionEnded, TrustApplied, TunnelDown, TunnelRenewed};
use sallyport_audit::{Event, Sealed};
use sallyport_control::wire::Report;
use sallyport_pki::revocation::{Reason, Revocation};
use sallyport_testkit::{Ca, eventually};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use support::{Agent, EngineerClient, Operator, Region, WITHIN, audit, next_number, readyz, sealed, trust, trust_with};

async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    tokio::time::timeout(WITHIN, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text);
}

async fn ended(agent: Agent) -> String {
    tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap().to_string()
}

/// The certificate of an endpoint's tunnel, as the operator was told.
fn reported(report: &Report, endpoint: &str) -> Option<(String, String, String)> {
    let tunnel = report.tunnels.iter().find(|tunnel| tunnel.endpoint == endpoint)?;
    let certificate = tunnel.certificate.as_ref()?;
    Some((certificate.serial.clone(), certificate.issuer.clone(), tunnel.trust_digest.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_cut_within_a_second_and_says_why_to_both_ends() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config_of_two()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    let other = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "other"), &running, "b/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 2).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    echo(&mut stream, b"before").await;

    let began = Instant::now();
    // The same sequence: the bundle is the same, the list is another.
    operator.trust(trust(1, &[(&region.ca, &[&credential])], &region.ca)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "cut and acknowledged in {:?}", began.elapsed());
    let _ = stream.write_all(b"after").await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "acknowledged means cut");
    assert_eq!(ended(agent).await, "closed by the peer: the certificate is revoked");
    assert!(!other.task.is_finished(), "nobody else is cut");
    let (_, session) = ada.call(Method::GET, &format!("/v1/sessions/{session}"), None).await.unwrap();
    assert_eq!(session["endReason"], "withdrawn");
    assert_eq!(session["endDetail"], "endpoint lyon/agent: the certificate is revoked");
    assert!(Agent::dial(&region.ca, &credential, &running, "a/0").await.is_err());
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "revoked"]);
    eventually(WITHIN, "the refusal is counted by its label", async || refused.get() == 1).await;
    assert_eq!(running.gateway.metrics.tunnels_cut.get(), 1);

    let seen = |wanted: fn(&Event<Sealed>) -> bool| audit(&region, 0).iter().any(wanted);
    assert!(seen(|event| matches!(event, Event::TrustApplied(TrustApplied { sequence: 1, revoked: 1, .. }))));
    assert!(seen(
        |event| matches!(event, Event::SessionEnded(SessionEnded { detail: Some(detail), verified: true, .. })
        if detail.as_str().contains("revoked"))
    ));
    let down = || {
        seen(
            |event| matches!(event, Event::TunnelDown(TunnelDown { reason, .. }) if reason.as_str().contains("revoked")),
        )
    };
    eventually(WITHIN, "the tunnel's end is recorded", async || down()).await;
    // Another certificate of the same endpoint is another certificate.
    Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_larger_than_grpcs_default_passes_and_counts() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let ca = &region.ca;
    let (credential, start) = (ca.endpoint("lyon", "agent"), sallyport_testkit::ca::start());
    let agent = Agent::dial(ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let others = (0..120_000_u128).map(|n| format!("{:032x}", n + (1 << 126) + (1 << 100)));
    let revoked: Vec<_> = others
        .chain([credential.serial.clone()])
        .map(|serial_hex| Revocation { serial_hex, at: start, reason: Reason::KeyCompromise })
        .collect();
    let list = || {
        let end = start + jiff::SignedDuration::from_hours(24 * 365 * 50);
        ca.authority().revocation_list(&revoked, next_number(), start, end).unwrap()
    };
    let large = trust_with(2, &[(ca, &[])], ca, |_| list());
    assert!(large.revocation_lists[0].len() > 4 * 1024 * 1024);
    operator.trust(large).await.unwrap();
    assert_eq!(ended(agent).await, "closed by the peer: the certificate is revoked");
    assert_eq!(running.gateway.trust.current().unwrap().revoked(), 120_001);
    assert!(Agent::dial(ca, &credential, &running, "a/0").await.is_err());
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_tells_its_engineer_why() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut suspended = region.config();
    suspended.devices.values_mut().for_each(|device| device.suspended = true);
    operator.put(&suspended).await.unwrap();
    let (_, view) = ada.call(Method::GET, &format!("/v1/sessions/{session}"), None).await.unwrap();
    assert_eq!(
        (view["endReason"].as_str(), view["endDetail"].as_str()),
        (Some("withdrawn"), Some("device lyon/ct is suspended"))
    );
    assert_eq!(ada.stream(&session).await.err().unwrap(), "410 sessionEnded");
    let (status, refused) = ada.open("lyon/ct").await.unwrap();
    assert_eq!((status, refused["code"].as_str()), (StatusCode::FORBIDDEN, Some("deviceSuspended")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_replica_loses_its_standing_connections_and_gets_none() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.gateway("frankfurt-gateway-1");
    support::peer_answers(&region.ca, &credential, &running).await.unwrap();
    let mut standing = support::peer_connection(&region.ca, &credential, &running).await.unwrap();
    support::ask(&mut standing).await.unwrap();
    operator.trust(trust(1, &[(&region.ca, &[&credential])], &region.ca)).await.unwrap();
    let read = tokio::time::timeout(WITHIN, standing.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0, "cut without being asked");
    assert!(support::peer_answers(&region.ca, &credential, &running).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_connection_of_a_replica_outlives_a_rotation_and_not_an_emergency() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (ca, next) = (&region.ca, region.ca.next());
    operator.trust(trust(2, &[(ca, &[]), (&next, &[])], &next)).await.unwrap();
    let credential = ca.gateway("frankfurt-gateway-1");
    let mut standing = support::peer_connection(ca, &credential, &running).await.unwrap();
    operator.trust(trust(3, &[(&next, &[])], &next)).await.unwrap();
    let still = tokio::time::timeout(std::time::Duration::from_millis(300), standing.read(&mut [0; 8])).await;
    assert!(still.is_err(), "it goes on, and has nothing to say: {still:?}");
    assert!(support::peer_answers(&next, &credential, &running).await.is_err(), "nobody comes in by the old authority");
    let mut emergency = trust(4, &[(&next, &[])], &next);
    emergency.emergency = true;
    operator.trust(sealed(emergency)).await.unwrap();
    let read = tokio::time::timeout(WITHIN, standing.read(&mut [0; 8])).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0, "cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_refused_and_the_one_before_stays() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (ca, next, foreign) = (&region.ca, region.ca.next(), Ca::new("dmz", "frankfurt"));
    operator.trust(trust(5, &[(ca, &[])], ca)).await.unwrap();
    let before = running.gateway.trust.current().unwrap().digest().to_owned();
    let good = || trust(6, &[(ca, &[])], ca);
    let with = |change: fn(&mut sallyport_control::wire::Trust)| {
        let mut trust = good();
        change(&mut trust);
        sealed(trust)
    };
    let mut damaged = good();
    damaged.renew_within_s = 7;
    let mut two_lists = good();
    two_lists.revocation_lists.push(ca.revocation_list(next_number(), &[]));
    let foreign_list = trust_with(6, &[(ca, &[])], ca, |_| foreign.revocation_list(1, &[]));
    for (trust, words) in [
        (trust(4, &[(ca, &[])], ca), "sequence 4 is lower than 5"),
        (damaged, "digest"),
        (with(|trust| trust.certificates.clear()), "trust bundle is empty"),
        (with(|trust| trust.revocation_lists[0].truncate(40)), "revocation list 1"),
        (sealed(two_lists), "has 2 revocation lists"),
        (foreign_list, "revocation list 1"),
        (trust(6, &[(ca, &[])], &next), "signs and is not in the trust bundle"),
        (
            trust_with(6, &[(ca, &[]), (&next, &[])], ca, |_| ca.revocation_list(next_number(), &[])),
            "revocation lists instead of one",
        ),
    ] {
        let refused = operator.trust(trust).await.unwrap_err();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert_eq!(running.gateway.trust.current().unwrap().digest(), before);
    assert_eq!(running.gateway.metrics.trust_refused.get(), 8);
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.trust(good()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_ends_closes_the_doors_until_the_next() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let ca = &region.ca;
    let credential = ca.endpoint("lyon", "agent");
    let agent = Agent::dial(ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let since = jiff::Timestamp::now().duration_since(sallyport_testkit::ca::start());
    let life = Duration::try_from(since).unwrap() + Duration::from_secs(3);
    let short = trust_with(2, &[(ca, &[])], ca, |_| ca.revocation_list_for(next_number(), &[], life));
    operator.trust(short).await.unwrap();
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "revocationListExpired"]);
    eventually(WITHIN, "the outer door refuses", async || {
        let _ = Agent::dial(ca, &credential, &running, "a/1").await;
        refused.get() > 0
    })
    .await;
    assert!(support::peer_answers(ca, &ca.gateway("frankfurt-gateway-1"), &running).await.is_err());
    assert!(!agent.task.is_finished(), "a list that ended says nothing about who is inside");
    operator.trust(trust(2, &[(ca, &[])], ca)).await.unwrap();
    let dialled = Agent::dial(ca, &credential, &running, "a/1").await;
    assert_eq!(dialled.err().unwrap(), "409 held", "the door is open again");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_from_the_trust_that_it_kept() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (ca, revoked) = (&region.ca, region.ca.endpoint("lyon", "agent"));
    operator.trust(trust(3, &[(ca, &[&revoked])], ca)).await.unwrap();
    drop(operator);
    running.stop().await;

    let running = region.start(0).await;
    assert!(readyz(&running).await.contains("200 OK"));
    assert!(Agent::dial(ca, &revoked, &running, "a/0").await.is_err());
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    let mut operator = Operator::attach(&region, &running).await;
    let refused = operator.trust(trust(2, &[(ca, &[])], ca)).await.unwrap_err();
    assert!(refused.contains("lower than 3"), "{refused}");
    drop(operator);
    running.stop().await;

    std::fs::write(region.volume(0).join("trust.pb"), b"garbage").unwrap();
    let running = region.start(0).await;
    let ready = readyz(&running).await;
    assert!(ready.contains("503") && ready.contains("no trust with revocation lists yet"), "{ready}");
    assert!(Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.is_err());
    assert!(support::peer_answers(ca, &ca.gateway("frankfurt-gateway-1"), &running).await.is_err());
    let mut operator = Operator::attach(&region, &running).await;
    operator.trust(trust(3, &[(ca, &[])], ca)).await.unwrap();
    assert!(readyz(&running).await.contains("200 OK"));
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_closes_nothing_that_renewed_and_cuts_what_did_not() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config_of_two()).await;
    let (old, new) = (&region.ca, region.ca.next());
    let both = old.bundle_with(&new);
    let agent = Agent::dial(old, &old.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    let late = Agent::dial(old, &old.endpoint("lyon", "other"), &running, "b/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 2).await;
    let ada = EngineerClient { ca: old, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    echo(&mut stream, b"first generation").await;

    // New trust first; agents are told.
    operator.trust(trust(2, &[(old, &[]), (&new, &[])], old)).await.unwrap();
    let knows = |report: &Report, endpoint| {
        reported(report, endpoint)
            .is_some_and(|(_, _, digest)| digest == sallyport_pki::inspect::fingerprint(b"announcement 2"))
    };
    operator.reported(|report| knows(report, "lyon/agent") && knows(report, "lyon/other")).await;

    // Then the new one signs, and everybody moves: the gateway's own certificates, and the agent that has renewed.
    operator.signs_with(&new);
    let renewed = new.endpoint("lyon", "agent");
    *agent.script.credential.lock().unwrap() = renewed.clone();
    operator.trust(trust(3, &[(old, &[]), (&new, &[])], &new)).await.unwrap();
    let signer = new.authority().fingerprint();
    operator
        .reported(|report| {
            let own = report.certificates.iter().filter(|certificate| certificate.issuer == signer).count();
            let moved = reported(report, "lyon/agent")
                .is_some_and(|(serial, issuer, _)| serial == renewed.serial && issuer == signer);
            own == 3 && moved
        })
        .await;
    assert!(*late.script.proofs.lock().unwrap() > 0, "it was asked, and proved the old one");
    assert!(audit(&region, 0).iter().any(
        |event| matches!(event, Event::TunnelRenewed(TunnelRenewed { serial, .. }) if serial.as_str() == renewed.serial)
    ));
    echo(&mut stream, b"second generation").await;
    // During the overlap both come in.
    for credential in [old.endpoint("lyon", "other"), new.endpoint("lyon", "other")] {
        let dialled = Agent::dial_trusting(&both, &credential, &running, "b/1").await;
        assert_eq!(dialled.err().unwrap(), "409 held");
    }

    // The old one goes: whoever stayed with it is cut, and nobody else.
    operator.trust(trust(4, &[(&new, &[])], &new)).await.unwrap();
    assert_eq!(ended(late).await, "closed by the peer: its certificate authority is no longer trusted");
    echo(&mut stream, b"still the same tunnel").await;
    assert!(!agent.task.is_finished());
    let refused = Agent::dial_trusting(&both, &old.endpoint("lyon", "other"), &running, "b/0").await;
    assert!(refused.is_err());
    Agent::dial_trusting(&both, &new.endpoint("lyon", "other"), &running, "b/0").await.unwrap();
    // Nor does the operator of the old one come in any more, whatever is still mounted.
    assert!(Operator::attach_as(old, &old.operator(), &running).await.is_err());
    Operator::attach_as(&new, &new.operator(), &running).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_proof_moves_nothing() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (old, new, foreign) = (&region.ca, region.ca.next(), Ca::new("dmz", "frankfurt"));
    let first = old.endpoint("lyon", "agent");
    let agent = Agent::dial(old, &first, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let revoked = new.endpoint("lyon", "agent");
    let mut wrong = new.endpoint("lyon", "agent");
    wrong.key_pem = new.endpoint("lyon", "agent").key_pem;
    let credential = |credential| *agent.script.credential.lock().unwrap() = credential;
    credential(new.endpoint("lyon", "other"));
    operator.trust(trust(2, &[(old, &[]), (&new, &[&revoked])], &new)).await.unwrap();
    let refused = |reason: &str| running.gateway.metrics.proofs_refused.with_label_values(&[reason]).get();
    for (proof, reason) in [
        (new.endpoint("lyon", "other"), "otherIdentity"),
        (new.operator(), "otherIdentity"),
        (revoked, "revoked"),
        (foreign.endpoint("lyon", "agent"), "untrusted"),
        (wrong, "badSignature"),
    ] {
        let before = refused(reason);
        credential(proof);
        eventually(WITHIN, reason, async || refused(reason) > before).await;
    }
    // A proof for another gateway is none for this one.
    credential(new.endpoint("lyon", "agent"));
    *agent.script.gateway.lock().unwrap() = "frankfurt-gateway-9".to_owned();
    let before = refused("badSignature");
    eventually(WITHIN, "another gateway's proof is refused", async || refused("badSignature") > before).await;
    let live = running.gateway.tunnels.to(&"lyon/agent".parse().unwrap()).unwrap();
    assert_eq!(live.certificate().serial, first.serial);
    assert_eq!(running.gateway.metrics.tunnels_renewed.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_lives_as_long_as_the_certificate_that_was_proved_last() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let first = support::short_lived(&region.ca, Duration::from_secs(6));
    let agent = Agent::dial(&region.ca, &first, &running, "a/0").await.unwrap();
    let next = region.ca.endpoint("lyon", "agent");
    *agent.script.credential.lock().unwrap() = next.clone();
    // Two thirds of the first one's life are over, so the agent is asked.
    let moved = |report: &Report| reported(report, "lyon/agent").is_some_and(|(serial, ..)| serial == next.serial);
    operator.reported(moved).await;
    let end = sallyport_pki::inspect::validity(&first.der).unwrap().not_after + Duration::from_secs(1);
    eventually(WITHIN, "the first one has ended", async || jiff::Timestamp::now() > end).await;
    assert!(!agent.task.is_finished());
    let proofs = *agent.script.proofs.lock().unwrap();
    assert!(running.gateway.tunnels.to(&"lyon/agent".parse().unwrap()).is_some());
    assert!(proofs <= 4, "a certificate that is not due is not asked for: {proofs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_slept_through_rotations_is_reached_by_what_is_mounted() {
    let region = Region::new(1);
    let (running, operator) = region.ready(0, &region.config()).await;
    drop(operator);
    running.stop().await;

    let third = region.ca.next().next();
    let running = region.start_mounted(0, &third).await;
    // It still trusts the first by its own copy, and shows the operator the certificate that was mounted meanwhile.
    let mut operator = Operator::attach_as(&third, &third.operator(), &running).await.unwrap();
    operator.trust(trust(9, &[(&third, &[])], &third)).await.unwrap();
    operator.certified().await;
    let credential = third.endpoint("lyon", "agent");
    eventually(WITHIN, "the outer door has a certificate of the third", async || {
        Agent::dial(&third, &credential, &running, "a/0").await.is_ok()
    })
    .await;
    let first = Operator::attach_as(&region.ca, &region.ca.operator(), &running).await;
    assert!(first.is_err(), "the first is gone everywhere");
}
