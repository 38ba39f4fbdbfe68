//! One authority's trouble is not the others': lists that ended or are missing, serials beside the lists, lists from the
//! past, certificates from the future; and what is cut is cut at once.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::sync::Arc;

use sallyport_core::session::EndReason;
use sallyport_gateway::trust::Trust;
use sallyport_testkit::eventually;
use tokio_util::sync::CancellationToken;

use support::{Agent, EngineerClient, Region, WITHIN, next_number, sealed, trust, trust_with};

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_without_a_list_that_counts_stops_neither_trust_nor_the_others() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config_of_two()).await;
    let (lost, healthy) = (&region.ca, region.ca.next());
    let both = lost.bundle_with(&healthy);
    let standing = Agent::dial(lost, &lost.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let refused = |reason| running.gateway.metrics.handshakes_refused.with_label_values(&["outer", reason]);
    let counted = |state| running.gateway.metrics.revocation_lists.with_label_values(&[state]).get();
    let revoked = healthy.endpoint("lyon", "other");

    let of_lost = lost.authority().fingerprint();
    let ended = trust_with(2, &[(lost, &[]), (&healthy, &[&revoked])], &healthy, |(ca, revoked)| {
        let number = next_number();
        if ca.authority().fingerprint() == of_lost {
            ca.expired_revocation_list(number, revoked)
        } else {
            ca.revocation_list(number, revoked)
        }
    });
    let mut missing = trust(3, &[(lost, &[]), (&healthy, &[&revoked])], &healthy);
    missing.revocation_lists.remove(0);
    for (trust, state, reason) in
        [(ended, "ended", "revocationListExpired"), (sealed(missing), "missing", "revocationUnknown")]
    {
        operator.trust(trust).await.unwrap();
        eventually(WITHIN, "the state of the lists is told", async || (counted(state), counted("current")) == (1, 1))
            .await;
        let dial = async |credential| Agent::dial_trusting(&both, &credential, &running, "b/0").await;
        dial(healthy.endpoint("lyon", "other")).await.unwrap();
        let before = refused(reason).get();
        assert!(dial(lost.endpoint("lyon", "other")).await.is_err(), "{reason}");
        eventually(WITHIN, reason, async || refused(reason).get() == before + 1).await;
        let before = refused("revoked").get();
        assert!(dial(revoked.clone()).await.is_err(), "the healthy one's revocations arrive");
        eventually(WITHIN, "revoked", async || refused("revoked").get() == before + 1).await;
        assert!(!standing.task.is_finished(), "a list that does not count says nothing about who is inside");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_authority_lost_its_key_is_revoked_beside_the_lists() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config_of_two()).await;
    let (ca, revoked) = (&region.ca, region.ca.endpoint("lyon", "agent"));
    let peer = ca.gateway("frankfurt-gateway-1");
    let agent = Agent::dial(ca, &revoked, &running, "a/0").await.unwrap();
    let other = Agent::dial(ca, &ca.endpoint("lyon", "other"), &running, "b/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 2).await;
    let denying = |entries: &[String]| {
        let mut trust = trust(2, &[(ca, &[])], ca);
        trust.revoked_serials = entries.to_vec();
        sealed(trust)
    };
    let entry = |serial: &str| format!("{}:{serial}", ca.authority().fingerprint());
    for wrong in ["", "01", ":01", &entry(""), &entry("0X"), &entry("01").to_uppercase(), &entry(&"0".repeat(42))] {
        let refused = operator.trust(denying(&[entry("01"), wrong.to_owned()])).await.unwrap_err();
        assert!(refused.contains("revoked certificate 2"), "{wrong}: {refused}");
    }
    support::peer_answers(ca, &peer, &running).await.unwrap();
    operator.trust(denying(&[entry(&revoked.serial), entry(&peer.serial)])).await.unwrap();
    let why = tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap().to_string();
    assert_eq!(why, "closed by the peer: the certificate is revoked");
    assert!(!other.task.is_finished());
    assert!(Agent::dial(ca, &revoked, &running, "a/0").await.is_err());
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "revoked"]);
    eventually(WITHIN, "it is counted", async || refused.get() == 1).await;
    assert!(support::peer_answers(ca, &peer, &running).await.is_err());
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_from_the_past_is_refused() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (ca, revoked) = (&region.ca, region.ca.endpoint("lyon", "agent"));
    let old = trust(1, &[(ca, &[])], ca);
    operator.trust(trust(1, &[(ca, &[&revoked])], ca)).await.unwrap();
    let refused = operator.trust(old).await.unwrap_err();
    assert!(refused.contains("is older than its list"), "{refused}");
    assert!(Agent::dial(ca, &revoked, &running, "a/0").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_the_future_is_used_when_it_is_valid() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let (old, new) = (&region.ca, region.ca.next());
    let (both, credential) = (old.bundle_with(&new), old.endpoint("lyon", "agent"));
    let agent = Agent::dial(old, &credential, &running, "a/0").await.unwrap();
    // Certificates begin five minutes before the operator's now.
    operator.clock = jiff::SignedDuration::from_secs(5 * 60 + 3);
    operator.signs_with(&new);
    operator.trust(trust(2, &[(old, &[]), (&new, &[])], &new)).await.unwrap();
    let signer = new.authority().fingerprint();
    let mut seen_early = false;
    while operator.report.certificates.iter().filter(|certificate| certificate.issuer == signer).count() < 3 {
        // Whoever knocks meanwhile finds a valid certificate: the one before, or the new one in its time.
        let knocked = operator.during(Agent::dial_trusting(&both, &credential, &running, "a/1")).await;
        assert_eq!(knocked.err().unwrap(), "409 held");
        seen_early |= operator.signed_early > 0 && !operator.report.certificates.is_empty();
    }
    assert!(seen_early && operator.signed_early == 3, "each was asked for once");
    assert!(!agent.task.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_tunnel_is_cut_however_slowly_its_sessions_end() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    ada.opened("lyon/ct").await;
    let session = running.gateway.sessions.live().pop().unwrap();
    // A leg that is never closed: the session's end is waited for as long as there is patience.
    let _leg = session.passage.connect().await.unwrap();
    let revoking = trust(1, &[(&region.ca, &[&credential])], &region.ca);
    let (acknowledged, ended_before) = tokio::join!(operator.trust(revoking), async {
        tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap();
        session.ended()
    });
    acknowledged.unwrap();
    assert_eq!(ended_before, None, "the tunnel is cut first");
    assert_eq!(session.ended(), Some(EndReason::Withdrawn), "and acknowledged is after both");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_opens_through_a_tunnel_that_is_about_to_be_cut() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let _agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    // In force, and not enforced yet.
    let revoking = Trust::parse(trust(1, &[(&region.ca, &[&credential])], &region.ca)).unwrap();
    running.gateway.trust.put(Arc::new(revoking), &CancellationToken::new()).await.unwrap();
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let (status, refused) = ada.open("lyon/ct").await.unwrap();
    assert_eq!((status.as_u16(), refused["code"].as_str()), (503, Some("deviceNotConnected")));
    assert!(running.gateway.sessions.live().is_empty());
}
