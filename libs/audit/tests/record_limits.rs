//! The longest record that its types allow fits into an entry of a bundle.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod support;

use sallyport_audit::event::{Changed, SessionStarted, SiteConfigured};
use sallyport_audit::journal::{State, Wall};
use sallyport_audit::{Event, Groups, LISTED, Listed, MAX_RECORD, Person};
use sallyport_core::name::{DeviceId, EndpointId, PolicyId, SiteId};

use support::{at, keeper};

fn appended(event: Event<Person>) -> usize {
    let wall = Wall { at: at("2026-11-24T15:09:19.123456Z"), synced: true, error_ms: Some(u64::MAX) };
    let mut lines = Vec::new();
    State::new(keeper()).append(event, wall, &mut |bytes| bytes.fill(1), &mut lines).unwrap();
    let longest = lines.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    assert!(longest < MAX_RECORD, "{longest}");
    longest
}

#[test]
fn a_site_that_changes_altogether_fits() {
    let long = "a".repeat(63);
    fn all<T: Clone>(id: T) -> Changed<T> {
        let listed: Listed<T> = std::iter::repeat_n(id, LISTED + 7).collect();
        assert_eq!((listed.names().len(), listed.more()), (LISTED, 7));
        Changed { added: listed.clone(), changed: listed.clone(), removed: listed }
    }
    let event = SiteConfigured {
        site: SiteId::parse(&long, &long).unwrap(),
        generation: u64::MAX,
        endpoints: all(EndpointId::parse(&long, &long).unwrap()),
        devices: all(DeviceId::parse(&long, &long).unwrap()),
        policies: all(PolicyId::parse(&long, &long).unwrap()),
    };
    assert!(appended(Event::SiteConfigured(event)) > 40_000);
}

#[test]
fn a_person_of_many_words_fits() {
    let groups: Vec<String> = (0..100).map(|n| format!("{n:03}{}", "\u{1f600}".repeat(100))).collect();
    let by = Person {
        user: "u".repeat(128).parse().unwrap(),
        groups: Groups::clipped(&groups),
        reason: Some("\u{1f600}".repeat(500).parse().unwrap()),
        from: Some("[2001:db8::1]:65535".parse().unwrap()),
    };
    assert_eq!((by.groups.iter().count(), by.groups.iter().next().unwrap().chars().count()), (32, 64));
    let Some(Event::SessionStarted(started)) =
        support::examples().into_iter().find(|event| event.label() == "sessionStarted")
    else {
        panic!()
    };
    let incident = Some("\u{1f600}".repeat(500).parse().unwrap());
    assert!(appended(Event::SessionStarted(SessionStarted { by, incident, ..started })) > 10_000);
}
