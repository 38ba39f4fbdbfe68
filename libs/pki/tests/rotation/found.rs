//! Sequences that failed once, in words that outlive a change of the generator. New ones come as seeds to `proptest-regressions`
//! first.

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

/// The same between the facts and the write of a late operator, with a signer that has ended: nobody can ask one who was
/// not there yet, so it is the property that had to say who is asked.
#[test]
fn a_site_that_appears_after_the_facts() {
    replay(&[
        CrashAfter(1),
        Request,
        Forward { hours: 1485 },
        Reconcile,
        Forward { hours: 2115 },
        Remember,
        LateOperator,
        Remember,
        AddSite,
        LateOperator,
        Reconcile,
    ]);
}
