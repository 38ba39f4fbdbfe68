//! The body of `add-checkpoint`: `old N`, the proof one hash a line, an empty line, the checkpoint.

use std::fmt;

use crate::tlog::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::tlog::decimal;
use crate::tlog::hash::Hash;

/// The protocol allows no more lines of proof.
pub const MOST_PROOF_LINES: usize = 63;

/// A request to cosign. `to_string` is its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to have cosigned last; 0 for none.
    pub old: u64,
    /// The consistency proof from there; empty from 0.
    pub proof: Vec<Hash>,
    /// What is to be cosigned.
    pub checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// Reads a body.
    ///
    /// # Errors
    /// See [`RequestError`]; hostile bytes never panic.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let end = body.windows(2).position(|two| two == b"\n\n").ok_or(RequestError::Shape)?;
        let (head, note) = (&body[..end], &body[end + 2..]);
        let mut lines = std::str::from_utf8(head).map_err(|_| RequestError::Shape)?.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal::parse);
        let old = old.ok_or(RequestError::Old)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MOST_PROOF_LINES {
                return Err(RequestError::TooMany);
            }
            proof.push(Hash::from_base64(line).map_err(|_| RequestError::Proof { line: proof.len() + 1 })?);
        }
        Ok(Self { old, proof, checkpoint: SignedCheckpoint::parse(note)? })
    }

    /// Which log the checkpoint claims to be of: by this the witness finds its state and its keys.
    pub fn origin(&self) -> &str {
        self.checkpoint.claimed().origin()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a body is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// What is behind the empty line.
    #[error("request holds no signed checkpoint")]
    Checkpoint(#[from] CheckpointError),
    /// The first line.
    #[error("request does not begin with `old` and a size")]
    Old,
    /// A line of the proof.
    #[error("line {line} of the proof is not a hash in base64")]
    Proof {
        /// Which, from 1.
        line: usize,
    },
    /// No empty line, or no text before it.
    #[error("request is not made of old size, proof, empty line and checkpoint")]
    Shape,
    /// Beyond [`MOST_PROOF_LINES`].
    #[error("request has more than {MOST_PROOF_LINES} lines of proof")]
    TooMany,
}
