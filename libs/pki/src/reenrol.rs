//! Who renews a certificate over EST shows more than the certificate: it signs the request for the new one with the key
//! of the one it has. A gateway ends the TLS connection on which the certificate was shown, so its word alone would let
//! a gateway that was taken over have the certificate of every endpoint renewed for a key of its own.
//! Chain, revocation and identity of the certificate are checked by who asks.

use sallyport_core::name::{EndpointId, RegionId};
use sha2::{Digest, Sha256};

use crate::inspect;
use crate::key::{KeyError, PrivateKey};
use crate::renewal::NotProven;

/// The header of `simplereenroll` that carries the proof, in base64 (RFC 4648 section 4).
pub const HEADER: &str = "sallyport-renewal-proof";

/// No ECDSA signature of P-256 or P-384 in ASN.1 is longer (104 bytes), and nothing longer is looked at.
pub const LONGEST_PROOF: usize = 128;

/// In front of everything signed here, so that it passes for nothing else (a proof in a tunnel, a signed document, a TLS
/// handshake), and nothing else for it.
const DOMAIN: &[u8] = b"sallyport-reenrol-v1\0";

/// What is signed: this request (PKCS#10, DER) of this endpoint in this region (both as `NAMESPACE/NAME`). The key is
/// bound through the request's digest, so a proof that somebody else sees renews nothing but for the key it was made
/// for. Names are Kubernetes names, which hold no zero byte, and the digest has a fixed length: no two arguments give
/// the same message.
pub fn message(region: &RegionId, endpoint: &EndpointId, csr_der: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(csr_der);
    let (region, endpoint) = (region.to_string(), endpoint.to_string());
    [DOMAIN, region.as_bytes(), b"\0", endpoint.as_bytes(), b"\0", &digest].concat()
}

/// The endpoint's proof, by the key of its present certificate: an ASN.1 ECDSA signature, hashed as the key's algorithm
/// says.
///
/// # Errors
/// [`KeyError::Sign`].
pub fn sign(
    current: &PrivateKey,
    region: &RegionId,
    endpoint: &EndpointId,
    csr_der: &[u8],
) -> Result<Vec<u8>, KeyError> {
    current.sign(&message(region, endpoint, csr_der))
}

/// Whether the holder of this certificate's key wants this request answered.
///
/// # Errors
/// See [`NotProven`]; hostile bytes never panic.
pub fn verify(
    leaf_der: &[u8],
    region: &RegionId,
    endpoint: &EndpointId,
    csr_der: &[u8],
    proof: &[u8],
) -> Result<(), NotProven> {
    let key = inspect::public_key(leaf_der)?;
    if proof.len() > LONGEST_PROOF || !key.has_signed(&message(region, endpoint, csr_der), proof) {
        return Err(NotProven::Signature);
    }
    Ok(())
}
