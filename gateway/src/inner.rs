//! The inner door: where engineers ask. TLS 1.3 with the engineer's client certificate, HTTP/1.1.

pub mod answer;
pub mod api;
mod audit;
pub mod stream;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::config::RegionConfig;
use sallyport_core::engineer::Engineer;
use sallyport_pki::inspect;
use sallyport_runtime::tls;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::doors::{self, Refused};
use crate::gateway::Gateway;
use crate::sessions;
use crate::socket::{Discard, Socket};

/// Who calls, and whether another replica already passed the call on.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The engineer, as this replica or (for a forwarded call) the peer authenticated them.
    pub engineer: Engineer,
    /// A forwarded call is answered here or not at all: calls never go round in circles.
    pub hop: Hop,
    /// The engineer's certificate with what came with it. Empty for a forwarded call: the peer looked at it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The end of the connection. Of a forwarded call it is the peer's to order.
    pub discard: Discard,
}

impl Caller {
    /// Whether the engineer would be let in now. A connection may be older than the authorities that are trusted.
    pub fn is_still_admitted(&self, config: &RegionConfig) -> bool {
        self.hop == Hop::Forwarded || tls::admits(&sessions::authorities(config), &self.chain, UnixTime::now())
    }
}

/// How a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// From the engineer.
    First,
    /// From a peer.
    Forwarded,
}

/// Serves one connection that passed the handshake.
pub async fn serve(gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, from: SocketAddr, stop: CancellationToken) {
    match engineer(&stream) {
        Ok(engineer) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            let discard = Discard::default();
            let caller = Caller { engineer, hop: Hop::First, chain, discard: discard.clone() };
            let app = api::router(gateway, caller);
            doors::serve_http(Socket::new(stream, discard), app, doors::ANSWERED, stop).await;
        }
        Err(refused) => refused.report(&gateway, "inner", from),
    }
}

/// The engineer that the client certificate names. A certificate that is a party's of a region (a device's, a
/// gateway's) is refused even if an engineers' authority issued it.
fn engineer(stream: &TlsStream<TcpStream>) -> Result<Engineer, Refused> {
    let leaf = tls::peer_leaf(stream.get_ref().1).ok_or(Refused::no_certificate())?;
    if let Ok(identity) = inspect::identity(leaf) {
        return Err(Refused::role_swapped(identity.to_string()));
    }
    inspect::engineer(leaf).map_err(|error| Refused::unusable(error.to_string()))
}
