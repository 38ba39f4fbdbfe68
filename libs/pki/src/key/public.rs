//! Public keys, and names for those that are not taken.

use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384};
use x509_parser::prelude::FromDer;

use super::{AuthorityKey, KeyAlgorithm, KeyError};

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
    /// [`KeyError::Algorithm`] names what is neither P-256 nor P-384; [`KeyError::Unreadable`] for a point of wrong length
    /// and for what is no key at all.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        let found = kind(spki).ok_or(KeyError::Unreadable)?;
        let refused = KeyError::Algorithm { found };
        let parsed = SubjectPublicKeyInfo::from_der(spki).map_err(|_| refused)?;
        let algorithm = KeyAlgorithm::of(parsed.algorithm()).ok_or(refused)?;
        let uncompressed = match algorithm {
            KeyAlgorithm::EcdsaP256 => 65,
            KeyAlgorithm::EcdsaP384 => 97,
        };
        if parsed.der_bytes().len() != uncompressed {
            return Err(KeyError::Unreadable);
        }
        Ok(Self { spki: spki.to_vec(), algorithm })
    }

    pub(super) fn new(spki: Vec<u8>, algorithm: KeyAlgorithm) -> Self {
        Self { spki, algorithm }
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

/// What kind of key this is, in the words of an error; nothing for what is no key.
fn kind(spki: &[u8]) -> Option<&'static str> {
    let (_, parsed) = x509_parser::x509::SubjectPublicKeyInfo::from_der(spki).ok()?;
    let curve = parsed.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = curve.map(|oid| oid.to_id_string());
    Some(match (parsed.algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.2.840.113549.1.1.1", _) => "RSA",
        ("1.2.840.113549.1.1.10", _) => "RSA (PSS)",
        ("1.2.840.10040.4.1", _) => "DSA",
        ("1.3.101.112", _) => "Ed25519",
        ("1.3.101.113", _) => "Ed448",
        ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => "ECDSA on P-521",
        ("1.2.840.10045.2.1", Some("1.3.132.0.33")) => "ECDSA on P-224",
        ("1.2.840.10045.2.1", Some("1.3.132.0.10")) => "ECDSA on secp256k1",
        ("1.2.840.10045.2.1", _) => "ECDSA on another curve",
        _ => "of an unknown kind",
    })
}
