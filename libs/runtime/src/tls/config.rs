//! The four TLS configurations there are: a server with or without client certificates, a client that expects a DNS
//! name, a client that expects an identity.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use sallyport_pki::bundle::TrustBundle;

use super::anchors::Anchors;
use super::clients::{CurrentClients, WithoutCertificate};
use super::expected::{Expected, ExpectedServer, ServerVerifier};
use super::revocation::Revocations;
use super::{KeyMaterial, Profile, TlsError};

/// Whether a server asks for client certificates.
#[derive(Clone, Copy, Debug)]
pub enum ClientAuth<'b> {
    /// As [`ClientAuth::Required`], and the certificate must not be revoked: a certificate of a CA that has no list
    /// here, or whose list has passed its next update, is refused. Of several lists of a CA the one with the highest
    /// number counts.
    Checked {
        /// Whose certificates are let in.
        trust: &'b TrustBundle,
        /// Their revocation lists (DER), all signed by a CA of `trust`.
        lists: &'b [Vec<u8>],
    },
    /// As [`ClientAuth::Checked`], but a client that shows no certificate is let in too, and must be told apart by
    /// [`super::peer_leaf`]. One that shows a bad certificate is refused all the same.
    CheckedIfShown {
        /// Whose certificates are let in.
        trust: &'b TrustBundle,
        /// Their revocation lists (DER), all signed by a CA of `trust`.
        lists: &'b [Vec<u8>],
    },
    /// Nobody is asked. Only for ports where everything is public.
    None,
    /// Without a certificate from one of these CAs, valid now and for clientAuth, the handshake fails.
    Required(&'b TrustBundle),
}

/// A server's configuration in the strict profile. The names of the trusted CAs are not sent to clients: an outer door
/// tells the Internet nothing, and an agent has only one certificate to choose from.
///
/// # Errors
/// See [`TlsError`].
pub fn server(identity: &KeyMaterial, clients: ClientAuth<'_>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    Profile::Strict.server(identity, clients, alpn)
}

/// A client's configuration in the strict profile, for servers known by DNS name.
///
/// # Errors
/// See [`TlsError`].
pub fn client(
    identity: Option<&KeyMaterial>,
    trust: &TrustBundle,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    Profile::Strict.client(identity, trust, alpn)
}

/// A client's configuration in the strict profile, for servers known by their Sallyport identity; the host name in the
/// call that connects is then ignored and no SNI is sent.
///
/// # Errors
/// See [`TlsError`].
pub fn client_expecting(
    expected: ExpectedServer,
    identity: Option<&KeyMaterial>,
    trust: &TrustBundle,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    Profile::Strict.client_expecting(expected, identity, trust, alpn)
}

impl Profile {
    /// As [`server`], in this profile.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn server(
        self,
        identity: &KeyMaterial,
        clients: ClientAuth<'_>,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Refused)?;
        let builder = match self.verifier(clients)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
        };
        let mut config = builder.with_single_cert(identity.chain()?, identity.key()?).map_err(TlsError::Refused)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = protocols(alpn);
        Ok(Arc::new(config))
    }

    fn verifier(self, clients: ClientAuth<'_>) -> Result<Option<CurrentClients>, TlsError> {
        let (trust, revocations, without) = match clients {
            ClientAuth::Checked { trust, lists } => {
                (trust, Revocations::checked(trust, lists)?, WithoutCertificate::Refused)
            }
            ClientAuth::CheckedIfShown { trust, lists } => {
                (trust, Revocations::checked(trust, lists)?, WithoutCertificate::LetIn)
            }
            ClientAuth::None => return Ok(None),
            ClientAuth::Required(trust) => (trust, Revocations::NotAsked, WithoutCertificate::Refused),
        };
        CurrentClients::new(Anchors::new(trust)?, revocations, without, self.provider()).map(Some)
    }

    /// As [`client`], in this profile.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client(
        self,
        identity: Option<&KeyMaterial>,
        trust: &TrustBundle,
        alpn: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, TlsError> {
        self.verified_by(Expected::Name, identity, trust, alpn).map(Arc::new)
    }

    /// As [`client_expecting`], in this profile.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client_expecting(
        self,
        expected: ExpectedServer,
        identity: Option<&KeyMaterial>,
        trust: &TrustBundle,
        alpn: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = self.verified_by(Expected::Identity(expected), identity, trust, alpn)?;
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    fn verified_by(
        self,
        expected: Expected,
        identity: Option<&KeyMaterial>,
        trust: &TrustBundle,
        alpn: &[&[u8]],
    ) -> Result<ClientConfig, TlsError> {
        let verifier = ServerVerifier::new(expected, Anchors::new(trust)?, self.provider());
        let builder = ClientConfig::builder_with_provider(self.provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Refused)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(own.chain()?, own.key()?).map_err(TlsError::Refused)?,
        };
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.alpn_protocols = protocols(alpn);
        Ok(config)
    }
}

fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}
