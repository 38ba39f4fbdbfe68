//! Revocation lists: what a CA signs is what is read, and nobody else's.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod openssl;

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use openssl::openssl;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sallyport_pki::authority::ListError;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_pki::revocation::{ListRefused, MAX_LIST_BYTES, Reason, Revocation, RevocationList};
use sallyport_testkit::Ca;
use sallyport_testkit::ca::start;

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("dmz", "eu"));

const REASONS: [Reason; 6] = [
    Reason::AffiliationChanged,
    Reason::CessationOfOperation,
    Reason::KeyCompromise,
    Reason::PrivilegeWithdrawn,
    Reason::Superseded,
    Reason::Unspecified,
];

fn week() -> Timestamp {
    start() + SignedDuration::from_hours(7 * 24)
}

fn revocation(serial: &str, reason: Reason) -> Revocation {
    Revocation { serial_hex: serial.to_owned(), at: start(), reason }
}

fn list(ca: &Ca, revoked: &[Revocation]) -> Vec<u8> {
    ca.authority().revocation_list(revoked, 7, start(), week()).unwrap()
}

#[test]
fn what_is_signed_is_what_is_read() {
    let revoked: Vec<_> = (0..6).map(|n| revocation(&format!("4{n}"), REASONS[n])).collect();
    let read = RevocationList::parse(&list(&CA, &revoked)).unwrap();
    assert_eq!(read.entries(), revoked);
    assert_eq!((read.number(), read.this_update(), read.next_update()), (7, start(), week()));
    assert_eq!(read.verify(&CA.bundle()).unwrap(), CA.authority().fingerprint());
    assert!(read.revokes("43") && !read.revokes("46"));
    // A certificate's own serial is found as it is written.
    let leaf = CA.endpoint("lyon", "ct");
    let read = RevocationList::parse(&list(&CA, &[revocation(&leaf.serial, Reason::KeyCompromise)])).unwrap();
    assert!(read.revokes(&inspect::serial_hex(&leaf.der).unwrap()));
}

#[test]
fn openssl_reads_the_same() {
    let ca = CA.next();
    let revoked = [revocation("4a01", Reason::KeyCompromise), revocation("4a02", Reason::Unspecified)];
    let der = list(&ca, &revoked);
    let (text, _) = openssl(&["crl", "-inform", "DER", "-text", "-noout"], &der).unwrap();
    let text = String::from_utf8(text).unwrap();
    for expected in [
        "Version 2 (0x1)",
        "Issuer: CN = Sallyport test CA G2",
        "Last Update: Jan  1 00:00:00 2024 GMT",
        "Next Update: Jan  8 00:00:00 2024 GMT",
        "X509v3 CRL Number: \n                7\n",
        "X509v3 Authority Key Identifier",
        "Serial Number: 4A01\n        Revocation Date: Jan  1 00:00:00 2024 GMT\n        CRL entry extensions:",
        "Key Compromise",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    // No reason is written as none (RFC 5280 section 5.3.1).
    assert_eq!(text.matches("CRL entry extensions").count(), 1, "{text}");
    // The list names the CA's key as the CA's certificate does, and as its leaves do.
    let (identifier, _) = openssl(
        &["x509", "-inform", "DER", "-noout", "-ext", "subjectKeyIdentifier"],
        ca.authority().certificate_der(),
    )
    .unwrap();
    let identifier = String::from_utf8(identifier).unwrap();
    let identifier = identifier.lines().last().unwrap().trim();
    assert!(identifier.len() > 50 && text.contains(identifier), "{identifier}\n{text}");
    let leaf = ca.endpoint("lyon", "ct");
    let (leaf, _) =
        openssl(&["x509", "-inform", "DER", "-noout", "-ext", "authorityKeyIdentifier"], &leaf.der).unwrap();
    assert!(String::from_utf8(leaf).unwrap().contains(identifier));
}

#[test]
fn a_serial_counts_once_with_its_first_date() {
    let later = start() + SignedDuration::from_hours(1);
    let revoked = [
        Revocation { at: later, ..revocation("4A01", Reason::Superseded) },
        revocation("004a01", Reason::KeyCompromise),
        Revocation { at: later, ..revocation("4a01", Reason::Unspecified) },
    ];
    let read = RevocationList::parse(&list(&CA, &revoked)).unwrap();
    assert_eq!(read.entries(), [revocation("4a01", Reason::KeyCompromise)]);
}

#[test]
fn what_a_list_cannot_say_is_refused() {
    let sign =
        |serial: &str| CA.authority().revocation_list(&[revocation(serial, Reason::Superseded)], 1, start(), week());
    // 20 bytes are the most, counting the zero in front of a high bit.
    assert!(sign(&"7f".repeat(20)).is_ok() && sign(&"ff".repeat(19)).is_ok());
    for serial in ["", "0", "00", "4x", "4a0", "é4", &"ff".repeat(20), &"11".repeat(21)] {
        assert_eq!(sign(serial).unwrap_err(), ListError::Serial { serial: serial.chars().take(64).collect() });
    }
    let period = |from, to| CA.authority().revocation_list(&[], 1, from, to).map(drop);
    assert_eq!(period(start(), start()), Err(ListError::Period));
    assert_eq!(period(week(), start()), Err(ListError::Period));
    assert_eq!(period(start(), start() + SignedDuration::from_millis(900)), Err(ListError::Period));
    assert_eq!(period(Timestamp::MIN, week()), Err(ListError::Period));
    assert_eq!(period(start(), start() + SignedDuration::from_secs(1)), Ok(()));
}

#[test]
fn only_a_ca_of_the_bundle_that_may_sign_lists_is_believed() {
    let read = RevocationList::parse(&list(&CA, &[])).unwrap();
    let (next, twin) = (CA.next(), Ca::new("dmz", "eu"));
    assert_eq!(read.verify(&next.bundle_with(&CA)).unwrap(), CA.authority().fingerprint());
    assert_eq!(read.verify(&next.bundle()), Err(ListRefused::Untrusted));
    assert_eq!(read.verify(&twin.bundle()), Err(ListRefused::Untrusted), "the same name, another key");
    assert_eq!(read.verify(&TrustBundle::empty()), Err(ListRefused::Untrusted));
    // A CA whose certificate lets it sign certificates only.
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let bundle = TrustBundle::from_pem(&params.self_signed(&key).unwrap().pem()).unwrap();
    let mut more = params.clone();
    more.key_usages.push(KeyUsagePurpose::CrlSign);
    let may = TrustBundle::from_pem(&more.self_signed(&key).unwrap().pem()).unwrap();
    let crl = foreign(&Issuer::from_params(&more, &key), |_| {});
    let read = RevocationList::parse(&crl).unwrap();
    assert_eq!(read.verify(&bundle), Err(ListRefused::Untrusted));
    assert!(read.verify(&may).is_ok());
}

#[test]
fn lists_of_another_kind_are_refused() {
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::from_params(&params, &key);
    assert!(RevocationList::parse(&foreign(&issuer, |_| {})).is_ok());
    // Its number does not fit ours; it is for a part of the certificates only.
    for change in [
        (|crl| crl.crl_number = rcgen::SerialNumber::from(vec![1; 9]))
            as fn(&mut rcgen::CertificateRevocationListParams),
        |crl| {
            crl.issuing_distribution_point = Some(rcgen::CrlIssuingDistributionPoint {
                distribution_point: rcgen::CrlDistributionPoint { uris: vec!["http://a.example/crl".to_owned()] },
                scope: Some(rcgen::CrlScope::CaCertsOnly),
            });
        },
    ] {
        assert_eq!(RevocationList::parse(&foreign(&issuer, change)), Err(ListRefused::Unreadable));
    }
    assert_eq!(RevocationList::parse(&vec![0x30; MAX_LIST_BYTES + 1]), Err(ListRefused::TooLarge));
    let good = list(&CA, &[revocation("4a", Reason::Superseded)]);
    assert_eq!(RevocationList::parse(&[&good[..], b"\0"].concat()), Err(ListRefused::Unreadable));
    for cut in 0..good.len() {
        assert_eq!(RevocationList::parse(&good[..cut]), Err(ListRefused::Unreadable), "cut at {cut}");
    }
    assert_eq!(RevocationList::parse(CA.authority().certificate_der()), Err(ListRefused::Unreadable));
}

/// A list as some other CA might sign it.
fn foreign(issuer: &Issuer<'_, &KeyPair>, change: impl FnOnce(&mut rcgen::CertificateRevocationListParams)) -> Vec<u8> {
    let mut params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2024, 1, 8),
        crl_number: rcgen::SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// Every single bit counts: no damaged list is believed.
#[test]
fn every_flipped_bit_is_refused() {
    let good = list(&CA, &[revocation("4a01", Reason::Superseded)]);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let read = RevocationList::parse(&bad).and_then(|list| list.verify(&CA.bundle()));
        assert!(read.is_err(), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_list_survives(
        serials in prop::collection::btree_map("[1-9a-f][0-9a-f]([0-9a-f]{2}){0,18}", (0usize..6, 0i64..600_000), 0..40),
        number in any::<u64>(),
        seconds in 1i64..4_000_000_000,
    ) {
        let revoked: Vec<_> = serials.iter().map(|(serial, (reason, after))| Revocation {
            serial_hex: serial.clone(),
            at: start() + SignedDuration::from_secs(*after),
            reason: REASONS[*reason],
        }).collect();
        let end = start() + SignedDuration::from_secs(seconds);
        let der = CA.authority().revocation_list(&revoked, number, start(), end).unwrap();
        let read = RevocationList::parse(&der).unwrap();
        prop_assert_eq!((read.number(), read.next_update()), (number, end));
        prop_assert_eq!(read.verify(&CA.bundle()), Ok(CA.authority().fingerprint()));
        let by_serial = |mut entries: Vec<Revocation>| {
            entries.sort_by(|a, b| a.serial_hex.cmp(&b.serial_hex));
            entries
        };
        prop_assert_eq!(by_serial(read.entries().to_vec()), by_serial(revoked));
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(RevocationList::parse(&bytes).is_err());
    }

    #[test]
    fn hostile_parts_never_panic(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..20)) {
        let mut der = list(&CA, &[revocation("4a01", Reason::Superseded)]);
        let at = at.index(der.len());
        let end = (at + with.len()).min(der.len());
        let same = der[at..end] == with[..end - at];
        der[at..end].copy_from_slice(&with[..end - at]);
        let read = RevocationList::parse(&der).and_then(|list| list.verify(&CA.bundle()));
        prop_assert_eq!(read.is_ok(), same);
    }
}
