//! A signed document convinces an agent only if the region's own config signer signed it, now.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use sallyport_core::name::RegionId;
use sallyport_pki::authority::{LeafRequest, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect::IdentityRefused;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::signed::{Purpose, SignError, SignedError, sign, verify};
use sallyport_testkit::ca::start;
use sallyport_testkit::{Ca, Credential};

const PAYLOAD: &[u8] = br#"{"endpoint":"lyon/ct"}"#;

fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

fn document(signer: &Credential) -> Vec<u8> {
    sign(Purpose::Offer, PAYLOAD, &signer.key(), &signer.der).unwrap()
}

fn check(document: &[u8], ca: &Ca) -> Result<Vec<u8>, SignedError> {
    verify(Purpose::Offer, document, &ca.bundle(), ca.region(), now())
}

#[test]
fn the_config_signer_is_believed() {
    let ca = Ca::new("dmz", "eu");
    assert_eq!(check(&document(&ca.config_signer()), &ca).unwrap(), PAYLOAD);
    let empty = ca.config_signer();
    assert_eq!(check(&sign(Purpose::Offer, b"", &empty.key(), &empty.der).unwrap(), &ca).unwrap(), b"");
}

#[test]
fn a_p384_signer_is_believed_too() {
    let ca = Ca::new("dmz", "eu");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let request = LeafRequest {
        region: ca.region().clone(),
        profile: Profile::ConfigSigner,
        public_key: key.public_key(),
        lifetime: Duration::from_secs(10 * 365 * 24 * 3600),
        serial: Serial::from_random([5; 16]),
    };
    let leaf = ca.authority().issue(&request, start()).unwrap();
    assert_eq!(check(&sign(Purpose::Offer, PAYLOAD, &key, &leaf.der).unwrap(), &ca).unwrap(), PAYLOAD);
}

#[test]
fn every_other_certificate_of_the_ca_is_refused() {
    let ca = Ca::new("dmz", "eu");
    for other in [
        ca.endpoint("lyon", "ct"),
        ca.gateway("gateway-0"),
        ca.gateway_bootstrap(),
        ca.operator(),
        ca.inner_door("inner.example"),
        ca.outer_door("outer.example"),
    ] {
        assert_eq!(check(&document(&other), &ca), Err(SignedError::WrongUsage));
    }
}

#[test]
fn another_region_another_ca_and_another_time_are_refused() {
    let (ca, twin) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu"));
    let us = RegionId::parse("dmz", "us").unwrap();
    let good = document(&ca.config_signer());
    assert!(matches!(verify(Purpose::Offer, &good, &ca.bundle(), &us, now()), Err(SignedError::WrongSigner { .. })));
    // A CA of the same name and another key.
    assert_eq!(check(&document(&twin.config_signer()), &ca), Err(SignedError::Untrusted));
    assert_eq!(verify(Purpose::Offer, &good, &TrustBundle::empty(), ca.region(), now()), Err(SignedError::Untrusted));
    assert_eq!(check(&document(&ca.issue_expired(Profile::ConfigSigner)), &ca), Err(SignedError::Expired));
    let before = start() - SignedDuration::from_hours(24);
    assert!(verify(Purpose::Offer, &good, &ca.bundle(), ca.region(), before).is_err());
    assert_eq!(verify(Purpose::Offer, &good, &ca.bundle(), ca.region(), Timestamp::MIN), Err(SignedError::Expired));
    // The CA itself has ended, although a leaf of it claims to go on: see `forged`.
    assert!(verify(Purpose::Offer, &good, &ca.bundle(), ca.region(), Timestamp::MAX).is_err());
}

#[test]
fn a_leaf_that_outlives_its_ca_ends_with_it() {
    // A stolen CA key could sign this; ours never does.
    let (ca_key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let trust = TrustBundle::from_pem(&params.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::from_params(&params, &ca_key);
    let (der, key) = forged(&issuer, |_| {});
    let document = sign(Purpose::Offer, PAYLOAD, &key, &der).unwrap();
    let region = RegionId::parse("dmz", "eu").unwrap();
    let in_2024 = start();
    assert_eq!(verify(Purpose::Offer, &document, &trust, &region, in_2024).unwrap(), PAYLOAD);
    assert_eq!(verify(Purpose::Offer, &document, &trust, &region, now()), Err(SignedError::Untrusted));
}

#[test]
fn hostile_leaves_of_a_trusted_ca_are_refused() {
    let (ca_key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let trust = TrustBundle::from_pem(&params.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::from_params(&params, &ca_key);
    let region = RegionId::parse("dmz", "eu").unwrap();
    let outcome = |change: fn(&mut CertificateParams)| {
        let (der, key) = forged(&issuer, change);
        verify(Purpose::Offer, &sign(Purpose::Offer, PAYLOAD, &key, &der).unwrap(), &trust, &region, now())
    };
    assert_eq!(outcome(|_| {}).unwrap(), PAYLOAD);
    assert_eq!(
        outcome(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
        Err(SignedError::Untrusted),
        "a CA as leaf"
    );
    assert_eq!(outcome(|p| p.extended_key_usages.clear()), Err(SignedError::WrongUsage), "no extended key usage");
    assert_eq!(
        outcome(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
        Err(SignedError::WrongUsage),
        "any usage is not this usage"
    );
    let identity = |refused| Err(SignedError::Identity(refused));
    assert_eq!(outcome(|p| p.subject_alt_names.clear()), identity(IdentityRefused::None));
    assert_eq!(
        outcome(|p| p.subject_alt_names.push(uri("sallyport://dmz.eu/operator"))),
        identity(IdentityRefused::Several { count: 2 })
    );
    assert_eq!(
        outcome(|p| p.subject_alt_names.push(uri("sallyport://dmz.eu/config-signer"))),
        identity(IdentityRefused::Several { count: 2 }),
        "twice the same is still not once"
    );
    let wrong = outcome(|p| p.subject_alt_names = vec![uri("sallyport://dmz.eu/operator")]);
    assert!(matches!(wrong, Err(SignedError::WrongSigner { .. })));
    let name_only = outcome(|p| {
        p.subject_alt_names.clear();
        p.distinguished_name.push(DnType::CommonName, "sallyport://dmz.eu/config-signer");
    });
    assert_eq!(name_only, identity(IdentityRefused::None));
}

/// A config signer's leaf for `dmz/eu` that any CA might sign, changed.
fn forged(issuer: &Issuer<'_, &KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, PrivateKey) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri("sallyport://dmz.eu/config-signer")];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    change(&mut params);
    let der = params.signed_by(&pair, issuer).unwrap().der().to_vec();
    (der, PrivateKey::from_pem(&pair.serialize_pem()).unwrap())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn one_key_in_two_roles_signs_only_as_the_role_shown() {
    let ca = Ca::new("dmz", "eu");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let issue = |profile| {
        let request = LeafRequest {
            region: ca.region().clone(),
            profile,
            public_key: key.public_key(),
            lifetime: Duration::from_secs(10 * 365 * 24 * 3600),
            serial: Serial::from_random([6; 16]),
        };
        ca.authority().issue(&request, start()).unwrap().der
    };
    let (signer, operator) = (issue(Profile::ConfigSigner), issue(Profile::Operator));
    assert!(check(&sign(Purpose::Offer, PAYLOAD, &key, &signer).unwrap(), &ca).is_ok());
    assert_eq!(check(&sign(Purpose::Offer, PAYLOAD, &key, &operator).unwrap(), &ca), Err(SignedError::WrongUsage));
}

#[test]
fn a_signature_over_something_else_is_refused() {
    let ca = Ca::new("dmz", "eu");
    let signer = ca.config_signer();
    // Another document's signature, and one without the domain in front.
    let (one, two) = (document(&signer), sign(Purpose::Offer, b"other", &signer.key(), &signer.der).unwrap());
    let header = 5 + 4 + signer.der.len();
    let swapped = [&one[..header], &two[header..two.len() - 9], &one[one.len() - PAYLOAD.len() - 4..]].concat();
    assert_eq!(check(&swapped, &ca), Err(SignedError::BadSignature));
    let pair = KeyPair::from_pem(&signer.key_pem).unwrap();
    let bare = rcgen::SigningKey::sign(&pair, PAYLOAD).unwrap();
    assert_eq!(check(&assemble(&signer.der, &bare, PAYLOAD), &ca), Err(SignedError::BadSignature));
    let domain = [b"sallyport-offer-v1\0", PAYLOAD].concat();
    let proper = rcgen::SigningKey::sign(&pair, &domain).unwrap();
    assert_eq!(check(&assemble(&signer.der, &proper, PAYLOAD), &ca).unwrap(), PAYLOAD);
}

fn assemble(certificate: &[u8], signature: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut document = b"SPSD\x01".to_vec();
    for part in [certificate, signature, payload] {
        document.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        document.extend(part);
    }
    document
}

#[test]
fn a_document_for_one_purpose_never_passes_for_another() {
    let ca = Ca::new("dmz", "eu");
    let signer = ca.config_signer();
    let purposes = [Purpose::Offer, Purpose::Trust];
    for (made_for, taken_for) in purposes.iter().flat_map(|made| purposes.iter().map(move |taken| (*made, *taken))) {
        let document = sign(made_for, PAYLOAD, &signer.key(), &signer.der).unwrap();
        let expected = if made_for == taken_for { Ok(PAYLOAD.to_vec()) } else { Err(SignedError::BadSignature) };
        assert_eq!(verify(taken_for, &document, &ca.bundle(), ca.region(), now()), expected);
    }
    // Each purpose's domain is what its name says: agents of an earlier version check against the same bytes.
    let pair = KeyPair::from_pem(&signer.key_pem).unwrap();
    let proper = rcgen::SigningKey::sign(&pair, &[b"sallyport-trust-v1\0", PAYLOAD].concat()).unwrap();
    let document = assemble(&signer.der, &proper, PAYLOAD);
    assert_eq!(verify(Purpose::Trust, &document, &ca.bundle(), ca.region(), now()).unwrap(), PAYLOAD);
}

#[test]
fn a_signer_does_not_sign_as_somebody_else_or_without_bound() {
    let ca = Ca::new("dmz", "eu");
    let (signer, other) = (ca.config_signer(), ca.config_signer());
    assert_eq!(sign(Purpose::Offer, PAYLOAD, &signer.key(), &other.der), Err(SignError::ForeignCertificate));
    assert_eq!(sign(Purpose::Offer, PAYLOAD, &signer.key(), b"junk"), Err(SignError::ForeignCertificate));
    let large = vec![0; sallyport_pki::signed::MAX_DOCUMENT_BYTES];
    assert_eq!(sign(Purpose::Offer, &large, &signer.key(), &signer.der), Err(SignError::TooLarge));
}

/// Every single bit counts: there is no spare place in a document.
#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let ca = Ca::new("dmz", "eu");
    let good = document(&ca.config_signer());
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bad, &ca).is_err(), "bit {bit}");
    }
    for cut in 0..good.len() {
        assert!(check(&good[..cut], &ca).is_err(), "cut at {cut}");
    }
    assert_eq!(check(&[&good[..], b"\0"].concat(), &ca), Err(SignedError::Malformed));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let region = RegionId::parse("dmz", "eu").unwrap();
        let document = if magic { [b"SPSD\x01", &bytes[..]].concat() } else { bytes };
        prop_assert!(verify(Purpose::Offer, &document, &TrustBundle::empty(), &region, now()).is_err());
    }

    #[test]
    fn arbitrary_parts_never_panic(
        certificate in prop::collection::vec(any::<u8>(), 0..200),
        signature in prop::collection::vec(any::<u8>(), 0..80),
        payload in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let ca = Ca::new("dmz", "eu");
        prop_assert!(check(&assemble(&certificate, &signature, &payload), &ca).is_err());
        prop_assert!(check(&assemble(&ca.config_signer().der, &signature, &payload), &ca).is_err());
    }

    #[test]
    fn any_payload_round_trips(payload in prop::collection::vec(any::<u8>(), 0..2000)) {
        let ca = Ca::new("dmz", "eu");
        let signer = ca.config_signer();
        let document = sign(Purpose::Offer, &payload, &signer.key(), &signer.der).unwrap();
        prop_assert_eq!(check(&document, &ca).unwrap(), payload);
    }
}
