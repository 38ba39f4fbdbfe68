//! What does not hold, in words for whoever keeps exports at a hospital.

use std::fmt;

use serde::Serialize;

/// More than this are counted and not kept: one torn file can be thousands of faults.
const MOST: usize = 200;

/// Which of the checks found something, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// The manifest and the hash of every file.
    Manifest,
    /// Who signed how far the logs had grown.
    Checkpoints,
    /// Whether each log's hashes lead to what was signed.
    Tree,
    /// Each record.
    Entries,
    /// Whether the time is complete.
    Completeness,
    /// Whether the readable files say what the records say.
    Readable,
    /// Whether the logs contain what was known before.
    Known,
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Found by which check.
    pub check: Check,
    /// In which file; of the export, or one that was given with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// In which log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Which record of that log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// What.
    #[serde(serialize_with = "in_words")]
    pub what: What,
}

fn in_words<S: serde::Serializer>(what: &What, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(what)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        write!(f, "{}", self.what)?;
        match (&self.record, &self.log) {
            (Some(record), Some(log)) => write!(f, " (record {record} of log {log})"),
            (Some(record), None) => write!(f, " (record {record})"),
            (None, Some(log)) => write!(f, " (log {log})"),
            (None, None) => Ok(()),
        }
    }
}

/// All that does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Faults {
    /// In the order of [`Check`]; never empty when told.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: u64,
}

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.faults.len() < MOST {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is in its words")]
pub enum What {
    #[error("is in the folder, but the signed manifest does not name it: it was added later")]
    Added,
    #[error("the checkpoint is of another log: {found}")]
    AnotherOrigin { found: String },
    #[error("the log is none of {expected}, which the export is of")]
    AnotherScope { expected: String },
    #[error("is not what was signed: its SHA-256 differs from the one in the manifest")]
    Changed,
    #[error("cannot be read as a checkpoint: {why}")]
    Checkpoint { why: String },
    #[error("does not describe what the manifest was signed for: {field} differs")]
    Description { field: &'static str },
    #[error("the log is in the export twice")]
    Duplicate,
    #[error("is damaged: {why}")]
    Damaged { why: String },
    #[error(
        "says that records before {number} were deleted when their time was over, but what is there does not fit that"
    )]
    DeletedBefore { number: u64 },
    #[error("the log has forked: with {size} records it had another content than it has here")]
    Fork { size: u64 },
    #[error("the record's bytes are not those of which the log has the hash: the record or the hash was changed")]
    Hash,
    #[error("the gateway's key is not the one after which the log is named")]
    Incarnation,
    #[error("holds keys that are not the ones their names stand for")]
    Keys,
    #[error("holds keys that no record of this time needs")]
    KeysUnneeded,
    #[error("none of its checkpoints is of a log of this export, so nothing can be compared with it")]
    KnownElsewhere,
    #[error("the checkpoint in it is signed by nobody who is trusted here")]
    KnownUnsigned,
    #[error("is larger than such a file can be ({most} bytes)")]
    Large { most: usize },
    #[error("the log is missing from the export; it was known to exist, with {size} records")]
    LogMissing { size: u64 },
    #[error("cannot be read as a manifest: {why}")]
    Manifest { why: String },
    #[error("is missing")]
    Missing,
    #[error("is named in the manifest, but does not belong into an export")]
    NotOfAnExport,
    #[error("the record says that it is number {says}")]
    Number { says: u64 },
    #[error("a record of this time may be missing: the record {side} the range is at {at}, which is in the range")]
    Neighbour { side: &'static str, at: String },
    #[error("the record is at {at}, which is outside of the time that was asked for")]
    OutsidePeriod { at: String },
    #[error("the record's person does not open with its key: {why}")]
    Person { why: String },
    #[error("says something else than the log does, in line {line}")]
    Readable { line: u64 },
    #[error("says something else than the logs do")]
    Report,
    #[error("the log was rolled back: it was known to have {known} records and has {size}")]
    Rollback { known: u64, size: u64 },
    #[error("the hashes do not lead to the root that was signed")]
    Root,
    #[error("is not signed by {name}")]
    Unsigned { name: String },
    #[error("the signature of {name} does not hold")]
    Signature { name: String },
    #[error("is signed by {name}, which is not the key of region {region}")]
    SignedByAnother { name: String, region: String },
    #[error("says that the log has {says} records; the checkpoint says {size}")]
    Size { says: u64, size: u64 },
    #[error("its range of records does not fit a log of {size} records")]
    Range { size: u64 },
    #[error("the record belongs into another log: {scope}")]
    Scope { scope: String },
    #[error("its hashes do not follow from those of the level below")]
    Tile,
    #[error("the record's time is before that of the record before it")]
    TimeFell,
    #[error("cannot be read as a record: {why}")]
    Unreadable { why: String },
    #[error("is of version {version}; this program reads version {reads}")]
    Version { version: u32, reads: u32 },
}
