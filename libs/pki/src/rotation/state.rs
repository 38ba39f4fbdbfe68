//! What is stored: every generation and where it stands.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::generation::Generation;

/// Where a generation stands. The order is the order of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It is in every published bundle; not every peer has acknowledged that yet.
    NotYetTrusted,
    /// Every live peer trusts it; it does not sign yet.
    Trusted,
    /// It signs. Exactly one does, once the first came so far.
    Issuing,
    /// It is trusted and signs nothing more.
    PhasingOut,
    /// It is in no bundle, and its key is destroyed.
    Removed,
}

/// Why a generation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody said that a key leaked.
    Emergency,
    /// There was none.
    First,
    /// Somebody asked.
    Request,
    /// The one before comes to its end.
    Schedule,
    /// Subject, algorithm or custody changed.
    Spec,
}

/// One generation and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationState {
    /// Number, fingerprint and validity.
    pub generation: Generation,
    /// Where it stands.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Why it was made.
    pub cause: Cause,
    /// Digest of the subject, algorithm and custody that it was made for.
    pub made_for: String,
    /// Emergency: all generations before this one are dropped at this time, whoever still needs them.
    pub drop_others_at: Option<Timestamp>,
}

/// A peer that a rotation went on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its name.
    pub peer: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// By which rotation: the generation that takes over.
    pub generation: u32,
}

/// One transition, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Which generation.
    pub generation: u32,
    /// Where it came to.
    pub stage: Stage,
    /// What was waited for and is done.
    pub why: String,
}

/// All of it. The default is an authority that has no generation yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// By number, rising; the removed ones of the last ten too, so that a number is never used again.
    pub generations: Vec<GenerationState>,
    /// Counts the bundles: it rises whenever [`State::bundle`] changes.
    pub sequence: u64,
    /// The last request that was taken.
    pub last_request: Option<String>,
    /// The newest last, at most 100.
    pub given_up: Vec<GivenUp>,
    /// The newest last, at most 50.
    pub history: Vec<Entry>,
}

impl State {
    /// The generation that signs.
    pub fn issuing(&self) -> Option<&GenerationState> {
        self.generations.iter().find(|g| g.stage == Stage::Issuing)
    }

    /// The generations that everybody is to trust, by number.
    pub fn bundle(&self) -> BTreeSet<u32> {
        let trusted = self.generations.iter().filter(|g| g.stage != Stage::Removed);
        trusted.map(|g| g.generation.number).collect()
    }

    /// A generation by number.
    pub fn generation(&self, number: u32) -> Option<&GenerationState> {
        self.generations.iter().find(|g| g.generation.number == number)
    }
}
