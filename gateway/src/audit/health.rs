//! Whether the log can take a record now, and since when it could not. Whoever carries sessions watches it: whatever is
//! not [`Health::Open`] lets no session begin and ends live ones (invariant I3).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGaugeVec;
use sallyport_audit::event::Trouble;
use sallyport_control::wire::LogHealth;
use tokio::sync::watch;

/// State of the log, the worst first to last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// A write or a sync failed: for the life of the process, because what the disk holds is not known any more.
    Sealed,
    /// The oldest record waits for too long.
    Stalled,
    /// No room for another file; what room is left is for the ends of sessions.
    Full,
    /// Records are taken.
    #[default]
    Open,
}

impl Health {
    /// All of them, for a metric.
    pub const ALL: [Self; 4] = [Self::Sealed, Self::Stalled, Self::Full, Self::Open];

    /// A word of a closed set, for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Stalled => "stalled",
            Self::Full => "full",
            Self::Open => "open",
        }
    }

    /// The same in a report.
    pub fn to_wire(self) -> LogHealth {
        match self {
            Self::Sealed => LogHealth::Sealed,
            Self::Stalled => LogHealth::Stalled,
            Self::Full => LogHealth::Full,
            Self::Open => LogHealth::Open,
        }
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sealed => "sealed after an error of write or sync, until the gateway is restarted",
            Self::Stalled => "stalled: the volume does not take the oldest record",
            Self::Full => "full: there is no room for another file on the volume",
            Self::Open => "open",
        })
    }
}

/// The health with who watches it.
#[derive(Debug)]
pub(super) struct Pulse {
    health: watch::Sender<Health>,
    troubles: Mutex<Troubles>,
    gauge: IntGaugeVec,
    epoch: Instant,
    /// When the oldest record that waits was asked for, in microseconds since the epoch, from 1; 0 when none waits.
    oldest: AtomicU64,
}

#[derive(Debug, Default)]
struct Troubles {
    sealed: Option<Instant>,
    stalled: Option<Instant>,
    full: Option<Instant>,
}

impl Troubles {
    fn of(&mut self, trouble: Trouble) -> &mut Option<Instant> {
        match trouble {
            Trouble::Full => &mut self.full,
            Trouble::Sealed => &mut self.sealed,
            Trouble::Stalled => &mut self.stalled,
        }
    }

    fn health(&self) -> Health {
        match (self.sealed, self.stalled, self.full) {
            (Some(_), _, _) => Health::Sealed,
            (None, Some(_), _) => Health::Stalled,
            (None, None, Some(_)) => Health::Full,
            (None, None, None) => Health::Open,
        }
    }
}

impl Pulse {
    pub(super) fn new(gauge: IntGaugeVec) -> Self {
        let health = watch::Sender::new(Health::Open);
        let pulse =
            Self { health, troubles: Mutex::default(), gauge, epoch: Instant::now(), oldest: AtomicU64::new(0) };
        pulse.show(Health::Open);
        pulse
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Says that something is wrong. True when it was not before.
    pub(super) fn begin(&self, trouble: Trouble) -> bool {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = troubles.of(trouble).is_none();
        troubles.of(trouble).get_or_insert_with(Instant::now);
        self.tell(&troubles);
        is_new
    }

    /// Says that it is over: how long it was, if it was.
    pub(super) fn over(&self, trouble: Trouble) -> Option<Duration> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let since = troubles.of(trouble).take();
        self.tell(&troubles);
        since.map(|since| since.elapsed())
    }

    /// Whether this is wrong now.
    pub(super) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).of(trouble).is_some()
    }

    fn tell(&self, troubles: &Troubles) {
        let next = troubles.health();
        let changed = self.health.send_if_modified(|health| std::mem::replace(health, next) != next);
        if changed {
            self.show(next);
        }
    }

    fn show(&self, current: Health) {
        for health in Health::ALL {
            self.gauge.with_label_values(&[health.label()]).set(i64::from(health == current));
        }
    }

    /// The oldest record that waits was asked for then.
    pub(super) fn waits_since(&self, asked: Instant) {
        let micros = asked.saturating_duration_since(self.epoch).as_micros();
        self.oldest.store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }

    /// No record waits.
    pub(super) fn none_waits(&self) {
        self.oldest.store(0, Ordering::Release);
    }

    fn waits_for(&self) -> Option<Duration> {
        let oldest = self.oldest.load(Ordering::Acquire);
        (oldest > 0).then(|| self.epoch.elapsed().saturating_sub(Duration::from_micros(oldest)))
    }

    /// Looks at it from outside the writer, which cannot tell while it hangs in the volume.
    pub(super) fn look(&self, patience: Duration) {
        if self.waits_for().is_some_and(|waits| waits > patience) && self.begin(Trouble::Stalled) {
            tracing::error!(?patience, "audit volume takes no record: no session opens, live ones end");
        }
    }
}
