//! One step.

use jiff::Timestamp;

use super::facts::Facts;
use super::state::{Cause, Stage, State};
use super::view::{View, number};
use super::{begin, phase_out, take_over, wake};

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be stored, if it differs, before anything else is done.
    pub state: State,
    /// To be done after that. Repeating them changes nothing.
    pub actions: Vec<Action>,
    /// When to ask again though nothing has changed: before that, time alone changes nothing. Nothing: never.
    pub wake_at: Option<Timestamp>,
    /// What a rotation that is under way waits for.
    pub waiting: Option<Waiting>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Destroys the key of a removed generation.
    DestroyKey {
        /// Which.
        number: u32,
    },
    /// Makes a key and its certificate, unless they are stored already. They mean nothing until the state names them.
    MakeKey {
        /// Which.
        number: u32,
        /// Why, for logs and events.
        cause: Cause,
    },
}

/// What a rotation that is under way waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The generation that takes over.
    pub to: u32,
    /// For people.
    pub waits_for: String,
    /// Peers that are done.
    pub done: u32,
    /// Of how many.
    pub of: u32,
    /// Everybody who is not, by name.
    pub blockers: Vec<Blocker>,
}

/// Somebody who is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Name of the peer.
    pub peer: String,
    /// What is missing.
    pub reason: String,
}

/// One step; at most one transition. See the module.
///
/// A step that changes the state says neither what is waited for nor when to wake: store it, and ask again at once.
pub fn step(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let view = View { state, facts, now };
    let verdict = CHECKS.iter().find_map(|check| check(view));
    let mut step = Step { state: state.clone(), actions: Vec::new(), wake_at: None, waiting: None };
    match verdict {
        Some(Verdict::Move(next)) => step.state = next,
        Some(Verdict::Make { number, cause, waiting }) => {
            step.actions.push(Action::MakeKey { number, cause });
            step.waiting = Some(waiting);
        }
        Some(Verdict::Wait(waiting)) => step.waiting = Some(waiting),
        None => {}
    }
    if step.state == *state {
        step.wake_at = wake::wake_at(view);
    }
    step.actions.extend(keys_to_destroy(&step.state, facts));
    step
}

/// What a check decides.
pub(super) enum Verdict {
    /// One transition: the state after it.
    Move(State),
    /// A key is needed first.
    Make { number: u32, cause: Cause, waiting: Waiting },
    /// Nothing can be done now.
    Wait(Waiting),
}

type Check = fn(View<'_>) -> Option<Verdict>;

/// The first that decides is it. First what is known becomes stated; then what can go on goes on, the end of a rotation
/// before the begin of the next; only then is anybody waited for.
const CHECKS: [Check; 9] = [
    begin::name_stored_key,
    begin::set_aside_unusable,
    begin::overtake,
    take_over::sign,
    phase_out::remove,
    take_over::trust,
    begin::make_key,
    take_over::await_trust,
    phase_out::await_removal,
];

/// Keys of removed generations, those that the state has forgotten too: a number below the highest that the state does
/// not know was removed long ago, and an operator that was late has made its key again.
fn keys_to_destroy(state: &State, facts: &Facts) -> Vec<Action> {
    let highest = state.generations.iter().map(number).max().unwrap_or(0);
    let gone = |number: u32| match state.generation(number) {
        Some(known) => known.stage == Stage::Removed,
        None => number < highest,
    };
    let numbers = facts.keys.keys().copied().filter(|number| gone(*number));
    numbers.map(|number| Action::DestroyKey { number }).collect()
}
