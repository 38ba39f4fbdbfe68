//! From the upgrade request to the tunnel's end.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use sallyport_audit::event::{CloneSeen, TunnelDown, TunnelUp};
use sallyport_audit::{Event, Person};
use sallyport_tunnel::{Limits, gateway_end};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{NotAdmitted, Site, admitted, refusals};
use crate::certificate::InUse;
use crate::inner::answer::Problem;
use crate::tunnels::{Admission, AgentProcess, LiveTunnel, admission};

/// Answers an agent that wants a tunnel.
pub(super) async fn upgrade(State(site): State<Site>, mut request: Request) -> Response {
    let hello = match Hello::parse(request.headers()) {
        Ok(hello) => hello,
        Err(problem) => return problem.into_response(),
    };
    let certificate = match may_enter(&site, &hello).await {
        Ok(certificate) => certificate,
        Err(refused) => return refuse(&site, refused),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, hello.accept.clone());
    if let Ok(name) = HeaderValue::from_str(site.gateway.place.gateway.as_str()) {
        headers.insert("sallyport-gateway", name);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(hold(site, hello, certificate, upgrade));
    response
}

fn refuse(site: &Site, refused: NotAdmitted) -> Response {
    site.gateway.metrics.tunnels_refused.with_label_values(&[refused.label]).inc();
    tracing::info!(endpoint = %site.endpoint, from = %site.from, reason = refused.label, "tunnel refused");
    refusals::refused(site, refused.label);
    refused.into_response()
}

/// What an agent says of itself. None of it is an identity: that is the certificate's alone.
struct Hello {
    accept: HeaderValue,
    agent: AgentProcess,
    version: String,
}

impl Hello {
    fn parse(headers: &HeaderMap) -> Result<Self, Problem> {
        let wrong = |message: &str| Problem::new(StatusCode::BAD_REQUEST, "notAWebSocket", message);
        let is = |name, value: &str| {
            headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).is_some_and(|v| v.eq_ignore_ascii_case(value))
        };
        if !is(UPGRADE, "websocket") || !is(SEC_WEBSOCKET_VERSION, "13") {
            return Err(wrong("this page is a WebSocket of version 13 (RFC 6455)"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| wrong("Sec-WebSocket-Key is missing"))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        let accept = accept.map_err(|_| wrong("Sec-WebSocket-Key is unusable"))?;
        // Short printable text only: it goes to logs and status.
        let word = |name: &str| {
            let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            text.chars().filter(char::is_ascii_graphic).take(64).collect::<String>()
        };
        let agent = AgentProcess { instance: word("sallyport-agent-instance"), slot: word("sallyport-tunnel-slot") };
        Ok(Self { accept, agent, version: word("sallyport-agent-version") })
    }
}

async fn may_enter(site: &Site, hello: &Hello) -> Result<InUse, NotAdmitted> {
    let config = admitted(site)?;
    may_join(site, hello, config.offer).await?;
    site.certificate()
}

/// Whether it may come in beside what is there.
async fn may_join(site: &Site, hello: &Hello, offer: Vec<u8>) -> Result<(), NotAdmitted> {
    let held = site.gateway.tunnels.to(&site.endpoint);
    match admission(held.as_ref().map(|held| &held.agent), &hello.agent) {
        Admission::Admit => Ok(()),
        Admission::Held => {
            let message = "this replica already holds a tunnel of this agent; dial again to reach another";
            Err(NotAdmitted::new(StatusCode::CONFLICT, "held", message))
        }
        Admission::AskTheOther => match held {
            Some(other) if other.answers(offer).await => {
                site.gateway.metrics.cloned_endpoints.inc();
                tracing::error!(
                    endpoint = %site.endpoint, from = %site.from, other = %other.from,
                    "two live agents use one certificate; the newer was refused. Find out which is the site's"
                );
                refusals::record(site, "cloned", |site| clone_seen(site, other.from));
                let message = "another live agent uses this certificate";
                Err(NotAdmitted::new(StatusCode::CONFLICT, "cloned", message))
            }
            Some(_) | None => Ok(()),
        },
    }
}

fn clone_seen(site: &Site, other: SocketAddr) -> Option<Event<Person>> {
    let endpoint = site.endpoint.clone();
    let of = site.gateway.site_of(&endpoint)?;
    Some(Event::CloneSeen(CloneSeen { site: of, endpoint, from: site.from, other }))
}

/// Holds the tunnel until it is over. No byte is read before the 101 is out: the upgraded connection exists only then.
#[allow(clippy::large_futures, reason = "held on the heap by the spawn")]
async fn hold(site: Site, hello: Hello, certificate: InUse, upgrade: OnUpgrade) {
    let Site { gateway, endpoint, from, discard, .. } = site.clone();
    let io = match upgrade.await {
        Ok(io) => TokioIo::new(io),
        Err(error) => return tracing::debug!(%endpoint, %error, "the agent left before the tunnel began"),
    };
    let (tunnel, driver) = match gateway_end(io, Limits::DEFAULT).await {
        Ok(both) => both,
        Err(reason) => return tracing::info!(%endpoint, %from, reason = reason.label(), "tunnel did not begin"),
    };
    let live = LiveTunnel::new(tunnel, hello.agent, from, hello.version.clone(), certificate, discard);
    let number = gateway.tunnels.insert(endpoint.clone(), live.clone());
    // Configuration and trust may have changed since the request was looked at; now that the tunnel is registered, look
    // again.
    match admitted(&site) {
        Ok(config) => drop(tokio::spawn(greet(site.clone(), live.clone(), config.offer))),
        Err(refused) => live.cut(&refused.message),
    }
    // Not awaited: the tunnel moves only while its driver is polled below.
    let agent_version = hello.version.as_str().into();
    // The site's name is kept for the end: by then the configuration may not name the endpoint any more.
    let of = gateway.site_of(&endpoint);
    let up = TunnelUp { site: of.clone(), endpoint: endpoint.clone(), from, agent_version };
    tokio::spawn(record(site.clone(), Event::TunnelUp(up)));
    tracing::info!(%endpoint, %from, "tunnel up");
    let expiry = tokio::spawn(close_at_end(live));
    let reason = driver.await;
    expiry.abort();
    gateway.tunnels.remove(&endpoint, number);
    let down = TunnelDown { site: of, endpoint: endpoint.clone(), from, reason: reason.to_string().into() };
    record(site, Event::TunnelDown(down)).await;
    tracing::info!(%endpoint, %from, reason = reason.label(), detail = %reason, "tunnel down");
}

/// What an agent is told first: its offer, then whom it may trust.
async fn greet(site: Site, live: LiveTunnel, offer: Vec<u8>) {
    live.push_offer(&site.endpoint, offer).await;
    if let Some(trust) = site.gateway.trust.current() {
        site.gateway.tunnels.announce(&site.endpoint, &live, &trust).await;
    }
}

/// A certificate is checked when it is shown or proved, so its end is watched for. An agent that renews proves the next
/// one before.
async fn close_at_end(live: LiveTunnel) {
    let mut certificate = live.watch_certificate();
    loop {
        let not_after = certificate.borrow_and_update().not_after;
        let left = Duration::try_from(not_after.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
        tokio::select! {
            () = tokio::time::sleep(left) => return live.cut("the endpoint's certificate ended"),
            changed = certificate.changed() => if changed.is_err() { return },
        }
    }
}

/// A tunnel alone gives no access, so a record that fails is an alarm and not a reason to cut it.
async fn record(site: Site, event: Event<Person>) {
    if let Err(error) = site.gateway.audit.append(event).await {
        tracing::error!(endpoint = %site.endpoint, %error, "a tunnel's coming or going could not be recorded");
    }
}
