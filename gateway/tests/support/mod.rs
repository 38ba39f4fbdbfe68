//! A region of real gateways on loopback, with a scripted operator, agents over the real tunnel, and engineers over the
//! real inner door.

#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

pub mod agent;
pub mod collector;
pub mod engineer;
pub mod operator;
pub mod outer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_audit::journal::{Found, recover};
use sallyport_audit::{Event, Sealed};
use sallyport_control::wire;
use sallyport_core::config::{Device, Endpoint, Policy, Protocol, RegionConfig, Service, Settings};
use sallyport_core::identity::Role;
use sallyport_core::level::{AccessLevel, DeviceClass};
use sallyport_core::name::Name;
use sallyport_gateway::place::{Listen, Place};
use sallyport_gateway::run::{self, Running};
use sallyport_pki::authority::{LeafRequest, Serial};
use sallyport_pki::profile::Profile;
use sallyport_runtime::tls::{self, ExpectedServer, KeyMaterial};
use sallyport_testkit::{Ca, Credential, EngineersCa, eventually};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use agent::Agent;
pub use collector::Collector;
pub use engineer::EngineerClient;
pub use operator::Operator;

pub const WITHIN: Duration = Duration::from_secs(20);

pub struct Region {
    pub ca: Ca,
    pub engineers: EngineersCa,
    pub peers: Arc<Mutex<BTreeMap<Name, String>>>,
    pub replicas: usize,
    /// How long doors are held after a start; zero unless a test is about it.
    pub hold: Duration,
    volumes: Vec<TempDir>,
}

impl Region {
    pub fn new(replicas: usize) -> Self {
        tls::install();
        let volumes = (0..replicas).map(|_| tempfile::tempdir().unwrap()).collect();
        Self {
            ca: Ca::new("dmz", "frankfurt"),
            engineers: EngineersCa::new(),
            peers: Arc::default(),
            replicas,
            hold: Duration::ZERO,
            volumes,
        }
    }

    pub fn name(&self, ordinal: usize) -> Name {
        format!("frankfurt-gateway-{ordinal}").parse().unwrap()
    }

    pub fn volume(&self, ordinal: usize) -> &std::path::Path {
        self.volumes[ordinal].path()
    }

    /// Starts the process of one replica, or starts it again on the same volume.
    pub async fn start(&self, ordinal: usize) -> Running {
        self.start_mounted(ordinal, &self.ca).await
    }

    /// The same, with what Kubernetes mounts of another generation.
    pub async fn start_mounted(&self, ordinal: usize, ca: &Ca) -> Running {
        let volume = self.volume(ordinal);
        let bootstrap = ca.gateway_bootstrap();
        std::fs::write(volume.join("tls.crt"), &bootstrap.chain_pem).unwrap();
        std::fs::write(volume.join("tls.key"), bootstrap.key_pem.as_bytes()).unwrap();
        std::fs::write(volume.join("ca.crt"), ca.bundle().to_pem()).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let peers = Arc::clone(&self.peers);
        let place = Place {
            region: self.ca.region().clone(),
            gateway: self.name(ordinal),
            volume: volume.to_owned(),
            bootstrap: volume.to_owned(),
            trust: volume.join("ca.crt"),
            listen: Listen { outer: any, inner: any, control: any, peer: any, admin: any },
            hold: self.hold,
            peer_address: Arc::new(move |name| peers.lock().unwrap().get(name).cloned().unwrap_or_default()),
        };
        let running = run::start(place).await.unwrap();
        self.peers.lock().unwrap().insert(self.name(ordinal), running.listen.peer.to_string());
        running
    }

    /// A replica with an attached operator and its certificates.
    pub async fn ready(&self, ordinal: usize, config: &RegionConfig) -> (Running, Operator) {
        let running = self.start(ordinal).await;
        let mut operator = Operator::attach(self, &running).await;
        operator.trust(trust(1, &[(&self.ca, &[])], &self.ca)).await.unwrap();
        operator.put(config).await.unwrap();
        operator.certified().await;
        eventually(WITHIN, "the gateway says that it is ready", async || readyz(&running).await.contains("200 OK"))
            .await;
        (running, operator)
    }

    /// The same with a second endpoint, `lyon/other`, of the same hospital.
    pub fn config_of_two(&self) -> RegionConfig {
        let mut config = self.config();
        let endpoint = Endpoint { site: "lyon/hospital".parse().unwrap(), suspended: false, offer: b"other".to_vec() };
        config.endpoints.insert("lyon/other".parse().unwrap(), endpoint);
        config
    }

    /// One hospital with a CT scanner (reachable) and a laboratory device (needs approval).
    pub fn config(&self) -> RegionConfig {
        let services = BTreeMap::from([(
            "console".parse().unwrap(),
            Service { port: 443, protocol: Protocol::Https, examination_safe: true },
        )]);
        let device = |class| Device {
            suspended: false,
            site: "lyon/hospital".parse().unwrap(),
            endpoint: "lyon/agent".parse().unwrap(),
            customer: "Hospital".to_owned(),
            product: "CT".to_owned(),
            class,
            level: AccessLevel::PermanentLimited,
            address: "10.77.0.10".parse().unwrap(),
            services: services.clone(),
        };
        RegionConfig {
            settings: Settings {
                gateways: (0..self.replicas).map(|n| self.name(n)).collect(),
                outer_host: "outer.example".to_owned(),
                inner_host: "inner.example".to_owned(),
                engineer_authorities: self.engineers.bundle().to_pem(),
                drain_grace: Duration::from_secs(2),
                ..Settings::default()
            },
            endpoints: BTreeMap::from([(
                "lyon/agent".parse().unwrap(),
                Endpoint { site: "lyon/hospital".parse().unwrap(), suspended: false, offer: b"offer 1".to_vec() },
            )]),
            devices: BTreeMap::from([
                ("lyon/ct".parse().unwrap(), device(DeviceClass::InVivo)),
                ("lyon/lab".parse().unwrap(), device(DeviceClass::InVitro)),
            ]),
            policies: BTreeMap::from([(
                "dmz/ct-service".parse().unwrap(),
                Policy {
                    users: BTreeSet::new(),
                    groups: BTreeSet::from(["ct-service".to_owned()]),
                    devices: BTreeSet::from(["lyon/ct".parse().unwrap(), "lyon/lab".parse().unwrap()]),
                    services: BTreeSet::new(),
                    max_session: Duration::from_secs(3600),
                },
            )]),
        }
    }

    pub fn ada(&self) -> Credential {
        self.engineers.engineer("ada@vendor.example", &["ct-service"])
    }
}

/// The trust in these authorities, each with what it has revoked. Agents are told of it by its number.
pub fn trust(sequence: u64, authorities: &[(&Ca, &[&Credential])], issuer: &Ca) -> wire::Trust {
    trust_with(sequence, authorities, issuer, |(ca, revoked)| ca.revocation_list(next_number(), revoked))
}

/// The same with other lists.
pub fn trust_with(
    sequence: u64,
    authorities: &[(&Ca, &[&Credential])],
    issuer: &Ca,
    list: impl Fn(&(&Ca, &[&Credential])) -> Vec<u8>,
) -> wire::Trust {
    let certificates: String = authorities.iter().map(|(ca, _)| ca.authority().certificate_pem()).collect();
    sealed(wire::Trust {
        emergency: false,
        sequence,
        certificates,
        issuer: issuer.authority().fingerprint(),
        renew_within_s: 0,
        announcement: format!("announcement {sequence}").into_bytes(),
        revocation_lists: authorities.iter().map(list).collect(),
        revoked_serials: Vec::new(),
        digest: String::new(),
    })
}

/// With its digest.
pub fn sealed(mut trust: wire::Trust) -> wire::Trust {
    trust.digest = sallyport_control::digest::of_trust(&trust);
    trust
}

/// Numbers of revocation lists rise.
pub fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The admin port's word on readiness.
pub async fn readyz(running: &Running) -> String {
    let mut tcp = TcpStream::connect(running.listen.admin).await.unwrap();
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Asks the peer port with a certificate; the error says that no answer came.
pub async fn peer_answers(ca: &Ca, credential: &Credential, running: &Running) -> Result<(), String> {
    ask(&mut peer_connection(ca, credential, running).await?).await
}

/// A connection to the peer port.
pub async fn peer_connection(
    ca: &Ca,
    credential: &Credential,
    running: &Running,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let expected = ExpectedServer::new(ca.region().clone(), |role| matches!(role, Role::Gateway(_)));
    let config = tls::client_expecting(expected, Some(&material(credential)), &ca.bundle(), &[b"http/1.1"]).unwrap();
    let tcp = TcpStream::connect(running.listen.peer).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.map_err(|error| error.to_string())
}

/// One request over a connection to the peer port, which stands afterwards.
pub async fn ask(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) -> Result<(), String> {
    stream.write_all(b"GET /v1/peer/status HTTP/1.1\r\nhost: peer\r\n\r\n").await.map_err(|error| error.to_string())?;
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    if answer.contains("200 OK") { Ok(()) } else { Err(answer) }
}

/// A certificate of `lyon/agent` that ends soon.
pub fn short_lived(ca: &Ca, lifetime: Duration) -> Credential {
    let key = ca.endpoint("lyon", "agent").key();
    let request = LeafRequest {
        region: ca.region().clone(),
        profile: Profile::Endpoint("lyon/agent".parse().unwrap()),
        public_key: key.public_key(),
        lifetime,
        serial: Serial::from_random([7; 16]),
    };
    let leaf = ca.authority().issue(&request, jiff::Timestamp::now()).unwrap();
    Credential { der: leaf.der, chain_pem: leaf.pem, key_pem: key.to_pem(), serial: leaf.serial }
}

pub fn material(credential: &Credential) -> KeyMaterial {
    KeyMaterial { chain_pem: credential.chain_pem.clone(), key_pem: credential.key_pem.clone() }
}

/// What a gateway recorded, in order; persons are sealed.
pub fn audit(region: &Region, ordinal: usize) -> Vec<Event<Sealed>> {
    let event = |found| match found {
        Found::Record { record, .. } => Some(record.event),
        Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
    };
    recover(&journal(region, ordinal), None).found.into_iter().filter_map(event).collect()
}

/// The bytes of a gateway's journal.
pub fn journal(region: &Region, ordinal: usize) -> Vec<u8> {
    std::fs::read(region.volume(ordinal).join("audit/journal/00000000000000000001.log")).unwrap()
}
