//! What the renewal does next, as a state machine without IO: it is shown the certificate and the announcement, told how
//! attempts ended, and answers when the next one is due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use sallyport_pki::inspect::Validity;

use super::when;
use crate::trust::Issuing;

/// How soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest wait after the first failure; it doubles with each.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Pace {
    /// A third of a 90 day certificate's life is 30 days: an attempt each hour is no load and no risk. The first ones come
    /// within seconds because an operator that takes over, or dials its gateways anew, is there that soon, and a rotation
    /// waits for this; a gateway that is replaced is back within minutes.
    pub const DEFAULT: Self = Self { first: Duration::from_secs(4), longest: Duration::from_secs(60 * 60) };
}

/// What there is to renew.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    /// The leaf, by which it is known again.
    pub leaf: &'s [u8],
    /// When it is valid.
    pub validity: Validity,
    /// SHA-256 of the CA that issued it, if that one is trusted.
    pub issuer: Option<&'s str>,
    /// Which CA signs now, if a gateway told.
    pub issuing: Option<&'s Issuing>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Renew then; a moment that is past means now.
    At(Timestamp),
    /// The certificate has ended: nothing accepts it any more, only an enrolment helps.
    Ended,
    /// Somebody else renews it: wait for other files.
    Theirs,
}

/// Where one certificate's renewal stands.
#[derive(Clone, Debug)]
pub struct Course {
    pace: Pace,
    leaf: Vec<u8>,
    /// 0 to 1, drawn once for each certificate: looking again and again must not move the moment.
    draw: f64,
    heard: Option<Heard>,
    failures: u32,
    not_before: Option<Timestamp>,
    theirs: bool,
}

/// An announced issuer, and when to follow.
#[derive(Clone, Debug)]
struct Heard {
    issuer: String,
    at: Timestamp,
    /// A certificate was issued since. If it is of yet another issuer, asking again would bring no other.
    followed: bool,
}

impl Course {
    /// Nothing seen yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, leaf: Vec::new(), draw: 0.0, heard: None, failures: 0, not_before: None, theirs: false }
    }

    /// What to do about what is seen.
    pub fn next(&mut self, seen: Seen<'_>, now: Timestamp, rng: &mut impl Rng) -> Next {
        if self.leaf != seen.leaf {
            self.leaf = seen.leaf.to_vec();
            self.draw = rng.random();
            (self.failures, self.not_before, self.theirs) = (0, None, false);
        }
        if let Some(issuing) = seen.issuing
            && self.heard.as_ref().is_none_or(|heard| heard.issuer != issuing.issuer)
        {
            let at = when::announced(now, issuing.issued, issuing.renew_within, rng.random());
            self.heard = Some(Heard { issuer: issuing.issuer.clone(), at, followed: false });
        }
        if self.theirs {
            return Next::Theirs;
        }
        if now > seen.validity.not_after {
            return Next::Ended;
        }
        let regular = when::regular(seen.validity, self.draw);
        let other = |heard: &&Heard| !heard.followed && seen.issuer != Some(heard.issuer.as_str());
        let due = self.heard.as_ref().filter(other).map_or(regular, |heard| heard.at.min(regular));
        Next::At(self.not_before.map_or(due, |not_before| not_before.max(due)))
    }

    /// A certificate was issued and is in use.
    pub fn renewed(&mut self) {
        if let Some(heard) = &mut self.heard {
            heard.followed = true;
        }
    }

    /// An attempt failed. The gateway may have said how long to wait; no wait is longer than a quarter of what is left of
    /// the certificate, because at its end it is too late.
    pub fn failed(
        &mut self,
        seen: Seen<'_>,
        retry_after: Option<Duration>,
        now: Timestamp,
        rng: &mut impl Rng,
    ) -> Duration {
        let ceiling = self.pace.first.saturating_mul(1 << self.failures.min(16)).min(self.pace.longest);
        self.failures = self.failures.saturating_add(1);
        let drawn = rng.random_range(ceiling / 2..=ceiling).max(retry_after.unwrap_or_default());
        let left = Duration::try_from(seen.validity.not_after.duration_since(now)).unwrap_or_default();
        let wait = drawn.min((left / 4).max(Duration::from_secs(1)));
        self.not_before = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        wait
    }

    /// A certificate was issued that begins then: asking again would only bring another.
    pub fn waits(&mut self, until: Timestamp) {
        self.not_before = Some(until);
    }

    /// The gateway said that this certificate is delivered by other means.
    pub fn left_to_others(&mut self) {
        self.theirs = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const DAY: i64 = 86400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn issuing(issuer: &str, seconds: u64) -> Issuing {
        Issuing { issuer: issuer.to_owned(), issued: at(0), renew_within: Duration::from_secs(seconds) }
    }

    /// 90 days from 0, of issuer "g1".
    fn seen<'s>(leaf: &'s [u8], issuing: Option<&'s Issuing>) -> Seen<'s> {
        let validity = Validity { not_before: at(0), not_after: at(90 * DAY) };
        Seen { leaf, validity, issuer: Some("g1"), issuing }
    }

    proptest! {
        /// However often it looks, the moment stays; and it is the regular one as long as nothing else was announced.
        #[test]
        fn looking_does_not_move_the_moment(seed: u64, looks in prop::collection::vec(0..51 * DAY, 1..20)) {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut course, same) = (Course::new(Pace::DEFAULT), issuing("g1", 60));
            let Next::At(first) = course.next(seen(b"1", None), at(0), &mut rng) else { panic!() };
            prop_assert!((51 * DAY..=60 * DAY).contains(&first.as_second()));
            for look in looks {
                prop_assert_eq!(course.next(seen(b"1", Some(&same)), at(look), &mut rng), Next::At(first));
            }
        }

        /// Another issuer is followed within the announced time, once: a certificate that is still not of that issuer
        /// does not make it ask again and again.
        #[test]
        fn another_issuer_is_followed_once_within_its_time(seed: u64, within in 0u64..10_000) {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut course, other) = (Course::new(Pace::DEFAULT), issuing("g2", within));
            let Next::At(due) = course.next(seen(b"1", Some(&other)), at(100), &mut rng) else { panic!() };
            prop_assert!((100..=100 + within as i64).contains(&due.as_second()));
            prop_assert_eq!(course.next(seen(b"1", Some(&other)), at(100 + DAY), &mut rng), Next::At(due));
            course.renewed();
            let Next::At(regular) = course.next(seen(b"2", Some(&other)), at(200 + DAY), &mut rng) else { panic!() };
            prop_assert!(regular.as_second() >= 51 * DAY);
            // A third one is followed anew.
            let third = issuing("g3", within);
            let Next::At(due) = course.next(seen(b"2", Some(&third)), at(300 + DAY), &mut rng) else { panic!() };
            prop_assert!(due.as_second() <= 300 + DAY + within as i64);
        }

        /// Every wait ends before the certificate does, and grows to the pace's longest.
        #[test]
        fn it_is_tried_again_until_the_end_of_life(seed: u64, retry_after in proptest::option::of(0u64..100_000)) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut course = Course::new(Pace::DEFAULT);
            let (mut now, mut attempts) = (at(70 * DAY), 0);
            while let Next::At(due) = course.next(seen(b"1", None), now, &mut rng) {
                now = now.max(due);
                if now > at(90 * DAY) {
                    break;
                }
                let wait = course.failed(seen(b"1", None), retry_after.map(Duration::from_secs), now, &mut rng);
                let left = 90 * DAY - now.as_second();
                prop_assert!(wait.as_secs() as i64 <= (left / 4).max(1));
                prop_assert!(wait >= Pace::DEFAULT.first / 2 || left < 240);
                prop_assert!(wait <= Pace::DEFAULT.longest.max(Duration::from_secs(retry_after.unwrap_or(0))));
                now = now.checked_add(SignedDuration::from_secs(1)).unwrap();
                attempts += 1;
            }
            prop_assert!(attempts > 20, "{attempts}");
            prop_assert_eq!(course.next(seen(b"1", None), at(91 * DAY), &mut rng), Next::Ended);
        }
    }

    #[test]
    fn what_others_deliver_is_theirs_until_the_files_change() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut course = Course::new(Pace::DEFAULT);
        course.next(seen(b"1", None), at(0), &mut rng);
        course.left_to_others();
        for day in [1, 70, 100] {
            assert_eq!(course.next(seen(b"1", None), at(day * DAY), &mut rng), Next::Theirs);
        }
        assert!(matches!(course.next(seen(b"2", None), at(DAY), &mut rng), Next::At(_)));
    }

    #[test]
    fn new_files_wipe_the_failures() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut course = Course::new(Pace::DEFAULT);
        course.next(seen(b"1", None), at(70 * DAY), &mut rng);
        course.failed(seen(b"1", None), Some(Duration::from_secs(3600)), at(70 * DAY), &mut rng);
        let Next::At(due) = course.next(seen(b"1", None), at(70 * DAY), &mut rng) else { panic!() };
        assert_eq!(due, at(70 * DAY + 3600));
        let Next::At(due) = course.next(seen(b"2", None), at(70 * DAY), &mut rng) else { panic!() };
        assert!(due <= at(60 * DAY));
    }
}
