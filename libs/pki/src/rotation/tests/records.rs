//! What is kept for people, and how much of it.

use super::Stage::*;
use super::*;

fn record(peer: &str, generation: u32) -> GivenUp {
    GivenUp { peer: peer.into(), reason: "away".into(), at: at(0), generation }
}

/// One that was given up when the generation became trusted is not waited for, and not recorded a second time.
#[test]
fn nobody_is_recorded_twice_for_one_generation() {
    let mut scene = Scene::of(&[PhasingOut, Issuing]).peer("lyon/agent", unaware(1));
    scene.state.given_up.push(record("lyon/agent", 2));
    let step = scene.moves_to(&[Removed, Issuing], "0 peers use no certificate of it, 1 given up");
    assert_eq!(step.state.given_up, scene.state.given_up);
    // For another generation's rotation it is waited for.
    scene.state.given_up = vec![record("lyon/agent", 1)];
    assert_eq!(scene.step().state, scene.state);
}

#[test]
fn one_that_acknowledges_after_all_is_waited_for_again() {
    let mut scene = Scene::of(&[PhasingOut, Issuing]).peer("lyon/agent", holder(1));
    scene.state.given_up.push(record("lyon/agent", 2));
    let blocker = ("lyon/agent", "still uses a certificate of generation 1 until 2026-01-31T00:00:00Z");
    scene.waits("peers to use no certificate of generation 1", 0, 1, &[blocker]);
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", holder(1)).at(HOUR);
    scene.state.given_up.push(record("lyon/agent", 2));
    scene.waits("generation 2 to have been published until 2026-01-02T00:00:00Z", 1, 1, &[]);
}

#[test]
fn the_newest_fifty_entries_of_the_history_are_kept() {
    let mut scene = Scene::of(&[Issuing, Trusted]);
    for index in 0..50 {
        let why = format!("entry {index}");
        scene.state.history.push(Entry { at: at(0), generation: 1, stage: Issuing, why });
    }
    let history = scene.step().state.history;
    assert_eq!((history.len(), history[0].why.as_str(), history[49].generation), (50, "entry 2", 2));
}

#[test]
fn the_newest_hundred_of_the_given_up_are_kept() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).at(20 * DAY);
    for index in 0..150 {
        scene = scene.peer(&format!("peer/{index:03}"), away(unaware(1), 0));
    }
    let step = scene.moves_to(&[Issuing, Trusted], "0 peers acknowledged the bundle, 150 given up");
    let names: Vec<_> = step.state.given_up.iter().map(|record| record.peer.as_str()).collect();
    assert_eq!((names.len(), names[0], names[99]), (100, "peer/050", "peer/149"));
}

#[test]
fn removed_generations_of_the_last_ten_are_kept_and_those_whose_key_is_there() {
    let mut stages = [Removed; 14];
    stages[13] = Issuing;
    let mut scene = Scene::of(&stages);
    scene.facts.keys.insert(15, generation(15));
    scene.facts.keys.insert(2, generation(2));
    let step = scene.step();
    let numbers: Vec<_> = step.state.generations.iter().map(|g| g.generation.number).collect();
    assert_eq!(numbers, [2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(step.actions, [Action::DestroyKey { number: 2 }]);
}

#[test]
fn the_sequence_rises_when_the_bundle_changes_and_only_then() {
    let mut scene = Scene::empty();
    scene.facts.keys.insert(1, generation(1));
    let mut sequences = vec![scene.state.sequence];
    for _ in 0..4 {
        scene.state = scene.step().state;
        sequences.push(scene.state.sequence);
    }
    assert_eq!(sequences, [0, 1, 1, 1, 1]);
}

#[test]
fn durations_are_in_their_largest_whole_unit() {
    let words = |seconds| super::super::peers::in_words(Duration::from_secs(seconds));
    assert_eq!([0, 61, 120, 5400, 7200, 86_400, 90_000].map(words), ["0s", "61s", "2m", "90m", "2h", "1d", "25h"]);
}
