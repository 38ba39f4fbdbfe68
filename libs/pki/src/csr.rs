//! Certificate requests (PKCS#10, RFC 2986), reduced to what we take from them: a public key and the proof that the
//! sender holds its private half. Subject, names, usages and lifetime of a request are ignored by construction,
//! because nothing else leaves this module.

use rcgen::{CertificateParams, DistinguishedName};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::key::{KeyError, PrivateKey, PublicKey};

/// A request larger than this is refused unread. Ours is about 200 bytes; one with a few extensions from other tools is
/// below 2 KiB, so 16 KiB leaves room and bounds the work an unauthenticated sender can cause.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// The request to send for a key: empty subject, no attributes.
///
/// # Errors
/// [`KeyError::Sign`] when the crypto library cannot sign.
pub fn request(key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(key.pair()).map_err(|_| KeyError::Sign)?;
    Ok(csr.der().to_vec())
}

/// The public key of a DER request whose self-signature verifies (proof of possession).
///
/// # Errors
/// See [`CsrError`]; hostile bytes never panic.
pub fn public_key(der: &[u8]) -> Result<PublicKey, CsrError> {
    if der.len() > MAX_REQUEST_BYTES {
        return Err(CsrError::TooLarge);
    }
    let (rest, csr) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Unreadable)?;
    if !rest.is_empty() {
        return Err(CsrError::Unreadable);
    }
    let key = PublicKey::from_spki_der(csr.certification_request_info.subject_pki.raw).map_err(CsrError::Key)?;
    csr.verify_signature().map_err(|_| CsrError::NotProven)?;
    Ok(key)
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Its key is of a kind that we do not certify; the source names it.
    #[error("certificate request holds an unacceptable key")]
    Key(#[source] KeyError),
    /// Its signature does not verify with its own key.
    #[error("certificate request does not prove possession of its private key")]
    NotProven,
    /// Larger than [`MAX_REQUEST_BYTES`].
    #[error("certificate request is larger than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// Not one DER PKCS#10 request.
    #[error("certificate request is not PKCS#10 in DER")]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, IsCa, KeyPair, SanType};

    use super::*;
    use crate::key::KeyAlgorithm;

    #[test]
    fn only_the_key_comes_back() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            let key = PrivateKey::generate(algorithm).unwrap();
            assert_eq!(public_key(&request(&key).unwrap()).unwrap(), key.public_key());
        }
    }

    #[test]
    fn a_request_for_more_gives_no_more() {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names.push(SanType::URI("sallyport://a.b/operator".try_into().unwrap()));
        let der = params.serialize_request(&pair).unwrap();
        assert_eq!(public_key(der.der()).unwrap().spki_der(), rcgen::PublicKeyData::subject_public_key_info(&pair));
    }

    #[test]
    fn a_key_that_was_not_proven_is_refused() {
        let (mine, theirs) = (request(&p256()).unwrap(), p256());
        let stolen = theirs.spki_der();
        let at = mine.windows(27).position(|w| w == &stolen[..27]).unwrap();
        let mut forged = mine.clone();
        forged[at..at + stolen.len()].copy_from_slice(&stolen);
        assert_eq!(public_key(&forged), Err(CsrError::NotProven));
    }

    #[test]
    fn other_keys_sizes_and_tails_are_refused() {
        let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let der = CertificateParams::default().serialize_request(&ed).unwrap();
        assert_eq!(public_key(der.der()), Err(CsrError::Key(KeyError::Algorithm { found: "Ed25519" })));
        assert_eq!(public_key(&vec![0x30; MAX_REQUEST_BYTES + 1]), Err(CsrError::TooLarge));
        let mut tail = request(&p256()).unwrap();
        tail.push(0);
        assert_eq!(public_key(&tail), Err(CsrError::Unreadable));
    }

    fn p256() -> PrivateKey {
        PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(public_key(&bytes).is_err());
        }

        #[test]
        fn a_flipped_bit_gives_no_other_key(position in any::<prop::sample::Index>(), bit in 0u8..8) {
            let key = p256();
            let mut der = request(&key).unwrap();
            let at = position.index(der.len());
            der[at] ^= 1 << bit;
            prop_assert!(public_key(&der).is_ok_and(|k| k == key.public_key()) || public_key(&der).is_err());
        }
    }
}
