//! The program itself: started with a configuration file, serving, told to stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::Stdio;
use std::time::Duration;

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sallyport-agent");

/// Anonymous memory of the program with two idle tunnels, built without optimisation: 1.4 MiB measured.
const MAX_IDLE_KIB: u64 = 4 * 1024;

fn agent(region: &Region, gateway: u16, admin: u16) -> Child {
    let yaml = region.yaml(gateway).replace("gateway: {", "gateway: {address: 127.0.0.1, ");
    region.write("allow.yaml", "allow: []");
    region.write("agent.yaml", &format!("{yaml}admin: 127.0.0.1:{admin}\nlog: {{format: json}}\n"));
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(region.path("agent.yaml"));
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

#[tokio::test]
async fn it_serves_reports_and_stops_when_told() {
    let region = Region::new();
    let mut gateway = Gateway::start(&region, HOST, |_| Reply::Tunnel("gw-0")).await;
    // Free a moment ago; nobody else on this host asks for a port by number in a test.
    let admin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut child = agent(&region, gateway.port, admin);
    let tunnels = [gateway.next().await, gateway.next().await];
    for taken in &tunnels {
        taken.tunnel.push_offer(region.sign(&region.offer(22, 1))).await.unwrap();
    }

    let mut metrics = String::new();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", admin)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.read_to_string(&mut metrics).await.unwrap();
    assert!(metrics.contains("sallyport_agent_tunnels 2"), "{metrics}");
    assert!(metrics.contains(r#"sallyport_agent_offers_total{result="inForce"} 2"#), "{metrics}");

    let pid = child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap().trim().trim_end_matches(" kB");
    println!("anonymous memory: {kib} KiB");
    assert!(kib.parse::<u64>().unwrap() < MAX_IDLE_KIB, "{kib} KiB");

    assert!(Command::new("kill").arg(pid.to_string()).status().await.unwrap().success());
    let exit = tokio::time::timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    assert!(exit.success());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
    for line in log.lines() {
        let _object: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    assert!(log.contains(r#""endpoint":"lyon/ct-room-2""#), "{log}");
    assert!(!log.contains("PRIVATE"));
}

#[tokio::test]
async fn check_ends_with_its_verdict_and_run_with_a_reason() {
    let check = Command::new(PROGRAM).args(["check", "-o", "json", "--config", "/nowhere"]).output().await.unwrap();
    assert_eq!(check.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(report["checks"][0]["outcome"], "failed");

    let run = Command::new(PROGRAM).args(["run", "--config", "/nowhere"]).output().await.unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8(run.stderr).unwrap().contains("--config"));

    let completion = Command::new(PROGRAM).args(["completion", "bash"]).output().await.unwrap();
    assert!(completion.status.success() && !completion.stdout.is_empty());
}
