//! Stops at every moment, with what was not synced dropped at any byte; and what a journal looks like that was changed.

use std::path::Path;
use std::time::Duration;

use sallyport_audit::event::NewIncarnation;
use sallyport_audit::journal::{Tail, recover};
use sallyport_audit::{Event, Incarnation, PublicKey};

use super::support::*;
use crate::audit::disk::Volume;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn written(path: &Path) -> usize {
    let recovered = recover(&std::fs::read(path).unwrap(), None);
    assert_ne!(recovered.tail, Tail::Torn);
    recovered.valid_len
}

/// After each acknowledged append, the machine may stop while the next is under way: any part of the next one's bytes is on
/// the disk, from its beginning. A start must find everything that was acknowledged, and go on.
#[tokio::test]
async fn no_acknowledged_record_is_lost_at_any_byte() {
    let bench = Bench::new();
    let audit = bench.open();
    let mut opened = 0;
    for round in 0..6u64 {
        let acknowledged = if round % 2 == 0 {
            audit.append(denied(&format!("ada{round}@vendor.example"))).await.unwrap().sequence()
        } else {
            audit.append(started()).await.unwrap().sequence()
        };
        let path = bench.files()[0].clone();
        let durable = written(&path);
        audit.append(denied("bob@vendor.example")).await.unwrap();
        audit.mark().await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let end = written(&path);
        for cut in (durable..=end).step_by(29).chain([durable, end - 1]) {
            let crashed = tempfile::tempdir().unwrap();
            copy(&bench.volume().join("audit"), &crashed.path().join("audit"));
            let mut bytes = whole.clone();
            bytes[cut..].fill(0);
            let name = path.file_name().unwrap();
            std::fs::write(crashed.path().join("audit/journal").join(name), bytes).unwrap();
            let again = open_at(crashed.path(), Box::new(Volume), FILE, Duration::from_secs(5)).unwrap();
            assert_eq!(again.incarnation(), audit.incarnation(), "cut at {cut}");
            let next = again.append(started()).await.unwrap().sequence();
            assert!(next > acknowledged, "cut at {cut}: {next} after {acknowledged}");
            assert_eq!(records(crashed.path()).len() as u64, next, "cut at {cut}");
            opened += 1;
        }
    }
    assert!(opened > 200, "{opened}");
}

/// A stop between any two steps of going on in the next file.
#[tokio::test]
async fn a_stop_while_files_change_loses_nothing() {
    let bench = Bench::new();
    let audit = bench.open();
    while bench.files().len() < 2 {
        audit.append(denied("ada@vendor.example")).await.unwrap();
    }
    let acknowledged = audit.append(started()).await.unwrap().sequence();
    drop(audit);
    let second = bench.files()[1].clone();
    let first_line = std::fs::read(&second).unwrap().iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // Not renamed yet: a spare with any part of a first line, and none of the records behind it.
    for part in [0, 1, first_line / 2, first_line] {
        let crashed = tempfile::tempdir().unwrap();
        copy(&bench.volume().join("audit"), &crashed.path().join("audit"));
        let journal = crashed.path().join("audit/journal");
        let mut bytes = std::fs::read(&second).unwrap();
        bytes[part..].fill(0);
        std::fs::remove_file(journal.join(second.file_name().unwrap())).unwrap();
        std::fs::write(journal.join("spare"), bytes).unwrap();
        let again = open_at(crashed.path(), Box::new(Volume), FILE, Duration::from_secs(5)).unwrap();
        let next = again.append(started()).await.unwrap().sequence();
        assert!(next <= acknowledged && next == records(crashed.path()).len() as u64);
        while files(crashed.path()).len() < 3 {
            again.append(denied("ada@vendor.example")).await.unwrap();
        }
        drop(again);
        open_at(crashed.path(), Box::new(Volume), FILE, Duration::from_secs(5))
            .unwrap()
            .append(started())
            .await
            .unwrap();
    }
    // Renamed, and nothing but the first line in it.
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[first_line..].fill(0);
    std::fs::write(&second, bytes).unwrap();
    let next = bench.open().append(started()).await.unwrap().sequence();
    assert_eq!(next, bench.records().len() as u64);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_said() {
    let bench = Bench::new();
    let audit = bench.open();
    assert_eq!(audit.append(started()).await.unwrap().sequence(), 2);
    drop(audit);
    let path = &bench.files()[0];
    let mut bytes = std::fs::read(path).unwrap();
    let end = written(path);
    bytes[end..end + 10].copy_from_slice(b"00000000 R");
    std::fs::write(path, bytes).unwrap();
    assert_eq!(bench.open().append(started()).await.unwrap().sequence(), 4);
    assert_eq!(bench.labels(), ["incarnationBegan", "gatewayStarted", "logSealed", "gatewayStarted"]);
}

async fn three(bench: &Bench) -> Incarnation {
    let audit = bench.open();
    for _ in 0..3 {
        audit.append(started()).await.unwrap();
    }
    audit.incarnation()
}

/// What a start makes of it: the aside folder, and why the incarnation began.
async fn set_aside(bench: &Bench, before: Incarnation) -> (String, NewIncarnation, Option<PublicKey>) {
    let audit = bench.open();
    assert_ne!(audit.incarnation(), before);
    let events: Vec<_> = bench.records().into_iter().map(|record| record.event).collect();
    let Event::IncarnationBegan(began) = &events[0] else { panic!("{events:?}") };
    assert_eq!(began.key, audit.public_key());
    let Event::LogSetAside(aside) = &events[1] else { panic!("{events:?}") };
    let name = aside.file.as_str().to_owned();
    assert!(bench.volume().join("audit").join(&name).exists(), "{name}");
    (name, began.why, began.before)
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_whole_and_a_new_incarnation_says_so() {
    let bench = Bench::new();
    let before = three(&bench).await;
    let path = bench.files()[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[second] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (name, why, key) = set_aside(&bench, before).await;
    assert_eq!(name, format!("aside-{before}/00000000000000000001.log"));
    assert_eq!((why, key.map(|key| Incarnation::of(&key))), (NewIncarnation::Damaged, Some(before)));
    assert_eq!(std::fs::read(bench.volume().join("audit").join(name)).unwrap(), bytes);
}

/// What somebody does to the files.
type Spoil = fn(&[std::path::PathBuf]);

#[tokio::test]
async fn a_file_that_is_missing_older_or_swapped_is_damage() {
    let spoil: [(&str, Spoil); 3] = [
        ("missing", |files| std::fs::remove_file(&files[1]).unwrap()),
        ("older", |files| {
            let mut bytes = std::fs::read(&files[1]).unwrap();
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let line = bytes[..end - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            let line = bytes[..line - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            bytes[line..].fill(0);
            std::fs::write(&files[1], bytes).unwrap();
        }),
        ("swapped", |files| {
            let (one, two) = (std::fs::read(&files[1]).unwrap(), std::fs::read(&files[2]).unwrap());
            std::fs::write(&files[1], two).unwrap();
            std::fs::write(&files[2], one).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        let bench = Bench::new();
        let audit = bench.open();
        while bench.files().len() < 4 {
            audit.append(denied("ada@vendor.example")).await.unwrap();
        }
        let before = audit.incarnation();
        drop(audit);
        spoil(&bench.files());
        let (_, why, _) = set_aside(&bench, before).await;
        assert_eq!(why, NewIncarnation::Damaged, "{what}");
        let aside = bench.volume().join(format!("audit/aside-{before}"));
        let kept = std::fs::read_dir(aside).unwrap().count();
        assert_eq!(kept, if what == "missing" { 3 } else { 4 }, "{what}: all files are kept together");
    }
}

#[tokio::test]
async fn a_key_signs_one_journal_only() {
    let bench = Bench::new();
    let before = three(&bench).await;
    std::fs::remove_file(bench.volume().join("audit/key")).unwrap();
    let (_, why, _) = set_aside(&bench, before).await;
    assert_eq!(why, NewIncarnation::KeyLost);

    let bench = Bench::new();
    let before = three(&bench).await;
    std::fs::write(bench.volume().join("audit/key"), b"no key").unwrap();
    assert_eq!(set_aside(&bench, before).await.1, NewIncarnation::KeyLost);

    // A journal that went while its key stayed: what it signed is not signed again.
    let bench = Bench::new();
    let before = three(&bench).await;
    std::fs::remove_dir_all(bench.journal()).unwrap();
    assert_ne!(bench.open().incarnation(), before);
}
