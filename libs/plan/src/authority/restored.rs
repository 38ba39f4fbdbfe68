//! What was lost is not what never was: a state that is completed with what a person put back.

use jiff::Timestamp;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::{Cause, Entry, GenerationState, Request, Stage, State};

use super::keys::Stored;
use super::published::Published;
use super::stored;

/// Adds a generation of which the Secret holds the certificate and nothing of a key: somebody put it there after an
/// older backup was restored, so that those who hold its certificates are not cut off. It signs nothing.
pub fn with_certificates<'a>(
    state: &State,
    stored: impl IntoIterator<Item = (u32, &'a Stored)>,
    now: Timestamp,
) -> State {
    let mut after = state.clone();
    for (number, stored) in stored {
        let Some(generation) = generation(number, stored) else { continue };
        let known =
            |g: &GenerationState| g.generation.number == number || g.generation.fingerprint == generation.fingerprint;
        if stored.key.is_some() || generation.not_after <= now || after.generations.iter().any(known) {
            continue;
        }
        add(&mut after, generation, Stage::PhasingOut, "its certificate was put into the Secret, without a key", now);
    }
    if after.bundle() != state.bundle() {
        after.sequence = after.sequence.saturating_add(1);
    }
    after
}

/// The state of an authority whose status and keys are lost together, once somebody asks for a rotation: what is
/// published is remembered as removed, so that no number comes twice, and the request is taken.
pub fn after_loss(published: &Published, request: &Request, now: Timestamp) -> State {
    let mut after = State {
        sequence: published.sequence.saturating_add(1),
        last_request: Some(request.id.clone()),
        ..State::default()
    };
    for (number, der) in published.numbered() {
        let Ok(generation) = Generation::of_certificate(number, der) else { continue };
        let why = format!("status and key were lost; asked for another root: {}", request.reason);
        add(&mut after, generation, Stage::Removed, &why, now);
    }
    after
}

/// A state of an operator that begins: its bundle counts above what was published before, so that peers do not refuse it.
/// When nothing is published any more, what was is only known to have been earlier than now.
pub fn counting_on(state: &State, published: &Published, now: Timestamp) -> State {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let is_behind = published.sequence > state.sequence;
    let nothing_tells = published.certificates.is_empty() && !state.bundle().is_empty();
    let is_old = state.sequence.saturating_add(1) < seconds;
    let mut after = state.clone();
    if is_behind || (nothing_tells && is_old) {
        after.sequence = state.sequence.max(published.sequence).saturating_add(1);
        stored::sequence(state, &mut after, now);
    }
    after
}

fn add(state: &mut State, generation: Generation, stage: Stage, why: &str, now: Timestamp) {
    let number = generation.number;
    let made_for = String::from("unknown");
    let added =
        GenerationState { generation, stage, since: now, cause: Cause::Request, made_for, drop_others_at: None };
    state.generations.push(added);
    state.generations.sort_by_key(|g| g.generation.number);
    state.history.push(Entry { at: now, generation: number, stage, why: why.to_owned() });
}

/// What a stored certificate says of itself, if it is exactly one of a CA.
pub fn generation(number: u32, stored: &Stored) -> Option<Generation> {
    let bundle = TrustBundle::from_pem(&stored.certificate).ok().filter(|bundle| bundle.len() == 1)?;
    Generation::of_certificate(number, &bundle.certificates().next()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;
    use sallyport_pki::authority::{Authority, AuthoritySubject, Serial};
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
    use sallyport_pki::rotation::{Action, Facts, step};
    use serde_json::json;

    use super::*;
    use crate::authority::keys::StoredKey;
    use crate::authority::published::{self, BUNDLE, GENERATIONS, SEQUENCE};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn authority(number: u32) -> Authority {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let serial = Serial::from_random([u8::try_from(number).unwrap(); 16]);
        Authority::create(number, &subject, Box::new(key), Duration::from_secs(1_000_000), serial, now()).unwrap()
    }

    fn request() -> Request {
        Request { id: "again".into(), reason: "the backup is gone too".into(), emergency: None }
    }

    #[test]
    fn a_certificate_that_is_put_back_is_trusted_and_signs_nothing() {
        let stored = |key| Stored { certificate: authority(3).certificate_pem(), key, made: None };
        let alone = stored(None);
        let after = with_certificates(&State::default(), [(3, &alone)], now());
        assert_eq!((after.generations[0].stage, after.sequence), (Stage::PhasingOut, 1));
        assert_eq!(with_certificates(&after, [(3, &alone)], now()), after, "once");
        let with_key = stored(Some(StoredKey::Pem("k".into())));
        assert_eq!(with_certificates(&State::default(), [(3, &with_key)], now()), State::default());
        let ended = now() + SignedDuration::from_secs(1_000_001);
        assert_eq!(with_certificates(&State::default(), [(3, &alone)], ended), State::default());
    }

    /// Everything is lost but the ConfigMap: the new root has a number above all that were published, and the request
    /// that asked for it is not asked twice.
    #[test]
    fn after_a_loss_no_number_comes_twice() {
        let (one, four) = (authority(1), authority(4));
        let bundle = one.bundle().union(&four.bundle());
        let numbers = format!("1={},4={}", one.fingerprint(), four.fingerprint());
        let config_map = json!({
            "metadata": { "annotations": { SEQUENCE: "1799999999", GENERATIONS: numbers } },
            "data": { BUNDLE: bundle.to_pem() },
        });
        let published = published::read(&config_map, now());
        let state = after_loss(&published, &request(), now());
        assert!(published::unknown(&published, &state, &[], now()).is_empty());
        assert_eq!(state.sequence, 1_800_000_000);
        let mut facts = Facts::default();
        facts.wish.request = Some(request());
        let next = step(&state, &facts, now());
        assert!(matches!(next.actions[..], [Action::MakeKey { number: 5, .. }]), "{next:?}");
        assert_eq!(state.last_request.as_deref(), Some("again"));
    }
}
