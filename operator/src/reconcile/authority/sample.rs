//! Generations, states and keys for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_pki::authority::{Authority, AuthoritySubject};
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::rotation::{Cause, GenerationState, Stage, State};

use crate::authorities::serial;
use crate::custody::ring::{Kept, Ring};

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(super) fn authority(number: u32) -> Authority {
    let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let life = Duration::from_secs(3650 * 86_400);
    Authority::create(number, &subject, Box::new(key), life, serial(), now()).unwrap()
}

pub(super) fn state(generations: &[(&Authority, Stage)]) -> State {
    let generations = generations.iter().map(|(authority, stage)| GenerationState {
        generation: authority.generation(),
        stage: *stage,
        since: now(),
        cause: Cause::Request,
        made_for: "m".into(),
        drop_others_at: None,
    });
    State { generations: generations.collect(), sequence: 7, ..State::default() }
}

/// What the Secret holds: each generation, with its key or without.
pub(super) fn ring(generations: &[(&Arc<Authority>, bool)]) -> Ring {
    let kept = |(authority, has_key): &(&Arc<Authority>, bool)| Kept {
        generation: Some(authority.generation()),
        certificate: authority.certificate_der().to_vec(),
        authority: has_key.then(|| Arc::clone(authority)),
        has_key: *has_key,
        made: None,
    };
    let generations = generations.iter().map(|one| (one.0.generation().number, kept(one)));
    Ring { version: Some("1".into()), generations: generations.collect(), unreachable: BTreeMap::new() }
}
