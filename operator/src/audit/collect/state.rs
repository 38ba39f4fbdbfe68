//! How far an incarnation's journal is archived: `state.json`, the last thing that is written of a batch.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_audit::journal::Snapshot;
use sallyport_audit::tlog::tree::Head;
use sallyport_audit::{Incarnation, Keeper, Origin, PublicKey, Scope};
use serde::{Deserialize, Serialize};

use crate::audit::archive::{Archive, ArchiveError, layout};

/// How far an incarnation's journal is archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct State {
    /// The incarnation's key, whole: its name is only the beginning of a hash.
    pub(crate) public_key: PublicKey,
    /// All logs behind the last archived record: from here the next line is judged.
    pub(crate) journal: Snapshot,
    /// Time of the last archived record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archived_at: Option<Timestamp>,
    /// Sizes before the last batch of the logs that grew by it: their partial tiles are replaced, and may go.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) replaced: BTreeMap<Scope, u64>,
    /// The gateway writes another incarnation by now, and has nothing left of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
}

/// The end of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ended {
    /// Which one followed.
    pub(crate) followed_by: Incarnation,
    /// Whether that stands in a log.
    pub(crate) noted: bool,
}

impl State {
    /// Of an incarnation of which nothing is archived.
    pub(crate) fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            journal: Snapshot::empty(Incarnation::of(&public_key)),
            archived_at: None,
            replaced: BTreeMap::new(),
            ended: None,
        }
    }

    /// Sequence number of the newest archived record; 0: none.
    pub(crate) fn through(&self) -> u64 {
        self.journal.next - 1
    }

    /// Size and root of one log as far as it is archived.
    pub(crate) fn head(&self, scope: &Scope) -> Head {
        self.journal.head(scope)
    }

    /// Origins of all its logs.
    pub(crate) fn origins(&self, keeper: &Keeper) -> impl Iterator<Item = Origin> {
        self.journal.logs.keys().map(|scope| keeper.origin(scope.clone()))
    }

    /// Reads what is archived of an incarnation; nothing when nothing is.
    pub(crate) async fn load(archive: &Archive, keeper: &Keeper) -> Result<Option<Self>, StateError> {
        let path = layout::state(keeper);
        let Some(bytes) = archive.records.get(&path).await? else { return Ok(None) };
        let damaged = |why: &str| StateError::Damaged { path: path.to_string(), why: why.to_owned() };
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if state.journal.next == 0 || state.journal.incarnation != keeper.incarnation {
            return Err(damaged("it is of another incarnation"));
        }
        if Incarnation::of(&state.public_key) != keeper.incarnation {
            return Err(damaged("its key is of another incarnation"));
        }
        Ok(Some(state))
    }

    /// Writes it.
    pub(crate) async fn store(&self, archive: &Archive, keeper: &Keeper) -> Result<(), ArchiveError> {
        // Names, numbers and maps whose keys are strings: this cannot fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        archive.records.put(&layout::state(keeper), json).await
    }
}

/// Why it is not known how far an incarnation is archived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// See [`ArchiveError`].
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It was changed. Nothing is collected over it: it would be guessed what is archived.
    #[error("{path} in the archive is damaged: {why}. Restore it from a backup of the archive")]
    Damaged {
        /// Which object.
        path: String,
        /// How.
        why: String,
    },
}
