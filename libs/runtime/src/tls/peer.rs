//! Who is at the other end, after a handshake. The only source is the certificate that the handshake verified: never a
//! path, a header or an SNI (architecture section 4).

use rustls::CommonState;
use rustls_pki_types::CertificateDer;
use sallyport_core::engineer::Engineer;
use sallyport_core::identity::Identity;
use sallyport_pki::inspect::{self, EngineerRefused, IdentityRefused};

/// The party of a region at the other end, for server and client connections alike.
///
/// # Errors
/// No certificate, or one that stands for no party.
pub fn peer_identity(connection: &CommonState) -> Result<Identity, PeerRefused> {
    let leaf = peer_leaf(connection).ok_or(PeerRefused::NoCertificate)?;
    Ok(inspect::identity(leaf)?)
}

/// The engineer at the other end. Only for a door that trusts the engineers' CAs.
///
/// # Errors
/// No certificate, or one that stands for no engineer.
pub fn peer_engineer(connection: &CommonState) -> Result<Engineer, PeerRefused> {
    let leaf = peer_leaf(connection).ok_or(PeerRefused::NoCertificate)?;
    Ok(inspect::engineer(leaf)?)
}

/// The peer's own certificate, for its serial number and end.
pub fn peer_leaf(connection: &CommonState) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates()?.first()
}

/// Why the peer of a completed handshake stands for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// It stands for no engineer.
    #[error("peer is no engineer")]
    Engineer(#[from] EngineerRefused),
    /// It stands for no party.
    #[error("peer is no party of a region")]
    Identity(#[from] IdentityRefused),
    /// It showed none.
    #[error("peer showed no certificate")]
    NoCertificate,
}
