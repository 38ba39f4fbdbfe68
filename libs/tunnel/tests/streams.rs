//! Bytes of open streams: none lost, doubled or crossed; a stalled reader stalls nobody.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use proptest::prelude::*;
use sallyport_tunnel::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let pair = pair().await;
    let (mut stream, mut device) = pair.connect("ssh").await;
    stream.write_all(b"hello device").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    device.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hello device");

    device.write_all(b"hello engineer").await.unwrap();
    device.shutdown().await.unwrap();
    got.clear();
    stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hello engineer");
    drop(stream);
    assert_eq!(pair.tunnel.streams(), 0);
}

#[tokio::test]
async fn the_same_over_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (agent, gateway) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let pair = pair_over(gateway.unwrap().0, agent.unwrap(), Limits::DEFAULT).await;
    let (stream, device) = pair.connect("ssh").await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    echo(stream, device, &sent).await;
}

/// Writes and reads at once through an echoing device.
async fn echo(stream: TunnelStream, device: tokio::io::DuplexStream, sent: &[u8]) {
    let (mut read, mut write) = tokio::io::split(stream);
    let (mut device_read, mut device_write) = tokio::io::split(device);
    let copy = async {
        tokio::io::copy(&mut device_read, &mut device_write).await.unwrap();
        device_write.shutdown().await.unwrap();
    };
    let send = async {
        write.write_all(sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let receive = async {
        let mut got = Vec::new();
        read.read_to_end(&mut got).await.unwrap();
        got
    };
    let ((), (), got) = tokio::join!(copy, send, receive);
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No byte lost, doubled or crossed, whatever the chunks, the order and the size of the pipe below.
    #[test]
    fn streams_keep_their_bytes(
        pipe in 64usize..100_000,
        streams in prop::collection::vec(prop::collection::vec((0usize..40_000, any::<u8>()), 0..8), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (a, b) = duplex(pipe);
            let pair = pair_over(a, b, Limits::DEFAULT).await;
            let mut all = Vec::new();
            for (index, chunks) in streams.into_iter().enumerate() {
                let (stream, device) = pair.connect(&format!("s{index}")).await;
                let sent: Vec<u8> = chunks.into_iter().flat_map(|(length, byte)| vec![byte ^ index as u8; length]).collect();
                all.push(async move { echo(stream, device, &sent).await });
            }
            futures::future::join_all(all).await;
            assert_eq!(pair.tunnel.streams(), 0);
        });
    }
}

#[tokio::test]
async fn stalled_readers_stall_nobody_else() {
    let pair = pair().await;
    let mut stalled = Vec::new();
    for index in 1..Limits::DEFAULT.max_streams {
        let (mut stream, mut device) = pair.connect(&format!("s{index}")).await;
        // Nobody reads the stream, so the device can write only until its window is used up. Half of them stall the
        // other way: the device never reads what the engineer sends.
        let writer = tokio::spawn(async move {
            let chunk = [7; 16 * 1024];
            if index % 2 == 0 {
                while device.write_all(&chunk).await.is_ok() {}
            } else {
                while stream.write_all(&chunk).await.is_ok() {}
            }
            drop((device, stream));
        });
        stalled.push(writer);
    }
    let (stream, device) = pair.connect("free").await;
    let sent = vec![3; 4 * 1024 * 1024];
    tokio::time::timeout(std::time::Duration::from_secs(20), echo(stream, device, &sent)).await.unwrap();
    assert!(stalled.iter().all(|writer| !writer.is_finished()));
    assert_eq!(pair.tunnel.streams(), stalled.len());
    stalled.iter().for_each(|writer| writer.abort());
}

/// Bytes that arrived and were never read go back to the tunnel's window when their stream is dropped.
#[tokio::test]
async fn abandoned_bytes_do_not_use_up_the_tunnel() {
    let pair = pair().await;
    let window = Limits::DEFAULT.stream_window as usize;
    for _ in 0..2 * Limits::DEFAULT.connection_window as usize / window {
        let (mut stream, mut device) = pair.connect("abandoned").await;
        let fill = tokio::spawn(async move { while device.write_all(&[1; 16 * 1024]).await.is_ok() {} });
        assert_eq!(stream.read_u8().await.unwrap(), 1);
        drop(stream);
        fill.await.unwrap();
    }
    let (stream, device) = pair.connect("after").await;
    echo(stream, device, &vec![9; 2_000_000]).await;
}

#[tokio::test]
async fn a_device_that_breaks_off_is_an_error_and_dropping_a_stream_reaches_a_stalled_device() {
    let pair = pair().await;
    let (mut stream, device) = pair.connect("ssh").await;
    // The device takes nothing: the agent waits to write to it when the engineer goes.
    stream.write_all(&[0; 100_000]).await.unwrap();
    drop(stream);
    let mut device = device;
    let mut rest = Vec::new();
    device.read_to_end(&mut rest).await.unwrap();
    assert!(device.write_all(b"x").await.is_err());

    let (mut stream, device) = pair.connect("ssh").await;
    drop(device);
    let mut nothing = Vec::new();
    let _ended_or_reset = stream.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_thousand_streams_leave_nothing_behind() {
    let pair = pair().await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for round in 0..1000 {
        let (mut stream, mut device) = pair.connect("ssh").await;
        stream.write_all(b"x").await.unwrap();
        device.read_u8().await.unwrap();
        if round % 2 == 0 {
            stream.shutdown().await.unwrap();
            drop(device);
        }
    }
    assert_eq!(pair.tunnel.streams(), 0);
    let settled = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > tasks {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), settled).await.unwrap();
}
