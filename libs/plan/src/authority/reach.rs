//! Keys that cannot be reached: in a token that is not there, or does not do what it is asked. That is no lost key, so
//! nothing may be concluded from it; but it keeps nothing from going on that does not need the key.

use std::collections::BTreeMap;

use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::{GenerationState, Request, Stage, State};

/// Which of these generations the machine cannot be asked without: one that is to sign next, or that the state does not
/// know yet. An emergency needs none that has not signed yet: it replaces it.
pub fn needed(state: &State, unreachable: impl IntoIterator<Item = u32>, request: Option<&Request>) -> Option<u32> {
    let highest = state.generations.iter().map(|g| g.generation.number).max().unwrap_or(0);
    let declared = request.is_some_and(|request| {
        request.emergency.is_some() && state.last_request.as_ref() != Some(&request.id) && state.issuing().is_some()
    });
    unreachable.into_iter().find(|number| match state.generation(*number) {
        Some(known) => is_candidate(known) && !declared,
        None => *number > highest,
    })
}

/// The keys as facts for the machine: those that serve, and of those that cannot be reached the ones that are to sign
/// next, because without a key such a generation would be set aside for good.
pub fn keys(
    state: &State,
    mut usable: BTreeMap<u32, Generation>,
    unreachable: impl IntoIterator<Item = u32>,
) -> BTreeMap<u32, Generation> {
    for number in unreachable {
        if let Some(known) = state.generation(number).filter(|known| is_candidate(known)) {
            usable.entry(number).or_insert_with(|| known.generation.clone());
        }
    }
    usable
}

fn is_candidate(generation: &GenerationState) -> bool {
    matches!(generation.stage, Stage::NotYetTrusted | Stage::Trusted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use sallyport_pki::rotation::{Action, Cause, Facts, step};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn state(stages: &[Stage]) -> State {
        let generations = (1u32..).zip(stages).map(|(number, stage)| GenerationState {
            generation: Generation {
                number,
                fingerprint: format!("{number:064x}"),
                not_before: now(),
                not_after: now() + SignedDuration::from_hours(1000),
            },
            stage: *stage,
            since: now(),
            cause: Cause::Request,
            made_for: "m".into(),
            drop_others_at: None,
        });
        State { generations: generations.collect(), sequence: 1, ..State::default() }
    }

    fn request(emergency: bool) -> Request {
        let emergency = emergency.then(|| Duration::from_secs(3600));
        Request { id: "r".into(), reason: "the token is gone".into(), emergency }
    }

    /// Asks the machine as the operator does.
    fn ask(state: &State, usable: &[u32], unreachable: &[u32], request: Request) -> sallyport_pki::rotation::Step {
        let usable = usable.iter().map(|n| (*n, state.generation(*n).unwrap().generation.clone())).collect();
        let mut facts = Facts { keys: keys(state, usable, unreachable.iter().copied()), ..Facts::default() };
        facts.wish.made_for = "m".into();
        facts.wish.request = Some(request);
        step(state, &facts, now())
    }

    #[test]
    fn a_request_goes_on_when_the_key_that_signs_cannot_be_reached() {
        let state = state(&[Stage::Removed, Stage::Issuing]);
        for emergency in [false, true] {
            let request = request(emergency);
            assert_eq!(needed(&state, [1, 2], Some(&request)), None);
            let step = ask(&state, &[], &[1, 2], request);
            let makes = step.actions.iter().any(|action| matches!(action, Action::MakeKey { number: 3, .. }));
            assert!(makes, "{step:?}");
        }
        assert_eq!(needed(&state, [2], None), None, "and what else is under way goes on, too");
    }

    #[test]
    fn a_generation_that_is_to_sign_waits_for_its_key_and_is_not_taken_for_lost() {
        let state = state(&[Stage::Issuing, Stage::Trusted]);
        assert_eq!(needed(&state, [2], None), Some(2));
        assert_eq!(needed(&state, [2], Some(&request(false))), Some(2));
        let step = ask(&state, &[1], &[2], request(true));
        assert_eq!(needed(&state, [2], Some(&request(true))), None);
        let why = &step.state.history.last().unwrap().why;
        assert!(why.starts_with("overtaken by an emergency"), "{why}");
        let taken = State { last_request: Some("r".into()), ..state };
        assert_eq!(needed(&taken, [2], Some(&request(true))), Some(2), "a request counts once");
    }

    #[test]
    fn what_the_state_does_not_know_is_needed_and_what_is_over_is_not() {
        let state = state(&[Stage::Removed, Stage::PhasingOut, Stage::Issuing]);
        assert_eq!(needed(&state, [1, 2, 3], None), None);
        assert_eq!(needed(&state, [1, 4], Some(&request(true))), Some(4));
        assert_eq!(needed(&State::default(), [1], Some(&request(true))), Some(1));
        let first = super::tests::state(&[Stage::Trusted]);
        assert_eq!(needed(&first, [1], Some(&request(true))), Some(1), "nothing else signs");
    }
}
