//! The set of CA certificates that a peer trusts. A set, not a list: order and duplicates carry no meaning, so two
//! peers with the same digest trust the same CAs (architecture section 6).

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use sha2::{Digest, Sha256};

use crate::inspect;

/// CA certificates, ordered by their bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustBundle {
    certificates: BTreeSet<Vec<u8>>,
}

impl TrustBundle {
    /// Trusts nobody. Every chain check against it fails.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads PEM certificates. Between them only blank lines and `#` comments may stand: a bundle with a damaged part is
    /// refused whole, never read as a smaller one. Duplicates collapse.
    ///
    /// # Errors
    /// Names the certificate (counted from 1) or the line at fault.
    pub fn from_pem(pem: &str) -> Result<Self, BundleError> {
        only_certificates(pem)?;
        let mut certificates = BTreeSet::new();
        for (index, section) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let der = section.map_err(|_| BundleError::Unreadable { position: index + 1 })?;
            authority_certificate(&der).map_err(|fault| fault.at(index + 1))?;
            certificates.insert(der.to_vec());
        }
        if certificates.is_empty() { Err(BundleError::Empty) } else { Ok(Self { certificates }) }
    }

    /// The certificates as PEM, in the bundle's order.
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(|der| crate::pem::certificate(der)).collect()
    }

    /// SHA-256 over the certificates in order, in hex. DER is self-delimiting, so no two sets share an encoding.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.certificates.iter().for_each(|der| hash.update(der));
        crate::hex::encode(&hash.finalize())
    }

    /// The certificates, in order.
    pub fn certificates(&self) -> impl Iterator<Item = CertificateDer<'_>> {
        self.certificates.iter().map(|der| CertificateDer::from(der.as_slice()))
    }

    /// How many CAs it trusts.
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether it trusts nobody.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Whether it trusts this certificate.
    pub fn contains(&self, der: &[u8]) -> bool {
        self.certificates.contains(der)
    }

    /// The CAs of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { certificates: self.certificates.union(&other.certificates).cloned().collect() }
    }

    /// The CAs of this one that the other does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { certificates: self.certificates.difference(&other.certificates).cloned().collect() }
    }

    /// Fingerprint of the CA whose key signed a certificate, whatever the time is; none when no CA of these did.
    pub fn issuer_of(&self, leaf_der: &[u8]) -> Option<String> {
        let leaf = inspect::parse(leaf_der).ok()?;
        let signed = |der: &CertificateDer<'_>| {
            inspect::parse(der).is_ok_and(|authority| {
                authority.subject().as_raw() == leaf.issuer().as_raw()
                    && leaf.verify_signature(Some(authority.public_key())).is_ok()
            })
        };
        self.certificates().find(signed).map(|der| inspect::fingerprint(&der))
    }

    /// The CAs that are valid at `now`, as webpki takes them. webpki does not look at an anchor's own validity, so an
    /// expired CA is left out here.
    pub(crate) fn valid_anchors(&self, now: Timestamp) -> Vec<TrustAnchor<'static>> {
        let valid = |der: &CertificateDer<'_>| inspect::validity(der).is_ok_and(|validity| validity.contains(now));
        let anchor = |der: CertificateDer<'_>| webpki::anchor_from_trusted_cert(&der).ok().map(|a| a.to_owned());
        self.certificates().filter(valid).filter_map(anchor).collect()
    }

    pub(crate) fn of_authority(der: &[u8]) -> Self {
        Self { certificates: BTreeSet::from([der.to_vec()]) }
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustBundle({} certificates, {})", self.len(), self.digest())
    }
}

#[derive(Clone, Copy)]
enum Fault {
    NotAuthority,
    Unreadable,
}

impl Fault {
    fn at(self, position: usize) -> BundleError {
        match self {
            Self::NotAuthority => BundleError::NotAuthority { position },
            Self::Unreadable => BundleError::Unreadable { position },
        }
    }
}

/// RFC 5280 sections 4.2.1.9 and 4.2.1.3: a CA says so, and may sign certificates. webpki takes any certificate as an
/// anchor, so this is where a leaf is kept out. A self-signed one must also be signed as it says: that gives no trust,
/// but shows damage.
fn authority_certificate(der: &CertificateDer<'_>) -> Result<(), Fault> {
    let certificate = inspect::parse(der).map_err(|_| Fault::Unreadable)?;
    inspect::validity_of(&certificate).map_err(|_| Fault::Unreadable)?;
    webpki::anchor_from_trusted_cert(der).map_err(|_| Fault::Unreadable)?;
    let constraints = certificate.basic_constraints().map_err(|_| Fault::Unreadable)?;
    let usage = certificate.key_usage().map_err(|_| Fault::Unreadable)?;
    if certificate.subject().as_raw() == certificate.issuer().as_raw() {
        certificate.verify_signature(None).map_err(|_| Fault::Unreadable)?;
    }
    let is_ca = constraints.is_some_and(|c| c.value.ca);
    let may_sign = usage.is_none_or(|u| u.value.key_cert_sign());
    if is_ca && may_sign { Ok(()) } else { Err(Fault::NotAuthority) }
}

fn only_certificates(pem: &str) -> Result<(), BundleError> {
    let mut inside = false;
    for (index, line) in pem.lines().enumerate() {
        let line = line.trim_end();
        inside = match (inside, line) {
            (false, "-----BEGIN CERTIFICATE-----") => true,
            (true, "-----END CERTIFICATE-----") => false,
            (true, body) if !body.starts_with("-----") => true,
            (false, text) if text.is_empty() || text.starts_with('#') => false,
            _ => return Err(BundleError::NotCertificate { line: index + 1 }),
        };
    }
    if inside { Err(BundleError::NotCertificate { line: pem.lines().count() }) } else { Ok(()) }
}

/// Why a text is no trust bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It holds no certificate.
    #[error("trust bundle is empty")]
    Empty,
    /// A certificate is not a CA's.
    #[error("trust bundle: certificate {position} is not a certificate authority's")]
    NotAuthority {
        /// Counted from 1.
        position: usize,
    },
    /// Something stands where only certificates may.
    #[error("trust bundle: line {line} is neither part of a certificate nor a comment")]
    NotCertificate {
        /// Counted from 1.
        line: usize,
    },
    /// A certificate cannot be read.
    #[error("trust bundle: certificate {position} cannot be read")]
    Unreadable {
        /// Counted from 1.
        position: usize,
    },
}
