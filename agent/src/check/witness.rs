//! Remembers which certificate the other side showed, so that a refusal can say whose it was.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sallyport_pki::bundle::TrustBundle;

/// Judges exactly as the verifier inside, and keeps the leaf and the judgement.
#[derive(Debug)]
pub(super) struct Witness {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<(Vec<u8>, Option<Error>)>>,
}

impl Witness {
    /// Takes its place in a client's configuration, judging by the same trust and the same table of algorithms.
    pub(super) fn watch(trust: &TrustBundle, config: &ClientConfig) -> Option<(Arc<Self>, ClientConfig)> {
        let mut roots = RootCertStore::empty();
        for certificate in trust.certificates() {
            roots.add(certificate.into_owned()).ok()?;
        }
        let provider = Arc::clone(config.crypto_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        let witness = Arc::new(Self { inner, seen: Mutex::new(None) });
        let mut watched = config.clone();
        watched.dangerous().set_certificate_verifier(Arc::clone(&witness) as Arc<_>);
        Some((witness, watched))
    }

    /// The leaf that was shown, and what was wrong with it.
    pub(super) fn testimony(&self) -> Option<(Vec<u8>, Option<Error>)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let seen = (end_entity.to_vec(), verdict.as_ref().err().cloned());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
