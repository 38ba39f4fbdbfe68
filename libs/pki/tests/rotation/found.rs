//! Sequences that failed once, in words that outlive a change of the generator. Seeds are in `proptest-regressions`.

use sallyport_pki::rotation::step;

use super::actions::Act::{self, *};
use super::actions::History;
use super::operator::Operator;
use super::properties::{ALL, hold};

fn replay(acts: &[Act]) {
    hold(&ALL, History::new(Operator::sound(step)), acts).unwrap();
}

/// A site that appears between `Trusted` and `Issuing`, with the clock so far back that it cannot be given a
/// certificate, does not trust the generation that is about to sign.
#[test]
fn a_site_that_appears_between_trusted_and_issuing() {
    replay(&[
        Reconcile,
        Emergency { hours: 1 },
        CrashAfter(4),
        Back { hours: 1 },
        AddSite,
        CrashAfter(1),
        Reconcile,
        AcknowledgeAll,
        Reconcile,
    ]);
}
