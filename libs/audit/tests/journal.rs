//! Properties of the journal: over any history, whatever a crash leaves, what was acknowledged is found, and nothing
//! that was changed is taken for it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod support;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sallyport_audit::event::{AuditErased, GatewayStarted};
use sallyport_audit::journal::{Appended, Found, LineError, Reader, Recovered, Snapshot, State, Tail, Wall, recover};
use sallyport_audit::tlog::note::SigningKey;
use sallyport_audit::{
    Event, Incarnation, Keeper, Person, PersonKey, PublicKey, Record, Scope, SealError, Sealed, Subject, encode, open,
};

use support::{at, device, examples, keeper, person, site};

/// What happens to a journal.
#[derive(Clone, Debug)]
enum Action {
    /// An event, by its number in the examples, when the wall clock moved by so many milliseconds.
    Append(usize, i64),
    /// A checkpoint of the region's or the site's log.
    Checkpoint(bool),
    /// A person's keys are destroyed, in the site's log or in all.
    Erase(bool),
}

fn action() -> impl Strategy<Value = Action> {
    let step = prop_oneof![8 => 0i64..5_000, 3 => -100_000i64..0, 1 => Just(366 * 86_400_000)];
    prop_oneof![
        8 => (0..examples().len(), step).prop_map(|(which, step)| Action::Append(which, step)),
        1 => any::<bool>().prop_map(Action::Checkpoint),
        1 => any::<bool>().prop_map(Action::Erase),
    ]
}

fn history() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 1..14)
}

/// A file with its state after each acknowledgement: length, state.
struct Written {
    bytes: Vec<u8>,
    acknowledged: Vec<(usize, Snapshot)>,
    appended: Vec<(Appended, Event<Person>)>,
}

/// The key of the examples' keeper, made anew for each history, so its incarnation is another each time.
fn signing() -> (SigningKey, Keeper) {
    let key = SigningKey::generate().unwrap();
    let incarnation = Incarnation::of(&PublicKey(key.public_key()));
    (key, Keeper { incarnation, ..keeper() })
}

fn write(key: &SigningKey, keeper: Keeper, history: &[Action]) -> Written {
    let mut state = State::new(keeper);
    let mut count = 0u64;
    let mut random = move |bytes: &mut [u8]| {
        count += 1;
        bytes.fill(0);
        bytes[..8].copy_from_slice(&count.to_le_bytes());
    };
    let mut now = at("2026-11-24T15:00:00Z");
    let mut bytes = Vec::new();
    state.begin_file(&mut bytes);
    let mut written = Written { acknowledged: vec![(bytes.len(), state.snapshot().clone())], bytes, appended: vec![] };
    for action in history {
        let event = match action {
            Action::Append(which, step) => {
                now += SignedDuration::from_millis(*step);
                examples().swap_remove(*which)
            }
            Action::Checkpoint(region) => {
                let scope = if *region { Scope::Region } else { Scope::Site(site()) };
                let signed = state.checkpoint(&scope, key).unwrap();
                state.write_checkpoint(&signed, &mut written.bytes);
                written.acknowledged.push((written.bytes.len(), state.snapshot().clone()));
                continue;
            }
            Action::Erase(everywhere) => {
                let subject = Subject::of(&person("ada@vendor.example").user);
                let site = (!everywhere).then(site);
                Event::AuditErased(AuditErased { site, subject, basis: "test".into(), keys: 1 })
            }
        };
        let wall = Wall { at: now, synced: true, error_ms: None };
        let appended = state.append(event.clone(), wall, &mut random, &mut written.bytes).unwrap();
        written.appended.push((appended, event));
        written.acknowledged.push((written.bytes.len(), state.snapshot().clone()));
    }
    written
}

fn records(found: &Recovered) -> Vec<(u64, Scope, Record<Sealed>)> {
    let record = |found: &Found| match found {
        Found::Record { sequence, scope, record } => Some((*sequence, scope.clone(), record.clone())),
        Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
    };
    found.found.iter().filter_map(record).collect()
}

fn keys(found: &Recovered) -> Vec<(Scope, Subject, PersonKey)> {
    let key = |found: &Found| match found {
        Found::Key { scope, subject, key } => Some((scope.clone(), *subject, key.clone())),
        Found::Checkpoint { .. } | Found::Record { .. } | Found::Snapshot => None,
    };
    found.found.iter().filter_map(key).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Named invariant: acknowledged is found. Cut at every byte, with nothing or zeros behind.
    #[test]
    fn whatever_is_cut_the_acknowledged_is_found(history in history()) {
        let (key, keeper) = signing();
        let written = write(&key, keeper, &history);
        let stride = 1 + written.bytes.len() / 300;
        let ends = written.acknowledged.iter().map(|(end, _)| *end);
        let around = ends.flat_map(|end| [end - 1, end, (end + 1).min(written.bytes.len())]);
        for cut in (0..=written.bytes.len()).step_by(stride).chain(around) {
            let found = recover(&written.bytes[..cut], None);
            let last = written.acknowledged.iter().rev().find(|(end, _)| *end <= cut);
            // A person's key may be whole where its record is not: it changes no number.
            prop_assert_eq!(found.state.as_ref(), last.map(|(_, state)| state));
            prop_assert!(found.valid_len >= last.map_or(0, |(end, _)| *end) && found.valid_len <= cut);
            prop_assert_eq!(found.tail, if found.valid_len == cut { Tail::Clean } else { Tail::Torn });
            let mut zeros = written.bytes[..cut].to_vec();
            zeros.resize(cut + 512, 0);
            let padded = recover(&zeros, None);
            prop_assert_eq!(&padded.state, &found.state);
            prop_assert_eq!(padded.tail, if found.valid_len == cut { Tail::Zeros } else { Tail::Torn });
        }
    }

    /// Named invariant: nothing changed is accepted. Before the last line a changed bit is damage; in it, it is at least
    /// not read.
    #[test]
    fn a_changed_bit_is_never_accepted(history in history(), places in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 40)) {
        let (key, keeper) = signing();
        let written = write(&key, keeper, &history);
        let whole = recover(&written.bytes, None);
        for (place, bit) in places {
            let place = place.index(written.bytes.len());
            let mut bytes = written.bytes.clone();
            bytes[place] ^= 1 << (bit % 8);
            let found = recover(&bytes, None);
            prop_assert!(matches!(found.tail, Tail::Damaged { .. } | Tail::Torn), "{:?}", found.tail);
            prop_assert!(found.valid_len <= place);
            prop_assert!(whole.found.starts_with(&found.found));
            let behind = written.bytes[place..].iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(behind < 3 || found.tail != Tail::Torn, "good lines behind it were taken for a torn end");
        }
    }

    /// Named invariants: times never fall, numbers have no gap and no twin, in each log and in the journal.
    #[test]
    fn times_and_numbers_only_rise(history in history()) {
        let (key, keeper) = signing();
        let written = write(&key, keeper, &history);
        let records = records(&recover(&written.bytes, None));
        prop_assert_eq!(records.len(), written.appended.len());
        let mut logs: std::collections::BTreeMap<Scope, (u64, Timestamp)> = Default::default();
        for ((sequence, scope, record), (appended, _)) in records.iter().zip(&written.appended) {
            prop_assert_eq!((*sequence, scope, record.n, record.at), (appended.sequence, &appended.scope, appended.n, appended.at));
            let (n, last) = logs.entry(scope.clone()).or_insert((0, Timestamp::MIN));
            prop_assert_eq!(record.n, *n);
            prop_assert!(record.at >= *last);
            prop_assert!(record.clock.behind_ms == 0 || record.at == *last);
            (*n, *last) = (*n + 1, record.at);
        }
    }

    /// Named invariant: a person is read with their key at their place, and by no other key and nowhere else.
    #[test]
    fn persons_open_only_with_their_keys_at_their_places(history in history()) {
        let (key, keeper) = signing();
        let written = write(&key, keeper.clone(), &history);
        let found = recover(&written.bytes, None);
        let keys = keys(&found);
        for ((_, scope, record), (_, event)) in records(&found).iter().zip(&written.appended) {
            let Some(sealed) = record.event.person() else {
                prop_assert!(event.person().is_none());
                continue;
            };
            let person = event.person().unwrap();
            let origin = keeper.origin(scope.clone());
            let mine: Vec<_> = keys.iter().filter(|(_, _, key)| key.id() == sealed.key).collect();
            prop_assert_eq!(mine.len(), 1, "one key has one name");
            let (of, subject, key) = mine[0];
            prop_assert_eq!((of, subject), (scope, &person.subject()));
            prop_assert_eq!(&open(sealed, key, &origin, record.n).unwrap(), person);
            prop_assert_eq!(open(sealed, key, &origin, record.n + 1), Err(SealError::NotAuthentic));
            for (_, _, other) in keys.iter().filter(|(_, _, other)| other != key) {
                prop_assert_eq!(open(sealed, other, &origin, record.n), Err(SealError::AnotherKey));
            }
        }
    }

    /// Whoever goes on after a stop writes what one who never stopped would have written, person's keys included.
    #[test]
    fn a_writer_that_stopped_goes_on(history in history()) {
        let (key, keeper) = signing();
        let written = write(&key, keeper.clone(), &history);
        let found = recover(&written.bytes, None);
        let state = found.state.clone().unwrap();
        let mut resumed = State::resume(keeper, state, found.keys.clone()).unwrap();
        let mut bytes = written.bytes.clone();
        let wall = Wall { at: at("2030-01-01T00:00:00Z"), synced: true, error_ms: None };
        resumed.append(examples().swap_remove(0), wall, &mut |bytes| bytes.fill(0xee), &mut bytes).unwrap();
        let again = recover(&bytes, None);
        prop_assert_eq!(again.tail, Tail::Clean);
        prop_assert_eq!(again.state.as_ref(), Some(resumed.snapshot()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let found = recover(&bytes, None);
        prop_assert!(found.valid_len <= bytes.len());
        let mut reader = Reader::new(Snapshot::empty(keeper().incarnation));
        prop_assert!(reader.line(&bytes).is_err());
    }
}

fn wall(text: &str) -> Wall {
    Wall { at: at(text), synced: true, error_ms: Some(1) }
}

fn started() -> Event<Person> {
    Event::GatewayStarted(GatewayStarted { version: "1".into() })
}

#[test]
fn a_clock_that_was_set_back_is_told() {
    let mut state = State::new(keeper());
    let mut lines = Vec::new();
    state.begin_file(&mut lines);
    for at in ["2026-11-24T15:00:00.5Z", "2026-11-24T14:59:58.2501Z", "2026-11-24T15:00:01Z"] {
        state.append(started(), wall(at), &mut |_| (), &mut lines).unwrap();
    }
    let records = records(&recover(&lines, None));
    let told: Vec<_> = records.iter().map(|(_, _, r)| (r.at.to_string(), r.clock.behind_ms)).collect();
    let same = "2026-11-24T15:00:00.5Z".to_owned();
    assert_eq!(told, [(same.clone(), 0), (same, 2250), ("2026-11-24T15:00:01Z".to_owned(), 0)]);
}

#[test]
fn a_person_has_one_key_a_year_in_each_log_and_another_after_an_erasure() {
    let mut state = State::new(keeper());
    let (mut lines, mut count) = (Vec::new(), 0);
    let mut random = |bytes: &mut [u8]| {
        count += 1;
        bytes.fill(count);
    };
    state.begin_file(&mut lines);
    let shown = |lines: &[u8]| keys(&recover(lines, None)).len();
    let denied = || examples().into_iter().find(|event| event.label() == "sessionDenied").unwrap();
    let mut say = |event, at, lines: &mut Vec<u8>| state.append(event, wall(at), &mut random, lines).unwrap();
    say(denied(), "2026-11-24T15:00:00Z", &mut lines);
    say(denied(), "2026-12-31T23:59:59Z", &mut lines);
    assert_eq!(shown(&lines), 1);
    say(denied(), "2027-01-01T00:00:00Z", &mut lines);
    assert_eq!(shown(&lines), 2);
    let subject = person("ada@vendor.example").subject();
    let erased = AuditErased { site: None, subject, basis: "test".into(), keys: 2 };
    say(Event::AuditErased(erased), "2027-01-02T00:00:00Z", &mut lines);
    assert!(recover(&lines, None).keys.is_empty(), "a destroyed key is not used again after a restart");
    say(denied(), "2027-01-03T00:00:00Z", &mut lines);
    assert_eq!(shown(&lines), 3);
    assert_eq!(recover(&lines, None).keys.len(), 1);
}

/// The lines behind the first of a journal with three records and a checkpoint.
fn lines() -> (Snapshot, Vec<Vec<u8>>) {
    let (key, keeper) = signing();
    let mut state = State::new(keeper);
    let before = state.snapshot().clone();
    let mut bytes = Vec::new();
    for at in ["2026-11-24T15:00:00Z", "2026-11-24T15:00:01Z", "2026-11-24T15:00:02Z"] {
        state.append(started(), wall(at), &mut |_| (), &mut bytes).unwrap();
    }
    state.write_checkpoint(&state.checkpoint(&Scope::Region, &key).unwrap(), &mut bytes);
    (before, bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

#[test]
fn lines_in_another_order_do_not_fit() {
    let (before, lines) = lines();
    let read = |order: &[usize]| {
        let mut reader = Reader::new(before.clone());
        order.iter().try_for_each(|line| reader.line(&lines[*line]).map(drop))
    };
    assert_eq!(read(&[0, 1, 2, 3]), Ok(()));
    assert_eq!(read(&[0, 2]), Err(LineError::Number { scope: Scope::Region, expected: 1, found: 2 }));
    assert_eq!(read(&[0, 0]), Err(LineError::Number { scope: Scope::Region, expected: 1, found: 0 }));
    assert_eq!(read(&[0, 1, 3]), Err(LineError::Root { scope: Scope::Region }));
}

/// Who can write lines can make a fitting CRC; the tree finds them.
#[test]
fn a_record_that_was_rewritten_is_found_by_the_next_checkpoint() {
    let (before, lines) = lines();
    let mut other = State::resume(Keeper { incarnation: before.incarnation, ..keeper() }, before.clone(), []).unwrap();
    let mut forged = Vec::new();
    let lie = Event::GatewayStarted(GatewayStarted { version: "2".into() });
    other.append(lie, wall("2026-11-24T15:00:00Z"), &mut |_| (), &mut forged).unwrap();
    let mut reader = Reader::new(before);
    reader.line(forged.strip_suffix(b"\n").unwrap()).unwrap();
    reader.line(&lines[1]).unwrap();
    reader.line(&lines[2]).unwrap();
    assert_eq!(reader.line(&lines[3]), Err(LineError::Root { scope: Scope::Region }));
}

#[test]
fn a_file_that_does_not_follow_is_damage() {
    let mut state = State::new(keeper());
    let mut file = Vec::new();
    state.begin_file(&mut file);
    state.append(started(), wall("2026-11-24T15:00:00Z"), &mut |_| (), &mut file).unwrap();
    assert_eq!(recover(&file, Some(&Snapshot::empty(keeper().incarnation))).tail, Tail::Clean);
    let found = recover(&file, Some(state.snapshot()));
    assert_eq!((found.state, found.valid_len, found.tail), (None, 0, Tail::Damaged { line: 1 }));
    // Nor does a second first line stand in the middle of a file.
    let whole = file.len();
    state.begin_file(&mut file);
    let found = recover(&file, None);
    assert_eq!((found.valid_len, found.tail), (whole, Tail::Damaged { line: 3 }));
}

#[test]
fn an_allocated_file_is_unused() {
    for (bytes, tail) in [(vec![], Tail::Clean), (vec![0; 8192], Tail::Zeros), (b"00".to_vec(), Tail::Torn)] {
        let found = recover(&bytes, None);
        assert_eq!((found.state, found.valid_len, found.tail), (None, 0, tail));
    }
}

#[test]
fn a_leaf_is_what_stands_in_the_line() {
    let mut state = State::new(keeper());
    let mut file = Vec::new();
    state.begin_file(&mut file);
    let denied = examples().into_iter().find(|event| event.label() == "sessionDenied").unwrap();
    state.append(denied, wall("2026-11-24T15:00:00Z"), &mut |bytes| bytes.fill(1), &mut file).unwrap();
    let (_, scope, record) = records(&recover(&file, None)).remove(0);
    assert_eq!(scope.to_string(), format!("site/{}", device().0.namespace) + "/hospital");
    let line = file.split(|byte| *byte == b'\n').nth(2).unwrap();
    assert!(line.ends_with(&encode(&record)));
}
