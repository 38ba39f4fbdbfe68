//! What an export proves.

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use serde::Serialize;

use super::folder::Size;
use super::opened::{Opened, OpenedLog};
use super::{Counted, Trust};
use crate::export::about::{Made, Period};
use crate::scope::{Origin, Scope};
use crate::tlog::hash::Hash;

/// An export that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Whose key vouches for it.
    pub region: RegionId,
    /// Whose logs.
    pub scope: Scope,
    /// Which time.
    pub period: Period,
    /// When and for whom it was made.
    pub made: Made,
    /// The logs.
    pub logs: Vec<VerifiedLog>,
    /// Records of this time.
    pub records: u64,
    /// Of how many of them the person was erased.
    pub erased: u64,
    /// Witnesses who cosigned every log.
    pub witnesses: Vec<VerifiedWitness>,
    /// Checkpoints from before that the logs contain.
    pub known: usize,
    /// Until when every log was collected: what was recorded later may be missing. Nothing if there is no log.
    pub collected_until: Option<Timestamp>,
    /// Files that were read.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// A log of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedLog {
    /// Its name.
    pub origin: Origin,
    /// Records in it.
    pub size: u64,
    /// The hash over all of them.
    pub root: Hash,
    /// The first record of this time.
    pub first: u64,
    /// How many follow it, itself included.
    pub records: u64,
    /// Records before this one were deleted; 0: none that matters here.
    pub deleted_before: u64,
    /// Until when it was collected.
    pub collected_until: Timestamp,
}

/// A witness of all logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedWitness {
    /// The name of its key.
    pub name: String,
    /// The earliest of the times at which it saw the logs as they are here.
    pub seen_at: Option<Timestamp>,
}

pub(super) fn of(opened: &Opened, trust: Trust<'_>, counted: Counted, size: Size) -> Verified {
    let about = &opened.about;
    Verified {
        region: about.region.clone(),
        scope: about.scope.clone(),
        period: about.period,
        made: about.made.clone(),
        logs: opened.logs.iter().map(log).collect(),
        records: counted.records,
        erased: counted.erased,
        witnesses: trust.witnesses.iter().map(|witness| seen(opened, witness.name().as_str())).collect(),
        known: opened.compared,
        collected_until: about.logs.iter().map(|log| log.collected_until).min(),
        files: size.files,
        bytes: size.bytes,
    }
}

fn log(log: &OpenedLog) -> VerifiedLog {
    let about = &log.about;
    VerifiedLog {
        origin: about.origin.clone(),
        size: about.size,
        root: log.head.map_or(Hash::EMPTY, |head| head.root), // a log without a head is a fault
        first: about.first,
        records: about.records,
        deleted_before: about.deleted_before,
        collected_until: about.collected_until,
    }
}

fn seen(opened: &Opened, name: &str) -> VerifiedWitness {
    let times = opened.logs.iter().filter_map(|log| log.cosigned.get(name));
    let seen_at = times.min().and_then(|at| Timestamp::from_second(i64::try_from(*at).ok()?).ok());
    VerifiedWitness { name: name.to_owned(), seen_at }
}
