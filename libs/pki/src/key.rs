//! Private and public keys of the private CA's world: ECDSA on P-256 or P-384, nothing else (BSI TR-02102-2).

use std::fmt;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SigningKey, SubjectPublicKeyInfo};
use rustls_pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm, pem::PemObject};
use serde::{Deserialize, Serialize};
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384};
use zeroize::{Zeroize, Zeroizing};

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
    fn of(algorithm: &rcgen::SignatureAlgorithm) -> Result<Self, KeyError> {
        match algorithm {
            a if a == &PKCS_ECDSA_P256_SHA256 => Ok(Self::EcdsaP256),
            a if a == &PKCS_ECDSA_P384_SHA384 => Ok(Self::EcdsaP384),
            _ => Err(KeyError::Algorithm),
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
        let algorithm = KeyAlgorithm::of(pair.algorithm())?;
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
        PublicKey { spki: self.spki_der(), algorithm: self.algorithm }
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

/// A public key of an accepted kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    spki: Vec<u8>,
    algorithm: KeyAlgorithm,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7). Whether the point is on its curve is shown only by
    /// a signature that verifies: take keys from a CSR or a certificate whose signature was checked.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] for anything but P-256 and P-384; [`KeyError::Unreadable`] for a point of wrong length.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        let parsed = SubjectPublicKeyInfo::from_der(spki).map_err(|_| KeyError::Algorithm)?;
        let algorithm = KeyAlgorithm::of(parsed.algorithm())?;
        let uncompressed = match algorithm {
            KeyAlgorithm::EcdsaP256 => 65,
            KeyAlgorithm::EcdsaP384 => 97,
        };
        if parsed.der_bytes().len() != uncompressed {
            return Err(KeyError::Unreadable);
        }
        Ok(Self { spki: spki.to_vec(), algorithm })
    }

    /// The public half of a CA's key.
    pub(crate) fn of(key: &dyn AuthorityKey) -> Result<Self, KeyError> {
        Self::from_spki_der(&key.subject_public_key_info())
    }

    /// Which kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The key as a DER `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`, in hex: the same key has the same fingerprint in every certificate.
    pub fn fingerprint(&self) -> String {
        crate::hex::sha256(&self.spki)
    }

    /// Whether the private half made this ASN.1 ECDSA signature over `message`, hashed as the algorithm says.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn SignatureVerificationAlgorithm = match self.algorithm {
            KeyAlgorithm::EcdsaP256 => ECDSA_P256_SHA256,
            KeyAlgorithm::EcdsaP384 => ECDSA_P384_SHA384,
        };
        let point = self.subject_public_key_info();
        point.is_ok_and(|point| algorithm.verify_signature(point.der_bytes(), message, signature).is_ok())
    }

    pub(crate) fn subject_public_key_info(&self) -> Result<SubjectPublicKeyInfo, KeyError> {
        SubjectPublicKeyInfo::from_der(&self.spki).map_err(|_| KeyError::Unreadable)
    }
}

/// What is wrong with a key. No variant carries key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither P-256 nor P-384.
    #[error("key is neither ECDSA P-256 nor ECDSA P-384")]
    Algorithm,
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
    fn other_algorithms_and_garbage_are_refused() {
        let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(PrivateKey::from_pem(&ed.serialize_pem()).unwrap_err(), KeyError::Algorithm);
        assert_eq!(PublicKey::from_spki_der(&ed.subject_public_key_info()).unwrap_err(), KeyError::Algorithm);
        let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        assert!(PrivateKey::from_pem(&p521.serialize_pem()).is_err());
        assert_eq!(PrivateKey::from_pem("").unwrap_err(), KeyError::Unreadable);
        assert_eq!(PrivateKey::from_pem("not a key").unwrap_err(), KeyError::Unreadable);
    }
}
