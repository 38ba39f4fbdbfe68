//! A proof of re-enrolment holds for one key, one region, one endpoint and one request.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::sync::LazyLock;

use proptest::prelude::*;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_pki::inspect::CertificateError;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::reenrol::{message, sign, verify};
use sallyport_pki::renewal::{self, NONCE_BYTES, NotProven};
use sallyport_pki::signed::{self, Purpose};
use sallyport_testkit::{Ca, Credential};

static AGENT: LazyLock<(Credential, PrivateKey)> = LazyLock::new(|| {
    let credential = Ca::new("dmz", "eu").endpoint("lyon", "ct");
    let key = credential.key();
    (credential, key)
});

fn region() -> RegionId {
    RegionId::parse("dmz", "eu").unwrap()
}

fn endpoint() -> EndpointId {
    EndpointId::parse("lyon", "ct").unwrap()
}

/// SHA-256 of nothing is the well-known one.
#[test]
fn the_message_is_what_the_contract_says() {
    let made = message(&region(), &endpoint(), b"");
    let (text, digest) = made.split_at(made.len() - 32);
    assert_eq!(text, b"sallyport-reenrol-v1\0dmz/eu\0lyon/ct\0");
    assert_eq!((digest[..4].to_vec(), digest[31]), (vec![0xe3, 0xb0, 0xc4, 0x42], 0x55));
}

#[test]
fn another_key_or_no_certificate_proves_nothing() {
    let (agent, key) = &*AGENT;
    let proof = sign(key, &region(), &endpoint(), b"csr").unwrap();
    assert_eq!(verify(&agent.der, &region(), &endpoint(), b"csr", &proof), Ok(()));
    let stranger = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let stolen = sign(&stranger, &region(), &endpoint(), b"csr").unwrap();
    assert_eq!(verify(&agent.der, &region(), &endpoint(), b"csr", &stolen), Err(NotProven::Signature));
    let unreadable = Err(NotProven::Certificate(CertificateError::Unreadable));
    assert_eq!(verify(b"junk", &region(), &endpoint(), b"csr", &proof), unreadable);
}

/// What the same key signs elsewhere is no proof, and a proof passes for none of it.
#[test]
fn nothing_else_that_the_key_signs_is_a_proof() {
    let (agent, key) = &*AGENT;
    let said = message(&region(), &endpoint(), b"csr");
    let document = signed::sign(Purpose::Trust, &said, key, &agent.der).unwrap();
    let length = usize::from(document[5 + 4 + agent.der.len() + 3]);
    let signature = &document[5 + 4 + agent.der.len() + 4..][..length];
    assert_eq!(verify(&agent.der, &region(), &endpoint(), b"csr", signature), Err(NotProven::Signature));

    let nonce = [7; NONCE_BYTES];
    let in_a_tunnel = renewal::sign(key, "eu-gateway-0", &nonce).unwrap();
    assert_eq!(verify(&agent.der, &region(), &endpoint(), b"csr", &in_a_tunnel), Err(NotProven::Signature));
    let proof = sign(key, &region(), &endpoint(), b"csr").unwrap();
    assert_eq!(renewal::verify(&agent.der, "eu-gateway-0", &nonce, &proof), Err(NotProven::Signature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_proof_holds_for_its_own_request_only(
        names in prop::array::uniform4("[a-z]{1,3}"), others in prop::array::uniform4("[a-z]{1,3}"),
        csr in prop::collection::vec(any::<u8>(), 0..4), other in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let (agent, key) = &*AGENT;
        let of = |n: &[String; 4]| (RegionId::parse(&n[0], &n[1]).unwrap(), EndpointId::parse(&n[2], &n[3]).unwrap());
        let ((region, endpoint), (region_2, endpoint_2)) = (of(&names), of(&others));
        let proof = sign(key, &region, &endpoint, &csr).unwrap();
        let holds = |r: &RegionId, e: &EndpointId, c: &[u8]| verify(&agent.der, r, e, c, &proof).is_ok();
        prop_assert!(holds(&region, &endpoint, &csr));
        prop_assert_eq!(holds(&region_2, &endpoint, &csr), region == region_2);
        prop_assert_eq!(holds(&region, &endpoint_2, &csr), endpoint == endpoint_2);
        prop_assert_eq!(holds(&region, &endpoint, &other), csr == other);
    }

    #[test]
    fn hostile_bytes_never_panic(
        leaf in prop::collection::vec(any::<u8>(), 0..200), proof in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(verify(&leaf, &region(), &endpoint(), b"csr", &proof).is_err());
        prop_assert!(verify(&AGENT.0.der, &region(), &endpoint(), b"csr", &proof).is_err());
    }
}
