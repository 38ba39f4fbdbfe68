//! What is known of the world when the machine is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::generation::Generation;

/// What is known now.
///
/// Acknowledgements and absences may be stale: one that is not yet known only delays. Peers, their certificates and the
/// stored keys must be read *after* the state and be complete, because a certificate that is missing here makes its
/// generation look free to go. Whoever cannot read them (an API server that answers an error) does not ask the machine.
/// A key that cannot be reached (a token that is not there) is not a key that is not there: of a generation that is to sign
/// it is named here all the same, or the machine is not asked. `digest` is computed from the very state that is handed to
/// [`super::step`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Generations whose certificate and usable key are stored, by number.
    pub keys: BTreeMap<u32, Generation>,
    /// What was noted beside a stored key when it was made, by number. A key without a note counts as made for what is
    /// wished now; so without notes a spec that changes, or an emergency that is declared, between the making of a key
    /// and the write that names it would take a key that was not made for it.
    pub made: BTreeMap<u32, Made>,
    /// Digest of the bundle that the stored state publishes ([`super::State::bundle`]); what peers acknowledge.
    pub digest: String,
    /// Everybody who holds a certificate of this authority or verifies one, and can acknowledge, by name.
    pub peers: BTreeMap<String, Peer>,
    /// What the object asks for.
    pub wish: Wish,
}

/// What is noted beside a key when [`super::Action::MakeKey`] is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// [`Wish::made_for`] of then.
    pub made_for: String,
    /// [`Request::id`] of the request of then, if there was one. A key whose note lacks it is never an emergency's.
    pub request: Option<String>,
}

/// One peer: an agent, a gateway, a shared bootstrap certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Digest of the bundle that it acknowledged last.
    pub acknowledged: Option<String>,
    /// Since when it is away; nothing while it is connected.
    pub away_since: Option<Timestamp>,
    /// Certificates that it uses or may begin to use: the one it last proved, and every one issued to it since.
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
    /// A rotation begins this long before the signing generation ends, but not in the first half of its life: a value
    /// longer than a lifetime would rotate without end.
    pub start_before: Duration,
    /// A new generation is published at least this long before it signs.
    pub publish_for: Duration,
    /// A peer that is away for so long is not waited for.
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
