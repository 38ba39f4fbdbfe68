//! The PKCS#12 file beside a certificate, for routers that read no PEM.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sallyport_api::TunnelCertificate;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::PrivateKey;
use sallyport_pki::pkcs12;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::Trouble;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{Error, found};

/// A longer password is a mistake: some file that somebody took for one.
const MOST_CHARS: usize = 256;

/// What a PKCS#12 file is made with.
pub(super) struct Keystore {
    password: Zeroizing<String>,
    /// Tells one password from another, and nothing of it.
    pub(super) password_version: String,
}

impl Keystore {
    /// As a certificate's spec wants it, with the password as it is now.
    pub(super) async fn wanted(
        ctx: &Context,
        namespace: &str,
        certificate: &TunnelCertificate,
    ) -> Result<Option<Self>, Trouble> {
        let Some(pkcs12) = &certificate.spec.pkcs12 else { return Ok(None) };
        let (name, entry) = (&pkcs12.password_ref.name, &pkcs12.password_ref.key);
        let key = ObjectKey::new(namespace, name);
        let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
        let what = format!("read Secret {key}");
        let secret = found(api.get(name).await).map_err(|e| Trouble::from(Error::api(what)(e)))?;
        let secret = secret.ok_or_else(|| Trouble::Password(format!("Secret {key} does not exist; create it")))?;
        let version = format!(
            "{}.{}",
            secret.metadata.uid.as_deref().unwrap_or_default(),
            secret.metadata.resource_version.as_deref().unwrap_or_default()
        );
        let bytes = secret.data.and_then(|mut data| data.remove(entry));
        let bytes = bytes.ok_or_else(|| Trouble::Password(format!("Secret {key} has no key {entry:?}; add it")))?;
        let password =
            usable(bytes.0).map_err(|why| Trouble::Password(format!("key {entry:?} of Secret {key} {why}")))?;
        Ok(Some(Self { password, password_version: version }))
    }

    /// The file.
    pub(super) fn file(&self, key: &str, leaf: &[u8], trust: &str) -> Result<Vec<u8>, Trouble> {
        let failed = |error: &dyn std::error::Error| Trouble::Issue(format!("PKCS#12 file: {error}"));
        let key = PrivateKey::from_pem(key).map_err(|e| failed(&e))?;
        let trust = TrustBundle::from_pem(trust).map_err(|e| failed(&e))?;
        pkcs12::keystore(&key, leaf, &trust, &self.password).map_err(|e| failed(&e))
    }
}

/// A password that every program spells alike.
fn usable(bytes: Vec<u8>) -> Result<Zeroizing<String>, &'static str> {
    let text = String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| "is not UTF-8")?;
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().count() > MOST_CHARS {
        return Err("is longer than 256 characters, which no password is");
    }
    if text.chars().any(char::is_control) {
        return Err("has a line end or another control character; write it without");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_programs_spell_differently_is_refused() {
        for wrong in [&b""[..], b"secret\n", b"a\0b", b"\xff", "x".repeat(257).as_bytes()] {
            assert!(usable(wrong.to_vec()).is_err(), "{wrong:?}");
        }
        assert_eq!(usable("pässword 1".as_bytes().to_vec()).unwrap().as_str(), "pässword 1");
    }
}
