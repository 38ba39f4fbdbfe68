//! One step.

use jiff::Timestamp;

use super::facts::Facts;
use super::state::{Cause, State};

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// To be stored, if it differs, before anything else is done.
    pub state: State,
    /// To be done after that. Repeating them changes nothing.
    pub actions: Vec<Action>,
    /// When to ask again though nothing has changed. Nothing: never.
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
pub fn step(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let _ = (facts, now);
    Step { state: state.clone(), actions: Vec::new(), wake_at: None, waiting: None }
}
