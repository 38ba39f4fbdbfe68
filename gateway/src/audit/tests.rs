//! Durable before acknowledged, sealed after an error, recovered after a crash.

use std::fs::File;
use std::io::Write as _;

use super::*;

fn started() -> Event {
    Event::GatewayStarted { version: "1".into() }
}

fn name() -> Name {
    "frankfurt-gateway-0".parse().unwrap()
}

#[tokio::test]
async fn many_waiters_share_a_sync_and_numbers_have_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path(), name()).unwrap();
    let receipts = futures::future::join_all((0..200).map(|_| audit.append(started()))).await;
    let mut numbers: Vec<u64> = receipts.into_iter().map(|receipt| receipt.unwrap().sequence()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    let bytes = std::fs::read(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(sallyport_audit::recover(&bytes).records.len(), 200);
}

#[tokio::test]
async fn an_error_seals_the_file_for_good() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("read-only"), b"").unwrap();
    let file = AuditFile::of(File::open(folder.path().join("read-only")).unwrap(), 1);
    let audit = Audit::start(file, name()).unwrap();
    assert!(matches!(audit.append(started()).await, Err(AuditError::Sealed)));
    audit.sealed().await;
    assert!(audit.is_sealed());
    assert!(matches!(audit.append(started()).await, Err(AuditError::Sealed)));
}

#[tokio::test]
async fn a_torn_end_is_cut_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    Audit::open(folder.path(), name()).unwrap().append(started()).await.unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"sequence\":2,\"at\"").unwrap();
    let again = Audit::open(folder.path(), name()).unwrap();
    assert_eq!(again.append(started()).await.unwrap().sequence(), 2);
    assert_eq!(sallyport_audit::recover(&std::fs::read(&path).unwrap()).records.len(), 2);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::open(folder.path(), name()).unwrap();
    for _ in 0..3 {
        audit.append(started()).await.unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second] = b'x';
    std::fs::write(&path, &bytes).unwrap();
    let again = Audit::open(folder.path(), name()).unwrap();
    assert_eq!(again.append(started()).await.unwrap().sequence(), 2);
    let aside = folder.path().join("audit.damaged-before-2.jsonl");
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
}
