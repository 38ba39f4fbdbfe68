//! State, facts and time, and the questions that every check asks of them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::generation::Generation;

use super::facts::{Facts, Held, Peer, Request};
use super::state::{GenerationState, Stage, State};

/// What a check sees.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) facts: &'a Facts,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    /// The generation that signs.
    pub(super) fn signer(self) -> Option<&'a GenerationState> {
        self.state.issuing()
    }

    /// Generations that have yet to sign, the oldest first. There is more than one only after the state was lost.
    pub(super) fn candidates(self) -> impl Iterator<Item = &'a GenerationState> {
        self.state.generations.iter().filter(|g| matches!(g.stage, Stage::NotYetTrusted | Stage::Trusted))
    }

    /// The generation that takes over next.
    pub(super) fn candidate(self) -> Option<&'a GenerationState> {
        self.candidates().next()
    }

    /// Generations that are phasing out and older than the signer, the oldest first, each with the signer. A younger one
    /// (its key was lost before it signed here, but somebody holds one of its certificates) stays until a still younger
    /// one signs.
    pub(super) fn phasing_out(self) -> impl Iterator<Item = (&'a GenerationState, &'a GenerationState)> {
        let pairs = self.signer().into_iter().flat_map(|s| self.state.generations.iter().map(move |g| (g, s)));
        pairs.filter(|(g, signer)| g.stage == Stage::PhasingOut && number(g) < number(signer))
    }

    /// A rotation has begun and is not over.
    pub(super) fn under_way(self) -> bool {
        self.candidate().is_some() || self.phasing_out().next().is_some()
    }

    /// The highest number that the state knows, 0 for none.
    pub(super) fn highest(self) -> u32 {
        self.state.generations.iter().map(number).max().unwrap_or(0)
    }

    /// The oldest stored generation that the state does not know. Numbers rise, so one below the highest is no newcomer
    /// but was removed long ago.
    pub(super) fn newcomer(self) -> Option<&'a Generation> {
        let above = self.highest().checked_add(1)?;
        self.facts.keys.range(above..).next().map(|(_, generation)| generation)
    }

    /// Its own key, not one that somebody put in its place.
    pub(super) fn key_is_stored(self, generation: &GenerationState) -> bool {
        self.facts.keys.get(&number(generation)) == Some(&generation.generation)
    }

    /// The request, unless it was taken already.
    pub(super) fn new_request(self) -> Option<&'a Request> {
        self.facts.wish.request.as_ref().filter(|r| self.state.last_request.as_ref() != Some(&r.id))
    }

    /// The end of the last certificate of a generation that a peer holds and that has not expired.
    pub(super) fn holds_until(self, peer: &Peer, generation: u32) -> Option<Timestamp> {
        self.unexpired(peer).filter(|held| held.issuer == generation).map(|held| held.not_after).max()
    }

    pub(super) fn unexpired(self, peer: &Peer) -> impl Iterator<Item = &Held> {
        peer.holds.iter().filter(move |held| held.not_after > self.now)
    }

    /// Somebody holds an unexpired certificate of it.
    pub(super) fn is_held(self, generation: u32) -> bool {
        self.facts.peers.values().any(|peer| self.holds_until(peer, generation).is_some())
    }

    /// The younger generation, made in an emergency and signing by now, that first drops this one by a deadline.
    pub(super) fn dropped_by(self, generation: u32) -> Option<(&'a GenerationState, Timestamp)> {
        let younger = self.state.generations.iter().filter(|g| number(g) > generation);
        let signed = younger.filter(|g| matches!(g.stage, Stage::Issuing | Stage::PhasingOut));
        signed.filter_map(|g| Some((g, g.drop_others_at?))).min_by_key(|(_, at)| *at)
    }
}

pub(super) fn number(generation: &GenerationState) -> u32 {
    generation.generation.number
}

/// Until when an emergency's generation is patient with those who do not acknowledge it: half of its deadline, so that
/// the other half is left for renewing certificates. Once it is trusted, half of what is left then.
pub(super) fn patience_ends(candidate: &GenerationState) -> Option<Timestamp> {
    let deadline = candidate.drop_others_at?;
    candidate.since.checked_add(candidate.since.duration_until(deadline) / 2).ok()
}

/// A time and a duration later; the end of time if that is beyond it.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// A time and a duration earlier; the beginning of time if that is before it.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}
