//! Reading certificates: who they stand for, how long they last, how a human recognises them.
//!
//! Nothing here verifies a signature. Every function expects a certificate whose chain the TLS handshake or
//! [`crate::signed`] has checked, and still treats its bytes as hostile.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use sallyport_core::engineer::{Engineer, UserId};
use sallyport_core::identity::{Identity, IdentityError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Name;

use crate::key::{KeyError, PublicKey};

/// More groups than this is no engineer of ours: directories put tens in a certificate, and each is compared with every
/// policy on every decision.
const MAX_GROUPS: usize = 128;
/// A group name is at most this long: RFC 5280's bound of an organizational unit is 64, doubled for directories that
/// exceed it.
const MAX_GROUP_CHARS: usize = 128;

/// The party a certificate of the private CA stands for: its one URI subject alternative name (architecture section 4).
///
/// # Errors
/// No URI, several, or one that names no party; a certificate without exactly one identity has none.
pub fn identity(der: &[u8]) -> Result<Identity, IdentityRefused> {
    let certificate = parse(der)?;
    let uris = names(&certificate)?.into_iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match uris.collect::<Vec<_>>().as_slice() {
        [uri] => Ok(uri.parse()?),
        [] => Err(IdentityRefused::None),
        several => Err(IdentityRefused::Several { count: several.len() }),
    }
}

/// The engineer a certificate of the engineers' CA stands for (R91, R95): user id from the one e-mail subject alternative
/// name, else from the one common name; groups from the organizational units.
///
/// # Errors
/// A certificate with a Sallyport identity is a device's or a gateway's and never an engineer's, whoever issued it.
pub fn engineer(der: &[u8]) -> Result<Engineer, EngineerRefused> {
    let certificate = parse(der)?;
    let names = names(&certificate)?;
    if names.iter().any(|name| matches!(name, GeneralName::URI(uri) if uri.starts_with("sallyport:"))) {
        return Err(EngineerRefused::Machine);
    }
    let mails: Vec<_> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::RFC822Name(mail) => Some(*mail),
            _ => None,
        })
        .collect();
    let common_names = attributes(certificate.subject().iter_common_name())?;
    let user = match (mails.as_slice(), common_names.as_slice()) {
        ([mail], _) => *mail,
        ([], [common_name]) => *common_name,
        ([], []) => return Err(EngineerRefused::NoUser),
        _ => return Err(EngineerRefused::SeveralUsers),
    };
    Ok(Engineer {
        user: user.parse::<UserId>().map_err(|_| EngineerRefused::User)?,
        groups: groups(&certificate)?,
        not_after: validity_of(&certificate)?.not_after,
    })
}

fn groups(certificate: &X509Certificate<'_>) -> Result<BTreeSet<String>, EngineerRefused> {
    let units = attributes(certificate.subject().iter_organizational_unit())?;
    let fine = |unit: &str| {
        (1..=MAX_GROUP_CHARS).contains(&unit.chars().count())
            && !unit.chars().any(char::is_control)
            && unit == unit.trim()
    };
    if units.len() > MAX_GROUPS || !units.iter().all(|unit| fine(unit)) {
        return Err(EngineerRefused::Groups);
    }
    Ok(units.into_iter().map(str::to_owned).collect())
}

/// When a certificate is valid; both ends are inclusive (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// Whether the certificate may be used at `now`.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// The validity of a certificate.
///
/// # Errors
/// [`CertificateError`] when it cannot be read.
pub fn validity(der: &[u8]) -> Result<Validity, CertificateError> {
    validity_of(&parse(der)?)
}

/// The serial number as lower-case hex without separators, as revocations name it.
///
/// # Errors
/// [`CertificateError`] when it cannot be read.
pub fn serial_hex(der: &[u8]) -> Result<String, CertificateError> {
    Ok(crate::hex::encode(&parse(der)?.serial.to_bytes_be()))
}

/// The public key of a certificate.
///
/// # Errors
/// [`CertificateError`] when it cannot be read or its key is of another kind than P-256 and P-384.
pub fn public_key(der: &[u8]) -> Result<PublicKey, CertificateError> {
    PublicKey::from_spki_der(parse(der)?.public_key().raw).map_err(CertificateError::Key)
}

/// SHA-256 of the whole certificate, in hex.
pub fn fingerprint(der: &[u8]) -> String {
    crate::hex::sha256(der)
}

/// What a human recognises a certificate by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Distinguished name (RFC 4514 text), with control characters escaped.
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// Serial number in hex.
    pub serial: String,
    /// When it may be used.
    pub validity: Validity,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, issuer, serial, validity } = self;
        write!(
            f,
            "{subject}, issued by {issuer}, serial {serial}, valid {} to {}",
            validity.not_before, validity.not_after
        )
    }
}

/// Describes a certificate for a log line or an error.
///
/// # Errors
/// [`CertificateError`] when it cannot be read.
pub fn describe(der: &[u8]) -> Result<Description, CertificateError> {
    let certificate = parse(der)?;
    Ok(Description {
        subject: readable(certificate.subject()),
        issuer: readable(certificate.issuer()),
        serial: crate::hex::encode(&certificate.serial.to_bytes_be()),
        validity: validity_of(&certificate)?,
    })
}

/// One certificate and nothing after it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(CertificateError::Unreadable),
    }
}

/// What a certificate calls its own key (RFC 5280 section 4.2.1.2), if it does.
pub(crate) fn subject_key_identifier(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = parse(der).ok()?;
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

pub(crate) fn validity_of(certificate: &X509Certificate<'_>) -> Result<Validity, CertificateError> {
    let instant = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| CertificateError::Unreadable)
    };
    let validity = certificate.validity();
    Ok(Validity { not_before: instant(validity.not_before)?, not_after: instant(validity.not_after)? })
}

fn names<'c>(certificate: &'c X509Certificate<'_>) -> Result<Vec<&'c GeneralName<'c>>, CertificateError> {
    let extension = certificate.subject_alternative_name().map_err(|_| CertificateError::Unreadable)?;
    Ok(extension.map(|names| names.value.general_names.iter().collect()).unwrap_or_default())
}

fn attributes<'c>(
    values: impl Iterator<Item = &'c x509_parser::x509::AttributeTypeAndValue<'c>>,
) -> Result<Vec<&'c str>, CertificateError> {
    values.map(|value| value.as_str().map_err(|_| CertificateError::Unreadable)).collect()
}

fn readable(name: &X509Name<'_>) -> String {
    name.to_string()
        .chars()
        .take(300)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// A certificate that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Its key is of a kind we do not use.
    #[error("certificate holds an unacceptable key")]
    Key(#[source] KeyError),
    /// Not one DER X.509 certificate.
    #[error("certificate is not X.509 in DER")]
    Unreadable,
}

/// Why a certificate stands for no party of a region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefused {
    /// It names none.
    #[error("certificate has no URI subject alternative name")]
    None,
    /// It names more than one URI, so none of them counts.
    #[error("certificate has {count} URI subject alternative names instead of one")]
    Several {
        /// How many.
        count: usize,
    },
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its URI is not an identity.
    #[error("certificate names no Sallyport identity")]
    Unparsable(#[from] IdentityError),
}

/// Why a certificate stands for no engineer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineerRefused {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its organizational units are too many, too long or not printable.
    #[error("certificate has unusable organizational units as groups")]
    Groups,
    /// It stands for a device, a gateway or the operator.
    #[error("certificate stands for a machine of a region, not for an engineer")]
    Machine,
    /// It names nobody.
    #[error("certificate has neither an e-mail subject alternative name nor a common name")]
    NoUser,
    /// It names more than one, so none of them counts.
    #[error("certificate names more than one user")]
    SeveralUsers,
    /// Its name is no user id.
    #[error("certificate names a user that is not 1 to 128 printable ASCII characters without spaces")]
    User,
}
