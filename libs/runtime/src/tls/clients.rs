//! Verifying a client's certificate: webpki's verifier, against the CAs that are valid now.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_pki::bundle::TrustBundle;

use super::anchors::Anchors;
use super::{Profile, TlsError};

#[derive(Debug)]
pub(super) struct CurrentClients {
    anchors: Anchors,
    against_all: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl CurrentClients {
    pub(super) fn new(anchors: Anchors, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let against_all = against(anchors.all(), &provider).ok_or(TlsError::Trust)?;
        Ok(Self { anchors, against_all, provider })
    }
}

/// Whether a client's chain, as a handshake gave it, would be let in by a door that trusts `trust` now. For what is
/// asked over a connection whose handshake was long ago: connections are not verified again by themselves.
pub fn admits(trust: &TrustBundle, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    let verifier = Anchors::new(trust).and_then(|anchors| CurrentClients::new(anchors, Profile::Strict.provider()));
    verifier.is_ok_and(|verifier| verifier.verify_client_cert(leaf, intermediates, now).is_ok())
}

fn against(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Option<Arc<dyn ClientCertVerifier>> {
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).clear_root_hint_subjects().build().ok()
}

impl ClientCertVerifier for CurrentClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.against_all.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.anchors.are_all_valid_at(now) {
            return self.against_all.verify_client_cert(end_entity, intermediates, now);
        }
        // With no CA left there is no verifier, and nobody is known.
        let current = against(self.anchors.valid_at(now), &self.provider).ok_or(CertificateError::UnknownIssuer)?;
        current.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.against_all.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.against_all.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.against_all.supported_verify_schemes()
    }
}
