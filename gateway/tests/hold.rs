//! What a gateway that comes back does before somebody tells it what counts now.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::time::Duration;

use sallyport_testkit::eventually;

use support::{Agent, Operator, Region, WITHIN, readyz, trust};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_doors_wait_until_trust_and_configuration_are_told() {
    let mut region = Region::new(1);
    let (running, operator) = region.ready(0, &region.config()).await;
    drop(operator);
    running.stop().await;

    // What the volume keeps knows nothing of the revocation that happened meanwhile.
    region.hold = Duration::from_secs(3600);
    let (ca, revoked) = (&region.ca, region.ca.endpoint("lyon", "agent"));
    let peer = ca.gateway("frankfurt-gateway-1");
    let running = region.start(0).await;
    let ready = readyz(&running).await;
    assert!(ready.contains("503") && ready.contains("waiting for an operator"), "{ready}");
    let closed = async || {
        let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "notReady"]).get();
        assert!(Agent::dial(ca, &revoked, &running, "a/0").await.is_err());
        eventually(WITHIN, "the outer door is closed", async || {
            running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "notReady"]).get() > refused
        })
        .await;
        assert!(support::peer_answers(ca, &peer, &running).await.is_err());
    };
    closed().await;
    let mut operator = Operator::attach(&region, &running).await;
    closed().await;
    operator.trust(trust(1, &[(ca, &[&revoked])], ca)).await.unwrap();
    assert!(readyz(&running).await.contains("which configuration counts"), "trust is told, the configuration is not");
    closed().await;
    operator.confirm().await.unwrap();
    assert!(readyz(&running).await.contains("200 OK"));
    assert!(Agent::dial(ca, &revoked, &running, "a/0").await.is_err());
    let refused = running.gateway.metrics.handshakes_refused.with_label_values(&["outer", "revoked"]);
    eventually(WITHIN, "refused for the revocation", async || refused.get() == 1).await;
    Agent::dial(ca, &ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    support::peer_answers(ca, &peer, &running).await.unwrap();
    assert_eq!(running.gateway.metrics.holds_ended_untold.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_doors_open_after_the_hold() {
    let mut region = Region::new(1);
    let (running, operator) = region.ready(0, &region.config()).await;
    drop(operator);
    running.stop().await;
    region.hold = Duration::from_secs(1);
    let running = region.start(0).await;
    let credential = region.ca.endpoint("lyon", "agent");
    eventually(WITHIN, "ready by what the volume keeps", async || readyz(&running).await.contains("200 OK")).await;
    Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    assert_eq!(running.gateway.metrics.holds_ended_untold.get(), 1);
}
