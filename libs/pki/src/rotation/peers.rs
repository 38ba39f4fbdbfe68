//! How each peer stands: done, given up, or waited for. For people, reasons name times, never ages: the same facts give
//! the same words whenever they are read.

use std::time::Duration;

use jiff::Timestamp;

use super::change::is_given_up;
use super::facts::Peer;
use super::state::{GenerationState, Stage, State};
use super::step::{Blocker, Waiting};
use super::view::{View, later, number, patience_ends};

/// How one peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Done,
    /// It is not waited for; the reason is to be recorded.
    GivenUp {
        reason: String,
        /// When time alone makes it done after all.
        until: Option<Timestamp>,
    },
    /// It is waited for.
    Waits {
        reason: String,
        /// When time alone makes it stand otherwise.
        until: Option<Timestamp>,
    },
}

/// How all peers stand, by name.
pub(super) struct Standings(Vec<(String, Standing)>);

impl Standings {
    /// Towards trusting a generation that is to take over.
    pub(super) fn towards_trust(view: View<'_>, candidate: &GenerationState) -> Self {
        Self::of(view, |name, peer| trusts(view, candidate, name, peer))
    }

    /// Towards dropping a generation that is phasing out, in the rotation to the signer.
    pub(super) fn towards_removal(view: View<'_>, old: &GenerationState, signer: &GenerationState) -> Self {
        Self::of(view, |name, peer| is_free_of(view, old, signer, name, peer))
    }

    fn of(view: View<'_>, judge: impl Fn(&str, &Peer) -> Standing) -> Self {
        Self(view.facts.peers.iter().map(|(name, peer)| (name.clone(), judge(name, peer))).collect())
    }

    pub(super) fn nobody_is_waited_for(&self) -> bool {
        !self.0.iter().any(|(_, standing)| matches!(standing, Standing::Waits { .. }))
    }

    /// Names and reasons of those who are given up.
    pub(super) fn given_up(&self) -> Vec<(String, String)> {
        let given_up = |(name, standing): &(String, Standing)| match standing {
            Standing::GivenUp { reason, .. } => Some((name.clone(), reason.clone())),
            Standing::Done | Standing::Waits { .. } => None,
        };
        self.0.iter().filter_map(given_up).collect()
    }

    /// When time alone makes somebody stand otherwise.
    pub(super) fn change_at(&self) -> impl Iterator<Item = Timestamp> {
        self.0.iter().filter_map(|(_, standing)| match standing {
            Standing::GivenUp { until, .. } | Standing::Waits { until, .. } => *until,
            Standing::Done => None,
        })
    }

    /// For people: "all 3 peers acknowledged the bundle, 1 given up".
    pub(super) fn summary(&self, what: &str) -> String {
        let (done, given_up) = (self.done(), self.given_up().len());
        match given_up {
            0 => format!("all {done} peers {what}"),
            _ => format!("{done} peers {what}, {given_up} given up"),
        }
    }

    pub(super) fn waiting(&self, to: u32, waits_for: String) -> Waiting {
        let mut blockers = Vec::new();
        for (peer, standing) in &self.0 {
            if let Standing::Waits { reason, .. } = standing {
                blockers.push(Blocker { peer: peer.clone(), reason: reason.clone() });
            }
        }
        let (done, blocked) = (self.done(), u32::try_from(blockers.len()).unwrap_or(u32::MAX));
        Waiting { to, waits_for, done, of: done.saturating_add(blocked), blockers }
    }

    fn done(&self) -> u32 {
        let done = self.0.iter().filter(|(_, standing)| *standing == Standing::Done).count();
        u32::try_from(done).unwrap_or(u32::MAX)
    }
}

fn trusts(view: View<'_>, candidate: &GenerationState, name: &str, peer: &Peer) -> Standing {
    if acknowledged(view, peer) {
        return Standing::Done;
    }
    // Before there is a signer, nobody can show a certificate to one who holds none: a gateway that waits for its first
    // certificate cannot acknowledge anything, and must not be waited for.
    let first_use = if view.signer().is_none() { view.unexpired(peer).map(|h| h.not_after).max() } else { None };
    if view.signer().is_none() && first_use.is_none() {
        return Standing::Done;
    }
    if let Some(reason) = no_longer_waited_for(view, number(candidate), name, peer) {
        return Standing::GivenUp { reason, until: first_use };
    }
    let patience = patience_ends(candidate);
    if patience.is_some_and(|end| end <= view.now) {
        let why = why_made(view.state, candidate);
        let reason = format!("{why}; it had not acknowledged the bundle at half of the deadline");
        return Standing::GivenUp { reason, until: first_use };
    }
    let given_up_at = peer.away_since.map(|since| later(since, view.facts.wish.overlap));
    let reason = format!("has not acknowledged the bundle{}", absence(peer, given_up_at));
    Standing::Waits { reason, until: [given_up_at, patience, first_use].into_iter().flatten().min() }
}

fn is_free_of(view: View<'_>, old: &GenerationState, signer: &GenerationState, name: &str, peer: &Peer) -> Standing {
    let Some(end) = view.holds_until(peer, number(old)) else { return Standing::Done };
    let uses = format!("uses a certificate of generation {} until {end}", number(old));
    if let Some(reason) = no_longer_waited_for(view, number(signer), name, peer) {
        return Standing::GivenUp { reason, until: Some(end) };
    }
    let dropped = view.dropped_by(number(old));
    if let Some((emergency, deadline)) = dropped.filter(|(_, deadline)| *deadline <= view.now) {
        let why = why_made(view.state, emergency);
        let reason = format!("{why}; it still {uses}, and the deadline was {deadline}");
        return Standing::GivenUp { reason, until: Some(end) };
    }
    let given_up_at = peer.away_since.map(|since| later(since, view.facts.wish.overlap));
    let reason = format!("still {uses}{}", absence(peer, given_up_at));
    let until = [given_up_at, Some(end), dropped.map(|(_, deadline)| deadline)].into_iter().flatten().min();
    Standing::Waits { reason, until }
}

/// Why the rotation to a generation goes on without a peer, whatever it has yet to do.
fn no_longer_waited_for(view: View<'_>, generation: u32, name: &str, peer: &Peer) -> Option<String> {
    let wish = &view.facts.wish;
    if let Some(reason) = wish.lost.get(name) {
        return Some(format!("declared lost: {reason}"));
    }
    if let Some(since) = peer.away_since.filter(|since| later(*since, wish.overlap) <= view.now) {
        return Some(format!("away since {since}, which is longer than {}", in_words(wish.overlap)));
    }
    // One that acknowledges after it was given up is back. One that does not is still given up.
    let given_up = is_given_up(view.state, name, generation) && !acknowledged(view, peer);
    given_up.then(|| "given up before".to_owned())
}

fn acknowledged(view: View<'_>, peer: &Peer) -> bool {
    peer.acknowledged.as_ref() == Some(&view.facts.digest)
}

fn absence(peer: &Peer, given_up_at: Option<Timestamp>) -> String {
    match (peer.away_since, given_up_at) {
        (Some(since), Some(at)) => format!("; away since {since}, given up at {at}"),
        _ => String::new(),
    }
}

/// Why a generation was made, as its history has it: the request may be gone from the object by now.
fn why_made(state: &State, generation: &GenerationState) -> String {
    let entry = |e: &&super::state::Entry| e.generation == number(generation) && e.stage == Stage::NotYetTrusted;
    state.history.iter().find(entry).map_or_else(|| "emergency".to_owned(), |entry| entry.why.clone())
}

/// A duration in its largest whole unit.
pub(super) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    let (length, name) = unit.unwrap_or((1, 's'));
    format!("{}{name}", seconds / length)
}
