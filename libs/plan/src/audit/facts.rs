//! What the collector knows of audit records: it fills these, status shows them. Figures that change with every record
//! pass a [`Paced`], or a busy gateway would have its region written all the time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::audit::LogHealth;

/// What is known of a region's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFacts {
    /// The region's public key (C2SP verifier key), once there is one.
    pub verifier_key: Option<String>,
    /// The place they are kept.
    pub archive: Archive,
    /// Each gateway's log, by pod name.
    pub gateways: BTreeMap<String, GatewayAudit>,
    /// What did not fit, oldest first, accepted or not.
    pub evidence: Vec<Evidence>,
    /// Erasures done since the operator began, by their id. Those of before are in status.
    pub erased: BTreeMap<String, Erased>,
}

/// The place where records are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Archive {
    /// None is set.
    #[default]
    Missing,
    /// The last write succeeded.
    Ready,
    /// The last write or read failed.
    Unreachable {
        /// What it said.
        why: String,
    },
}

/// What is known of a gateway's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayAudit {
    /// The incarnation it writes.
    pub incarnation: String,
    /// Sequence number of the newest record in the archive; 0: none.
    pub archived_through: u64,
    /// Time of that record.
    pub archived_at: Option<Timestamp>,
    /// Sequence number of the newest record of the journal, as far as known.
    pub newest: u64,
    /// Since when there is a record that is not in the archive.
    pub behind_since: Option<Timestamp>,
    /// Whether it can take a record.
    pub health: Option<LogHealth>,
    /// How full its volume is.
    pub volume_used_percent: Option<u8>,
}

impl GatewayAudit {
    /// Records that are not in the archive, rounded up to a power of ten: a figure for people that seldom changes.
    pub fn behind(&self) -> u64 {
        match self.newest.saturating_sub(self.archived_through) {
            0 => 0,
            behind => (1..20).map(|n| 10_u64.saturating_pow(n)).find(|step| behind <= *step).unwrap_or(u64::MAX),
        }
    }

    /// How full its volume is, in steps of 5 percent, rounded up.
    pub fn volume_step(&self) -> Option<u8> {
        self.volume_used_percent.map(|percent| percent.min(100).div_ceil(5) * 5)
    }

    /// Whether somebody wants to know at once that it is no longer as it was shown.
    pub fn differs_gravely(&self, shown: &Self) -> bool {
        self.incarnation != shown.incarnation
            || self.health != shown.health
            || self.volume_step() != shown.volume_step()
    }
}

/// A log that did not fit what was archived of it. Its collection stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The gateway, by pod name.
    pub gateway: String,
    /// The incarnation.
    pub incarnation: String,
    /// What is wrong.
    pub kind: EvidenceKind,
    /// For a person: which log, which record, and where in the archive it is.
    pub what: String,
}

/// What is wrong with a log. A closed set: reasons of the condition `AuditIntact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvidenceKind {
    /// A signature is not by the log's key.
    BadSignature,
    /// It says something else about records that are archived: two histories under one key.
    ForkFound,
    /// Numbers are missing or occur twice.
    NumbersBroken,
    /// It is shorter than what is archived: an older copy.
    RolledBack,
    /// Times fall within a log.
    TimesBroken,
    /// Lines that are no journal.
    Unreadable,
}

impl EvidenceKind {
    /// The reason of the condition.
    pub fn label(self) -> &'static str {
        match self {
            Self::BadSignature => "BadSignature",
            Self::ForkFound => "ForkFound",
            Self::NumbersBroken => "NumbersBroken",
            Self::RolledBack => "RolledBack",
            Self::TimesBroken => "TimesBroken",
            Self::Unreadable => "Unreadable",
        }
    }
}

/// An erasure that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// How many keys were destroyed.
    pub keys: u32,
    /// When.
    pub at: Timestamp,
}

/// What is known of a site's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteAuditFacts {
    /// Its logs in the archive, in any order.
    pub logs: Vec<SiteLog>,
    /// When the webhook took checkpoints last, since the operator began.
    pub last_delivered: Option<Timestamp>,
    /// Why the newest delivery failed, until one succeeds.
    pub failed: Option<String>,
}

/// One log of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteLog {
    /// The gateway, by pod name.
    pub gateway: String,
    /// The incarnation.
    pub incarnation: String,
    /// Records in the archive.
    pub size: u64,
    /// When the archived checkpoint was signed.
    pub checkpoint_at: Timestamp,
}

/// The least time between two values that are shown: a write of status each minute is what a busy region costs.
pub const PACE: SignedDuration = SignedDuration::from_mins(1);

/// A value that changes all the time and is shown at most once in [`PACE`].
#[derive(Clone, Debug, Default)]
pub struct Paced<T> {
    shown: Option<(T, Timestamp)>,
    waiting: Option<T>,
}

/// Whether a change can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody must know at once.
    Now,
    /// A figure went on.
    Paced,
}

impl<T: Clone + PartialEq> Paced<T> {
    /// What is to be shown, if anything was offered.
    pub fn shown(&self) -> Option<&T> {
        self.shown.as_ref().map(|(value, _)| value)
    }

    /// Takes the present value. The answer is when to offer again, if something waits until then.
    pub fn offer(&mut self, value: T, urgency: Urgency, now: Timestamp) -> Option<Timestamp> {
        let due = self.shown.as_ref().map(|(_, at)| at.checked_add(PACE).unwrap_or(Timestamp::MAX));
        if self.shown() == Some(&value) {
            self.waiting = None;
            return None;
        }
        match due {
            Some(due) if urgency == Urgency::Paced && now < due => {
                self.waiting = Some(value);
                Some(due)
            }
            _ => {
                self.shown = Some((value, now));
                self.waiting = None;
                None
            }
        }
    }

    /// Shows what waits, if its time has come. Whether something new is shown.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let Some(value) = self.waiting.take() else { return false };
        self.offer(value, Urgency::Paced, now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_figure_is_shown_once_a_minute_and_the_last_one_in_the_end() {
        let mut paced = Paced::default();
        assert_eq!(paced.offer(1, Urgency::Paced, at(0)), None);
        for second in 1..60 {
            assert_eq!(paced.offer(1 + second, Urgency::Paced, at(second)), Some(at(60)));
            assert!(!paced.settle(at(second)), "not before its time");
            assert_eq!(paced.shown(), Some(&1));
        }
        assert!(paced.settle(at(60)));
        assert_eq!(paced.shown(), Some(&60));
        assert!(!paced.settle(at(200)), "nothing waits any more");
    }

    #[test]
    fn what_is_grave_is_shown_at_once_and_what_came_back_does_not_wait() {
        let mut paced = Paced::default();
        assert_eq!(paced.offer("open", Urgency::Now, at(0)), None);
        assert_eq!(paced.offer("sealed", Urgency::Now, at(1)), None);
        assert_eq!(paced.shown(), Some(&"sealed"));
        assert_eq!(paced.offer("open", Urgency::Paced, at(2)), Some(at(61)));
        assert_eq!(paced.offer("sealed", Urgency::Paced, at(3)), None);
        assert!(!paced.settle(at(100)));
    }

    #[test]
    fn figures_are_coarse() {
        let log = |newest, percent| GatewayAudit {
            archived_through: 5,
            newest,
            volume_used_percent: Some(percent),
            ..GatewayAudit::default()
        };
        for (newest, behind) in
            [(0, 0), (5, 0), (6, 10), (15, 10), (16, 100), (1005, 1000), (1006, 10_000), (u64::MAX, u64::MAX)]
        {
            assert_eq!(log(newest, 0).behind(), behind);
        }
        for (percent, step) in [(0, 0), (1, 5), (5, 5), (76, 80), (79, 80), (80, 80), (81, 85), (100, 100), (255, 100)]
        {
            assert_eq!(log(5, percent).volume_step(), Some(step));
        }
        assert!(log(5, 81).differs_gravely(&log(5, 80)) && !log(9, 80).differs_gravely(&log(5, 76)));
    }
}
