use std::sync::Arc;

use jiff::SignedDuration;
use sallyport_api::tunnel_certificate::RevocationReason;
use sallyport_pki::authority::Authority;
use sallyport_pki::rotation::Stage;

use super::*;
use crate::reconcile::authority::sample;

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const GONE: &str = "its key is not there";

fn at(hours: i64) -> Timestamp {
    sample::now() + SignedDuration::from_hours(hours)
}

fn revoked(serial: &str, issuer_generation: u32) -> RevokedCertificate {
    RevokedCertificate {
        serial: serial.into(),
        issuer_generation,
        not_after: at(2000),
        reason: RevocationReason::KeyCompromise,
        at: at(0),
    }
}

/// What one look leaves for the next.
fn known(before: &Lists, revoked: &[RevokedCertificate]) -> Known {
    Known {
        revoked: revoked.to_vec(),
        ends: BTreeMap::new(),
        lists: before.by_issuer.iter().map(|(issuer, list)| (issuer.clone(), vec![list.clone()])).collect(),
        denied: before.denied.clone(),
    }
}

fn two() -> (State, [Arc<Authority>; 2]) {
    let authorities = [1, 2].map(|number| Arc::new(sample::authority(number)));
    (sample::state(&[(&*authorities[0], Stage::PhasingOut), (&*authorities[1], Stage::Issuing)]), authorities)
}

fn names(lists: &Lists) -> Vec<String> {
    lists.denied.iter().map(Denied::name).collect()
}

#[test]
fn what_a_list_without_a_key_lacks_is_denied_by_name_and_other_lists_go_on() {
    let (state, [first, second]) = two();
    let with_both = sample::ring(&[(&first, true), (&second, true)]);
    let before = up_to_date(&state, &with_both, &known(&Lists::default(), &[revoked("4a", 1)]), WEEK, at(0));
    assert!(before.denied.is_empty() && before.notes.is_empty());

    let lost = sample::ring(&[(&first, false), (&second, true)]);
    let now = [revoked("4a", 1), revoked("4b", 1), revoked("5a", 2)];
    let after = up_to_date(&state, &lost, &known(&before, &now), WEEK, at(1));
    assert_eq!(
        names(&after),
        [format!("{}:4b", first.fingerprint())],
        "4a is on the last list, 5a on one that is signed"
    );
    assert!(after.by_issuer[&second.fingerprint()].revokes("5a"));
    assert!(after.notes[0].contains(GONE) && after.notes[0].contains("1 certificates"), "{:?}", after.notes);

    // Its object is gone, and the last list has ended: it is denied all the same.
    let later = up_to_date(&state, &lost, &known(&after, &[]), WEEK, at(24 * 8));
    assert_eq!(names(&later), names(&after));
    let over = up_to_date(&state, &lost, &known(&later, &[]), WEEK, at(2000 + 24));
    assert_eq!(names(&over), [""; 0], "a day after its end nobody needs to refuse it");

    // The key is put back.
    let restored = up_to_date(&state, &with_both, &known(&later, &[]), WEEK, at(24 * 8));
    assert!(restored.denied.is_empty());
    let list = &restored.by_issuer[&first.fingerprint()];
    assert!(list.revokes("4a") && list.revokes("4b"));
}

#[test]
fn a_generation_that_never_had_a_list_denies_by_name() {
    let (state, [first, second]) = two();
    let lost = sample::ring(&[(&first, false), (&second, true)]);
    let lists = up_to_date(&state, &lost, &known(&Lists::default(), &[revoked("4a", 1)]), WEEK, at(0));
    assert_eq!(names(&lists), [format!("{}:4a", first.fingerprint())]);
    assert_eq!(lists.status().map(|status| status.revoked), Some(1));
}

/// Else every look would write status, and every write of status is a look.
#[test]
fn the_status_of_a_list_that_cannot_be_signed_does_not_move_with_the_clock() {
    let (state, [first, second]) = two();
    let both = sample::ring(&[(&first, true), (&second, true)]);
    let before = up_to_date(&state, &both, &known(&Lists::default(), &[]), WEEK, at(0));
    let lost = sample::ring(&[(&first, false), (&second, true)]);
    let status = |hours| up_to_date(&state, &lost, &known(&before, &[]), WEEK, at(hours)).status().unwrap().renew_at;
    let list = &before.by_issuer[&first.fingerprint()];
    assert_eq!(status(60), lists::renew_at(list, WEEK).to_string());
    assert_eq!(status(60), status(61));
}
