//! A proof of possession holds for one key, one gateway and one nonce.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::sync::LazyLock;

use proptest::prelude::*;
use sallyport_pki::inspect::CertificateError;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::renewal::{NONCE_BYTES, NotProven, message, sign, verify};
use sallyport_pki::signed::{self, Purpose};
use sallyport_testkit::{Ca, Credential};

const GATEWAY: &str = "frankfurt-gateway-0";

static AGENT: LazyLock<(Credential, PrivateKey)> = LazyLock::new(|| {
    let credential = Ca::new("dmz", "eu").endpoint("lyon", "ct");
    let key = credential.key();
    (credential, key)
});

#[test]
fn the_message_is_what_the_contract_says() {
    let expected = [b"sallyport-renewal-v1\0frankfurt-gateway-0\0".as_slice(), &[7; NONCE_BYTES]].concat();
    assert_eq!(message(GATEWAY, &[7; NONCE_BYTES]), expected);
}

#[test]
fn another_key_or_no_certificate_proves_nothing() {
    let (agent, key) = &*AGENT;
    let nonce = [1; NONCE_BYTES];
    let proof = sign(key, GATEWAY, &nonce).unwrap();
    assert_eq!(verify(&agent.der, GATEWAY, &nonce, &proof), Ok(()));
    let stranger = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let stolen = sign(&stranger, GATEWAY, &nonce).unwrap();
    assert_eq!(verify(&agent.der, GATEWAY, &nonce, &stolen), Err(NotProven::Signature));
    let unreadable = Err(NotProven::Certificate(CertificateError::Unreadable));
    assert_eq!(verify(b"junk", GATEWAY, &nonce, &proof), unreadable);
}

/// Even with the whole message as payload: the domain in front differs.
#[test]
fn a_signed_document_is_no_proof() {
    let (agent, key) = &*AGENT;
    let nonce = [2; NONCE_BYTES];
    for purpose in [Purpose::Offer, Purpose::Trust] {
        let document = signed::sign(purpose, &message(GATEWAY, &nonce), key, &agent.der).unwrap();
        let length = usize::from(document[5 + 4 + agent.der.len() + 3]);
        let signature = &document[5 + 4 + agent.der.len() + 4..][..length];
        assert_eq!(verify(&agent.der, GATEWAY, &nonce, signature), Err(NotProven::Signature));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_proof_holds_for_its_own_question_only(
        gateway in "[a-z0-9-]{1,20}", other in "[a-z0-9-]{1,20}",
        nonce in any::<[u8; NONCE_BYTES]>(), another in any::<[u8; NONCE_BYTES]>(),
    ) {
        let (agent, key) = &*AGENT;
        let proof = sign(key, &gateway, &nonce).unwrap();
        prop_assert_eq!(verify(&agent.der, &gateway, &nonce, &proof), Ok(()));
        prop_assert_eq!(verify(&agent.der, &other, &nonce, &proof).is_ok(), gateway == other);
        prop_assert_eq!(verify(&agent.der, &gateway, &another, &proof).is_ok(), nonce == another);
    }

    #[test]
    fn a_damaged_proof_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (agent, key) = &*AGENT;
        let mut proof = sign(key, GATEWAY, &[3; NONCE_BYTES]).unwrap();
        let at = at.index(proof.len());
        proof[at] ^= 1 << bit;
        prop_assert_eq!(verify(&agent.der, GATEWAY, &[3; NONCE_BYTES], &proof), Err(NotProven::Signature));
    }

    #[test]
    fn hostile_bytes_never_panic(
        leaf in prop::collection::vec(any::<u8>(), 0..200), proof in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assert!(verify(&leaf, GATEWAY, &[0; NONCE_BYTES], &proof).is_err());
        prop_assert!(verify(&AGENT.0.der, GATEWAY, &[0; NONCE_BYTES], &proof).is_err());
    }
}
