//! What the operator keeps of a Secret: whose it is, which certificate it holds and whether the key fits. The key
//! itself is forgotten as soon as it was compared.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sallyport_core::identity::Identity;
use sallyport_pki::inspect::{self, Validity};
use sallyport_pki::key::PrivateKey;

/// A Secret without its secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretFacts {
    /// Its metadata, without managed fields.
    pub metadata: ObjectMeta,
    /// Its type.
    pub type_: String,
    /// The certificate in `tls.crt`, if there is one and `tls.key` is its key.
    pub leaf: Option<LeafFacts>,
    /// The text of `ca.crt`.
    pub trust: String,
    /// Text of `sallyport.dev/keystore` on the Secret: from what its `keystore.p12` was made; nothing when it has none.
    pub keystore: Option<String>,
    /// Whether it holds a private key, in whatever form.
    pub holds_key: bool,
}

/// A leaf certificate, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// The identity it carries, if any.
    pub identity: Option<Identity>,
    /// Its serial number in hex.
    pub serial: String,
    /// From when until when it is valid.
    pub validity: Validity,
    /// Text of `sallyport.dev/issuer` on the Secret: the fingerprint of the CA that issued it.
    pub issuer: String,
}

/// Annotation with the fingerprint of the CA that issued the certificate in a Secret.
pub const ISSUER: &str = "sallyport.dev/issuer";
/// Annotation that says from which version of which password, certificate and bundle the PKCS#12 file was made.
pub const KEYSTORE: &str = "sallyport.dev/keystore";
/// Entry with the PKCS#12 file.
pub const KEYSTORE_FILE: &str = "keystore.p12";

impl SecretFacts {
    /// Reads a Secret and forgets its key.
    pub fn of(secret: Secret) -> Self {
        let data = secret.data.unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).unwrap_or_default();
        let filled = |key: &str| data.get(key).is_some_and(|bytes| !bytes.0.is_empty());
        let annotation = |name: &str| {
            let found = secret.metadata.annotations.iter().flatten().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        };
        let keystore = annotation(KEYSTORE).filter(|_| filled(KEYSTORE_FILE));
        let holds_key = filled("tls.key") || filled(KEYSTORE_FILE);
        let leaf = leaf(text("tls.crt"), text("tls.key"), annotation(ISSUER).unwrap_or_default());
        let trust = text("ca.crt").to_owned();
        let mut metadata = secret.metadata;
        metadata.managed_fields = None;
        Self { metadata, type_: secret.type_.unwrap_or_default(), leaf, trust, keystore, holds_key }
    }
}

fn leaf(certificates: &str, key: &str, issuer: String) -> Option<LeafFacts> {
    let der = first_certificate(certificates)?;
    let key = PrivateKey::from_pem(key).ok()?;
    if inspect::public_key(&der).ok()? != key.public_key() {
        return None;
    }
    Some(LeafFacts {
        identity: inspect::identity(&der).ok(),
        serial: inspect::serial_hex(&der).ok()?,
        validity: inspect::validity(&der).ok()?,
        issuer,
    })
}

/// The first certificate of a PEM text.
pub fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec())
}
