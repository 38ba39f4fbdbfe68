//! Private keys of those who sign notes.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::{KeyName, Signature, SignatureType, VerifierKey};

/// An Ed25519 private key. It can be written out only through [`SigningKey::to_pkcs8`]; `Debug` shows the public part.
/// Copies share one key.
#[derive(Clone)]
pub struct SigningKey(Arc<Ed25519KeyPair>);

impl SigningKey {
    /// A new key from the operating system's random source, inside the crypto library.
    ///
    /// # Errors
    /// [`SigningKeyError::Generate`] when it cannot make one.
    pub fn generate() -> Result<Self, SigningKeyError> {
        Ok(Self(Arc::new(Ed25519KeyPair::generate().map_err(|_| SigningKeyError::Generate)?)))
    }

    /// Reads an unencrypted PKCS#8 key in DER (RFC 8410).
    ///
    /// # Errors
    /// [`SigningKeyError::Unreadable`] for anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        Ok(Self(Arc::new(Ed25519KeyPair::from_pkcs8(der).map_err(|_| SigningKeyError::Unreadable)?)))
    }

    /// The key as PKCS#8 DER, wiped when dropped. For a file or a Secret, never for a log.
    ///
    /// # Errors
    /// [`SigningKeyError::Write`] when the crypto library does not give it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
        let document = self.0.to_pkcs8v1().map_err(|_| SigningKeyError::Write)?; // wipes itself as well
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The bare public key.
    pub fn public_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref()); // an Ed25519 key has exactly 32 bytes
        key
    }

    /// The bare signature over a message (RFC 8032). Two signatures over one message are equal.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref()); // and a signature 64
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", crate::tlog::hash::hex(&self.public_key()))
    }
}

/// A key that signs texts under a name (signature type 0x01). One key may sign under many names.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Signer {
    /// This key under this name.
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { verifier: VerifierKey::new(name, SignatureType::Text, key.public_key()), key }
    }

    /// What others verify its signatures by.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signature over a note's text.
    pub(super) fn sign(&self, text: &str) -> Signature {
        let (name, id) = (self.verifier.name().clone(), self.verifier.id());
        Signature::new(name, id, self.key.sign(text.as_bytes()).to_vec())
    }
}

/// What is wrong with a private key. No variant carries key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The crypto library made no key.
    #[error("signing key could not be generated")]
    Generate,
    /// Not what is read.
    #[error("signing key is not an unencrypted Ed25519 key in PKCS#8")]
    Unreadable,
    /// The crypto library gave no bytes.
    #[error("signing key could not be written as PKCS#8")]
    Write,
}
