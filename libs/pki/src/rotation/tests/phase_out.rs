//! How a generation goes.

use super::Stage::*;
use super::*;

const WAITS: &str = "peers to use no certificate of generation 1";

fn phasing_out(peer: Peer) -> Scene {
    Scene::of(&[PhasingOut, Issuing]).peer("lyon/agent", peer)
}

#[test]
fn nobody_uses_it() {
    let step = phasing_out(holder(2)).moves_to(&[Removed, Issuing], "all 1 peers use no certificate of it");
    assert_eq!((step.state.sequence, step.actions.as_slice()), (1, [Action::DestroyKey { number: 1 }].as_slice()));
}

#[test]
fn somebody_uses_it() {
    let scene = phasing_out(holder(1)).peer("dmz/ok", holder(2));
    scene.waits(WAITS, 1, 2, &[("lyon/agent", "still uses a certificate of generation 1 until 2026-01-31T00:00:00Z")]);
    assert_eq!(scene.step().wake_at, Some(at(30 * DAY)));
    scene.at(30 * DAY).moves_to(&[Removed, Issuing], "all 2 peers use no certificate of it");
}

#[test]
fn one_of_several_certificates_is_enough() {
    let mut peer = holder(2);
    peer.holds.push(Held { issuer: 1, not_after: at(5) });
    peer.holds.push(Held { issuer: 1, not_after: at(9) });
    peer.holds.push(Held { issuer: 1, not_after: at(7) });
    let scene = phasing_out(peer).at(6);
    scene.waits(WAITS, 0, 1, &[("lyon/agent", "still uses a certificate of generation 1 until 2026-01-01T00:00:09Z")]);
}

#[test]
fn who_uses_it_is_away() {
    let scene = phasing_out(away(holder(1), DAY)).at(2 * DAY);
    let reason = "still uses a certificate of generation 1 until 2026-01-31T00:00:00Z; away since 2026-01-02T00:00:00Z, \
                  given up at 2026-01-12T00:00:00Z";
    scene.waits(WAITS, 0, 1, &[("lyon/agent", reason)]);
    assert_eq!(scene.step().wake_at, Some(at(11 * DAY)));
    let why = "0 peers use no certificate of it, 1 given up";
    let step = scene.at(11 * DAY).moves_to(&[Removed, Issuing], why);
    let record = &step.state.given_up[0];
    assert_eq!(
        (record.generation, record.reason.as_str()),
        (2, "away since 2026-01-02T00:00:00Z, which is longer than 10d")
    );
}

#[test]
fn who_uses_it_was_declared_lost() {
    let mut scene = phasing_out(holder(1));
    scene.facts.wish.lost = lost("lyon/agent");
    let step = scene.moves_to(&[Removed, Issuing], "0 peers use no certificate of it, 1 given up");
    assert_eq!(step.state.given_up[0].reason, "declared lost: burnt down");
}

#[test]
fn it_ended() {
    let mut peer = holder(1);
    peer.holds[0].not_after = at(200 * DAY);
    assert_eq!(phasing_out(peer.clone()).step().wake_at, Some(at(100 * DAY)));
    let step = phasing_out(peer).at(100 * DAY).moves_to(&[Removed, Issuing], "it ended at 2026-04-11T00:00:00Z");
    assert_eq!(step.state.given_up, []);
}

/// One that is given up counts as done when its certificate has ended, which people see.
#[test]
fn the_end_of_a_certificate_of_one_that_is_given_up() {
    let mut scene = phasing_out(holder(1)).peer("lyon/b", holder(1));
    scene.facts.peers.get_mut("lyon/b").unwrap().holds[0].not_after = at(40 * DAY);
    scene.facts.wish.lost = lost("lyon/agent");
    assert_eq!(scene.step().wake_at, Some(at(30 * DAY)));
}

/// The key is destroyed only once the removal is stored, and until it is gone; a late operator may have made it again.
#[test]
fn keys_of_the_removed_are_destroyed() {
    let mut scene = Scene::of(&[Removed, Issuing]);
    assert_eq!(scene.step().actions, []);
    scene.facts.keys.insert(1, generation(1));
    assert_eq!(scene.step().actions, [Action::DestroyKey { number: 1 }]);
    scene.state.generations.remove(0);
    assert_eq!(scene.step().actions, [Action::DestroyKey { number: 1 }], "forgotten");
}

/// It lost its key before it signed, and somebody holds one of its certificates: it stays until a younger one signs, or
/// nothing that is published would be younger.
#[test]
fn not_before_a_younger_one_signs() {
    let scene = Scene::of(&[Issuing, PhasingOut]);
    assert_eq!(scene.step().state, scene.state);
    let scene = Scene::of(&[PhasingOut, PhasingOut, Trusted]).at(100 * DAY - 1);
    assert_eq!(scene.step().state.bundle(), [1, 2, 3].into());
}
