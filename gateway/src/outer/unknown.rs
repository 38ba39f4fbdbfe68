//! Connections without a certificate: few, short, and served only what leads to one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::est::{self, Attempts, Records};
use super::lists;
use crate::doors::{self, Refused};
use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::places::Places;

/// Connections at once, in all: a sixtieth of the door's, so that agents keep the rest whatever comes. An enrolment takes
/// a second, so this is some hundreds of endpoints in a second.
const MOST: usize = 256;
/// Of one source: a hospital that enrols its endpoints behind one address needs fewer.
const MOST_EACH: usize = 16;
/// From the end of the request's head to the answer.
const ANSWERED: Duration = Duration::from_secs(10);
/// A connection's whole life: the authorities, then an enrolment, each answered within its time.
const LIFE: Duration = Duration::from_secs(40);

/// What is counted of those who have no certificate, and of those who ask for another.
pub struct Unknown {
    places: Places,
    /// Wrong tokens.
    pub(super) tokens: Attempts,
    /// Refused renewals. Counted apart: wrong tokens, which anybody can send, must not keep an endpoint from renewing.
    pub(super) renewals: Attempts,
    /// Refusals in the audit file.
    pub(super) records: Records,
}

impl Default for Unknown {
    fn default() -> Self {
        Self {
            places: Places::new(MOST, MOST_EACH),
            tokens: Attempts::tokens(),
            renewals: Attempts::renewals(),
            records: Records::default(),
        }
    }
}

/// Serves one connection that showed no certificate.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    stream: TlsStream<TcpStream>,
    from: SocketAddr,
    stop: CancellationToken,
) {
    let Some(_place) = gateway.unknown.places.take(from) else {
        return Refused::no_place().report(&gateway, "outer", from);
    };
    let app = Router::new()
        .fallback(unauthorized)
        .merge(lists::router(Arc::clone(&gateway), lists::Downloads::few()))
        .merge(est::router(est::Asker::unknown(gateway, from)));
    let served = doors::serve_http(stream, app, ANSWERED, stop);
    if tokio::time::timeout(LIFE, Box::pin(served)).await.is_err() {
        tracing::debug!(door = "outer", %from, "connection without a certificate ended: its time is over");
    }
}

/// The same for every page, so that it tells nothing of what there is.
async fn unauthorized(_: Request) -> Problem {
    let message =
        "show the endpoint's client certificate; to get one, enrol at /.well-known/est/simpleenroll (RFC 7030)";
    Problem::new(StatusCode::UNAUTHORIZED, "certificateRequired", message)
}
