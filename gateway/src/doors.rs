//! What the four doors share: accept, handshake, refuse and count, serve HTTP/1.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sallyport_runtime::listen;
use sallyport_runtime::tls::{Door, HandshakeFailure, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::places::Places;

/// From the first byte to the end of the TLS handshake, and again for the head of each request: what a slow-loris may
/// hold a place (fault F16).
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections per door. Below the 20,000 descriptors that many systems allow a process, with room for the rest.
const CONNECTIONS: usize = 16_000;

/// Handshakes of one source that may be under way at a door. A flood from one address holds this many places and no more;
/// a hospital whose agents all come back at once is through in a second, because a handshake takes milliseconds.
const HANDSHAKES_EACH: usize = 256;

/// The doors' current TLS configurations; closed until the gateway has certificates.
pub struct Doors {
    /// For agents.
    pub outer: Door,
    /// For engineers.
    pub inner: Door,
    /// For the operator.
    pub control: Door,
    /// For the other replicas.
    pub peer: Door,
}

impl Default for Doors {
    fn default() -> Self {
        Self { outer: Door::closed(), inner: Door::closed(), control: Door::closed(), peer: Door::closed() }
    }
}

/// A connection that was refused for whom its certificate names, or for want of a place.
#[derive(Debug)]
pub struct Refused {
    label: &'static str,
    detail: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One of many, from somebody unknown.
    Flood,
    /// A party that should not be here.
    Party,
}

impl Refused {
    /// No certificate, which the handshake already excludes.
    pub fn no_certificate() -> Self {
        Self { label: "noCertificate", detail: String::new(), kind: Kind::Party }
    }

    /// The certificate is valid, but of a party that has no business at this door.
    pub fn role_swapped(identity: String) -> Self {
        Self { label: "roleSwapped", detail: identity, kind: Kind::Party }
    }

    /// There is no place left for those who show no certificate.
    pub fn no_place() -> Self {
        Self { label: "noPlace", detail: String::new(), kind: Kind::Flood }
    }

    /// Its source has as many handshakes under way as it may.
    pub fn too_many_handshakes() -> Self {
        Self { label: "tooManyHandshakes", detail: String::new(), kind: Kind::Flood }
    }

    /// The trust changed while the handshake was under way.
    pub fn no_longer(reason: Reason) -> Self {
        Self { label: reason.label(), detail: String::new(), kind: Kind::Party }
    }

    /// The certificate names nobody.
    pub fn unusable(detail: String) -> Self {
        Self { label: "unusable", detail, kind: Kind::Party }
    }

    /// Counts and logs it; the connection is dropped by the caller without an answer.
    pub fn report(self, gateway: &Gateway, door: &'static str, from: SocketAddr) {
        gateway.metrics.handshakes_refused.with_label_values(&[door, self.label]).inc();
        match self.kind {
            // A flood is for the counter, and must not become a flood of lines.
            Kind::Flood => tracing::debug!(door, %from, reason = self.label, "connection refused"),
            Kind::Party => tracing::warn!(door, %from, reason = self.label, detail = self.detail, "connection refused"),
        }
    }
}

/// One door: its name for metrics and logs, its configuration, and who serves.
pub struct Opened<S> {
    /// Name of the door.
    pub name: &'static str,
    /// Its current TLS configuration.
    pub door: fn(&Doors) -> &Door,
    /// Serves one connection that passed the handshake.
    pub serve: S,
}

/// Accepts at a door until `stop`.
pub async fn run<S, F>(
    gateway: Arc<Gateway>,
    doors: Arc<Doors>,
    listener: TcpListener,
    opened: Opened<S>,
    stop: CancellationToken,
) where
    S: Fn(Arc<Gateway>, TlsStream<TcpStream>, SocketAddr, CancellationToken) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let Opened { name, door, serve } = opened;
    let stopping = stop.clone();
    let handshakes = Places::new(CONNECTIONS, HANDSHAKES_EACH);
    listen::serve(listener, CONNECTIONS, stop, move |tcp, from| {
        let (gateway, doors) = (Arc::clone(&gateway), Arc::clone(&doors));
        let (serve, stopping) = (serve.clone(), stopping.clone());
        let handshake = handshakes.take(from);
        async move {
            let Some(handshake) = handshake else {
                return Refused::too_many_handshakes().report(&gateway, name, from);
            };
            let accepted = door(&doors).accept(tcp, PATIENCE).await;
            drop(handshake);
            match accepted {
                Ok(stream) => serve(gateway, stream, from, stopping).await,
                Err(failure) => {
                    gateway.metrics.handshakes_refused.with_label_values(&[name, failure.label()]).inc();
                    match failure {
                        // Port scans and health checks of load balancers come by the thousand.
                        HandshakeFailure::Closed(_) => tracing::debug!(door = name, %from, "left during the handshake"),
                        _ => tracing::info!(
                            door = name, %from, reason = failure.label(), error = %failure, "handshake refused"
                        ),
                    }
                }
            }
        }
    })
    .await;
}

/// Longest request body: a session request with its longest reason is a tenth of it.
const BODY: usize = 16 * 1024;

/// A request with its body is answered within this, whatever trickles: longer than an audit record and a peer may take.
pub const ANSWERED: Duration = Duration::from_secs(30);

async fn within(State(patience): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "timedOut", "the request took too long").into_response(),
    }
}

/// Serves HTTP/1.1 with upgrades on one connection until it ends or, between requests, until `stop`. Each request is
/// answered within `answered`.
pub async fn serve_http<S>(stream: S, app: Router, answered: Duration, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = app.layer(DefaultBodyLimit::max(BODY)).layer(middleware::from_fn_with_state(answered, within));
    let service = TowerToHyperService::new(app);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // Requests here are small; a head larger than this is an attack.
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}
