//! The state after a transition: stages, sequence, and the bounded records for people.

use jiff::Timestamp;

use super::facts::Facts;
use super::state::{Entry, GenerationState, GivenUp, Stage, State};
use super::view::{View, number};

/// Entries of [`State::history`]: a rotation has five, so ten rotations, which is years, in about 8 KiB of status.
const HISTORY: usize = 50;
/// Entries of [`State::given_up`]: in about 20 KiB of status; the log and the audit have them all.
const GIVEN_UP: usize = 100;
/// Removed generations are kept while they are among so many of the highest numbers.
const REMEMBERED: u32 = 10;

/// A state that is being changed by one transition.
pub(super) struct Change<'a> {
    facts: &'a Facts,
    now: Timestamp,
    before: &'a State,
    after: State,
}

impl<'a> Change<'a> {
    pub(super) fn of(view: View<'a>) -> Self {
        Self { facts: view.facts, now: view.now, before: view.state, after: view.state.clone() }
    }

    /// A generation that the state did not know. Its number must be above all others.
    pub(super) fn add(mut self, generation: GenerationState, why: String) -> Self {
        let (added, stage) = (number(&generation), generation.stage);
        self.after.generations.push(generation);
        self.enter(added, stage, why);
        self
    }

    /// The stage of a generation.
    pub(super) fn stage(mut self, generation: u32, stage: Stage, why: String) -> Self {
        for known in self.after.generations.iter_mut().filter(|g| number(g) == generation) {
            known.stage = stage;
            known.since = self.now;
        }
        self.enter(generation, stage, why);
        self
    }

    /// A request was taken.
    pub(super) fn took(mut self, request: &str) -> Self {
        self.after.last_request = Some(request.to_owned());
        self
    }

    /// The rotation to this generation goes on without these peers (name and reason). Nobody is recorded twice for it.
    pub(super) fn without(mut self, peers: Vec<(String, String)>, generation: u32) -> Self {
        for (peer, reason) in peers {
            if !is_given_up(&self.after, &peer, generation) {
                self.after.given_up.push(GivenUp { peer, reason, at: self.now, generation });
            }
        }
        self
    }

    fn enter(&mut self, generation: u32, stage: Stage, why: String) {
        self.after.history.push(Entry { at: self.now, generation, stage, why });
    }

    /// The state to be stored.
    pub(super) fn done(self) -> State {
        let Self { facts, before, mut after, .. } = self;
        if after.bundle() != before.bundle() {
            after.sequence = after.sequence.saturating_add(1);
        }
        keep_newest(&mut after.history, HISTORY);
        keep_newest(&mut after.given_up, GIVEN_UP);
        let forgotten = after.generations.iter().map(number).max().unwrap_or(0).saturating_sub(REMEMBERED);
        // A removed generation whose key is still there is not forgotten: nobody else would destroy the key.
        after
            .generations
            .retain(|g| g.stage != Stage::Removed || number(g) > forgotten || facts.keys.contains_key(&number(g)));
        after
    }
}

/// A rotation went on without this peer.
pub(super) fn is_given_up(state: &State, peer: &str, generation: u32) -> bool {
    state.given_up.iter().any(|g| g.generation == generation && g.peer == peer)
}

fn keep_newest<T>(records: &mut Vec<T>, at_most: usize) {
    let too_many = records.len().saturating_sub(at_most);
    records.drain(..too_many);
}
