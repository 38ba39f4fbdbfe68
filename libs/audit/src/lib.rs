//! Audit records without IO: what is recorded, how a record becomes a line, how a log is read back after a crash.
//!
//! One record is one line of JSON. Records of one gateway are numbered without gaps, so a missing one shows. The file
//! itself, its syncs and its sealing are the gateway's; a Merkle tree and signed checkpoints over these lines are to
//! come here.
//!
//! No field can hold a secret: there are names, numbers, closed sets, the engineer's own words for the customer, and
//! [`Text`] clipped from a peer. Of people there is the engineer's user id with the groups that decided, and nobody
//! else: nothing names patients or the customer's staff.

mod event;
mod log;
mod record;

pub use event::{Event, Text};
pub use log::{Recovered, Tail, recover};
pub use record::{DecodeError, Record, decode, encode};
