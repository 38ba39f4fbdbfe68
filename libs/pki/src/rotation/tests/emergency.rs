//! A key leaked.

use super::Stage::*;
use super::*;

/// Generation 2 was made at 0 in an emergency, with a deadline of two hours.
fn emergency(stages: [Stage; 2]) -> Scene {
    let mut scene = Scene::of(&stages);
    let made = scene.state.generations.last_mut().unwrap();
    (made.cause, made.drop_others_at) = (Cause::Emergency, Some(at(2 * HOUR)));
    let why = "emergency: a key leaked".into();
    scene.state.history.push(Entry { at: at(0), generation: 2, stage: NotYetTrusted, why });
    scene
}

#[test]
fn its_generation_has_a_deadline_for_the_others() {
    let mut scene = Scene::of(&[Issuing]).request(Some(2 * HOUR)).at(5);
    scene.facts.keys.insert(2, generation(2));
    let step = scene.moves_to(&[Issuing, NotYetTrusted], "emergency: a key leaked");
    let made = step.state.generation(2).unwrap();
    assert_eq!((made.cause, made.drop_others_at), (Cause::Emergency, Some(at(5 + 2 * HOUR))));
    assert_eq!(step.state.last_request.as_deref(), Some("7"));
}

#[test]
fn it_overtakes_a_rotation_that_is_under_way() {
    for stage in [NotYetTrusted, Trusted] {
        let mut scene = Scene::of(&[PhasingOut, Issuing, stage]).request(Some(HOUR)).peer("lyon/agent", holder(1));
        let step = scene.moves_to(&[PhasingOut, Issuing, Removed], "overtaken by an emergency: a key leaked");
        assert_eq!(step.actions, [Action::DestroyKey { number: 3 }]);
        scene.state = step.state;
        scene.facts.keys.remove(&3);
        assert_eq!(scene.step().actions, [Action::MakeKey { number: 4, cause: Cause::Emergency }]);
    }
}

/// A key that was stored before the emergency was declared lay where the leaked one lay.
#[test]
fn it_takes_no_key_that_was_made_before() {
    let mut scene = Scene::of(&[Issuing]).request(Some(HOUR));
    scene.facts.keys.insert(2, generation(2));
    scene.facts.made.insert(2, Made { made_for: "spec".into(), request: Some("6".into()) });
    scene.state = scene.step().state;
    assert_ne!(scene.state.generation(2).unwrap().cause, Cause::Emergency);
    assert_eq!(scene.state.last_request, None);
    scene.moves_to(&[Issuing, Removed], "overtaken by an emergency: a key leaked");

    scene.facts.keys = [(1, generation(1)), (3, generation(3))].into();
    scene.facts.made.insert(3, Made { made_for: "spec".into(), request: Some("7".into()) });
    scene.state = scene.step().state;
    assert_eq!(scene.step().state.generation(3).unwrap().cause, Cause::Emergency);
}

/// Nothing signs yet: there is nothing to drop, and the first is not thrown away again and again.
#[test]
fn it_waits_for_a_signer() {
    let scene = Scene::of(&[NotYetTrusted]).request(Some(HOUR));
    scene.moves_to(&[Trusted], "all 0 peers acknowledged the bundle");
}

#[test]
fn its_generation_is_not_published_for_a_time() {
    emergency([Issuing, NotYetTrusted]).moves_to(&[Issuing, Trusted], "all 0 peers acknowledged the bundle");
}

#[test]
fn it_is_patient_for_half_of_the_deadline() {
    let scene = emergency([Issuing, NotYetTrusted]).peer("lyon/agent", unaware(1)).at(HOUR - 1);
    let blocker = ("lyon/agent", "has not acknowledged the bundle");
    scene.waits("peers to acknowledge the bundle with generation 2", 0, 1, &[blocker]);
    assert_eq!(scene.step().wake_at, Some(at(HOUR)));

    let step = scene.at(HOUR).moves_to(&[Issuing, Trusted], "0 peers acknowledged the bundle, 1 given up");
    let reason = "emergency: a key leaked; it had not acknowledged the bundle at half of the deadline";
    assert_eq!((step.state.given_up[0].reason.as_str(), step.state.given_up[0].generation), (reason, 2));
}

/// The clock went back before the generation's own making.
#[test]
fn a_clock_that_goes_back_makes_it_no_less_patient() {
    let scene = emergency([Issuing, NotYetTrusted]).peer("lyon/agent", unaware(1)).at(-1000 * DAY);
    assert_eq!((scene.step().state, scene.step().wake_at), (scene.state, Some(at(HOUR))));
}

#[test]
fn it_drops_the_others_at_the_deadline_and_names_who_needed_them() {
    let scene =
        emergency([PhasingOut, Issuing]).peer("lyon/agent", holder(1)).peer("dmz/ok", holder(2)).at(2 * HOUR - 1);
    let blocker = ("lyon/agent", "still uses a certificate of generation 1 until 2026-01-31T00:00:00Z");
    scene.waits("peers to use no certificate of generation 1", 1, 2, &[blocker]);
    assert_eq!(scene.step().wake_at, Some(at(2 * HOUR)));

    let why = "1 peers use no certificate of it, 1 given up";
    let step = scene.at(2 * HOUR).moves_to(&[Removed, Issuing], why);
    let [record] = step.state.given_up.as_slice() else { panic!("{:?}", step.state.given_up) };
    let reason = "emergency: a key leaked; it still uses a certificate of generation 1 until 2026-01-31T00:00:00Z, and \
                  the deadline was 2026-01-01T02:00:00Z";
    assert_eq!((record.peer.as_str(), record.reason.as_str()), ("lyon/agent", reason));
}

/// One generation a step, the oldest first, each with those who needed it.
#[test]
fn it_drops_all_older_ones() {
    let mut scene =
        Scene::of(&[PhasingOut, PhasingOut, Issuing]).peer("a/a", holder(1)).peer("b/b", holder(2)).at(HOUR);
    let signer = scene.state.generations.last_mut().unwrap();
    (signer.cause, signer.drop_others_at) = (Cause::Emergency, Some(at(HOUR)));
    let names = |state: &State| state.given_up.iter().map(|g| g.peer.clone()).collect::<Vec<_>>();
    scene.state = scene.step().state;
    assert_eq!((scene.state.bundle(), names(&scene.state)), ([2, 3].into(), vec!["a/a".to_owned()]));
    scene.state = scene.step().state;
    assert_eq!((scene.state.bundle(), names(&scene.state)), ([3].into(), vec!["a/a".to_owned(), "b/b".to_owned()]));
    assert_eq!((scene.step().state, scene.state.sequence), (scene.state.clone(), 2));
}

/// After a restore there may be several that have yet to sign: those before the emergency's are no better than the leaked.
#[test]
fn it_overtakes_what_was_found_in_the_store() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted, NotYetTrusted]);
    scene.state.generations[2].cause = Cause::Emergency;
    scene.moves_to(&[Issuing, Removed, NotYetTrusted], "overtaken by generation 3");
}

/// The next rotation does not lengthen the deadline, nor does a generation's own deadline drop itself.
#[test]
fn its_deadline_holds_while_it_is_phasing_out_itself() {
    let mut scene = Scene::of(&[PhasingOut, PhasingOut, Issuing]).peer("a/a", holder(1)).peer("b/b", holder(2));
    scene.state.generations[1].drop_others_at = Some(at(HOUR));
    scene.state.generations[2].drop_others_at = Some(at(3 * HOUR));
    scene = scene.at(2 * HOUR);
    scene.state = scene.step().state;
    assert_eq!(scene.state.bundle(), [2, 3].into());
    assert_eq!((scene.step().state, scene.step().wake_at), (scene.state, Some(at(3 * HOUR))));
}

/// The deadline of a generation that never came to sign is none.
#[test]
fn a_generation_that_was_overtaken_drops_nobody() {
    let mut scene = Scene::of(&[PhasingOut, Issuing, Removed]).peer("lyon/agent", holder(1)).at(3 * HOUR);
    scene.state.generations[2].drop_others_at = Some(at(2 * HOUR));
    assert_eq!(scene.step().state, scene.state);
}
