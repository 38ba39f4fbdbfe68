//! The format of records: one example of every kind, in a file that a change of the format changes too. Records are kept
//! for years, so what stands there must stay readable.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod support;

use std::collections::BTreeSet;

use sallyport_audit::journal::{Found, State, Wall, recover};
use sallyport_audit::{DecodeError, Event, KINDS, MAX_RECORD, Record, Sealed, decode, encode};
use sallyport_testkit::golden;

use support::{at, examples, keeper};

/// A journal with an example of every kind; keys and nonces count upwards.
fn journal() -> Vec<u8> {
    let mut state = State::new(keeper());
    let mut count = 0;
    let mut random = |bytes: &mut [u8]| {
        count += 1;
        bytes.fill(count);
    };
    let mut lines = Vec::new();
    state.begin_file(&mut lines);
    for event in examples() {
        let wall = Wall { at: at("2026-11-24T15:09:19.123456789Z"), synced: true, error_ms: Some(3) };
        state.append(event, wall, &mut random, &mut lines).unwrap();
    }
    lines
}

fn records() -> Vec<Record<Sealed>> {
    let record = |found| match found {
        Found::Record { record, .. } => Some(record),
        Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
    };
    recover(&journal(), None).found.into_iter().filter_map(record).collect()
}

#[test]
fn every_kind_is_written_as_it_always_was() {
    let journal = String::from_utf8(journal()).unwrap();
    golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/journal.log"), &journal);
}

#[test]
fn every_kind_has_an_example_and_reads_back() {
    let labels: Vec<_> = examples().iter().map(Event::label).collect();
    assert_eq!(labels, KINDS);
    assert_eq!(KINDS.iter().collect::<BTreeSet<_>>().len(), KINDS.len());
    let records = records();
    assert_eq!(records.len(), KINDS.len());
    for record in records {
        let bytes = encode(&record);
        let written: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(written["event"]["kind"], record.event.label());
        assert_eq!(decode(&bytes), Ok(record));
    }
}

#[test]
fn no_person_stands_in_the_clear() {
    let clear = |record: &Record<Sealed>| String::from_utf8(encode(record)).unwrap();
    for record in records() {
        for word in ["ada@", "leroy", "ct-service", "Tube", "198.51.100.7"] {
            assert!(!clear(&record).contains(word), "{} shows {word}", record.event.label());
        }
    }
}

#[test]
fn other_spellings_and_unknown_fields_are_refused() {
    for record in records() {
        let text = String::from_utf8(encode(&record)).unwrap();
        let changed = [
            text.replacen("{\"n\":", "{\"n\": ", 1),
            text.replacen("{\"n\":", "{\"x\":1,\"n\":", 1),
            text.replacen("\"clock\":{", "\"clock\":{\"x\":1,", 1),
            text.replacen("\"kind\":\"", "\"x\":1,\"kind\":\"", 1),
            text.replacen("\"kind\":\"", "\"kind\":\"x", 1),
            text.replacen("Z\"", "+00:00\"", 1),
            format!("{text}\n"),
            format!("{text}{text}"),
        ];
        for changed in changed {
            assert_ne!(changed, text);
            assert!(decode(changed.as_bytes()).is_err(), "{changed}");
        }
    }
    assert_eq!(decode(&vec![b' '; MAX_RECORD + 1]), Err(DecodeError::TooLong { bytes: MAX_RECORD + 1 }));
}
