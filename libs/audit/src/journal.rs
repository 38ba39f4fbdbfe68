//! The journal: all records of all logs of a gateway in the order in which they came, as lines of its files.
//!
//! ```text
//!  Event<Person> ─▶ state (n, time, keys, trees) ─▶ lines ─▶ (gateway) file, sync ─▶ acknowledged
//!                                                                │
//!  state ◀─ snapshot, keys ◀─ recover ◀─ reader (line by line) ◀─┘ after a stop; the operator reads batches likewise
//! ```

mod keys;
mod line;
mod reader;
mod recover;
mod snapshot;
mod state;

pub use keys::KeptKey;
pub use reader::{Found, LineError, Reader};
pub use recover::{Recovered, Tail, recover};
pub use snapshot::{LogState, Snapshot};
pub use state::{AppendError, Appended, SignError, State, Wall};
