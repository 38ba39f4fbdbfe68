//! The endpoint's certificate, key and trust, read together from their files. They are read again when their content
//! changes, so that a renewed certificate is used at the next dial without a restart.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_pki::bundle::{BundleError, TrustBundle};
use sallyport_pki::inspect::{self, IdentityRefused, Validity};
use sallyport_pki::key::PrivateKey;
use sallyport_runtime::files::{FileError, read_text};
use sallyport_runtime::tls::{self, KeyMaterial, TlsError};
use sha2::{Digest, Sha256};

use crate::config::Config;

/// The one protocol spoken on the outer door.
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// What the agent proves itself with, and whom it trusts.
pub struct Material {
    /// The region whose CA vouches for this agent.
    pub region: RegionId,
    /// Which endpoint this agent is.
    pub endpoint: EndpointId,
    /// The private CA.
    pub trust: TrustBundle,
    /// The leaf.
    pub leaf: CertificateDer<'static>,
    /// When the leaf is valid.
    pub validity: Validity,
    /// SHA-256, in hex, of the CA certificate that issued the leaf; nothing if that one is not trusted (any more).
    pub issuer: Option<String>,
    /// The leaf's key, for proofs.
    pub key: PrivateKey,
    /// For dialling.
    pub tls: Arc<ClientConfig>,
    digest: [u8; 32],
}

impl Material {
    /// Reads the three files.
    pub fn read(config: &Config) -> Result<Self, MaterialError> {
        Files::read(config)?.material()
    }

    /// Whether the files still say what this was made from.
    pub fn is_current(&self, config: &Config) -> Result<bool, MaterialError> {
        Ok(Files::read(config)?.digest() == self.digest)
    }
}

/// The files' text, before any of it is believed.
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    own: KeyMaterial,
    trust: (PathBuf, String),
}

impl Files {
    /// Reads all three.
    pub fn read(config: &Config) -> Result<Self, MaterialError> {
        Ok(Self {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
            own: KeyMaterial::read(&config.certificate, &config.key)?,
            trust: (config.trust.clone(), read_text(&config.trust)?),
        })
    }

    /// The leaf of the chain.
    pub fn leaf(&self) -> Result<CertificateDer<'static>, MaterialError> {
        self.own.leaf().map_err(|_| MaterialError::Certificate { path: self.certificate.clone() })
    }

    /// The key, if it is the leaf's.
    pub fn key(&self, leaf: &[u8]) -> Result<PrivateKey, MaterialError> {
        let unreadable = |_| MaterialError::Key { path: self.key.clone() };
        let key = PrivateKey::from_pem(&self.own.key_pem).map_err(unreadable)?;
        match inspect::public_key(leaf) {
            Ok(public) if public == key.public_key() => Ok(key),
            _ => Err(MaterialError::ForeignKey { path: self.key.clone(), certificate: self.certificate.clone() }),
        }
    }

    /// The CAs.
    pub fn trust(&self) -> Result<TrustBundle, MaterialError> {
        let (path, pem) = &self.trust;
        TrustBundle::from_pem(pem).map_err(|source| MaterialError::Trust { path: path.clone(), source })
    }

    /// Whom the leaf names, which must be an endpoint.
    pub fn endpoint(&self, leaf: &[u8]) -> Result<(RegionId, EndpointId), MaterialError> {
        let path = || self.certificate.clone();
        match inspect::identity(leaf) {
            Ok(Identity { region, role: Role::Endpoint(endpoint) }) => Ok((region, endpoint)),
            Ok(identity) => Err(MaterialError::NotAnEndpoint { path: path(), identity: Box::new(identity) }),
            Err(source) => Err(MaterialError::Identity { path: path(), source }),
        }
    }

    /// For dialling: our certificate, and no trust but the private CA's.
    pub fn tls(&self, trust: &TrustBundle) -> Result<Arc<ClientConfig>, MaterialError> {
        Ok(tls::client(Some(&self.own), trust, &[ALPN])?)
    }

    fn material(&self) -> Result<Material, MaterialError> {
        let leaf = self.leaf()?;
        let key = self.key(&leaf)?;
        let (region, endpoint) = self.endpoint(&leaf)?;
        let validity = inspect::validity(&leaf)
            .map_err(|source| MaterialError::Identity { path: self.certificate.clone(), source: source.into() })?;
        let trust = self.trust()?;
        let tls = self.tls(&trust)?;
        let issuer = trust.issuer_of(&leaf);
        Ok(Material { region, endpoint, trust, leaf, validity, issuer, key, tls, digest: self.digest() })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [self.own.chain_pem.as_str(), self.own.key_pem.as_str(), self.trust.1.as_str()] {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

/// Why the agent cannot prove who it is, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// No certificate in the file.
    #[error("{path} holds no PEM certificate; it must begin with -----BEGIN CERTIFICATE-----", path = path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
    },
    /// The files do not belong together.
    #[error("the key in {path} is not the one of the certificate in {certificate}; copy both from the same delivery", path = path.display(), certificate = certificate.display())]
    ForeignKey {
        /// The key's file.
        path: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate names nobody.
    #[error("the certificate in {path} names no endpoint; use the one that the vendor delivered for this site", path = path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: IdentityRefused,
    },
    /// No key in the file.
    #[error("{path} holds no unencrypted PKCS#8 EC private key (-----BEGIN PRIVATE KEY-----)", path = path.display())]
    Key {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate is somebody else's.
    #[error("the certificate in {path} stands for {identity}, which is no endpoint; use the one delivered for this site", path = path.display())]
    NotAnEndpoint {
        /// Which file.
        path: PathBuf,
        /// Whom it names.
        identity: Box<Identity>,
    },
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The trust file is no bundle.
    #[error("trust file {path}", path = path.display())]
    Trust {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
}
