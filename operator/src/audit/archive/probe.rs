//! What an archive can do is tried when the operator begins, not when the first record must be stored.

use object_store::path::Path;

use super::{ArchiveError, Location, Store};

/// Written, read and deleted. Under an Object Lock its version stays, a few bytes for each start.
const PROBE: &str = ".sallyport-probe";

/// Tries the three things that are needed.
pub(super) async fn write_read_delete(store: &Store) -> Result<(), ProbeError> {
    let path = Path::from(format!("{PROBE}/{:016x}", rand::random::<u64>()));
    let content = path.as_ref().as_bytes().to_vec();
    store.put(&path, content.clone()).await?;
    let found = store.get(&path).await?;
    store.delete(&path).await?;
    if found.as_deref() == Some(content.as_slice()) { Ok(()) } else { Err(ProbeError::NotReadBack) }
}

/// Why a place is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The question about its lock was not answered.
    #[error("cannot find out whether the archive's bucket has an Object Lock")]
    Lock(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing keeps anybody from deleting records.
    #[error(
        "the archive's bucket has no Object Lock that keeps records: {why}. Set one in compliance mode with a default retention, or start the operator with --archive-without-lock"
    )]
    NoLock {
        /// What was found.
        why: String,
    },
    /// It forgets.
    #[error("what was written to the archive could not be read back")]
    NotReadBack,
    /// It cannot be opened.
    #[error("cannot open {location}; does it exist, and is the operator allowed to use it?")]
    Open {
        /// Which.
        location: Location,
        /// Why.
        #[source]
        source: Box<object_store::Error>,
    },
}
