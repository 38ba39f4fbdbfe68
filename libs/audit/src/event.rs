//! What is recorded. Closed: a reader knows every kind there is.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use sallyport_core::access::Denied;
use sallyport_core::engineer::{Reason, UserId};
use sallyport_core::name::{DeviceId, EndpointId, Name, PolicyId, SiteId};
use sallyport_core::session::EndReason;
use serde::{Deserialize, Serialize};

/// Something that happened on a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// A configuration from the operator is in force.
    ConfigurationApplied {
        /// Its generation.
        generation: u64,
    },
    /// An endpoint was given its first certificate, by its one-time token.
    Enrolled {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Serial number of the certificate, in hex.
        serial: Text,
        /// From where it asked.
        from: SocketAddr,
    },
    /// A certificate was asked for and not given.
    EnrolmentRefused {
        /// Which endpoint was named, if the name could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<EndpointId>,
        /// From where it was asked.
        from: SocketAddr,
        /// Why not.
        reason: Text,
    },
    /// The gateway began; every session before this line that has no end ended with the process.
    GatewayStarted {
        /// The gateway's version.
        version: Text,
    },
    /// An endpoint was given a certificate by the one that it had.
    Renewed {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Serial number of the new certificate, in hex.
        serial: Text,
        /// From where it asked.
        from: SocketAddr,
    },
    /// An engineer was refused.
    SessionDenied {
        /// Who asked.
        engineer: UserId,
        /// For which device.
        device: DeviceId,
        /// For which of its services.
        service: Name,
        /// Why not.
        reason: Denied,
    },
    /// No byte passes any more.
    SessionEnded {
        /// Which session.
        session: String,
        /// Why.
        reason: EndReason,
        /// What was seen, in the words that the engineer reads; absent where the reason says it all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text>,
        /// From the device to the engineer.
        bytes_in: u64,
        /// From the engineer to the device.
        bytes_out: u64,
        /// Whether both legs were seen closed with no byte after the end (NIST SP 800-53 MA-4(7)).
        verified: bool,
    },
    /// A session may pass bytes once this record is durable, never before (invariant I3).
    SessionStarted {
        /// Its id.
        session: String,
        /// Who.
        engineer: UserId,
        /// Their groups at that moment: one of them may be why it was allowed.
        groups: BTreeSet<String>,
        /// Which device.
        device: DeviceId,
        /// Which of its services.
        service: Name,
        /// Whose device.
        site: SiteId,
        /// Through which endpoint.
        endpoint: EndpointId,
        /// Which policy allowed it.
        policy: PolicyId,
        /// What for, as the customer reads it.
        reason: Reason,
        /// For which incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Reason>,
        /// How long it may be, in seconds.
        max_seconds: u64,
    },
    /// Trust from the operator is in force: what it does not allow is cut.
    TrustApplied {
        /// Its digest.
        digest: Text,
        /// Its sequence number.
        sequence: u64,
        /// Certificates that its revocation lists name.
        revoked: u64,
    },
    /// A tunnel ended.
    TunnelDown {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From where it came.
        from: SocketAddr,
        /// Why it ended.
        reason: Text,
    },
    /// The agent behind a tunnel proved that it holds a newer certificate, which counts for the tunnel from now on.
    TunnelRenewed {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// Serial number of that certificate, in hex.
        serial: Text,
        /// SHA-256 of the authority's certificate that issued it, in hex.
        issuer: Text,
    },
    /// A tunnel began.
    TunnelUp {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From where it comes.
        from: SocketAddr,
        /// What the agent says it is.
        agent_version: Text,
    },
}

impl Event {
    /// The kind as written, for logs and filters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ConfigurationApplied { .. } => "configurationApplied",
            Self::Enrolled { .. } => "enrolled",
            Self::EnrolmentRefused { .. } => "enrolmentRefused",
            Self::GatewayStarted { .. } => "gatewayStarted",
            Self::Renewed { .. } => "renewed",
            Self::SessionDenied { .. } => "sessionDenied",
            Self::SessionEnded { .. } => "sessionEnded",
            Self::SessionStarted { .. } => "sessionStarted",
            Self::TrustApplied { .. } => "trustApplied",
            Self::TunnelDown { .. } => "tunnelDown",
            Self::TunnelRenewed { .. } => "tunnelRenewed",
            Self::TunnelUp { .. } => "tunnelUp",
        }
    }
}

/// Words from a peer or a library: at most 200 characters, no control characters. Longer or other text is clipped, not
/// refused, because an event that happened must be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// Characters that are kept.
    pub const MAX_CHARS: usize = 200;

    /// Clips a text.
    pub fn clipped(text: &str) -> Self {
        let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self(text.chars().take(Self::MAX_CHARS).map(visible).collect())
    }

    /// What was kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::clipped(&text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::clipped(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
