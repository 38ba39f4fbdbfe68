//! One stream of a session: an HTTP upgrade, then the service's bytes.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::{CONNECTION, UPGRADE};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sallyport_tunnel::OpenError;

use super::answer::Problem;
use super::api::{Call, carried_elsewhere, forwarded};

/// What the upgrade is called.
pub const PROTOCOL: &str = "sallyport-stream";

/// Connects to the service first, so that a refusal is an answer, then answers 101. No byte is carried before the 101
/// is out: the upgraded connection exists only then.
pub async fn connect(
    State(call): State<Call>,
    Path(id): Path<String>,
    mut request: Request,
) -> Result<Response, Problem> {
    let asked = request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes() == PROTOCOL.as_bytes());
    if !asked {
        let message = format!("send `Connection: Upgrade` and `Upgrade: {PROTOCOL}`");
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgradeRequired", message));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    if let Some(elsewhere) = carried_elsewhere(&call.gateway, &call.caller, &id)? {
        return relay(&call, &elsewhere, &id, upgrade).await;
    }
    let session = call.gateway.sessions.of(&call.caller.engineer.user, &id);
    let session = session.ok_or_else(|| Problem::unknown_session(&id))?;
    if let Some(reason) = session.ended() {
        let why = session.detail().unwrap_or(reason.label());
        return Err(Problem::new(StatusCode::GONE, "sessionEnded", format!("the session is over: {why}")));
    }
    let connected = session.passage.connect().await.map_err(|error| refused(&call, &error))?;
    let discard = call.caller.discard.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(engineer) => {
                let carried = connected.carry(TokioIo::new(engineer), || discard.order()).await;
                tracing::debug!(session = %session.id, ?carried, "stream over");
            }
            Err(error) => tracing::debug!(session = %session.id, %error, "the engineer left before the stream began"),
        }
    });
    Ok(switching())
}

fn refused(call: &Call, error: &OpenError) -> Problem {
    call.gateway.metrics.streams_refused.with_label_values(&[error.label()]).inc();
    Problem::new(StatusCode::BAD_GATEWAY, "refusedBySite", error.to_string())
}

/// The session lives on another replica: ask it for the stream, and join the two connections only when it agreed.
async fn relay(
    call: &Call,
    holder: &sallyport_core::name::Name,
    id: &str,
    upgrade: hyper::upgrade::OnUpgrade,
) -> Result<Response, Problem> {
    let mut request = forwarded(Method::GET, &format!("/v1/sessions/{id}/stream"), Body::empty());
    request.headers_mut().insert(CONNECTION, "Upgrade".parse().expect("a constant header"));
    request.headers_mut().insert(UPGRADE, PROTOCOL.parse().expect("a constant header"));
    let mut answer = call.gateway.peers.forward(&call.gateway, holder, &call.caller.engineer, request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    let beyond = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        if let (Ok(engineer), Ok(beyond)) = tokio::join!(upgrade, beyond) {
            let (mut engineer, mut beyond) = (TokioIo::new(engineer), TokioIo::new(beyond));
            // The holder's passage cuts; a cut there ends this copy too.
            let copied =
                tokio::io::copy_bidirectional_with_sizes(&mut engineer, &mut beyond, 16 * 1024, 16 * 1024).await;
            tracing::debug!(?copied, "relayed stream over");
        }
    });
    Ok(switching())
}

fn switching() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, "Upgrade".parse().expect("a constant header"));
    response.headers_mut().insert(UPGRADE, PROTOCOL.parse().expect("a constant header"));
    response
}
