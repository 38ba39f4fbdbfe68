//! How long to wait before dialling again. Full jitter: after a gateway of ten thousand agents restarts, their
//! attempts are spread over the whole interval instead of arriving together.

use std::time::Duration;

use rand::Rng;

/// The longest wait before the second attempt.
pub const BASE: Duration = Duration::from_millis(250);

/// No wait is longer: a site is back within half a minute after its network is.
pub const CAP: Duration = Duration::from_secs(30);

/// A tunnel that lived this long was no failure; shorter, and a crash loop at the gateway would be dialled hard.
pub const GOOD_LIFE: Duration = Duration::from_secs(30);

/// After this many refusals because the replica already holds a tunnel of ours, there is probably only one replica.
const HELD_IN_A_ROW: u32 = 10;

/// Failed attempts in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    held: u32,
}

impl Backoff {
    /// After a failed attempt: anything from nothing to the ceiling, which doubles each time.
    pub fn after_failure(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        rng.random_range(Duration::ZERO..=ceiling)
    }

    /// The replica that answered already holds a tunnel of this agent; the next attempt may reach another. Soon, then
    /// now and then.
    pub fn after_held(&mut self, rng: &mut impl Rng) -> Duration {
        self.held += 1;
        if self.held < HELD_IN_A_ROW {
            return rng.random_range(Duration::from_millis(50)..=BASE);
        }
        self.held = 0;
        rng.random_range(Duration::from_secs(15)..=Duration::from_secs(30))
    }

    /// After a tunnel ended that had been up.
    pub fn after_tunnel(&mut self, lived: Duration, rng: &mut impl Rng) -> Duration {
        self.held = 0;
        if lived >= GOOD_LIFE {
            self.failures = 0;
        }
        self.after_failure(rng)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn never_longer_than_the_cap_and_growing_to_it(seed: u64, failures in 0u32..200) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            let waits: Vec<_> = (0..failures).map(|_| backoff.after_failure(&mut rng)).collect();
            for (index, wait) in waits.iter().enumerate() {
                let ceiling = BASE.saturating_mul(1 << index.min(16)).min(CAP);
                prop_assert!(*wait <= ceiling);
            }
        }

        /// Otherwise agents that failed together would come together.
        #[test]
        fn agents_that_fail_together_come_apart(seed: u64) {
            let waits: Vec<_> = (0..1000u64).map(|agent| {
                let mut backoff = Backoff { failures: 20, held: 0 };
                backoff.after_failure(&mut StdRng::seed_from_u64(seed ^ agent)).as_secs()
            }).collect();
            for second in 0..30 {
                let together = waits.iter().filter(|w| **w == second).count();
                prop_assert!((5..=80).contains(&together), "{together} in second {second}");
            }
        }

        #[test]
        fn a_long_life_starts_over_and_a_short_one_does_not(seed: u64, failures in 8u32..50, lived in 0u64..60) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff { failures, held: 3 };
            let wait = backoff.after_tunnel(Duration::from_secs(lived), &mut rng);
            prop_assert_eq!(wait <= BASE && backoff.failures == 1, lived >= 30 || (wait <= BASE && backoff.failures == 1));
            prop_assert_eq!(backoff.failures, if lived >= 30 { 1 } else { failures + 1 });
        }

        #[test]
        fn held_is_tried_ten_times_then_rarely(seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            for _ in 0..3 {
                for _ in 0..9 {
                    prop_assert!(backoff.after_held(&mut rng) <= BASE);
                }
                prop_assert!(backoff.after_held(&mut rng) >= Duration::from_secs(15));
            }
        }
    }
}
