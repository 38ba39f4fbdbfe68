//! Reading the journal line by line: whoever has the state before a line knows whether the line may follow.

use data_encoding::BASE64;

use super::line::{self, Kind};
use super::snapshot::{LogState, Snapshot};
use crate::hex::Subject;
use crate::person::{PersonKey, Sealed};
use crate::record::{self, DecodeError, Record};
use crate::scope::{Origin, Scope};
use crate::tlog::checkpoint::SignedCheckpoint;
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::Hash;

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A log's size and root at this place, signed. The root was compared; the signature is the caller's to verify.
    Checkpoint {
        /// Of which log.
        origin: Origin,
        /// The checkpoint.
        signed: SignedCheckpoint,
    },
    /// A person's key.
    Key {
        /// For which log.
        scope: Scope,
        /// For whom.
        subject: Subject,
        /// The key.
        key: PersonKey,
    },
    /// A record; its leaf is what [`record::encode`] says.
    Record {
        /// Its number in the journal.
        sequence: u64,
        /// Its log.
        scope: Scope,
        /// The record.
        record: Record<Sealed>,
    },
    /// The first line of a file: says what was known.
    Snapshot,
}

/// Holds lines against the state before them.
#[derive(Clone, Debug)]
pub struct Reader {
    state: Snapshot,
}

impl Reader {
    /// Reads on from a state.
    pub fn new(state: Snapshot) -> Self {
        Self { state }
    }

    /// The state behind the last line that fitted.
    pub fn state(&self) -> &Snapshot {
        &self.state
    }

    /// The same, to keep.
    pub fn into_state(self) -> Snapshot {
        self.state
    }

    /// Reads the next line, without its newline. After an error the state is as before.
    ///
    /// # Errors
    /// See [`LineError`]; hostile bytes never panic.
    pub fn line(&mut self, line: &[u8]) -> Result<Found, LineError> {
        let (kind, rest) = line::read(line).ok_or(LineError::Unreadable)?;
        match kind {
            Kind::Checkpoint => self.checkpoint(rest),
            Kind::Key => key(rest).ok_or(LineError::Malformed { what: "key" }),
            Kind::Record => self.record(rest),
            Kind::Snapshot if self.state.to_json() == rest => Ok(Found::Snapshot),
            Kind::Snapshot => Err(LineError::Snapshot),
        }
    }

    fn record(&mut self, rest: &[u8]) -> Result<Found, LineError> {
        let malformed = LineError::Malformed { what: "record" };
        let space = rest.iter().position(|byte| *byte == b' ').ok_or(malformed.clone())?;
        let (scope, leaf) = (&rest[..space], &rest[space + 1..]);
        let scope: Scope = text(scope).and_then(|scope| scope.parse().ok()).ok_or(malformed)?;
        let expected = self.state.size(&scope);
        let decoded = record::decode(leaf);
        let record = decoded.map_err(|why| LineError::Record { scope: scope.clone(), expected, why })?;
        if record.event.scope() != scope {
            return Err(LineError::Scope { scope });
        }
        if record.n != expected {
            return Err(LineError::Number { scope, expected, found: record.n });
        }
        if self.state.logs.get(&scope).is_some_and(|log| record.at < log.at) {
            return Err(LineError::Time { scope, n: record.n });
        }
        let sequence = self.state.next;
        self.state.push(&scope, &record, leaf);
        Ok(Found::Record { sequence, scope, record })
    }

    fn checkpoint(&self, rest: &[u8]) -> Result<Found, LineError> {
        let malformed = LineError::Malformed { what: "checkpoint" };
        let note = BASE64.decode(rest).map_err(|_| malformed.clone())?;
        let signed = SignedCheckpoint::parse(&note).map_err(|_| malformed.clone())?;
        let origin: Origin = signed.claimed().origin().parse().map_err(|_| malformed)?;
        let ours = origin.keeper.incarnation == self.state.incarnation;
        if ours && signed.claimed().head() == self.state.head(&origin.scope) {
            Ok(Found::Checkpoint { origin, signed })
        } else {
            Err(LineError::Root { scope: origin.scope })
        }
    }
}

impl Snapshot {
    /// Takes a record that fits.
    pub(super) fn push<P>(&mut self, scope: &Scope, record: &Record<P>, leaf: &[u8]) {
        let fresh = || LogState { at: record.at, tree: Frontier::new() };
        let log = self.logs.entry(scope.clone()).or_insert_with(fresh);
        log.at = record.at;
        log.tree.push(Hash::leaf(leaf));
        self.next += 1;
    }
}

fn key(rest: &[u8]) -> Option<Found> {
    let mut parts = text(rest)?.split(' ');
    let mut next = || parts.next();
    let (scope, id, subject, key) = (next()?, next()?, next()?, next()?);
    if next().is_some() {
        return None;
    }
    let bytes = zeroize::Zeroizing::new(BASE64.decode(key.as_bytes()).ok()?);
    let key = PersonKey::from_slice(&bytes)?;
    (key.id().to_string() == id).then_some(())?;
    Some(Found::Key { scope: scope.parse().ok()?, subject: subject.parse().ok()?, key })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Why a line may not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Its CRC fits, what it says does not read.
    #[error("the line is no {what}")]
    Malformed {
        /// What it says it is.
        what: &'static str,
    },
    /// A record was left out, repeated or moved.
    #[error("log {scope}: record {expected} should follow, and {found} does")]
    Number {
        /// The log.
        scope: Scope,
        /// The number that should be.
        expected: u64,
        /// The number that is.
        found: u64,
    },
    /// Its CRC fits, but the record does not read.
    #[error("record {expected} of log {scope} is unreadable")]
    Record {
        /// The log.
        scope: Scope,
        /// The number that it should have.
        expected: u64,
        /// Why.
        #[source]
        why: DecodeError,
    },
    /// The tree of the records is not the one that was signed.
    #[error("log {scope}: the records' root is not the checkpoint's")]
    Root {
        /// The log.
        scope: Scope,
    },
    /// The record is of another log.
    #[error("log {scope}: the record belongs to another log")]
    Scope {
        /// The log in which it stands.
        scope: Scope,
    },
    /// The file does not begin where the one before ended.
    #[error("the snapshot is not what the records before it give")]
    Snapshot,
    /// Time fell.
    #[error("log {scope}: the time of record {n} is before that of the record before it")]
    Time {
        /// The log.
        scope: Scope,
        /// The record.
        n: u64,
    },
    /// No line, or changed: the CRC does not fit.
    #[error("the line cannot be read: its checksum does not fit")]
    Unreadable,
}
