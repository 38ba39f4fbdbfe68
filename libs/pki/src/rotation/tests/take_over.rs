//! How a generation comes to sign.

use super::Stage::*;
use super::*;

const WAITS: &str = "peers to acknowledge the bundle with generation 2";

#[test]
fn the_first_is_not_published_for_a_time() {
    let step = Scene::of(&[NotYetTrusted]).moves_to(&[Trusted], "all 0 peers acknowledged the bundle");
    assert_eq!((step.state.sequence, step.actions.len()), (0, 0));
}

/// A gateway that waits for its first certificate cannot acknowledge anything.
#[test]
fn the_first_does_not_wait_for_who_holds_nothing() {
    let scene = Scene::of(&[NotYetTrusted]).peer("gateway dmz/eu-gateway-0", Peer::default());
    scene.moves_to(&[Trusted], "all 1 peers acknowledged the bundle");
    let scene = Scene::of(&[NotYetTrusted]).peer("lyon/agent", unaware(1));
    let waits_for = "peers to acknowledge the bundle with generation 1";
    scene.waits(waits_for, 0, 1, &[("lyon/agent", "has not acknowledged the bundle")]);
    assert_eq!(scene.step().wake_at, Some(at(30 * DAY)));
}

#[test]
fn it_is_published_for_a_time() {
    let scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", holder(1)).at(DAY - 1);
    scene.waits("generation 2 to have been published until 2026-01-02T00:00:00Z", 1, 1, &[]);
    assert_eq!(scene.step().wake_at, Some(at(DAY)));
    scene.at(DAY).moves_to(&[Issuing, Trusted], "all 1 peers acknowledged the bundle");
}

/// A clock that goes back makes nothing early.
#[test]
fn a_clock_that_goes_back() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).at(-1000 * DAY);
    scene.waits("generation 2 to have been published until 2026-01-02T00:00:00Z", 0, 0, &[]);
    scene = scene.peer("lyon/agent", away(unaware(1), 0));
    assert_eq!(scene.step().state, scene.state);
    assert_eq!(scene.step().wake_at, Some(at(DAY)));
}

/// Times and durations at the ends of what can be said.
#[test]
fn times_do_not_overflow() {
    for (now, overlap) in
        [(Timestamp::MIN, Duration::MAX), (Timestamp::MAX, Duration::MAX), (Timestamp::MAX, Duration::ZERO)]
    {
        for stages in [[Issuing, NotYetTrusted], [Issuing, Trusted], [PhasingOut, Issuing]] {
            let peer = Peer { away_since: Some(now), ..unaware(1) };
            let mut scene = Scene::of(&stages).peer("lyon/agent", peer).request(Some(i64::MAX));
            (scene.now, scene.facts.wish.overlap, scene.facts.wish.publish_for) = (now, overlap, overlap);
            scene.facts.keys.insert(3, generation(3));
            scene.state = scene.step().state;
            scene.step();
        }
    }
}

#[test]
fn a_connected_peer_blocks_for_ever() {
    let scene =
        Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", unaware(1)).peer("dmz/ok", holder(1)).at(90 * DAY);
    scene.waits(WAITS, 1, 2, &[("lyon/agent", "has not acknowledged the bundle")]);
    assert_eq!(scene.step().wake_at, Some(at(100 * DAY)), "only its own end");
}

#[test]
fn a_peer_that_is_away_blocks_until_the_overlap_is_over() {
    let scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", away(unaware(1), DAY)).at(11 * DAY - 1);
    let reason = "has not acknowledged the bundle; away since 2026-01-02T00:00:00Z, given up at 2026-01-12T00:00:00Z";
    scene.waits(WAITS, 0, 1, &[("lyon/agent", reason)]);
    assert_eq!(scene.step().wake_at, Some(at(11 * DAY)));

    let step = scene.at(11 * DAY).moves_to(&[Issuing, Trusted], "0 peers acknowledged the bundle, 1 given up");
    let reason = "away since 2026-01-02T00:00:00Z, which is longer than 10d".to_owned();
    let record = GivenUp { peer: "lyon/agent".into(), reason, at: at(11 * DAY), generation: 2 };
    assert_eq!(step.state.given_up, [record]);
}

#[test]
fn a_peer_that_was_declared_lost() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", unaware(1)).at(DAY);
    scene.facts.wish.lost = lost("lyon/agent");
    let step = scene.step();
    assert_eq!(step.state.given_up[0].reason, "declared lost: burnt down");
    // One that has acknowledged all the same is done, and not recorded.
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", holder(1)).at(DAY);
    scene.facts.wish.lost = lost("lyon/agent");
    assert_eq!(scene.step().state.given_up, []);
}

#[test]
fn blockers_are_sorted_by_name() {
    let scene = ["c/c", "a/a", "b/b"]
        .iter()
        .fold(Scene::of(&[Issuing, NotYetTrusted]), |scene, name| scene.peer(name, unaware(1)));
    let names: Vec<_> = scene.step().waiting.unwrap().blockers.into_iter().map(|blocker| blocker.peer).collect();
    assert_eq!(names, ["a/a", "b/b", "c/c"]);
}

#[test]
fn it_signs_and_the_one_before_stops_in_one_write() {
    let step = Scene::of(&[Issuing, Trusted]).at(DAY).moves_to(&[PhasingOut, Issuing], "it is trusted");
    assert_eq!(step.state.history[0].why, "generation 2 signs");
    assert!(step.state.generations.iter().all(|g| g.since == at(DAY)));
    assert_eq!((step.state.sequence, step.state.issuing().unwrap().generation.number), (0, 2));
}

/// One that appeared since the write before.
#[test]
fn it_does_not_sign_before_a_new_peer_has_the_bundle() {
    let scene = Scene::of(&[Issuing, Trusted]).peer("new/agent", Peer::default());
    scene.waits(WAITS, 0, 1, &[("new/agent", "has not acknowledged the bundle")]);
    assert_eq!(scene.step().wake_at, Some(at(100 * DAY)));
    let mut scene = scene;
    scene.facts.wish.lost = lost("new/agent");
    let step = scene.moves_to(&[PhasingOut, Issuing], "it is trusted");
    assert_eq!(step.state.given_up[0].reason, "declared lost: burnt down");
}

/// One that is given up counts as done when its certificate has ended, which people see.
#[test]
fn the_end_of_a_certificate_of_one_that_is_given_up() {
    let mut scene = Scene::of(&[NotYetTrusted]).peer("lyon/agent", unaware(1)).peer("lyon/b", unaware(1));
    scene.facts.peers.get_mut("lyon/b").unwrap().holds[0].not_after = at(40 * DAY);
    scene.facts.wish.lost = lost("lyon/agent");
    assert_eq!(scene.step().wake_at, Some(at(30 * DAY)));
    scene.facts.wish.lost.clear();
    scene = scene.peer("lyon/agent", away(unaware(1), -20 * DAY));
    assert_eq!(scene.step().wake_at, Some(at(30 * DAY)));
}

/// An overlap without end gives nobody up.
#[test]
fn an_overlap_without_end() {
    let mut scene = Scene::of(&[Issuing, NotYetTrusted]).peer("lyon/agent", away(unaware(1), 0)).at(90 * DAY);
    scene.facts.wish.overlap = Duration::MAX;
    assert_eq!(scene.step().state, scene.state);
}
