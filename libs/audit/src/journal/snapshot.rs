//! How far the journal is at one place in it: all that is needed to go on from there, in writing and in reading.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hex::Incarnation;
use crate::scope::Scope;
use crate::tlog::frontier::Frontier;
use crate::tlog::tree::Head;

/// The state of the journal between two lines. Its JSON stands in the first line of each file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Whose journal.
    pub incarnation: Incarnation,
    /// Sequence number of the next record, from 1.
    pub next: u64,
    /// The logs that have records.
    pub logs: BTreeMap<Scope, LogState>,
}

/// How far one log is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogState {
    /// Time of its last record.
    pub at: Timestamp,
    /// Its tree, whose size is the index of the next record.
    pub tree: Frontier,
}

impl Snapshot {
    /// A journal without records.
    pub fn empty(incarnation: Incarnation) -> Self {
        Self { incarnation, next: 1, logs: BTreeMap::new() }
    }

    /// Records of a log so far.
    pub fn size(&self, scope: &Scope) -> u64 {
        self.logs.get(scope).map_or(0, |log| log.tree.size())
    }

    /// Size and root of a log.
    pub fn head(&self, scope: &Scope) -> Head {
        self.logs.get(scope).map_or_else(|| Frontier::new().head(), |log| log.tree.head())
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and a map whose keys are strings: this cannot fail, and an empty line would not be read.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Only the spelling that is written is read.
    pub(super) fn from_json(bytes: &[u8]) -> Option<Self> {
        let snapshot: Self = serde_json::from_slice(bytes).ok()?;
        (snapshot.to_json() == bytes).then_some(snapshot)
    }
}
