//! How a rotation begins: what makes one due, the key that is made for it, and the generation that is named.

use jiff::Timestamp;

use super::change::Change;
use super::facts::Request;
use super::state::{Cause, GenerationState, Stage};
use super::step::{Verdict, Waiting};
use super::view::{View, earlier, later, number};

/// Why a new generation is due.
struct Due<'a> {
    cause: Cause,
    why: String,
    request: Option<&'a Request>,
}

/// A key is stored that the state does not know: it was made for a rotation, or the state was lost. It is named before
/// anything else happens, so that nothing goes on without a generation whose certificates may be in use.
pub(super) fn name_stored_key(view: View<'_>) -> Option<Verdict> {
    let newcomer = view.newcomer()?;
    let made = view.facts.made.get(&newcomer.number);
    let due = why_named(view, newcomer.number);
    let deadline = due.request.and_then(|request| request.emergency);
    let generation = GenerationState {
        generation: newcomer.clone(),
        stage: Stage::NotYetTrusted,
        since: view.now,
        cause: due.cause,
        made_for: made.map_or(&view.facts.wish.made_for, |made| &made.made_for).clone(),
        drop_others_at: deadline.map(|deadline| later(view.now, deadline)),
    };
    let change = Change::of(view).add(generation, due.why);
    Some(Verdict::Move(match due.request {
        Some(request) => change.took(&request.id).done(),
        None => change.done(),
    }))
}

/// Generations that can never sign go: their key is gone, or they ended.
pub(super) fn set_aside_unusable(view: View<'_>) -> Option<Verdict> {
    let problem = |g: &&GenerationState| !view.key_is_stored(g) || g.generation.not_after <= view.now;
    let unusable = view.candidates().find(problem)?;
    let why = match view.key_is_stored(unusable) {
        true => format!("it ended at {} and had not signed yet", unusable.generation.not_after),
        false => "its key is gone, and it had not signed yet".to_owned(),
    };
    Some(set_aside(view, unusable, why))
}

/// In an emergency, whatever was to take over is no better than what leaked: it lay in the same place.
pub(super) fn overtake(view: View<'_>) -> Option<Verdict> {
    view.signer()?;
    let declared = view.new_request().filter(|request| request.emergency.is_some());
    let taken = |than: u32| {
        view.candidates()
            .find(|g| g.cause == Cause::Emergency && number(g) > than)
            .map(|g| format!("generation {}", number(g)))
    };
    view.candidates().find_map(|candidate| {
        let by = match declared {
            Some(request) => format!("an emergency: {}", request.reason),
            None => taken(number(candidate))?,
        };
        Some(set_aside(view, candidate, format!("overtaken by {by}")))
    })
}

/// A generation that will not sign. Usually none of its certificates exists; after a restore one may.
fn set_aside(view: View<'_>, generation: &GenerationState, why: String) -> Verdict {
    let stage = if view.is_held(number(generation)) { Stage::PhasingOut } else { Stage::Removed };
    Verdict::Move(Change::of(view).stage(number(generation), stage, why).done())
}

/// A generation is due and no key is stored for it.
pub(super) fn make_key(view: View<'_>) -> Option<Verdict> {
    if view.candidate().is_some() {
        return None;
    }
    let due = match view.signer() {
        None => first(),
        Some(_) => due(view)?,
    };
    // Stored keys above the highest number are in the state by now.
    let number = view.highest().checked_add(1)?;
    let waits_for = format!("the key of generation {number} to be made: {}", due.why);
    let waiting = Waiting { to: number, waits_for, ..Waiting::default() };
    Some(Verdict::Make { number, cause: due.cause, waiting })
}

/// When the signer's age makes a rotation due. Nothing: it does not, because one is under way, or because the signer's
/// key is missing, which only a person can judge.
pub(super) fn schedule(view: View<'_>) -> Option<Timestamp> {
    let signer = view.signer().filter(|signer| view.key_is_stored(signer) && !view.under_way())?;
    let generation = &signer.generation;
    let life = generation.not_before.duration_until(generation.not_after);
    let half = generation.not_before.checked_add(life / 2).unwrap_or(generation.not_after);
    Some(earlier(generation.not_after, view.facts.wish.start_before).max(half))
}

fn why_named<'a>(view: View<'a>, newcomer: u32) -> Due<'a> {
    let Some(signer) = view.signer() else { return first() };
    let made = view.facts.made.get(&newcomer);
    // A key that was made before an emergency was declared may have leaked too, so it is not the emergency's.
    let is_its_own = |due: &Due<'_>| {
        due.cause != Cause::Emergency || made.is_none_or(|made| made.request.as_ref() == due.request.map(|r| &r.id))
    };
    let emergency_or_other = due(view).filter(is_its_own).or_else(|| asked_by_itself(view));
    emergency_or_other.unwrap_or_else(|| {
        let differs = made.is_some_and(|made| made.made_for != signer.made_for);
        let cause = if differs { Cause::Spec } else { Cause::Request };
        Due {
            cause,
            why: "its key was stored, for a rotation that nothing asks for any more".to_owned(),
            request: None,
        }
    })
}

fn first() -> Due<'static> {
    Due { cause: Cause::First, why: "no generation signs yet".to_owned(), request: None }
}

/// In order of urgency.
fn due(view: View<'_>) -> Option<Due<'_>> {
    emergency(view).or_else(|| asked_by_a_person(view)).or_else(|| asked_by_itself(view))
}

fn emergency(view: View<'_>) -> Option<Due<'_>> {
    let request = view.new_request().filter(|request| request.emergency.is_some())?;
    Some(Due { cause: Cause::Emergency, why: format!("emergency: {}", request.reason), request: Some(request) })
}

fn asked_by_a_person(view: View<'_>) -> Option<Due<'_>> {
    let request = view.new_request().filter(|request| request.emergency.is_none() && !view.under_way())?;
    Some(Due { cause: Cause::Request, why: format!("requested: {}", request.reason), request: Some(request) })
}

fn asked_by_itself(view: View<'_>) -> Option<Due<'_>> {
    let signer = view.signer().filter(|signer| view.key_is_stored(signer) && !view.under_way())?;
    if signer.made_for != view.facts.wish.made_for {
        let why = "subject, algorithm or custody changed".to_owned();
        return Some(Due { cause: Cause::Spec, why, request: None });
    }
    schedule(view).filter(|start| *start <= view.now)?;
    let why = format!("generation {} ends at {}", number(signer), signer.generation.not_after);
    Some(Due { cause: Cause::Schedule, why, request: None })
}
