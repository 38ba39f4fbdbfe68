//! How a generation goes: nobody needs it, it ended, or an emergency's deadline is over.

use jiff::Timestamp;

use super::change::Change;
use super::peers::Standings;
use super::state::Stage;
use super::step::Verdict;
use super::view::{View, number};

/// The oldest generation that nobody is waited for leaves the bundle.
pub(super) fn remove(view: View<'_>) -> Option<Verdict> {
    view.phasing_out().find_map(|(old, signer)| {
        let change = Change::of(view);
        if old.generation.not_after <= view.now {
            let why = format!("it ended at {}", old.generation.not_after);
            return Some(Verdict::Move(change.stage(number(old), Stage::Removed, why).done()));
        }
        let peers = Standings::towards_removal(view, old, signer);
        let why = peers.summary("use no certificate of it");
        let change = change.without(peers.given_up(), number(signer));
        peers.nobody_is_waited_for().then(|| Verdict::Move(change.stage(number(old), Stage::Removed, why).done()))
    })
}

/// Somebody uses a certificate of the oldest generation that is phasing out.
pub(super) fn await_removal(view: View<'_>) -> Option<Verdict> {
    let (old, signer) = view.phasing_out().next()?;
    let waits_for = format!("peers to use no certificate of generation {}", number(old));
    Some(Verdict::Wait(Standings::towards_removal(view, old, signer).waiting(number(signer), waits_for)))
}

/// When time alone lets a generation go.
pub(super) fn change_at(view: View<'_>) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for (old, signer) in view.phasing_out() {
        times.push(old.generation.not_after);
        times.extend(Standings::towards_removal(view, old, signer).change_at());
    }
    times
}
