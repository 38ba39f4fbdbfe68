//! Properties of the codec and of recovery: whatever a crash leaves, the good part is found and nothing is invented.

use std::net::SocketAddr;

use jiff::Timestamp;
use proptest::prelude::*;
use sallyport_core::access::Denied;
use sallyport_core::name::{DeviceId, EndpointId, PolicyId, SiteId};
use sallyport_core::session::EndReason;

use super::*;
use crate::{Event, Text, encode};

fn text() -> impl Strategy<Value = Text> {
    "\\PC{0,300}".prop_map(Text::from)
}

fn event() -> impl Strategy<Value = Event> {
    let endpoint = || EndpointId::parse("lyon", "ct-room").unwrap();
    let device = || DeviceId::parse("lyon", "ct-2").unwrap();
    let from = any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)));
    prop_oneof![
        any::<u64>().prop_map(|generation| Event::ConfigurationApplied { generation }),
        text().prop_map(|version| Event::GatewayStarted { version }),
        (from.clone(), text()).prop_map(move |(from, agent_version)| Event::TunnelUp {
            endpoint: endpoint(),
            from,
            agent_version
        }),
        (from.clone(), text()).prop_map(move |(from, reason)| Event::TunnelDown { endpoint: endpoint(), from, reason }),
        (from.clone(), text(), any::<bool>()).prop_map(move |(from, serial, first)| match first {
            true => Event::Enrolled { endpoint: endpoint(), serial, from },
            false => Event::Renewed { endpoint: endpoint(), serial, from },
        }),
        (from, text(), any::<bool>()).prop_map(move |(from, reason, named)| Event::EnrolmentRefused {
            endpoint: named.then(endpoint),
            from,
            reason
        }),
        (text(), any::<(u64, u64)>()).prop_map(|(digest, (sequence, revoked))| Event::TrustApplied {
            digest,
            sequence,
            revoked
        }),
        (text(), text()).prop_map(move |(serial, issuer)| Event::TunnelRenewed {
            endpoint: endpoint(),
            serial,
            issuer
        }),
        ("[!-~]{1,40}", "[ -~]{0,60}").prop_map(move |(user, why)| Event::SessionDenied {
            engineer: user.parse().unwrap(),
            device: device(),
            service: "web".parse().unwrap(),
            reason: Denied::ApprovalRequired { device: device(), why },
        }),
        ("[!-~]{1,40}", "[a-z]\\PC{0,100}", prop::collection::btree_set("\\PC{1,20}", 0..4), any::<u64>()).prop_map(
            move |(user, reason, groups, max_seconds)| Event::SessionStarted {
                session: "s-1".to_owned(),
                engineer: user.parse().unwrap(),
                groups,
                device: device(),
                service: "web".parse().unwrap(),
                site: SiteId::parse("lyon", "hospital").unwrap(),
                endpoint: endpoint(),
                policy: PolicyId::parse("dmz", "ct").unwrap(),
                incident: (max_seconds % 2 == 0).then(|| reason.parse().unwrap()),
                reason: reason.parse().unwrap(),
                max_seconds,
            }
        ),
        (any::<(u64, u64, bool)>(), prop::option::of(text())).prop_map(|((bytes_in, bytes_out, verified), detail)| {
            Event::SessionEnded {
                session: "s-1".to_owned(),
                reason: EndReason::Withdrawn,
                detail,
                bytes_in,
                bytes_out,
                verified,
            }
        }),
    ]
}

fn records(first: u64, events: Vec<(Event, i32)>) -> Vec<Record> {
    let numbered = events.into_iter().zip(first..);
    let record = |((event, at), sequence)| Record {
        sequence,
        at: Timestamp::from_second(i64::from(at)).unwrap(),
        gateway: "gateway-0".to_owned(),
        event,
    };
    numbered.map(record).collect()
}

fn log() -> impl Strategy<Value = Vec<Record>> {
    (1u64..1000, prop::collection::vec((event(), any::<i32>()), 1..8))
        .prop_map(|(first, events)| records(first, events))
}

fn bytes(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(encode).collect()
}

proptest! {
    #[test]
    fn codec_is_total(log in log()) {
        for record in log {
            let line = encode(&record);
            prop_assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            prop_assert_eq!(decode(&line).unwrap(), record);
        }
    }

    #[test]
    fn a_whole_log_comes_back(log in log()) {
        let found = recover(&bytes(&log));
        prop_assert_eq!(found.tail, Tail::Clean);
        prop_assert_eq!(found.valid_len, bytes(&log).len());
        prop_assert_eq!(found.next_sequence, log.last().unwrap().sequence + 1);
        prop_assert_eq!(found.records, log);
    }

    /// A crash cuts anywhere: every record whose line is whole survives, and what remains can be appended to.
    #[test]
    fn a_cut_log_keeps_every_whole_record(log in log(), cut in any::<prop::sample::Index>()) {
        let all = bytes(&log);
        let cut = cut.index(all.len() + 1);
        let found = recover(&all[..cut]);
        let whole = all[..cut].iter().filter(|b| **b == b'\n').count();
        prop_assert_eq!(&found.records, &log[..whole]);
        prop_assert_eq!(found.valid_len, bytes(&log[..whole]).len());
        prop_assert_eq!(found.tail == Tail::Clean, found.valid_len == cut);
        prop_assert!(found.tail == Tail::Clean || found.tail == Tail::Torn);
    }

    /// A tail of zeros or garbage (blocks that were never written) is torn, not damage, and is not read as records.
    #[test]
    fn garbage_after_the_log_is_cut(log in log(), garbage in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut all = bytes(&log);
        all.extend(&garbage);
        let found = recover(&all);
        prop_assert_eq!(found.records, log);
        prop_assert_eq!(found.tail, Tail::Torn);
    }

    /// A changed byte never passes unseen: the log differs, is cut short, or is reported as damaged.
    #[test]
    fn a_flipped_bit_before_the_last_record_is_damage(log in log(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        prop_assume!(log.len() > 1);
        let mut all = bytes(&log);
        let at = at.index(bytes(&log[..log.len() - 1]).len() - 1);
        all[at] ^= 1 << bit;
        let found = recover(&all);
        prop_assert_ne!(&found.records, &log);
        // Either damage is reported, or the record still reads and says something else: the Merkle tree's task.
        let reported = !matches!(found.tail, Tail::Clean | Tail::Torn);
        prop_assert!(reported || found.records.len() == log.len());
    }

    #[test]
    fn a_missing_record_is_damage(log in log(), which in any::<prop::sample::Index>()) {
        prop_assume!(log.len() > 2);
        let mut short = log.clone();
        let gone = 1 + which.index(log.len() - 2);
        short.remove(gone);
        let found = recover(&bytes(&short));
        prop_assert_eq!(found.tail, Tail::Damaged { line: gone + 1 });
        prop_assert_eq!(&found.records, &log[..gone]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let found = recover(&bytes);
        prop_assert!(found.valid_len <= bytes.len());
    }
}

#[test]
fn an_empty_log_begins_at_one() {
    let found = recover(b"");
    assert_eq!((found.next_sequence, found.tail), (1, Tail::Clean));
}

#[test]
fn a_line_reads_as_documented() {
    let record = Record {
        sequence: 7,
        at: "2026-11-24T08:00:00Z".parse().unwrap(),
        gateway: "gateway-0".to_owned(),
        event: Event::SessionEnded {
            session: "s-1".to_owned(),
            reason: EndReason::Idle,
            detail: None,
            bytes_in: 1,
            bytes_out: 2,
            verified: true,
        },
    };
    let line = r#"{"sequence":7,"at":"2026-11-24T08:00:00Z","gateway":"gateway-0","event":{"kind":"sessionEnded","session":"s-1","reason":"idle","bytesIn":1,"bytesOut":2,"verified":true}}"#;
    assert_eq!(String::from_utf8(encode(&record)).unwrap(), format!("{line}\n"));
}

#[test]
fn unknown_fields_and_other_spellings_are_refused() {
    for line in [
        r#"{"sequence":1,"at":"2026-11-24T08:00:00Z","gateway":"g","event":{"kind":"configurationApplied","generation":1,"x":1}}"#,
        r#"{"sequence":1,"at":"2026-11-24T08:00:00Z","gateway":"g","event":{"kind":"configurationApplied","generation":1},"x":1}"#,
        r#"{"sequence":1,"at":"2026-11-24T08:00:00Z","gateway":"g","event":{"kind":"later","generation":1}}"#,
        r#"{"sequence":1, "at":"2026-11-24T08:00:00Z","gateway":"g","event":{"kind":"configurationApplied","generation":1}}"#,
        r#"{"sequence":1,"at":"2026-11-24T09:00:00+01:00","gateway":"g","event":{"kind":"configurationApplied","generation":1}}"#,
    ] {
        assert!(decode(line.as_bytes()).is_err(), "{line}");
    }
}
