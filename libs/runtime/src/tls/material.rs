//! A certificate chain with its private key, and what can be wrong with the ingredients of a TLS configuration.

use std::fmt;
use std::path::Path;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sallyport_pki::revocation::ListRefused;
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// What a process proves itself with. `Debug` shows no key, and the key's text is wiped when dropped.
#[derive(Clone)]
pub struct KeyMaterial {
    /// Leaf first.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: Zeroizing<String>,
}

impl KeyMaterial {
    /// Reads both files.
    ///
    /// # Errors
    /// [`FileError`] names the file that cannot be read.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, FileError> {
        Ok(Self { chain_pem: files::read_text(chain)?, key_pem: Zeroizing::new(files::read_text(key)?) })
    }

    /// The chain, leaf first.
    ///
    /// # Errors
    /// [`TlsError::Chain`] when it holds no certificate or something unreadable.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes()).collect();
        chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Chain)
    }

    /// The leaf of the chain.
    ///
    /// # Errors
    /// [`TlsError::Chain`], as [`Self::chain`].
    pub fn leaf(&self) -> Result<CertificateDer<'static>, TlsError> {
        self.chain()?.into_iter().next().ok_or(TlsError::Chain)
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|_| TlsError::Key)
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaf = self.leaf().map(|der| sallyport_pki::inspect::fingerprint(&der));
        write!(f, "KeyMaterial({})", leaf.as_deref().unwrap_or("no certificate"))
    }
}

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not one or more certificates in PEM.
    #[error("certificate chain cannot be read")]
    Chain,
    /// Not a private key in PEM.
    #[error("private key cannot be read")]
    Key,
    /// The library refuses: the key does not fit the certificate, or its kind is not in the table.
    #[error("certificate and key are refused")]
    Refused(#[source] rustls::Error),
    /// A list that cannot be read or that no trusted CA signed.
    #[error("revocation list is unusable")]
    RevocationList(#[from] ListRefused),
    /// Nobody would be trusted.
    #[error("trust bundle is unusable")]
    Trust,
}
