//! How a generation comes to sign: everybody trusts it, then it does, and the one before phases out.

use jiff::Timestamp;

use super::change::Change;
use super::peers::Standings;
use super::state::{Cause, GenerationState, Stage};
use super::step::Verdict;
use super::view::{View, later, number};

/// A generation that everybody trusts signs, and in the same write the one before stops. Peers are asked once more: one
/// that appeared since the last write may not have the bundle yet.
pub(super) fn sign(view: View<'_>) -> Option<Verdict> {
    let next = view.candidate().filter(|g| g.stage == Stage::Trusted)?;
    let peers = Standings::towards_trust(view, next);
    if !peers.nobody_is_waited_for() {
        return None;
    }
    let mut change = Change::of(view).without(peers.given_up(), number(next));
    if let Some(before) = view.signer() {
        let why = format!("generation {} signs", number(next));
        change = change.stage(number(before), Stage::PhasingOut, why);
    }
    Some(Verdict::Move(change.stage(number(next), Stage::Issuing, "it is trusted".to_owned()).done()))
}

/// Every live peer acknowledged the bundle, and it was published for long enough.
pub(super) fn trust(view: View<'_>) -> Option<Verdict> {
    let next = view.candidate().filter(|g| g.stage == Stage::NotYetTrusted)?;
    if published_until(view, next).is_some_and(|end| view.now < end) {
        return None;
    }
    let peers = Standings::towards_trust(view, next);
    if !peers.nobody_is_waited_for() {
        return None;
    }
    let change = Change::of(view).without(peers.given_up(), number(next));
    let why = peers.summary("acknowledged the bundle");
    Some(Verdict::Move(change.stage(number(next), Stage::Trusted, why).done()))
}

/// Somebody has not acknowledged the bundle, or it is too new.
pub(super) fn await_trust(view: View<'_>) -> Option<Verdict> {
    let next = view.candidate()?;
    let peers = Standings::towards_trust(view, next);
    let end = published_until(view, next).filter(|end| view.now < *end);
    let waits_for = match (peers.nobody_is_waited_for(), end) {
        (true, Some(end)) => format!("generation {} to have been published until {end}", number(next)),
        _ => format!("peers to acknowledge the bundle with generation {}", number(next)),
    };
    Some(Verdict::Wait(peers.waiting(number(next), waits_for)))
}

/// When time alone lets the next generation go on or ends it.
pub(super) fn change_at(view: View<'_>) -> Vec<Timestamp> {
    let Some(next) = view.candidate() else { return Vec::new() };
    let mut times: Vec<_> = Standings::towards_trust(view, next).change_at().collect();
    times.extend(published_until(view, next));
    times.extend(view.candidates().map(|g| g.generation.not_after));
    times
}

/// Until when a generation is published before it may sign, for those who cannot acknowledge. Nothing: it need not be,
/// because nothing signs yet, because of an emergency, or because that is over.
fn published_until(view: View<'_>, next: &GenerationState) -> Option<Timestamp> {
    let patient = view.signer().is_some() && next.cause != Cause::Emergency && next.stage == Stage::NotYetTrusted;
    patient.then(|| later(next.since, view.facts.wish.publish_for))
}
