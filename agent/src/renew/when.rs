//! When a certificate is renewed. Pure: the clock and the draw are arguments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_pki::inspect::Validity;

/// When the regular renewal is due: at two thirds of the certificate's life, earlier by up to a tenth of its life, so
/// that certificates that were issued together are not renewed together.
///
/// `draw` is 0 to 1, uniform: 0 is the latest moment.
pub fn regular(validity: Validity, draw: f64) -> Timestamp {
    let Validity { not_before, not_after } = validity;
    let life = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    let after = life * 2 / 3 - life.mul_f64(draw.clamp(0.0, 1.0) / 10.0);
    not_before.checked_add(after).unwrap_or(not_after)
}

/// When a certificate of another issuer than the announced one is renewed: at a random moment of what is left of the time
/// that the announcement gives. So an agent that is started again and again is not late; one that learns of it only after
/// that time takes as long from then, since many may come back together.
pub fn announced(learnt: Timestamp, issued: Timestamp, within: Duration, draw: f64) -> Timestamp {
    // No fleet needs longer than a certificate can live; more is a mistake that must not overflow.
    const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
    let within = within.min(LONGEST);
    let past = Duration::try_from(learnt.duration_since(issued)).unwrap_or_default();
    let left = if past < within { within - past } else { within };
    let after = left.mul_f64(draw.clamp(0.0, 1.0));
    SignedDuration::try_from(after).ok().and_then(|after| learnt.checked_add(after).ok()).unwrap_or(learnt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn validity(begin: i64, seconds: i64) -> Validity {
        let at = |second| Timestamp::from_second(second).unwrap();
        Validity { not_before: at(begin), not_after: at(begin + seconds) }
    }

    proptest! {
        /// Never before 17/30 of the life, never after 2/3 of it, whatever the draw; a third is left for trying again.
        #[test]
        fn the_regular_renewal_is_within_its_tenth(begin in 0i64..4_000_000_000, life in 60i64..400_000_000, draw in 0.0f64..=1.0) {
            let at = regular(validity(begin, life), draw).as_second() - begin;
            prop_assert!(at * 30 >= life * 17 - 30 && at * 3 <= life * 2, "{at} of {life}");
        }

        #[test]
        fn the_announced_one_is_within_what_was_announced(
            issued in 0i64..4_000_000_000, past in -1000i64..2_000_000_000, within: u64, draw in 0.0f64..=1.0
        ) {
            let at = |second| Timestamp::from_second(second).unwrap();
            let (from, learnt) = (at(issued), at(issued + past));
            let due = announced(learnt, from, Duration::from_secs(within), draw);
            prop_assert!(due >= learnt);
            let within = i64::try_from(within).unwrap_or(i64::MAX);
            prop_assert!(due.as_second() - learnt.as_second() <= within);
            // Also when it was learnt of late, or again after a restart.
            if (0..within).contains(&past) {
                prop_assert!(due.as_second() - issued <= within);
            }
        }
    }

    /// Otherwise a fleet would ask the operator all at once.
    #[test]
    fn draws_spread_over_the_whole_tenth() {
        let validity = validity(0, 90 * 86400);
        let days: Vec<_> = (0..=9).map(|n| regular(validity, f64::from(n) / 9.0).as_second() / 86400).collect();
        assert_eq!(days, [60, 59, 58, 57, 56, 55, 54, 53, 52, 51]);
    }
}
