//! Opening a session: decide, record, permit, pass. The order is the invariant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sallyport_audit::event::{SessionDenied, SessionEnded, SessionStarted};
use sallyport_audit::{Event, Person};
use sallyport_core::access::{Authorised, Denied, decide};
use sallyport_core::config::Protocol;
use sallyport_core::engineer::{Engineer, SessionRequest};
use sallyport_core::name::DeviceId;
use sallyport_core::session::{EndReason, Limits};
use tokio::sync::watch;

use super::{LiveSession, driver};
use crate::audit::{Audit, AuditError};
use crate::gateway::Gateway;
use crate::passage::{Passage, Permit};
use crate::tunnels::LiveTunnel;

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRefused {
    /// The start record could not be made durable (invariant I3).
    #[error("no session can open on this gateway now: {0}")]
    AuditUnavailable(AuditError),
    /// The decision.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The gateway was told to stop.
    #[error("this gateway is stopping; ask again")]
    Draining,
    /// No replica that answers has a tunnel to the site.
    #[error("device {0} is not connected: no gateway of this region has a tunnel to its endpoint")]
    NotConnected(DeviceId),
}

impl OpenRefused {
    /// The code of the API and the label of the metric.
    pub fn label(&self) -> &'static str {
        match self {
            Self::AuditUnavailable(_) => "auditUnavailable",
            Self::Denied(denied) => denied.label(),
            Self::Draining => "draining",
            Self::NotConnected(_) => "deviceNotConnected",
        }
    }
}

/// Opens a session on this replica, through the tunnel that it holds.
pub async fn open(
    gateway: &Arc<Gateway>,
    engineer: Engineer,
    request: SessionRequest,
) -> Result<Arc<LiveSession>, OpenRefused> {
    let opened = try_open(gateway, &engineer, &request).await;
    match &opened {
        Ok(session) => {
            gateway.metrics.sessions_opened.inc();
            tracing::info!(
                session = %session.id, engineer = %engineer.user, device = %request.device, service = %request.service,
                record = session.passage.permit().record(), "session open"
            );
        }
        Err(refused) => {
            gateway.metrics.sessions_refused.with_label_values(&[refused.label()]).inc();
            tracing::info!(
                engineer = %engineer.user, device = %request.device, service = %request.service,
                reason = refused.label(), "session refused"
            );
        }
    }
    opened
}

async fn try_open(
    gateway: &Arc<Gateway>,
    engineer: &Engineer,
    request: &SessionRequest,
) -> Result<Arc<LiveSession>, OpenRefused> {
    if gateway.is_draining() {
        return Err(OpenRefused::Draining);
    }
    let authorised = authorise(gateway, engineer, request).await?;
    let tunnel = gateway.tunnels.to(authorised.endpoint());
    let tunnel = tunnel.ok_or_else(|| OpenRefused::NotConnected(request.device.clone()))?;
    let id = new_id(gateway.place.ordinal());
    let limits = limits(gateway, &authorised);
    let protocol = protocol(gateway, &authorised);
    let permit = record(gateway, &id, authorised, limits).await?;
    let now = Timestamp::now();
    let session = Arc::new(LiveSession {
        id,
        passage: Passage::open(permit, tunnel.tunnel.clone()),
        protocol,
        opened_at: now,
        expires_at: now + limits.longest,
        idle: limits.idle,
        authorities: super::authorities(&gateway.store.current().config),
        detail: std::sync::OnceLock::new(),
        denial: std::sync::OnceLock::new(),
        end: watch::Sender::new(None),
        over: watch::Sender::new(None),
    });
    gateway.sessions.insert(Arc::clone(&session));
    tokio::spawn(driver::drive(Arc::clone(gateway), Arc::clone(&session), limits, Instant::now()));
    recheck(gateway, &session, &tunnel).await?;
    Ok(session)
}

/// The decision; a refusal is recorded too, as far as the audit file can.
async fn authorise(
    gateway: &Gateway,
    engineer: &Engineer,
    request: &SessionRequest,
) -> Result<Authorised, OpenRefused> {
    let config = gateway.store.current().config;
    match decide(&config, engineer, request, Timestamp::now()) {
        Ok(authorised) => Ok(authorised),
        Err(denied) => {
            let event = Event::SessionDenied(SessionDenied {
                by: Person::of(engineer).because(request.reason.clone()),
                site: config.devices.get(&request.device).map(|device| device.site.clone()),
                device: request.device.clone(),
                service: request.service.clone(),
                incident: request.incident.clone(),
                reason: (&denied).into(),
            });
            if let Err(error) = gateway.audit.append(event).await {
                tracing::error!(%error, "a refusal could not be recorded");
            }
            Err(denied.into())
        }
    }
}

/// The start record, durable before the permit exists.
async fn record(gateway: &Gateway, id: &str, authorised: Authorised, limits: Limits) -> Result<Permit, OpenRefused> {
    let request = authorised.request();
    let event = Event::SessionStarted(SessionStarted {
        by: Person::of(authorised.engineer()).because(request.reason.clone()),
        session: id.into(),
        device: authorised.device().clone(),
        service: authorised.service().clone(),
        site: authorised.site().clone(),
        endpoint: authorised.endpoint().clone(),
        policy: authorised.policy().clone(),
        incident: request.incident.clone(),
        approval: None,
        max_seconds: limits.longest.as_secs(),
    });
    match gateway.audit.append_while_open(event).await {
        Ok(receipt) => Ok(Permit::grant(id.to_owned(), authorised, receipt)),
        Err(error) => {
            tracing::error!(session = id, %error, "no session without its record");
            if error.may_be_there() {
                tokio::spawn(record_never_begun(gateway.audit.clone(), id.to_owned(), authorised));
            }
            Err(OpenRefused::AuditUnavailable(error))
        }
    }
}

/// The start record may become durable after all, but the session never began: that is its end.
async fn record_never_begun(audit: Audit, id: String, authorised: Authorised) {
    let ended = Event::SessionEnded(SessionEnded {
        session: id.as_str().into(),
        site: authorised.site().clone(),
        device: authorised.device().clone(),
        service: authorised.service().clone(),
        reason: EndReason::RecordFailed,
        denial: None,
        detail: Some("it never began: its start was not durable in time".into()),
        bytes_in: 0,
        bytes_out: 0,
        verified: true,
    });
    if let Err(error) = audit.append(ended).await {
        tracing::error!(session = id, %error, "that a session never began could not be recorded");
    }
}

/// A configuration or trust that came while the session was being opened may have missed it: look again, now that it is
/// registered. A tunnel that is not trusted any more may not be cut yet.
async fn recheck(gateway: &Gateway, session: &LiveSession, tunnel: &LiveTunnel) -> Result<(), OpenRefused> {
    let authorised = session.passage.permit().authorised();
    let config = gateway.store.current().config;
    let decided = decide(&config, authorised.engineer(), authorised.request(), Timestamp::now());
    let trusted = gateway.trust.current().map_or(Err(UNTRUSTED), |trust| trust.allows(&tunnel.certificate()));
    let refused = match (decided, trusted) {
        (Ok(_), Ok(())) => return Ok(()),
        (Err(denied), _) => {
            session.deny(&denied);
            denied.into()
        }
        (Ok(_), Err(why)) => {
            session.withdraw(&super::through(authorised.endpoint(), why));
            OpenRefused::NotConnected(authorised.device().clone())
        }
    };
    session.wait_ended().await;
    Err(refused)
}

/// There is no tunnel without trust; should there be one, nothing passes through it.
const UNTRUSTED: &str = "this gateway has no trust";

/// The engineer's certificate ends a session too.
fn limits(gateway: &Gateway, authorised: &Authorised) -> Limits {
    let settings = &gateway.store.current().config.settings;
    let left = authorised.engineer().not_after.duration_since(Timestamp::now());
    let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
    Limits { idle: settings.idle_timeout, longest: authorised.max_session().min(left) }
}

fn protocol(gateway: &Gateway, authorised: &Authorised) -> Protocol {
    let config = gateway.store.current().config;
    let service = config.devices.get(authorised.device()).and_then(|d| d.services.get(authorised.service()));
    service.map_or(Protocol::Tcp, |service| service.protocol)
}

/// The ordinal routes; 128 random bits cannot be guessed (fault F18).
fn new_id(ordinal: &str) -> String {
    let random: [u8; 16] = rand::random();
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ordinal}-{hex}")
}
