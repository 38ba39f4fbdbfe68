//! What a replica answers its peers: only to a certificate of role `gateway` of the same region.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderName, StatusCode};
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::engineer::Engineer;
use sallyport_core::name::EndpointId;
use sallyport_runtime::tls;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{PeerStatus, link};
use crate::doors::{self, Refused};
use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::inner::{Caller, Hop, api};
use crate::socket::Discard;

/// Carries the engineer whom the peer authenticated, as JSON.
pub const ENGINEER: HeaderName = HeaderName::from_static("sallyport-engineer");

/// Serves one connection that passed the handshake.
pub async fn serve(gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, from: SocketAddr, stop: CancellationToken) {
    match tls::peer_identity(stream.get_ref().1) {
        Ok(identity) if gateway.place.is_peer(&identity) => {
            let chain: Arc<[_]> = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
            match link(&gateway, &chain, stream) {
                Ok(linked) => {
                    let app = router(Arc::clone(&gateway));
                    let check = middleware::from_fn_with_state((gateway, chain), still_admitted);
                    doors::serve_http(linked, app.layer(check), doors::ANSWERED, stop).await;
                }
                Err(reason) => Refused::no_longer(reason).report(&gateway, "peer", from),
            }
        }
        Ok(identity) => Refused::role_swapped(identity.to_string()).report(&gateway, "peer", from),
        Err(error) => Refused::unusable(error.to_string()).report(&gateway, "peer", from),
    }
}

/// A connection may be older than what is in time.
async fn still_admitted(
    State((gateway, chain)): State<(Arc<Gateway>, Arc<[CertificateDer<'static>]>)>,
    request: Request,
    next: Next,
) -> Response {
    match gateway.trust.current().map(|trust| trust.admits(&chain, UnixTime::now())) {
        Some(Ok(())) => next.run(request).await,
        Some(Err(reason)) => Problem::not_trusted(reason.label()).into_response(),
        None => Problem::not_trusted("untrusted").into_response(),
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/peer/status", get(status))
        .route("/v1/peer/tunnels", get(tunnels))
        .route("/v1/peer/tunnels/{namespace}/{name}", get(holds))
        .fallback(forwarded)
        .with_state(gateway)
}

async fn status(State(gateway): State<Arc<Gateway>>) -> Json<PeerStatus> {
    Json(PeerStatus::of(&gateway))
}

async fn tunnels(State(gateway): State<Arc<Gateway>>) -> Json<BTreeSet<EndpointId>> {
    Json(gateway.tunnels.all().into_iter().map(|(endpoint, _)| endpoint).collect())
}

async fn holds(State(gateway): State<Arc<Gateway>>, Path((namespace, name)): Path<(String, String)>) -> Json<bool> {
    let endpoint = EndpointId::parse(&namespace, &name);
    Json(!gateway.is_draining() && endpoint.is_ok_and(|endpoint| gateway.tunnels.to(&endpoint).is_some()))
}

/// An engineer's request that a peer passed on: the same API, with the engineer whom the peer names.
async fn forwarded(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    let engineer =
        request.headers().get(ENGINEER).and_then(|who| serde_json::from_slice::<Engineer>(who.as_bytes()).ok());
    let Some(engineer) = engineer else {
        return Problem::new(StatusCode::BAD_REQUEST, "noEngineer", "a peer must name the engineer").into_response();
    };
    match api::router(gateway, Caller { engineer, hop: Hop::Forwarded, chain: Vec::new(), discard: Discard::default() })
        .oneshot(request)
        .await
    {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
