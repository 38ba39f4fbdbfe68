//! Durable before acknowledged, closed after an error, recovered after a stop at any moment.

mod collecting;
mod crash;
mod faults;
mod support;
mod volume;

use support::*;

use super::*;

#[tokio::test]
async fn many_waiters_share_a_sync_and_numbers_have_no_gap() {
    let bench = Bench::new();
    let audit = bench.open();
    let receipts = futures::future::join_all((0..200).map(|_| audit.append(started()))).await;
    let mut numbers: Vec<u64> = receipts.into_iter().map(|receipt| receipt.unwrap().sequence()).collect();
    numbers.sort_unstable();
    // The first record says that the incarnation began.
    assert_eq!(numbers, (2..=201).collect::<Vec<_>>());
    assert_eq!(bench.labels().len(), 201);
    assert!(bench.faults.syncs() < 200, "{} syncs", bench.faults.syncs());
}

#[tokio::test]
async fn files_follow_each_other_and_a_spare_is_always_there() {
    let bench = Bench::new();
    let audit = bench.open();
    let mut appended = 1;
    while bench.files().len() < 4 {
        audit.append(denied("ada@vendor.example")).await.unwrap();
        appended += 1;
    }
    eventually("a spare", || bench.journal().join("spare").exists()).await;
    drop(audit);
    assert_eq!(bench.records().len(), appended);
    assert_eq!(bench.open().append(started()).await.unwrap().sequence(), appended as u64 + 1);
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let _audit = bench.open();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let journal = bench.journal();
    assert_eq!((mode(&journal), mode(journal.parent().unwrap())), (0o700, 0o700));
    for file in [journal.join("spare"), bench.files()[0].clone(), journal.with_file_name("key")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn archived_files_go_whole_and_never_the_current_one() {
    let bench = Bench::new();
    let audit = bench.open();
    while bench.files().len() < 4 {
        audit.append(denied("ada@vendor.example")).await.unwrap();
    }
    let firsts = audit.folder.files().unwrap();
    audit.archived(firsts[2] - 2);
    eventually("the first file is gone", || audit.folder.files().unwrap() == firsts[1..]).await;
    audit.archived(firsts[2] - 1);
    eventually("the second is gone", || audit.folder.files().unwrap() == firsts[2..]).await;
    audit.archived(u64::MAX);
    eventually("all but the current one are gone", || audit.folder.files().unwrap() == firsts[3..]).await;
    let next = audit.append(started()).await.unwrap().sequence();
    drop(audit);
    assert_eq!(bench.open().append(started()).await.unwrap().sequence(), next + 1);
}

#[tokio::test]
async fn a_destroyed_key_is_not_used_again_even_after_a_restart() {
    let bench = Bench::new();
    let audit = bench.open();
    audit.append(denied("ada@vendor.example")).await.unwrap();
    audit.append(denied("ada@vendor.example")).await.unwrap();
    let subject = sallyport_audit::Subject::of(&"ada@vendor.example".parse().unwrap());
    audit.append(erased(subject)).await.unwrap();
    eventually("the file with the key is left", || bench.files().len() == 2).await;
    drop(audit);
    let audit = bench.open();
    audit.append(denied("ada@vendor.example")).await.unwrap();
    let keys: Vec<_> =
        bench.records().iter().filter_map(|record| record.event.person().map(|sealed| sealed.key)).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
}
