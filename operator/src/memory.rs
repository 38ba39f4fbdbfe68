//! What the operator remembers for a while, beside what it has seen of objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_plan::catalogue::ObjectKey;
use tokio::time::Instant;

use crate::authorities::Issued;
use crate::kinds::Kind;
use crate::limits::Limits;

/// One Event about refused requests of one object in this time: whoever tries tokens must not fill the API server.
const REFUSAL_PACE: Duration = Duration::from_secs(60);
/// So many objects are remembered for [`REFUSAL_PACE`] at most.
const MOST_REFUSALS: usize = 10_000;

/// What the operator remembers for a while.
#[derive(Debug, Default)]
pub struct Memory {
    revoked: Mutex<HashMap<(Kind, ObjectKey), Timestamp>>,
    unwritten: Mutex<HashMap<ObjectKey, Arc<Issued>>>,
    refusals: Mutex<HashMap<ObjectKey, Instant>>,
    /// How often somebody asked.
    pub limits: Limits,
}

impl Memory {
    /// An object is, or is not, revoked or suspended now. The first time counts.
    pub fn withdrawn(&self, kind: Kind, key: &ObjectKey, is: bool, now: Timestamp) {
        let mut revoked = lock(&self.revoked);
        if is {
            revoked.entry((kind, key.clone())).or_insert(now);
        } else {
            revoked.remove(&(kind, key.clone()));
        }
    }

    /// When it was seen that an object is revoked or suspended.
    pub fn withdrawn_at(&self, kind: Kind, key: &ObjectKey) -> Option<Timestamp> {
        lock(&self.revoked).get(&(kind, key.clone())).copied()
    }

    /// A certificate is written down and not in its Secret yet. Should the Secret not be writable now, this one goes into
    /// it later: each that is written down takes a place that a revocation needs.
    pub fn keep_unwritten(&self, secret: &ObjectKey, issued: Arc<Issued>) {
        lock(&self.unwritten).insert(secret.clone(), issued);
    }

    /// The certificate with this serial number, if it still has to go into this Secret.
    pub fn unwritten(&self, secret: &ObjectKey, serial: &str) -> Option<Arc<Issued>> {
        lock(&self.unwritten).get(secret).filter(|issued| issued.leaf.serial == serial).cloned()
    }

    /// The Secret is written, or nobody wants it any more.
    pub fn written(&self, secret: &ObjectKey) {
        lock(&self.unwritten).remove(secret);
    }

    /// Whether an Event may say that a request about this object was refused.
    pub fn may_tell_refusal(&self, object: &ObjectKey, now: Instant) -> bool {
        let mut refusals = lock(&self.refusals);
        refusals.retain(|_, told| now.duration_since(*told) < REFUSAL_PACE);
        let may = refusals.len() < MOST_REFUSALS && !refusals.contains_key(object);
        if may {
            refusals.insert(object.clone(), now);
        }
        may
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sight_counts_until_it_is_over() {
        let (memory, key) = (Memory::default(), ObjectKey::new("lyon", "agent"));
        let at = |second| Timestamp::from_second(second).unwrap();
        memory.withdrawn(Kind::CustomerSite, &key, true, at(1));
        memory.withdrawn(Kind::CustomerSite, &key, true, at(2));
        assert_eq!(memory.withdrawn_at(Kind::CustomerSite, &key), Some(at(1)));
        assert_eq!(memory.withdrawn_at(Kind::Device, &key), None);
        memory.withdrawn(Kind::CustomerSite, &key, false, at(3));
        memory.withdrawn(Kind::CustomerSite, &key, true, at(4));
        assert_eq!(memory.withdrawn_at(Kind::CustomerSite, &key), Some(at(4)));
    }

    #[test]
    fn refusals_are_told_once_a_minute_for_each_object() {
        let (memory, now) = (Memory::default(), Instant::now());
        let (a, b) = (ObjectKey::new("lyon", "a"), ObjectKey::new("lyon", "b"));
        assert!(
            memory.may_tell_refusal(&a, now) && !memory.may_tell_refusal(&a, now) && memory.may_tell_refusal(&b, now)
        );
        assert!(memory.may_tell_refusal(&a, now + REFUSAL_PACE));
    }
}
