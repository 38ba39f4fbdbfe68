//! What a customer is given and an auditor checks: a folder of a site's logs for a span of time, whole and readable, that
//! proves itself without whoever made it (docs/design/audit.md, "Export").
//!
//! ```text
//!  logs in the archive ── select ─▶ which records, bundles, tiles
//!                          └─ build ─▶ Sink    files one after the other, never a whole log in memory
//!  folder ── verify ─▶ Verified, or Faults that name file, log and record
//!                └─ readable    what the records say for people: made anew and compared
//! ```
//!
//! The readable files follow from the entries and from `export.json` alone. So the verifier does not believe them: it
//! makes them again, and nothing in them can say other than the logs do. What they look like therefore belongs to the
//! version of the format: another look is another version.

mod about;
mod build;
mod keys;
mod manifest;
mod merge;
mod paths;
mod readable;
mod select;
mod verify;

pub use about::{About, AboutLog, Made, Period, VERSION};
pub use build::{BuildError, Built, Order, Sink, Source, build, records};
pub use keys::{Keys, show};
pub use merge::Merge;
pub use readable::line;
pub use select::{SelectError, Selection, select};
pub use verify::{
    Check, Fault, Faults, Files, Known, KnownError, Trust, Verified, VerifiedLog, VerifiedWitness, What, verify,
};
