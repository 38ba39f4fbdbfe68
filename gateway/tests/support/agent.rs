//! A scripted agent: the real TLS, upgrade and tunnel, with an echo for every device.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sallyport_gateway::run::Running;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::{inspect, renewal};
use sallyport_runtime::tls;
use sallyport_testkit::{Ca, Credential};
use sallyport_tunnel::{CloseReason, Handler, Limits, NONCE, Proof, Refusal, RefusalReason, StreamTarget, agent_end};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::material;

/// Echoes, and remembers what it was asked.
pub struct Script {
    /// What it proves itself with.
    pub credential: Mutex<Credential>,
    /// For which gateway it proves itself.
    pub gateway: Mutex<String>,
    /// How often it was asked to.
    pub proofs: Mutex<usize>,
    pub announcements: Mutex<Vec<Bytes>>,
    pub offers: Mutex<Vec<Bytes>>,
    pub targets: Mutex<Vec<StreamTarget>>,
    pub drained: CancellationToken,
}

impl Handler for Script {
    type Io = DuplexStream;

    async fn connect(&self, target: StreamTarget) -> Result<DuplexStream, Refusal> {
        if target.device.to_string() != "lyon/ct" {
            return Err(Refusal::new(RefusalReason::UnknownDevice, "not offered"));
        }
        self.targets.lock().unwrap().push(target);
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
        });
        Ok(near)
    }

    async fn offer(&self, signed: Bytes) -> Result<(), String> {
        self.offers.lock().unwrap().push(signed);
        Ok(())
    }

    async fn trust(&self, signed: Bytes) -> Result<String, String> {
        let digest = inspect::fingerprint(&signed);
        self.announcements.lock().unwrap().push(signed);
        Ok(digest)
    }

    async fn identity(&self, nonce: [u8; NONCE]) -> Result<Proof, String> {
        *self.proofs.lock().unwrap() += 1;
        let credential = self.credential.lock().unwrap().clone();
        let gateway = self.gateway.lock().unwrap().clone();
        let signature = renewal::sign(&credential.key(), &gateway, &nonce).map_err(|error| error.to_string())?;
        Ok(Proof { certificate: credential.der, signature })
    }

    fn drain(&self) {
        self.drained.cancel();
    }
}

pub struct Agent {
    pub script: Arc<Script>,
    pub stop: CancellationToken,
    pub task: JoinHandle<CloseReason>,
    pub gateway: String,
}

impl Agent {
    /// Dials; the error is the status and the reason of the refusal.
    pub async fn dial(ca: &Ca, credential: &Credential, running: &Running, process: &str) -> Result<Self, String> {
        Self::dial_trusting(&ca.bundle(), credential, running, process).await
    }

    /// The same, for an agent that trusts more than one generation.
    pub async fn dial_trusting(
        bundle: &TrustBundle,
        credential: &Credential,
        running: &Running,
        process: &str,
    ) -> Result<Self, String> {
        let (status, headers, io) = Self::upgrade(bundle, credential, running, process).await?;
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let reason = headers.get("sallyport-reason").map_or("", |value| value.to_str().unwrap_or("?"));
            return Err(format!("{} {reason}", status.as_u16()));
        }
        let io = hyper::upgrade::on(io).await.map_err(|error| error.to_string())?;
        let gateway = headers.get("sallyport-gateway").unwrap().to_str().unwrap().to_owned();
        let script = Arc::new(Script {
            credential: Mutex::new(credential.clone()),
            gateway: Mutex::new(gateway.clone()),
            proofs: Mutex::default(),
            announcements: Mutex::default(),
            offers: Mutex::default(),
            targets: Mutex::default(),
            drained: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        let (handler, stopped) = (Arc::clone(&script), stop.clone());
        let task = tokio::spawn(async move {
            agent_end(TokioIo::new(io), Limits::DEFAULT, handler, stopped.cancelled_owned()).await
        });
        Ok(Self { script, stop, task, gateway })
    }

    async fn upgrade(
        bundle: &TrustBundle,
        credential: &Credential,
        running: &Running,
        process: &str,
    ) -> Result<(StatusCode, http::HeaderMap, http::Response<hyper::body::Incoming>), String> {
        let config = tls::client(Some(&material(credential)), bundle, &[b"http/1.1"]).unwrap();
        let tcp = TcpStream::connect(running.listen.outer).await.map_err(|error| error.to_string())?;
        let name = rustls_pki_types::ServerName::try_from("outer.example").unwrap();
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await;
        let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection.with_upgrades());
        let (instance, slot) = process.split_once('/').unwrap();
        let request = Request::get("/v1/tunnel")
            .header("host", "outer.example")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sallyport-agent-version", "test")
            .header("sallyport-agent-instance", instance)
            .header("sallyport-tunnel-slot", slot)
            .body(Body::empty())
            .unwrap();
        let answer = send.send_request(request).await.map_err(|error| error.to_string())?;
        Ok((answer.status(), answer.headers().clone(), answer))
    }
}
