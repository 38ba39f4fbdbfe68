//! The thread that writes: it takes what waits, makes it durable with one sync, acknowledges, and then tends the volume.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sallyport_audit::event::{CapacityAlarm, LogDegraded, LogRecovered, Trouble};
use sallyport_audit::{Event, Person};
use tokio::sync::{oneshot, watch};

use super::clock::WallClock;
use super::health::Pulse;
use super::journal::{Journal, Need, Position, TakeError};
use super::{AuditError, AuditMetrics, Receipt};

/// Most records that share one sync: bounds the time the first of them waits.
const BATCH: usize = 1024;

/// The volume and the clock are looked at so often, and a spare is tried for so often when there is none.
const TEND: Duration = Duration::from_secs(1);

/// From here on there is an alarm: a fifth of the volume is hours to days of records, enough to do something.
const ALARM_PERCENT: u8 = 80;

/// The alarm is over below this, so that a volume at its edge is no storm of alarms.
const CALM_PERCENT: u8 = 75;

/// What the writer is asked.
pub(super) enum Command {
    /// To record something.
    Append(Box<Waiting>),
    /// That everything up to a sequence number is in the archive.
    Archived(u64),
    /// To sign all logs as far as they are.
    Mark(oneshot::Sender<()>),
}

/// A record that waits.
pub(super) struct Waiting {
    pub(super) event: Event<Person>,
    pub(super) at: Timestamp,
    pub(super) asked: Instant,
    pub(super) done: oneshot::Sender<Result<Receipt, AuditError>>,
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) clock: WallClock,
    pub(super) pulse: Arc<Pulse>,
    pub(super) position: watch::Sender<Position>,
    pub(super) volume: watch::Sender<u8>,
    pub(super) metrics: AuditMetrics,
    pub(super) archived: u64,
    pub(super) tended: Option<Instant>,
    pub(super) alarmed: bool,
}

/// Nothing can be written any more.
struct Sealed;

type Acknowledged = (oneshot::Sender<Result<Receipt, AuditError>>, Result<Receipt, AuditError>);

impl Writer {
    /// Works until all who could ask are gone, or until the volume fails.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        loop {
            let worked = match queue.recv_timeout(TEND) {
                Ok(first) => self.serve(std::iter::once(first).chain(queue.try_iter().take(BATCH - 1))),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if worked.and_then(|()| self.tend()).is_err() {
                // Dropping the queue and the senders answers everyone who waits, now and later.
                return;
            }
        }
    }

    fn serve(&mut self, commands: impl Iterator<Item = Command>) -> Result<(), Sealed> {
        let mut acknowledged: Vec<Acknowledged> = Vec::new();
        let mut marks = Vec::new();
        let mut erased = false;
        for command in commands {
            match command {
                Command::Append(waiting) => {
                    let Waiting { event, at, asked, done } = *waiting;
                    if acknowledged.is_empty() {
                        self.pulse.waits_since(asked);
                    }
                    erased |= matches!(event, Event::AuditErased(_));
                    let taken = self.take(event, at, asked)?;
                    acknowledged.push((done, taken));
                }
                Command::Archived(through) => self.free(through)?,
                Command::Mark(done) => marks.push(done),
            }
        }
        if !marks.is_empty() {
            self.journal.mark().map_err(|error| self.seal(&error))?;
        }
        self.commit()?;
        for (done, receipt) in acknowledged {
            // Whoever asked may be gone; the record stays.
            let _ = done.send(receipt);
        }
        for done in marks {
            let _ = done.send(());
        }
        if erased {
            // So that the file with the destroyed key can go as soon as it is archived.
            self.journal.leave_file().map_err(|error| self.seal(&error))?;
            self.publish();
        }
        self.end_stall()
    }

    /// While it lasted nothing could be said; now both are.
    fn end_stall(&mut self) -> Result<(), Sealed> {
        self.pulse.none_waits();
        if let Some(lasted) = self.pulse.over(Trouble::Stalled) {
            self.say_degraded(Trouble::Stalled)?;
            self.say_recovered(Trouble::Stalled, lasted)?;
        }
        Ok(())
    }

    /// One event's lines; the refusal of one event is no trouble for others.
    fn take(
        &mut self,
        event: Event<Person>,
        at: Timestamp,
        asked: Instant,
    ) -> Result<Result<Receipt, AuditError>, Sealed> {
        self.look_at_clock(at, asked)?;
        let need = need(&event);
        let wall = self.clock.wall(at, asked);
        match self.journal.take(event, wall, need) {
            Ok(appended) => Ok(Ok(Receipt { sequence: appended.sequence })),
            Err(TakeError::Event(error)) => {
                tracing::error!(%error, "an event could not become an audit record");
                Ok(Err(AuditError::Unrecordable { why: error.to_string() }))
            }
            Err(TakeError::NoRoom) => Ok(Err(AuditError::Full)),
            Err(TakeError::Failed(error)) => Err(self.seal(&error)),
        }
    }

    fn look_at_clock(&mut self, at: Timestamp, on: Instant) -> Result<(), Sealed> {
        let Some(stepped) = self.clock.stepped(at, on) else { return Ok(()) };
        tracing::warn!(by_ms = stepped.by_ms, "the wall clock was set");
        self.note(Event::ClockStepped(stepped), at, on)
    }

    /// A record of the log's own, with no one to tell.
    fn note(&mut self, event: Event<Person>, at: Timestamp, on: Instant) -> Result<(), Sealed> {
        let wall = self.clock.wall(at, on);
        match self.journal.take(event, wall, Need::End) {
            Ok(_) => Ok(()),
            Err(TakeError::Failed(error)) => Err(self.seal(&error)),
            Err(error) => {
                tracing::warn!(%error, "the log could not record its own state");
                Ok(())
            }
        }
    }

    /// The same, durable.
    fn say(&mut self, event: Event<Person>) -> Result<(), Sealed> {
        self.note(event, Timestamp::now(), Instant::now())?;
        self.commit()
    }

    /// What is said when the journal was opened.
    pub(super) fn say_all(&mut self, events: Vec<Event<Person>>) -> Result<(), AuditError> {
        for event in events {
            self.note(event, Timestamp::now(), Instant::now()).map_err(|Sealed| AuditError::Sealed)?;
        }
        self.commit().map_err(|Sealed| AuditError::Sealed)
    }

    fn say_degraded(&mut self, health: Trouble) -> Result<(), Sealed> {
        self.say(Event::LogDegraded(LogDegraded { health }))
    }

    fn say_recovered(&mut self, health: Trouble, lasted: Duration) -> Result<(), Sealed> {
        tracing::info!(?health, ?lasted, "the audit log takes records again");
        let for_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        self.say(Event::LogRecovered(LogRecovered { health, for_ms }))
    }

    fn commit(&mut self) -> Result<(), Sealed> {
        let (before, bytes) = (self.position.borrow().newest, self.journal.lines.len());
        let began = Instant::now();
        self.journal.commit().map_err(|error| self.seal(&error))?;
        let took = began.elapsed();
        self.publish();
        let records = self.position.borrow().newest.saturating_sub(before);
        if records > 0 {
            self.metrics.sync_seconds.observe(took.as_secs_f64());
            self.metrics.batch_bytes.observe(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
            self.metrics.appends.inc_by(records);
        }
        Ok(())
    }

    fn publish(&self) {
        let position = self.journal.position();
        self.position.send_replace(position);
        let waiting = position.newest.saturating_sub(self.archived);
        self.metrics.not_archived.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    fn free(&mut self, through: u64) -> Result<(), Sealed> {
        self.archived = self.archived.max(through.min(self.journal.position().newest));
        match self.journal.free(through) {
            Ok(0) => {}
            Ok(files) => tracing::info!(through, files, "archived files of the audit journal are gone"),
            // What is archived and cannot be removed costs room, nothing else.
            Err(error) => tracing::error!(through, %error, "archived files of the audit journal could not be removed"),
        }
        // Whoever waited for room need not wait for the next look.
        self.tended = None;
        Ok(())
    }

    /// After the acknowledgements, so that nobody waits for it: the spare at once, the rest at most once a second.
    pub(super) fn tend_first(&mut self) -> Result<(), AuditError> {
        self.tend().map_err(|Sealed| AuditError::Sealed)
    }

    fn tend(&mut self) -> Result<(), Sealed> {
        let is_due = self.tended.is_none_or(|tended| tended.elapsed() >= TEND);
        let is_full = self.pulse.has(Trouble::Full);
        if !is_due && (is_full || self.journal.spare.is_some()) {
            return Ok(());
        }
        // A volume may hang here as well, and whoever asks meanwhile waits behind it.
        self.pulse.waits_since(Instant::now());
        self.look_after_room(is_due)?;
        self.end_stall()
    }

    fn look_after_room(&mut self, is_due: bool) -> Result<(), Sealed> {
        if self.journal.spare.is_none() {
            match self.journal.make_spare() {
                Ok(()) => {}
                Err(error) => {
                    if self.pulse.begin(Trouble::Full) {
                        tracing::error!(%error, "no room for the audit log: no session opens, live ones end");
                        self.say_degraded(Trouble::Full)?;
                    }
                }
            }
        }
        if self.journal.spare.is_some()
            && let Some(lasted) = self.pulse.over(Trouble::Full)
        {
            self.say_recovered(Trouble::Full, lasted)?;
        }
        if is_due {
            self.tended = Some(Instant::now());
            self.look_at_volume()?;
            self.look_at_clock(Timestamp::now(), Instant::now())?;
            self.commit()?;
        }
        Ok(())
    }

    fn look_at_volume(&mut self) -> Result<(), Sealed> {
        let used_percent = match self.journal.disk.used_percent(self.journal.folder.path()) {
            Ok(percent) => percent,
            Err(error) => {
                tracing::debug!(%error, "the room on the audit volume is not known");
                return Ok(());
            }
        };
        self.metrics.volume_used_percent.set(used_percent.into());
        self.volume.send_if_modified(|before| std::mem::replace(before, used_percent) != used_percent);
        if used_percent >= ALARM_PERCENT && !self.alarmed {
            self.alarmed = true;
            tracing::warn!(used_percent, "the audit volume fills up; when it is full no session can open");
            self.say(Event::CapacityAlarm(CapacityAlarm { used_percent }))?;
        } else if used_percent < CALM_PERCENT {
            self.alarmed = false;
        }
        Ok(())
    }

    fn seal(&self, error: &std::io::Error) -> Sealed {
        tracing::error!(%error, "audit journal sealed: no session opens until a restart, live ones end");
        self.pulse.begin(Trouble::Sealed);
        Sealed
    }
}

/// What may still be written when there is no room for another file.
fn need(event: &Event<Person>) -> Need {
    match event {
        Event::AuditDeleted(_)
        | Event::AuditErased(_)
        | Event::CertificateRevoked(_)
        | Event::GatewayStopped(_)
        | Event::SessionEnded(_)
        | Event::TransferEnded(_)
        | Event::TunnelDown(_) => Need::End,
        _ => Need::Other,
    }
}

/// Looks at the writer from outside, until it is gone.
pub(super) fn watch_over(pulse: &Weak<Pulse>, patience: Duration) {
    // A twentieth of the patience: a stall is noticed 5 % late at most.
    let every = (patience / 20).clamp(Duration::from_millis(5), Duration::from_millis(250));
    while let Some(pulse) = pulse.upgrade() {
        pulse.look(patience);
        drop(pulse);
        std::thread::sleep(every);
    }
}
