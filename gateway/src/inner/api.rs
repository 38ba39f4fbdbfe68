//! The API of docs/design/contracts.md, for engineers and, with the same handlers, for peers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing;
use axum::{Json, Router};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use jiff::Timestamp;
use sallyport_core::access::{decide, visible};
use sallyport_core::config::Device;
use sallyport_core::engineer::SessionRequest;
use sallyport_core::name::{DeviceId, EndpointId, Name};
use sallyport_core::session::EndReason;
use serde_json::{Value, json};

use super::answer::Problem;
use super::{Caller, Hop, audit, stream};
use crate::gateway::Gateway;
use crate::peers::PeerStatus;
use crate::sessions::{self, SessionView};

/// What every handler knows.
#[derive(Clone)]
pub struct Call {
    /// The process.
    pub gateway: Arc<Gateway>,
    /// Who calls.
    pub caller: Caller,
}

/// The routes for one caller.
pub fn router(gateway: Arc<Gateway>, caller: Caller) -> Router {
    Router::new()
        .route("/v1/whoami", routing::get(whoami))
        .route("/v1/status", routing::get(status))
        .route("/v1/devices", routing::get(devices))
        .route("/v1/sessions", routing::post(open).get(list))
        .route("/v1/sessions/{id}", routing::get(show).delete(end))
        .route("/v1/audit/records", routing::get(audit::records))
        .route("/v1/audit/export", routing::get(audit::export))
        .route("/v1/sessions/{id}/stream", routing::get(stream::connect))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "notFound", "there is no such page") })
        .with_state(Call { gateway, caller })
}

async fn whoami(State(Call { gateway, caller }): State<Call>) -> Json<Value> {
    Json(json!({
        "user": caller.engineer.user,
        "groups": caller.engineer.groups,
        "notAfter": caller.engineer.not_after,
        "region": gateway.place.region,
        "gateway": gateway.place.gateway,
    }))
}

async fn status(State(Call { gateway, caller }): State<Call>) -> Json<Value> {
    let own = PeerStatus::of(&gateway);
    let peers = match caller.hop {
        Hop::First => gateway.peers.statuses(&gateway, &gateway.peer_names()).await,
        Hop::Forwarded => Vec::new(),
    };
    let mut gateways: Vec<PeerStatus> = std::iter::once(own).chain(peers).collect();
    gateways.sort_by(|a, b| a.name.cmp(&b.name));
    Json(json!({
        "region": gateway.place.region,
        "gateway": gateway.place.gateway,
        "version": env!("CARGO_PKG_VERSION"),
        "gateways": gateways,
    }))
}

async fn devices(State(Call { gateway, caller }): State<Call>) -> Json<Value> {
    let config = gateway.store.current().config;
    let mine: Vec<_> = visible(&config, &caller.engineer).collect();
    let endpoints: Vec<EndpointId> = mine.iter().map(|(_, device)| device.endpoint.clone()).collect();
    let connected = gateway.peers.connected(&gateway, endpoints).await;
    let devices: Vec<Value> =
        mine.into_iter().map(|(id, device)| device_view(id, device, connected.contains(&device.endpoint))).collect();
    Json(json!({ "devices": devices }))
}

fn device_view(id: &DeviceId, device: &Device, connected: bool) -> Value {
    let services: Vec<Value> = device
        .services
        .iter()
        .map(|(name, service)| {
            json!({ "name": name, "protocol": service.protocol, "port": service.port,
                "examinationSafe": service.examination_safe })
        })
        .collect();
    json!({
        "id": id, "customer": device.customer, "product": device.product, "class": device.class,
        "level": device.level, "site": device.site, "connected": connected, "services": services,
    })
}

async fn open(State(Call { gateway, caller }): State<Call>, body: Bytes) -> Result<Response, Problem> {
    let request: SessionRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalidRequest", error.to_string()))?;
    if !caller.is_still_admitted(&gateway.store.current().config) {
        let message = "the authority of your certificate is not trusted any more, or your certificate ended";
        return Err(Problem::new(StatusCode::FORBIDDEN, "certificateNotTrusted", message));
    }
    if caller.hop == Hop::First
        && let Some(answer) = ask_other_holder(&gateway, &caller, &request, &body).await
    {
        return answer;
    }
    let session = sessions::open(&gateway, caller.engineer, request).await?;
    Ok((StatusCode::CREATED, Json(SessionView::of(&session, &gateway.place.gateway))).into_response())
}

/// The answer of the replica that holds the tunnel, if it is another one. What was believed may be wrong by now (the
/// replica went, or its tunnel did), so a failure is followed by one more look.
async fn ask_other_holder(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    request: &SessionRequest,
    body: &Bytes,
) -> Option<Result<Response, Problem>> {
    let mut answer = None;
    for _ in 0..2 {
        let Some(holder) = other_holder(gateway, caller, request).await else { break };
        let forwarded = forwarded(Method::POST, "/v1/sessions", body.clone().into());
        let answered = gateway.peers.forward(gateway, &holder, &caller.engineer, forwarded).await;
        let final_word = answered.as_ref().is_ok_and(|answer| answer.status() != StatusCode::SERVICE_UNAVAILABLE);
        answer = Some(answered);
        if final_word {
            break;
        }
    }
    answer
}

/// The replica that holds the tunnel, if it is another one. Peers are asked only when the decision would be yes, so
/// that a refusal needs no peer.
async fn other_holder(gateway: &Arc<Gateway>, caller: &Caller, request: &SessionRequest) -> Option<Name> {
    let config = gateway.store.current().config;
    let authorised = decide(&config, &caller.engineer, request, Timestamp::now()).ok()?;
    if gateway.tunnels.to(authorised.endpoint()).is_some() && !gateway.is_draining() {
        return None;
    }
    gateway.peers.holder(gateway, authorised.endpoint()).await
}

async fn list(State(Call { gateway, caller }): State<Call>) -> Json<Value> {
    let own = gateway.sessions.all_of(&caller.engineer.user);
    let mut all: Vec<SessionView> = own.iter().map(|s| SessionView::of(s, &gateway.place.gateway)).collect();
    if caller.hop == Hop::First {
        all.extend(gateway.peers.sessions(&gateway, &caller.engineer).await);
    }
    all.sort_by_key(|session| std::cmp::Reverse(session.opened_at));
    Json(json!({ "sessions": all }))
}

async fn show(State(Call { gateway, caller }): State<Call>, Path(id): Path<String>) -> Result<Response, Problem> {
    if let Some(elsewhere) = carried_elsewhere(&gateway, &caller, &id)? {
        let forwarded = forwarded(Method::GET, &format!("/v1/sessions/{id}"), Body::empty());
        return gateway.peers.forward(&gateway, &elsewhere, &caller.engineer, forwarded).await;
    }
    let session = gateway.sessions.of(&caller.engineer.user, &id).ok_or_else(|| Problem::unknown_session(&id))?;
    Ok(Json(SessionView::of(&session, &gateway.place.gateway)).into_response())
}

async fn end(State(Call { gateway, caller }): State<Call>, Path(id): Path<String>) -> Result<Response, Problem> {
    if let Some(elsewhere) = carried_elsewhere(&gateway, &caller, &id)? {
        let forwarded = forwarded(Method::DELETE, &format!("/v1/sessions/{id}"), Body::empty());
        return gateway.peers.forward(&gateway, &elsewhere, &caller.engineer, forwarded).await;
    }
    let session = gateway.sessions.of(&caller.engineer.user, &id).ok_or_else(|| Problem::unknown_session(&id))?;
    session.end(EndReason::EndedByEngineer);
    session.wait_ended().await;
    Ok(Json(SessionView::of(&session, &gateway.place.gateway)).into_response())
}

/// The replica whose ordinal the id begins with, if it is another one. An id that is not of our making leads nowhere.
pub(super) fn carried_elsewhere(gateway: &Gateway, caller: &Caller, id: &str) -> Result<Option<Name>, Problem> {
    let ours = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let ordinal = match id.split_once('-') {
        Some((ordinal, random)) if id.len() < 60 && random.chars().all(ours) => ordinal,
        _ => return Err(Problem::unknown_session(id)),
    };
    if ordinal == gateway.place.ordinal() || caller.hop == Hop::Forwarded {
        return Ok(None);
    }
    let peers = gateway.peer_names();
    let peer = peers.into_iter().find(|peer| crate::place::ordinal(peer.as_str()) == ordinal);
    peer.map(Some).ok_or_else(|| Problem::unknown_session(id))
}

/// A request for a peer.
pub(crate) fn get(path: &str) -> Request<Body> {
    forwarded(Method::GET, path, Body::empty())
}

pub(super) fn forwarded(method: Method, path: &str, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // Only paths made here, of ids that were looked at: they always parse.
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
}
