//! The journal in batches, for the operator: read from the files by a handle of its own, so that the writer never waits.
//!
//! A batch ends where every log that it touches has its checkpoint, made by the writer from what it has in memory: what is
//! on the disk is never signed again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_audit::Origin;
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;

use super::folder::Folder;
use super::journal::Position;

/// Bytes of lines in a batch.
pub const BATCH: usize = 1024 * 1024;

/// `CRC` and a space in front of a line's kind.
const PREFIX: usize = 9;

/// Lines with the checkpoints of all logs in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Sequence number of the last record in it.
    pub through: u64,
    /// The lines, as they stand in the files, without first lines of files: they say nothing that is not known.
    pub lines: Vec<u8>,
    /// Of each log that has a record here, the last checkpoint: log, and signed note.
    pub checkpoints: BTreeMap<String, Vec<u8>>,
}

/// What was found behind a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// A batch.
    Batch(Batch),
    /// Records, but not all their logs are signed yet: mark, and look again.
    Unsigned,
    /// Nothing.
    Nothing,
}

/// Why nothing can be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// They were archived once, and their files are gone.
    #[error("records before {first} are not on this volume any more")]
    Gone {
        /// The first record that still is.
        first: u64,
    },
    /// The files cannot be read.
    #[error("audit journal {file}: {why}")]
    Unreadable {
        /// First sequence number of the file.
        file: u64,
        /// What is wrong.
        why: String,
    },
}

/// Reads on from batch to batch.
#[derive(Debug)]
pub struct Collector {
    folder: Folder,
    place: Option<Place>,
}

/// Where a record ends.
#[derive(Clone, Debug)]
struct Place {
    after: u64,
    file: u64,
    offset: u64,
}

impl Collector {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder, place: None }
    }

    /// Up to `most` bytes of what stands behind the record `after` and is durable by `position`.
    ///
    /// # Errors
    /// See [`CollectError`].
    pub fn after(&mut self, after: u64, position: Position, most: usize) -> Result<Collected, CollectError> {
        if after >= position.newest {
            return Ok(Collected::Nothing);
        }
        let files = self.folder.files().map_err(|error| unreadable(after, &error))?;
        let start = match self.place.take() {
            Some(place) if place.after == after && files.contains(&place.file) => place,
            Some(_) | None => find(&files, after)?,
        };
        let mut scan = Scan::new(after, start.clone(), most);
        for (index, file) in files.iter().enumerate().filter(|(_, file)| **file >= start.file) {
            let is_written = *file == position.file;
            let next = files.get(index + 1).copied();
            let from = if *file == start.file { start.offset } else { 0 };
            let more = self.scan_file(&mut scan, *file, from, is_written.then_some(position.len), next)?;
            if more == More::No || is_written {
                break;
            }
        }
        Ok(match scan.into_batch() {
            Ok((batch, place)) => {
                self.place = Some(place);
                Collected::Batch(batch)
            }
            Err(Empty::Unsigned) => Collected::Unsigned,
            Err(Empty::Nothing) => Collected::Nothing,
        })
    }

    /// Reads a file up to where it is durable; one that is not written any more ends in zeros.
    fn scan_file(
        &self,
        scan: &mut Scan,
        file: u64,
        from: u64,
        durable: Option<u64>,
        next: Option<u64>,
    ) -> Result<More, CollectError> {
        let failed = |error: io::Error| unreadable(file, &error);
        let opened = File::open(self.folder.file(file)).map_err(failed)?;
        let end = match durable {
            Some(durable) => durable,
            None => opened.metadata().map_err(failed)?.len(),
        };
        let mut offset = from;
        if scan.sequence == u64::MAX {
            scan.sequence = file - 1;
        }
        let mut rest: Vec<u8> = Vec::new();
        while offset + (rest.len() as u64) < end {
            let at = offset + rest.len() as u64;
            let mut chunk = vec![0; CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK))];
            opened.read_exact_at(&mut chunk, at).map_err(failed)?;
            rest.extend_from_slice(&chunk);
            let mut used = 0;
            while let Some(length) = rest[used..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[used..=used + length];
                if line[0] == 0 {
                    return whole(scan, file, next);
                }
                let behind = offset + (used + length + 1) as u64;
                match scan.line(line, Place { after: 0, file, offset: behind }) {
                    Ok(More::Yes) => used += length + 1,
                    Ok(More::No) => return Ok(More::No),
                    Err(why) => return Err(CollectError::Unreadable { file, why }),
                }
            }
            if rest.get(used) == Some(&0) {
                return whole(scan, file, next);
            }
            rest.drain(..used);
            offset += used as u64;
        }
        whole(scan, file, next)
    }
}

/// Read at once.
const CHUNK: usize = 256 * 1024;

/// A file ends where the next one begins.
fn whole(scan: &Scan, file: u64, next: Option<u64>) -> Result<More, CollectError> {
    match next {
        Some(next) if scan.sequence + 1 != next => {
            let why = format!("it ends with record {}, and the next file begins with {next}", scan.sequence);
            Err(CollectError::Unreadable { file, why })
        }
        Some(_) | None => Ok(More::Yes),
    }
}

fn unreadable(file: u64, error: &io::Error) -> CollectError {
    CollectError::Unreadable { file, why: error.to_string() }
}

/// The file that holds the record behind `after`.
fn find(files: &[u64], after: u64) -> Result<Place, CollectError> {
    match files.iter().rev().find(|first| **first <= after + 1) {
        Some(file) => Ok(Place { after: u64::MAX, file: *file, offset: 0 }),
        None => Err(CollectError::Gone { first: files.first().copied().unwrap_or(after + 1) }),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    No,
    Yes,
}

enum Empty {
    Nothing,
    Unsigned,
}

/// Lines on their way into a batch.
struct Scan {
    after: u64,
    most: usize,
    /// Number of the last record that was passed.
    sequence: u64,
    lines: Vec<u8>,
    /// Logs with a record here, each with its last checkpoint once there is one behind its last record.
    logs: BTreeMap<String, Option<Vec<u8>>>,
    /// Up to where every log was signed.
    cut: Option<Cut>,
}

struct Cut {
    through: u64,
    lines: usize,
    checkpoints: BTreeMap<String, Vec<u8>>,
    place: Place,
}

impl Scan {
    fn new(after: u64, start: Place, most: usize) -> Self {
        // A place in the middle of a file is behind `after`; the beginning of one is found by its name.
        let sequence = if start.offset == 0 { u64::MAX } else { after };
        Self { after, most, sequence, lines: Vec::new(), logs: BTreeMap::new(), cut: None }
    }

    fn line(&mut self, line: &[u8], behind: Place) -> Result<More, String> {
        let kind = *line.get(PREFIX).ok_or("a line is too short")?;
        let rest = line.get(PREFIX + 2..line.len() - 1).ok_or("a line is too short")?;
        match kind {
            b'S' => return Ok(More::Yes),
            b'R' => {
                self.sequence += 1;
                if self.sequence > self.after {
                    let log = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
                    let log = String::from_utf8(log.to_vec()).map_err(|_| "a log's name is no text")?;
                    self.logs.insert(log, None);
                }
            }
            b'C' | b'K' => {}
            other => return Err(format!("a line of the unknown kind {:?}", char::from(other))),
        }
        // A key stands before the record that needs it first.
        if self.sequence < self.after || (self.sequence == self.after && kind == b'R') {
            return Ok(More::Yes);
        }
        if self.lines.len() + line.len() > self.most {
            return Ok(More::No);
        }
        self.lines.extend_from_slice(line);
        if kind == b'C' {
            self.checkpoint(rest, behind)?;
        }
        Ok(More::Yes)
    }

    fn checkpoint(&mut self, rest: &[u8], behind: Place) -> Result<(), String> {
        let note = STANDARD.decode(rest).map_err(|_| "a checkpoint is not base64")?;
        let signed = SignedCheckpoint::parse(&note).map_err(|error| error.to_string())?;
        let origin: Origin = signed.claimed().origin().parse().map_err(|_| "a checkpoint's origin is unreadable")?;
        if let Some(log) = self.logs.get_mut(&origin.scope.to_string()) {
            *log = Some(note);
        }
        if !self.logs.is_empty() && self.logs.values().all(Option::is_some) {
            let checkpoints = self.logs.iter().filter_map(|(log, note)| Some((log.clone(), note.clone()?)));
            let place = Place { after: self.sequence, ..behind };
            let (through, lines) = (self.sequence, self.lines.len());
            self.cut = Some(Cut { through, lines, checkpoints: checkpoints.collect(), place });
        }
        Ok(())
    }

    fn into_batch(mut self) -> Result<(Batch, Place), Empty> {
        match self.cut {
            Some(Cut { through, lines, checkpoints, place }) => {
                self.lines.truncate(lines);
                Ok((Batch { through, lines: self.lines, checkpoints }, place))
            }
            None if self.logs.is_empty() => Err(Empty::Nothing),
            None => Err(Empty::Unsigned),
        }
    }
}
