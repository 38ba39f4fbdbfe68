//! Which objects are to be looked at, and when. A key waits at most once; while it is worked on nobody else takes it,
//! and what happens to it meanwhile makes it wait again. The state is pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sallyport_plan::catalogue::ObjectKey;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Changes that come together are looked at together: an object and its status, a site and its endpoints. Far below
/// what a person notices, above what an API server needs to send two events.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// First wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// Longest wait after failures.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A queue of one kind's objects.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Look at an object soon.
    pub fn add(&self, key: ObjectKey) {
        self.add_after(key, DEBOUNCE);
    }

    /// Look at an object then, or sooner if that was planned.
    pub fn add_after(&self, key: ObjectKey, delay: Duration) {
        self.with(|state| state.add(key, Instant::now() + delay));
        self.changed.notify_one();
    }

    /// The next object whose time has come. It must be given back with `done`.
    pub async fn next(&self) -> ObjectKey {
        loop {
            let changed = self.changed.notified();
            let due = match self.with(|state| state.take(Instant::now())) {
                Take::Key(key, more) => {
                    if more {
                        self.changed.notify_one();
                    }
                    return key;
                }
                Take::Wait(due) => due,
            };
            match due {
                Some(due) => {
                    tokio::select! { () = changed => {}, () = tokio::time::sleep_until(due) => {} }
                }
                None => changed.await,
            }
        }
    }

    /// The object was looked at. `again` says when to do so again.
    pub fn done(&self, key: &ObjectKey, outcome: Outcome) {
        self.with(|state| state.done(key, outcome, rand::random(), Instant::now()));
        self.changed.notify_one();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.with(|state| state.due.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What came of looking at an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do until it changes.
    Settled,
    /// Something is due then.
    Again(Duration),
    /// It failed.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    due: BTreeMap<ObjectKey, Instant>,
    order: BTreeSet<(Instant, ObjectKey)>,
    running: BTreeSet<ObjectKey>,
    /// What is to happen with running keys after they are done.
    after: HashMap<ObjectKey, Instant>,
    failures: HashMap<ObjectKey, u32>,
}

enum Take {
    Key(ObjectKey, bool),
    Wait(Option<Instant>),
}

impl State {
    fn add(&mut self, key: ObjectKey, at: Instant) {
        if self.running.contains(&key) {
            let planned = self.after.entry(key).or_insert(at);
            *planned = at.min(*planned);
            return;
        }
        if let Some(planned) = self.due.get(&key).copied() {
            if planned <= at {
                return;
            }
            self.order.remove(&(planned, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    fn take(&mut self, now: Instant) -> Take {
        match self.order.first().map(|(at, _)| *at) {
            Some(at) if at <= now => {
                let Some((_, key)) = self.order.pop_first() else { return Take::Wait(None) };
                self.due.remove(&key);
                self.running.insert(key.clone());
                Take::Key(key, !self.order.is_empty())
            }
            due => Take::Wait(due),
        }
    }

    fn done(&mut self, key: &ObjectKey, outcome: Outcome, random: u32, now: Instant) {
        self.running.remove(key);
        let again = match outcome {
            Outcome::Settled => None,
            Outcome::Again(delay) => Some(delay),
            Outcome::Failed => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                Some(backoff(*failures, random))
            }
        };
        if outcome != Outcome::Failed {
            self.failures.remove(key);
        }
        let planned = self.after.remove(key);
        let due = again.map(|delay| now + delay).into_iter().chain(planned).min();
        if let Some(due) = due {
            self.add(key.clone(), due);
        }
    }
}

/// Doubling, and between half and all of it, so that many objects that failed together do not come back together.
pub(crate) fn backoff(failures: u32, random: u32) -> Duration {
    let full = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_RETRY);
    full.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Action {
        Add(u8, u64),
        Take,
        Done(bool),
        Pass(u64),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0..4u8, 0..50u64).prop_map(|(k, d)| Action::Add(k, d)),
            Just(Action::Take),
            any::<bool>().prop_map(Action::Done),
            (0..100u64).prop_map(Action::Pass),
        ]
    }

    fn key(n: u8) -> ObjectKey {
        ObjectKey::new("a", n.to_string())
    }

    proptest! {
        /// No object is in two hands, and none that was added is forgotten.
        #[test]
        fn every_added_key_is_looked_at_and_by_one_worker(actions in prop::collection::vec(action(), 0..80)) {
            let (mut state, mut now, mut running) = (State::default(), Instant::now(), Vec::new());
            let mut owed = BTreeSet::new();
            for action in actions {
                match action {
                    Action::Add(k, delay) => {
                        state.add(key(k), now + Duration::from_millis(delay));
                        owed.insert(key(k));
                    }
                    Action::Take => if let Take::Key(key, _) = state.take(now) {
                        prop_assert!(!running.contains(&key));
                        owed.remove(&key);
                        running.push(key);
                    },
                    Action::Done(ok) => if let Some(key) = running.pop() {
                        state.done(&key, if ok { Outcome::Settled } else { Outcome::Failed }, 7, now);
                        if !ok { owed.insert(key); }
                    },
                    Action::Pass(ms) => now += Duration::from_millis(ms),
                }
                for key in &owed {
                    prop_assert!(state.due.contains_key(key) || state.after.contains_key(key), "{key} is forgotten");
                }
                prop_assert_eq!(state.due.len(), state.order.len());
            }
        }

        #[test]
        fn backoff_stays_within_its_bounds(failures in any::<u32>(), random in any::<u32>()) {
            let wait = backoff(failures, random);
            prop_assert!(wait >= FIRST_RETRY / 2 && wait <= LONGEST_RETRY);
        }
    }
}
