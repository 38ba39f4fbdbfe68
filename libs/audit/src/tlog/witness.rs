//! A witness without IO (C2SP tlog-witness): whether a checkpoint may be cosigned, given what was cosigned before.
//!
//! A witness is worth what its memory is worth. What [`decide`] says to keep must be durable before the line leaves the
//! witness, and between reading the old state and storing the new one nothing else may decide about the same log.

mod request;

use jiff::Timestamp;

use super::cosignature::{CosignError, Cosigner};
use super::note::{OpenError, Signature, VerifierKey};
use super::proof::{ProofError, verify_consistency};
use super::tree::Head;

pub use request::{AddCheckpoint, MOST_PROOF_LINES, RequestError};

/// Decides about a request. `kept` is what this witness last cosigned for the request's origin, `keys` are those that it
/// trusts for that origin; nothing if it does not know the origin.
///
/// # Errors
/// See [`Refused`]; the checks run in the order of its variants.
pub fn decide(
    kept: Option<Head>,
    request: AddCheckpoint,
    keys: Option<&[VerifierKey]>,
    witness: &Cosigner,
    now: Timestamp,
) -> Result<Cosigned, Refused> {
    let AddCheckpoint { old, proof, checkpoint } = request;
    let keys = keys.ok_or_else(|| Refused::UnknownOrigin { origin: checkpoint.claimed().origin().to_owned() })?;
    let opened = checkpoint.open(keys).map_err(Refused::Signature)?;
    let new = opened.head();
    if old > new.size {
        return Err(Refused::Backwards { old, size: new.size });
    }
    let kept = kept.unwrap_or(Head::EMPTY);
    if old != kept.size {
        return Err(Refused::Conflict { size: kept.size });
    }
    if old == new.size && kept.root != new.root {
        return Err(Refused::Fork { size: kept.size });
    }
    verify_consistency(kept, new, &proof).map_err(Refused::Proof)?;
    let line = opened.signed().cosign(witness, now).map_err(Refused::Clock)?;
    Ok(Cosigned { keep: new, line })
}

/// A cosignature that may be given away as soon as the new state is durable.
#[derive(Clone, Debug)]
#[must_use = "the new state must be stored, and then the line given out"]
pub struct Cosigned {
    keep: Head,
    line: Signature,
}

impl Cosigned {
    /// The state to store for this origin, before anything else.
    pub fn keep(&self) -> Head {
        self.keep
    }

    /// The signature line (`to_string`, and a newline behind it): the body of the answer. Call this only when
    /// [`Cosigned::keep`] is durable: otherwise a crash lets the witness cosign a fork.
    pub fn into_line_once_kept(self) -> Signature {
        self.line
    }
}

/// Why a checkpoint is not cosigned. Variants are in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a request.
    #[error("request cannot be read")]
    Malformed(#[from] RequestError),
    /// A log that this witness does not watch.
    #[error("log {origin:?} is not known to this witness")]
    UnknownOrigin {
        /// What it says of itself.
        origin: String,
    },
    /// Not signed by a trusted key.
    #[error("checkpoint is not signed by a key that this witness trusts for the log")]
    Signature(#[source] OpenError),
    /// The request itself says that the log shrank.
    #[error("request goes from size {old} back to size {size}")]
    Backwards {
        /// The old size.
        old: u64,
        /// The checkpoint's.
        size: u64,
    },
    /// The request starts from another size than the last that was cosigned.
    #[error("last cosigned size of the log is {size}")]
    Conflict {
        /// What was last cosigned: the request is to be repeated from there.
        size: u64,
    },
    /// The log has another root at the size that was last cosigned: evidence that it forked.
    #[error("log has another root at size {size} than was cosigned")]
    Fork {
        /// That size.
        size: u64,
    },
    /// It does not show that the log only grew: perhaps evidence.
    #[error("log is not shown to have only grown since it was last cosigned")]
    Proof(#[source] ProofError),
    /// The witness' own clock.
    #[error("witness cannot tell the time")]
    Clock(#[source] CosignError),
}

impl Refused {
    /// The HTTP status by which the protocol says it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Backwards { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownOrigin { .. } => 404,
            Self::Conflict { .. } | Self::Fork { .. } => 409,
            Self::Proof(_) => 422,
            Self::Clock(_) => 500,
        }
    }

    /// The size that a 409 must answer, in decimal with a newline, as `text/x.tlog.size`.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Conflict { size } | Self::Fork { size } => Some(*size),
            _ => None,
        }
    }
}
