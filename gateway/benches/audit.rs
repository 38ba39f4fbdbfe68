//! `make bench-audit`: acknowledged records per second and how long an acknowledgement takes, for some writers at once, and
//! the floor in the same run: as many bytes written and synced by a loop that does nothing else, in batches of as many
//! records as there are writers. Prints CSV; `e2e/bench/audit.sh` adds SQLite and makes the table.
//!
//! ```text
//! audit FOLDER SECONDS
//! ```

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for the terminal; a panic is its report")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sallyport_audit::event::SessionStarted;
use sallyport_audit::{Event, Groups, Person};
use sallyport_core::name::{DeviceId, EndpointId, PolicyId, SiteId};
use sallyport_gateway::audit::{Audit, Place};
use sallyport_gateway::metrics::Metrics;
use sallyport_runtime::metrics::Registry;

const WRITERS: [usize; 3] = [1, 16, 256];

fn main() {
    // Cargo gives `--bench` to every bench.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next() else { return };
    let seconds = arguments.next().map_or(5, |text| text.parse().expect("seconds"));
    let (folder, length) = (Path::new(&folder), Duration::from_secs(seconds));
    println!("what,writers,record_bytes,per_second,p50_us,p99_us");
    for writers in WRITERS {
        let record = journal(folder, writers, length);
        floor(folder, writers, record, length);
    }
}

/// Our journal. Gives the bytes of a record as they lie in it.
fn journal(folder: &Path, writers: usize, length: Duration) -> usize {
    let volume = folder.join(format!("journal-{writers}"));
    std::fs::create_dir_all(&volume).expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let waits = runtime.block_on(async {
        let region = "dmz/bench".parse().expect("a region");
        let gateway = "bench-gateway-0".parse().expect("a name");
        let metrics = Metrics::new(&Registry::new()).audit;
        let place = Place { volume: &volume, region, gateway };
        let audit = Audit::open(place, metrics).expect("a journal");
        let stop = Instant::now() + length;
        let tasks: Vec<_> = (0..writers)
            .map(|_| {
                let audit = audit.clone();
                tokio::spawn(async move {
                    let mut waits = Vec::new();
                    while Instant::now() < stop {
                        let began = Instant::now();
                        audit.append(started()).await.expect("a record");
                        waits.push(began.elapsed());
                    }
                    waits
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("a writer"));
        }
        all
    });
    let (records, bytes) = (waits.len(), used(&volume.join("audit/journal")));
    row("Sallyport", writers, bytes / records, waits, length);
    bytes / records
}

/// A session's start, the record that somebody waits for.
fn started() -> Event<Person> {
    let site = SiteId::parse("site-lyon", "hospices-rhone").expect("a site");
    Event::SessionStarted(SessionStarted {
        by: Person {
            user: "ada.keller@vendor.example".parse().expect("a user"),
            groups: Groups::clipped(&["ct-service-emea".to_owned()]),
            reason: Some("tube arcing, log check".parse().expect("a reason")),
            from: Some("192.0.2.17:50123".parse().expect("an address")),
        },
        session: "0-a3f19c5e7b2d4f60".into(),
        site,
        device: DeviceId::parse("site-lyon", "ct-scanner").expect("a device"),
        service: "ssh".parse().expect("a name"),
        endpoint: EndpointId::parse("site-lyon", "radiology").expect("an endpoint"),
        policy: PolicyId::parse("dmz-frankfurt", "ct-service-emea").expect("a policy"),
        incident: Some("4711".parse().expect("an incident")),
        approval: None,
        max_seconds: 4 * 3600,
    })
}

/// The same bytes, written and synced together.
fn floor(folder: &Path, writers: usize, record: usize, length: Duration) {
    let path = folder.join(format!("floor-{writers}"));
    let mut file = File::create(&path).expect("a file");
    let bytes = vec![b'x'; record * writers];
    let (mut waits, stop) = (Vec::new(), Instant::now() + length);
    while Instant::now() < stop {
        let began = Instant::now();
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
        // Each of the batch would have waited that long.
        waits.extend(std::iter::repeat_n(began.elapsed(), writers));
    }
    row("write and fdatasync", writers, record, waits, length);
}

fn row(what: &str, writers: usize, record: usize, mut waits: Vec<Duration>, length: Duration) {
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_micros();
    let rate = waits.len() as f64 / length.as_secs_f64();
    println!("{what},{writers},{record},{rate:.0},{},{}", at(50), at(99));
}

/// Bytes that were written into a folder's files, without what was only allocated.
fn used(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| std::fs::read(file.expect("a file").path()));
    files.map(|bytes| bytes.expect("a file").iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)).sum()
}
