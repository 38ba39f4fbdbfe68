//! Persons' keys in the archive: one object for each person of a region. An erasure destroys the keys and leaves when,
//! so that a key of before that comes late, from a gateway that was away, is destroyed too.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use sallyport_audit::{Incarnation, KeyId, Origin, PersonKey, Subject};
use sallyport_core::name::RegionId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::archive::{Archive, ArchiveError, layout};

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Persons {
    /// Keys by name.
    #[serde(default)]
    pub(crate) keys: BTreeMap<KeyId, Kept>,
    /// Erasures by their id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) erased: BTreeMap<String, Erasing>,
}

/// A key and its log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kept {
    /// In which log it is used.
    pub(crate) log: Origin,
    /// In base64.
    key: Secret,
    /// When it was first used, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0.to_string()
    }
}

impl Kept {
    fn new(log: Origin, key: &PersonKey, used: Option<Timestamp>) -> Self {
        Self { log, key: Secret(Zeroizing::new(BASE64_STANDARD.encode(key.expose()))), used }
    }

    /// Whether an erasure at this time covers it. A key that no record of its batch uses is of an append that was cut:
    /// nothing is lost with it.
    pub(crate) fn is_before(&self, erased: Timestamp) -> bool {
        self.used.is_none_or(|used| used < erased)
    }

    /// The key, if it is one.
    pub(crate) fn key(&self) -> Option<PersonKey> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(self.key.0.as_bytes()).ok()?);
        PersonKey::from_slice(&bytes)
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({})", self.log)
    }
}

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Erasing {
    /// Keys that were first used before this are destroyed.
    pub(crate) at: Timestamp,
    /// How many keys were destroyed.
    pub(crate) keys: u32,
    /// How many more came late and were destroyed. One that comes again is counted again.
    #[serde(default)]
    pub(crate) late: u32,
    /// Which incarnations have it in their log, and forgot the person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) told: BTreeMap<Incarnation, u64>,
}

/// A key, its log, and when it was first used.
pub(crate) type Fresh = (Origin, PersonKey, Option<Timestamp>);

/// Adds keys of a person. Those that an erasure covers are dropped, and counted there.
pub(crate) async fn add(
    archive: &Archive,
    region: &RegionId,
    subject: Subject,
    keys: Vec<Fresh>,
) -> Result<(), PersonsError> {
    let before = load(archive, region, subject).await?;
    let mut person = before.clone();
    for (log, key, used) in keys {
        let kept = Kept::new(log, &key, used);
        match person.erased.values_mut().find(|erased| kept.is_before(erased.at)) {
            Some(erased) => erased.late = erased.late.saturating_add(1),
            None => drop(person.keys.entry(key.id()).or_insert(kept)),
        }
    }
    if person == before { Ok(()) } else { store(archive, region, subject, &person).await }
}

/// Reads a person's keys; none when there are none.
pub(crate) async fn load(archive: &Archive, region: &RegionId, subject: Subject) -> Result<Persons, PersonsError> {
    let path = layout::person(region, subject);
    let Some(bytes) = archive.keys.get(&path).await? else { return Ok(Persons::default()) };
    serde_json::from_slice(&bytes).map_err(|source| PersonsError::Damaged { path: path.to_string(), source })
}

/// Writes a person's keys.
pub(crate) async fn store(
    archive: &Archive,
    region: &RegionId,
    subject: Subject,
    person: &Persons,
) -> Result<(), PersonsError> {
    let json = serde_json::to_vec(person).unwrap_or_default(); // texts, numbers and maps: this cannot fail
    Ok(archive.keys.put(&layout::person(region, subject), json).await?)
}

/// Why a person's keys are not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PersonsError {
    /// See [`ArchiveError`].
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It was changed.
    #[error("{path} in the archive is damaged; restore it from a backup, or delete it and with it a person's name")]
    Damaged {
        /// Which object.
        path: String,
        /// How.
        #[source]
        source: serde_json::Error,
    },
}
