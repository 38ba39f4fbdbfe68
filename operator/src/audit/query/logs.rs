//! The logs of one scope in the archive, read by whoever may block.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use jiff::Timestamp;
use sallyport_audit::export::Keys;
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::note::{KeyName, SignatureType, VerifierKey};
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::tlog::tree::{ReadError, Tiles};
use sallyport_audit::{KeyId, Origin, PersonKey, PublicKey, Scope, Subject};
use tokio::runtime::Handle;

use super::Refused;
use crate::audit::archive::{Archive, layout};
use crate::audit::collect::store;
use crate::audit::persons::{self, Persons};
use crate::audit::records::{Open, Records};

/// A log as it is archived.
pub(super) struct Log {
    pub(super) origin: Origin,
    pub(super) key: VerifierKey,
    pub(super) checkpoint: SignedCheckpoint,
    /// Time of its newest archived record.
    pub(super) collected_until: Timestamp,
}

/// The logs of this scope of all gateways and incarnations, in order of their names.
pub(super) fn of(runtime: &Handle, records: &Records, open: &Open, scope: &Scope) -> Result<Vec<Log>, Refused> {
    let mut logs = Vec::new();
    for (keeper, state) in records.states() {
        let Some(known) = state.journal.logs.get(scope) else { continue };
        let origin = keeper.origin(scope.clone());
        let checkpoint = runtime.block_on(store::checkpoint(&open.archive, &origin)).map_err(Refused::unreadable)?;
        let checkpoint =
            checkpoint.ok_or_else(|| Refused::Unreadable(format!("the checkpoint of {origin} is gone")))?;
        let key = verifier_key(&origin, &state.public_key)?;
        logs.push(Log { origin, key, checkpoint, collected_until: known.at });
    }
    if logs.is_empty() { Err(Refused::UnknownSite(scope.to_string())) } else { Ok(logs) }
}

fn verifier_key(origin: &Origin, key: &PublicKey) -> Result<VerifierKey, Refused> {
    let name = KeyName::new(origin.clone()).map_err(Refused::unreadable)?;
    Ok(VerifierKey::new(name, SignatureType::Text, key.0))
}

/// The tiles of one log.
pub(super) struct ArchivedTiles<'a> {
    pub(super) runtime: &'a Handle,
    pub(super) archive: &'a Archive,
    pub(super) origin: Origin,
}

impl Tiles for ArchivedTiles<'_> {
    fn tile(&self, tile: Tile) -> Result<Option<Cow<'_, [u8]>>, ReadError> {
        Ok(self.runtime.block_on(store::tile(self.archive, &self.origin, tile))?.map(Cow::Owned))
    }
}

/// The persons' keys of a region. They are filed by person and looked for by key, so the first question reads them all.
pub(super) struct ArchivedKeys<'a> {
    runtime: &'a Handle,
    archive: &'a Archive,
    records: &'a Records,
    read: Mutex<Option<BTreeMap<KeyId, PersonKey>>>,
}

impl<'a> ArchivedKeys<'a> {
    pub(super) fn new(runtime: &'a Handle, records: &'a Records, open: &'a Open) -> Self {
        Self { runtime, archive: &open.archive, records, read: Mutex::new(None) }
    }

    fn all(&self) -> Result<BTreeMap<KeyId, PersonKey>, ReadError> {
        let mut all = BTreeMap::new();
        for (_, person) in self.runtime.block_on(everybody(self.archive, self.records))? {
            let keys = person.keys.iter();
            all.extend(keys.filter_map(|(id, kept)| Some((*id, kept.key().filter(|key| key.id() == *id)?))));
        }
        Ok(all)
    }

    /// Names of one person's keys.
    pub(super) fn of(&self, subject: Subject) -> Result<Persons, Refused> {
        let read = persons::load(self.archive, &self.records.id, subject);
        self.runtime.block_on(read).map_err(Refused::unreadable)
    }
}

impl Keys for ArchivedKeys<'_> {
    fn key(&self, _log: &Origin, id: KeyId) -> Result<Option<PersonKey>, ReadError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_none() {
            *read = Some(self.all()?);
        }
        Ok(read.as_ref().and_then(|keys| keys.get(&id)).cloned())
    }
}

/// All persons of a region.
async fn everybody(archive: &Archive, records: &Records) -> Result<Vec<(Subject, Persons)>, persons::PersonsError> {
    let mut all = Vec::new();
    for path in archive.keys.list(&layout::persons(&records.id)).await? {
        let subject = path.filename().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse().ok());
        if let Some(subject) = subject {
            all.push((subject, persons::load(archive, &records.id, subject).await?));
        }
    }
    Ok(all)
}
