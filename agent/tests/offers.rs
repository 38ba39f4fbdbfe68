//! The offer in force, over any history of pushes, restarts and crashes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use jiff::Timestamp;
use proptest::prelude::*;
use sallyport_agent::offer::{Judge, Offers};
use sallyport_pki::bundle::TrustBundle;
use support::*;

#[derive(Clone, Debug)]
enum Action {
    /// A gateway pushes an offer of this age.
    Push(u64),
    /// The agent is started again.
    Restart,
    /// It was killed between the two files: the newer time is there, its offer is not.
    Crash(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![4 => (1u64..50).prop_map(Action::Push), 1 => Just(Action::Restart), 1 => (1u64..50).prop_map(Action::Crash)]
}

fn judge<'a>(region: &'a Region, trust: &'a TrustBundle) -> Judge<'a> {
    Judge { trust, region: &region.id, endpoint: &region.endpoint, now: Timestamp::now() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two invariants: what is accepted is never older than anything accepted before, whatever happened in between;
    /// and once there is an offer in force, there always is one.
    #[test]
    fn the_offer_never_goes_back(history in prop::collection::vec(action(), 1..30)) {
        let region = Region::new();
        let trust = region.authority.bundle();
        let load = || {
            let (offers, error) = Offers::load(region.directory.path(), judge(&region, &trust));
            assert!(error.is_none());
            offers
        };
        let (mut offers, mut newest, mut any) = (load(), 0, false);
        for action in history {
            match action {
                Action::Push(at) => {
                    let taken = offers.take(&region.sign(&region.offer(22, at)), judge(&region, &trust));
                    prop_assert_eq!(taken.is_ok(), at >= newest, "{} after {}", at, newest);
                    newest = newest.max(at);
                    any |= taken.is_ok();
                }
                Action::Restart => offers = load(),
                Action::Crash(at) => {
                    newest = newest.max(at);
                    region.write("offer.newest", &newest.to_string());
                    offers = load();
                }
            }
            prop_assert_eq!(offers.in_force().is_some(), any);
            prop_assert!(offers.in_force().is_none_or(|offer| offer.issued_at_ms <= newest));
        }
    }
}

#[test]
fn an_offer_that_cannot_be_stored_does_not_come_into_force() {
    let region = Region::new();
    let trust = region.authority.bundle();
    let (offers, _) = Offers::load(&region.path("nowhere"), judge(&region, &trust));
    let error = offers.take(&region.sign(&region.offer(22, 1)), judge(&region, &trust)).unwrap_err();
    assert!(error.to_string().contains("stored"), "{error}");
    assert!(offers.in_force().is_none());
}
