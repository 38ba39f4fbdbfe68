use sallyport_pki::rotation::Stage;
use serde_json::{Value, json};

use super::*;
use crate::reconcile::authority::sample;
use crate::run::idle;

fn key() -> ObjectKey {
    ObjectKey::new("dmz", "ca")
}

/// A turn of an authority of two generations, of which one's key cannot be reached.
fn turn(stages: [Stage; 2], unreachable: u32, request: &Value) -> (State, Turn) {
    let authorities = [1, 2].map(|number| Arc::new(sample::authority(number)));
    let state = sample::state(&[(&*authorities[0], stages[0]), (&*authorities[1], stages[1])]);
    let reached = |number: u32| number != unreachable;
    let mut ring = sample::ring(&[(&authorities[0], reached(1)), (&authorities[1], reached(2))]);
    ring.unreachable.insert(unreachable, "token \"ca\" is not there".into());
    let object = serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
        "metadata": { "name": "ca", "namespace": "dmz" },
        "spec": { "subject": { "commonName": "EU" }, "rotateRequest": request },
    }));
    (state, Turn { ring: Arc::new(ring), ..Turn::of(object.unwrap()) })
}

fn judged(state: &State, turn: &Turn) -> (Option<Trouble>, bool) {
    let trouble = trouble(&idle(), &key(), state, turn, sample::now());
    let stops = trouble.as_ref().is_some_and(|trouble| stops(trouble, turn, state));
    (trouble, stops)
}

/// A token is gone for good.
#[tokio::test]
async fn a_key_that_cannot_be_reached_stops_only_what_needs_it() {
    let (requested, emergency) =
        (json!({ "id": "r", "reason": "token lost" }), json!({ "id": "r", "reason": "token lost", "emergency": true }));
    let (signing, next) = ([Stage::PhasingOut, Stage::Issuing], [Stage::Issuing, Stage::Trusted]);
    for (stages, unreachable, request, expected) in [
        (signing, 2, &Value::Null, (true, false)),
        (signing, 2, &requested, (true, false)),
        (signing, 2, &emergency, (true, false)),
        (signing, 1, &requested, (false, false)),
        (next, 2, &Value::Null, (true, true)),
        (next, 2, &requested, (true, true)),
        (next, 2, &emergency, (false, false)),
    ] {
        let (state, turn) = turn(stages, unreachable, request);
        let (trouble, stops) = judged(&state, &turn);
        assert_eq!((trouble.is_some(), stops), expected, "{stages:?} {unreachable} {request}: {trouble:?}");
        if let Some(trouble) = trouble {
            let message = trouble.to_string();
            assert_eq!(trouble.reason(), "TokenNotUsable");
            let remedy = format!("generation-{unreachable}.pkcs11 is taken out of Secret dmz/ca-ca");
            assert!(message.contains(&remedy) && message.contains("ca rotate"), "{message}");
        }
    }
}

/// It is asked and the machine makes the next key, though nobody knows what became of the one that signs.
#[tokio::test]
async fn a_request_is_taken_though_the_token_is_gone() {
    let request = json!({ "id": "r", "reason": "token lost" });
    let (mut state, mut turn) = turn([Stage::Removed, Stage::Issuing], 2, &request);
    state.sequence = u64::try_from(sample::now().as_second()).unwrap();
    let step = step(&idle(), &key(), &state, &mut turn, sample::now());
    let makes = |action: &rotation::Action| matches!(action, rotation::Action::MakeKey { number: 3, .. });
    assert!(step.actions.iter().any(makes), "{step:?}");
}
