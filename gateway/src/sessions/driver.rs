//! The one async file that drives `sallyport_core::session::Session`: it waits, feeds events, and does what the end of
//! a session needs: cut, verify, record, tell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sallyport_audit::Event as AuditEvent;
use sallyport_audit::event::SessionEnded;
use sallyport_core::session::{EndReason, Event, Limits, Session};

use super::LiveSession;
use crate::gateway::Gateway;

/// Drives a session whose start record is durable to its end.
pub(super) async fn drive(gateway: Arc<Gateway>, session: Arc<LiveSession>, limits: Limits, recorded: Instant) {
    let mut state = Session::requested(limits).on(Event::Recorded, recorded);
    let reason = loop {
        state = match state {
            Session::Ended { reason } => break reason,
            open => {
                let event = next_event(&gateway, &session, open.wake_at()).await;
                // Traffic is looked at only when something happens: a byte costs no wake-up.
                open.on(Event::Moved, session.passage.meter().moved_at()).on(event, Instant::now())
            }
        };
    };
    session.passage.cut();
    let verified = both_legs_closed(&session).await;
    record_end(&gateway, &session, &reason, verified).await;
    session.over.send_replace(Some(reason));
    gateway.sessions.recount();
}

async fn next_event(gateway: &Gateway, session: &LiveSession, wake_at: Option<Instant>) -> Event {
    let mut end = session.end.subscribe();
    let asked = async {
        match end.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(EndReason::EndedByEngineer),
            Err(_) => EndReason::GatewayStopping,
        }
    };
    let wake = async {
        match wake_at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        reason = asked => Event::End(reason),
        _ = session.passage.tunnel_lost() => Event::End(EndReason::TunnelLost),
        health = gateway.audit.unavailable() => {
            tracing::warn!(session = %session.id, %health, "session ends: the audit log takes no record");
            Event::End(EndReason::RecordFailed)
        }
        () = wake => Event::Tick,
    }
}

/// NIST SP 800-53 MA-4(7): the disconnection is verified, and the verification is recorded. Streams end as soon as
/// their tasks run; a second is far more than they need.
async fn both_legs_closed(session: &LiveSession) -> bool {
    let closed = tokio::time::timeout(Duration::from_secs(1), session.passage.meter().no_streams()).await.is_ok();
    if !closed {
        tracing::error!(session = %session.id, "a stream outlives its session's end");
    }
    closed
}

async fn record_end(gateway: &Gateway, session: &LiveSession, reason: &EndReason, verified: bool) {
    let meter = session.passage.meter();
    let authorised = session.passage.permit().authorised();
    let denial = session.denial();
    let event = AuditEvent::SessionEnded(SessionEnded {
        session: session.id.as_str().into(),
        site: authorised.site().clone(),
        device: authorised.device().clone(),
        service: authorised.service().clone(),
        reason: reason.clone(),
        denial,
        // A denial's words name the engineer; its code stands for them.
        detail: session.detail().filter(|_| denial.is_none()).map(Into::into),
        bytes_in: meter.to_engineer(),
        bytes_out: meter.to_device(),
        verified,
    });
    if let Err(error) = gateway.audit.append(event).await {
        tracing::error!(session = %session.id, %error, "the end of a session could not be recorded");
    }
    gateway.metrics.sessions_ended.with_label_values(&[reason.label()]).inc();
    tracing::info!(
        session = %session.id, reason = reason.label(), to_device = meter.to_device(),
        to_engineer = meter.to_engineer(), verified, "session over"
    );
}
