//! Persons' keys in an export, and records shown by them.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;

use crate::hex::KeyId;
use crate::person::{PersonKey, Sealed, Shown};
use crate::record::Record;
use crate::scope::Origin;
use crate::seal::{SealError, open};
use crate::tlog::tree::ReadError;

/// Where persons' keys are kept.
pub trait Keys {
    /// The key of this name, of a person in this log; nothing when it was destroyed.
    ///
    /// # Errors
    /// When it cannot be told whether there is one. A failure must not look like an erasure.
    fn key(&self, log: &Origin, id: KeyId) -> Result<Option<PersonKey>, ReadError>;
}

impl<K: Keys + ?Sized> Keys for &K {
    fn key(&self, log: &Origin, id: KeyId) -> Result<Option<PersonKey>, ReadError> {
        (**self).key(log, id)
    }
}

impl Keys for BTreeMap<KeyId, PersonKey> {
    fn key(&self, _log: &Origin, id: KeyId) -> Result<Option<PersonKey>, ReadError> {
        Ok(self.get(&id).cloned())
    }
}

/// The keys that an export holds of one log: looked for once, so that all its files agree about who is erased.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogKeys {
    found: BTreeMap<KeyId, PersonKey>,
    destroyed: BTreeSet<KeyId>,
}

impl LogKeys {
    /// Looks for the key that a record needs, unless it was looked for before.
    pub(crate) fn look(&mut self, keys: &impl Keys, log: &Origin, record: &Record<Sealed>) -> Result<(), ReadError> {
        let Some(id) = record.event.person().map(|sealed| sealed.key) else { return Ok(()) };
        if self.found.contains_key(&id) || self.destroyed.contains(&id) {
            return Ok(());
        }
        match keys.key(log, id)? {
            Some(key) => drop(self.found.insert(id, key)),
            None => drop(self.destroyed.insert(id)),
        }
        Ok(())
    }

    /// The keys that there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &KeyId> {
        self.found.keys()
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&PersonKey> {
        self.found.get(&id)
    }

    /// `keys.json`: names and keys, in order.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let keys: BTreeMap<String, String> =
            self.found.iter().map(|(id, key)| (id.to_string(), BASE64.encode(key.expose()))).collect();
        let mut bytes = serde_json::to_vec_pretty(&keys).unwrap_or_default(); // strings only
        bytes.push(b'\n');
        bytes
    }

    /// Reads `keys.json`. Every key must be the one that its name commits to, and the file in the spelling in
    /// which it is written; nothing is read otherwise.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let texts: BTreeMap<KeyId, String> = serde_json::from_slice(bytes).ok()?;
        let read = |(id, text): (KeyId, String)| {
            let key = PersonKey::from_slice(&BASE64.decode(text.as_bytes()).ok()?)?;
            (key.id() == id).then_some((id, key))
        };
        let found = texts.into_iter().map(read).collect::<Option<_>>()?;
        let keys = Self { found, destroyed: BTreeSet::new() };
        (keys.to_json() == bytes).then_some(keys)
    }
}

/// A record for a reader. `key` is the one that its person names, or nothing when that was destroyed.
///
/// # Errors
/// See [`SealError`]: the record was not sealed for this place.
pub fn show(
    log: &Origin,
    record: Record<Sealed>,
    key: impl FnOnce(KeyId) -> Option<PersonKey>,
) -> Result<Record<Shown>, SealError> {
    record.try_map(|sealed, n| match key(sealed.key) {
        Some(key) => open(&sealed, &key, log, n).map(Shown::Known),
        None => Ok(Shown::Erased),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_they_are_written_and_only_under_their_own_names() {
        let mut keys = LogKeys::default();
        for byte in [1, 2] {
            let key = PersonKey::new([byte; 32]);
            keys.found.insert(key.id(), key);
        }
        let json = keys.to_json();
        assert_eq!(LogKeys::parse(&json).unwrap().found, keys.found);
        let text = String::from_utf8(json).unwrap();
        let (one, two) = (PersonKey::new([1; 32]).id().to_string(), PersonKey::new([2; 32]).id().to_string());
        let swapped = text.replace(&one, "x").replace(&two, &one).replace('x', &two);
        assert!(LogKeys::parse(swapped.as_bytes()).is_none(), "{swapped}");
        for bad in ["", "[]", "{\"a\":\"b\"}", "{}x"] {
            assert!(LogKeys::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
