//! Reading a file of the journal back after the process or the machine stopped at any moment.

use super::keys::{KeptKey, Keys, year};
use super::line::{self, Kind};
use super::reader::{Found, Reader};
use super::snapshot::Snapshot;
use crate::event::Event;

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The state behind the last good line. None when the file does not begin with a good first line.
    pub state: Option<Snapshot>,
    /// What the lines hold, in order, the first line not included.
    pub found: Vec<Found>,
    /// The persons' keys that may still be used, of those that the file holds.
    pub keys: Vec<KeptKey>,
    /// Bytes of the good lines. Writing goes on here, after the rest was cut.
    pub valid_len: usize,
    /// What comes after `valid_len`.
    pub tail: Tail,
}

/// What follows the last good line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// A line that reads, but may not stand there, or good lines behind one that does not read. An append that was cut
    /// short leaves this only if its blocks reached the disk out of order; otherwise somebody or something changed the
    /// file, and cutting it would destroy evidence. Keep it whole, tell a human, write nothing more in it (invariants
    /// I3, I4).
    Damaged {
        /// Line of the fault, counted from 1.
        line: usize,
    },
    /// An append that was under way: no good line follows. It was never acknowledged and may be cut.
    Torn,
    /// Only zeros: allocated, and never written.
    Zeros,
}

/// Finds the good part of a file. With the state before it (`expected`), its first line must say the same; without, its
/// first line is believed.
pub fn recover(bytes: &[u8], expected: Option<&Snapshot>) -> Recovered {
    let mut file = File { found: Vec::new(), keys: Keys::default(), fresh: Vec::new(), valid_len: 0, lines: 0 };
    let reader = file.first(bytes, expected).map(|mut reader| {
        file.rest(bytes, &mut reader);
        reader.into_state()
    });
    let tail = tail(&bytes[file.valid_len..], file.lines + 1);
    Recovered {
        state: reader,
        found: file.found,
        keys: file.keys.into_kept().collect(),
        valid_len: file.valid_len,
        tail,
    }
}

struct File {
    found: Vec<Found>,
    keys: Keys,
    /// Keys that no record used yet, so that their year is not known. An append that was cut behind one leaves it unused.
    fresh: Vec<KeptKey>,
    valid_len: usize,
    lines: usize,
}

impl File {
    fn first(&mut self, bytes: &[u8], expected: Option<&Snapshot>) -> Option<Reader> {
        let line = next(bytes)?;
        let (Kind::Snapshot, rest) = line::read(line)? else { return None };
        let state = Snapshot::from_json(rest).filter(|state| expected.is_none_or(|expected| expected == state))?;
        self.passed(line);
        Some(Reader::new(state))
    }

    fn rest(&mut self, bytes: &[u8], reader: &mut Reader) {
        while let Some(line) = next(&bytes[self.valid_len..]) {
            match reader.line(line) {
                Ok(Found::Snapshot) | Err(_) => return,
                Ok(found) => {
                    self.passed(line);
                    self.note_keys(&found);
                    self.found.push(found);
                }
            }
        }
    }

    fn passed(&mut self, line: &[u8]) {
        self.valid_len += line.len() + 1;
        self.lines += 1;
    }

    fn note_keys(&mut self, found: &Found) {
        match found {
            Found::Checkpoint { .. } | Found::Snapshot => {}
            Found::Key { scope, subject, key } => {
                self.fresh.push(KeptKey { scope: scope.clone(), subject: *subject, year: 0, key: key.clone() });
            }
            Found::Record { scope, record, .. } => {
                if let Some(sealed) = record.event.person() {
                    let used = |kept: &mut KeptKey| kept.scope == *scope && kept.key.id() == sealed.key;
                    for kept in self.fresh.extract_if(.., used) {
                        self.keys.keep(KeptKey { year: year(record.at), ..kept });
                    }
                }
                if let Event::AuditErased(erased) = &record.event {
                    self.keys.forget(scope, erased.subject);
                }
            }
        }
    }
}

/// The line that `bytes` begin with, if it is whole.
fn next(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|byte| *byte == b'\n').map(|end| &bytes[..end])
}

fn tail(rest: &[u8], line: usize) -> Tail {
    if rest.is_empty() {
        Tail::Clean
    } else if rest.iter().all(|byte| *byte == 0) {
        Tail::Zeros
    } else if whole(rest).any(|line| line::read(line).is_some()) {
        Tail::Damaged { line }
    } else {
        Tail::Torn
    }
}

/// The lines that have their newline: an append may have been cut just before it.
fn whole(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}
