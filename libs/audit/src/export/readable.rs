//! What people read: records as JSON Lines, as a table, as a report. All of it follows from the records and the
//! description of the export, byte for byte.

mod csv;
mod facts;
mod page;
mod report;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::Event;
use crate::person::Shown;
use crate::record::{Clock, Record};
use crate::scope::Origin;

pub(crate) use csv::{HEAD, row};
pub(crate) use report::Report;

#[derive(Serialize)]
struct Line<'a> {
    log: &'a Origin,
    n: u64,
    at: Timestamp,
    clock: Clock,
    event: &'a Event<Shown>,
}

/// A record as a line of `records.jsonl`: its log, and then as the log has it, but with the person in the clear
/// (`{"known":{..}}`) or `"erased"`. The newline is part of it.
pub fn line(log: &Origin, record: &Record<Shown>) -> Vec<u8> {
    let Record { n, at, clock, event } = record;
    // As with records: strings, numbers, lists of them, and string keys. This cannot fail.
    let mut bytes = serde_json::to_vec(&Line { log, n: *n, at: *at, clock: *clock, event }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
