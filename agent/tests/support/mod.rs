//! A region for one test: a throw-away CA, the agent's files, and a gateway that does what the test scripts.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module of each test file, which uses a part of it"
)]

mod est;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{DnsName, PrivateKeyDer};
use sallyport_agent::config::Config;
use sallyport_agent::surroundings::Surroundings;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_core::offer::{Offer, OfferedDevice, OfferedService};
use sallyport_pki::announcement::TrustAnnouncement;
use sallyport_pki::authority::{Authority, AuthoritySubject, Leaf, LeafRequest, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::signed::Purpose;
use sallyport_tunnel::{Limits, Tunnel, gateway_end};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub use est::{Answered, Asked};

pub const HOST: &str = "outer.example.test";
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Region {
    pub authority: Authority,
    pub id: RegionId,
    pub endpoint: EndpointId,
    pub directory: TempDir,
    pub signer: (PrivateKey, Leaf),
}

impl Region {
    pub fn new() -> Self {
        let subject = AuthoritySubject { common_name: "test ca".to_owned(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let now = Timestamp::now();
        let authority = Authority::create(1, &subject, Box::new(key), 5 * YEAR, serial(), now).unwrap();
        let id = RegionId::parse("dmz", "frankfurt").unwrap();
        let signer = leaf(&authority, &id, Profile::ConfigSigner, 90 * DAY);
        let endpoint = EndpointId::parse("lyon", "ct-room-2").unwrap();
        let region = Self { authority, id, endpoint, directory: tempfile::tempdir().unwrap(), signer };
        region.write("ca.crt", &region.authority.certificate_pem());
        region.renew(90 * DAY);
        region
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A new certificate for the agent's endpoint.
    pub fn renew(&self, lifetime: Duration) {
        self.certificate(Profile::Endpoint(self.endpoint.clone()), lifetime);
    }

    /// A certificate of any kind in the agent's files.
    pub fn certificate(&self, profile: Profile, lifetime: Duration) {
        let (key, leaf) = leaf(&self.authority, &self.id, profile, lifetime);
        self.write("tls.crt", &leaf.pem);
        self.write("tls.key", &key.to_pem());
    }

    pub fn yaml(&self, port: u16) -> String {
        let dir = self.directory.path().display();
        format!(
            "gateway: {{host: {HOST}, port: {port}}}\ncertificate: {dir}/tls.crt\nkey: {dir}/tls.key\ntrust: {dir}/ca.crt\n\
             stateDirectory: {dir}\nallow: {dir}/allow.yaml\n"
        )
    }

    /// With an allow-list for one port of this host.
    pub fn config(&self, port: u16, device_port: u16) -> Config {
        self.write("allow.yaml", &format!("allow: [{{host: 127.0.0.1, ports: [{device_port}]}}]"));
        Config::parse(&self.yaml(port)).unwrap()
    }

    pub fn offer(&self, port: u16, issued_at_ms: u64) -> Offer {
        Offer {
            endpoint: self.endpoint.clone(),
            issued_at_ms,
            devices: vec![OfferedDevice {
                id: "lyon/ct-1".parse().unwrap(),
                address: "device.example.test".parse().unwrap(),
                services: vec![OfferedService { name: "echo".parse().unwrap(), port }],
            }],
        }
    }

    /// Another generation of the CA, and its config signer.
    pub fn generation(&self, number: u32) -> (Authority, (PrivateKey, Leaf)) {
        let subject = AuthoritySubject { common_name: "test ca".to_owned(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let authority =
            Authority::create(number, &subject, Box::new(key), 5 * YEAR, serial(), Timestamp::now()).unwrap();
        let signer = leaf(&authority, &self.id, Profile::ConfigSigner, 90 * DAY);
        (authority, signer)
    }

    /// An announcement by the region's config signer: trust in the bundle, of which `issuer` signs.
    pub fn announce(&self, sequence: u64, bundle: &TrustBundle, issuer: &Authority) -> Bytes {
        self.announcement(sequence, bundle, issuer).by(&self.signer)
    }

    pub fn announcement(&self, sequence: u64, bundle: &TrustBundle, issuer: &Authority) -> Announcement {
        Announcement(TrustAnnouncement {
            region: self.id.clone(),
            sequence,
            issued_at_ms: 1,
            certificates: bundle.to_pem(),
            issuer: issuer.fingerprint(),
            renew_within_seconds: 0,
        })
    }

    /// The endpoint's certificate for the key of a request.
    pub fn issue(&self, authority: &Authority, csr: &[u8], lifetime: Duration) -> Leaf {
        self.issue_to(authority, &self.endpoint, csr, lifetime)
    }

    /// The same by an operator whose clock says something else.
    pub fn issue_at(&self, authority: &Authority, csr: &[u8], lifetime: Duration, now: Timestamp) -> Leaf {
        self.issue_to_at(authority, &self.endpoint, csr, lifetime, now)
    }

    pub fn issue_to(&self, authority: &Authority, endpoint: &EndpointId, csr: &[u8], lifetime: Duration) -> Leaf {
        self.issue_to_at(authority, endpoint, csr, lifetime, Timestamp::now())
    }

    fn issue_to_at(
        &self,
        authority: &Authority,
        endpoint: &EndpointId,
        csr: &[u8],
        lifetime: Duration,
        now: Timestamp,
    ) -> Leaf {
        let request = LeafRequest {
            region: self.id.clone(),
            profile: Profile::Endpoint(endpoint.clone()),
            public_key: sallyport_pki::csr::public_key(csr).unwrap(),
            lifetime,
            serial: serial(),
        };
        authority.issue(&request, now).unwrap()
    }

    pub fn sign(&self, offer: &Offer) -> Bytes {
        let (key, leaf) = &self.signer;
        sallyport_pki::signed::sign(Purpose::Offer, &serde_json::to_vec(offer).unwrap(), key, &leaf.der).unwrap().into()
    }

    /// What an outer door shows.
    pub fn door(&self, host: &str) -> (PrivateKey, Leaf) {
        let host = DnsName::try_from(host.to_owned()).unwrap();
        leaf(&self.authority, &self.id, Profile::OuterDoor { host }, 30 * DAY)
    }
}

pub struct Announcement(pub TrustAnnouncement);

impl Announcement {
    pub fn by(&self, (key, leaf): &(PrivateKey, Leaf)) -> Bytes {
        let payload = serde_json::to_vec(&self.0).unwrap();
        sallyport_pki::signed::sign(Purpose::Trust, &payload, key, &leaf.der).unwrap().into()
    }
}

pub fn leaf(authority: &Authority, region: &RegionId, profile: Profile, lifetime: Duration) -> (PrivateKey, Leaf) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request =
        LeafRequest { region: region.clone(), profile, public_key: key.public_key(), lifetime, serial: serial() };
    let leaf = authority.issue(&request, Timestamp::now()).unwrap();
    (key, leaf)
}

fn serial() -> Serial {
    Serial::from_random(rand::random())
}

/// Every name of `example.test` is this host.
pub fn surroundings() -> Surroundings {
    at(Timestamp::now)
}

pub fn at(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Surroundings {
    Surroundings::new(now, |name| {
        Box::pin(async move {
            match name.ends_with(".example.test") {
                true => Ok(vec!["127.0.0.1".parse().unwrap()]),
                false => Err(std::io::Error::other("no such name")),
            }
        })
    })
}

/// What the gateway answers to one request.
pub enum Reply {
    /// Takes the tunnel, as this replica.
    Tunnel(&'static str),
    /// Refuses with status and reason.
    Refuse(u16, &'static str),
    /// A body.
    Json(String),
}

/// A tunnel that the gateway took.
pub struct Taken {
    pub tunnel: Tunnel,
    pub slot: String,
    pub instance: String,
    pub gateway: &'static str,
    pub certificate: Vec<u8>,
}

pub struct Gateway {
    pub port: u16,
    pub taken: mpsc::UnboundedReceiver<Taken>,
}

type EstScript = Arc<Mutex<dyn FnMut(Asked) -> Answered + Send>>;
type Script = Arc<Mutex<dyn FnMut(&Request<Incoming>) -> Reply + Send>>;

impl Gateway {
    pub async fn start(
        region: &Region,
        host: &str,
        script: impl FnMut(&Request<Incoming>) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_with(region, region.door(host), script).await
    }

    pub async fn start_with(
        region: &Region,
        door: (PrivateKey, Leaf),
        script: impl FnMut(&Request<Incoming>) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_est(&region.authority.bundle(), door, |_| Answered::refuse(404, ""), script).await
    }

    /// With an EST server, and with clients of any of these CAs or of none.
    pub async fn start_est(
        clients: &TrustBundle,
        (key, leaf): (PrivateKey, Leaf),
        est: impl FnMut(Asked) -> Answered + Send + 'static,
        script: impl FnMut(&Request<Incoming>) -> Reply + Send + 'static,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in clients.certificates() {
            roots.add(certificate.into_owned()).unwrap();
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![leaf.der.into()], PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, taken) = mpsc::unbounded_channel();
        let script: Script = Arc::new(Mutex::new(script));
        let est: EstScript = Arc::new(Mutex::new(est));
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&script), Arc::clone(&est), send.clone()));
            }
        });
        Self { port, taken }
    }

    pub async fn next(&mut self) -> Taken {
        tokio::time::timeout(Duration::from_secs(20), self.taken.recv()).await.unwrap().unwrap()
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    script: Script,
    est: EstScript,
    taken: mpsc::UnboundedSender<Taken>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let certificate = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (script, est) = (Arc::clone(&script), Arc::clone(&est));
        let (taken, certificate) = (taken.clone(), certificate.clone());
        async move {
            if request.uri().path().starts_with("/.well-known/est/") {
                let asked = Asked::read(request, certificate).await;
                return (est.lock().unwrap())(asked).response();
            }
            let reply = (script.lock().unwrap())(&request);
            let certificate = certificate.unwrap_or_default();
            let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            let response = Response::builder();

            match reply {
                Reply::Refuse(status, reason) => {
                    response.status(status).header("sallyport-reason", reason).body(Full::<Bytes>::default())
                }
                Reply::Json(body) => response.body(Full::from(body)),
                Reply::Tunnel(gateway) => {
                    let accept = derive_accept_key(header("sec-websocket-key").unwrap().as_bytes());
                    let slot = header("sallyport-tunnel-slot").unwrap();
                    let instance = header("sallyport-agent-instance").unwrap();
                    let upgrade = hyper::upgrade::on(&mut request);
                    tokio::spawn(async move {
                        let io = TokioIo::new(upgrade.await.unwrap());
                        let (tunnel, driver) = gateway_end(io, Limits::DEFAULT).await.unwrap();
                        let _test_over = taken.send(Taken { tunnel, slot, instance, gateway, certificate });
                        driver.await
                    });
                    response
                        .status(StatusCode::SWITCHING_PROTOCOLS)
                        .header("connection", "upgrade")
                        .header("upgrade", "websocket")
                        .header("sec-websocket-accept", accept)
                        .header("sallyport-gateway", gateway)
                        .body(Full::<Bytes>::default())
                }
            }
        }
    });
    let _closed = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// A device that sends back what it gets.
pub async fn echo_device() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    port
}

pub fn exists(path: &Path) -> bool {
    path.exists()
}
