//! The gateway's own audit file. A record is acknowledged once it is durable; one fdatasync serves all that wait.
//!
//! **No audit, no access** (invariant I3): a [`Receipt`] exists only for a durable record, and a
//! [`crate::passage::Permit`] only for a receipt. An error of write or sync seals the file for the life of the process:
//! nothing more is acknowledged, no session opens, live ones are ended.

mod changes;
mod file;
mod key;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::{Event, Person};
use sallyport_core::name::{Name, RegionId};
use tokio::sync::{oneshot, watch};

pub use changes::changes;

use file::JournalFile;

/// Proof that a record is durable. Made only by this module.
#[derive(Debug)]
pub struct Receipt {
    sequence: u64,
}

impl Receipt {
    /// Number of the record in this gateway's file.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The record could not be made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// The file could not be opened or recovered.
    #[error("audit file {path}: {why}")]
    Open {
        /// The file.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// The volume is so slow that it is as good as none.
    #[error("the audit file takes no record within {PATIENCE:?}")]
    Slow,
    /// An earlier error sealed the file.
    #[error("the audit file is sealed after an error; no session can open until the gateway is restarted")]
    Sealed,
}

/// Appends records; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::SyncSender<Waiting>,
    sealed: watch::Receiver<bool>,
}

struct Waiting {
    event: Event<Person>,
    at: Timestamp,
    done: oneshot::Sender<Receipt>,
}

impl Audit {
    /// Opens the journal of the volume `folder`, cutting what was never acknowledged, and starts the writing thread.
    ///
    /// # Errors
    /// See [`AuditError::Open`].
    pub fn open(folder: &Path, region: RegionId, gateway: Name) -> Result<Self, AuditError> {
        Self::start(JournalFile::open(&folder.join("audit"), region, gateway)?)
    }

    fn start(file: JournalFile) -> Result<Self, AuditError> {
        let (queue, waiting) = mpsc::sync_channel(QUEUE);
        let (seal, sealed) = watch::channel(false);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(file, &waiting, &seal))
            .map_err(|error| AuditError::Open { path: "writer".to_owned(), why: error.to_string() })?;
        Ok(Self { queue, sealed })
    }

    /// Appends and waits until the record is durable, but not for ever: a session's end or a configuration must not
    /// hang on a volume that does. A record that came too late for its caller is still written.
    pub async fn append(&self, event: Event<Person>) -> Result<Receipt, AuditError> {
        let (done, receipt) = oneshot::channel();
        let waiting = Waiting { event, at: Timestamp::now(), done };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => AuditError::Slow,
            mpsc::TrySendError::Disconnected(_) => AuditError::Sealed,
        })?;
        match tokio::time::timeout(PATIENCE, receipt).await {
            Ok(receipt) => receipt.map_err(|_| AuditError::Sealed),
            Err(_) => Err(AuditError::Slow),
        }
    }

    /// Waits until the file is sealed; for ever when it never is.
    pub async fn sealed(&self) {
        let mut sealed = self.sealed.clone();
        if sealed.wait_for(|sealed| *sealed).await.is_err() {
            // The writer ended without sealing: the process is stopping.
            std::future::pending::<()>().await;
        }
    }

    /// Whether records can be made durable now.
    pub fn is_sealed(&self) -> bool {
        *self.sealed.borrow()
    }
}

/// Longest wait for a record. An audit volume slower than this is as good as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records that wait at most: some ten seconds' worth of a slow disk, and a bound of memory (invariant I10).
const QUEUE: usize = 8 * 1024;

/// Most records that share one sync: bounds the time the first of them waits.
const BATCH: usize = 1024;

fn write_all(mut file: JournalFile, waiting: &mpsc::Receiver<Waiting>, seal: &watch::Sender<bool>) {
    while let Ok(first) = waiting.recv() {
        let batch = std::iter::once(first).chain(waiting.try_iter().take(BATCH - 1));
        let (events, done): (Vec<_>, Vec<_>) = batch.map(|w| ((w.event, w.at), w.done)).unzip();
        match file.append(events) {
            Ok(sequences) => {
                for (sequence, done) in sequences.into_iter().zip(done) {
                    // Whoever asked may be gone; the record stays.
                    let _ = done.send(Receipt { sequence });
                }
            }
            Err(error) => {
                tracing::error!(%error, "audit journal sealed: no new session opens, live ones end");
                seal.send_replace(true);
                // Dropping the receiver and the senders answers everyone who waits, now and later.
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
