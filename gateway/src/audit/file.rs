//! The journal as one file: lines, appended and synced, recovered to the last whole line at start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rand::RngCore as _;
use sallyport_audit::event::{IncarnationBegan, LogSetAside, NewIncarnation};
use sallyport_audit::journal::{Recovered, State, Tail, Wall, recover};
use sallyport_audit::tlog::note::SigningKey;
use sallyport_audit::{Event, Incarnation, Keeper, Person};
use sallyport_core::name::{Name, RegionId};

use super::AuditError;
use super::key::{self, Kept};

/// Name of the journal's first file: the sequence number of its first record.
pub(super) const FIRST: &str = "00000000000000000001.log";

/// The file and what its writer knows.
pub(super) struct JournalFile {
    file: File,
    state: State,
}

impl JournalFile {
    /// Opens the journal in the folder `audit` of the volume.
    pub(super) fn open(folder: &Path, region: RegionId, gateway: Name) -> Result<Self, AuditError> {
        let open = Opening { folder, region, gateway };
        open.run().map_err(|error| AuditError::Open { path: folder.display().to_string(), why: error.to_string() })
    }

    /// A file that is not recovered, to test errors of writing.
    #[cfg(test)]
    pub(super) fn of(file: File, state: State) -> Self {
        Self { file, state }
    }

    /// Makes records of events, durable when this returns: their sequence numbers, in the same order. After an error
    /// the journal must not be used any more.
    pub(super) fn append(&mut self, events: Vec<(Event<Person>, Timestamp)>) -> io::Result<Vec<u64>> {
        let mut lines = Vec::new();
        let mut random = |bytes: &mut [u8]| rand::rng().fill_bytes(bytes);
        let sequences = events.into_iter().map(|(event, at)| {
            // Whether the clock is right is not asked yet, so it is not claimed.
            let wall = Wall { at, synced: false, error_ms: None };
            self.state.append(event, wall, &mut random, &mut lines).map(|appended| appended.sequence)
        });
        let sequences = sequences.collect::<Result<_, _>>().map_err(io::Error::other)?;
        self.file.write_all(&lines)?;
        self.file.sync_data()?;
        Ok(sequences)
    }
}

struct Opening<'o> {
    folder: &'o Path,
    region: RegionId,
    gateway: Name,
}

impl Opening<'_> {
    fn run(&self) -> io::Result<JournalFile> {
        std::fs::create_dir_all(self.folder.join("journal"))?;
        let mut file = open_or_create(&self.path())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let found = recover(&bytes, None);
        match key::open(&self.key())? {
            Kept::Same(key) if is_unused(&found) => self.begin(file, began(&key, None, NewIncarnation::First), &key),
            Kept::New(key, why) if is_unused(&found) => self.begin(file, began(&key, None, why), &key),
            Kept::Same(key) if goes_on(&key, &found) => self.go_on(file, &key, found),
            Kept::Same(damaged) => {
                let aside = self.set_aside(&found)?;
                let key = key::make(&self.key())?;
                let began = began(&key, Some(&damaged), NewIncarnation::Damaged);
                self.begin(open_or_create(&self.path())?, began, &key)?.saying(aside)
            }
            Kept::New(key, why) => {
                let aside = self.set_aside(&found)?;
                self.begin(open_or_create(&self.path())?, began(&key, None, why), &key)?.saying(aside)
            }
        }
    }

    /// Goes on behind the last good line; what follows it was never acknowledged.
    fn go_on(&self, mut file: File, key: &SigningKey, found: Recovered) -> io::Result<JournalFile> {
        let keeper = self.keeper(key);
        let snapshot = found.state.ok_or_else(|| io::Error::other("the journal has no first line"))?;
        let state = State::resume(keeper, snapshot, found.keys).map_err(io::Error::other)?;
        if found.tail != Tail::Clean {
            tracing::warn!(path = %self.path().display(), tail = ?found.tail, "audit journal had an end that was never acknowledged");
            file.set_len(found.valid_len as u64)?;
        }
        file.seek(SeekFrom::End(0))?;
        self.sync(&file)?;
        Ok(JournalFile { file, state })
    }

    /// Begins the journal of an incarnation.
    fn begin(&self, mut file: File, began: Event<Person>, key: &SigningKey) -> io::Result<JournalFile> {
        let state = State::new(self.keeper(key));
        let mut lines = Vec::new();
        state.begin_file(&mut lines);
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&lines)?;
        self.sync(&file)?;
        JournalFile { file, state }.saying(began)
    }

    /// Acknowledged records may stand behind the damage, so nothing is cut: the file is set aside, whole.
    fn set_aside(&self, found: &Recovered) -> io::Result<Event<Person>> {
        let next_sequence = found.state.as_ref().map_or(1, |state| state.next);
        let line = match found.tail {
            Tail::Damaged { line } => line as u64,
            Tail::Clean | Tail::Torn | Tail::Zeros => 1,
        };
        let incarnation = found.state.as_ref().map_or_else(|| "unknown".to_owned(), |s| s.incarnation.to_string());
        let aside = (0u32..)
            .map(|number| self.path().with_file_name(format!("damaged-{incarnation}-{number}.log")))
            .find(|path| !path.exists())
            .ok_or_else(|| io::Error::other("no name is left for a damaged file"))?;
        tracing::error!(path = %self.path().display(), line, aside = %aside.display(), "audit journal is damaged");
        std::fs::rename(self.path(), &aside)?;
        let file = aside.file_name().unwrap_or_default().to_string_lossy().into_owned().into();
        Ok(Event::LogSetAside(LogSetAside { file, line, next_sequence }))
    }

    fn keeper(&self, key: &SigningKey) -> Keeper {
        let incarnation = Incarnation::of(&key::public(key));
        Keeper { region: self.region.clone(), gateway: self.gateway.clone(), incarnation }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal").join(FIRST)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The names must be durable too, or all the records go with them.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        File::open(self.folder.join("journal"))?.sync_all()?;
        File::open(self.folder)?.sync_all()?;
        self.folder.parent().map_or(Ok(()), |volume| File::open(volume)?.sync_all())
    }
}

impl JournalFile {
    /// With a record of how it was opened.
    fn saying(mut self, event: Event<Person>) -> io::Result<Self> {
        self.append(vec![(event, Timestamp::now())])?;
        Ok(self)
    }
}

/// Whether nothing in it was ever acknowledged.
fn is_unused(found: &Recovered) -> bool {
    !matches!(found.tail, Tail::Damaged { .. }) && found.state.as_ref().is_none_or(|state| state.next == 1)
}

fn goes_on(key: &SigningKey, found: &Recovered) -> bool {
    let ours = Incarnation::of(&key::public(key));
    !matches!(found.tail, Tail::Damaged { .. }) && found.state.as_ref().is_some_and(|state| state.incarnation == ours)
}

fn began(key: &SigningKey, before: Option<&SigningKey>, why: NewIncarnation) -> Event<Person> {
    Event::IncarnationBegan(IncarnationBegan { key: key::public(key), before: before.map(key::public), why })
}

fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
