//! The trust in force, and its copy on the gateway's volume.

use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use sallyport_control::wire;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Trust, TrustRefused};
use crate::kept::{Kept, NotKept};

/// Holds the trust in force, if there is one; cheap to clone.
#[derive(Clone, Debug)]
pub struct TrustStore(Kept<Option<Arc<Trust>>>);

/// Why a trust could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not acceptable.
    #[error(transparent)]
    Refused(#[from] TrustRefused),
    /// Another operator is in charge by now; what it sends counts.
    #[error("the operator that sent it was superseded by another")]
    Superseded,
    /// It could not be kept.
    #[error("trust {path}: {why}")]
    Write {
        /// The file.
        path: String,
        /// What went wrong.
        why: String,
    },
}

impl TrustStore {
    /// Starts from the copy on the volume. One that cannot be read is an error in the log and no trust: the doors that
    /// need it stay closed until the operator sends another.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join("trust.pb");
        let in_force = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes)
                .inspect_err(|why| {
                    tracing::error!(path = %path.display(), why, "kept trust is unreadable; waiting for the operator");
                })
                .ok(),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::error!(path = %path.display(), %error, "kept trust is unreadable; waiting for the operator");
                }
                None
            }
        };
        Self(Kept::new(path, in_force.map(Arc::new)))
    }

    /// The trust in force now.
    pub fn current(&self) -> Option<Arc<Trust>> {
        self.0.current()
    }

    /// To be told of every change.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Trust>>> {
        self.0.watch()
    }

    /// Writes it to the volume, then puts it in force, unless the operator that sent it is superseded by then. The same
    /// sequence again is fine: a revocation changes the lists and not the bundle. The number of a list never falls.
    ///
    /// # Errors
    /// See [`TrustError`]; the one before is then still in force.
    pub async fn put(&self, next: Arc<Trust>, superseded: &CancellationToken) -> Result<(), TrustError> {
        let (bytes, new) = (next.message().encode_to_vec(), Arc::clone(&next));
        let may = move |current: &Option<Arc<Trust>>| match current {
            Some(current) => new.may_follow(current),
            None => Ok(()),
        };
        self.0.put(Some(next), bytes, superseded, may).await.map_err(|why| match why {
            NotKept::Refused(refused) => TrustError::Refused(refused),
            NotKept::Superseded => TrustError::Superseded,
            NotKept::Write(why) => TrustError::Write { path: self.0.path(), why },
        })
    }
}

fn read(bytes: &[u8]) -> Result<Trust, String> {
    let message = wire::Trust::decode(bytes).map_err(|error| error.to_string())?;
    Trust::parse(message).map_err(|error| error.to_string())
}
