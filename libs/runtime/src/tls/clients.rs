//! Verifying a client's certificate: webpki's verifier, against the CAs that are valid now and what they have revoked.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::TlsError;
use super::anchors::Anchors;
use super::revocation::Revocations;

/// Whether a client that shows no certificate is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutCertificate {
    LetIn,
    Refused,
}

/// What is asked of a client, whichever CAs are valid.
#[derive(Debug)]
struct Demands {
    revocations: Revocations,
    without: WithoutCertificate,
    provider: Arc<CryptoProvider>,
}

/// A verifier for the CAs that were valid when it was made.
#[derive(Debug)]
struct Current {
    /// Which CAs, in the order of the anchors.
    valid: Vec<bool>,
    /// Nothing when none is valid: then nobody is known.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

#[derive(Debug)]
pub(super) struct CurrentClients {
    anchors: Anchors,
    demands: Demands,
    /// Against every CA: for what does not depend on which of them are valid.
    against_all: Arc<dyn ClientCertVerifier>,
    /// Kept, because making one reads every revocation list.
    current: ArcSwap<Current>,
}

impl CurrentClients {
    pub(super) fn new(
        anchors: Anchors,
        revocations: Revocations,
        without: WithoutCertificate,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let demands = Demands { revocations, without, provider };
        let against_all = demands.verifier(anchors.all()).ok_or(TlsError::Trust)?;
        let valid = vec![true; anchors.len()];
        let current = ArcSwap::from_pointee(Current { valid, verifier: Some(Arc::clone(&against_all)) });
        Ok(Self { anchors, demands, against_all, current })
    }

    /// The verifier for the CAs that are valid at `now`.
    fn at(&self, now: UnixTime) -> Option<Arc<dyn ClientCertVerifier>> {
        let valid = self.anchors.which_are_valid_at(now);
        let current = self.current.load();
        if current.valid == valid {
            return current.verifier.clone();
        }
        let verifier = self.demands.verifier(self.anchors.valid_at(now));
        self.current.store(Arc::new(Current { valid, verifier: verifier.clone() }));
        verifier
    }

    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.at(now).ok_or(CertificateError::UnknownIssuer)?;
        let verified = current.verify_client_cert(end_entity, intermediates, now)?;
        // webpki asks no list when there is none; here that means that nothing is known of anybody.
        if self.demands.revocations.know_nothing() {
            return Err(CertificateError::UnknownRevocationStatus.into());
        }
        Ok(verified)
    }
}

impl Demands {
    fn verifier(&self, roots: Arc<RootCertStore>) -> Option<Arc<dyn ClientCertVerifier>> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
            .clear_root_hint_subjects()
            .with_crls(self.revocations.lists())
            .enforce_revocation_expiration();
        if self.without == WithoutCertificate::LetIn {
            builder = builder.allow_unauthenticated();
        }
        builder.build().ok()
    }
}

impl ClientCertVerifier for CurrentClients {
    fn client_auth_mandatory(&self) -> bool {
        self.demands.without == WithoutCertificate::Refused
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.against_all.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now)
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
