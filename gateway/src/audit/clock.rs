//! What time it is, how good that is, and whether somebody set the clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rtime_clock::adjtime::{Timex, adjtimex};
use sallyport_audit::event::ClockStepped;
use sallyport_audit::journal::Wall;

/// A step smaller than this is none: it is what a daemon does that keeps the time, and what a leap second is.
const STEP: Duration = Duration::from_secs(1);

/// The kernel is asked at most so often how good its clock is.
const LOOK: Duration = Duration::from_secs(1);

/// `STA_UNSYNC` of `<sys/timex.h>`: nobody keeps the kernel's clock right.
const UNSYNCED: i32 = 0x40;

/// `TIME_ERROR`: what `adjtimex` answers when the clock is not kept right.
const TIME_ERROR: i32 = 5;

/// How good the system says that its clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quality {
    synced: bool,
    error_ms: Option<u64>,
}

impl Quality {
    /// Asks the kernel. One that does not answer (a sandbox may forbid the call) claims nothing.
    fn of_the_kernel() -> Self {
        let mut timex = Timex::new();
        let Ok(state) = adjtimex(&mut timex) else { return Self::default() };
        let synced = state != TIME_ERROR && timex.0.status & UNSYNCED == 0;
        // The kernel counts in microseconds; rounded up, so that an error is never told as none.
        let error = u64::try_from(timex.0.maxerror).ok().map(|micros| micros.div_ceil(1000));
        Self { synced, error_ms: error.filter(|_| synced) }
    }
}

/// The wall clock, held against the monotonic one. Both are told to it, so that it can be tested.
#[derive(Debug)]
pub(super) struct WallClock {
    quality: Quality,
    looked: Option<Instant>,
    /// A moment by both clocks; the distance between them stays until one is set.
    base: Option<(Timestamp, Instant)>,
    last: Timestamp,
}

impl Default for WallClock {
    fn default() -> Self {
        Self { quality: Quality::default(), looked: None, base: None, last: Timestamp::MIN }
    }
}

impl WallClock {
    /// Whether the wall clock was set since the last look. `at` and `on` are one moment by both clocks.
    pub(super) fn stepped(&mut self, at: Timestamp, on: Instant) -> Option<ClockStepped> {
        let Some((base_at, base_on)) = self.base else {
            self.base = Some((at, on));
            return None;
        };
        // Moments may come out of order: records are asked for from many threads.
        let went = on.checked_duration_since(base_on).map_or_else(
            || -i128::try_from(base_on.duration_since(on).as_millis()).unwrap_or(i128::MAX),
            |went| i128::try_from(went.as_millis()).unwrap_or(i128::MAX),
        );
        let by = at.duration_since(base_at).as_millis() - went;
        if by.unsigned_abs() <= STEP.as_millis() {
            return None;
        }
        self.base = Some((at, on));
        self.last = at;
        Some(ClockStepped { by_ms: i64::try_from(by).unwrap_or(if by < 0 { i64::MIN } else { i64::MAX }) })
    }

    /// The time of a record that was asked for at `at`.
    pub(super) fn wall(&mut self, at: Timestamp, on: Instant) -> Wall {
        if self.looked.is_none_or(|looked| on.saturating_duration_since(looked) >= LOOK) {
            self.looked = Some(on);
            self.quality = Quality::of_the_kernel();
        }
        // Records that are asked for at once may come in another order than their times. That is no clock set back.
        let disorder = self.last > at && Duration::try_from(self.last.duration_since(at)).is_ok_and(|by| by <= STEP);
        let at = if disorder { self.last } else { at };
        self.last = at;
        Wall { at, synced: self.quality.synced, error_ms: self.quality.error_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
    }

    #[test]
    fn a_step_is_told_once_with_its_size_and_direction() {
        let (mut clock, start) = (WallClock::default(), Instant::now());
        let on = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.stepped(at(0), on(0)), None);
        assert_eq!(clock.stepped(at(60_900), on(60_000)), None, "slewed, not set");
        assert_eq!(clock.stepped(at(-3_540_000), on(60_000)).unwrap().by_ms, -3_600_000);
        assert_eq!(clock.stepped(at(-3_539_000), on(61_000)), None);
        assert_eq!(clock.stepped(at(61_001), on(61_001)).unwrap().by_ms, 3_600_000);
        assert_eq!(clock.stepped(at(60_000), on(60_000)), None, "an older moment is no step");
    }

    #[test]
    fn disorder_is_no_clock_set_back() {
        let (mut clock, start) = (WallClock::default(), Instant::now());
        assert_eq!(clock.wall(at(10), start).at, at(10));
        assert_eq!(clock.wall(at(7), start).at, at(10));
        assert_eq!(clock.wall(at(-5_000), start).at, at(-5_000));
        assert_eq!(clock.wall(at(-4_000), start).at, at(-4_000));
    }

    #[test]
    fn a_clock_that_nobody_keeps_claims_no_error() {
        let Quality { synced, error_ms } = Quality::of_the_kernel();
        assert!(synced || error_ms.is_none());
    }
}
