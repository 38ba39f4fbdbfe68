//! The state of the rotation machine, as `CertificateAuthority.status` stores it. What cannot be read is an error and
//! never a fresh start: a fresh start would make another root.

use jiff::Timestamp;
use sallyport_api::certificate_authority::{
    CaGeneration, CertificateAuthorityStatus, GenerationCause, GenerationState as ApiState, GivenUp as ApiGivenUp,
    HistoryEntry,
};
use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::{Cause, Entry, GenerationState, GivenUp, Stage, State};

/// The stored state. A generation from before `madeFor` was recorded counts as made for what the spec says now
/// (`made_for`), so that an upgrade begins no rotation.
///
/// # Errors
/// [`Unreadable`] names the field.
pub fn read(status: &CertificateAuthorityStatus, made_for: &str) -> Result<State, Unreadable> {
    let mut generations: Vec<_> =
        status.generations.iter().map(|g| generation(g, made_for)).collect::<Result<_, _>>()?;
    generations.sort_by_key(|g| g.generation.number);
    if let Some(twice) = generations.windows(2).find(|two| two[0].generation.number == two[1].generation.number) {
        return Err(Unreadable {
            field: format!("generations[{}]", twice[0].generation.number),
            why: "is there twice",
        });
    }
    if generations.iter().filter(|g| g.stage == Stage::Issuing).count() > 1 {
        return Err(Unreadable { field: "generations".to_owned(), why: "more than one signs" });
    }
    Ok(State {
        generations,
        sequence: status.trust_sequence,
        last_request: status.last_request.clone(),
        given_up: status.given_up.iter().map(given_up).collect::<Result<_, _>>()?,
        history: status.history.iter().map(entry).collect::<Result<_, _>>()?,
    })
}

/// Writes a state over what a status says. Nothing else of the status changes but what follows from the state alone.
pub fn write(state: &State, status: &mut CertificateAuthorityStatus) {
    let holders = |number| status.generations.iter().find(|g| g.number == number).map_or(0, |g| g.holders);
    status.generations = state.generations.iter().map(|g| stored(g, holders(g.generation.number))).collect();
    status.issuing = state.issuing().map(|g| g.generation.number);
    status.trust_sequence = state.sequence;
    status.last_request.clone_from(&state.last_request);
    status.given_up = state.given_up.iter().map(stored_given_up).collect();
    status.history = state.history.iter().map(stored_entry).collect();
}

/// The number of the next bundle. Seconds since 1970 rather than a count, so that an authority whose status was restored
/// from an older backup does not count below what peers have seen: they would refuse all it says.
pub fn sequence(before: &State, after: &mut State, now: Timestamp) {
    if after.sequence > before.sequence {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        after.sequence = after.sequence.max(seconds);
    }
}

fn generation(stored: &CaGeneration, made_for: &str) -> Result<GenerationState, Unreadable> {
    let field = |name: &str| format!("generations[{}].{name}", stored.number);
    let is_fingerprint = stored.fingerprint.len() == 64 && stored.fingerprint.bytes().all(|b| b.is_ascii_hexdigit());
    if stored.number == 0 || !is_fingerprint {
        return Err(Unreadable { field: field("fingerprint"), why: "is no SHA-256 in hexadecimal of a generation" });
    }
    let not_before = time(&stored.not_before, || field("notBefore"))?;
    let since = if stored.since.is_empty() { not_before } else { time(&stored.since, || field("since"))? };
    Ok(GenerationState {
        generation: Generation {
            number: stored.number,
            fingerprint: stored.fingerprint.clone(),
            not_before,
            not_after: time(&stored.not_after, || field("notAfter"))?,
        },
        stage: stage(stored.state),
        since,
        cause: cause(stored.cause),
        made_for: if stored.made_for.is_empty() { made_for } else { &stored.made_for }.to_owned(),
        drop_others_at: stored
            .drop_others_at
            .as_deref()
            .map(|text| time(text, || field("dropOthersAt")))
            .transpose()?,
    })
}

fn stored(state: &GenerationState, holders: u32) -> CaGeneration {
    CaGeneration {
        number: state.generation.number,
        fingerprint: state.generation.fingerprint.clone(),
        not_before: state.generation.not_before.to_string(),
        not_after: state.generation.not_after.to_string(),
        state: stored_stage(state.stage),
        since: state.since.to_string(),
        cause: stored_cause(state.cause),
        made_for: state.made_for.clone(),
        drop_others_at: state.drop_others_at.map(|at| at.to_string()),
        holders,
    }
}

fn given_up(stored: &ApiGivenUp) -> Result<GivenUp, Unreadable> {
    Ok(GivenUp {
        peer: stored.name.clone(),
        reason: stored.reason.clone(),
        at: time(&stored.at, || format!("givenUp[{}].at", stored.name))?,
        generation: stored.generation,
    })
}

fn stored_given_up(given_up: &GivenUp) -> ApiGivenUp {
    ApiGivenUp {
        name: given_up.peer.clone(),
        reason: given_up.reason.clone(),
        at: given_up.at.to_string(),
        generation: given_up.generation,
    }
}

fn entry(stored: &HistoryEntry) -> Result<Entry, Unreadable> {
    Ok(Entry {
        at: time(&stored.at, || "history[].at".to_owned())?,
        generation: stored.generation,
        stage: stage(stored.state),
        why: stored.why.clone(),
    })
}

fn stored_entry(entry: &Entry) -> HistoryEntry {
    HistoryEntry {
        at: entry.at.to_string(),
        generation: entry.generation,
        state: stored_stage(entry.stage),
        why: entry.why.clone(),
    }
}

fn time(text: &str, field: impl FnOnce() -> String) -> Result<Timestamp, Unreadable> {
    text.parse().map_err(|_| Unreadable { field: field(), why: "is no time (RFC 3339)" })
}

fn stage(state: ApiState) -> Stage {
    match state {
        ApiState::NotYetTrusted => Stage::NotYetTrusted,
        ApiState::Trusted => Stage::Trusted,
        ApiState::Issuing => Stage::Issuing,
        ApiState::PhasingOut => Stage::PhasingOut,
        ApiState::Removed => Stage::Removed,
    }
}

fn stored_stage(stage: Stage) -> ApiState {
    match stage {
        Stage::NotYetTrusted => ApiState::NotYetTrusted,
        Stage::Trusted => ApiState::Trusted,
        Stage::Issuing => ApiState::Issuing,
        Stage::PhasingOut => ApiState::PhasingOut,
        Stage::Removed => ApiState::Removed,
    }
}

fn cause(cause: GenerationCause) -> Cause {
    match cause {
        GenerationCause::Emergency => Cause::Emergency,
        GenerationCause::First => Cause::First,
        GenerationCause::Request => Cause::Request,
        GenerationCause::Schedule => Cause::Schedule,
        GenerationCause::Spec => Cause::Spec,
    }
}

fn stored_cause(cause: Cause) -> GenerationCause {
    match cause {
        Cause::Emergency => GenerationCause::Emergency,
        Cause::First => GenerationCause::First,
        Cause::Request => GenerationCause::Request,
        Cause::Schedule => GenerationCause::Schedule,
        Cause::Spec => GenerationCause::Spec,
    }
}

/// A status that says nothing the machine could go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("status.{field} {why}")]
pub struct Unreadable {
    field: String,
    why: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> impl Strategy<Value = Timestamp> {
        (0i64..4_000_000_000, 0i32..1_000_000_000).prop_map(|(s, n)| Timestamp::new(s, n).unwrap())
    }

    fn a_stage() -> impl Strategy<Value = Stage> {
        prop_oneof![Just(Stage::NotYetTrusted), Just(Stage::Trusted), Just(Stage::PhasingOut), Just(Stage::Removed)]
    }

    fn a_cause() -> impl Strategy<Value = Cause> {
        prop_oneof![
            Just(Cause::Emergency),
            Just(Cause::First),
            Just(Cause::Request),
            Just(Cause::Schedule),
            Just(Cause::Spec)
        ]
    }

    prop_compose! {
        fn a_generation()(
            stage in a_stage(), cause in a_cause(), times in (at(), at(), at()), drop in prop::option::of(at()),
            made_for in "[a-f0-9]{1,8}", fingerprint in "[a-f0-9]{64}",
        ) -> GenerationState {
            let generation = Generation { number: 0, fingerprint, not_before: times.0, not_after: times.1 };
            GenerationState { generation, stage, since: times.2, cause, made_for, drop_others_at: drop }
        }
    }

    prop_compose! {
        fn a_state()(
            generations in prop::collection::vec((a_generation(), 1u32..5), 0..6), issuing in any::<prop::sample::Index>(),
            sequence in any::<u64>(), last_request in prop::option::of("[a-z]{1,9}"),
            given_up in prop::collection::vec(("[a-z]{1,5}/[a-z]{1,5}", ".{0,20}", at(), 1u32..9), 0..4),
            history in prop::collection::vec((at(), 1u32..9, a_stage(), ".{0,20}"), 0..4),
        ) -> State {
            let mut number = 0;
            let mut generations: Vec<_> = generations.into_iter().map(|(mut state, step)| {
                number += step;
                state.generation.number = number;
                state
            }).collect();
            if !generations.is_empty() {
                let at = issuing.index(generations.len());
                generations[at].stage = Stage::Issuing;
            }
            State {
                generations, sequence, last_request,
                given_up: given_up.into_iter().map(|(peer, reason, at, generation)| GivenUp { peer, reason, at, generation }).collect(),
                history: history.into_iter().map(|(at, generation, stage, why)| Entry { at, generation, stage, why }).collect(),
            }
        }
    }

    proptest! {
        /// What is stored is what was meant, also through the API server's JSON.
        #[test]
        fn a_state_survives_the_status(state in a_state()) {
            let mut status = CertificateAuthorityStatus::default();
            write(&state, &mut status);
            let text = serde_json::to_string(&status).unwrap();
            prop_assert_eq!(read(&serde_json::from_str(&text).unwrap(), "unused").unwrap(), state.clone());
            prop_assert_eq!(status.issuing, state.issuing().map(|g| g.generation.number));
        }

        /// A bundle that changes has a number above every one that was given before, whatever the status remembers.
        #[test]
        fn a_restored_status_counts_on_from_the_clock(lost in 0u64..1_000, now in 1_700_000_000i64..4_000_000_000) {
            let now = Timestamp::from_second(now).unwrap();
            let given = u64::try_from(now.as_second()).unwrap() - 1;
            let before = State { sequence: lost, ..State::default() };
            let mut after = State { sequence: lost + 1, ..State::default() };
            sequence(&before, &mut after, now);
            prop_assert!(after.sequence > given);
            let mut same = before.clone();
            sequence(&before, &mut same, now);
            prop_assert_eq!(same, before);
        }
    }

    fn first() -> serde_json::Value {
        serde_json::json!({ "number": 1, "fingerprint": "ab".repeat(32),
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2036-01-01T00:00:00Z" })
    }

    #[test]
    fn a_status_from_before_rotations_is_one_generation_that_signs() {
        let status = serde_json::from_value(serde_json::json!({ "generations": [first()] })).unwrap();
        let state = read(&status, "now").unwrap();
        let generation = &state.generations[0];
        assert_eq!(
            (generation.stage, generation.cause, generation.made_for.as_str()),
            (Stage::Issuing, Cause::First, "now")
        );
        assert_eq!(generation.since, generation.generation.not_before);
    }

    #[test]
    fn what_cannot_be_read_is_no_fresh_start() {
        type Damage = fn(&mut serde_json::Value);
        let damages: [(Damage, &str); 5] = [
            (|g| g["notAfter"] = "soon".into(), "notAfter"),
            (|g| g["fingerprint"] = "".into(), "fingerprint"),
            (|g| g["number"] = 0.into(), "fingerprint"),
            (|g| g["since"] = "x".into(), "since"),
            (|g| g["dropOthersAt"] = "x".into(), "dropOthersAt"),
        ];
        for (damage, field) in damages {
            let mut generation = first();
            damage(&mut generation);
            let status = serde_json::from_value(serde_json::json!({ "generations": [generation] })).unwrap();
            let error = read(&status, "").unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        let twice = serde_json::from_value(serde_json::json!({ "generations": [first(), first()] })).unwrap();
        assert!(read(&twice, "").unwrap_err().to_string().contains("twice"));
    }
}
