//! How often somebody may ask. What is counted outlives control streams: a gateway that dials anew asks no oftener.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_plan::catalogue::ObjectKey;
use tokio::time::Instant;

/// A gateway needs three certificates a month; this many leave room for restarts, and one more every 20 s is as many
/// again in ten minutes.
const GATEWAY_CERTIFICATES: Rate = Rate { burst: 30, refill: Duration::from_secs(20) };

/// Requests of endpoints that come through one gateway, whatever becomes of them. After an emergency all agents of a
/// region come at once, 1000 within a few seconds, and each request is a write to the API server, which takes some
/// hundreds a second for all of its users.
const ENROLMENTS_OF_A_GATEWAY: Rate = Rate { burst: 1000, refill: Duration::from_millis(20) };

/// Certificates that one `TunnelCertificate` gets by renewal. An agent whose certificates last an hour renews every forty
/// minutes, and a rotation has it renew once more; each takes a place on an object and later one on a revocation list.
const RENEWALS: Rate = Rate { burst: 10, refill: Duration::from_secs(600) };

/// So many keys are looked through for those that nobody asked for lately. There is a key for each gateway and each
/// object at most, so there are never without end.
const MANY: usize = 10_000;

/// All that is counted, by whom it is about.
#[derive(Debug)]
pub struct Limits {
    /// Certificates of gateways, by region and pod.
    pub gateway_certificates: Buckets<(ObjectKey, String)>,
    /// Requests of endpoints, by region and pod of the gateway that they came through.
    pub enrolments: Buckets<(ObjectKey, String)>,
    /// Renewed certificates, by `TunnelCertificate`.
    pub renewals: Buckets<ObjectKey>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            gateway_certificates: Buckets::new(GATEWAY_CERTIFICATES),
            enrolments: Buckets::new(ENROLMENTS_OF_A_GATEWAY),
            renewals: Buckets::new(RENEWALS),
        }
    }
}

/// So many at once, and one more each time that this has passed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    refill: Duration,
}

/// A bucket for each of many, full at first.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    /// When each would have been full, had nothing been taken: in the future by as many refills as are missing.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, full_at: Mutex::default() }
    }

    /// Takes one, if there is one.
    pub fn take(&self, key: &K, now: Instant) -> bool {
        let mut all = self.all();
        if all.len() > MANY {
            all.retain(|_, full_at| *full_at > now);
        }
        let full_at = all.get(key).copied().unwrap_or(now).max(now) + self.rate.refill;
        let may = full_at <= now + self.rate.refill * self.rate.burst;
        if may {
            all.insert(key.clone(), full_at);
        }
        may
    }

    /// Puts one back that was taken for nothing.
    pub fn give_back(&self, key: &K) {
        if let Some(full_at) = self.all().get_mut(key) {
            *full_at = full_at.checked_sub(self.rate.refill).unwrap_or(*full_at);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(buckets: &Buckets<u32>, key: u32, now: Instant) -> usize {
        (0..1000).take_while(|_| buckets.take(&key, now)).count()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_as_much_as_comes_back() {
        let buckets = Buckets::new(Rate { burst: 10, refill: Duration::from_secs(60) });
        let now = Instant::now();
        assert_eq!((taken(&buckets, 1, now), taken(&buckets, 2, now)), (10, 10));
        assert_eq!(taken(&buckets, 1, now + Duration::from_secs(59)), 0);
        assert_eq!(taken(&buckets, 1, now + Duration::from_secs(181)), 3);
        assert_eq!(taken(&buckets, 1, now + Duration::from_secs(86_400)), 10, "no more than a burst is saved");
    }

    #[test]
    fn what_was_taken_for_nothing_is_put_back() {
        let buckets = Buckets::new(Rate { burst: 2, refill: Duration::from_secs(60) });
        let now = Instant::now();
        assert!(buckets.take(&1, now) && buckets.take(&1, now));
        buckets.give_back(&1);
        assert!(buckets.take(&1, now) && !buckets.take(&1, now));
    }

    #[test]
    fn who_asked_long_ago_is_forgotten() {
        let buckets = Buckets::new(Rate { burst: 1, refill: Duration::from_secs(60) });
        let now = Instant::now();
        let many = u32::try_from(MANY).unwrap();
        (0..=many).for_each(|key| assert!(buckets.take(&key, now)));
        assert!(buckets.take(&(many + 1), now + Duration::from_secs(60)));
        assert_eq!(buckets.all().len(), 1);
    }
}
