//! Each property can fail: machines and operators that do one thing wrong are caught by the property that forbids it.
//!
//! | fault | caught by |
//! |---|---|
//! | nothing that is phasing out is published | 1 no orphan |
//! | signs before anybody acknowledged | 2 no early signing |
//! | signs before it was published for long enough | 2 no early signing |
//! | certificates are not cut to their issuer's end | 3 no outliving |
//! | drops the old generation at once | 1 no orphan, 4 no early drop |
//! | gives up everybody who is away at all | 4 no early drop |
//! | waits for ever for who is away | 5 progress |
//! | never asks to be woken | 5 progress |
//! | asks to be woken too late | 6 idempotence |
//! | counts every step as a new bundle | 6 idempotence, 7 no going back |
//! | uses a number again | 7 no going back |
//! | does two things in one step | 7 no going back |
//! | overwrites what it has not read | 7 no going back |
//! | acts on a state that is not stored | 8 crash safety |

use std::time::Duration;

use jiff::Timestamp;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use sallyport_pki::rotation::{Action, Facts, Stage, State, Step, step};

use super::actions::{History, histories};
use super::operator::{Habit, Machine, Operator};
use super::properties::*;
use super::world::Issuance;

/// A history is found in which the property, alone, fails.
fn is_caught(history: &History, by: Property) {
    let config = Config { cases: 2000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let acts = histories().no_shrink();
    let result = runner
        .run(&acts, |acts| hold(&[by], history.clone(), &acts).map_err(proptest::test_runner::TestCaseError::fail));
    match result {
        Err(TestError::Fail(reason, _)) => assert!(reason.message().starts_with(by.0), "{reason}"),
        other => panic!("not caught by \"{}\": {other:?}", by.0),
    }
}

fn machine(machine: Machine) -> History {
    History::new(Operator::sound(machine))
}

fn operator(habit: Habit) -> History {
    History::new(Operator { machine: step, habit })
}

#[test]
fn a_machine_that_signs_before_anybody_acknowledged() {
    is_caught(&machine(signs_unacknowledged), NO_EARLY_SIGNING);
}

fn signs_unacknowledged(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut facts = facts.clone();
    for peer in facts.peers.values_mut() {
        peer.acknowledged = Some(facts.digest.clone());
    }
    step(state, &facts, now)
}

#[test]
fn a_machine_that_signs_before_it_was_published_for_long_enough() {
    is_caught(&machine(signs_unpublished), NO_EARLY_SIGNING);
}

fn signs_unpublished(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut facts = facts.clone();
    facts.wish.publish_for = Duration::ZERO;
    step(state, &facts, now)
}

#[test]
fn a_machine_that_drops_the_old_generation_at_once() {
    is_caught(&machine(drops_at_once), NO_EARLY_DROP);
    is_caught(&machine(drops_at_once), NO_ORPHAN);
}

fn drops_at_once(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut facts = facts.clone();
    for peer in facts.peers.values_mut() {
        peer.holds.clear();
    }
    step(state, &facts, now)
}

#[test]
fn a_machine_that_gives_up_everybody_who_is_away() {
    is_caught(&machine(gives_up_at_once), NO_EARLY_DROP);
}

fn gives_up_at_once(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut facts = facts.clone();
    facts.wish.overlap = Duration::ZERO;
    step(state, &facts, now)
}

#[test]
fn a_machine_that_waits_for_ever_for_who_is_away() {
    is_caught(&machine(never_gives_up), PROGRESS);
}

fn never_gives_up(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut facts = facts.clone();
    facts.wish.overlap = Duration::MAX;
    step(state, &facts, now)
}

#[test]
fn a_machine_that_never_asks_to_be_woken() {
    is_caught(&machine(never_wakes), PROGRESS);
}

fn never_wakes(state: &State, facts: &Facts, now: Timestamp) -> Step {
    Step { wake_at: None, ..step(state, facts, now) }
}

#[test]
fn a_machine_that_asks_to_be_woken_too_late() {
    is_caught(&machine(wakes_late), IDEMPOTENCE);
}

fn wakes_late(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let right = step(state, facts, now);
    let late = right.wake_at.map(|at| at.checked_add(jiff::SignedDuration::from_hours(1)).unwrap());
    Step { wake_at: late, ..right }
}

#[test]
fn a_machine_that_counts_every_step_as_a_new_bundle() {
    is_caught(&machine(counts_steps), IDEMPOTENCE);
    is_caught(&machine(counts_steps), NO_GOING_BACK);
}

fn counts_steps(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut next = step(state, facts, now);
    next.state.sequence = state.sequence + 1;
    next
}

/// It forgets what was removed, and so counts from what is left.
#[test]
fn a_machine_that_uses_a_number_again() {
    is_caught(&machine(reuses_numbers), NO_GOING_BACK);
}

fn reuses_numbers(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut next = step(state, facts, now);
    let removed = |number: u32| next.state.generation(number).is_some_and(|g| g.stage == Stage::Removed);
    let stored: Vec<u32> = facts.keys.keys().copied().filter(|number| removed(*number)).collect();
    if stored.is_empty() {
        next.state.generations.retain(|g| g.stage != Stage::Removed);
    }
    next
}

#[test]
fn a_machine_that_does_two_things_in_one_step() {
    is_caught(&machine(hurries), NO_GOING_BACK);
}

fn hurries(state: &State, facts: &Facts, now: Timestamp) -> Step {
    let first = step(state, facts, now);
    if wants_key(&first.actions) { first } else { step(&first.state, facts, now) }
}

#[test]
fn an_operator_that_publishes_nothing_old() {
    is_caught(&operator(Habit::PublishesNothingOld), NO_ORPHAN);
}

#[test]
fn an_operator_that_overwrites_what_it_has_not_read() {
    is_caught(&operator(Habit::IgnoresVersions), NO_GOING_BACK);
}

#[test]
fn an_operator_that_acts_on_a_state_that_is_not_stored() {
    is_caught(&operator(Habit::ActsFirst), CRASH_SAFETY);
}

#[test]
fn an_authority_whose_certificates_outlive_it() {
    let mut history = machine(step);
    history.world.issuance = Issuance::Uncut;
    is_caught(&history, NO_OUTLIVING);
}

/// The histories are not of worlds in which nothing happens: every way through the machine is met.
#[test]
fn histories_meet_every_transition() {
    let mut runner = TestRunner::new_with_rng(
        Config { failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let mut met: Vec<String> = Vec::new();
    for _ in 0..300 {
        let acts = proptest::strategy::ValueTree::current(&histories().new_tree(&mut runner).unwrap());
        let mut history = machine(step);
        acts.iter().for_each(|act| history.happen(act));
        let entries = history.world.writes.iter().filter_map(|write| write.after.history.last());
        met.extend(entries.map(|entry| format!("{:?}: {}", entry.stage, entry.why)));
        met.extend(history.world.given_up.iter().map(|record| record.reason.clone()));
    }
    let sayings = [
        "NotYetTrusted: no generation signs yet",
        "NotYetTrusted: emergency: ",
        "NotYetTrusted: requested: ",
        "NotYetTrusted: subject, ",
        "NotYetTrusted: generation ",
        "NotYetTrusted: its key was stored, for a rotation that nothing asks for",
        "Trusted: all ",
        "Issuing: it is trusted",
        "Removed: overtaken by an emergency",
        "Removed: its key is gone",
        "Removed: it ended at",
        "Removed: all ",
        "away since ",
        "declared lost: burnt down",
        "emergency: a laptop was stolen; it had not acknowledged",
        "emergency: a laptop was stolen; it still uses",
    ];
    for saying in sayings {
        let times = met.iter().filter(|what| what.starts_with(saying)).count();
        assert!(times >= 3, "{saying}: met {times} times");
    }
}

/// Actions are told apart from waiting.
#[test]
fn a_key_is_wanted_when_there_is_none() {
    let first = step(&State::default(), &Facts::default(), Timestamp::UNIX_EPOCH);
    assert!(wants_key(&first.actions) && !wants_key(&[Action::DestroyKey { number: 1 }]));
}
