//! A trust bundle is a set of CAs, read whole or not at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use sallyport_pki::bundle::{BundleError, TrustBundle};
use sallyport_pki::inspect;
use sallyport_testkit::Ca;

fn pem(ca: &Ca) -> String {
    ca.authority().certificate_pem()
}

#[test]
fn order_and_duplicates_mean_nothing() {
    let (a, b) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu"));
    let one = TrustBundle::from_pem(&format!("# ours\n\n{}{}", pem(&a), pem(&b))).unwrap();
    let two = TrustBundle::from_pem(&format!("{}\n{}\n{}", pem(&b), pem(&a), pem(&b))).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.digest(), two.digest());
    assert_eq!((one.len(), a.bundle().len()), (2, 1));
    assert_eq!(TrustBundle::from_pem(&one.to_pem()).unwrap(), one);
    assert_eq!(a.bundle().union(&b.bundle()), one);
    assert_ne!(a.bundle().digest(), b.bundle().digest());
    assert!(one.contains(a.authority().certificate_der()) && !b.bundle().contains(a.authority().certificate_der()));
    assert_eq!(one.certificates().count(), 2);
}

#[test]
fn it_knows_who_signed_and_what_it_lost() {
    // Two authorities of one name: only the signature tells them apart.
    let (a, b) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu"));
    let both = a.bundle().union(&b.bundle());
    let leaf = b.endpoint("lyon", "ct").der;
    assert_eq!(both.issuer_of(&leaf), Some(inspect::fingerprint(b.authority().certificate_der())));
    assert_eq!(a.bundle().issuer_of(&leaf), None);
    assert_eq!(both.issuer_of(b"no certificate"), None);
    assert_eq!(both.without(&a.bundle()), b.bundle());
    assert!(both.without(&both).is_empty());
}

#[test]
fn one_bad_part_refuses_the_whole_and_is_named() {
    let ca = Ca::new("dmz", "eu");
    let (good, leaf) = (pem(&ca), ca.endpoint("lyon", "ct"));
    let cut = good.lines().filter(|line| !line.contains("END")).collect::<Vec<_>>().join("\n");
    let garbled = "-----BEGIN CERTIFICATE-----\nMAAx\n-----END CERTIFICATE-----\n";
    let lines = good.lines().count();
    for (text, error) in [
        (String::new(), BundleError::Empty),
        ("# nothing\n".to_owned(), BundleError::Empty),
        (format!("{good}{}", leaf.chain_pem), BundleError::NotAuthority { position: 2 }),
        (format!("{good}{good}{garbled}"), BundleError::Unreadable { position: 3 }),
        (format!("{good}garbage\n"), BundleError::NotCertificate { line: lines + 1 }),
        (format!("{good}{}", leaf.key_pem.as_str()), BundleError::NotCertificate { line: lines + 1 }),
        (cut.clone(), BundleError::NotCertificate { line: lines - 1 }),
        (format!("{cut}\n{good}"), BundleError::NotCertificate { line: lines }),
    ] {
        assert_eq!(TrustBundle::from_pem(&text), Err(error), "{text}");
    }
}

#[test]
fn a_ca_both_says_so_and_may_sign() {
    let read = |is_ca: IsCa, usages: &[KeyUsagePurpose]| {
        let mut params = CertificateParams::default();
        (params.is_ca, params.key_usages) = (is_ca, usages.to_vec());
        TrustBundle::from_pem(&params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem())
    };
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let (sign, other) = ([KeyUsagePurpose::KeyCertSign], [KeyUsagePurpose::DigitalSignature]);
    assert!(read(ca(), &[]).is_ok() && read(ca(), &sign).is_ok());
    for refused in [
        read(ca(), &other),
        read(IsCa::NoCa, &[]),
        read(IsCa::NoCa, &sign),
        read(IsCa::ExplicitNoCa, &[]),
        read(IsCa::ExplicitNoCa, &sign),
    ] {
        assert_eq!(refused, Err(BundleError::NotAuthority { position: 1 }));
    }
}

#[test]
fn debug_and_empty() {
    assert!(TrustBundle::empty().is_empty());
    let shown = format!("{:?}", Ca::new("dmz", "eu").bundle());
    assert!(shown.starts_with("TrustBundle(1 certificates, "), "{shown}");
}

proptest! {
    #[test]
    fn hostile_text_never_panics(text in "(-----(BEGIN|END) CERTIFICATE-----\n|[A-Za-z0-9+/=]{0,80}\n|#?\\PC{0,10}\n){0,12}") {
        prop_assert!(TrustBundle::from_pem(&text).is_err());
    }

    #[test]
    fn a_damaged_bundle_is_refused_or_trusts_the_same_key(at in any::<prop::sample::Index>(), bit in 0u8..7) {
        let ca = Ca::new("dmz", "eu");
        let mut bytes = pem(&ca).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if let Ok(bundle) = TrustBundle::from_pem(&text) {
            let keys: Vec<_> = bundle.certificates().map(|der| inspect::public_key(&der)).collect();
            prop_assert_eq!(keys, [inspect::public_key(ca.authority().certificate_der())]);
        }
    }
}
