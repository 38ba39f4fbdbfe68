//! One generation of the private CA: a self-signed certificate, its key, and the issuing of leaves.
//!
//! It issues leaves only (path length 0), only by [`Profile`], and nothing that outlives it (property 3 of the rotation
//! machine, "No outliving").

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sallyport_core::name::RegionId;
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::bundle::{BundleError, TrustBundle};
use crate::generation::Generation;
use crate::inspect::{self, CertificateError, Validity};
use crate::key::{KeyError, PrivateKey, PublicKey};
use crate::profile::Profile;

/// How far back a certificate's validity begins, so that a peer whose clock is behind accepts it at once. 5 minutes is
/// the skew that fault F10 tolerates.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A serial number (RFC 5280 section 4.1.2.2): 16 bytes, positive and never short, so that it is unique by chance alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    /// From 16 random bytes, of which 126 bits count: the sign bit is cleared and the next set.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Whom the CA's certificates name. The generation is added to the common name, so that two generations never share a
/// subject and a chain has one possible issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySubject {
    /// 1 to 48 printable characters (RFC 5280 allows 64 with the generation).
    pub common_name: String,
    /// 1 to 64 printable characters.
    pub organization: Option<String>,
}

/// What to issue. The key is all that may come from a request; the rest is ours.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    /// The region it is for.
    pub region: RegionId,
    /// What it may be used for and whom it names.
    pub profile: Profile,
    /// Proven to be the holder's ([`crate::csr::public_key`]) or made by us.
    pub public_key: PublicKey,
    /// Counted from now, cut to the issuer's own end.
    pub lifetime: Duration,
    /// Fresh randomness.
    pub serial: Serial,
}

/// An issued certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate.
    pub der: Vec<u8>,
    /// The same as PEM.
    pub pem: String,
    /// Its serial number in hex, as revocations name it.
    pub serial: String,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
}

/// A CA certificate with its key. `Debug` shows the public part.
#[derive(Debug)]
pub struct Authority {
    number: u32,
    der: Vec<u8>,
    validity: Validity,
    key: PrivateKey,
}

impl Authority {
    /// A new generation with a self-signed certificate.
    ///
    /// # Errors
    /// [`AuthorityError::Subject`] and [`AuthorityError::Lifetime`] for unusable arguments.
    pub fn create(
        generation: u32,
        subject: &AuthoritySubject,
        key: PrivateKey,
        lifetime: Duration,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let validity = Validity {
            not_before: back(now, CLOCK_SKEW).ok_or(AuthorityError::Lifetime)?,
            not_after: ahead(now, lifetime).ok_or(AuthorityError::Lifetime)?,
        };
        let mut params = params(validity, serial).ok_or(AuthorityError::Lifetime)?;
        params.distinguished_name = distinguished_name(subject, generation)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(key.pair()).map_err(|_| AuthorityError::Key(KeyError::Sign))?;
        Ok(Self { number: generation, der: certificate.der().to_vec(), validity, key })
    }

    /// A stored generation. One that has expired can be loaded (it must be shown and retired) but issues nothing.
    ///
    /// # Errors
    /// Anything but exactly one self-signed CA certificate whose key this is.
    pub fn load(generation: u32, certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let bundle = TrustBundle::from_pem(certificate_pem)?;
        let mut certificates = CertificateDer::pem_slice_iter(certificate_pem.as_bytes());
        let (Some(Ok(der)), None, 1) = (certificates.next(), certificates.next(), bundle.len()) else {
            return Err(AuthorityError::Several);
        };
        let key = PrivateKey::from_pem(key_pem)?;
        let certificate = inspect::parse(&der)?;
        if certificate.public_key().raw != key.spki_der() {
            return Err(AuthorityError::ForeignKey);
        }
        certificate.verify_signature(None).map_err(|_| AuthorityError::NotSelfSigned)?;
        subject_can_be_repeated(&certificate)?;
        let validity = inspect::validity_of(&certificate)?;
        Ok(Self { number: generation, der: der.to_vec(), validity, key })
    }

    /// Issues a leaf. It begins [`CLOCK_SKEW`] ago and ends with its lifetime or its issuer, whichever is first.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, request: &LeafRequest, now: Timestamp) -> Result<Leaf, IssueError> {
        let validity = self.leaf_validity(request.lifetime, now)?;
        if request.public_key == self.key.public_key() {
            return Err(IssueError::AuthorityKey);
        }
        let dns = request.profile.dns_name().map(AsRef::<str>::as_ref);
        if dns.is_some_and(|name| name.ends_with('.') || name.contains('_')) {
            return Err(IssueError::Name);
        }
        let mut params = params(validity, request.serial).ok_or(IssueError::Lifetime)?;
        params.distinguished_name.push(DnType::CommonName, request.profile.common_name());
        params.subject_alt_names = request.profile.subject_alt_names(&request.region).ok_or(IssueError::Name)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = request.profile.key_usages();
        params.extended_key_usages = request.profile.extended_key_usages();
        params.use_authority_key_identifier_extension = true;

        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(self.der.as_slice()), self.key.pair());
        let issuer = issuer.map_err(|_| IssueError::Sign)?;
        let public_key = request.public_key.subject_public_key_info().map_err(|_| IssueError::Sign)?;
        let certificate = params.signed_by(&public_key, &issuer).map_err(|_| IssueError::Sign)?;
        Ok(Leaf {
            pem: crate::pem::certificate(certificate.der()),
            der: certificate.der().to_vec(),
            serial: request.serial.to_string(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    fn leaf_validity(&self, lifetime: Duration, now: Timestamp) -> Result<Validity, IssueError> {
        if now < self.validity.not_before {
            return Err(IssueError::NotYetValid { generation: self.number, not_before: self.validity.not_before });
        }
        if now >= self.validity.not_after {
            return Err(IssueError::Expired { generation: self.number, not_after: self.validity.not_after });
        }
        let begin = back(now, CLOCK_SKEW).ok_or(IssueError::Lifetime)?;
        let end = ahead(now, lifetime).ok_or(IssueError::Lifetime)?;
        Ok(Validity { not_before: begin.max(self.validity.not_before), not_after: end.min(self.validity.not_after) })
    }

    /// What status shows of it.
    pub fn generation(&self) -> Generation {
        let Validity { not_before, not_after } = self.validity;
        Generation { number: self.number, fingerprint: self.fingerprint(), not_before, not_after }
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        crate::pem::certificate(&self.der)
    }

    /// The certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// A bundle that trusts exactly this generation.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::of_authority(&self.der)
    }

    /// SHA-256 of the certificate, in hex.
    pub fn fingerprint(&self) -> String {
        inspect::fingerprint(&self.der)
    }

    /// First second of its validity.
    pub fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// Last second of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }

    /// The key, for the operator's Secret and nothing else.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }
}

fn params(validity: Validity, serial: Serial) -> Option<CertificateParams> {
    let time = |at: Timestamp| ASN1Time::from_timestamp(at.as_second()).ok();
    let mut params = CertificateParams::default();
    params.not_before = time(validity.not_before)?.to_datetime();
    params.not_after = time(validity.not_after)?.to_datetime();
    params.serial_number = Some(SerialNumber::from_slice(&serial.0));
    params.distinguished_name = DistinguishedName::new();
    Some(params)
}

fn distinguished_name(subject: &AuthoritySubject, generation: u32) -> Result<DistinguishedName, AuthorityError> {
    let fine = |text: &str, most: usize| {
        (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text == text.trim()
    };
    let organization = subject.organization.as_deref();
    if !fine(&subject.common_name, 48) || !organization.is_none_or(|o| fine(o, 64)) {
        return Err(AuthorityError::Subject);
    }
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, format!("{} G{generation}", subject.common_name));
    Ok(name)
}

/// A leaf's issuer must be the CA's subject, byte for byte, and the library that writes it holds one value for each
/// attribute type: a subject with more would come out shorter, and every leaf would chain to nothing.
fn subject_can_be_repeated(certificate: &X509Certificate<'_>) -> Result<(), AuthorityError> {
    let mut types: Vec<_> = certificate.subject().iter_attributes().map(|attribute| attribute.attr_type()).collect();
    let (all, relative_names) = (types.len(), certificate.subject().iter_rdn().count());
    types.sort_by_key(|oid| oid.as_bytes());
    types.dedup();
    if all == types.len() && all == relative_names { Ok(()) } else { Err(AuthorityError::Subject) }
}

/// X.509 counts whole seconds, so both ends are cut to one before anything compares them.
fn ahead(now: Timestamp, by: Duration) -> Option<Timestamp> {
    whole_second(now.checked_add(SignedDuration::try_from(by).ok()?).ok()?)
}

fn back(now: Timestamp, by: Duration) -> Option<Timestamp> {
    whole_second(now.checked_sub(SignedDuration::try_from(by).ok()?).ok()?)
}

fn whole_second(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second()).ok()
}

/// Why there is no such CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Its certificate cannot be read or is not a CA's.
    #[error("certificate of the certificate authority is refused")]
    Bundle(#[from] BundleError),
    /// Its certificate cannot be read.
    #[error("certificate of the certificate authority is refused")]
    Certificate(#[from] CertificateError),
    /// The key belongs to another certificate.
    #[error("key of the certificate authority does not fit its certificate")]
    ForeignKey,
    /// The key cannot be read or used.
    #[error("key of the certificate authority is refused")]
    Key(#[from] KeyError),
    /// Its end lies outside what a certificate can say.
    #[error("lifetime of the certificate authority is out of range")]
    Lifetime,
    /// Another CA signed it.
    #[error("certificate of the certificate authority is not signed by its own key")]
    NotSelfSigned,
    /// More than one certificate.
    #[error("certificate authority has more than one certificate")]
    Several,
    /// See [`AuthoritySubject`].
    #[error(
        "subject of the certificate authority needs a common name of 1 to 48 printable characters, and an organization of 1 to 64 if any"
    )]
    Subject,
}

/// Why a certificate is not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The request holds the CA's own public key.
    #[error("certificate request holds the certificate authority's own key")]
    AuthorityKey,
    /// The issuer has ended.
    #[error("certificate authority generation {generation} ended at {not_after}")]
    Expired {
        /// Which.
        generation: u32,
        /// When.
        not_after: Timestamp,
    },
    /// The end lies outside what a certificate can say.
    #[error("lifetime of the certificate is out of range")]
    Lifetime,
    /// A DNS name with an underscore or a final dot, which other implementations refuse.
    #[error("DNS name of the certificate is not a host name")]
    Name,
    /// The issuer has not begun.
    #[error("certificate authority generation {generation} begins at {not_before}")]
    NotYetValid {
        /// Which.
        generation: u32,
        /// When.
        not_before: Timestamp,
    },
    /// The crypto library made no signature.
    #[error("certificate could not be signed")]
    Sign,
}

#[cfg(test)]
mod tests;
