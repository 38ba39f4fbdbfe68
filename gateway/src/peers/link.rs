//! A connection to or from another replica, as long as the other's certificate is trusted.

use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_runtime::tls::Reason;

use crate::certificate::InUse;
use crate::connections::Cuttable;
use crate::gateway::Gateway;

/// Registers the connection, then looks at the trust in force: one that came before is seen here, and one that comes
/// later finds it registered and cuts it.
pub(super) fn link<S>(gateway: &Gateway, chain: &[CertificateDer<'_>], stream: S) -> Result<Cuttable<S>, Reason> {
    let trust = gateway.trust.current().ok_or(Reason::Untrusted)?;
    let leaf = chain.first().ok_or(Reason::Untrusted)?;
    let certificate = InUse::read(leaf, trust.bundle()).ok_or(Reason::Untrusted)?;
    let linked = gateway.connections.register(stream, certificate);
    let trust = gateway.trust.current().ok_or(Reason::Untrusted)?;
    trust.admits(chain, UnixTime::now())?;
    Ok(linked)
}
