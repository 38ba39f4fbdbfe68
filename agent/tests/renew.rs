//! Renewal against a scripted gateway: the tunnel stays, the certificate changes; what is refused or a lie changes
//! nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_agent::config::Config;
use sallyport_agent::handler::Site;
use sallyport_agent::metrics::Metrics;
use sallyport_agent::renew::{Pace, keep};
use sallyport_agent::run::{RunError, run};
use sallyport_agent::surroundings::Surroundings;
use sallyport_pki::announcement::TrustAnnouncement;
use sallyport_pki::authority::Leaf;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{PrivateKey, PublicKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::reenrol;
use sallyport_pki::renewal::{self, NotProven};
use sallyport_runtime::admin::Readiness;
use sallyport_runtime::metrics::Registry;
use sallyport_testkit::eventually;
use sallyport_tunnel::{NONCE, StreamTarget, Tunnel};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Certificates begin five minutes back, so one of a minute is six minutes long and past two thirds of its life.
const DUE: Duration = Duration::from_secs(60);
const PENDING: &str = "tls.key.pending";
const SOON: Duration = Duration::from_secs(20);

type Log = Arc<Mutex<Vec<Asked>>>;

/// A gateway for this region's agent, with what EST answers.
async fn gateway(
    region: &Arc<Region>,
    clients: &TrustBundle,
    door: (PrivateKey, Leaf),
    answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static,
) -> (Gateway, Log) {
    let log = Log::default();
    let (asked, scripted) = (Arc::clone(&log), Arc::downgrade(region));
    let est = move |now: Asked| {
        asked.lock().unwrap().push(now.clone());
        answer(&scripted.upgrade().unwrap(), &now)
    };
    (Gateway::start_est(clients, door, est, |_| Reply::Tunnel("gw-0")).await, log)
}

async fn of_one_authority(
    region: &Arc<Region>,
    answer: impl Fn(&Region, &Asked) -> Answered + Send + 'static,
) -> (Gateway, Log) {
    gateway(region, &region.authority.bundle(), region.door(HOST), answer).await
}

fn renewed(region: &Region, asked: &Asked) -> Answered {
    assert_eq!(asked.operation, "simplereenroll");
    assert_eq!(asked.basic, None);
    assert_eq!(proof_counts(region, asked), Ok(()));
    Answered::leaf(&region.issue(&region.authority, &asked.csr, 90 * DAY))
}

/// What the operator looks at: the holder of the present certificate's key wants exactly this request answered.
fn proof_counts(region: &Region, asked: &Asked) -> Result<(), NotProven> {
    let proof = asked.proof.as_deref().unwrap_or_default();
    reenrol::verify(asked.client.as_ref().unwrap(), &region.id, &region.endpoint, &asked.csr, proof)
}

struct Agent {
    task: JoinHandle<Result<(), RunError>>,
    stop: CancellationToken,
}

fn start(config: Config) -> Agent {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let config = Config { tunnels: 1, ..config };
    let task = tokio::spawn(async move { run(config, surroundings(), told).await });
    Agent { task, stop }
}

impl Agent {
    async fn ends(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Only the renewal, at a test's pace.
struct Renewal {
    site: Arc<Site>,
    registry: Registry,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Renewal {
    fn start(config: Config) -> Self {
        Self::start_in(config, surroundings())
    }

    fn start_in(config: Config, surroundings: Surroundings) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry, &Readiness::new());
        let site = Arc::new(Site::open(config, surroundings, metrics).unwrap());
        let stop = CancellationToken::new();
        let pace = Pace { first: Duration::from_millis(10), longest: Duration::from_millis(40) };
        let task = tokio::spawn(keep(Arc::clone(&site), pace, stop.clone()));
        Self { site, registry, stop, task }
    }

    fn leaf(&self) -> Vec<u8> {
        self.site.material().leaf.to_vec()
    }

    fn counted(&self, result: &str) -> u64 {
        self.site.metrics.renewals.with_label_values(&[result]).get()
    }

    async fn counts(&self, result: &str, least: u64) {
        eventually(SOON, result, async || self.counted(result) >= least).await;
    }

    async fn ends(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn on_disk(region: &Region) -> Vec<u8> {
    let key_pem = std::fs::read_to_string(region.path("tls.key")).unwrap();
    let chain_pem = std::fs::read_to_string(region.path("tls.crt")).unwrap();
    let own = sallyport_runtime::tls::KeyMaterial { chain_pem, key_pem: key_pem.clone().into() };
    let leaf = own.leaf().unwrap().to_vec();
    let key = PrivateKey::from_pem(&key_pem).unwrap();
    assert_eq!(sallyport_pki::inspect::public_key(&leaf).unwrap(), key.public_key());
    leaf
}

async fn proven(tunnel: &Tunnel) -> Vec<u8> {
    let nonce: [u8; NONCE] = rand::random();
    let proof = tunnel.prove("gw-0", nonce).await.unwrap();
    renewal::verify(&proof.certificate, "gw-0", &nonce, &proof.signature).unwrap();
    // Not for another gateway, and not for another question.
    assert!(renewal::verify(&proof.certificate, "gw-1", &nonce, &proof.signature).is_err());
    assert!(renewal::verify(&proof.certificate, "gw-0", &[0; NONCE], &proof.signature).is_err());
    proof.certificate
}

async fn echoes(tunnel: &Tunnel) {
    let device = "lyon/ct-1".parse().unwrap();
    let target = StreamTarget { device, service: "echo".parse().unwrap(), session: "0-abc".to_owned() };
    let mut stream = tunnel.open(target).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_due_certificate_is_renewed_under_an_open_tunnel() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let old = on_disk(&region);
    let device = echo_device().await;
    // It holds the answer back until the tunnel is up.
    let (go, ready) = std::sync::mpsc::channel::<()>();
    let ready = Mutex::new(ready);
    let (mut gateway, log) = of_one_authority(&region, move |region, asked| match ready.lock().unwrap().try_recv() {
        Ok(()) => renewed(region, asked),
        Err(_) => Answered::refuse(503, "notNow").retry_after(Duration::from_secs(1)),
    })
    .await;
    let renewal = Renewal::start(region.config(gateway.port, device));
    let agent = start(Config { renew: false, ..region.config(gateway.port, device) });
    let taken = gateway.next().await;
    assert_eq!((&taken.certificate, &proven(&taken.tunnel).await), (&old, &old));
    taken.tunnel.push_offer(region.sign(&region.offer(device, 1))).await.unwrap();
    echoes(&taken.tunnel).await;
    go.send(()).unwrap();
    renewal.counts("renewed", 1).await;
    let new = on_disk(&region);
    assert_ne!(new, old);
    assert_eq!(renewal.leaf(), new);
    assert_eq!(log.lock().unwrap()[0].client.as_ref(), Some(&old), "the present certificate is what it asks with");
    let text = renewal.registry.text().unwrap();
    let end = renewal.site.material().validity.not_after.as_second();
    assert!(text.contains(&format!("sallyport_agent_certificate_not_after_seconds {end}")), "{text}");
    echoes(&taken.tunnel).await;
    renewal.ends().await;
    agent.ends().await;
}

/// The whole agent: the tunnel that stands proves the new certificate, and the next dial shows it.
#[tokio::test]
async fn the_tunnel_that_stands_moves_to_the_new_certificate_and_the_next_one_begins_with_it() {
    let region = Arc::new(Region::new());
    let (second, _) = region.generation(2);
    let both = region.authority.bundle().union(&second.bundle());
    let second = Arc::new(second);
    let (issuer, device) = (Arc::clone(&second), echo_device().await);
    let (mut gateway, log) = gateway(&region, &both, region.door(HOST), move |region, asked| {
        Answered::leaf(&region.issue(&issuer, &asked.csr, 90 * DAY))
    })
    .await;
    let agent = start(region.config(gateway.port, device));
    let taken = gateway.next().await;
    let old = proven(&taken.tunnel).await;
    taken.tunnel.push_offer(region.sign(&region.offer(device, 1))).await.unwrap();
    // First trust in both, while the first one signs: nothing to renew.
    let first = region.announce(1, &both, &region.authority);
    assert_eq!(taken.tunnel.push_trust(first).await.unwrap(), both.digest());
    assert!(log.lock().unwrap().is_empty());
    // Then the second one signs.
    assert_eq!(taken.tunnel.push_trust(region.announce(2, &both, &second)).await.unwrap(), both.digest());
    let new = async {
        loop {
            let certificate = proven(&taken.tunnel).await;
            if certificate != old {
                return certificate;
            }
            tokio::task::yield_now().await;
        }
    };
    let new = tokio::time::timeout(SOON, new).await.unwrap();
    assert_eq!(second.bundle().issuer_of(&new), Some(second.fingerprint()));
    echoes(&taken.tunnel).await;
    assert_eq!(log.lock().unwrap().len(), 1);
    // The first one goes; an agent of the second stays.
    let last = region.announce(3, &second.bundle(), &second);
    assert_eq!(taken.tunnel.push_trust(last).await.unwrap(), second.bundle().digest());
    echoes(&taken.tunnel).await;
    agent.ends().await;

    // Started again, in front of a gateway that only knows the second one.
    let door = leaf(&second, &region.id, Profile::OuterDoor { host: HOST.try_into().unwrap() }, DAY);
    let (mut later, _) = self::gateway(&region, &second.bundle(), door, renewed).await;
    let agent = start(region.config(later.port, device));
    assert_eq!(later.next().await.certificate, new);
    agent.ends().await;
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_is_asked_again() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let times = Mutex::new(0);
    let (gateway, log) = of_one_authority(&region, move |region, asked| {
        let mut times = times.lock().unwrap();
        *times += 1;
        if *times <= 3 { Answered::refuse(503, "notNow") } else { renewed(region, asked) }
    })
    .await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    renewal.counts("renewed", 1).await;
    assert_eq!(renewal.counted("refused"), 3);
    // One key until a certificate of it is in use: an answer that got lost could be given again.
    let keys: Vec<_> = log.lock().unwrap().iter().map(key).collect();
    assert_eq!(keys, vec![keys[0].clone(); 4]);
    assert_eq!(sallyport_pki::inspect::public_key(&on_disk(&region)).unwrap(), keys[0]);
    assert!(!exists(&region.path(PENDING)));

    // The next certificate has another one.
    region.renew(DUE);
    renewal.site.reload();
    renewal.counts("renewed", 2).await;
    assert_ne!(log.lock().unwrap().last().map(key), Some(keys[0].clone()));
    renewal.ends().await;
}

fn key(asked: &Asked) -> PublicKey {
    sallyport_pki::csr::public_key(&asked.csr).unwrap()
}

/// By the operator's clock it is ten minutes later: what it issues begins in five. The present certificate ends before.
#[tokio::test]
async fn a_certificate_that_begins_soon_is_kept_and_put_in_use_then() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let old = on_disk(&region);
    let (gateway, log) = of_one_authority(&region, |region, asked| {
        let theirs = Timestamp::now() + SignedDuration::from_mins(10);
        Answered::leaf(&region.issue_at(&region.authority, &asked.csr, 90 * DAY, theirs))
    })
    .await;
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let surroundings = at(move || Timestamp::now() + SignedDuration::from_secs(clock.load(SeqCst)));
    let renewal = Renewal::start_in(region.config(gateway.port, 1), surroundings.clone());
    renewal.counts("beginsLater", 1).await;
    assert_eq!((on_disk(&region), renewal.leaf()), (old.clone(), old.clone()));
    assert!(std::fs::read_to_string(region.path(PENDING)).unwrap().contains("BEGIN CERTIFICATE"));
    renewal.ends().await;

    // After a restart it is still there, and at the end of the old one.
    let renewal = Renewal::start_in(region.config(gateway.port, 1), surroundings);
    renewal.counts("beginsLater", 1).await;
    assert_eq!(renewal.leaf(), old);
    ahead.store(6 * 60, SeqCst);
    // It looks at the clock every minute, and when it is told something.
    renewal.site.take_trust(&region.announce(1, &region.authority.bundle(), &region.authority)).unwrap();
    renewal.counts("renewed", 1).await;
    let new = on_disk(&region);
    assert_eq!(renewal.leaf(), new);
    assert_eq!(sallyport_pki::inspect::public_key(&new).unwrap(), key(&log.lock().unwrap()[0]));
    assert_eq!(log.lock().unwrap().len(), 1);
    assert!(!exists(&region.path(PENDING)));
    renewal.ends().await;
}

/// The region issues from a CA that this agent does not trust yet: the certificate is not thrown away, and no more are
/// asked for meanwhile.
#[tokio::test]
async fn a_certificate_of_a_ca_that_is_trusted_later_is_put_in_use_then() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let old = on_disk(&region);
    let (second, _) = region.generation(2);
    let second = Arc::new(second);
    let issuer = Arc::clone(&second);
    let (gateway, log) =
        of_one_authority(&region, move |region, asked| Answered::leaf(&region.issue(&issuer, &asked.csr, 90 * DAY)))
            .await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    renewal.counts("wrongAnswer", 4).await;
    assert_eq!((log.lock().unwrap().len(), on_disk(&region)), (1, old));
    let both = region.authority.bundle().union(&second.bundle());
    renewal.site.take_trust(&region.announce(1, &both, &second)).unwrap();
    renewal.counts("renewed", 1).await;
    assert_eq!(second.bundle().issuer_of(&on_disk(&region)), Some(second.fingerprint()));
    assert_eq!((log.lock().unwrap().len(), renewal.leaf()), (1, on_disk(&region)));
    renewal.ends().await;
}

/// What another CA signs than the trusted ones could not be used, so nobody is asked for it.
#[tokio::test]
async fn while_the_announced_issuer_is_not_trusted_nothing_is_asked() {
    let region = Arc::new(Region::new());
    let (second, _) = region.generation(2);
    let both = region.authority.bundle().union(&second.bundle());
    let (gateway, log) = of_one_authority(&region, renewed).await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    let announcement = region.announcement(1, &both, &second);
    let announcement =
        Announcement(TrustAnnouncement { renew_within_seconds: 10_000_000, issued_at_ms: now_ms(), ..announcement.0 });
    renewal.site.take_trust(&announcement.by(&region.signer)).unwrap();
    // Somebody puts the old trust file back, and a certificate that is due.
    region.write("ca.crt", &region.authority.certificate_pem());
    region.renew(DUE);
    renewal.site.reload();
    renewal.counts("issuerNotTrusted", 2).await;
    assert!(log.lock().unwrap().is_empty() && !exists(&region.path(PENDING)));
    region.write("ca.crt", &both.to_pem());
    renewal.site.reload();
    renewal.counts("renewed", 1).await;
    renewal.ends().await;
}

fn now_ms() -> u64 {
    Timestamp::now().as_millisecond().try_into().unwrap()
}

/// Killed, or out of disk, after the answer was kept and before the files were replaced.
#[tokio::test]
async fn an_answer_that_could_not_be_put_in_place_is_not_asked_for_again() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let (gateway, log) = of_one_authority(&region, |region, asked| {
        // A folder in the place of the file that the certificate is replaced through.
        std::fs::create_dir(region.path("tls.crt.next")).unwrap();
        renewed(region, asked)
    })
    .await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    renewal.counts("failed", 2).await;
    std::fs::remove_dir(region.path("tls.crt.next")).unwrap();
    renewal.counts("renewed", 1).await;
    assert_eq!(log.lock().unwrap().len(), 1);
    assert_eq!(renewal.leaf(), on_disk(&region));
    renewal.ends().await;
}

#[tokio::test]
async fn what_is_delivered_as_files_is_asked_for_once_until_the_files_change() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let (gateway, log) = of_one_authority(&region, |_, _| Answered::refuse(403, "deliveredBySecret")).await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    renewal.counts("refused", 1).await;
    // One that is refused for another reason asks again and again meanwhile, at the same pace.
    let other = Arc::new(Region::new());
    other.renew(DUE);
    let (others, _) = of_one_authority(&other, |_, _| Answered::refuse(403, "suspended")).await;
    let control = Renewal::start(other.config(others.port, 1));
    for sequence in 1..=5 {
        let document = region.announce(sequence, &region.authority.bundle(), &region.authority);
        renewal.site.take_trust(&document).unwrap();
        control.counts("refused", 2 * sequence).await;
    }
    control.ends().await;
    assert_eq!(log.lock().unwrap().len(), 1);
    region.renew(DUE);
    renewal.site.reload();
    renewal.counts("refused", 2).await;
    renewal.ends().await;
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn told_not_to_renew_it_does_not() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let (second, _) = region.generation(2);
    let both = region.authority.bundle().union(&second.bundle());
    let device = echo_device().await;
    let (mut gateway, log) = of_one_authority(&region, |_, _| Answered::refuse(503, "notNow")).await;
    let agent = start(Config { renew: false, ..region.config(gateway.port, device) });
    let tunnel = gateway.next().await.tunnel;
    tunnel.push_offer(region.sign(&region.offer(device, 1))).await.unwrap();
    // Due by its life, and by the announcement.
    assert_eq!(tunnel.push_trust(region.announce(1, &both, &second)).await.unwrap(), both.digest());
    echoes(&tunnel).await;
    agent.ends().await;
    assert!(log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lie_replaces_nothing() {
    type Lie = fn(&Region, &Asked) -> Answered;
    let lies: [(Lie, &str); 5] = [
        (
            |region, _| {
                let other = Profile::Endpoint(region.endpoint.clone());
                Answered::leaf(&leaf(&region.authority, &region.id, other, 90 * DAY).1)
            },
            "wrongAnswer",
        ),
        (
            |region, asked| {
                let other = "lyon/mr".parse().unwrap();
                Answered::leaf(&region.issue_to(&region.authority, &other, &asked.csr, 90 * DAY))
            },
            "wrongAnswer",
        ),
        (|region, asked| Answered::leaf(&region.issue(&region.generation(2).0, &asked.csr, 90 * DAY)), "wrongAnswer"),
        (|_, _| Answered::raw("text/html", b"<html>"), "wrongAnswer"),
        (|_, _| Answered::refuse(403, "suspended"), "refused"),
    ];
    for (lie, result) in lies {
        let region = Arc::new(Region::new());
        region.renew(DUE);
        let old = on_disk(&region);
        let (gateway, _) = of_one_authority(&region, lie).await;
        let renewal = Renewal::start(region.config(gateway.port, 1));
        renewal.counts(result, 2).await;
        assert_eq!((on_disk(&region), renewal.leaf()), (old.clone(), old));
        assert_eq!(renewal.counted("renewed"), 0);
        renewal.ends().await;
    }
}

#[tokio::test]
async fn a_gateway_of_another_ca_is_not_asked_for_a_certificate() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    let (gateway, log) =
        gateway(&region, &region.authority.bundle(), Region::new().door(HOST), |_, _| panic!("it was asked")).await;
    let renewal = Renewal::start(region.config(gateway.port, 1));
    renewal.counts("notConnected", 1).await;
    assert!(log.lock().unwrap().is_empty());
    renewal.ends().await;
}

#[tokio::test]
async fn without_a_place_for_the_result_nothing_is_asked() {
    let region = Arc::new(Region::new());
    region.renew(DUE);
    // As long as a name may be: it can be read, and nothing longer can be made beside it.
    let name = "k".repeat(255);
    std::fs::copy(region.path("tls.key"), region.path(&name)).unwrap();
    let (gateway, log) = of_one_authority(&region, renewed).await;
    let config = Config { key: region.path(&name), ..region.config(gateway.port, 1) };
    let renewal = Renewal::start(config);
    renewal.counts("notWritable", 2).await;
    assert!(log.lock().unwrap().is_empty());
    renewal.ends().await;
}

#[tokio::test]
async fn a_replacement_that_was_interrupted_is_finished_at_the_next_start() {
    let region = Arc::new(Region::new());
    let (old_key, old) = (std::fs::read(region.path("tls.key")).unwrap(), on_disk(&region));
    region.renew(90 * DAY);
    let new = on_disk(&region);
    // Killed after the key was put in place, before the certificate was.
    std::fs::rename(region.path("tls.crt"), region.path("tls.crt.next")).unwrap();
    region.write("tls.crt", &sallyport_pki::pem::certificate(&old));
    let (mut gateway, _) = of_one_authority(&region, renewed).await;
    let agent = start(region.config(gateway.port, 1));
    assert_eq!(gateway.next().await.certificate, new);
    agent.ends().await;
    assert_eq!(on_disk(&region), new);

    // Killed with half a replacement: the present pair is used and the rest is swept away.
    region.write("tls.key.next", &String::from_utf8(old_key).unwrap());
    let agent = start(region.config(gateway.port, 1));
    assert_eq!(gateway.next().await.certificate, new);
    agent.ends().await;
    assert!(!exists(&region.path("tls.key.next")));
}
