//! The CAs that can sign, in memory, and the certificates made with them. The only place that holds a CA's key.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use sallyport_pki::authority::{Authority, IssueError, Leaf, LeafRequest, Serial};
use sallyport_pki::key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey};
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_runtime::tls::KeyMaterial;

/// The CAs that can sign, by name of their `CertificateAuthority`.
#[derive(Debug, Default)]
pub struct Authorities {
    signers: RwLock<BTreeMap<ObjectKey, Arc<Signer>>>,
}

/// One CA.
#[derive(Debug)]
pub struct Signer {
    /// With its key.
    pub authority: Authority,
    /// Resource version of the Secret it was read from.
    pub version: String,
    /// What its peers trust, PEM.
    pub trust: String,
}

impl Authorities {
    /// A CA, if it can sign.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Signer>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// A CA can sign.
    pub fn put(&self, key: ObjectKey, authority: Authority, version: String) -> Arc<Signer> {
        let trust = authority.bundle().to_pem();
        let signer = Arc::new(Signer { authority, version, trust });
        self.signers.write().unwrap_or_else(PoisonError::into_inner).insert(key, signer.clone());
        signer
    }

    /// A CA is gone.
    pub fn remove(&self, key: &ObjectKey) -> bool {
        self.signers.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }
}

impl Signer {
    /// A certificate for somebody else's key.
    pub fn sign(
        &self,
        region: &RegionId,
        profile: Profile,
        public_key: PublicKey,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Leaf, IssueError> {
        let request = LeafRequest { region: region.clone(), profile, public_key, lifetime, serial: serial() };
        self.authority.issue(&request, now)
    }

    /// A key and its certificate.
    pub fn issue(
        &self,
        region: &RegionId,
        profile: Profile,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Issued, MakeError> {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let leaf = self.sign(region, profile, key.public_key(), lifetime, now)?;
        Ok(Issued { key, leaf })
    }
}

/// Sixteen bytes of the operating system's randomness.
pub fn serial() -> Serial {
    Serial::from_random(rand::random())
}

/// A key and its certificate.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub key: PrivateKey,
    /// Its certificate.
    pub leaf: Leaf,
}

impl Issued {
    /// For TLS.
    pub fn material(&self) -> KeyMaterial {
        KeyMaterial { chain_pem: self.leaf.pem.clone(), key_pem: self.key.to_pem() }
    }

    /// Two thirds of its life, when it is renewed.
    pub fn renew_at(&self) -> Timestamp {
        let validity =
            sallyport_pki::inspect::Validity { not_before: self.leaf.not_before, not_after: self.leaf.not_after };
        sallyport_plan::certificate::renew_at(&validity)
    }
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The CA does not sign it.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}
