//! The gateway's audit log. A record is acknowledged once it is durable; one fdatasync serves all that wait.
//!
//! ```text
//!  append ─▶ queue ─▶ writer (a thread) ─▶ journal (files) ─▶ disk
//!              │          │    └─ clock                         │
//!           receipt ◀─────┘                    collect ◀────────┘ for the operator, by handles of its own
//! ```
//!
//! **No audit, no access** (invariant I3): a [`Receipt`] exists only for a durable record, and a
//! [`crate::passage::Permit`] only for a receipt. Whatever is not [`Health::Open`] lets no session begin and ends live ones;
//! an error of write or sync is for the life of the process.

mod changes;
mod clock;
pub mod collect;
mod disk;
mod folder;
mod health;
mod journal;
mod key;
mod recovery;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};
use sallyport_audit::{Event, Incarnation, Person, PublicKey};
use sallyport_core::name::{Name, RegionId};
use tokio::sync::{oneshot, watch};

use clock::WallClock;
use collect::Collector;
use disk::{Disk, Volume};
use folder::Folder;
use health::Pulse;
use recovery::Owner;
use writer::{Command, Waiting, Writer};

pub use changes::changes;
pub use health::Health;
pub use journal::Position;

/// Proof that a record is durable. Made only by this module.
#[derive(Debug)]
pub struct Receipt {
    sequence: u64,
}

impl Receipt {
    /// Number of the record in this gateway's journal.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The record could not be made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// More records wait than may.
    #[error("too many records wait for the audit volume")]
    Busy,
    /// The log is not open, so nothing begins.
    #[error("the audit log is {0}")]
    Closed(Health),
    /// The log was open, and then not any more, while the record was on its way.
    #[error("the audit log is {0} by now")]
    Degraded(Health),
    /// There is no room for it.
    #[error("the audit log is full")]
    Full,
    /// The journal could not be opened or recovered.
    #[error("audit journal in {path}: {why}")]
    Open {
        /// The volume.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// An earlier error sealed the log.
    #[error("the audit log is sealed after an error; no session can open until the gateway is restarted")]
    Sealed,
    /// The volume is so slow that it is as good as none.
    #[error("the audit log takes no record within {PATIENCE:?}")]
    Slow,
    /// The event cannot become a record; no known event does this.
    #[error("the event cannot be recorded: {why}")]
    Unrecordable {
        /// Why.
        why: String,
    },
}

impl AuditError {
    /// Whether the record may be there all the same, or come yet: it was on its way when the wait for it ended.
    pub fn may_be_there(&self) -> bool {
        match self {
            Self::Degraded(_) | Self::Slow => true,
            Self::Busy
            | Self::Closed(_)
            | Self::Full
            | Self::Open { .. }
            | Self::Sealed
            | Self::Unrecordable { .. } => false,
        }
    }
}

/// What the log counts.
#[derive(Clone)]
#[allow(missing_docs, reason = "crate::metrics has the help texts")]
pub struct AuditMetrics {
    pub appends: IntCounter,
    pub batch_bytes: Histogram,
    pub health: IntGaugeVec,
    pub not_archived: IntGauge,
    pub sync_seconds: Histogram,
    pub volume_used_percent: IntGauge,
}

/// Whose log it is.
#[derive(Clone, Debug)]
pub struct Place<'p> {
    /// The gateway's volume.
    pub volume: &'p Path,
    /// The region.
    pub region: RegionId,
    /// The gateway.
    pub gateway: Name,
}

/// What only tests choose otherwise.
#[derive(Clone, Copy)]
struct Limits {
    /// Bytes of a file.
    file: u64,
    /// How long the oldest record may wait.
    patience: Duration,
}

/// Appends records; cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::SyncSender<Command>,
    health: watch::Receiver<Health>,
    position: watch::Receiver<Position>,
    volume: watch::Receiver<u8>,
    public_key: PublicKey,
    folder: Folder,
}

impl Audit {
    /// Opens the journal of a volume, cutting what was never acknowledged, and starts the writing thread.
    ///
    /// # Errors
    /// See [`AuditError::Open`].
    pub fn open(place: Place<'_>, metrics: AuditMetrics) -> Result<Self, AuditError> {
        Self::open_on(place, metrics, Box::new(Volume), Limits { file: journal::FILE, patience: STALLED })
    }

    fn open_on(
        place: Place<'_>,
        metrics: AuditMetrics,
        disk: Box<dyn Disk>,
        limits: Limits,
    ) -> Result<Self, AuditError> {
        let failed =
            |why: std::io::Error| AuditError::Open { path: place.volume.display().to_string(), why: why.to_string() };
        let owner = Owner { region: place.region.clone(), gateway: place.gateway.clone() };
        let (journal, said) = recovery::open(place.volume, owner, disk, limits.file).map_err(failed)?;
        let pulse = Arc::new(Pulse::new(metrics.health.clone()));
        let archived = journal.folder.files().map_err(failed)?.first().map_or(0, |first| first - 1);
        let audit = |queue, writer: &Writer| Self {
            queue,
            health: writer.pulse.watch(),
            position: writer.position.subscribe(),
            volume: writer.volume.subscribe(),
            public_key: writer.journal.public_key(),
            folder: writer.journal.folder.clone(),
        };
        let (queue, waiting) = mpsc::sync_channel(QUEUE);
        let mut writer = Writer {
            position: watch::Sender::new(journal.position()),
            volume: watch::Sender::new(0),
            clock: WallClock::default(),
            pulse: Arc::clone(&pulse),
            journal,
            metrics,
            archived,
            tended: None,
            alarmed: false,
        };
        writer.say_all(said)?;
        writer.tend_first()?;
        let audit = audit(queue, &writer);
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let over = Arc::downgrade(&pulse);
        spawn("audit-watch").spawn(move || writer::watch_over(&over, limits.patience)).map_err(failed)?;
        spawn("audit").spawn(move || writer.run(&waiting)).map_err(failed)?;
        Ok(audit)
    }

    /// Appends and waits until the record is durable, but not for ever: a session's end or a configuration must not
    /// hang on a volume that does. A record that came too late for its caller is still written.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub async fn append(&self, event: Event<Person>) -> Result<Receipt, AuditError> {
        let (done, receipt) = oneshot::channel();
        let waiting = Waiting { event, at: Timestamp::now(), asked: Instant::now(), done };
        self.ask(Command::Append(Box::new(waiting)))?;
        match tokio::time::timeout(PATIENCE, receipt).await {
            Ok(receipt) => receipt.map_err(|_| AuditError::Sealed)?,
            Err(_) => Err(AuditError::Slow),
        }
    }

    /// The same for what begins something: only while the log is open, and it must still be when the record is durable.
    ///
    /// # Errors
    /// See [`AuditError`], and [`AuditError::may_be_there`].
    pub async fn append_while_open(&self, event: Event<Person>) -> Result<Receipt, AuditError> {
        match self.health() {
            Health::Open => {}
            health => return Err(AuditError::Closed(health)),
        }
        let receipt = tokio::select! {
            biased;
            receipt = self.append(event) => receipt?,
            health = self.unavailable() => return Err(AuditError::Degraded(health)),
        };
        match self.health() {
            Health::Open => Ok(receipt),
            health => Err(AuditError::Degraded(health)),
        }
    }

    fn ask(&self, command: Command) -> Result<(), AuditError> {
        self.queue.try_send(command).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => AuditError::Busy,
            mpsc::TrySendError::Disconnected(_) => AuditError::Sealed,
        })
    }

    /// Waits until the log is not open; for ever while it is.
    pub async fn unavailable(&self) -> Health {
        let mut health = self.health.clone();
        match health.wait_for(|health| *health != Health::Open).await.map(|health| *health) {
            Ok(health) => health,
            // The writer ended without sealing: the process is stopping.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether the log takes records now.
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// To be told when that changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// How full the volume is, in percent, rounded up; 0 when it is not known.
    pub fn watch_volume(&self) -> watch::Receiver<u8> {
        self.volume.clone()
    }

    /// How far the journal is, and to be told when it grew.
    pub fn watch_position(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }

    /// The key that signs this journal's checkpoints.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The life of that key.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation::of(&self.public_key)
    }

    /// Reads the journal in batches. Blocks on the volume.
    pub fn collector(&self) -> Collector {
        Collector::new(self.folder.clone())
    }

    /// Signs all logs as far as they are, durably, so that a batch can end there.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub async fn mark(&self) -> Result<(), AuditError> {
        let (done, marked) = oneshot::channel();
        self.ask(Command::Mark(done))?;
        tokio::time::timeout(PATIENCE, marked).await.map_err(|_| AuditError::Slow)?.map_err(|_| AuditError::Sealed)
    }

    /// Everything up to a record is in the archive: files that end at or before it may go.
    pub fn archived(&self, through: u64) {
        if let Err(error) = self.ask(Command::Archived(through)) {
            // It is said again after each attach.
            tracing::warn!(through, %error, "the archive's progress could not be noted");
        }
    }
}

/// Longest wait for a record. An audit volume slower than this is as good as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the oldest record waits for longer, no session opens and live ones end: with the watch, that is 6 s after the
/// volume began to hang, which leaves the rest of the ten for the ends.
const STALLED: Duration = Duration::from_secs(5);

/// Records that wait at most: some ten seconds' worth of a slow disk, and a bound of memory (invariant I10).
const QUEUE: usize = 8 * 1024;

#[cfg(test)]
mod tests;
