//! The operator's view: batches fit together, verify from nothing, and end where everything is signed.

use sallyport_audit::journal::{Found, Reader, Snapshot};
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::note::{KeyName, SignatureType, VerifierKey};
use sallyport_audit::{Keeper, Scope};
use sallyport_core::name::RegionId;

use super::support::*;
use crate::audit::Audit;
use crate::audit::collect::{BATCH, Batch, CollectError, Collected, Collector};

/// Collects all there is and verifies it as an operator does.
struct Archive {
    reader: Reader,
    collector: Collector,
    after: u64,
    batches: Vec<Batch>,
}

impl Archive {
    fn new(audit: &Audit) -> Self {
        let reader = Reader::new(Snapshot::empty(audit.incarnation()));
        Self { reader, collector: audit.collector(), after: 0, batches: Vec::new() }
    }

    async fn collect(&mut self, audit: &Audit, most: usize) {
        audit.mark().await.unwrap();
        let position = *audit.watch_position().borrow();
        loop {
            match self.collector.after(self.after, position, most).unwrap() {
                Collected::Batch(batch) => self.verify(audit, batch),
                Collected::Nothing => break,
                Collected::Unsigned => panic!("all was marked"),
            }
        }
        assert_eq!(self.after, position.newest);
    }

    fn verify(&mut self, audit: &Audit, batch: Batch) {
        let keeper = Keeper {
            region: RegionId::parse("dmz", "frankfurt").unwrap(),
            gateway: "frankfurt-gateway-0".parse().unwrap(),
            incarnation: audit.incarnation(),
        };
        let mut touched = std::collections::BTreeSet::new();
        for line in batch.lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n') {
            if let Found::Record { sequence, scope, .. } = self.reader.line(line).unwrap() {
                assert_eq!(sequence, self.after + 1);
                self.after = sequence;
                touched.insert(scope.to_string());
            }
        }
        assert_eq!(batch.through, self.after);
        assert!(batch.checkpoints.keys().eq(touched.iter()), "each log that it touches");
        for (log, note) in &batch.checkpoints {
            let scope: Scope = log.parse().unwrap();
            let name = KeyName::new(keeper.origin(scope.clone())).unwrap();
            let key = VerifierKey::new(name.clone(), SignatureType::Text, audit.public_key().0);
            let opened = SignedCheckpoint::parse(note).unwrap().open_ours(&name, &[key]).unwrap();
            assert_eq!(opened.head(), self.reader.state().head(&scope));
        }
        self.batches.push(batch);
    }
}

#[tokio::test]
async fn batches_fit_together_over_files_and_restarts() {
    let bench = Bench::new();
    let mut audit = bench.open();
    let mut archive = Archive::new(&audit);
    for round in 0..3 {
        let files = bench.files().len();
        while bench.files().len() < files + 2 {
            audit.append(denied(&format!("ada{round}@vendor.example"))).await.unwrap();
            audit.append(started()).await.unwrap();
        }
        archive.collect(&audit, BATCH).await;
        drop(audit);
        audit = bench.open();
        archive.collector = audit.collector();
    }
    assert!(archive.batches.iter().all(|batch| batch.lines.len() <= BATCH));
    // A place in the middle is found again without knowing it.
    let middle = archive.batches[1].through;
    let position = *audit.watch_position().borrow();
    let Collected::Batch(again) = audit.collector().after(middle, position, BATCH).unwrap() else { panic!() };
    assert_eq!(again.through, archive.batches[2].through);
}

#[tokio::test]
async fn small_batches_come_one_behind_the_other() {
    let bench = Bench::new();
    let audit = bench.open();
    let mut archive = Archive::new(&audit);
    for n in 0..20 {
        audit.append(denied(&format!("ada{n}@vendor.example"))).await.unwrap();
        audit.mark().await.unwrap();
    }
    archive.collect(&audit, 3000).await;
    assert!(archive.batches.len() > 5, "{} batches", archive.batches.len());
}

#[tokio::test]
async fn what_is_not_signed_is_not_given_and_what_is_gone_is_said() {
    let bench = Bench::new();
    let audit = bench.open();
    audit.append(started()).await.unwrap();
    let position = *audit.watch_position().borrow();
    assert_eq!(audit.collector().after(0, position, BATCH).unwrap(), Collected::Unsigned);
    assert_eq!(audit.collector().after(position.newest, position, BATCH).unwrap(), Collected::Nothing);
    while bench.files().len() < 3 {
        audit.append(denied("ada@vendor.example")).await.unwrap();
    }
    let firsts = audit.folder.files().unwrap();
    audit.archived(firsts[1] - 1);
    eventually("the first file is gone", || bench.files().len() == 2).await;
    let position = *audit.watch_position().borrow();
    let gone = audit.collector().after(0, position, BATCH);
    assert!(matches!(gone, Err(CollectError::Gone { first }) if first == firsts[1]), "{gone:?}");
}
