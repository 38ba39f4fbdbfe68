//! Names, ids and public keys of those who sign notes.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::tlog::cosignature;
use crate::tlog::hash::{Hash, hex};

/// How many bytes an Ed25519 public key has.
const KEY_BYTES: usize = 32;

/// The name of a key: not empty, without spaces, plus signs and control characters. By custom a URL without scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    /// A name.
    ///
    /// # Errors
    /// [`KeyNameError`] for what is none.
    pub fn new(name: impl Into<String>) -> Result<Self, KeyNameError> {
        let name = name.into();
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if !name.is_empty() && name.chars().all(allowed) { Ok(Self(name)) } else { Err(KeyNameError { name }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for KeyName {
    type Error = KeyNameError;

    fn try_from(name: String) -> Result<Self, KeyNameError> {
        Self::new(name)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

/// A text cannot name a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot name a key: it must not be empty or have spaces, control characters or plus signs")]
pub struct KeyNameError {
    /// The text.
    pub name: String,
}

/// Which of the keys of one name: the first bytes of a hash over name, type and key. It identifies, it proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn of(name: &KeyName, kind: SignatureType, key: &[u8; KEY_BYTES]) -> Self {
        let hash = Hash::sha256(&[name.as_str().as_bytes(), b"\n", &[kind.byte()], key].concat());
        let [a, b, c, d, ..] = hash.0;
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a signature of a key covers. Both are Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureType {
    /// 0x04: a time and a checkpoint (C2SP tlog-cosignature).
    Cosignature,
    /// 0x01: the note's text.
    Text,
}

impl SignatureType {
    fn byte(self) -> u8 {
        match self {
            Self::Cosignature => 4,
            Self::Text => 1,
        }
    }
}

/// What a verified signature states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// That at this time, in seconds since 1970, the log had not been seen to be larger than its checkpoint says.
    Cosigned {
        /// The time.
        at: u64,
    },
    /// The text.
    Signed,
}

/// A public key by which notes are verified. `Display` and `FromStr` are `NAME+ID+BASE64`, in one spelling.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    kind: SignatureType,
    key: [u8; KEY_BYTES],
}

impl VerifierKey {
    /// An Ed25519 public key under a name.
    pub fn new(name: KeyName, kind: SignatureType, key: [u8; KEY_BYTES]) -> Self {
        Self { id: KeyId::of(&name, kind, &key), name, kind, key }
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Its id, which follows from name, type and key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What its signatures cover.
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The bare public key.
    pub fn public_key(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    /// What a signature's payload states about this text; nothing when it does not hold.
    pub(crate) fn verify(&self, text: &str, payload: &[u8]) -> Option<Statement> {
        let holds = |message: &str, signature: &[u8]| {
            UnparsedPublicKey::new(&ED25519, &self.key).verify(message.as_bytes(), signature).ok()
        };
        match self.kind {
            SignatureType::Text => holds(text, payload).map(|()| Statement::Signed),
            SignatureType::Cosignature => {
                let (at, signature) = cosignature::split(payload)?;
                holds(&cosignature::message(at, text), signature).map(|()| Statement::Cosigned { at })
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+'); // the key in base64 may have plus signs
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Shape);
        };
        let name = KeyName::new(name).map_err(|_| VerifierKeyError::Shape)?;
        let bytes = STANDARD.decode(key).map_err(|_| VerifierKeyError::Shape)?;
        let (kind, key) = bytes.split_first().ok_or(VerifierKeyError::Shape)?;
        let kind = match kind {
            1 => SignatureType::Text,
            4 => SignatureType::Cosignature,
            other => return Err(VerifierKeyError::Type { found: *other }),
        };
        let key = Self::new(name, kind, key.try_into().map_err(|_| VerifierKeyError::Shape)?);
        if key.id.to_string() == id { Ok(key) } else { Err(VerifierKeyError::Id) }
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = VerifierKeyError;

    fn try_from(text: String) -> Result<Self, VerifierKeyError> {
        text.parse()
    }
}

impl From<VerifierKey> for String {
    fn from(key: VerifierKey) -> Self {
        key.to_string()
    }
}

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// Its id is that of another name or key: it was mistyped or put together from two.
    #[error("verifier key's id does not fit its name and key")]
    Id,
    /// Not three parts, or not base64 of a key.
    #[error("verifier key is not NAME+ID+BASE64 of an Ed25519 key")]
    Shape,
    /// Neither signature type that is taken.
    #[error("verifier key is of type {found:#04x}; only 0x01 (Ed25519) and 0x04 (Ed25519 cosignature) are taken")]
    Type {
        /// What it says of its type.
        found: u8,
    },
}
