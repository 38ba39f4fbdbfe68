//! A signed document: the payload, who signed it, the signature. Gateways carry it unopened and agents obey it, so an
//! agent trusts the operator's config signer and not the gateway it is connected to.
//!
//! ```text
//!  "SPSD" 01 | u32 length, certificate (DER) | u32 length, signature (ASN.1 ECDSA) | u32 length, payload
//! ```
//!
//! Integers are big-endian; nothing may follow. The signature covers the [`Purpose`]'s domain and the payload, so no
//! signature made for another purpose (an announcement of trust, a TLS handshake, a certificate) can be passed off as one.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::RegionId;
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384};
use webpki::{EndEntityCert, KeyUsage};

use crate::bundle::TrustBundle;
use crate::inspect::{self, IdentityRefused};
use crate::key::{KeyError, PrivateKey};

/// A larger document is refused. An offer for the largest site (1000 devices of 20 services) is about 1.3 MB of JSON.
pub const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

const MAGIC: &[u8; 5] = b"SPSD\x01";
/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3 (RFC 5280 section 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384];

/// What a document is for. One that was signed for one purpose never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// What an agent may connect to ([`sallyport_core::offer::Offer`]).
    Offer,
    /// Which CAs an agent trusts ([`crate::announcement::TrustAnnouncement`]).
    Trust,
}

impl Purpose {
    /// What the signature covers in front of the payload. Neither is a prefix of the other.
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Offer => b"sallyport-offer-v1\0",
            Self::Trust => b"sallyport-trust-v1\0",
        }
    }
}

/// Signs a payload with the config signer's key.
///
/// # Errors
/// [`SignError`] when the certificate is not this key's or the whole would be too large.
pub fn sign(purpose: Purpose, payload: &[u8], key: &PrivateKey, signer_leaf_der: &[u8]) -> Result<Vec<u8>, SignError> {
    let certified = inspect::public_key(signer_leaf_der).map_err(|_| SignError::ForeignCertificate)?;
    if certified != key.public_key() {
        return Err(SignError::ForeignCertificate);
    }
    let signature = key.sign(&to_be_signed(purpose, payload))?;
    let mut document = MAGIC.to_vec();
    for part in [signer_leaf_der, &signature, payload] {
        let length = u32::try_from(part.len()).map_err(|_| SignError::TooLarge)?;
        document.extend_from_slice(&length.to_be_bytes());
        document.extend_from_slice(part);
    }
    if document.len() > MAX_DOCUMENT_BYTES { Err(SignError::TooLarge) } else { Ok(document) }
}

/// The payload of a document that the region's config signer signed for this purpose, valid at `now`.
///
/// # Errors
/// See [`SignedError`]; hostile bytes never panic.
pub fn verify(
    purpose: Purpose,
    document: &[u8],
    trust: &TrustBundle,
    region: &RegionId,
    now: Timestamp,
) -> Result<Vec<u8>, SignedError> {
    let Parts { certificate, signature, payload } = split(document).ok_or(SignedError::Malformed)?;
    signer_is_trusted(certificate, trust, now)?;
    signer_has_the_role(certificate, region)?;
    signature_fits(certificate, signature, &to_be_signed(purpose, payload))?;
    Ok(payload.to_vec())
}

fn signer_is_trusted(certificate: &[u8], trust: &TrustBundle, now: Timestamp) -> Result<(), SignedError> {
    let der = CertificateDer::from(certificate);
    let leaf = EndEntityCert::try_from(&der).map_err(|_| SignedError::Malformed)?;
    let seconds = u64::try_from(now.as_second()).map_err(|_| SignedError::Expired)?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = KeyUsage::required(CODE_SIGNING);
    let anchors = trust.valid_anchors(now);
    leaf.verify_for_usage(CHAIN_ALGORITHMS, &anchors, &[], time, usage, None, None).map(drop).map_err(|e| match e {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => SignedError::Expired,
        webpki::Error::RequiredEkuNotFoundContext(_) => SignedError::WrongUsage,
        _ => SignedError::Untrusted,
    })
}

fn signer_has_the_role(certificate: &[u8], region: &RegionId) -> Result<(), SignedError> {
    let wanted = Identity { region: region.clone(), role: Role::ConfigSigner };
    let found = inspect::identity(certificate)?;
    if found == wanted {
        Ok(())
    } else {
        Err(SignedError::WrongSigner { found: Box::new(found), region: region.clone() })
    }
}

fn signature_fits(certificate: &[u8], signature: &[u8], signed: &[u8]) -> Result<(), SignedError> {
    let key = inspect::public_key(certificate).map_err(|_| SignedError::BadSignature)?;
    if key.has_signed(signed, signature) { Ok(()) } else { Err(SignedError::BadSignature) }
}

fn to_be_signed(purpose: Purpose, payload: &[u8]) -> Vec<u8> {
    [purpose.domain(), payload].concat()
}

struct Parts<'d> {
    certificate: &'d [u8],
    signature: &'d [u8],
    payload: &'d [u8],
}

fn split(document: &[u8]) -> Option<Parts<'_>> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return None;
    }
    let rest = document.strip_prefix(MAGIC)?;
    let (certificate, rest) = part(rest)?;
    let (signature, rest) = part(rest)?;
    let (payload, rest) = part(rest)?;
    rest.is_empty().then_some(Parts { certificate, signature, payload })
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Why nothing is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The certificate holds another key.
    #[error("certificate of the config signer does not hold its key")]
    ForeignCertificate,
    /// The crypto library made no signature.
    #[error("config signer could not sign")]
    Key(#[from] KeyError),
    /// See [`MAX_DOCUMENT_BYTES`].
    #[error("signed document would be larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
}

/// Why a signed document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// The payload is not what was signed, or was signed for another [`Purpose`].
    #[error("signature of the signed document does not fit")]
    BadSignature,
    /// The signer's certificate is not valid now.
    #[error("certificate of the document's signer has expired or is not valid yet")]
    Expired,
    /// The signer's certificate stands for nobody.
    #[error("certificate of the document's signer is refused")]
    Identity(#[from] IdentityRefused),
    /// Not a document of this version, or too large.
    #[error("signed document is malformed")]
    Malformed,
    /// No CA of the bundle vouches for the signer.
    #[error("certificate of the document's signer is not issued by a trusted certificate authority")]
    Untrusted,
    /// Somebody else of the private CA signed, or another region's signer.
    #[error("document is signed by {found} instead of the config signer of region {region}")]
    WrongSigner {
        /// Who signed.
        found: Box<Identity>,
        /// Whose signer was expected.
        region: RegionId,
    },
    /// The certificate is not for signing documents.
    #[error("certificate of the document's signer is for another use")]
    WrongUsage,
}
