//! The agent against a scripted gateway: tunnels, offers, connections, drain, stop, renewal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sallyport_agent::config::Config;
use sallyport_agent::dial::Slot;
use sallyport_agent::handler::Site;
use sallyport_agent::metrics::Metrics;
use sallyport_agent::run::{RunError, run};
use sallyport_agent::slot::keep;
use sallyport_pki::profile::Profile;
use sallyport_runtime::admin::Readiness;
use sallyport_runtime::metrics::Registry;
use sallyport_tunnel::{CloseReason, OpenError, PushError, RefusalReason, StreamTarget, Tunnel};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Agent {
    task: JoinHandle<Result<(), RunError>>,
    stop: CancellationToken,
}

fn start(config: Config) -> Agent {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let task = tokio::spawn(async move { run(config, surroundings(), told).await });
    Agent { task, stop }
}

fn one_tunnel(config: Config) -> Config {
    Config { tunnels: 1, ..config }
}

fn target(service: &str) -> StreamTarget {
    StreamTarget {
        device: "lyon/ct-1".parse().unwrap(),
        service: service.parse().unwrap(),
        session: "0-abc".to_owned(),
    }
}

async fn echoes(tunnel: &Tunnel) {
    let mut stream = tunnel.open(target("echo")).await.unwrap();
    stream.write_all(b"to the device and back").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "to the device and back");
}

#[tokio::test]
async fn a_byte_goes_from_the_gateway_to_a_declared_device_and_nowhere_else() {
    let region = Region::new();
    let device = echo_device().await;
    let mut gateway = Gateway::start(&region, HOST, |_| Reply::Tunnel("gw-0")).await;
    let agent = start(one_tunnel(region.config(gateway.port, device)));
    let tunnel = gateway.next().await.tunnel;

    let nothing = tunnel.open(target("echo")).await.err().unwrap();
    assert_eq!(nothing.label(), RefusalReason::NoOffer.label());
    tunnel.push_offer(region.sign(&region.offer(device, 1000))).await.unwrap();
    echoes(&tunnel).await;
    let unknown = tunnel.open(target("ssh")).await.err().unwrap();
    assert_eq!(unknown.label(), RefusalReason::UnknownService.label());
    // The allow-list names one port only.
    tunnel.push_offer(region.sign(&region.offer(1, 1001))).await.unwrap();
    let OpenError::Refused(refusal) = tunnel.open(target("echo")).await.err().unwrap() else { panic!() };
    assert_eq!(refusal.reason, RefusalReason::RefusedAddress);
    assert!(refusal.detail.contains("loopback"), "{}", refusal.detail);

    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();
    assert!(matches!(tunnel.closed().await, CloseReason::PeerClosed(_)));
}

#[tokio::test]
async fn only_the_config_signer_can_change_the_offer_and_only_forward() {
    let region = Region::new();
    let device = echo_device().await;
    let mut gateway = Gateway::start(&region, HOST, |_| Reply::Tunnel("gw-0")).await;
    let config = one_tunnel(region.config(gateway.port, device));
    let agent = start(config.clone());
    let tunnel = gateway.next().await.tunnel;
    let good = region.sign(&region.offer(device, 1000));
    tunnel.push_offer(good.clone()).await.unwrap();

    let mut other_endpoint = region.offer(device, 2000);
    other_endpoint.endpoint = "lyon/ct-room-3".parse().unwrap();
    let stranger = Region::new();
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for (bad, why) in [
        (region.sign(&other_endpoint), "ct-room-3"),
        (region.sign(&region.offer(device, 999)), "999"),
        (stranger.sign(&region.offer(device, 3000)), "trusted"),
        (Bytes::from(damaged), "signature"),
        (Bytes::from_static(b"{}"), "malformed"),
    ] {
        let PushError::Refused(said) = tunnel.push_offer(bad).await.unwrap_err() else { panic!("{why}") };
        assert!(said.contains(why), "{said}");
    }
    // The same again is fine, and what was in force still is.
    tunnel.push_offer(good).await.unwrap();
    echoes(&tunnel).await;
    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();

    // After a restart it is in force without a gateway sending it, and an older one stays refused.
    let stored = std::fs::metadata(region.path("offer.signed")).unwrap();
    assert_eq!(stored.permissions().mode() & 0o777, 0o600);
    let agent = start(config.clone());
    let tunnel = gateway.next().await.tunnel;
    echoes(&tunnel).await;
    assert!(tunnel.push_offer(region.sign(&region.offer(device, 999))).await.is_err());
    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();

    // What somebody else put there is not.
    std::fs::write(region.path("offer.signed"), stranger.sign(&region.offer(device, 5000))).unwrap();
    let agent = start(config);
    let tunnel = gateway.next().await.tunnel;
    let refused = tunnel.open(target("echo")).await.err().unwrap();
    assert_eq!(refused.label(), RefusalReason::NoOffer.label());
    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_two_tunnels_end_on_two_gateways() {
    let region = Region::new();
    // A load balancer in front of two replicas that mostly picks the first; each holds one tunnel of an instance.
    let (mut attempts, mut held) = (0, BTreeSet::new());
    let mut gateway = Gateway::start(&region, HOST, move |_| {
        attempts += 1;
        let replica = if attempts % 4 == 0 { "gw-1" } else { "gw-0" };
        if held.insert(replica) { Reply::Tunnel(replica) } else { Reply::Refuse(409, "held") }
    })
    .await;
    let agent = start(region.config(gateway.port, 1));
    let (first, second) = (gateway.next().await, gateway.next().await);
    assert_eq!(BTreeSet::from([first.gateway, second.gateway]), BTreeSet::from(["gw-0", "gw-1"]));
    assert_eq!(BTreeSet::from([first.slot, second.slot]), BTreeSet::from(["0".to_owned(), "1".to_owned()]));
    assert_eq!(first.instance, second.instance);
    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drained_tunnel_is_replaced_while_its_streams_go_on() {
    let region = Region::new();
    let device = echo_device().await;
    let mut gateway = Gateway::start(&region, HOST, |_| Reply::Tunnel("gw-0")).await;
    let agent = start(one_tunnel(region.config(gateway.port, device)));
    let old = gateway.next().await.tunnel;
    old.push_offer(region.sign(&region.offer(device, 1000))).await.unwrap();
    let mut stream = old.open(target("echo")).await.unwrap();
    old.drain().await.unwrap();
    let new = gateway.next().await.tunnel;
    echoes(&new).await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    drop(stream);
    assert_eq!(old.closed().await, CloseReason::Drained);
    echoes(&new).await;
    agent.stop.cancel();
    agent.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_tunnel_is_dialled_again_and_its_devices_are_let_go() {
    let region = Region::new();
    let device = echo_device().await;
    let mut failures = 2;
    let mut gateway = Gateway::start(&region, HOST, move |_| {
        failures -= 1;
        if failures >= 0 { Reply::Refuse(503, "draining") } else { Reply::Tunnel("gw-0") }
    })
    .await;
    let agent = start(one_tunnel(region.config(gateway.port, device)));
    let tunnel = gateway.next().await.tunnel;
    tunnel.push_offer(region.sign(&region.offer(device, 1000))).await.unwrap();
    let mut stream = tunnel.open(target("echo")).await.unwrap();
    tunnel.close("suspended");
    assert!(stream.read_u8().await.is_err());
    echoes(&gateway.next().await.tunnel).await;
    agent.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), agent.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let region = Region::new();
    let config = region.config(1, 1);
    let site = Site::open(config, surroundings(), Metrics::new(&Registry::new(), &Readiness::new())).unwrap();
    let before = site.material();
    site.reload();
    assert!(Arc::ptr_eq(&before, &site.material()), "unchanged files are not read into a new material");
    region.renew(Duration::from_secs(24 * 60 * 60));
    site.reload();
    let renewed = site.material();
    assert_ne!(before.leaf, renewed.leaf);
    region.write("tls.key", "half a fi");
    site.reload();
    assert!(Arc::ptr_eq(&renewed, &site.material()));
}

/// It lives as long as the agent. Growth is a finding.
#[tokio::test]
async fn a_slots_future_is_small() {
    let region = Region::new();
    let metrics = Metrics::new(&Registry::new(), &Readiness::new());
    let site = Arc::new(Site::open(region.config(1, 1), surroundings(), metrics).unwrap());
    let slot = Slot { number: 0, instance: String::new() };
    let size = size_of_val(&keep(slot, site, CancellationToken::new()));
    assert!(size <= 2048, "{size}");
}

#[tokio::test]
async fn without_certificate_and_key_it_says_how_to_enrol() {
    let region = Region::new();
    let config = region.config(1, 1);
    for file in [&config.certificate, &config.key] {
        std::fs::remove_file(file).unwrap();
    }
    let error = run(config, surroundings(), CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("enrol --help"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_no_endpoints_does_not_start() {
    let region = Region::new();
    region.certificate(Profile::Operator, Duration::from_secs(3600));
    let config = region.config(1, 1);
    let error = run(config, surroundings(), CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("operator"), "{error}");
}
