//! Where audit records are kept: an object store, and beside it a place for persons' keys, which an erasure destroys.
//!
//! ```text
//!  flags ─ location ─▶ open ─▶ Store (records) + Store (keys) ─ probe ─▶ lock
//!                                 ▲
//!  Keeper, Origin, Subject ─ layout ─▶ path
//! ```

pub mod layout;
mod location;
mod lock;
mod probe;
mod store;

use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;

pub use location::{Location, LocationError};
pub use lock::Lock;
pub use probe::ProbeError;
pub use store::{ArchiveError, Created, Store};

use crate::lease::Fence;

/// What the operator's flags say about the archive.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where records go.
    pub records: Location,
    /// Where persons' keys go.
    pub keys: Location,
    /// Whether an object store must show that nobody can delete from it.
    pub lock: LockWish,
}

/// Whether an object store without Object Lock will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWish {
    /// Somebody said `--archive-without-lock`.
    NotNeeded,
    /// The default.
    Required,
}

impl Wish {
    /// Reads the flags. Nothing when there is to be no archive.
    ///
    /// # Errors
    /// See [`LocationError`]. On an object store keys must have another place, because its lock would keep them.
    pub fn of(archive: Option<&str>, keys: Option<&str>, lock: LockWish) -> Result<Option<Self>, LocationError> {
        let given = |text: &&str| !text.trim().is_empty();
        let Some(archive) = archive.filter(given) else { return Ok(None) };
        let records: Location = archive.parse()?;
        let keys = match keys.filter(given) {
            Some(keys) => keys.parse()?,
            None if matches!(records, Location::Folder(_)) => records.clone(),
            None => return Err(LocationError::NoKeys),
        };
        if keys == records && matches!(records, Location::Bucket { .. }) {
            return Err(LocationError::NoKeys);
        }
        Ok(Some(Self { records, keys, lock }))
    }
}

/// Records and persons' keys.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Records, checkpoints, evidence.
    pub records: Store,
    /// Persons' keys: mutable, never under a lock.
    pub keys: Store,
    /// What was found about the lock.
    pub lock: Lock,
}

impl Archive {
    /// Opens both places and finds out whether they can be written, read and deleted from.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn open(wish: &Wish, fence: &Fence) -> Result<Self, ProbeError> {
        let (records, bucket) = place(&wish.records, fence)?;
        let (keys, _) = place(&wish.keys, fence)?;
        probe::write_read_delete(&records).await?;
        probe::write_read_delete(&keys).await?;
        let lock = match &bucket {
            None => Lock::Volume,
            Some((name, s3)) => lock::ask(name, s3).await?,
        };
        match (&lock, wish.lock) {
            (Lock::Missing { why }, LockWish::Required) => return Err(ProbeError::NoLock { why: why.clone() }),
            (Lock::Missing { why }, LockWish::NotNeeded) => {
                tracing::warn!(archive = %wish.records, reason = why, "records can be deleted from the archive");
            }
            (lock, _) => tracing::info!(archive = %wish.records, keys = %wish.keys, ?lock, "archive"),
        }
        Ok(Self { records, keys, lock })
    }

    /// Over stores that a test made.
    #[cfg(test)]
    pub(crate) fn over(records: Arc<dyn object_store::ObjectStore>, fence: &Fence) -> Self {
        let store = Store::new(records, None, fence.clone());
        Self { records: store.clone(), keys: store, lock: Lock::Volume }
    }
}

type Bucket = (String, AmazonS3);

fn place(location: &Location, fence: &Fence) -> Result<(Store, Option<Bucket>), ProbeError> {
    let failed = |source| ProbeError::Open { location: location.clone(), source: Box::new(source) };
    match location {
        Location::Folder(folder) => {
            // The crate syncs a file and its folder before a write returns, if it is asked to.
            let files = LocalFileSystem::new_with_prefix(folder).map_err(failed)?;
            let files = files.with_fsync(true).with_automatic_cleanup(true);
            Ok((Store::new(Arc::new(files), Some(folder.clone()), fence.clone()), None))
        }
        Location::Bucket { bucket, prefix } => {
            let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(failed)?;
            let within = PrefixStore::new(s3.clone(), prefix.as_str());
            Ok((Store::new(Arc::new(within), None, fence.clone()), Some((bucket.clone(), s3))))
        }
    }
}

#[cfg(test)]
mod tests;
