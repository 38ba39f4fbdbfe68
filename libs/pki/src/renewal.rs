//! How a live tunnel moves to a renewed certificate without being closed: the agent shows the new certificate and signs
//! the gateway's nonce with its key. Chain, revocation and identity of the certificate are checked by who asks.

use crate::inspect::{self, CertificateError};
use crate::key::{KeyError, PrivateKey};

/// In front of everything signed here, so that it passes for nothing else (a TLS handshake, a signed document, a
/// certificate), and nothing else for it.
const DOMAIN: &[u8] = b"sallyport-renewal-v1\0";

/// The length of a nonce: no gateway asks the same twice.
pub const NONCE_BYTES: usize = 32;

/// What is signed: for this gateway only, so that one gateway cannot pass an agent's proof on to another. The nonce has a
/// fixed length and stands last, and a gateway's name is a Kubernetes name, so it holds no zero byte; thus no two
/// arguments give the same message.
pub fn message(gateway: &str, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
    [DOMAIN, gateway.as_bytes(), b"\0", nonce].concat()
}

/// The agent's proof that it holds the key: an ASN.1 ECDSA signature, hashed as the key's algorithm says.
///
/// # Errors
/// [`KeyError::Sign`].
pub fn sign(key: &PrivateKey, gateway: &str, nonce: &[u8; NONCE_BYTES]) -> Result<Vec<u8>, KeyError> {
    key.sign(&message(gateway, nonce))
}

/// Whether the holder of this certificate's key answered this nonce of this gateway.
///
/// # Errors
/// See [`NotProven`]; hostile bytes never panic.
pub fn verify(leaf_der: &[u8], gateway: &str, nonce: &[u8; NONCE_BYTES], signature: &[u8]) -> Result<(), NotProven> {
    let key = inspect::public_key(leaf_der)?;
    if key.has_signed(&message(gateway, nonce), signature) { Ok(()) } else { Err(NotProven::Signature) }
}

/// Why a certificate is not proven to be the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// It cannot be read, or holds a key of a kind that we do not use.
    #[error("certificate of the proof is refused")]
    Certificate(#[from] CertificateError),
    /// Another key, or it was made for something else: another gateway or nonce, another request, endpoint or region.
    #[error("signature of the proof does not fit the certificate and what it is shown for")]
    Signature,
}
