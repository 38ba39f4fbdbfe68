//! A numbered, dated event, and the one way to write it down: its bytes are a leaf of its log's Merkle tree.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::person::Sealed;

/// Longest record in bytes: what an entry of a C2SP tlog-tiles bundle can hold. Every part of a record is bounded by
/// its type so that none is longer.
pub const MAX_RECORD: usize = 65_535;

/// One entry of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record<P> {
    /// Index in the log, from 0, without gaps.
    pub n: u64,
    /// When. Never before the time of the record before it.
    pub at: Timestamp,
    /// How good that time is.
    pub clock: Clock,
    /// What happened.
    pub event: Event<P>,
}

impl<P> Record<P> {
    /// The same record with its person in another form; `map` is also told the record's index.
    ///
    /// # Errors
    /// What `map` says.
    pub fn try_map<Q, E>(self, map: impl FnOnce(P, u64) -> Result<Q, E>) -> Result<Record<Q>, E> {
        let Self { n, at, clock, event } = self;
        Ok(Record { n, at, clock, event: event.try_map(|person| map(person, n))? })
    }
}

/// Quality of a gateway's clock at a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clock {
    /// Whether the system says that its clock is synchronised.
    pub synced: bool,
    /// The largest error that the system reckons with, in milliseconds; absent when it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ms: Option<u64>,
    /// By how much the clock was behind the log's last time, which stands instead of it; 0 when time went forward.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub behind_ms: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The record as bytes: one line of JSON without its newline, at most [`MAX_RECORD`].
pub fn encode(record: &Record<Sealed>) -> Vec<u8> {
    // Every part of a record is a string, a number or a list of them, and all map keys are strings, so this cannot
    // fail; the tests hold us to it. An empty record would be refused by the next reader.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record. Only the spelling that [`encode`] writes is accepted, so a record has exactly one form and a changed
/// byte is either another record or none.
///
/// # Errors
/// See [`DecodeError`]; hostile bytes never panic.
pub fn decode(bytes: &[u8]) -> Result<Record<Sealed>, DecodeError> {
    if bytes.len() > MAX_RECORD {
        return Err(DecodeError::TooLong { bytes: bytes.len() });
    }
    let record = serde_json::from_slice(bytes).map_err(|e| DecodeError::Unreadable { why: e.to_string() })?;
    if encode(&record) == bytes { Ok(record) } else { Err(DecodeError::NotCanonical) }
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They say something, but not in the spelling that is written.
    #[error("audit record is not in its canonical spelling")]
    NotCanonical,
    /// Longer than any record.
    #[error("audit record of {bytes} bytes, where {MAX_RECORD} are the most")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Not a record.
    #[error("audit record cannot be read: {why}")]
    Unreadable {
        /// What the parser says.
        why: String,
    },
}
