//! Which replica works. Modelled on client-go's leader election: a lease is taken over only after this process itself
//! has seen it unchanged for a whole lease duration, every write is guarded by the resource version, and a leader that
//! cannot renew within its deadline ends, before anybody else may begin.
//!
//! [`decide`] is pure; [`driver`] talks to the API server.

mod driver;

use std::time::Duration;

pub use driver::{Elector, Fence, Leading, LeaseError};

/// A lease that has not changed for this long may be taken over. An operator may be away this long without harm: the
/// data plane does not wait for it (I9), but a revocation does.
pub const DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed for this long ends. Less than [`DURATION`]: nobody begins before it has ended.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How often the lease is looked at, or renewed.
pub const PERIOD: Duration = Duration::from_secs(2);

/// What was seen of the lease, and when by this process's own clock. Never by the times that the lease names: they come
/// from another machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Its resource version.
    pub version: String,
    /// How long it holds after its last renewal, as its holder says.
    pub duration: Duration,
    /// When this version was first seen.
    pub at: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the lease.
    Create,
    /// Write one's own name over exactly the version that was seen.
    Take,
    /// Write the lease anew over exactly the version that was seen.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// Decides. `seen` is nothing when there is no lease.
pub fn decide(me: &str, seen: Option<&Seen>, now: Duration) -> Step {
    match seen {
        None => Step::Create,
        Some(seen) if seen.holder == me => Step::Renew,
        Some(seen) if seen.holder.is_empty() => Step::Take,
        Some(seen) if now >= seen.at + seen.duration => Step::Take,
        Some(_) => Step::Wait,
    }
}

/// What is seen now, given what was seen before: a version that is known keeps the time at which it was first seen.
pub fn look(before: Option<Seen>, holder: &str, version: &str, duration: Duration, now: Duration) -> Seen {
    match before {
        Some(before) if before.version == version => before,
        _ => Seen { holder: holder.to_owned(), version: version.to_owned(), duration, at: now },
    }
}

/// Whether a leader may go on: it has written its name less than a deadline ago.
pub fn may_go_on(renewed_at: Duration, now: Duration) -> bool {
    now < renewed_at + DEADLINE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A lease as the API server keeps it, and processes that look at it, write it, are cut off from it and have clocks
    /// that begin anywhere.
    struct Cluster {
        lease: Option<(String, u64)>,
        processes: Vec<Process>,
        now: Duration,
    }

    struct Process {
        name: String,
        began: Duration,
        seen: Option<Seen>,
        renewed_at: Option<Duration>,
    }

    #[derive(Clone, Debug)]
    enum Action {
        /// A process reads the lease.
        Look(usize),
        /// It does what it decides, on what it last read: perhaps long ago.
        Act(usize),
        /// Its write reaches the API server but the answer is lost.
        ActUnanswered(usize),
        /// It ends in order.
        Release(usize),
        /// Time goes by.
        Pass(u64),
    }

    impl Cluster {
        fn new() -> Self {
            let process = |n: u64| Process {
                name: n.to_string(),
                began: Duration::from_secs(n * 1000),
                seen: None,
                renewed_at: None,
            };
            Self { lease: None, processes: (0..3).map(process).collect(), now: Duration::from_secs(10_000) }
        }

        fn look(&mut self, n: usize) {
            let clock = self.clock(n);
            let process = &mut self.processes[n];
            process.seen = self
                .lease
                .as_ref()
                .map(|(holder, version)| look(process.seen.take(), holder, &version.to_string(), DURATION, clock));
        }

        fn act(&mut self, n: usize, answered: bool) {
            let clock = self.clock(n);
            let process = &self.processes[n];
            let step = decide(&process.name, process.seen.as_ref(), clock);
            if step == Step::Wait || (step == Step::Renew && !self.leads(n) && process.renewed_at.is_some()) {
                return;
            }
            let expected = process.seen.as_ref().map(|seen| seen.version.clone());
            let actual = self.lease.as_ref().map(|(_, version)| version.to_string());
            if expected != actual {
                return; // 409
            }
            let version = self.lease.as_ref().map_or(0, |(_, version)| *version) + 1;
            self.lease = Some((self.processes[n].name.clone(), version));
            if answered {
                self.look(n);
                self.processes[n].renewed_at = Some(clock);
            }
        }

        fn release(&mut self, n: usize) {
            if !self.leads(n) {
                return;
            }
            self.processes[n].renewed_at = None;
            let version = self.processes[n].seen.as_ref().map(|seen| seen.version.clone());
            if let Some((holder, current)) = &mut self.lease
                && version == Some(current.to_string())
            {
                holder.clear();
                *current += 1;
            }
        }

        fn clock(&self, n: usize) -> Duration {
            self.now - self.processes[n].began
        }

        fn leads(&self, n: usize) -> bool {
            self.processes[n].renewed_at.is_some_and(|at| may_go_on(at, self.clock(n)))
        }
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            3 => (0..3usize).prop_map(Action::Look),
            4 => (0..3usize).prop_map(Action::Act),
            1 => (0..3usize).prop_map(Action::ActUnanswered),
            1 => (0..3usize).prop_map(Action::Release),
            2 => (1..9u64).prop_map(Action::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// At no time do two processes believe that they lead, whatever the order of reads, writes, losses and pauses.
        #[test]
        fn never_two_leaders(actions in prop::collection::vec(action(), 0..60)) {
            let mut cluster = Cluster::new();
            for action in actions {
                match action {
                    Action::Look(n) => cluster.look(n),
                    Action::Act(n) => cluster.act(n, true),
                    Action::ActUnanswered(n) => cluster.act(n, false),
                    Action::Release(n) => cluster.release(n),
                    Action::Pass(seconds) => cluster.now += Duration::from_secs(seconds),
                }
                let leaders = (0..3).filter(|n| cluster.leads(*n)).count();
                prop_assert!(leaders <= 1);
            }
        }
    }

    #[test]
    fn a_dead_leader_is_followed_and_a_released_lease_is_taken_at_once() {
        let seen = look(None, "a", "1", DURATION, Duration::from_secs(100));
        assert_eq!(decide("b", Some(&seen), Duration::from_secs(114)), Step::Wait);
        assert_eq!(decide("b", Some(&seen), Duration::from_secs(115)), Step::Take);
        let renewed = look(Some(seen), "a", "2", DURATION, Duration::from_secs(114));
        assert_eq!(decide("b", Some(&renewed), Duration::from_secs(115)), Step::Wait);
        let released = look(Some(renewed), "", "3", DURATION, Duration::from_secs(116));
        assert_eq!(decide("b", Some(&released), Duration::from_secs(116)), Step::Take);
        assert_eq!(decide("b", None, Duration::ZERO), Step::Create);
    }

    #[test]
    fn a_leader_ends_before_anybody_may_follow() {
        assert!(DEADLINE + PERIOD < DURATION);
    }
}
