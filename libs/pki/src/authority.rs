//! One generation of the private CA: a self-signed certificate, its key, and what it signs: leaves and revocation lists.
//! Nothing else in this system signs with a CA's key.
//!
//! It issues leaves only (path length 0), only by [`Profile`], and nothing that outlives it (property 3 of the rotation
//! machine, "No outliving").

mod error;
mod lists;
mod serial;
mod subject;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sallyport_core::name::RegionId;
use x509_parser::time::ASN1Time;

use crate::bundle::TrustBundle;
use crate::generation::Generation;
use crate::inspect::{self, Validity};
use crate::key::{AuthorityKey, KeyError, PublicKey};
use crate::profile::Profile;

pub use error::{AuthorityError, IssueError, ListError};
pub use serial::Serial;
pub use subject::AuthoritySubject;

/// How far back a certificate's validity begins, so that a peer whose clock is behind accepts it at once. 5 minutes is
/// the skew that fault F10 tolerates.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

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
    public_key: PublicKey,
    key: Box<dyn AuthorityKey>,
}

impl Authority {
    /// A new generation with a self-signed certificate.
    ///
    /// # Errors
    /// [`AuthorityError::Subject`], [`AuthorityError::Lifetime`] and [`AuthorityError::Key`] for unusable arguments.
    pub fn create(
        generation: u32,
        subject: &AuthoritySubject,
        key: Box<dyn AuthorityKey>,
        lifetime: Duration,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let validity = Validity {
            not_before: back(now, CLOCK_SKEW).ok_or(AuthorityError::Lifetime)?,
            not_after: ahead(now, lifetime).ok_or(AuthorityError::Lifetime)?,
        };
        let public_key = PublicKey::of(&*key)?;
        let mut params = params(validity, serial).ok_or(AuthorityError::Lifetime)?;
        params.distinguished_name = subject.of_generation(generation)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&&*key).map_err(|_| AuthorityError::Key(KeyError::Sign))?;
        Ok(Self { number: generation, der: certificate.der().to_vec(), validity, public_key, key })
    }

    /// A stored generation. One that has expired can be loaded (it must be shown and retired) but issues nothing.
    ///
    /// # Errors
    /// Anything but exactly one self-signed CA certificate whose key this is.
    pub fn load(generation: u32, certificate_pem: &str, key: Box<dyn AuthorityKey>) -> Result<Self, AuthorityError> {
        let bundle = TrustBundle::from_pem(certificate_pem)?;
        let mut certificates = CertificateDer::pem_slice_iter(certificate_pem.as_bytes());
        let (Some(Ok(der)), None, 1) = (certificates.next(), certificates.next(), bundle.len()) else {
            return Err(AuthorityError::Several);
        };
        let public_key = PublicKey::of(&*key)?;
        let certificate = inspect::parse(&der)?;
        if certificate.public_key().raw != public_key.spki_der() {
            return Err(AuthorityError::ForeignKey);
        }
        certificate.verify_signature(None).map_err(|_| AuthorityError::NotSelfSigned)?;
        subject::can_be_repeated(&certificate)?;
        let validity = inspect::validity_of(&certificate)?;
        Ok(Self { number: generation, der: der.to_vec(), validity, public_key, key })
    }

    /// Issues a leaf. It begins [`CLOCK_SKEW`] ago and ends with its lifetime or its issuer, whichever is first.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, request: &LeafRequest, now: Timestamp) -> Result<Leaf, IssueError> {
        let validity = self.leaf_validity(request.lifetime, now)?;
        if request.public_key == self.public_key {
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

        let issuer = self.issuer().map_err(|_| IssueError::Sign)?;
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

    fn issuer(&self) -> Result<Issuer<'static, &dyn AuthorityKey>, rcgen::Error> {
        Issuer::from_ca_cert_der(&CertificateDer::from(self.der.as_slice()), &*self.key)
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
}

fn params(validity: Validity, serial: Serial) -> Option<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?.to_datetime();
    params.not_after = date(validity.not_after)?.to_datetime();
    params.serial_number = Some(serial.number());
    params.distinguished_name = DistinguishedName::new();
    Some(params)
}

/// As certificates and revocation lists write it. Nothing for a time before 1970, which only a broken clock tells, and at
/// some of which the library that writes it panics.
fn date(at: Timestamp) -> Option<ASN1Time> {
    let seconds = at.as_second();
    if seconds < 0 { None } else { ASN1Time::from_timestamp(seconds).ok() }
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
