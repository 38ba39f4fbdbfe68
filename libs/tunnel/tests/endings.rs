//! How tunnels and streams end, and what each side is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use sallyport_tunnel::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

#[tokio::test]
async fn close_cuts_every_stream_at_once_and_tells_the_agent_why() {
    let pair = pair().await;
    let (mut read, mut device) = pair.connect("read").await;
    let (mut write, _unread) = pair.connect("write").await;
    device.write_all(b"arrived before the cut").await.unwrap();
    read.read_u8().await.unwrap();
    let waiting = tokio::spawn(async move { while write.write_all(&[0; 9000]).await.is_ok() {} });

    pair.tunnel.close("site lyon is suspended");
    // Not even what had arrived is handed out.
    let error = read.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(error.to_string(), "closed at this end: site lyon is suspended");
    assert_eq!(read.write_all(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionAborted);

    let began = Instant::now();
    waiting.await.unwrap();
    let reason = CloseReason::Closed("site lyon is suspended".to_owned());
    assert_eq!(pair.gateway.await.unwrap(), reason);
    assert_eq!(pair.agent.await.unwrap(), CloseReason::PeerClosed("site lyon is suspended".to_owned()));
    assert_eq!(pair.tunnel.closed().await, reason);
    let mut rest = Vec::new();
    device.read_to_end(&mut rest).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(500));
    drop(read);
    assert_eq!(pair.tunnel.streams(), 0);
}

#[tokio::test]
async fn close_does_not_wait_for_a_peer_that_reads_nothing() {
    let (gateway, mut stuck) = duplex(1024);
    let (tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    let driver = tokio::spawn(driver);
    let opening = tokio::spawn({
        let tunnel = tunnel.clone();
        async move { tunnel.open(target("ssh")).await.err() }
    });
    tokio::task::yield_now().await;
    tunnel.close("revoked");
    let closed = CloseReason::Closed("revoked".to_owned());
    assert_eq!(timeout(Duration::from_secs(1), driver).await.unwrap().unwrap(), closed);
    assert_eq!(opening.await.unwrap(), Some(OpenError::Closed(closed)));
    let mut rest = Vec::new();
    stuck.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn opening_says_why_not() {
    let pair = pair().await;
    let refused = pair.tunnel.open(target("refused")).await.err().unwrap();
    let refusal = Refusal::new(RefusalReason::NotAllowedLocally, "10.0.0.1:22 is not on the list");
    assert_eq!(refused, OpenError::Refused(refusal));
    assert_eq!(refused.label(), "notAllowedLocally");

    let hostile = StreamTarget { session: "a\nb".to_owned(), ..target("ssh") };
    assert_eq!(pair.tunnel.open(hostile).await.err().unwrap(), OpenError::SessionId);

    let mut held = Vec::new();
    for _ in 0..Limits::DEFAULT.max_streams {
        held.push(pair.connect("ssh").await);
    }
    let max = Limits::DEFAULT.max_streams;
    assert_eq!(pair.tunnel.open(target("ssh")).await.err().unwrap(), OpenError::TooManyStreams(max));
    // Offers pass all the same.
    pair.tunnel.push_offer(Bytes::from_static(b"offer")).await.unwrap();
    held.pop();
    held.push(pair.connect("ssh").await);

    pair.tunnel.close("over");
    let over = OpenError::Closed(CloseReason::Closed("over".to_owned()));
    assert_eq!(pair.tunnel.open(target("ssh")).await.err().unwrap(), over);
}

#[tokio::test(start_paused = true)]
async fn a_silent_device_and_a_silent_agent_have_a_deadline() {
    let pair = pair().await;
    let began = Instant::now();
    let OpenError::Refused(refusal) = pair.tunnel.open(target("silent")).await.err().unwrap() else { panic!() };
    assert_eq!(refusal.reason, RefusalReason::Unreachable);
    assert_eq!(began.elapsed().as_secs(), 8);

    // An agent that reads and never answers.
    let (gateway, mut agent) = duplex(4096);
    let (tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    tokio::spawn(driver);
    tokio::spawn(async move { tokio::io::copy(&mut agent, &mut tokio::io::sink()).await });
    assert_eq!(tunnel.open(target("ssh")).await.err().unwrap(), OpenError::TimedOut(Limits::DEFAULT.open_timeout));
    assert_eq!(tunnel.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_vanished_peer_is_noticed_at_both_ends_within_30_s() {
    // Two half-open ends: whatever they write goes nowhere, and nothing comes.
    let pair = pair_through_a_cut().await;
    let (mut stream, _device) = pair.0.connect("ssh").await;
    // A quiet tunnel stays.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!pair.0.gateway.is_finished() && !pair.0.agent.is_finished());

    pair.1.cancel();
    let began = Instant::now();
    assert_eq!(pair.0.gateway.await.unwrap(), CloseReason::PeerVanished);
    assert_eq!(pair.0.agent.await.unwrap(), CloseReason::PeerVanished);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

/// A pair whose middle swallows everything once the token is cancelled, without closing.
async fn pair_through_a_cut() -> (Pair, tokio_util::sync::CancellationToken) {
    let (gateway, mut left) = duplex(4096);
    let (mut right, agent) = duplex(4096);
    let cut = tokio_util::sync::CancellationToken::new();
    let silence = cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut left, &mut right) => {}
            () = silence.cancelled() => {}
        }
        std::future::pending::<()>().await;
        drop((left, right));
    });
    (pair_over(gateway, agent, Limits::DEFAULT).await, cut)
}

/// Time passes from timer to timer, so a peer that acts every few seconds acts in no time.
#[tokio::test(start_paused = true)]
async fn a_peer_that_trickles_half_a_message_or_takes_nothing_is_gone() {
    let (gateway, mut agent) = duplex(4096);
    let (_tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    let trickle = tokio::spawn(async move {
        // A binary message of 1000 masked bytes, one byte a second.
        let head = [0x82, 0xfe, 0x03, 0xe8, 0, 0, 0, 0];
        for byte in head.into_iter().chain(std::iter::repeat(0)) {
            if agent.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let began = Instant::now();
    assert_eq!(driver.await, CloseReason::PeerVanished);
    assert!(began.elapsed() < Duration::from_secs(30));
    trickle.abort();

    let (gateway, agent) = duplex(1024);
    let (tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    let driver = tokio::spawn(driver);
    let mut agent = WebSocketStream::from_raw_socket(agent, Role::Client, None).await;
    let alive = tokio::spawn(async move {
        while agent.send(Message::Ping(Bytes::new())).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let began = Instant::now();
    assert!(tunnel.push_offer(vec![0; 50_000].into()).await.is_err());
    assert_eq!(driver.await.unwrap(), CloseReason::PeerVanished);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    alive.abort();
}

#[tokio::test]
async fn a_gateway_that_gives_up_lets_the_agent_give_up() {
    let pair = pair().await;
    let opening = pair.tunnel.open(target("silent"));
    assert!(timeout(Duration::from_millis(50), opening).await.is_err());
    let given_up = async {
        while pair.site.abandoned.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), given_up).await.unwrap();
    assert_eq!(pair.tunnel.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_hears_from_its_gateway_gives_up() {
    let (_gateway, agent) = duplex(4096);
    let reason = agent_end(agent, Limits::DEFAULT, Arc::<Site>::default(), std::future::pending()).await;
    assert_eq!(reason, CloseReason::PeerVanished);
}

#[tokio::test]
async fn what_the_protocol_has_no_place_for_closes_the_tunnel() {
    let garbage = Bytes::from(vec![b'x'; 4000]);
    for (message, expected) in [
        (Message::text("hello"), "text message"),
        (Message::Binary(vec![0; 70_000].into()), "too long"),
        (Message::Binary(garbage), "frame"),
    ] {
        let (gateway, agent) = duplex(256 * 1024);
        let (tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
        let driver = tokio::spawn(driver);
        let mut agent = WebSocketStream::from_raw_socket(agent, Role::Client, None).await;
        agent.send(message).await.unwrap();
        let CloseReason::Protocol(why) = driver.await.unwrap() else { panic!("{expected}") };
        assert!(why.to_lowercase().contains(expected), "{why}");
        assert!(matches!(tunnel.open(target("ssh")).await, Err(OpenError::Closed(CloseReason::Protocol(_)))));
        // The peer is told, except that garbage inside the messages is answered by HTTP/2's own GOAWAY.
        let mut told = expected == "frame";
        while let Some(Ok(message)) = agent.next().await {
            if let Message::Close(Some(frame)) = message {
                told |= frame.reason.contains("protocol");
            }
        }
        assert!(told, "{expected}");
    }
    // Not even WebSocket.
    let (gateway, mut agent) = duplex(4096);
    let (_tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    agent.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(driver.await, CloseReason::Protocol(_)));
}

#[tokio::test]
async fn a_broken_connection_is_lost() {
    let (gateway, agent) = duplex(4096);
    let (_tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    drop(agent);
    assert!(matches!(driver.await, CloseReason::Lost(_)));
}

#[tokio::test]
async fn a_drained_tunnel_ends_with_its_last_stream() {
    let pair = pair().await;
    let (mut stream, mut device) = pair.connect("ssh").await;
    pair.tunnel.drain().await.unwrap();
    assert_eq!(pair.site.drains.load(Ordering::SeqCst), 1);
    assert_eq!(pair.tunnel.open(target("ssh")).await.err().unwrap(), OpenError::Draining);
    stream.write_all(b"still here").await.unwrap();
    let mut got = [0; 10];
    device.read_exact(&mut got).await.unwrap();
    assert!(!pair.gateway.is_finished());
    drop(stream);
    assert_eq!(pair.gateway.await.unwrap(), CloseReason::Drained);
    assert_eq!(pair.agent.await.unwrap(), CloseReason::PeerClosed("drained".to_owned()));
}

#[tokio::test]
async fn a_drained_idle_tunnel_ends_at_once() {
    let pair = pair().await;
    let _told = pair.tunnel.drain().await;
    assert_eq!(pair.gateway.await.unwrap(), CloseReason::Drained);
    assert_eq!(pair.site.drains.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_agent_lets_streams_finish_for_ten_seconds() {
    let quick = pair().await;
    let (stream, _device) = quick.connect("ssh").await;
    quick.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(quick.tunnel.open(target("ssh")).await, Err(OpenError::Draining | OpenError::Closed(_))));
    assert!(!quick.agent.is_finished());
    drop(stream);
    assert_eq!(quick.agent.await.unwrap(), CloseReason::Stopped);

    let slow = pair().await;
    let (mut stream, _device) = slow.connect("ssh").await;
    let began = Instant::now();
    slow.stop.cancel();
    assert_eq!(slow.agent.await.unwrap(), CloseReason::Stopped);
    assert_eq!(began.elapsed().as_secs(), Limits::DEFAULT.finish_timeout.as_secs());
    assert!(stream.read_u8().await.is_err());
}

#[tokio::test]
async fn offers_arrive_whole_and_refusals_come_back() {
    let pair = pair().await;
    let long = Bytes::from(vec![42; MAX_OFFER]);
    pair.tunnel.push_offer(long.clone()).await.unwrap();
    assert!(pair.site.offers.lock().unwrap()[0] == long);
    let bad = pair.tunnel.push_offer(Bytes::from_static(b"bad offer")).await.unwrap_err();
    assert_eq!(bad, PushError::Refused("the signature does not fit".to_owned()));
    let too_long = pair.tunnel.push_offer(vec![0; MAX_OFFER + 1].into()).await.unwrap_err();
    assert_eq!(too_long, PushError::TooLong(MAX_OFFER + 1));
}

#[tokio::test]
async fn a_dropped_driver_ends_the_tunnel() {
    let (gateway, _agent) = duplex(4096);
    let (tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    drop(driver);
    assert_eq!(tunnel.closed().await, CloseReason::Abandoned);
    assert_eq!(tunnel.open(target("ssh")).await.err().unwrap(), OpenError::Closed(CloseReason::Abandoned));
}

/// Both live as long as a tunnel. The bounds leave a third over what was measured; growth is a finding.
#[tokio::test]
async fn long_lived_futures_are_small() {
    let (gateway, agent) = duplex(4096);
    let (_tunnel, driver) = gateway_end(gateway, Limits::DEFAULT).await.unwrap();
    let agent = agent_end(agent, Limits::DEFAULT, Arc::<Site>::default(), std::future::pending());
    let (driver, agent) = (size_of_val(&driver), size_of_val(&agent));
    assert!(driver <= 2048, "driver {driver}");
    assert!(agent <= 2048, "agent {agent}");
}
