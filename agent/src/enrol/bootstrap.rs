//! Trust from a fingerprint (RFC 7030 section 4.1.1): the CA certificates are fetched over a connection that nobody has
//! verified, and of them only the one whose SHA-256 a person gave is believed. The certificate that the server showed on
//! that same connection must chain to it; whatever else the answer holds is thrown away.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::{inspect, pem};
use sallyport_runtime::tls::Profile;

use super::EnrolError;
use crate::config::Gateway;
use crate::dial;
use crate::est::{self, Question};
use crate::material::ALPN;
use crate::surroundings::Surroundings;

/// SHA-256 of a CA certificate, as `sallyportctl` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl std::str::FromStr for Fingerprint {
    type Err = &'static str;

    /// 64 hexadecimal digits of either case, with or without colons.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex: String = text.trim().chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let fine = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fine { Ok(Self(hex)) } else { Err("the SHA-256 of the CA certificate is 64 hexadecimal digits") }
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Trust in the one CA of this fingerprint, if the gateway has it and was certified by it.
pub(super) async fn fetch(
    gateway: &Gateway,
    fingerprint: &Fingerprint,
    surroundings: &Surroundings,
) -> Result<TrustBundle, EnrolError> {
    let stream = dial::connect(gateway, surroundings, &unverified()?).await.map_err(est::EstError::from)?;
    let shown: Vec<_> = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let answer = est::ask(stream, &gateway.host, Question::CaCerts).await?;
    let Some(authority) = answer.certificates.iter().find(|der| inspect::fingerprint(der) == fingerprint.0) else {
        let found = answer.certificates.iter().map(|der| inspect::fingerprint(der)).collect();
        return Err(EnrolError::Fingerprint { wanted: fingerprint.clone(), found });
    };
    let trust = TrustBundle::from_pem(&pem::certificate(authority)).map_err(EnrolError::Authority)?;
    let now = surroundings.now();
    match certified_by(authority, &shown, &gateway.host, now) {
        Ok(()) => Ok(trust),
        Err(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => Err(EnrolError::Clock { now, theirs: answer.date }),
        Err(error) => {
            let shown = shown.first().and_then(|leaf| inspect::describe(leaf).ok());
            let shown = shown.map_or_else(|| "none".to_owned(), |shown| shown.to_string());
            Err(EnrolError::ForeignServer { shown, wanted: fingerprint.clone(), error })
        }
    }
}

fn certified_by(authority: &[u8], shown: &[CertificateDer<'_>], host: &str, now: Timestamp) -> Result<(), Error> {
    let none = || Error::NoCertificatesPresented;
    let (leaf, intermediates) = shown.split_first().ok_or_else(none)?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Profile::Strict.provider());
    let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
    let name = ServerName::try_from(host).map_err(|error| Error::General(error.to_string()))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_server_cert(leaf, intermediates, &name, &[], now).map(drop)
}

/// The one configuration of this program that believes a server without knowing it. Nothing secret goes over it and
/// nothing that comes back is believed by itself.
fn unverified() -> Result<Arc<ClientConfig>, EnrolError> {
    let provider = Profile::Strict.provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| EnrolError::Tls(sallyport_runtime::tls::TlsError::Refused(error)))?;
    let verifier = Arc::new(Anybody { provider });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Takes every certificate, but only from who has its key.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_sixty_four_digits_however_it_is_written() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain.as_str(), colons.as_str(), &format!(" {plain}\n")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), plain);
        }
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
