//! Audit records without IO: what is recorded, how it becomes a line of a journal and a leaf of a Merkle tree, and how
//! all that is read back, by the gateway after a crash and by somebody who does not trust it.
//!
//! ```text
//!  Event<Person> ── seal ─▶ Record<Sealed> ── encode ─▶ leaf ─▶ tlog (frontier, tiles, checkpoints)
//!        ▲                                                │
//!      text, hex, scope (bounded parts)                   └─▶ journal (lines of the gateway's files, recovery)
//! ```
//!
//! No field can hold a secret: there are names, numbers, closed sets, and [`Text`] clipped from a peer. All that is
//! personal is in [`Person`], which a log holds sealed with a key that can be destroyed. Nothing names patients.

pub mod event;
pub mod export;
pub mod journal;
pub mod tlog;

mod hex;
mod person;
mod record;
mod scope;
mod seal;
mod text;

pub use event::{Event, KINDS};
pub use hex::{Digest, HexError, Incarnation, KeyId, PublicKey, Subject};
pub use person::{Groups, Person, PersonKey, Sealed, SealedData, Shown};
pub use record::{Clock, DecodeError, MAX_RECORD, Record, decode, encode};
pub use scope::{Keeper, Origin, Scope, ScopeError};
pub use seal::{SealError, SealNonce, open, seal};
pub use text::{LISTED, Listed, Text};
