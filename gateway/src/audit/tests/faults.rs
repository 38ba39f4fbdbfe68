//! Volumes that fail, fill up and hang.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sallyport_audit::Event;
use sallyport_audit::event::Trouble;

use super::support::*;
use crate::audit::{AuditError, Health};

async fn becomes(audit: &crate::audit::Audit, health: Health) {
    let mut watch = audit.watch_health();
    let wanted = watch.wait_for(|current| *current == health);
    tokio::time::timeout(Duration::from_secs(20), wanted).await.unwrap_or_else(|_| panic!("not {health}")).unwrap();
}

#[tokio::test]
async fn an_error_of_sync_or_write_seals_for_good() {
    for fault in [|faults: &Faults| Faults::set(&faults.sync), |faults: &Faults| Faults::set(&faults.write)] {
        let bench = Bench::new();
        let audit = bench.open();
        audit.append(started()).await.unwrap();
        fault(&bench.faults);
        assert_eq!(audit.append(started()).await.unwrap_err(), AuditError::Sealed);
        becomes(&audit, Health::Sealed).await;
        assert_eq!(audit.unavailable().await, Health::Sealed);
        // Not even when the volume is well again: what it holds is not known.
        Faults::clear(&bench.faults.sync);
        Faults::clear(&bench.faults.write);
        assert_eq!(audit.append(started()).await.unwrap_err(), AuditError::Sealed);
        assert_eq!(audit.append_while_open(started()).await.unwrap_err(), AuditError::Closed(Health::Sealed));
        // A restart goes on behind the last acknowledged record, or behind what was written and not acknowledged.
        assert!([3, 4].contains(&bench.open().append(started()).await.unwrap().sequence()));
    }
}

#[tokio::test]
async fn without_room_for_a_spare_nothing_begins_ends_are_written_and_it_opens_again() {
    let bench = Bench::new();
    let audit = bench.open();
    Faults::set(&bench.faults.allocate);
    // The spare that there was is used, and there is no other.
    while audit.health() == Health::Open {
        audit.append(denied("ada@vendor.example")).await.unwrap();
    }
    becomes(&audit, Health::Full).await;
    assert_eq!(audit.append_while_open(started()).await.unwrap_err(), AuditError::Closed(Health::Full));
    while audit.append(denied("ada@vendor.example")).await.is_ok() {}
    assert_eq!(audit.append(denied("ada@vendor.example")).await.unwrap_err(), AuditError::Full);
    for _ in 0..10 {
        audit.append(ended()).await.expect("the reserve is for the ends");
    }
    Faults::clear(&bench.faults.allocate);
    becomes(&audit, Health::Open).await;
    audit.append_while_open(started()).await.unwrap();
    let degraded = |event: &Event<_>| matches!(event, Event::LogDegraded(e) if e.health == Trouble::Full);
    let recovered = |event: &Event<_>| matches!(event, Event::LogRecovered(e) if e.health == Trouble::Full);
    let records = bench.records();
    assert_eq!(records.iter().filter(|record| degraded(&record.event)).count(), 1);
    assert_eq!(records.iter().filter(|record| recovered(&record.event)).count(), 1);
    drop(audit);
    bench.open().append(started()).await.unwrap();
}

#[tokio::test]
async fn a_log_filled_to_the_brim_seals_nothing_and_loses_nothing() {
    let bench = Bench::new();
    let audit = bench.open();
    Faults::set(&bench.faults.allocate);
    let mut acknowledged = 1;
    let last = loop {
        match audit.append(ended()).await {
            Ok(receipt) => acknowledged = receipt.sequence(),
            Err(error) => break error,
        }
    };
    assert_eq!(last, AuditError::Full);
    drop(audit);
    assert!(bench.records().len() as u64 >= acknowledged);
    // A start finds it as it was, still without room.
    let audit = bench.open();
    assert_eq!(audit.health(), Health::Full);
    Faults::clear(&bench.faults.allocate);
    becomes(&audit, Health::Open).await;
    assert!(audit.append(started()).await.unwrap().sequence() > acknowledged);
}

#[tokio::test]
async fn a_volume_that_hangs_is_noticed_and_what_waited_is_written() {
    let mut bench = Bench::new();
    bench.patience = Duration::from_millis(200);
    let audit = bench.open();
    bench.faults.hang();
    let began = Instant::now();
    let waiting = tokio::spawn({
        let audit = audit.clone();
        async move { audit.append(ended()).await }
    });
    let refused = audit.append_while_open(started()).await.unwrap_err();
    assert_eq!(refused, AuditError::Degraded(Health::Stalled));
    assert!(refused.may_be_there());
    assert!(began.elapsed() >= bench.patience && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    bench.faults.go_on();
    waiting.await.unwrap().unwrap();
    becomes(&audit, Health::Open).await;
    eventually("both are said", || {
        let labels = bench.labels();
        labels.contains(&"logDegraded") && labels.contains(&"logRecovered")
    })
    .await;
    audit.append_while_open(started()).await.unwrap();
}

#[tokio::test]
async fn a_volume_that_cannot_be_written_is_no_start() {
    let bench = Bench::new();
    Faults::set(&bench.faults.write);
    assert!(matches!(bench.try_open().err(), Some(AuditError::Open { .. })));
}

#[tokio::test]
async fn a_volume_that_fills_up_is_an_alarm_once() {
    let bench = Bench::new();
    bench.faults.used_percent.store(79, Ordering::SeqCst);
    let audit = bench.open();
    assert_eq!(*audit.watch_volume().borrow(), 79);
    for percent in [80, 85, 79, 81] {
        bench.faults.used_percent.store(percent, Ordering::SeqCst);
        eventually("the look", || usize::from(*audit.watch_volume().borrow()) == percent).await;
    }
    audit.append(started()).await.unwrap();
    assert_eq!(bench.labels().iter().filter(|label| **label == "capacityAlarm").count(), 1);
}
