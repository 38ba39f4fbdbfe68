//! Why there is no CA, no certificate, no revocation list.

use jiff::Timestamp;

use crate::bundle::BundleError;
use crate::inspect::CertificateError;
use crate::key::KeyError;

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

/// Why a revocation list is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It would end before it begins, or at a time that it cannot say.
    #[error("revocation list would not be valid at any time")]
    Period,
    /// Not a serial number in hexadecimal.
    #[error("revocation list: {serial} is not a serial number of 1 to 20 bytes in hexadecimal")]
    Serial {
        /// As given.
        serial: String,
    },
    /// The crypto library or the token made no signature.
    #[error("revocation list could not be signed")]
    Sign,
}
