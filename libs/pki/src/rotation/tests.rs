//! Each transition, each reason to wait, and each record, one by one. What holds for whole histories is in
//! `tests/rotation`.

mod begin;
mod emergency;
mod phase_out;
mod records;
mod take_over;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::generation::Generation;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A world of a few lines: the state, what is known, and the time.
struct Scene {
    state: State,
    facts: Facts,
    now: Timestamp,
}

impl Scene {
    /// Nothing is there.
    fn empty() -> Self {
        let wish = Wish {
            made_for: "spec".into(),
            start_before: seconds(20 * DAY),
            publish_for: seconds(DAY),
            overlap: seconds(10 * DAY),
            ..Wish::default()
        };
        Self { state: State::default(), facts: Facts { digest: "digest".into(), wish, ..Facts::default() }, now: at(0) }
    }

    /// These generations are there, numbered from 1, each with its key but the removed ones. They live for 100 days.
    fn of(stages: &[Stage]) -> Self {
        let mut scene = Self::empty();
        for (number, stage) in (1..).zip(stages) {
            let known = GenerationState {
                generation: generation(number),
                stage: *stage,
                since: at(0),
                cause: Cause::Request,
                made_for: "spec".into(),
                drop_others_at: None,
            };
            scene.state.generations.push(known);
            if *stage != Stage::Removed {
                scene.facts.keys.insert(number, generation(number));
            }
        }
        scene
    }

    fn at(mut self, seconds: i64) -> Self {
        self.now = at(seconds);
        self
    }

    fn peer(mut self, name: &str, peer: Peer) -> Self {
        self.facts.peers.insert(name.into(), peer);
        self
    }

    fn request(mut self, emergency: Option<i64>) -> Self {
        let emergency = emergency.map(seconds);
        self.facts.wish.request = Some(Request { id: "7".into(), reason: "a key leaked".into(), emergency });
        self
    }

    fn step(&self) -> Step {
        step(&self.state, &self.facts, self.now)
    }

    /// The step changes nothing; it waits like this: what for, done, of, and each blocker.
    #[track_caller]
    fn waits(&self, waits_for: &str, done: u32, of: u32, blockers: &[(&str, &str)]) {
        let step = self.step();
        assert_eq!(step.state, self.state);
        let waiting = step.waiting.unwrap();
        assert_eq!(waiting.waits_for, waits_for);
        assert_eq!((waiting.done, waiting.of), (done, of));
        let found: Vec<_> = waiting.blockers.iter().map(|b| (b.peer.as_str(), b.reason.as_str())).collect();
        assert_eq!(found, blockers);
    }

    /// The step brings these stages, and this is the last line of the history.
    #[track_caller]
    fn moves_to(&self, stages: &[Stage], why: &str) -> Step {
        let step = self.step();
        assert_eq!(step.state.generations.iter().map(|g| g.stage).collect::<Vec<_>>(), stages);
        assert_eq!(step.state.history.last().unwrap().why, why);
        assert_eq!((&step.waiting, step.wake_at), (&None, None));
        step
    }
}

fn generation(number: u32) -> Generation {
    Generation { number, fingerprint: format!("f{number}"), not_before: at(0), not_after: at(100 * DAY) }
}

/// Seconds after the beginning of 2026.
fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

/// Connected, has acknowledged, and uses a certificate of this generation for 30 days.
fn holder(issuer: u32) -> Peer {
    let holds = vec![Held { issuer, not_after: at(30 * DAY) }];
    Peer { acknowledged: Some("digest".into()), away_since: None, holds }
}

/// The same, but has not acknowledged.
fn unaware(issuer: u32) -> Peer {
    Peer { acknowledged: Some("older".into()), ..holder(issuer) }
}

fn away(peer: Peer, since: i64) -> Peer {
    Peer { away_since: Some(at(since)), ..peer }
}

fn lost(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), "burnt down".to_owned())])
}
