//! Sessions from beginning to end, the program as a black box.

#![allow(clippy::unwrap_used, reason = "a test")]

mod scripted;

use scripted::{Region, bounded, signal, text};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

const CT: [&str; 6] = ["connect", "ct-scanner", "--service", "ssh", "--reason", "tube arcing"];

async fn listening(region: &Region) -> (Child, String) {
    let mut child = region.command(&[&CT[..], &["-o", "json"]].concat()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut answer = String::new();
    // An object over several lines, the last of which is its brace.
    while !answer.ends_with("\n}\n") {
        assert_ne!(bounded(stdout.read_line(&mut answer)).await.unwrap(), 0, "{answer}");
    }
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["session"]["id"], "0-4f1c2a");
    (child, answer["listen"].as_str().unwrap().to_owned())
}

async fn echo(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).await.unwrap();
    let mut back = vec![0; words.len()];
    bounded(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, words);
}

async fn open(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Eager clients send at once; it must wait for the 101, and the answer's first byte must not be lost.
    stream.write_all(b"early").await.unwrap();
    let mut back = [0; 6];
    bounded(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b">early");
    stream
}

#[tokio::test]
async fn a_local_port_carries_streams_side_by_side_until_ctrl_c_ends_the_session() {
    let region = Region::begin().await;
    let (child, address) = listening(&region).await;
    let (mut one, mut two) = tokio::join!(open(&address), open(&address));
    echo(&mut one, b"one").await;
    echo(&mut two, b"two").await;
    assert!(!*region.state.early_bytes.lock().unwrap(), "no byte before the 101");

    signal(&child, "INT").await;
    let output = bounded(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("session 0-4f1c2a ended after"), "{}", text(&output.stderr));
    assert!(region.seen().contains(&"DELETE /v1/sessions/0-4f1c2a".to_owned()), "{:?}", region.seen());
    assert_eq!(bounded(one.read(&mut [0])).await.unwrap_or(0), 0, "closed");
}

#[tokio::test]
async fn the_request_says_who_wants_what_and_why() {
    let region = Region::begin().await;
    let child = region.command(&[&CT[..], &["--incident", "4711", "--stdio"]].concat()).spawn().unwrap();
    drop(bounded(child.wait_with_output()).await.unwrap());
    let post = region.seen().into_iter().find_map(|seen| seen.strip_prefix("POST /v1/sessions ").map(str::to_owned));
    let request: Value = serde_json::from_str(&post.unwrap()).unwrap();
    let expected = serde_json::json!({
        "device": "site-lyon/ct-scanner", "service": "ssh", "reason": "tube arcing", "incident": "4711",
    });
    assert_eq!(request, expected);
}

#[tokio::test]
async fn as_proxy_command_standard_output_carries_the_devices_bytes_only() {
    let region = Region::begin().await;
    let mut child = region.command(&[&CT[..], &["--stdio"]].concat()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"SSH-2.0-me\r\n").await.unwrap();
    drop(stdin);
    let output = bounded(child.wait_with_output()).await.unwrap();
    assert_eq!(output.stdout, b">SSH-2.0-me\r\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!*region.state.early_bytes.lock().unwrap(), "no byte before the 101");
    assert!(region.seen().iter().any(|seen| seen.starts_with("DELETE")), "the session is ended");
}

#[tokio::test]
async fn a_terminated_proxy_command_ends_its_session() {
    for name in ["TERM", "HUP"] {
        let region = Region::begin().await;
        let mut child = region.command(&[&CT[..], &["--stdio"]].concat()).spawn().unwrap();
        let mut first = [0];
        bounded(child.stdout.as_mut().unwrap().read_exact(&mut first)).await.unwrap();
        signal(&child, name).await;
        // Standard input stays open, as ssh would leave it: it must not wait for it.
        let status = bounded(child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(region.seen().iter().any(|seen| seen.starts_with("DELETE")), "{name}");
    }
}

#[tokio::test]
async fn a_withdrawn_session_ends_the_program_with_the_reason() {
    for (reason, words) in [
        ("withdrawn", "no longer allowed: site site-lyon/hospices-rhone is suspended"),
        ("idle", "nothing moved for 15m"),
    ] {
        let region = Region::begin().await;
        let (child, address) = listening(&region).await;
        let mut stream = open(&address).await;
        region.withdraw(reason);
        assert_eq!(bounded(stream.read(&mut [0])).await.unwrap_or(0), 0, "the local connection is closed too");
        let output = bounded(child.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn a_cut_proxy_command_tells_why_on_standard_error() {
    let region = Region::begin().await;
    let mut child = region.command(&[&CT[..], &["--stdio"]].concat()).spawn().unwrap();
    bounded(child.stdout.as_mut().unwrap().read_exact(&mut [0])).await.unwrap();
    region.withdraw("tunnelLost");
    let output = bounded(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(text(&output.stderr).contains("the tunnel to the site is gone"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_session_that_somebody_ends_elsewhere_is_no_failure() {
    let region = Region::begin().await;
    let (child, _) = listening(&region).await;
    assert!(region.run(&["end", "0-4f1c2a"]).await.status.success());
    let output = bounded(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_device_that_the_agent_cannot_reach_ends_the_session_with_its_own_code() {
    let region = Region::begin().await;
    *region.state.refuse_streams.lock().unwrap() = Some((502, "refusedBySite"));
    let output = region.run(&[&CT[..], &["--stdio"]].concat()).await;
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(region.seen().iter().any(|seen| seen.starts_with("DELETE")), "no session is left behind");
    assert_eq!(text(&output.stdout), "");
}

#[tokio::test]
async fn another_gateway_is_tried_while_one_is_draining() {
    let region = Region::begin().await;
    region.state.refusals.lock().unwrap().extend([(503, "draining"), (503, "draining")]);
    let (child, _) = listening(&region).await;
    signal(&child, "INT").await;
    assert!(bounded(child.wait_with_output()).await.unwrap().status.success());
    assert_eq!(region.seen().iter().filter(|seen| seen.starts_with("POST")).count(), 3);
}

#[tokio::test]
async fn a_taken_port_leaves_no_session_behind() {
    let region = Region::begin().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = region.run(&[&CT[..], &["--listen", &address]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {address}")), "{}", text(&output.stderr));
    assert!(!region.seen().iter().any(|seen| seen.starts_with("POST")));
}
