//! Announcements of trust: which are obeyed, what is acknowledged, and what a crash leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use sallyport_agent::config::Config;
use sallyport_agent::handler::Site;
use sallyport_agent::metrics::Metrics;
use sallyport_agent::trust::{Announcements, Judge, newest};
use sallyport_pki::authority::Authority;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::signed::{Purpose, sign};
use sallyport_runtime::admin::Readiness;
use sallyport_runtime::metrics::Registry;
use support::*;

fn site(config: Config) -> Arc<Site> {
    Arc::new(Site::open(config, surroundings(), Metrics::new(&Registry::new(), &Readiness::new())).unwrap())
}

fn on_disk(region: &Region) -> TrustBundle {
    TrustBundle::from_pem(&std::fs::read_to_string(region.path("ca.crt")).unwrap()).unwrap()
}

fn both(region: &Region, second: &Authority) -> TrustBundle {
    region.authority.bundle().union(&second.bundle())
}

#[test]
fn an_announcement_replaces_what_is_trusted_and_is_acknowledged_by_its_digest() {
    let region = Region::new();
    let (second, new_signer) = region.generation(2);
    let both = both(&region, &second);
    let site = site(region.config(1, 1));
    let digest = site.take_trust(&region.announce(7, &both, &region.authority)).unwrap();
    assert_eq!(digest, both.digest());
    assert_eq!((site.material().trust.digest(), on_disk(&region).digest()), (digest.clone(), digest));
    assert_eq!(site.issuing().unwrap().issuer, region.authority.fingerprint());
    assert_eq!(newest(region.directory.path()).unwrap(), Some(7));
    let mode = |name: &str| std::fs::metadata(region.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.crt"), mode("trust.signed")), (0o644, 0o600));

    // The next one comes from the new generation's signer and drops the old one.
    let only = region.announcement(8, &second.bundle(), &second).by(&new_signer);
    assert_eq!(site.take_trust(&only).unwrap(), second.bundle().digest());
    assert_eq!(site.material().issuer, None, "our certificate's issuer is gone");
    // And the old signer is nobody now.
    let old = region.announce(9, &both, &region.authority);
    assert!(site.take_trust(&old).unwrap_err().to_string().contains("trusted"));
}

#[test]
fn what_is_not_the_config_signers_newest_word_for_this_region_is_refused() {
    let region = Region::new();
    let (second, new_signer) = region.generation(2);
    let site = site(region.config(1, 1));
    let before = region.authority.bundle();
    let good = region.announce(7, &before, &region.authority);
    site.take_trust(&good).unwrap();

    let stranger = Region::new();
    let both = both(&region, &second);
    let mut elsewhere = region.announcement(8, &both, &second);
    elsewhere.0.region = "dmz/paris".parse().unwrap();
    let mut unknown_issuer = region.announcement(8, &before, &second);
    let mut no_bundle = region.announcement(8, &both, &second);
    no_bundle.0.certificates = "no certificates".to_owned();
    let payload = serde_json::to_vec(&region.announcement(8, &both, &second).0).unwrap();
    let as_offer = sign(Purpose::Offer, &payload, &region.signer.0, &region.signer.1.der).unwrap();
    let endpoint = leaf(
        &region.authority,
        &region.id,
        sallyport_pki::profile::Profile::Endpoint(region.endpoint.clone()),
        90 * DAY,
    );
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    unknown_issuer.0.sequence = 8;
    for (bad, why) in [
        (region.announce(6, &both, &second), "sequence 6"),
        (region.announcement(8, &both, &second).by(&new_signer), "trusted"),
        (stranger.announce(8, &both, &second), "trusted"),
        (region.announcement(8, &both, &second).by(&endpoint), "signed"),
        (elsewhere.by(&region.signer), "dmz/paris"),
        (unknown_issuer.by(&region.signer), "issuer"),
        (no_bundle.by(&region.signer), "bundle"),
        (as_offer.into(), "signature"),
        (Bytes::from(damaged), "signature"),
        (Bytes::from_static(b"{}"), "malformed"),
    ] {
        let said = site.take_trust(&bad).unwrap_err().to_string();
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!((on_disk(&region), site.material().trust.clone()), (before.clone(), before.clone()));
    }
    assert_eq!(site.take_trust(&good).unwrap(), before.digest());
}

#[test]
fn the_sequence_survives_a_restart_and_is_not_guessed_when_it_is_damaged() {
    let region = Region::new();
    let (second, _) = region.generation(2);
    let both = both(&region, &second);
    let config = region.config(1, 1);
    site(config.clone()).take_trust(&region.announce(7, &both, &second)).unwrap();
    let again = site(config.clone());
    assert_eq!(again.issuing().unwrap().issuer, second.fingerprint());
    assert!(again.take_trust(&region.announce(6, &region.authority.bundle(), &region.authority)).is_err());
    region.write("trust.newest", "seven");
    let said = again.take_trust(&region.announce(9, &both, &second)).unwrap_err().to_string();
    assert!(said.contains("trust.newest") && said.contains("enrol"), "{said}");
    // An enrolment starts a new count.
    sallyport_agent::trust::forget(region.directory.path()).unwrap();
    again.take_trust(&region.announce(1, &both, &second)).unwrap();
}

#[test]
fn a_trust_file_that_cannot_be_written_is_named_and_nothing_is_acknowledged() {
    let region = Region::new();
    let (second, _) = region.generation(2);
    // A name as long as a file's may be: it can be read, and nothing longer can be made beside it.
    let name = "t".repeat(255);
    region.write(&name, &region.authority.certificate_pem());
    let config = Config { trust: region.path(&name), ..region.config(1, 1) };
    let site = site(config);
    let announced = region.announce(7, &both(&region, &second), &second);
    for _ in 0..2 {
        let said = site.take_trust(&announced).unwrap_err().to_string();
        assert!(said.contains(&name) && said.contains("writable"), "{said}");
        assert_eq!(site.material().trust, region.authority.bundle());
    }
    // What is in the file already needs no writing.
    let same = region.announce(8, &region.authority.bundle(), &region.authority);
    assert_eq!(site.take_trust(&same).unwrap(), region.authority.bundle().digest());
    // Replaced by hand, it is in force.
    region.write(&name, &both(&region, &second).to_pem());
    site.reload();
    let announced = region.announce(9, &both(&region, &second), &second);
    assert_eq!(site.take_trust(&announced).unwrap(), both(&region, &second).digest());
}

#[test]
fn a_bundle_changed_by_hand_is_used_and_acknowledged_as_what_it_is() {
    let region = Region::new();
    let (second, _) = region.generation(2);
    let (third, _) = region.generation(3);
    let announced = both(&region, &second);
    let site = site(region.config(1, 1));
    let document = region.announce(7, &announced, &region.authority);
    site.take_trust(&document).unwrap();
    let by_hand = announced.union(&third.bundle());
    region.write("ca.crt", &by_hand.to_pem());
    site.reload();
    assert_eq!(site.take_trust(&document).unwrap(), by_hand.digest());
    assert_eq!(on_disk(&region), by_hand);
    // Also one that the agent has not looked at yet.
    region.write("ca.crt", &announced.to_pem());
    assert_eq!(site.take_trust(&document).unwrap(), announced.digest());
    // The next word of the operator's counts.
    let next = region.announce(8, &region.authority.bundle(), &region.authority);
    assert_eq!(site.take_trust(&next).unwrap(), region.authority.bundle().digest());
}

#[derive(Clone, Debug)]
enum Action {
    /// A gateway pushes the announcement of this sequence.
    Push(u64),
    /// The agent is started again.
    Restart,
    /// It took the announcement so many later and was killed after the sequence was written.
    CrashAfterSequence(u64),
    /// The same, after the trust file was written.
    CrashAfterTrust(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1u64..30).prop_map(Action::Push),
        1 => Just(Action::Restart),
        1 => (1u64..4).prop_map(Action::CrashAfterSequence),
        1 => (1u64..4).prop_map(Action::CrashAfterTrust),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happened in between: what is taken is never older than anything taken or begun before, and after it was
    /// taken the file holds exactly what was acknowledged.
    #[test]
    fn trust_never_goes_back(history in prop::collection::vec(action(), 1..24)) {
        let region = Region::new();
        let (second, _) = region.generation(2);
        let bundle = |sequence: u64| if sequence.is_multiple_of(2) { both(&region, &second) } else { region.authority.bundle() };
        let (file, now) = (region.path("ca.crt"), Timestamp::now());
        let load = || {
            let trust = on_disk(&region);
            Announcements::load(region.directory.path(), Judge { trust: &trust, region: &region.id, now })
        };
        let mut announcements = load();
        let mut newest = 0;
        for action in history {
            let trust = on_disk(&region);
            match action {
                Action::Push(sequence) => {
                    let judge = Judge { trust: &trust, region: &region.id, now };
                    let document = region.announce(sequence, &bundle(sequence), &region.authority);
                    let taken = announcements.take(&document, judge, &file);
                    prop_assert_eq!(taken.is_ok(), sequence >= newest, "{} after {}", sequence, newest);
                    if let Ok(taken) = taken {
                        prop_assert_eq!(taken.digest, bundle(sequence).digest());
                        prop_assert_eq!(on_disk(&region), bundle(sequence));
                        newest = sequence;
                    } else {
                        prop_assert_eq!(on_disk(&region), trust);
                    }
                }
                Action::Restart => announcements = load(),
                Action::CrashAfterSequence(later) => {
                    newest += later;
                    region.write("trust.newest", &newest.to_string());
                    announcements = load();
                }
                Action::CrashAfterTrust(later) => {
                    newest += later;
                    region.write("trust.newest", &newest.to_string());
                    region.write("ca.crt", &bundle(newest).to_pem());
                    announcements = load();
                }
            }
        }
    }
}
