//! Opening the journal after the process or the machine stopped at any moment: all files are read, every root is computed
//! again, and what does not fit is never written over.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sallyport_audit::event::{IncarnationBegan, LogSealed, LogSetAside, NewIncarnation};
use sallyport_audit::journal::{Found, KeptKey, Recovered, Snapshot, State, Tail, recover};
use sallyport_audit::tlog::note::{KeyName, SignatureType, SigningKey, VerifierKey};
use sallyport_audit::{Event, Incarnation, Keeper, Person, Scope};
use sallyport_core::name::{Name, RegionId};

use super::disk::{Disk, zero};
use super::folder::{self, Folder};
use super::journal::{Current, Journal, Spare};
use super::key::{self, Kept};

/// Whose journal it is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) region: RegionId,
    pub(super) gateway: Name,
}

impl Owner {
    fn keeper(&self, key: &SigningKey) -> Keeper {
        let incarnation = Incarnation::of(&key::public(key));
        Keeper { region: self.region.clone(), gateway: self.gateway.clone(), incarnation }
    }
}

/// Opens the journal of a volume, or begins one. The events are to be recorded first: they say how it was found.
pub(super) fn open(
    volume: &Path,
    owner: Owner,
    disk: Box<dyn Disk>,
    size: u64,
) -> io::Result<(Journal, Vec<Event<Person>>)> {
    let opening = Opening { folder: Folder::open(volume)?, owner, size };
    let files = opening.folder.files()?;
    match (key::read(&opening.folder.key())?, files.is_empty()) {
        (Kept::Known(key), false) => match opening.read(&key, &files)? {
            Ok(read) => opening.go_on(key, read, disk),
            Err(damage) => {
                let aside = opening.set_aside(&damage)?;
                opening.begin(Some(&key), NewIncarnation::Damaged, vec![aside], disk)
            }
        },
        (Kept::Lost | Kept::Missing, false) => {
            let aside = opening.set_aside(&Damage::unread(files[0]))?;
            opening.begin(None, NewIncarnation::KeyLost, vec![aside], disk)
        }
        // A key without a journal may have signed one that is gone. A new one makes sure that nothing is signed twice.
        (Kept::Known(key), true) => {
            let why = opening.why_empty()?;
            opening.begin(Some(&key), why, Vec::new(), disk)
        }
        (Kept::Lost, true) => opening.begin(None, NewIncarnation::KeyLost, Vec::new(), disk),
        (Kept::Missing, true) => {
            let why = opening.why_empty()?;
            opening.begin(None, why, Vec::new(), disk)
        }
    }
}

struct Opening {
    folder: Folder,
    owner: Owner,
    size: u64,
}

/// All files, found to fit.
struct Read {
    snapshot: Snapshot,
    keys: Vec<KeptKey>,
    touched: BTreeSet<Scope>,
    last: u64,
    valid_len: u64,
    tail: Tail,
}

/// Why a journal cannot be continued.
struct Damage {
    incarnation: Option<Incarnation>,
    file: u64,
    line: u64,
    next_sequence: u64,
}

impl Damage {
    fn unread(file: u64) -> Self {
        Self { incarnation: None, file, line: 1, next_sequence: file }
    }
}

impl Opening {
    /// Reads all files in order, each held against the state that the ones before it give.
    fn read(&self, key: &SigningKey, files: &[u64]) -> io::Result<Result<Read, Damage>> {
        let ours = self.owner.keeper(key);
        let mut keys: Vec<KeptKey> = Vec::new();
        let mut touched = BTreeSet::new();
        let mut before: Option<Snapshot> = None;
        let mut end = (0, 0, Tail::Clean);
        for (index, file) in files.iter().enumerate() {
            let bytes = std::fs::read(self.folder.file(*file))?;
            let recovered = recover(&bytes, before.as_ref());
            let is_last = index + 1 == files.len();
            if let Some(damage) = damage(&recovered, *file, is_last, before.as_ref(), &ours, key) {
                return Ok(Err(damage));
            }
            let Recovered { state, found, keys: more, valid_len, tail } = recovered;
            for found in &found {
                note(found, &mut touched, &mut keys);
            }
            keys.extend(more);
            before = state;
            end = (*file, valid_len as u64, tail);
        }
        let (last, valid_len, tail) = end;
        let Some(snapshot) = before else { return Ok(Err(Damage::unread(last))) };
        Ok(Ok(Read { snapshot, keys, touched, last, valid_len, tail }))
    }

    /// Goes on behind the last good line; what follows it was never acknowledged.
    fn go_on(&self, key: SigningKey, read: Read, mut disk: Box<dyn Disk>) -> io::Result<(Journal, Vec<Event<Person>>)> {
        let Read { snapshot, keys, touched, last, valid_len, tail } = read;
        let state = State::resume(self.owner.keeper(&key), snapshot, keys).map_err(io::Error::other)?;
        let path = self.folder.file(last);
        let file = folder::open(&path)?;
        let mut said = Vec::new();
        let found_len = file.metadata()?.len();
        if tail == Tail::Torn {
            tracing::warn!(path = %path.display(), valid_len, "audit journal ended in a line that was never acknowledged");
            zero(disk.as_mut(), &file, valid_len, found_len)?;
            said.push(Event::LogSealed(LogSealed { why: "the last lines were never acknowledged and are cut".into() }));
        }
        // A copy may be shorter than what was allocated. Where there is no room for more, the file ends where it ends.
        let grows = found_len < self.size && disk.allocate(&file, self.size).is_ok();
        let room = if grows { self.size } else { found_len };
        file.sync_all()?;
        self.folder.sync_journal()?;
        let current = Current { file, first: last, len: valid_len, room };
        Ok((self.journal(disk, key, state, current, touched), said))
    }

    /// Begins the journal of a new incarnation, whose first record says so. A key is used for one journal only.
    fn begin(
        &self,
        before: Option<&SigningKey>,
        why: NewIncarnation,
        said: Vec<Event<Person>>,
        mut disk: Box<dyn Disk>,
    ) -> io::Result<(Journal, Vec<Event<Person>>)> {
        let key = key::make(&self.folder.key())?;
        let state = State::new(self.owner.keeper(&key));
        let mut lines = Vec::new();
        state.begin_file(&mut lines);
        let spare = Spare::make(&self.folder, disk.as_mut(), self.size)?;
        let current = spare.into_first(&self.folder, disk.as_mut(), &lines)?;
        let began = IncarnationBegan { key: key::public(&key), before: before.map(key::public), why };
        let said = std::iter::once(Event::IncarnationBegan(began)).chain(said).collect();
        Ok((self.journal(disk, key, state, current, BTreeSet::new()), said))
    }

    fn journal(
        &self,
        disk: Box<dyn Disk>,
        key: SigningKey,
        state: State,
        current: Current,
        touched: BTreeSet<Scope>,
    ) -> Journal {
        let folder = self.folder.clone();
        let size = self.size;
        Journal { folder, disk, key, state, size, current, spare: None, touched, since_mark: 0, lines: Vec::new() }
    }

    /// Acknowledged records may stand behind the damage, so nothing is cut: all files are set aside.
    fn set_aside(&self, damage: &Damage) -> io::Result<Event<Person>> {
        let incarnation = damage.incarnation.map_or_else(|| "unknown".to_owned(), |i| i.to_string());
        let name = self.folder.set_aside(&incarnation)?;
        let Damage { file, line, next_sequence, .. } = *damage;
        tracing::error!(
            folder = %self.folder.path().display(), file, line, aside = name,
            "audit journal is damaged and set aside; a new incarnation begins. Keep it: it is evidence"
        );
        let file = format!("{name}/{file:020}.log");
        Ok(Event::LogSetAside(LogSetAside { file: file.as_str().into(), line, next_sequence }))
    }

    /// A stop between setting aside and beginning leaves no journal, but the one that was set aside.
    fn why_empty(&self) -> io::Result<NewIncarnation> {
        Ok(if self.folder.has_aside()? { NewIncarnation::Damaged } else { NewIncarnation::First })
    }
}

/// What is wrong with a file, if anything is.
fn damage(
    recovered: &Recovered,
    file: u64,
    is_last: bool,
    before: Option<&Snapshot>,
    ours: &Keeper,
    key: &SigningKey,
) -> Option<Damage> {
    let records = recovered.found.iter().filter(|found| matches!(found, Found::Record { .. })).count() as u64;
    let lines = recovered.found.len() as u64 + 1;
    let Some(state) = &recovered.state else {
        let incarnation = before.map(|before| before.incarnation);
        return Some(Damage { incarnation, ..Damage::unread(file) });
    };
    let at = |line| Damage { incarnation: Some(state.incarnation), file, line, next_sequence: state.next };
    let begins = before.map_or(file, |before| before.next);
    if state.incarnation != ours.incarnation || begins != file || state.next - records != file {
        return Some(at(1));
    }
    match recovered.tail {
        Tail::Damaged { line } => return Some(at(line as u64)),
        // A file is whole before the next one has its name.
        Tail::Torn if !is_last => return Some(at(lines + 1)),
        Tail::Clean | Tail::Torn | Tail::Zeros => {}
    }
    let forged = |found: &Found| match found {
        Found::Checkpoint { origin, signed } => {
            let Ok(name) = KeyName::new(origin.clone()) else { return true };
            let verifier = VerifierKey::new(name.clone(), SignatureType::Text, key.public_key());
            origin.keeper != *ours || signed.clone().open_ours(&name, &[verifier]).is_err()
        }
        Found::Key { .. } | Found::Record { .. } | Found::Snapshot => false,
    };
    recovered.found.iter().position(forged).map(|index| at(index as u64 + 2))
}

/// Follows what the writer had in memory: which logs lack a checkpoint, and whose keys were destroyed since.
fn note(found: &Found, touched: &mut BTreeSet<Scope>, keys: &mut Vec<KeptKey>) {
    match found {
        Found::Checkpoint { origin, .. } => {
            touched.remove(&origin.scope);
        }
        Found::Record { scope, record, .. } => {
            touched.insert(scope.clone());
            if let Event::AuditErased(erased) = &record.event {
                let gone = |kept: &KeptKey| {
                    kept.subject == erased.subject && (*scope == Scope::Region || kept.scope == *scope)
                };
                keys.retain(|kept| !gone(kept));
            }
        }
        Found::Key { .. } | Found::Snapshot => {}
    }
}
