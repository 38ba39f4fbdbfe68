//! Whether a certificate that was verified once would still be let in: connections are not verified again by themselves.

use std::fmt;

use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_pki::bundle::TrustBundle;

use super::anchors::Anchors;
use super::clients::{CurrentClients, WithoutCertificate};
use super::revocation::Revocations;
use super::{HandshakeFailure, Profile, TlsError};

/// What a door with client certificates goes by, for asking about connections whose handshake was long ago. Made once
/// for each trust, because making it reads every revocation list; asking is then as dear as a handshake's check.
#[derive(Debug)]
pub struct Admission {
    clients: CurrentClients,
}

impl Admission {
    /// By these CAs alone, whatever they have revoked.
    ///
    /// # Errors
    /// [`TlsError::Trust`].
    pub fn unchecked(trust: &TrustBundle) -> Result<Self, TlsError> {
        Self::new(trust, Revocations::NotAsked)
    }

    /// By these CAs and their revocation lists (DER), as [`super::ClientAuth::Checked`] has it.
    ///
    /// # Errors
    /// [`TlsError::Trust`] and [`TlsError::RevocationList`].
    pub fn checked(trust: &TrustBundle, lists: &[Vec<u8>]) -> Result<Self, TlsError> {
        Self::new(trust, Revocations::checked(trust, lists)?)
    }

    fn new(trust: &TrustBundle, revocations: Revocations) -> Result<Self, TlsError> {
        let (anchors, provider) = (Anchors::new(trust)?, Profile::Strict.provider());
        let clients = CurrentClients::new(anchors, revocations, WithoutCertificate::Refused, provider)?;
        Ok(Self { clients })
    }

    /// Whether a chain, leaf first, would be let in at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Reason> {
        let (leaf, intermediates) = chain.split_first().ok_or(Reason::Untrusted)?;
        self.clients.verify(leaf, intermediates, now).map(drop).map_err(Reason::of)
    }
}

/// Whether a client's chain, as a handshake gave it, would be let in by a door that trusts `trust` now.
pub fn admits(trust: &TrustBundle, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    Admission::unchecked(trust).is_ok_and(|admission| admission.check(chain, now).is_ok())
}

/// The same for a door that goes by revocation lists (DER) as well. To ask about many chains, keep an [`Admission`].
///
/// # Errors
/// Why not. With a bundle or lists that no door could use, nobody is let in: [`Reason::Untrusted`] and
/// [`Reason::RevocationUnknown`].
pub fn admits_checked(
    trust: &TrustBundle,
    lists: &[Vec<u8>],
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Reason> {
    let admission = Admission::checked(trust, lists).map_err(|error| match error {
        TlsError::RevocationList(_) => Reason::RevocationUnknown,
        _ => Reason::Untrusted,
    })?;
    admission.check(chain, now)
}

/// Why a certificate would not be let in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is not valid now.
    Expired,
    /// The revocation list of its CA has passed its next update.
    RevocationListExpired,
    /// There is no usable revocation list of its CA.
    RevocationUnknown,
    /// Its CA has revoked it.
    Revoked,
    /// No CA that counts now vouches for it, or it is for another use.
    Untrusted,
}

impl Reason {
    fn of(error: rustls::Error) -> Self {
        match HandshakeFailure::from(error) {
            HandshakeFailure::Expired(_) => Self::Expired,
            HandshakeFailure::RevocationListExpired(_) => Self::RevocationListExpired,
            HandshakeFailure::RevocationUnknown(_) => Self::RevocationUnknown,
            HandshakeFailure::Revoked(_) => Self::Revoked,
            _ => Self::Untrusted,
        }
    }

    /// A closed set of labels for metrics, logs and audit.
    pub fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::RevocationListExpired => "revocationListExpired",
            Self::RevocationUnknown => "revocationUnknown",
            Self::Revoked => "revoked",
            Self::Untrusted => "untrusted",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the certificate has expired or is not valid yet",
            Self::RevocationListExpired => "the revocation list of the certificate's issuer has expired",
            Self::RevocationUnknown => "there is no revocation list of the certificate's issuer",
            Self::Revoked => "the certificate is revoked",
            Self::Untrusted => "the certificate is not issued by a trusted certificate authority for this use",
        })
    }
}
