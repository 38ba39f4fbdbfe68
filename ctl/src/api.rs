//! What the inner door answers (docs/design/contracts.md), as far as this program looks at it. Unknown fields are
//! left alone: a newer gateway may say more.

use jiff::Timestamp;
use serde::Deserialize;

/// `GET /v1/devices`.
#[derive(Debug, Deserialize)]
pub(crate) struct Devices {
    pub devices: Vec<Device>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Device {
    pub id: String,
    pub customer: String,
    pub product: String,
    pub class: String,
    pub level: String,
    pub connected: bool,
    pub services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub name: String,
}

/// `GET /v1/sessions`.
#[derive(Debug, Deserialize)]
pub(crate) struct Sessions {
    pub sessions: Vec<Session>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub id: String,
    pub device: String,
    pub service: String,
    pub protocol: String,
    pub reason: String,
    pub state: String,
    pub end_reason: Option<String>,
    /// What changed, in words, when it was withdrawn. Older gateways do not say.
    pub end_detail: Option<String>,
    pub opened_at: Timestamp,
    pub expires_at: Timestamp,
    pub idle_timeout_seconds: u64,
    pub streams: u64,
    /// From the device.
    pub bytes_in: u64,
    /// To the device.
    pub bytes_out: u64,
}

impl Session {
    pub(crate) fn is_over(&self) -> bool {
        self.state == "ended"
    }
}

/// `GET /v1/status`.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub region: String,
    pub gateway: String,
    pub version: String,
    pub gateways: Vec<Gateway>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Gateway {
    pub name: String,
    pub reachable: bool,
    pub version: Option<String>,
    pub generation: Option<u64>,
    pub tunnels: Option<u64>,
    pub sessions: Option<u64>,
}

/// `GET /v1/whoami`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whoami {
    pub user: String,
    pub groups: Vec<String>,
    pub not_after: Timestamp,
    pub region: String,
    pub gateway: String,
}

/// The body of every error.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    pub code: String,
    pub message: String,
}
