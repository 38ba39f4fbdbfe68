//! The outer door: where agents dial in. TLS 1.3 with the endpoint's client certificate, HTTP/1.1, a WebSocket upgrade,
//! and then the tunnel, in which the gateway is the client.
//!
//! Who shows no certificate gets what is needed to ask for one ([`est`], [`lists`]) and nothing else.

mod audit;
mod est;
mod lists;
mod refusals;
mod tunnel;
mod unknown;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::config::Endpoint;
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::EndpointId;
use sallyport_pki::inspect;
use sallyport_runtime::tls::Reason;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::certificate::InUse;
use crate::doors::{self, Refused};
use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::socket::{Discard, Socket};
use crate::trust::Trust;

pub use refusals::Refusals;
pub use unknown::Unknown;

/// What every handler knows of the connection.
#[derive(Clone)]
pub(crate) struct Site {
    gateway: Arc<Gateway>,
    endpoint: EndpointId,
    from: SocketAddr,
    /// What the endpoint showed, leaf first.
    chain: Arc<[CertificateDer<'static>]>,
    discard: Discard,
}

/// Serves one connection that passed the handshake.
pub async fn serve(gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, from: SocketAddr, stop: CancellationToken) {
    let chain: Arc<[_]> = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
    let Some(leaf) = chain.first() else {
        return unknown::serve(gateway, stream, from, stop).await;
    };
    match inspect::identity(leaf) {
        Ok(Identity { region, role: Role::Endpoint(endpoint) }) if region == gateway.place.region => {
            let discard = Discard::default();
            let site = Site { gateway, endpoint, from, chain, discard: discard.clone() };
            // The handshake knows the lists alone, and may be older than the trust.
            if let Err(reason) = site.is_trusted() {
                refusals::refused(&site, reason.label());
                return Refused::no_longer(reason).report(&site.gateway, "outer", from);
            }
            let app = Router::new()
                .route("/v1/preflight", get(preflight))
                .route("/v1/tunnel", get(tunnel::upgrade))
                .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "notFound", "there is no such page") })
                .with_state(site.clone())
                .merge(audit::router(site.clone()))
                .merge(lists::router(Arc::clone(&site.gateway), lists::Downloads::Any))
                .merge(est::router(est::Asker::of(&site)));
            doors::serve_http(Socket::new(stream, discard), app, doors::ANSWERED, stop).await;
        }
        Ok(identity) => Refused::role_swapped(identity.to_string()).report(&gateway, "outer", from),
        Err(error) => Refused::unusable(error.to_string()).report(&gateway, "outer", from),
    }
}

async fn preflight(State(site): State<Site>) -> Response {
    let suspended = match admitted(&site) {
        Ok(_) => false,
        Err(refused) if refused.label == "suspended" => true,
        Err(refused) => return refused.into_response(),
    };
    let body = json!({
        "gateway": site.gateway.place.gateway,
        "endpoint": site.endpoint,
        "suspended": suspended,
        "time": Timestamp::now(),
    });
    Json(body).into_response()
}

/// Why an agent gets no tunnel.
struct NotAdmitted {
    status: StatusCode,
    label: &'static str,
    message: String,
}

impl NotAdmitted {
    fn new(status: StatusCode, label: &'static str, message: impl Into<String>) -> Self {
        Self { status, label, message: message.into() }
    }
}

impl IntoResponse for NotAdmitted {
    fn into_response(self) -> Response {
        let mut response = Problem::new(self.status, self.label, self.message).into_response();
        response.headers_mut().insert("sallyport-reason", http::HeaderValue::from_static(self.label));
        response
    }
}

impl Site {
    /// Whether the certificate of the connection would be let in now, and by which trust.
    fn is_trusted(&self) -> Result<Arc<Trust>, Reason> {
        let trust = self.gateway.trust.current().ok_or(Reason::Untrusted)?;
        trust.admits(&self.chain, UnixTime::now())?;
        Ok(trust)
    }

    /// The certificate of the connection, if it would be let in now: the connection may be older than the trust.
    fn certificate(&self) -> Result<InUse, NotAdmitted> {
        let not_trusted = |label: &'static str| {
            let message = format!("the certificate of this connection would not be let in any more: {label}");
            NotAdmitted::new(StatusCode::FORBIDDEN, label, message)
        };
        let trust = self.is_trusted().map_err(|reason| not_trusted(reason.label()))?;
        let leaf = self.chain.first();
        leaf.and_then(|leaf| InUse::read(leaf, trust.bundle())).ok_or_else(|| not_trusted("untrusted"))
    }
}

/// Whether the configuration lets this endpoint have a tunnel now.
fn admitted(site: &Site) -> Result<Endpoint, NotAdmitted> {
    let Site { gateway, endpoint, .. } = site;
    site.certificate()?;
    if gateway.is_draining() {
        return Err(NotAdmitted::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "this gateway is stopping"));
    }
    let in_force = gateway.store.current();
    if in_force.generation == 0 {
        let message = "this gateway has no configuration yet";
        return Err(NotAdmitted::new(StatusCode::SERVICE_UNAVAILABLE, "notReady", message));
    }
    match in_force.config.endpoints.get(endpoint) {
        None => {
            let message = format!("this region has no TunnelEndpoint {endpoint}");
            Err(NotAdmitted::new(StatusCode::FORBIDDEN, "unknownEndpoint", message))
        }
        Some(config) if config.suspended => {
            let message = format!("site {} is suspended", config.site);
            Err(NotAdmitted::new(StatusCode::FORBIDDEN, "suspended", message))
        }
        Some(config) => Ok(config.clone()),
    }
}
