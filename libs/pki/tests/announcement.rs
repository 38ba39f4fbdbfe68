//! An announcement of trust is taken whole or not at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use proptest::prelude::*;
use sallyport_pki::announcement::{AnnouncementError, TrustAnnouncement};
use sallyport_pki::bundle::BundleError;
use sallyport_pki::signed::{Purpose, sign, verify};
use sallyport_testkit::Ca;
use sallyport_testkit::ca::start;
use serde_json::{Value, json};

fn announcement(old: &Ca, new: &Ca) -> TrustAnnouncement {
    TrustAnnouncement {
        region: old.region().clone(),
        sequence: 7,
        issued_at_ms: 1_700_000_000_000,
        certificates: old.bundle().union(&new.bundle()).to_pem(),
        issuer: new.authority().fingerprint(),
        renew_within_seconds: 86_400,
    }
}

fn parse(value: &Value) -> Result<TrustAnnouncement, AnnouncementError> {
    TrustAnnouncement::parse(&serde_json::to_vec(value).unwrap())
}

#[test]
fn it_survives_the_way_to_the_agent() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::generation("dmz", "eu", 2));
    let (told, signer) = (announcement(&old, &new), old.config_signer());
    let document = sign(Purpose::Trust, &serde_json::to_vec(&told).unwrap(), &signer.key(), &signer.der).unwrap();
    let payload = verify(Purpose::Trust, &document, &old.bundle(), old.region(), start()).unwrap();
    let heard = TrustAnnouncement::parse(&payload).unwrap();
    assert_eq!(heard, told);
    assert_eq!(heard.bundle().unwrap(), old.bundle().union(&new.bundle()));
}

#[test]
fn its_fields_have_these_names() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::generation("dmz", "eu", 2));
    let value = serde_json::to_value(announcement(&old, &new)).unwrap();
    let expected = json!({
        "region": "dmz/eu", "sequence": 7, "issuedAtMs": 1_700_000_000_000_u64, "renewWithinSeconds": 86_400,
        "certificates": old.bundle().union(&new.bundle()).to_pem(), "issuer": new.authority().fingerprint(),
    });
    assert_eq!(value, expected);
}

#[test]
fn what_is_not_whole_is_refused() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::generation("dmz", "eu", 2));
    let good = serde_json::to_value(announcement(&old, &new)).unwrap();
    assert!(parse(&good).is_ok());
    let changed = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        parse(&changed).unwrap_err()
    };
    let stranger = Ca::generation("dmz", "eu", 3);
    assert_eq!(changed("issuer", json!(stranger.authority().fingerprint())), AnnouncementError::Issuer);
    assert_eq!(changed("issuer", json!(new.authority().fingerprint().to_uppercase())), AnnouncementError::Issuer);
    assert_eq!(changed("certificates", json!("")), AnnouncementError::Bundle(BundleError::Empty));
    let leaf = old.endpoint("lyon", "ct").chain_pem + &new.authority().certificate_pem();
    let not_authority = AnnouncementError::Bundle(BundleError::NotAuthority { position: 1 });
    assert_eq!(changed("certificates", json!(leaf)), not_authority);
    assert!(matches!(changed("sequence", json!(-1)), AnnouncementError::Unreadable(_)));
    assert!(matches!(changed("region", json!("nowhere")), AnnouncementError::Unreadable(_)));
    assert!(matches!(changed("extra", json!(1)), AnnouncementError::Unreadable(_)));
    for field in good.as_object().unwrap().keys() {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(matches!(parse(&without), Err(AnnouncementError::Unreadable(_))), "{field}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(TrustAnnouncement::parse(&bytes).is_err());
    }
}
