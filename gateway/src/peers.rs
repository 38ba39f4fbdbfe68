//! The other replicas: asked who holds a tunnel, and passed what belongs there. No registry, no shared store.

mod door;
mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::response::Response;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sallyport_core::engineer::Engineer;
use sallyport_core::name::{EndpointId, Name};
use sallyport_pki::bundle::TrustBundle;
use sallyport_runtime::tls::{self, ExpectedServer, KeyMaterial, TlsError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::place::Place;
use crate::sessions::SessionView;

pub use door::{ENGINEER, serve};
use link::link;

/// How long a peer may take to answer a question. It is in the same cluster.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer "I hold it" is believed. A wrong one costs one refused request.
const BELIEVED: Duration = Duration::from_secs(10);

/// Asks and tells peers.
#[derive(Default)]
pub struct Peers {
    tls: ArcSwapOption<PeerTls>,
    holders: Mutex<BTreeMap<EndpointId, (Name, Instant)>>,
}

/// What a peer is dialled with.
pub struct PeerTls {
    /// This replica's key and certificate.
    pub material: KeyMaterial,
    /// Whom it trusts. What is revoked is looked at when the connection is there.
    pub trust: TrustBundle,
}

impl PeerTls {
    /// A client configuration that accepts exactly one gateway.
    fn to(&self, place: &Place, peer: &Name) -> Result<Arc<ClientConfig>, TlsError> {
        let expected = ExpectedServer::exactly(place.peer_identity(peer));
        tls::client_expecting(expected, Some(&self.material), &self.trust, &[b"http/1.1"])
    }
}

/// What a replica says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the contract's")]
pub struct PeerStatus {
    pub name: Name,
    pub reachable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default)]
    pub generation: u64,
    #[serde(default)]
    pub tunnels: usize,
    #[serde(default)]
    pub sessions: usize,
}

impl PeerStatus {
    /// This replica's.
    pub fn of(gateway: &Gateway) -> Self {
        Self {
            name: gateway.place.gateway.clone(),
            reachable: true,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            generation: gateway.store.current().generation,
            tunnels: gateway.tunnels.all().len(),
            sessions: gateway.sessions.live().len(),
        }
    }
}

impl Peers {
    /// Uses new certificates from now on.
    pub fn use_tls(&self, tls: PeerTls) {
        self.tls.store(Some(Arc::new(tls)));
    }

    /// The other replica that holds a tunnel to the endpoint.
    pub async fn holder(&self, gateway: &Gateway, endpoint: &EndpointId) -> Option<Name> {
        if let Some(believed) = self.believed(endpoint) {
            return Some(believed);
        }
        let names = gateway.peer_names();
        let mut answers: FuturesUnordered<_> = names
            .iter()
            .map(|peer| async move {
                let path = format!("/v1/peer/tunnels/{endpoint}");
                self.ask::<bool>(gateway, peer, &path).await.filter(|holds| *holds).map(|_| peer.clone())
            })
            .collect();
        while let Some(answer) = answers.next().await {
            if let Some(holder) = answer {
                self.lock().insert(endpoint.clone(), (holder.clone(), Instant::now()));
                return Some(holder);
            }
        }
        None
    }

    /// Those of the endpoints to which some replica holds a tunnel.
    pub async fn connected(&self, gateway: &Gateway, endpoints: Vec<EndpointId>) -> BTreeSet<EndpointId> {
        let mut connected: BTreeSet<_> = gateway.tunnels.all().into_iter().map(|(endpoint, _)| endpoint).collect();
        let names = gateway.peer_names();
        let mut answers: FuturesUnordered<_> =
            names.iter().map(|peer| self.ask::<BTreeSet<EndpointId>>(gateway, peer, "/v1/peer/tunnels")).collect();
        if endpoints.iter().any(|endpoint| !connected.contains(endpoint)) {
            while let Some(answer) = answers.next().await {
                connected.extend(answer.unwrap_or_default());
            }
        }
        connected
    }

    /// An engineer's sessions on the other replicas, as far as those answer.
    pub async fn sessions(&self, gateway: &Gateway, engineer: &Engineer) -> Vec<SessionView> {
        #[derive(Deserialize)]
        struct Sessions {
            sessions: Vec<SessionView>,
        }
        let names = gateway.peer_names();
        let mut answers: FuturesUnordered<_> = names
            .iter()
            .map(|peer| async move {
                let request = crate::inner::api::get("/v1/sessions");
                let answer = self.forward(gateway, peer, engineer, request).await.ok()?;
                let body = answer.into_body().collect().await.ok()?.to_bytes();
                serde_json::from_slice::<Sessions>(&body).ok()
            })
            .collect();
        let mut all = Vec::new();
        while let Some(answer) = answers.next().await {
            all.extend(answer.into_iter().flat_map(|answer| answer.sessions));
        }
        all
    }

    /// What the other replicas say of themselves; one that does not answer is named unreachable.
    pub async fn statuses(&self, gateway: &Gateway, peers: &[Name]) -> Vec<PeerStatus> {
        let mut answers: FuturesUnordered<_> = peers
            .iter()
            .map(|peer| async move {
                let answer = self.ask::<PeerStatus>(gateway, peer, "/v1/peer/status").await;
                answer.unwrap_or_else(|| PeerStatus {
                    name: peer.clone(),
                    reachable: false,
                    version: None,
                    generation: 0,
                    tunnels: 0,
                    sessions: 0,
                })
            })
            .collect();
        let mut all = Vec::new();
        while let Some(status) = answers.next().await {
            all.push(status);
        }
        all
    }

    /// Passes an engineer's request on, with who they are. The peer believes us because it authenticated *us*.
    pub async fn forward(
        &self,
        gateway: &Gateway,
        peer: &Name,
        engineer: &Engineer,
        mut request: Request<Body>,
    ) -> Result<Response, Problem> {
        let who = serde_json::to_string(engineer).map_err(Problem::peer_unreachable)?;
        request
            .headers_mut()
            .insert(ENGINEER, HeaderValue::from_bytes(who.as_bytes()).map_err(Problem::peer_unreachable)?);
        let answer = self.send(gateway, peer, request).await;
        if !answer.as_ref().is_ok_and(|answer| answer.status() != StatusCode::SERVICE_UNAVAILABLE) {
            // It stopped, or lost the tunnel: whoever asks next looks again.
            self.lock().retain(|_, (holder, _)| holder != peer);
        }
        answer.map_err(|why| {
            tracing::warn!(%peer, reason = %why, "peer does not answer");
            Problem::peer_unreachable(format!("gateway {peer} does not answer: {why}"))
        })
    }

    async fn ask<T: DeserializeOwned>(&self, gateway: &Gateway, peer: &Name, path: &str) -> Option<T> {
        let asked = async {
            let answer = self.send(gateway, peer, crate::inner::api::get(path)).await?;
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        };
        match tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(answer) => Some(answer),
            Err(why) => {
                tracing::debug!(%peer, path, reason = %why, "peer did not answer");
                None
            }
        }
    }

    async fn send(&self, gateway: &Gateway, peer: &Name, mut request: Request<Body>) -> Result<Response, String> {
        let tls = self.tls.load_full().ok_or("this gateway has no peer certificate yet")?;
        let tls = tls.to(&gateway.place, peer).map_err(|error| format!("own peer certificate: {error}"))?;
        let address = (gateway.place.peer_address)(peer);
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
        let connect = async {
            let tcp = TcpStream::connect(&address).await.map_err(|error| format!("{address}: {error}"))?;
            tcp.set_nodelay(true).map_err(|error| error.to_string())?;
            let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
            tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| error.to_string())
        };
        let stream = tokio::time::timeout(PATIENCE, connect).await.map_err(|_| format!("{address}: timed out"))??;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let stream = link(gateway, &chain, stream).map_err(|why| format!("its certificate: {}", why.label()))?;
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection.with_upgrades());
        let host = HeaderValue::from_str(&host).map_err(|error| error.to_string())?;
        request.headers_mut().insert(http::header::HOST, host);
        let answer = send.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(answer.map(Body::new))
    }

    fn believed(&self, endpoint: &EndpointId) -> Option<Name> {
        let mut holders = self.lock();
        holders.retain(|_, (_, since)| since.elapsed() < BELIEVED);
        holders.get(endpoint).map(|(holder, _)| holder.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, (Name, Instant)>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
