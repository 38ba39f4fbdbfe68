//! What the status of a certificate authority says in each case, as golden YAML.

#![allow(clippy::unwrap_used)]

mod common;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::RevocationListStatus;
use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::{Blocker, Cause, Entry, GenerationState, Stage, State, Waiting};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::{self, AuthorityFacts, Trouble, needs_write};
use serde_json::json;

fn now() -> Timestamp {
    "2026-03-01T10:00:00.7Z".parse().unwrap()
}

fn generation(number: u32, stage: Stage) -> GenerationState {
    let end = now() + SignedDuration::from_hours(24);
    let fingerprint = format!("{number:064x}");
    GenerationState {
        generation: Generation { number, fingerprint, not_before: now(), not_after: end },
        stage,
        since: now(),
        cause: if number == 1 { Cause::First } else { Cause::Request },
        made_for: "ab".into(),
        drop_others_at: None,
    }
}

fn state() -> State {
    let why = "every live peer trusts it".to_owned();
    State {
        generations: vec![generation(1, Stage::Issuing), generation(2, Stage::NotYetTrusted)],
        sequence: 1_772_359_200,
        last_request: Some("a".into()),
        given_up: Vec::new(),
        history: vec![Entry { at: now(), generation: 1, stage: Stage::Issuing, why }],
    }
}

fn waiting() -> Waiting {
    let blocker = |n: u32| Blocker { peer: format!("lyon/agent-{n:02}"), reason: "away since yesterday".into() };
    Waiting {
        to: 2,
        waits_for: "until everybody trusts it".into(),
        done: 177,
        of: 200,
        blockers: (0..23).rev().map(blocker).collect(),
    }
}

/// Whoever is told that a rotation waits for a gateway is told how to go on without it.
#[test]
fn a_blocker_that_is_no_endpoint_says_what_to_do() {
    let state = state();
    let blocker = |peer: &str| Blocker { peer: peer.into(), reason: "has not acknowledged the bundle".into() };
    let blockers = ["bootstrap dmz/eu", "gateway dmz/eu-gateway-1", "lyon/agent"].map(blocker).to_vec();
    let waiting = Waiting { to: 2, blockers, ..Waiting::default() };
    let facts = AuthorityFacts { state: Some(&state), waiting: Some(&waiting), ..AuthorityFacts::default() };
    let status = status::authority(&object(), &facts, now());
    let reasons: Vec<_> = status.rotation.unwrap().blockers.into_iter().map(|blocker| blocker.reason).collect();
    assert!(reasons[0].ends_with("sallyportctl ca lost ca 'bootstrap dmz/eu'"), "{}", reasons[0]);
    assert!(reasons[1].ends_with("sallyportctl ca lost ca 'gateway dmz/eu-gateway-1'"), "{}", reasons[1]);
    assert_eq!(reasons[2], "has not acknowledged the bundle");
}

fn object() -> CertificateAuthority {
    common::object("CertificateAuthority", "dmz", "ca", json!({ "subject": { "commonName": "EU" } }))
}

#[test]
fn each_case() {
    let (authority, state, waiting) = (object(), state(), waiting());
    let lists = RevocationListStatus {
        revoked: 1,
        next_update: (now() + SignedDuration::from_hours(168)).to_string(),
        renew_at: (now() + SignedDuration::from_hours(56)).to_string(),
    };
    let facts = AuthorityFacts {
        state: Some(&state),
        waiting: Some(&waiting),
        wake_at: Some(now() + SignedDuration::from_hours(1)),
        holders: [(1, 200)].into(),
        digest: Some("d1".into()),
        lists: Some(lists),
        ..AuthorityFacts::default()
    };
    let mut text = String::new();
    let mut add = |case: &str, facts: &AuthorityFacts<'_>, now| {
        let status = serde_yaml::to_string(&status::authority(&authority, facts, now)).unwrap();
        text += &format!("# {case}\n{status}\n");
    };
    add("a rotation is under way", &facts, now());
    add(
        "ended",
        &AuthorityFacts { state: Some(&state), ..AuthorityFacts::default() },
        now() + SignedDuration::from_hours(24),
    );
    let secret = ObjectKey::new("dmz", "ca-ca");
    for trouble in [
        Trouble::AuthorityLost(secret.clone()),
        Trouble::AuthorityDamaged(secret.clone()),
        Trouble::AuthorityRestored {
            config_map: ObjectKey::new("dmz", "ca-ca-trust"),
            secret,
            fingerprints: "abcd".into(),
        },
        Trouble::RevocationListFull {
            config_map: ObjectKey::new("dmz", "ca-ca-trust"),
            bytes: 2_000_000,
            most: 1_000_000,
        },
        Trouble::StatusUnreadable("status.generations[1].notAfter is no time (RFC 3339)".into()),
        Trouble::Token("token \"ca\" is not there".into()),
    ] {
        add(trouble.reason(), &AuthorityFacts { trouble: Some(&trouble), ..AuthorityFacts::default() }, now());
    }
    common::check("status-authority.yaml", &text);
}

#[test]
fn in_trouble_the_memory_of_the_generations_stays_and_equal_facts_are_written_once() {
    let (mut authority, state) = (object(), state());
    let facts = AuthorityFacts { state: Some(&state), digest: Some("d".into()), ..AuthorityFacts::default() };
    let good = status::authority(&authority, &facts, now());
    authority.status = Some(good.clone());
    let later = now() + SignedDuration::from_secs(5);
    assert!(!needs_write(Some(&good), &status::authority(&authority, &facts, later)));
    let trouble = Trouble::StatusUnreadable("x".into());
    let facts = AuthorityFacts { trouble: Some(&trouble), ..AuthorityFacts::default() };
    let troubled = status::authority(&authority, &facts, later);
    assert_eq!((&troubled.generations, troubled.trust_sequence), (&good.generations, good.trust_sequence));
    assert_eq!((&troubled.history, &troubled.trust_digest), (&good.history, &good.trust_digest));
}
