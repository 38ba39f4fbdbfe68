//! What is known of the world when the machine is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::generation::Generation;

/// What is known now. Facts may be stale: an acknowledgement that is not yet known only delays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Generations whose certificate and usable key are stored, by number.
    pub keys: BTreeMap<u32, Generation>,
    /// Digest of the bundle that the stored state publishes ([`super::State::bundle`]); what peers acknowledge.
    pub digest: String,
    /// Everybody who holds a certificate of this authority or verifies one, and can acknowledge, by name.
    pub peers: BTreeMap<String, Peer>,
    /// What the object asks for.
    pub wish: Wish,
}

/// One peer: an agent, a gateway, a shared bootstrap certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Digest of the bundle that it acknowledged last.
    pub acknowledged: Option<String>,
    /// Since when it is away; nothing while it is connected.
    pub away_since: Option<Timestamp>,
    /// Certificates that it uses: those it last proved, or else the last issued to it.
    pub holds: Vec<Held>,
}

/// A certificate in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The generation that issued it.
    pub issuer: u32,
    /// Its end.
    pub not_after: Timestamp,
}

/// What the object asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Digest of subject, algorithm and custody.
    pub made_for: String,
    /// A rotation begins this long before the signing generation ends.
    pub start_before: Duration,
    /// A new generation is published at least this long before it signs.
    pub publish_for: Duration,
    /// A peer that is away for longer is not waited for.
    pub overlap: Duration,
    /// A request for a rotation.
    pub request: Option<Request>,
    /// Peers that somebody gave up, with the reason.
    pub lost: BTreeMap<String, String>,
}

/// A request for a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Tells it from the one before.
    pub id: String,
    /// Why.
    pub reason: String,
    /// An emergency: how long the old generations are still trusted, from the new one's making.
    pub emergency: Option<Duration>,
}
