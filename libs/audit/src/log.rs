//! Reading a log back after the process or the machine stopped at any moment.

use crate::record::{Record, decode};

/// A log as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Every record before the first fault, in order.
    pub records: Vec<Record>,
    /// Bytes that hold them. Appending goes on here, after the rest was cut.
    pub valid_len: usize,
    /// Number of the next record: 1 in an empty log.
    pub next_sequence: u64,
    /// What comes after `valid_len`.
    pub tail: Tail,
}

/// What follows the last good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Records that can be read, behind one that cannot or a missing number. An append that was cut short leaves this
    /// only if its blocks reached the disk out of order; otherwise somebody or something changed the log, and cutting
    /// it would destroy evidence. Keep the file, tell a human, record nothing more in it (invariants I3, I4).
    Damaged {
        /// Line of the fault, counted from 1.
        line: usize,
    },
    /// An append that was under way: nothing readable follows. It was never acknowledged and may be cut.
    Torn,
}

/// Finds the good part of a log. The first record may have any number (an earlier part may be archived); from there on
/// they must rise by one.
pub fn recover(bytes: &[u8]) -> Recovered {
    let mut found = Recovered { records: Vec::new(), valid_len: 0, next_sequence: 1, tail: Tail::Clean };
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    for line in lines.by_ref() {
        match whole(line) {
            Some(record) if found.records.is_empty() || record.sequence == found.next_sequence => {
                found.next_sequence = record.sequence.saturating_add(1);
                found.valid_len += line.len();
                found.records.push(record);
            }
            Some(_) => {
                found.tail = Tail::Damaged { line: found.records.len() + 1 };
                return found;
            }
            None => {
                found.tail = Tail::Torn;
                break;
            }
        }
    }
    if lines.any(|line| whole(line).is_some()) {
        found.tail = Tail::Damaged { line: found.records.len() + 1 };
    }
    found
}

fn whole(line: &[u8]) -> Option<Record> {
    line.ends_with(b"\n").then(|| decode(line).ok()).flatten()
}

#[cfg(test)]
mod tests;
