//! A numbered, dated event, and the one way to write it as a line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// One entry of one gateway's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Rises by one with every record of this gateway.
    pub sequence: u64,
    /// The gateway's clock. Order is told by `sequence`, not by this.
    pub at: Timestamp,
    /// The gateway's pod.
    pub gateway: String,
    /// What happened.
    pub event: Event,
}

/// The record as one line, its newline included.
pub fn encode(record: &Record) -> Vec<u8> {
    // Every part of a record is a string, a number or a list of them, and all map keys are strings, so this cannot
    // fail; `codec_is_total` in the tests holds us to it. An empty line would be seen as damage by the next reader.
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads one line, with or without its newline. Only the spelling that [`encode`] writes is accepted, so a record has
/// exactly one form and a changed byte is either another record or no record.
///
/// # Errors
/// See [`DecodeError`]; hostile bytes never panic.
pub fn decode(line: &[u8]) -> Result<Record, DecodeError> {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let record: Record = serde_json::from_slice(text).map_err(|e| DecodeError::Unreadable { why: e.to_string() })?;
    if encode(&record).strip_suffix(b"\n") == Some(text) { Ok(record) } else { Err(DecodeError::NotCanonical) }
}

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It says something, but not in the spelling that is written.
    #[error("audit record is not in its canonical spelling")]
    NotCanonical,
    /// Not a record.
    #[error("audit record cannot be read: {why}")]
    Unreadable {
        /// What the parser says.
        why: String,
    },
}
