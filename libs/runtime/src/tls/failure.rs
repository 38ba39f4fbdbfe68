//! Why a handshake failed, as a closed set for metrics and logs.

use std::io;

use rustls::{CertificateError, Error};

/// Why there is no connection. The variant is the metric label; the source says more, for the log.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFailure {
    /// A certificate or the handshake is not signed as it should be.
    #[error("peer's signature is not valid")]
    BadSignature(#[source] Error),
    /// The connection ended or broke.
    #[error("connection ended during the handshake")]
    Closed(#[source] io::Error),
    /// The peer's certificate is not valid now.
    #[error("peer's certificate has expired or is not valid yet")]
    Expired(#[source] Error),
    /// The peer showed none.
    #[error("peer showed no certificate")]
    NoCertificate,
    /// This door has no certificate of its own yet.
    #[error("door has no certificate yet")]
    NotReady,
    /// The peer does not speak this TLS.
    #[error("peer does not speak TLS 1.3 as configured")]
    Protocol(#[source] Error),
    /// The peer refused us.
    #[error("peer refused the handshake")]
    RefusedByPeer(#[source] Error),
    /// The revocation list of the peer's CA has passed its next update, so nobody knows any more.
    #[error("revocation list of the peer's certificate authority has expired")]
    RevocationListExpired(#[source] Error),
    /// There is no usable revocation list of the peer's CA.
    #[error("no revocation list of the peer's certificate authority is known")]
    RevocationUnknown(#[source] Error),
    /// The peer's CA has revoked its certificate.
    #[error("peer's certificate is revoked")]
    Revoked(#[source] Error),
    /// It took too long.
    #[error("handshake took too long")]
    Timeout,
    /// No trusted CA vouches for the peer.
    #[error("peer's certificate is not issued by a trusted certificate authority")]
    UnknownIssuer(#[source] Error),
    /// The peer's certificate is for another use, another name, another identity, or unreadable.
    #[error("peer's certificate is not acceptable here")]
    WrongCertificate(#[source] Error),
}

impl HandshakeFailure {
    /// A closed set of labels for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::BadSignature(_) => "badSignature",
            Self::Closed(_) => "closed",
            Self::Expired(_) => "expired",
            Self::NoCertificate => "noCertificate",
            Self::NotReady => "notReady",
            Self::Protocol(_) => "protocol",
            Self::RefusedByPeer(_) => "refusedByPeer",
            Self::RevocationListExpired(_) => "revocationListExpired",
            Self::RevocationUnknown(_) => "revocationUnknown",
            Self::Revoked(_) => "revoked",
            Self::Timeout => "timeout",
            Self::UnknownIssuer(_) => "unknownIssuer",
            Self::WrongCertificate(_) => "wrongCertificate",
        }
    }
}

impl From<io::Error> for HandshakeFailure {
    /// rustls' errors travel inside IO errors.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => Self::from(error),
            Err(error) => Self::Closed(error),
        }
    }
}

impl From<Error> for HandshakeFailure {
    fn from(error: Error) -> Self {
        match &error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(fault) => match fault {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired(error),
                CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                    Self::RevocationListExpired(error)
                }
                CertificateError::Revoked => Self::Revoked(error),
                CertificateError::UnknownIssuer => Self::UnknownIssuer(error),
                CertificateError::UnknownRevocationStatus => Self::RevocationUnknown(error),
                CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                    Self::BadSignature(error)
                }
                _ => Self::WrongCertificate(error),
            },
            Error::InvalidCertRevocationList(_) => Self::RevocationUnknown(error),
            Error::AlertReceived(_) => Self::RefusedByPeer(error),
            _ => Self::Protocol(error),
        }
    }
}
