//! TLS towards the gateway: 1.3 only, our certificate, and no trust but the private CA's.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sallyport_pki::bundle::TrustBundle;

/// The one protocol spoken on the outer door.
const ALPN: &[u8] = b"http/1.1";

/// What checks the gateway's certificate.
pub fn verifier(trust: &TrustBundle) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in trust.certificates() {
        roots.add(certificate.into_owned()).map_err(|e| TlsError(e.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| TlsError(error.to_string()))
}

/// The client's side, with a verifier of [`verifier`] or one that wraps it.
pub fn client(
    chain: Vec<CertificateDer<'static>>,
    key_pem: &str,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| TlsError(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(|error| TlsError(error.to_string()))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // An agent dials rarely; remembering sessions is memory and state for nothing.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The TLS library does not take the certificate, the key or the trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tls cannot be set up: {0}")]
pub struct TlsError(String);
