//! Private and public keys of the private CA's world: ECDSA on P-256 or P-384, nothing else (BSI TR-02102-2).

mod public;

use std::fmt;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SigningKey};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

pub use public::PublicKey;

/// Which kind of key. P-384 signs about 18 times slower than P-256 and is meant for CAs whose policy asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
}

impl KeyAlgorithm {
    fn of(algorithm: &rcgen::SignatureAlgorithm) -> Option<Self> {
        match algorithm {
            a if a == &PKCS_ECDSA_P256_SHA256 => Some(Self::EcdsaP256),
            a if a == &PKCS_ECDSA_P384_SHA384 => Some(Self::EcdsaP384),
            _ => None,
        }
    }
}

/// What a CA signs with: a key of this process ([`PrivateKey`]) or one that never leaves a token. Only
/// [`crate::authority::Authority`] signs with it.
///
/// `Debug` must show nothing secret. The signature is ASN.1 ECDSA over the message, hashed as the algorithm says.
pub trait AuthorityKey: SigningKey + fmt::Debug + Send + Sync {}

/// A private key. It can be written out only through [`PrivateKey::to_pem`]; `Debug` shows the public part, and the
/// encoded form is wiped when the value is dropped.
pub struct PrivateKey {
    pair: KeyPair,
    algorithm: KeyAlgorithm,
}

impl PrivateKey {
    /// A new key from the operating system's random source.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the crypto library cannot make one.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(match algorithm {
            KeyAlgorithm::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::EcdsaP384 => &PKCS_ECDSA_P384_SHA384,
        });
        Ok(Self { pair: pair.map_err(|_| KeyError::Generate)?, algorithm })
    }

    /// Reads one unencrypted PKCS#8 key (RFC 5958, `BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for anything else, SEC 1 included; [`KeyError::Algorithm`] for other curves and RSA.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Unreadable)?;
        let PrivateKeyDer::Pkcs8(_) = key else { return Err(KeyError::Unreadable) };
        let pair = KeyPair::try_from(&key).map_err(|_| KeyError::Unreadable)?;
        let algorithm = PublicKey::from_spki_der(&pair.subject_public_key_info())?.algorithm();
        Ok(Self { pair, algorithm })
    }

    /// The key as PKCS#8 PEM, wiped when dropped. For a file or a Secret, never for a log.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// The same as PKCS#8 DER.
    pub(crate) fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.pair.serialize_der())
    }

    /// Which kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::new(self.spki_der(), self.algorithm)
    }

    /// The public half as a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    pub fn spki_der(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The ASN.1 ECDSA signature over `message`, hashed as the algorithm says.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(message).map_err(|_| KeyError::Sign)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.pair.algorithm()
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.pair.sign(message)
    }
}

impl AuthorityKey for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?}, {})", self.algorithm, self.public_key().fingerprint())
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

/// What is wrong with a key. No variant carries key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither P-256 nor P-384.
    #[error("key is {found}; only ECDSA on P-256 or P-384 is taken")]
    Algorithm {
        /// What it is instead, by name.
        found: &'static str,
    },
    /// The crypto library made no key.
    #[error("key could not be generated")]
    Generate,
    /// The crypto library made no signature.
    #[error("key could not sign")]
    Sign,
    /// Not PKCS#8 PEM.
    #[error("key is not an unencrypted PKCS#8 key in PEM (BEGIN PRIVATE KEY)")]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips_and_keeps_its_algorithm() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            let key = PrivateKey::generate(algorithm).unwrap();
            let back = PrivateKey::from_pem(&key.to_pem()).unwrap();
            assert_eq!(back.public_key(), key.public_key());
            assert_eq!(back.algorithm(), algorithm);
            assert_eq!(PublicKey::from_spki_der(&key.spki_der()).unwrap(), key.public_key());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.to_pem();
        let shown = format!("{key:?}");
        assert!(pem.lines().filter(|l| !l.starts_with('-')).all(|l| !shown.contains(l)));
        assert!(shown.contains(&key.public_key().fingerprint()));
    }

    #[test]
    fn other_algorithms_are_refused_by_name_and_garbage_too() {
        for (algorithm, found) in
            [(&rcgen::PKCS_ED25519, "Ed25519"), (&rcgen::PKCS_ECDSA_P521_SHA512, "ECDSA on P-521")]
        {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let refused = KeyError::Algorithm { found };
            assert_eq!(PrivateKey::from_pem(&pair.serialize_pem()).unwrap_err(), refused);
            assert_eq!(PublicKey::from_spki_der(&pair.subject_public_key_info()).unwrap_err(), refused);
        }
        assert_eq!(PrivateKey::from_pem("").unwrap_err(), KeyError::Unreadable);
        assert_eq!(PrivateKey::from_pem("not a key").unwrap_err(), KeyError::Unreadable);
        assert_eq!(PublicKey::from_spki_der(b"not a key").unwrap_err(), KeyError::Unreadable);
    }
}
