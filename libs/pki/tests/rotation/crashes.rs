//! An operator that is killed at the n-th write of a whole story, for every n, ends where an undisturbed one ends.

use sallyport_pki::rotation::{Stage, step};

use super::actions::{Act, History};
use super::operator::{Life, Operator, Stop};
use super::properties::{ALL, hold};
use super::world::World;

/// A first generation, three sites, a rotation by request, one by spec, an emergency with a site that is away.
fn story() -> Vec<Act> {
    use Act::*;
    vec![
        Reconcile,
        AddSite,
        AddSite,
        AddSite,
        Request,
        Reconcile,
        AcknowledgeAll,
        Reconcile,
        Forward { hours: 25 },
        Reconcile,
        Renew(0),
        Renew(1),
        Reconcile,
        Renew(2),
        Reconcile,
        ChangeSpec(1),
        Reconcile,
        AcknowledgeAll,
        Leave(2),
        Emergency { hours: 4 },
        Reconcile,
        Acknowledge(0),
        Acknowledge(1),
        Forward { hours: 2 },
        Reconcile,
        RenewAll,
        Reconcile,
        Forward { hours: 2 },
        Reconcile,
    ]
}

/// Plays the story; the operator dies once, after so many writes in all, and the next one goes on where it stopped.
/// Returns the world, and whether the operator died.
fn play(writes: u32) -> (World, bool) {
    let mut history = History::new(Operator::sound(step));
    let (mut life, mut died) = (Life::Writes(writes), false);
    for act in story() {
        if !matches!(act, Act::Reconcile) {
            history.happen(&act);
            continue;
        }
        let operator = history.operator;
        if operator.reconcile(&mut history.world, None, &mut life) == Err(Stop::Crashed) {
            (life, died) = (Life::Long, true);
            operator.reconcile(&mut history.world, None, &mut life).unwrap();
        }
    }
    (history.world, died)
}

#[test]
fn killed_at_any_write_it_ends_where_an_undisturbed_one_ends() {
    let (undisturbed, died) = play(u32::MAX);
    assert!(!died);
    let mut deaths = 0;
    for writes in 0.. {
        let (world, died) = play(writes);
        assert_eq!(world.stored.state, undisturbed.stored.state, "killed after {writes} writes");
        assert_eq!((&world.keys, &world.published), (&undisturbed.keys, &undisturbed.published), "{writes}");
        assert!(world.destroyed_early.is_empty());
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 25, "the story has only {deaths} writes");
}

#[test]
fn the_story_is_a_whole_one_and_keeps_the_properties() {
    hold(&ALL, History::new(Operator::sound(step)), &story()).unwrap();
    let (world, _) = play(u32::MAX);
    let stages: Vec<Stage> = world.stored.state.generations.iter().map(|g| g.stage).collect();
    assert_eq!(stages, [Stage::Removed, Stage::Removed, Stage::Removed, Stage::Issuing]);
    let [record] = world.given_up.as_slice() else { panic!("{:?}", world.given_up) };
    assert_eq!((record.peer.as_str(), record.generation), ("site-2", 4));
    assert!(record.reason.starts_with("emergency: a laptop was stolen"), "{}", record.reason);
}
