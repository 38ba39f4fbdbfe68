//! The Secret with an authority's keys: what is in it, and how it changes.
//!
//! `generation-N.crt` is the certificate. `generation-N.key` is its key, or `generation-N.pkcs11` says where in a token
//! the key is. `generation-N.made` notes what the key was made for. A Secret from before rotations is of type `kubernetes.io/tls`, which never changes, and holds generation 1
//! as `tls.crt` and `tls.key`; later generations stand beside them. That type must have both entries, so a key that is
//! destroyed there becomes empty.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use sallyport_api::common::SecretKeyRef;
use sallyport_pki::rotation::Made;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Type of the Secret.
pub const TYPE: &str = "sallyport.dev/certificate-authority";
const OLD_CERTIFICATE: &str = "tls.crt";
const OLD_KEY: &str = "tls.key";

/// A generation as the Secret holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The certificate, PEM; empty when it is missing.
    pub certificate: String,
    /// Its key, if there is one.
    pub key: Option<StoredKey>,
    /// What it was made for, if that was noted.
    pub made: Option<Made>,
}

/// Where a key is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredKey {
    /// Here, as PKCS#8 PEM.
    Pem(String),
    /// In a token.
    Token(TokenKey),
}

/// Where in a PKCS#11 token a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenKey {
    /// Label of the token.
    pub token: String,
    /// Label of the key pair in it.
    pub key: String,
    /// The Secret with the token's PIN, for as long as the key is needed: also after `spec.custody` names another token.
    pub pin_ref: SecretKeyRef,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Note {
    made_for: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = match &self.key {
            None => "no key".to_owned(),
            Some(StoredKey::Pem(_)) => "a key".to_owned(),
            Some(StoredKey::Token(at)) => format!("{at:?}"),
        };
        write!(f, "Stored({} bytes of certificate, {key})", self.certificate.len())
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pem(_) => write!(f, "Pem"),
            Self::Token(at) => write!(f, "{at:?}"),
        }
    }
}

/// The generations in a Secret, by number.
pub fn read(secret: &Secret) -> BTreeMap<u32, Stored> {
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let text = |key: &str| data.get(key).and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).filter(|t| !t.is_empty());
    let mut found = BTreeMap::new();
    for number in data.keys().filter_map(|key| number(key)).collect::<BTreeSet<_>>() {
        let pem = text(&entry(number, "key")).map(|pem| StoredKey::Pem(pem.to_owned()));
        let token = || text(&entry(number, "pkcs11")).and_then(|text| serde_json::from_str(text).ok());
        let key = pem.or_else(|| token().map(StoredKey::Token));
        let certificate = text(&entry(number, "crt")).unwrap_or_default().to_owned();
        let note: Option<Note> = text(&entry(number, "made")).and_then(|text| serde_json::from_str(text).ok());
        let made = note.map(|note| Made { made_for: note.made_for, request: note.request });
        found.insert(number, Stored { certificate, key, made });
    }
    if let (Some(certificate), None) = (text(OLD_CERTIFICATE), found.get(&1)) {
        let key = text(OLD_KEY).map(|pem| StoredKey::Pem(pem.to_owned()));
        found.insert(1, Stored { certificate: certificate.to_owned(), key, made: None });
    }
    found
}

/// The entries of a generation, for a new Secret or a change of one.
pub fn added(number: u32, stored: &Stored) -> BTreeMap<String, ByteString> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let mut entries = BTreeMap::from([(entry(number, "crt"), bytes(&stored.certificate))]);
    if let Some(made) = &stored.made {
        let note = Note { made_for: made.made_for.clone(), request: made.request.clone() };
        entries.insert(entry(number, "made"), bytes(&serde_json::to_string(&note).unwrap_or_default()));
    }
    match &stored.key {
        None => {}
        Some(StoredKey::Pem(pem)) => drop(entries.insert(entry(number, "key"), bytes(pem))),
        Some(StoredKey::Token(at)) => {
            let text = serde_json::to_string(at).unwrap_or_default();
            entries.insert(entry(number, "pkcs11"), bytes(&text));
        }
    }
    entries
}

/// The `data` of a merge patch that adds a generation.
pub fn addition(number: u32, stored: &Stored) -> Value {
    json!(added(number, stored))
}

/// The `data` of a merge patch that takes a generation's key and certificate away; nothing when there is nothing.
pub fn removal(number: u32, secret: &Secret) -> Option<Value> {
    let data = secret.data.as_ref()?;
    let mut patch = serde_json::Map::new();
    for name in SUFFIXES.map(|suffix| entry(number, suffix)) {
        if data.contains_key(&name) {
            patch.insert(name, Value::Null);
        }
    }
    let holds = |key: &str| data.get(key).is_some_and(|bytes| !bytes.0.is_empty());
    if number == 1 && patch.is_empty() && (holds(OLD_CERTIFICATE) || holds(OLD_KEY)) {
        for name in [OLD_CERTIFICATE, OLD_KEY] {
            patch.insert(name.to_owned(), json!(ByteString(Vec::new())));
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The label of a generation's key in a token.
pub fn token_label(namespace: &str, name: &str, number: u32) -> String {
    format!("sallyport-{namespace}-{name}-{number}")
}

const SUFFIXES: [&str; 4] = ["crt", "key", "made", "pkcs11"];

fn entry(number: u32, suffix: &str) -> String {
    format!("generation-{number}.{suffix}")
}

fn number(key: &str) -> Option<u32> {
    let (number, suffix) = key.strip_prefix("generation-")?.split_once('.')?;
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    (SUFFIXES.contains(&suffix) && entry(number, suffix) == key).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Secret {
        let data = entries.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn with_pem(certificate: &str, key: &str) -> Stored {
        Stored { certificate: certificate.into(), key: Some(StoredKey::Pem(key.into())), made: None }
    }

    fn patched(secret: &Secret, patch: &Value) -> Secret {
        let mut data = secret.data.clone().unwrap_or_default();
        for (key, value) in patch.as_object().unwrap() {
            match value {
                Value::Null => drop(data.remove(key)),
                value => drop(data.insert(key.clone(), serde_json::from_value(value.clone()).unwrap())),
            }
        }
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn what_is_added_is_read_and_what_is_removed_is_gone() {
        let made = Made { made_for: "m".into(), request: Some("r".into()) };
        let pem = Stored { made: Some(made), ..with_pem("c2", "k2") };
        let pin_ref = SecretKeyRef { name: "pin".into(), key: "pin".into() };
        let at = TokenKey { token: "t".into(), key: token_label("dmz", "eu", 3), pin_ref };
        let token = Stored { certificate: "c3".into(), key: Some(StoredKey::Token(at)), made: None };
        let both = patched(&patched(&secret(&[]), &addition(2, &pem)), &addition(3, &token));
        assert_eq!(read(&both), BTreeMap::from([(2, pem), (3, token.clone())]));
        let one = patched(&both, &removal(2, &both).unwrap());
        assert_eq!(read(&one), BTreeMap::from([(3, token)]));
        assert_eq!(removal(2, &one), None);
    }

    #[test]
    fn the_old_layout_is_generation_one_and_keeps_what_its_type_asks_for() {
        let old = secret(&[("tls.crt", "c1"), ("tls.key", "k1")]);
        let first = with_pem("c1", "k1");
        assert_eq!(read(&old), BTreeMap::from([(1, first.clone())]));
        let second = with_pem("c2", "k2");
        let both = patched(&old, &addition(2, &second));
        assert_eq!(read(&both), BTreeMap::from([(1, first), (2, second.clone())]));
        let after = patched(&both, &removal(1, &both).unwrap());
        assert_eq!(read(&after), BTreeMap::from([(2, second)]));
        let data = after.data.clone().unwrap();
        assert!(data["tls.key"].0.is_empty() && data["tls.crt"].0.is_empty(), "kubernetes.io/tls needs both entries");
        assert_eq!(removal(1, &after), None);
    }

    #[test]
    fn other_entries_are_none_of_ours() {
        let odd =
            secret(&[("generation-0.crt", "c"), ("generation-02.crt", "c"), ("generation-x.key", "k"), ("note", "n")]);
        assert!(read(&odd).is_empty());
        let damaged = secret(&[("generation-4.crt", "c"), ("generation-4.pkcs11", "{}")]);
        assert_eq!(read(&damaged)[&4].key, None);
        assert_eq!(format!("{:?}", with_pem("", "secret")), "Stored(0 bytes of certificate, a key)");
    }
}
