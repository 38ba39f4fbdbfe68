//! The states of one service session, without IO: an event goes in, what to do comes out. One async file in the
//! gateway drives it.
//!
//! ```text
//!  AwaitingRecord ──recorded──▶ Open ──idle | expired | withdrawn | ended | tunnel lost──▶ Ended
//!        └──────record failed──────────────────────────────────────────────────────────────▶ Ended
//! ```
//!
//! Time comes as [`Instant`]s of a monotonic clock, so no change of the wall clock lengthens a grant (fault F10).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Why a session is over. Closed: it is a metric label and an audit field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// The engineer ended it.
    EndedByEngineer,
    /// The longest duration is over.
    Expired,
    /// The gateway was told to stop and its grace is over.
    GatewayStopping,
    /// Nothing moved for the idle timeout (R23).
    Idle,
    /// The audit record could not be made durable (invariant I3).
    RecordFailed,
    /// The tunnel to the site is gone.
    TunnelLost,
    /// The configuration no longer allows it (invariant I2).
    Withdrawn,
}

impl EndReason {
    /// The spelling used in logs, metrics and the CLI.
    pub fn label(&self) -> &'static str {
        match self {
            Self::EndedByEngineer => "endedByEngineer",
            Self::Expired => "expired",
            Self::GatewayStopping => "gatewayStopping",
            Self::Idle => "idle",
            Self::RecordFailed => "recordFailed",
            Self::TunnelLost => "tunnelLost",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How long a session may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without traffic.
    pub idle: Duration,
    /// In all.
    pub longest: Duration,
}

/// A session in one of its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// Decided, but its start record is not durable yet: no byte may pass (invariant I3).
    AwaitingRecord {
        /// What will hold once it is open.
        limits: Limits,
    },
    /// Bytes may pass.
    Open {
        /// End of the longest duration.
        expires: Instant,
        /// Without traffic, the end.
        idle_at: Instant,
        /// To move `idle_at` when something moves.
        idle: Duration,
    },
    /// No byte passes any more, for ever.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody or something ends it.
    End(EndReason),
    /// A byte moved.
    Moved,
    /// The start record is durable.
    Recorded,
    /// Time passed.
    Tick,
}

impl Session {
    /// A session that was decided, before its record is written.
    pub fn requested(limits: Limits) -> Self {
        Self::AwaitingRecord { limits }
    }

    /// The next state. `Ended` is final, and nothing but `Recorded` opens.
    pub fn on(self, event: Event, now: Instant) -> Self {
        match (self.overdue(now), event) {
            (Self::AwaitingRecord { limits }, Event::Recorded) => {
                Self::Open { expires: now + limits.longest, idle_at: now + limits.idle, idle: limits.idle }
            }
            (Self::AwaitingRecord { .. } | Self::Open { .. }, Event::End(reason)) => Self::Ended { reason },
            (Self::Open { expires, idle, .. }, Event::Moved) => Self::Open { expires, idle_at: now + idle, idle },
            (same, _) => same,
        }
    }

    /// When to look again, if nothing happens.
    pub fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::Open { expires, idle_at, .. } => Some(*expires.min(idle_at)),
            Self::AwaitingRecord { .. } | Self::Ended { .. } => None,
        }
    }

    /// Whether a byte may pass at `now`.
    pub fn may_pass(&self, now: Instant) -> bool {
        matches!(self, Self::Open { expires, idle_at, .. } if now < *expires && now < *idle_at)
    }

    fn overdue(self, now: Instant) -> Self {
        match self {
            Self::Open { expires, .. } if now >= expires => Self::Ended { reason: EndReason::Expired },
            Self::Open { idle_at, .. } if now >= idle_at => Self::Ended { reason: EndReason::Idle },
            same => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Moved),
            Just(Event::Recorded),
            Just(Event::Tick),
            Just(Event::End(EndReason::Withdrawn)),
        ]
    }

    proptest! {
        /// Three invariants over any history: no byte before the record, none after the end, none after the longest
        /// duration counted from the record.
        #[test]
        fn bytes_pass_only_between_record_and_end(history in prop::collection::vec((event(), 0u64..400), 0..60)) {
            #[allow(clippy::disallowed_methods, reason = "one origin for the generated times")]
            let start = Instant::now();
            let limits = Limits { idle: Duration::from_secs(900), longest: Duration::from_secs(3600) };
            let (mut session, mut now, mut recorded, mut ended) = (Session::requested(limits), start, None, false);
            for (event, seconds) in history {
                now += Duration::from_secs(seconds);
                if event == Event::Recorded && recorded.is_none() && !ended {
                    recorded = Some(now);
                }
                ended |= matches!(event, Event::End(_));
                session = session.on(event, now);
                let passes = session.may_pass(now);
                prop_assert!(!passes || recorded.is_some_and(|at| now < at + limits.longest));
                prop_assert!(!(passes && ended));
                ended |= matches!(session, Session::Ended { .. });
                prop_assert!(session.wake_at().is_none_or(|at| at > now));
            }
        }
    }

    #[test]
    fn an_idle_session_ends_and_stays_ended() {
        #[allow(clippy::disallowed_methods, reason = "one origin for the generated times")]
        let start = Instant::now();
        let limits = Limits { idle: Duration::from_secs(10), longest: Duration::from_secs(60) };
        let open = Session::requested(limits).on(Event::Recorded, start);
        let idle = open.on(Event::Tick, start + Duration::from_secs(10));
        assert_eq!(idle, Session::Ended { reason: EndReason::Idle });
        assert_eq!(idle.clone().on(Event::Moved, start), idle);
    }
}
