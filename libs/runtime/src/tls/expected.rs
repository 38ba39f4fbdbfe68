//! Verifying a server by its Sallyport identity instead of its DNS name: the operator dials gateways by pod address, and
//! gateways dial each other, so the only name that counts is the URI in the certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::RegionId;
use sallyport_pki::inspect::{self, IdentityRefused};

use super::anchors::Anchors;

/// Which identities a client accepts: those of one region whose role passes.
#[derive(Clone)]
pub struct ExpectedServer {
    region: RegionId,
    accepts: Arc<dyn Fn(&Role) -> bool + Send + Sync>,
}

impl ExpectedServer {
    /// Servers of `region` whose role `accepts`.
    pub fn new(region: RegionId, accepts: impl Fn(&Role) -> bool + Send + Sync + 'static) -> Self {
        Self { region, accepts: Arc::new(accepts) }
    }

    /// Exactly this one.
    pub fn exactly(identity: Identity) -> Self {
        Self::new(identity.region, move |role| *role == identity.role)
    }

    fn check(&self, certificate: &[u8]) -> Result<(), ServerRefused> {
        let found = inspect::identity(certificate)?;
        if found.region == self.region && (self.accepts)(&found.role) {
            Ok(())
        } else {
            Err(ServerRefused::Other { found: Box::new(found), region: self.region.clone() })
        }
    }
}

impl fmt::Debug for ExpectedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpectedServer({})", self.region)
    }
}

/// Why a server whose certificate is valid is not the one expected.
#[derive(Debug, thiserror::Error)]
enum ServerRefused {
    #[error(transparent)]
    Identity(#[from] IdentityRefused),
    #[error("server is {found}, which is not the one expected in region {region}")]
    Other { found: Box<Identity>, region: RegionId },
}

/// What a client knows its server by.
#[derive(Debug)]
pub(super) enum Expected {
    /// Its identity.
    Identity(ExpectedServer),
    /// The DNS name (or address) in the call that connects.
    Name,
}

/// Chain, validity and serverAuth by webpki against the CAs that are valid now, then name or identity.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    expected: Expected,
    anchors: Anchors,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    pub(super) fn new(expected: Expected, anchors: Anchors, provider: Arc<CryptoProvider>) -> Self {
        Self { expected, anchors, provider }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let roots = self.anchors.valid_at(now);
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)?;
        match &self.expected {
            Expected::Identity(server) => {
                let refused = |why| CertificateError::Other(OtherError(Arc::new(why)));
                server.check(end_entity).map_err(refused)?;
            }
            Expected::Name => verify_server_name(&leaf, name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
