//! What records say about people, and the keys by which it can be read. A lawful erasure destroys keys; the records and
//! the log stay as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use sallyport_core::engineer::{Engineer, Reason, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::hex::{KeyId, Subject};
use crate::text::Text;

/// All that is personal in an event. The reason is free text of an engineer, which may name people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Person {
    /// Who (R95).
    pub user: UserId,
    /// Their groups at that moment: one of them may be why it was allowed.
    pub groups: Groups,
    /// What for, in their words, as the customer reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SocketAddr>,
}

impl Person {
    /// An engineer, as their certificate says.
    pub fn of(engineer: &Engineer) -> Self {
        let groups = Groups::clipped(&engineer.groups);
        Self { user: engineer.user.clone(), groups, reason: None, from: None }
    }

    /// With what they said it is for.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// With where they came from.
    #[must_use]
    pub fn coming_from(self, from: SocketAddr) -> Self {
        Self { from: Some(from), ..self }
    }

    /// By what they are found without being named.
    pub fn subject(&self) -> Subject {
        Subject::of(&self.user)
    }
}

/// Names of groups: at most 32 of at most 64 characters, as X.509 has it for organizational units. More or longer ones
/// are clipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeSet<String>", into = "BTreeSet<Text>")]
pub struct Groups(BTreeSet<Text>);

impl Groups {
    /// Groups that are kept.
    pub const MAX: usize = 32;
    /// Characters of each that are kept.
    pub const MAX_CHARS: usize = 64;

    /// Clips them.
    pub fn clipped<'g>(groups: impl IntoIterator<Item = &'g String>) -> Self {
        Self(groups.into_iter().take(Self::MAX).map(|group| Text::clipped_to(group, Self::MAX_CHARS)).collect())
    }

    /// What was kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Text::as_str)
    }
}

impl From<BTreeSet<String>> for Groups {
    fn from(groups: BTreeSet<String>) -> Self {
        Self::clipped(&groups)
    }
}

impl From<Groups> for BTreeSet<Text> {
    fn from(groups: Groups) -> Self {
        groups.0
    }
}

/// The person of an event as it stands in a log: to be read only with the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sealed {
    /// With which key.
    pub key: KeyId,
    /// Nonce, ciphertext and tag of AES-256-GCM.
    pub data: SealedData,
}

/// Bytes in base64, at most [`SealedData::MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealedData(Vec<u8>);

impl SealedData {
    /// The longest person has 13 KiB: 32 groups of 64 characters and a reason of 500, of at most six bytes each.
    pub const MAX: usize = 24 * 1024;

    pub(crate) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for SealedData {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| "sealed data is not base64")?;
        Self::new(bytes).ok_or("sealed data is longer than any person")
    }
}

impl From<SealedData> for String {
    fn from(data: SealedData) -> Self {
        data_encoding::BASE64.encode(&data.0)
    }
}

/// The person of an event for a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// The key was destroyed.
    Erased,
    /// As it was recorded.
    Known(Person),
}

/// A person's key in one log. Cannot be formatted; its bytes are wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonKey(Zeroizing<[u8; PersonKey::LEN]>);

impl PersonKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// A key from random bytes, or from bytes that were kept.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key from kept bytes; none if they are not 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    /// The bytes, to be kept where they can be destroyed.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Names the key and commits to it: nobody can find a second key that fits, so a sealed text has one meaning only
    /// (AES-GCM alone does not give that).
    pub fn id(&self) -> KeyId {
        let hash = Sha256::new_with_prefix(b"sallyport.dev/audit-key\n").chain_update(self.expose()).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        KeyId(id)
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(..)")
    }
}
