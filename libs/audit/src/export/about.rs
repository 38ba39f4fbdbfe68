//! `export.json`: what an export is.

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use serde::{Deserialize, Serialize};

use crate::scope::{Origin, Scope};
use crate::text::Text;
use crate::tlog::note::VerifierKey;

/// The version of the format. It covers how the readable files look, because a verifier makes them again.
pub const VERSION: u32 = 1;

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its beginning, which belongs to it.
    pub from: Timestamp,
    /// Its end, which does not.
    pub to: Timestamp,
}

impl Period {
    /// Whether a time is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// `export.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct About {
    /// [`VERSION`].
    pub version: u32,
    /// The region whose key vouches for it.
    pub region: RegionId,
    /// Whose logs: a site's, or the region's own.
    pub scope: Scope,
    /// Which time was asked for.
    pub period: Period,
    /// When and for whom it was made.
    pub made: Made,
    /// The logs. The n-th lies in `logs/N`, counted from 0.
    pub logs: Vec<AboutLog>,
}

/// When and for whom an export was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Made {
    /// When.
    pub at: Timestamp,
    /// Who asked for it: an engineer's user id, or an endpoint.
    pub by: Text,
}

/// One log of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AboutLog {
    /// Its name.
    pub origin: Origin,
    /// The gateway's key, by which it signs this log's checkpoints.
    pub verifier_key: VerifierKey,
    /// Records in the whole log, as its checkpoint says.
    pub size: u64,
    /// Number of the first record of the time that was asked for; where it would be, if there is none.
    pub first: u64,
    /// How many records are of that time. They follow each other.
    pub records: u64,
    /// Records before this number are not there any more, because the time for which they are kept is over. 0: all are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deleted_before: u64,
    /// Until when the log was collected: what the gateway recorded later may be missing.
    pub collected_until: Timestamp,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl About {
    /// The file: for people too, so indented.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them, and no map keys but field names: this cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
