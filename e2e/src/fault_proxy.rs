//! A proxy in front of the API server that kills its client at a chosen write: before the API server has seen the write,
//! or after it has committed it and before the client learns so. TLS on both sides. HTTP/1.1 on both: a watch is then a
//! connection of its own, and a request belongs to exactly one.
//!
//! ```text
//!  operator ──TLS──▶ proxy ──TLS──▶ API server
//!     ▲                │ counts writes of chosen kinds
//!     └── SIGKILL ─────┘ at the n-th
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::api_server::{ApiServer, Broken, Caller, provider};
use crate::run::run;

/// Whose writes count: what a rotation of a certificate authority writes, and nothing that is written for other reasons.
const COUNTED: [&str; 5] =
    ["/certificateauthorities", "/clustertrustbundles", "/configmaps", "/secrets", "/tunnelcertificates"];

/// When the client dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The write was sent and never arrives.
    BeforeCommit,
    /// The write is done, and its answer never arrives.
    AfterCommit,
}

/// Kill this process at its n-th counted write, from 0.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which write.
    pub at: usize,
    /// On which side of it.
    pub moment: Moment,
    /// The process.
    pub victim: u32,
}

/// A running proxy. Dropping it ends it.
pub struct FaultProxy {
    address: SocketAddr,
    certificate: String,
    plan: Arc<Mutex<Plan>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Plan {
    fault: Option<Fault>,
    writes: Vec<String>,
    fired: bool,
    killed_at: Option<String>,
}

impl FaultProxy {
    /// Starts one in front of the cluster that KUBECONFIG names.
    pub fn start() -> Self {
        // Whoever comes through brings a token of its own.
        let upstream = Arc::new(ApiServer::of_kubeconfig(Caller::Nobody));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let acceptor = acceptor(certificate.der().clone(), &key);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let plan = Arc::new(Mutex::new(Plan::default()));
        runtime.spawn(serve(listener, acceptor, upstream, plan.clone()));
        Self { address, certificate: certificate.pem(), plan, _runtime: runtime }
    }

    /// A kubeconfig for a client that comes through here with this token.
    pub fn kubeconfig(&self, token: &str) -> String {
        let trust = STANDARD.encode(&self.certificate);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
             clusters:\n- name: proxy\n  cluster: {{ server: \"https://{}\", certificate-authority-data: {trust} }}\n\
             users:\n- name: proxy\n  user: {{ token: {token} }}\n\
             contexts:\n- name: proxy\n  context: {{ cluster: proxy, user: proxy }}\n",
            self.address
        )
    }

    /// Counts anew from 0, and kills as told, or lets everything pass. Says whether the fault before has happened.
    pub fn arm(&self, fault: Option<Fault>) -> bool {
        let mut plan = lock(&self.plan);
        // A fault is over with the next one, not with the restart after it.
        let killed_at = plan.killed_at.take().filter(|_| fault.is_none());
        let fired = plan.fired;
        *plan = Plan { fault, killed_at, ..Plan::default() };
        fired
    }

    /// The counted writes since [`Self::arm`]: method and path.
    pub fn writes(&self) -> Vec<String> {
        lock(&self.plan).writes.clone()
    }

    /// The write at which the last fault happened, whatever was armed since.
    pub fn killed_at(&self) -> Option<String> {
        lock(&self.plan).killed_at.clone()
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().expect("no holder panics")
}

fn acceptor(certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, upstream: Arc<ApiServer>, plan: Arc<Mutex<Plan>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, upstream, plan) = (acceptor.clone(), upstream.clone(), plan.clone());
        tokio::spawn(async move {
            let tls = acceptor.accept(tcp).await?;
            let sender = tokio::sync::Mutex::new(upstream.connect().await?);
            let service = service_fn(|request| pass(request, &sender, &plan));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await?;
            Ok::<_, Broken>(())
        });
    }
}

/// One request. An error closes the connection without an answer.
async fn pass(
    request: Request<Incoming>,
    sender: &tokio::sync::Mutex<client::SendRequest<Incoming>>,
    plan: &Mutex<Plan>,
) -> Result<Answer, Broken> {
    let due = due(&request, plan)?;
    if let Some(Fault { moment: Moment::BeforeCommit, victim, .. }) = due {
        return Err(kill(victim).await);
    }
    let mut sender = sender.lock().await;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    match due {
        Some(fault) => {
            // Its answer has begun, so the write is committed.
            response.into_body().collect().await?;
            Err(kill(fault.victim).await)
        }
        None => Ok(response.map(Either::Left)),
    }
}

/// Counts the request, and says whether it is the one.
fn due(request: &Request<Incoming>, plan: &Mutex<Plan>) -> Result<Option<Fault>, Broken> {
    let mut plan = lock(plan);
    if plan.fired {
        // The process is being killed: nothing that it sent meanwhile may still take effect.
        return Err("the client is dead".into());
    }
    let path = request.uri().path();
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
    if !writes || !COUNTED.iter().any(|kind| path.contains(kind)) {
        return Ok(None);
    }
    let number = plan.writes.len();
    let line = format!("{} {path}", request.method());
    let due = plan.fault.filter(|fault| fault.at == number);
    plan.fired = due.is_some();
    plan.killed_at = plan.killed_at.take().or(due.map(|_| line.clone()));
    plan.writes.push(line);
    Ok(due)
}

async fn kill(victim: u32) -> Broken {
    let kill = move || run(std::process::Command::new("kill").args(["-KILL", &victim.to_string()]));
    match tokio::task::spawn_blocking(kill).await {
        Ok(_) => "killed".into(),
        Err(error) => error.into(),
    }
}
