//! Trust and proof of identity, through a whole tunnel.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use sallyport_tunnel::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

fn refused<T: std::fmt::Debug>(result: Result<T, PushError>) -> String {
    let PushError::Refused(why) = result.unwrap_err() else { panic!("no refusal") };
    why
}

#[tokio::test]
async fn announcements_arrive_whole_and_answers_come_back() {
    let pair = pair().await;
    let long = Bytes::from(vec![42; MAX_TRUST]);
    assert_eq!(pair.tunnel.push_trust(long.clone()).await.unwrap(), format!("digest-of-{MAX_TRUST}-bytes"));
    assert!(pair.site.announcements.lock().unwrap()[0] == long);
    let bad = pair.tunnel.push_trust(Bytes::from_static(b"bad announcement")).await;
    assert_eq!(refused(bad), "sequence 1 is known, and this is 0");
    assert!(refused(pair.tunnel.push_trust(Bytes::from_static(b"no digest")).await).contains("digest"));
    let too_long = pair.tunnel.push_trust(vec![0; MAX_TRUST + 1].into()).await;
    assert_eq!(too_long, Err(PushError::TooLong(MAX_TRUST + 1)));
    assert_eq!(pair.site.announcements.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proof_is_for_the_nonce_that_was_asked() {
    let pair = pair().await;
    for first in [1, 255] {
        let mut nonce = [9; NONCE];
        nonce[0] = first;
        let proof = pair.tunnel.prove("gateway-0", nonce).await.unwrap();
        assert_eq!(proof, Proof { certificate: vec![first; 2048], signature: nonce.repeat(8) });
    }
    assert_eq!(refused(pair.tunnel.prove("gateway-0", [0; NONCE]).await), "the certificate has expired");
    // The longest that may be. A name that is no header is not sent as one.
    pair.tunnel.prove("a\r\nb", [1; NONCE]).await.unwrap();
}

/// The refusal arrives before the gateway would give up waiting, and everything else goes on.
#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_too_long_says_so_and_its_streams_go_on() {
    let pair = pair().await;
    let (mut stream, mut device) = pair.connect("ssh").await;
    let began = Instant::now();
    assert!(refused(pair.tunnel.push_trust(Bytes::from_static(b"silent")).await).contains("in time"));
    assert!(began.elapsed() < Limits::DEFAULT.open_timeout && began.elapsed() > Duration::from_secs(1));
    stream.write_all(b"x").await.unwrap();
    assert_eq!(device.read_u8().await.unwrap(), b'x');
}

/// All places of sessions taken, all control streams still pass.
#[tokio::test]
async fn trust_and_proof_pass_beside_a_full_house() {
    let pair = pair().await;
    let mut held = Vec::new();
    for _ in 0..Limits::DEFAULT.max_streams {
        held.push(pair.connect("ssh").await);
    }
    pair.tunnel.push_trust(Bytes::from_static(b"announcement")).await.unwrap();
    pair.tunnel.prove("gateway-0", [1; NONCE]).await.unwrap();
    pair.tunnel.close("over");
    let over = PushError::Closed(CloseReason::Closed("over".to_owned()));
    assert_eq!(pair.tunnel.prove("gateway-0", [1; NONCE]).await, Err(over.clone()));
    assert_eq!(pair.tunnel.push_trust(Bytes::new()).await, Err(over));
}
