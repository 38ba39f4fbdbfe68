//! The journal's files as their writer has them: lines go to the current one, the next one is allocated already.
//!
//! ```text
//!  take ─▶ lines (memory) ─▶ commit: write, fdatasync ─▶ acknowledged
//!    └─ no room: mark, commit, `S` line into the spare, sync, rename, sync the folder, go on there
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use rand::RngCore as _;
use sallyport_audit::journal::{AppendError, Appended, State, Wall};
use sallyport_audit::tlog::note::SigningKey;
use sallyport_audit::{Event, Person, PublicKey, Scope};

use super::disk::{Disk, zero};
use super::folder::{self, Folder};

/// Size of a file. The next one is made when one is full, so this bounds what is written between two looks at the room
/// on the volume, and what is kept too long because a part of it is not archived.
pub(super) const FILE: u64 = 8 * 1024 * 1024;

/// Room that a record may need: its line with the longest name and leaf (65,700 bytes), and the line of its person's key.
const RECORD_ROOM: u64 = 68 * 1024;

/// Room that a checkpoint's line may need: a note of 900 bytes in base64.
const CHECKPOINT_ROOM: u64 = 1280;

/// The part of the last file that is kept, when there is no spare, for the ends of sessions and of the gateway: 2 MiB,
/// which is three thousand of them.
const RESERVED: u64 = 4;

/// After so many bytes of records all logs that they touched are signed: a batch of a MiB can always end at such a place.
const GROUP: usize = 256 * 1024;

/// Or after so many logs, whose checkpoints are then at most 320 KiB.
const GROUP_LOGS: usize = 256;

/// How far the journal is, for who reads it while it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Sequence number of the newest durable record.
    pub newest: u64,
    /// The file that is written: its first sequence number.
    pub(super) file: u64,
    /// Durable bytes of it.
    pub(super) len: u64,
}

/// What may be written when there is no room for another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Something ends, or the log speaks of itself.
    End,
    /// Something begins, or is merely told.
    Other,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// It cannot become a record; others can.
    #[error(transparent)]
    Event(#[from] AppendError),
    /// The volume failed: what it holds is not known any more.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// There is no room and no spare.
    #[error("there is no room for another file of the journal")]
    NoRoom,
}

/// The files and what their writer knows.
pub(super) struct Journal {
    pub(super) folder: Folder,
    pub(super) disk: Box<dyn Disk>,
    pub(super) key: SigningKey,
    pub(super) state: State,
    /// Of a new file, if its first line leaves room for more.
    pub(super) size: u64,
    pub(super) current: Current,
    pub(super) spare: Option<Spare>,
    /// Logs with records since their last checkpoint.
    pub(super) touched: BTreeSet<Scope>,
    /// Bytes of records since all logs had one.
    pub(super) since_mark: usize,
    /// Lines that are not written yet.
    pub(super) lines: Vec<u8>,
}

/// The file that is written.
pub(super) struct Current {
    pub(super) file: File,
    pub(super) first: u64,
    pub(super) len: u64,
    pub(super) room: u64,
}

/// A file that is allocated and holds nothing.
pub(super) struct Spare {
    file: File,
    room: u64,
}

impl Journal {
    /// Adds a record's lines; durable after the next [`Journal::commit`].
    pub(super) fn take(&mut self, event: Event<Person>, wall: Wall, need: Need) -> Result<Appended, TakeError> {
        let reserve = match need {
            Need::Other if self.spare.is_none() => self.size / RESERVED,
            Need::End | Need::Other => 0,
        };
        if self.left() < RECORD_ROOM + reserve {
            if self.spare.is_none() && self.make_spare().is_err() {
                return Err(TakeError::NoRoom);
            }
            if self.left() < RECORD_ROOM {
                self.rotate()?;
            }
        }
        let before = self.lines.len();
        let mut random = |bytes: &mut [u8]| rand::rng().fill_bytes(bytes);
        let appended = self.state.append(event, wall, &mut random, &mut self.lines)?;
        self.touched.insert(appended.scope.clone());
        self.since_mark += self.lines.len() - before;
        if self.since_mark >= GROUP || self.touched.len() >= GROUP_LOGS {
            self.mark()?;
        }
        Ok(appended)
    }

    /// Room for records in the current file, behind which the checkpoints of all touched logs still fit.
    fn left(&self) -> u64 {
        let logs = self.touched.len() as u64 + 1;
        let used = self.current.len + self.lines.len() as u64 + logs * CHECKPOINT_ROOM;
        self.current.room.saturating_sub(used)
    }

    /// Signs every log that was touched, as far as it is now.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        for scope in &self.touched {
            let checkpoint = self.state.checkpoint(scope, &self.key).map_err(io::Error::other)?;
            self.state.write_checkpoint(&checkpoint, &mut self.lines);
        }
        self.touched.clear();
        self.since_mark = 0;
        Ok(())
    }

    /// Makes all lines durable. After an error the journal must not be used any more.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.disk.write(&self.current.file, &self.lines, self.current.len)?;
        self.disk.sync(&self.current.file)?;
        self.current.len += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }

    /// Goes on in the spare.
    fn rotate(&mut self) -> Result<(), TakeError> {
        let Some(spare) = self.spare.take() else { return Err(TakeError::NoRoom) };
        self.mark()?;
        self.commit()?;
        self.state.begin_file(&mut self.lines);
        self.begin(spare)?;
        Ok(())
    }

    /// Leaves the current file, as after a person's key was destroyed that stands in it, so that it can go once it is
    /// archived. Without a spare it stays.
    pub(super) fn leave_file(&mut self) -> io::Result<()> {
        match self.rotate() {
            Ok(()) | Err(TakeError::NoRoom | TakeError::Event(_)) => Ok(()),
            Err(TakeError::Failed(error)) => Err(error),
        }
    }

    /// Writes the lines there are, which begin with an `S` line, into a spare, and then gives it its name: a file with a
    /// name has its first line.
    fn begin(&mut self, spare: Spare) -> io::Result<()> {
        let first = self.state.next_sequence();
        begin_file(&self.folder, self.disk.as_mut(), &spare.file, first, &self.lines)?;
        self.current = Current { file: spare.file, first, len: self.lines.len() as u64, room: spare.room };
        self.lines.clear();
        Ok(())
    }

    /// Allocates the next file, if there is none yet.
    pub(super) fn make_spare(&mut self) -> io::Result<()> {
        if self.spare.is_none() {
            let mut first_line = Vec::new();
            self.state.begin_file(&mut first_line);
            // A region of thousands of sites has a first line of megabytes.
            let room = self.size.max((2 * first_line.len() as u64).next_multiple_of(self.size));
            self.spare = Some(Spare::make(&self.folder, self.disk.as_mut(), room)?);
        }
        Ok(())
    }

    /// Removes files all of whose records are at or before `through`. Never the current one.
    pub(super) fn free(&mut self, through: u64) -> io::Result<usize> {
        let files = self.folder.files()?;
        let mut freed = 0;
        for (file, next) in files.iter().zip(files.iter().skip(1)) {
            if *file < self.current.first && *next <= through.saturating_add(1) && *next <= self.current.first {
                std::fs::remove_file(self.folder.file(*file))?;
                freed += 1;
            }
        }
        if freed > 0 {
            self.folder.sync_journal()?;
        }
        Ok(freed)
    }

    pub(super) fn position(&self) -> Position {
        let newest = self.state.next_sequence() - 1;
        Position { newest, file: self.current.first, len: self.current.len }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey(self.key.public_key())
    }
}

impl Spare {
    /// Makes one of so many bytes. One that was left behind is used again; whatever it holds was never acknowledged.
    pub(super) fn make(folder: &Folder, disk: &mut dyn Disk, room: u64) -> io::Result<Self> {
        let made = Self::allocated(folder, disk, room);
        if made.is_err() {
            // Part of it may be allocated. What can be given back is worth more to the others on the volume.
            let _ = folder::remove_if_there(&folder.spare());
        }
        made
    }

    fn allocated(folder: &Folder, disk: &mut dyn Disk, room: u64) -> io::Result<Self> {
        let file = folder::open(&folder.spare())?;
        let written = file.metadata()?.len();
        disk.allocate(&file, room)?;
        zero(disk, &file, 0, written)?;
        file.sync_all()?;
        folder.sync_journal()?;
        Ok(Self { file, room })
    }

    /// Makes it the first file of an incarnation.
    pub(super) fn into_first(self, folder: &Folder, disk: &mut dyn Disk, lines: &[u8]) -> io::Result<Current> {
        begin_file(folder, disk, &self.file, 1, lines)?;
        Ok(Current { file: self.file, first: 1, len: lines.len() as u64, room: self.room })
    }
}

fn begin_file(folder: &Folder, disk: &mut dyn Disk, spare: &File, first: u64, lines: &[u8]) -> io::Result<()> {
    disk.write(spare, lines, 0)?;
    disk.sync(spare)?;
    std::fs::rename(folder.spare(), folder.file(first))?;
    folder.sync_journal()
}
