//! A session as the inner door tells it.

use jiff::Timestamp;
use sallyport_core::config::Protocol;
use sallyport_core::engineer::Reason;
use sallyport_core::name::{DeviceId, Name, PolicyId};
use sallyport_core::session::EndReason;
use serde::{Deserialize, Serialize};

use super::LiveSession;

/// See docs/design/contracts.md.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the contract's")]
pub struct SessionView {
    pub id: String,
    pub engineer: String,
    pub device: DeviceId,
    pub service: Name,
    pub protocol: Protocol,
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Reason>,
    pub gateway: Name,
    pub policy: PolicyId,
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
    /// What changed, in words, when the session was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_detail: Option<String>,
    pub opened_at: Timestamp,
    pub expires_at: Timestamp,
    pub idle_timeout_seconds: u64,
    pub streams: usize,
    /// From the device to the engineer.
    pub bytes_in: u64,
    /// From the engineer to the device.
    pub bytes_out: u64,
}

/// Whether bytes may pass.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Over.
    Ended,
    /// Bytes may pass.
    Open,
}

impl SessionView {
    /// The session as `gateway` carries it.
    pub fn of(session: &LiveSession, gateway: &Name) -> Self {
        let authorised = session.passage.permit().authorised();
        let meter = session.passage.meter();
        let end_reason = session.ended();
        Self {
            id: session.id.clone(),
            engineer: authorised.engineer().user.to_string(),
            device: authorised.device().clone(),
            service: authorised.service().clone(),
            protocol: session.protocol,
            reason: authorised.request().reason.clone(),
            incident: authorised.request().incident.clone(),
            gateway: gateway.clone(),
            policy: authorised.policy().clone(),
            state: if end_reason.is_some() { State::Ended } else { State::Open },
            end_detail: end_reason.is_some().then(|| session.detail().map(str::to_owned)).flatten(),
            end_reason,
            opened_at: session.opened_at,
            expires_at: session.expires_at,
            idle_timeout_seconds: session.idle.as_secs(),
            streams: meter.streams(),
            bytes_in: meter.to_engineer(),
            bytes_out: meter.to_device(),
        }
    }
}
