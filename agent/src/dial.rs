//! One attempt to reach the gateway: TCP, TLS, then either the tunnel's upgrade or the preflight question. Every step
//! has a deadline and an error of its own; no byte of a tunnel is sent or taken before the gateway answered 101.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use sallyport_runtime::tls::{self, HandshakeFailure};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::config::Gateway;
use crate::surroundings::Surroundings;

/// For the name, for the connection, for the handshake, for the answer: each. A path that needs longer for one round
/// trip is of no use to an interactive session.
pub const STEP: Duration = Duration::from_secs(10);

/// A name with more addresses is tried with the first ones only, so that an attempt ends.
const MAX_ADDRESSES: usize = 4;

/// The answer to a preflight question is some 200 bytes.
const MAX_BODY: usize = 16 * 1024;

/// A stream on which the gateway answered 101.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Which tunnel is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// 0 or 1.
    pub number: u8,
    /// Random, one per process: lets a gateway tell this agent's second tunnel from another agent with the same
    /// certificate.
    pub instance: String,
}

/// The addresses to try.
pub async fn addresses(gateway: &Gateway, surroundings: &Surroundings) -> Result<Vec<SocketAddr>, DialError> {
    let host = &gateway.host;
    let found = match gateway.address {
        Some(address) => vec![address],
        None => match timeout(STEP, surroundings.resolve(host)).await {
            Ok(Ok(found)) if !found.is_empty() => found,
            Ok(Ok(_)) => return Err(DialError::NoAddress { host: host.clone(), why: "it has no address".to_owned() }),
            Ok(Err(error)) => return Err(DialError::NoAddress { host: host.clone(), why: error.to_string() }),
            Err(_) => {
                return Err(DialError::NoAddress { host: host.clone(), why: format!("no answer within {STEP:?}") });
            }
        },
    };
    Ok(found.into_iter().take(MAX_ADDRESSES).map(|ip: IpAddr| SocketAddr::from((ip, gateway.port))).collect())
}

/// The first address that answers.
pub async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut last = None;
    for address in addresses {
        match sallyport_runtime::dial::connect(address, STEP).await {
            Ok(stream) => return Ok(stream),
            Err(source) => last = Some(DialError::Tcp { address: *address, source }),
        }
    }
    Err(last.unwrap_or_else(|| DialError::NoAddress { host: String::new(), why: "it has no address".to_owned() }))
}

/// Name, connection and handshake, each within its deadline.
pub async fn connect(
    gateway: &Gateway,
    surroundings: &Surroundings,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let addresses = addresses(gateway, surroundings).await?;
    tls(tcp(&addresses).await?, &gateway.host, config).await
}

/// The handshake, with the gateway's name checked.
pub async fn tls(stream: TcpStream, host: &str, config: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::NotAName(host.to_owned()))?;
    Ok(tls::connect(Arc::clone(config), name, stream, STEP).await?)
}

/// Asks for a tunnel. Also returns which gateway gave it.
pub async fn upgrade(stream: TlsStream<TcpStream>, host: &str, slot: &Slot) -> Result<(Upgraded, String), DialError> {
    let key = generate_key();
    let request = Request::get("/v1/tunnel")
        .header(header::HOST, host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header("sallyport-agent-version", env!("CARGO_PKG_VERSION"))
        .header("sallyport-agent-instance", &slot.instance)
        .header("sallyport-tunnel-slot", slot.number.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = ask(stream, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(DialError::Refused(Answer::of(response.status(), response.headers())));
    }
    let accepted = text(response.headers(), header::SEC_WEBSOCKET_ACCEPT.as_str());
    if accepted != derive_accept_key(key.as_bytes()) {
        return Err(DialError::NotAWebSocket);
    }
    let gateway = text(response.headers(), "sallyport-gateway").to_owned();
    match timeout(STEP, hyper::upgrade::on(response)).await {
        Ok(upgraded) => Ok((TokioIo::new(upgraded?), gateway)),
        Err(_elapsed) => Err(DialError::Silent),
    }
}

/// Asks what the gateway thinks of this endpoint: its answer's head, and its body.
pub async fn preflight(stream: TlsStream<TcpStream>, host: &str) -> Result<(StatusCode, HeaderMap, Bytes), DialError> {
    let request = Request::get("/v1/preflight").header(header::HOST, host).body(Empty::<Bytes>::new())?;
    exchange(stream, request, MAX_BODY).await
}

/// One question and its whole answer, whose body has at most `max` bytes.
pub async fn exchange<B>(
    stream: TlsStream<TcpStream>,
    request: Request<B>,
    max: usize,
) -> Result<(StatusCode, HeaderMap, Bytes), DialError>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (head, body) = ask(stream, request).await?.into_parts();
    match timeout(STEP, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok((head.status, head.headers, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(DialError::TooLong { max }),
        Ok(Err(_)) => Err(DialError::Silent),
        Err(_elapsed) => Err(DialError::Silent),
    }
}

async fn ask<B>(stream: TlsStream<TcpStream>, request: Request<B>) -> Result<Response<Incoming>, DialError>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself: with the upgrade, with the answer's body, or when `send` is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the gateway ended");
        }
    });
    match timeout(STEP, send.send_request(request)).await {
        Ok(response) => Ok(response?),
        Err(_elapsed) => Err(DialError::Silent),
    }
}

/// How a gateway says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason}")]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header `Sallyport-Reason`.
    pub reason: String,
}

impl Answer {
    /// Status and reason of an answer.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        Self { status, reason: text(headers, "sallyport-reason").to_owned() }
    }

    /// This replica already holds a tunnel of this agent; another may take it.
    pub fn is_held(&self) -> bool {
        self.status == StatusCode::CONFLICT && self.reason == "held"
    }

    /// A closed set of labels for metrics: a replica that stops or begins is no reason to look, one that refuses this agent
    /// is.
    fn label(&self) -> &'static str {
        match self.reason.as_str() {
            _ if self.is_held() => "held",
            "draining" => "draining",
            "notReady" => "notReady",
            _ => "refused",
        }
    }
}

/// The gateway's clock, from the header `Date`.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// HTTP broke.
    #[error("the gateway did not answer in HTTP")]
    Http(#[from] hyper::Error),
    /// The name is of no use.
    #[error("{host} cannot be resolved: {why}")]
    NoAddress {
        /// Which name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// No certificate can have this name.
    #[error("{0:?} is not a DNS name")]
    NotAName(String),
    /// 101 from something that does not speak WebSocket.
    #[error("the answer to the upgrade does not fit the question; something between here and the gateway made it up")]
    NotAWebSocket,
    /// A status other than 101.
    #[error("the gateway refused: {0}")]
    Refused(Answer),
    /// Our own request is impossible.
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    /// No answer in time.
    #[error("the gateway did not answer within {STEP:?}")]
    Silent,
    /// No connection.
    #[error("no connection to {address}")]
    Tcp {
        /// The last address tried.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No handshake.
    #[error("tls handshake failed")]
    Tls(#[from] HandshakeFailure),
    /// The answer does not end.
    #[error("the answer is longer than {max} bytes, so it is no gateway's")]
    TooLong {
        /// What it may have at most.
        max: usize,
    },
}

impl DialError {
    /// A closed set of labels for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Http(_) | Self::NotAWebSocket | Self::Request(_) | Self::TooLong { .. } => "http",
            Self::NoAddress { .. } | Self::NotAName(_) => "nameNotResolved",
            Self::Refused(answer) => answer.label(),
            Self::Silent => "silent",
            Self::Tcp { .. } => "tcp",
            Self::Tls(_) => "tls",
        }
    }
}
