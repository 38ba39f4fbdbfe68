//! The trust in force, and its copy on the gateway's volume.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use sallyport_control::wire;
use sallyport_runtime::files;
use tokio::sync::watch;

use super::{Trust, TrustRefused};

/// Holds the trust in force, if there is one; cheap to clone.
#[derive(Clone, Debug)]
pub struct TrustStore {
    path: PathBuf,
    in_force: watch::Sender<Option<Arc<Trust>>>,
}

/// Why a trust could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not acceptable.
    #[error(transparent)]
    Refused(#[from] TrustRefused),
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
        Self { path, in_force: watch::Sender::new(in_force.map(Arc::new)) }
    }

    /// The trust in force now.
    pub fn current(&self) -> Option<Arc<Trust>> {
        self.in_force.borrow().clone()
    }

    /// To be told of every change.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Trust>>> {
        self.in_force.subscribe()
    }

    /// Writes it to the volume, then puts it in force. The same sequence again is fine: a revocation changes the lists
    /// and not the bundle.
    ///
    /// # Errors
    /// See [`TrustError`]; the one before is then still in force.
    pub async fn put(&self, next: Arc<Trust>) -> Result<(), TrustError> {
        if let Some(current) = self.current()
            && next.sequence() < current.sequence()
        {
            let (sequence, in_force) = (next.sequence(), current.sequence());
            return Err(TrustRefused::Older { sequence, in_force }.into());
        }
        let (path, bytes) = (self.path.clone(), next.message().encode_to_vec());
        let written = tokio::task::spawn_blocking(move || files::write_atomic(&path, &bytes, 0o600)).await;
        let failed = |why: String| TrustError::Write { path: self.path.display().to_string(), why };
        written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        self.in_force.send_replace(Some(next));
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<Trust, String> {
    let message = wire::Trust::decode(bytes).map_err(|error| error.to_string())?;
    Trust::parse(message).map_err(|error| error.to_string())
}
