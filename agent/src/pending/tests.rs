use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use sallyport_pki::authority::{LeafRequest, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::profile::Profile;
use sallyport_testkit::Ca;
use tempfile::TempDir;

use super::*;

const NOW: &str = "2026-11-24T12:00:00Z";

struct Place {
    folder: TempDir,
    ca: Ca,
    endpoint: EndpointId,
}

impl Place {
    fn new() -> Self {
        let ca = Ca::new("dmz", "frankfurt");
        Self { folder: tempfile::tempdir().unwrap(), ca, endpoint: "lyon/ct".parse().unwrap() }
    }

    fn open(&self) -> Pending {
        Pending::open(&self.folder.path().join("tls.key"), &self.endpoint, None).unwrap()
    }

    fn leaf(&self, pending: &Pending, minutes: i64) -> Vec<u8> {
        let request = LeafRequest {
            region: self.ca.region().clone(),
            profile: Profile::Endpoint(self.endpoint.clone()),
            public_key: pending.key().public_key(),
            lifetime: std::time::Duration::from_secs(90 * 86400),
            serial: Serial::from_random(rand::random()),
        };
        self.ca.authority().issue(&request, now() + SignedDuration::from_mins(minutes)).unwrap().der
    }

    fn judged(&self, pending: &Pending, trust: &TrustBundle) -> Option<Result<Accepted, IssuedError>> {
        let key = pending.key().public_key();
        pending.answer(&Wanted { key: &key, endpoint: &self.endpoint, region: None, trust }, now())
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

#[test]
fn the_key_and_the_answers_are_the_same_after_a_crash() {
    let place = Place::new();
    let mut pending = place.open();
    assert!(!pending.is_stored() && place.judged(&pending, &place.ca.bundle()).is_none());
    assert_ne!(place.open().key().public_key(), pending.key().public_key(), "nothing is on disk yet");
    pending.store().unwrap();
    assert_eq!(place.open().key().public_key(), pending.key().public_key());
    let leaf = place.leaf(&pending, 0);
    pending.answered(&leaf).unwrap();
    assert_eq!(std::fs::metadata(pending.path()).unwrap().permissions().mode() & 0o777, 0o600);

    let again = place.open();
    assert!(again.is_stored());
    assert!(matches!(place.judged(&again, &place.ca.bundle()), Some(Ok(Accepted::Now(issued))) if issued.leaf == leaf));
    again.forget().unwrap();
    again.forget().unwrap();
    assert_ne!(place.open().key().public_key(), pending.key().public_key());
}

#[test]
fn the_best_answer_counts_and_lies_push_none_out_at_once() {
    let place = Place::new();
    let other = Ca::new("dmz", "frankfurt");
    let mut pending = place.open();
    let (soon, good) = (place.leaf(&pending, 10), place.leaf(&pending, 0));
    pending.answered(&good).unwrap();
    pending.answered(&soon).unwrap();
    let now_in_use = |pending: &Pending| place.judged(pending, &place.ca.bundle());
    assert!(matches!(now_in_use(&pending), Some(Ok(Accepted::Now(issued))) if issued.leaf == good));
    assert!(matches!(place.judged(&pending, &other.bundle()), Some(Err(IssuedError::Untrusted))));
    // The same again is the same.
    pending.answered(&good).unwrap();
    assert_eq!(place.open().answers, [good.clone(), soon]);
    for _ in 1..MOST_ANSWERS {
        pending.answered(&place.leaf(&pending, 600)).unwrap();
    }
    assert!(matches!(now_in_use(&place.open()), Some(Ok(Accepted::Now(issued))) if issued.leaf == good));
    pending.answered(&place.leaf(&pending, 600)).unwrap();
    assert_eq!(place.open().answers.len(), MOST_ANSWERS);
}

#[test]
fn a_key_of_another_endpoint_or_in_use_or_damaged_is_not_used() {
    let place = Place::new();
    let mut pending = place.open();
    pending.store().unwrap();
    let key = pending.key().public_key();
    let file = place.folder.path().join("tls.key");
    let other = Pending::open(&file, &"lyon/mr".parse().unwrap(), None).unwrap();
    assert_ne!(other.key().public_key(), key);
    assert_ne!(Pending::open(&file, &place.endpoint, Some(&key)).unwrap().key().public_key(), key);
    for damaged in ["", "endpoint lyon/ct\n", "endpoint lyon/ct\n-----BEGIN PRIVATE KEY-----\nAAAA\n"] {
        std::fs::write(pending.path(), damaged).unwrap();
        assert!(!place.open().is_stored(), "{damaged:?}");
    }
    std::fs::write(pending.path(), [0xff; 10]).unwrap();
    assert!(!place.open().is_stored());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Another one is asked for at most once a day, and however the present certificate's end comes near, in time.
    #[test]
    fn an_answer_is_left_alone_for_a_day_or_a_quarter_of_what_is_left(age in -3000i64..3000, left in 0i64..10_000) {
        let place = Place::new();
        let mut pending = place.open();
        prop_assert!(pending.is_stale(now(), now()), "there is none");
        pending.answers = vec![place.leaf(&pending, -age)];
        let patience = (24 * 60).min(left / 4);
        let stale = pending.is_stale(now() + SignedDuration::from_mins(left), now());
        if age.abs() > patience {
            prop_assert!(stale);
        } else if age.abs() < patience {
            prop_assert!(!stale);
        }
    }
}
