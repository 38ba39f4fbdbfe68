//! Durable before acknowledged, sealed after an error, recovered after a crash.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use sallyport_audit::event::GatewayStarted;
use sallyport_audit::journal::{Found, Recovered, State, recover};
use sallyport_audit::{Keeper, Sealed};

use super::*;

fn started() -> Event<Person> {
    Event::GatewayStarted(GatewayStarted { version: "1".into() })
}

fn open(folder: &Path) -> Audit {
    Audit::open(folder, RegionId::parse("dmz", "frankfurt").unwrap(), "frankfurt-gateway-0".parse().unwrap()).unwrap()
}

fn journal(folder: &Path) -> PathBuf {
    folder.join("audit/journal").join(file::FIRST)
}

fn recovered(folder: &Path) -> Recovered {
    recover(&std::fs::read(journal(folder)).unwrap(), None)
}

fn events(found: &Recovered) -> Vec<Event<Sealed>> {
    let event = |found: &Found| match found {
        Found::Record { record, .. } => Some(record.event.clone()),
        Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
    };
    found.found.iter().filter_map(event).collect()
}

fn labels(folder: &Path) -> Vec<&'static str> {
    events(&recovered(folder)).iter().map(Event::label).collect()
}

#[tokio::test]
async fn many_waiters_share_a_sync_and_numbers_have_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    let receipts = futures::future::join_all((0..200).map(|_| audit.append(started()))).await;
    let mut numbers: Vec<u64> = receipts.into_iter().map(|receipt| receipt.unwrap().sequence()).collect();
    numbers.sort_unstable();
    // The first record says that the incarnation began.
    assert_eq!(numbers, (2..=201).collect::<Vec<_>>());
    assert_eq!(labels(folder.path()).len(), 201);
}

#[tokio::test]
async fn an_error_seals_the_file_for_good() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("read-only"), b"").unwrap();
    let keeper = Keeper {
        region: RegionId::parse("dmz", "frankfurt").unwrap(),
        gateway: "frankfurt-gateway-0".parse().unwrap(),
        incarnation: "00ff12ab".parse().unwrap(),
    };
    let file = JournalFile::of(File::open(folder.path().join("read-only")).unwrap(), State::new(keeper));
    let audit = Audit::start(file).unwrap();
    assert!(matches!(audit.append(started()).await, Err(AuditError::Sealed)));
    audit.sealed().await;
    assert!(audit.is_sealed());
    assert!(matches!(audit.append(started()).await, Err(AuditError::Sealed)));
}

#[tokio::test]
async fn a_torn_end_is_cut_and_numbers_go_on() {
    for torn in [b"00000000 R region {\"n\"".as_slice(), &[0; 4096]] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path()).append(started()).await.unwrap().sequence(), 2);
        let mut file = std::fs::OpenOptions::new().append(true).open(journal(folder.path())).unwrap();
        file.write_all(torn).unwrap();
        assert_eq!(open(folder.path()).append(started()).await.unwrap().sequence(), 3);
        assert_eq!(labels(folder.path()), ["incarnationBegan", "gatewayStarted", "gatewayStarted"]);
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_whole_and_a_new_incarnation_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    for _ in 0..3 {
        audit.append(started()).await.unwrap();
    }
    let before = recovered(folder.path()).state.unwrap().incarnation;
    let key = std::fs::read(folder.path().join("audit/key")).unwrap();
    let mut bytes = std::fs::read(journal(folder.path())).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second] ^= 1;
    std::fs::write(journal(folder.path()), &bytes).unwrap();
    assert_eq!(open(folder.path()).append(started()).await.unwrap().sequence(), 3);
    assert_eq!(labels(folder.path()), ["incarnationBegan", "logSetAside", "gatewayStarted"]);
    assert_ne!(recovered(folder.path()).state.unwrap().incarnation, before);
    assert_ne!(std::fs::read(folder.path().join("audit/key")).unwrap(), key);
    let Some(Event::LogSetAside(aside)) = events(&recovered(folder.path())).into_iter().nth(1) else { panic!() };
    assert_eq!((aside.line, aside.next_sequence), (2, 1));
    let aside = journal(folder.path()).with_file_name(aside.file.as_str());
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
}

#[tokio::test]
async fn a_journal_of_another_key_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).append(started()).await.unwrap();
    std::fs::remove_file(folder.path().join("audit/key")).unwrap();
    assert_eq!(open(folder.path()).append(started()).await.unwrap().sequence(), 3);
    assert_eq!(labels(folder.path()), ["incarnationBegan", "logSetAside", "gatewayStarted"]);
}
