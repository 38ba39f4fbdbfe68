//! Checking an export with nothing but the region's public key. What was made by the vendor is not believed where it can
//! be computed; what does not hold is named: file, log, record.
//!
//! ```text
//!  manifest ─▶ hash of every file ──────────────────────────┐
//!  checkpoint ─▶ signatures of log, region, witnesses       │ folder: each file is read once,
//!      ▲ root                                               │ and hashed on the way
//!  hash tiles ─▶ walk ◀─ entry bundles                      │
//!                 └─▶ records in order of time ─▶ readable ─┘
//! ```
//!
//! Memory is bounded by the manifest, one bundle of each log and the report; a file that is larger than it can be is
//! hashed and not kept. Bytes of any kind give faults, never a panic.

mod fault;
mod folder;
mod known;
mod opened;
mod readable;
mod verified;
mod walk;

use super::merge::Merge;
use super::paths;
use crate::tlog::note::VerifierKey;

pub use fault::{Check, Fault, Faults, What};
pub use folder::Files;
pub use known::{Known, KnownError};
pub use verified::{Verified, VerifiedLog, VerifiedWitness};

use folder::Folder;
use opened::Opened;
use readable::Readable;
use walk::Walk;

/// What the verifier goes by.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The region's keys: one, or several if it ever had another. Not taken from the export.
    pub keys: &'a [VerifierKey],
    /// Witnesses who must have cosigned every log.
    pub witnesses: &'a [VerifierKey],
    /// What was known before.
    pub known: &'a [Known],
}

/// Checks an export.
///
/// # Errors
/// [`Faults`]: all that does not hold, in the order of [`Check`]; at least one.
pub fn verify(files: &impl Files, trust: Trust<'_>) -> Result<Verified, Faults> {
    let mut folder = Folder::new(files);
    let Some(opened) = opened::open(&mut folder, trust) else { return Err(folder.into_faults(&[])) };
    let origins = opened.origins();
    let records = walk(&mut folder, &opened);
    folder.hash_the_rest();
    let (size, faults) = folder.end(&origins);
    if faults.is_empty() { Ok(verified::of(&opened, trust, records, size)) } else { Err(faults) }
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    records: u64,
    erased: u64,
}

/// All logs side by side, so that their records come in order of time.
fn walk(folder: &mut Folder<'_, impl Files>, opened: &Opened) -> Counted {
    let mut walks: Vec<_> = opened.logs.iter().enumerate().map(|(n, log)| Walk::begin(folder, n, log)).collect();
    let mut readable = Readable::begin(folder);
    let mut merge = Merge::new(walks.len());
    for (number, walk) in walks.iter_mut().enumerate() {
        if let Some(record) = walk.next(folder) {
            merge.put(number, record);
        }
    }
    while let Some((number, record)) = merge.take() {
        let Some(walk) = walks.get_mut(number) else { continue };
        readable.see(number, walk.origin(), &record);
        if let Some(record) = walk.next(folder) {
            merge.put(number, record);
        }
    }
    for walk in walks {
        walk.end(folder);
    }
    readable.end(folder, &opened.about)
}

/// The log of a path, for faults of files.
fn log_of(path: &str) -> Option<usize> {
    paths::log_of(path)
}
