//! How a rotation begins.

use super::Stage::*;
use super::*;

#[track_caller]
fn makes(scene: &Scene, number: u32, cause: Cause) {
    let step = scene.step();
    assert_eq!(step.state, scene.state);
    assert_eq!(step.actions, [Action::MakeKey { number, cause }]);
    assert_eq!(step.waiting.unwrap().to, number);
}

/// Nothing begins.
#[track_caller]
fn rests(scene: &Scene) -> Option<Timestamp> {
    let step = scene.step();
    assert_eq!((&step.state, step.actions.as_slice(), step.waiting), (&scene.state, [].as_slice(), None));
    step.wake_at
}

#[test]
fn nothing_and_no_key() {
    makes(&Scene::empty(), 1, Cause::First);
}

#[test]
fn a_stored_key_is_named() {
    let mut scene = Scene::empty();
    scene.facts.keys.insert(1, generation(1));
    let step = scene.moves_to(&[NotYetTrusted], "no generation signs yet");
    let named = step.state.generation(1).unwrap();
    assert_eq!((named.cause, named.made_for.as_str(), named.since), (Cause::First, "spec", at(0)));
    assert_eq!((step.state.sequence, step.actions.len()), (1, 0));
}

/// The status was lost and the keys were not: every stored generation is in the bundle before one of them signs.
#[test]
fn all_stored_keys_are_named_before_anything_signs() {
    let mut scene = Scene::empty();
    scene.facts.keys = [(3, generation(3)), (4, generation(4))].into();
    for _ in 0..2 {
        scene.state = scene.step().state;
    }
    assert_eq!(scene.state.bundle(), [3, 4].into());
    assert!(scene.state.generations.iter().all(|g| g.stage == NotYetTrusted && g.cause == Cause::First));
    scene.moves_to(&[Trusted, NotYetTrusted], "all 0 peers acknowledged the bundle");
}

#[test]
fn by_schedule() {
    let scene = Scene::of(&[Issuing]);
    assert_eq!(rests(&scene), Some(at(80 * DAY)));
    assert_eq!(rests(&scene.at(80 * DAY - 1)), Some(at(80 * DAY)));
    makes(&Scene::of(&[Issuing]).at(80 * DAY), 2, Cause::Schedule);
    // One that has ended waits for its successor by the same way.
    makes(&Scene::of(&[Issuing]).at(101 * DAY), 2, Cause::Schedule);
}

/// A `startBefore` that is longer than a life would rotate without end.
#[test]
fn by_schedule_not_in_the_first_half_of_life() {
    let mut scene = Scene::of(&[Issuing]);
    scene.facts.wish.start_before = Duration::MAX;
    assert_eq!(rests(&scene), Some(at(50 * DAY)));
}

#[test]
fn by_spec() {
    let mut scene = Scene::of(&[Issuing]);
    scene.facts.wish.made_for = "another".into();
    makes(&scene, 2, Cause::Spec);
    scene.facts.keys.insert(2, generation(2));
    let step = scene.moves_to(&[Issuing, NotYetTrusted], "subject, algorithm or custody changed");
    assert_eq!(step.state.generation(2).unwrap().made_for, "another");
}

#[test]
fn by_request_once() {
    let mut scene = Scene::of(&[Issuing]).request(None);
    makes(&scene, 2, Cause::Request);
    scene.facts.keys.insert(2, generation(2));
    let step = scene.moves_to(&[Issuing, NotYetTrusted], "requested: a key leaked");
    assert_eq!(step.state.last_request.as_deref(), Some("7"));

    let mut scene = Scene::of(&[Issuing]).request(None);
    scene.state.last_request = Some("7".into());
    rests(&scene);
}

#[test]
fn not_while_one_is_under_way() {
    let scene = Scene::of(&[PhasingOut, Issuing]).request(None).peer("lyon/agent", holder(1));
    scene.waits(
        "peers to use no certificate of generation 1",
        0,
        1,
        &[("lyon/agent", "still uses a certificate of generation 1 until 2026-01-31T00:00:00Z")],
    );
    assert_eq!(scene.step().actions, []);
    let mut scene = Scene::of(&[PhasingOut, Issuing]).peer("lyon/agent", holder(1));
    scene.facts.wish.made_for = "another".into();
    assert_eq!(scene.step().actions, []);
}

#[test]
fn a_signer_without_its_key_waits_for_a_person() {
    for (spec, time) in [("another", 0), ("spec", 90 * DAY)] {
        let mut scene = Scene::of(&[Issuing]).at(time);
        scene.facts.keys.clear();
        spec.clone_into(&mut scene.facts.wish.made_for);
        assert_eq!(rests(&scene), None);
        makes(&scene.request(None), 2, Cause::Request);
    }
    let mut scene = Scene::of(&[Issuing]).request(Some(HOUR));
    scene.facts.keys.clear();
    makes(&scene, 2, Cause::Emergency);
}

/// Somebody put another certificate in its place.
#[test]
fn a_foreign_key_is_no_key() {
    let mut scene = Scene::of(&[Issuing]).at(90 * DAY);
    scene.facts.keys.insert(1, Generation { fingerprint: "foreign".into(), ..generation(1) });
    rests(&scene);
}

/// The spec changed between the making of a key and the write that names it.
#[test]
fn a_key_is_of_the_spec_it_was_made_for() {
    let mut scene = Scene::of(&[Issuing]);
    scene.facts.wish.made_for = "third".into();
    scene.facts.keys.insert(2, generation(2));
    scene.facts.made.insert(2, Made { made_for: "second".into(), request: None });
    assert_eq!(scene.step().state.generation(2).unwrap().made_for, "second");
}

/// Only an emergency is particular about when a key was made.
#[test]
fn a_request_takes_a_key_that_was_made_before() {
    let mut scene = Scene::of(&[Issuing]).request(None);
    scene.facts.keys.insert(2, generation(2));
    scene.facts.made.insert(2, Made { made_for: "spec".into(), request: None });
    scene.moves_to(&[Issuing, NotYetTrusted], "requested: a key leaked");
}

#[test]
fn a_key_that_nothing_asks_for_any_more() {
    let mut scene = Scene::of(&[Issuing]);
    scene.facts.keys.insert(2, generation(2));
    let why = "its key was stored, for a rotation that nothing asks for any more";
    let step = scene.moves_to(&[Issuing, NotYetTrusted], why);
    assert_eq!(step.state.generation(2).unwrap().cause, Cause::Request);
    scene.facts.made.insert(2, Made { made_for: "another".into(), request: None });
    assert_eq!(scene.step().state.generation(2).unwrap().cause, Cause::Spec);
}

#[test]
fn numbers_go_on_from_the_highest_ever() {
    let mut scene = Scene::of(&[Issuing, Removed]).request(None);
    makes(&scene, 3, Cause::Request);
    scene.state.generations.remove(0);
    scene.facts.keys.clear();
    makes(&scene, 3, Cause::First);
}

#[test]
fn a_generation_that_lost_its_key_before_it_signed() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]);
    scene.facts.keys.remove(&2);
    let step = scene.moves_to(&[Issuing, Removed], "its key is gone, and it had not signed yet");
    assert_eq!(step.state.sequence, 1);
}

#[test]
fn a_generation_that_ended_before_it_signed() {
    let scene = Scene::of(&[Issuing, Trusted]).at(100 * DAY);
    let step = scene.moves_to(&[Issuing, Removed], "it ended at 2026-04-11T00:00:00Z and had not signed yet");
    assert_eq!(step.actions, [Action::DestroyKey { number: 2 }]);
}

/// After a restore somebody may hold a certificate of a generation that has not signed here: it stays trusted, and does
/// not keep the next rotation from beginning.
#[test]
fn a_generation_that_is_held_is_not_dropped_with_its_key() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", holder(2));
    scene.facts.keys.remove(&2);
    let step = scene.moves_to(&[Issuing, PhasingOut], "its key is gone, and it had not signed yet");
    assert_eq!(step.state.sequence, 0);
    scene.state = step.state;
    rests(&scene);
    makes(&scene.request(None), 3, Cause::Request);
}
