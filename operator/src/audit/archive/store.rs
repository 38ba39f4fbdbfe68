//! One place for objects, as the rest sees it: what is written is durable, what exists is not written over unless that
//! is said, and nobody writes who does not lead.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use crate::lease::Fence;

/// Objects in one place. Copies share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// Where objects are files, whose deletion has to be synced here.
    folder: Option<PathBuf>,
    fence: Fence,
}

/// What came of writing what may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There is another object of that name. It stays.
    Differs,
    /// It was written.
    New,
    /// The same is there already.
    Same,
}

impl Store {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, folder: Option<PathBuf>, fence: Fence) -> Self {
        Self { inner, folder, fence }
    }

    /// An object; nothing when it is not there.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when it cannot be told.
    pub async fn get(&self, path: &Path) -> Result<Option<Bytes>, ArchiveError> {
        let read = async { self.inner.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed("read", path)(source)),
        }
    }

    /// Writes an object, over another one if there is one.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn put(&self, path: &Path, bytes: impl Into<PutPayload>) -> Result<(), ArchiveError> {
        self.leads()?;
        self.inner.put(path, bytes.into()).await.map(drop).map_err(failed("write", path))
    }

    /// Writes an object unless there is one of that name.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<Created, ArchiveError> {
        self.leads()?;
        let bytes = Bytes::from(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.inner.put_opts(path, bytes.clone().into(), options).await {
            Ok(_) => Ok(Created::New),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                let found = self.get(path).await?;
                Ok(if found.as_ref() == Some(&bytes) { Created::Same } else { Created::Differs })
            }
            Err(source) => Err(failed("write", path)(source)),
        }
    }

    /// Deletes an object. One that is gone already is no error.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn delete(&self, path: &Path) -> Result<(), ArchiveError> {
        self.leads()?;
        match self.inner.delete(path).await {
            Ok(()) => self.sync_folder_of(path).await,
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", path)(source)),
        }
    }

    /// Paths of all objects below one.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn list(&self, below: &Path) -> Result<Vec<Path>, ArchiveError> {
        let listed = self.inner.list(Some(below)).map_ok(|object| object.location).try_collect::<Vec<_>>();
        let mut paths = listed.await.map_err(failed("list", below))?;
        paths.sort();
        Ok(paths)
    }

    /// Names of the folders directly below one.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn folders(&self, below: &Path) -> Result<Vec<String>, ArchiveError> {
        let listed = self.inner.list_with_delimiter(Some(below)).await.map_err(failed("list", below))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(listed.common_prefixes.iter().filter_map(name).collect())
    }

    fn leads(&self) -> Result<(), ArchiveError> {
        if self.fence.holds() { Ok(()) } else { Err(ArchiveError::NotLeading) }
    }

    /// The crate syncs what is written, but not that something is gone. The folder itself may have gone with its last
    /// object: then the nearest one that is left says so.
    async fn sync_folder_of(&self, path: &Path) -> Result<(), ArchiveError> {
        let Some(root) = &self.folder else { return Ok(()) };
        let (root, of) = (root.clone(), root.join(path.as_ref()));
        let synced = tokio::task::spawn_blocking(move || {
            for folder in of.ancestors().skip(1).take_while(|folder| folder.starts_with(&root)) {
                match std::fs::File::open(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    opened => return opened?.sync_all(),
                }
            }
            Ok(())
        });
        let synced = synced.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        synced.map_err(|source| ArchiveError::Sync { path: path.to_string(), source })
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(object_store::Error) -> ArchiveError {
    let path = path.to_string();
    move |source| ArchiveError::Store { what, path, source: Box::new(source) }
}

/// Why an archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Another operator may lead by now.
    #[error("this operator does not lead any more")]
    NotLeading,
    /// The store failed.
    #[error("cannot {what} {path} in the archive")]
    Store {
        /// What was tried.
        what: &'static str,
        /// Which object.
        path: String,
        /// Why.
        #[source]
        source: Box<object_store::Error>,
    },
    /// A deletion is not durable.
    #[error("cannot sync the deletion of {path} in the archive")]
    Sync {
        /// Which object.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
