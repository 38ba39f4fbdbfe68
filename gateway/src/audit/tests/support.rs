//! A log on a volume of its own, whose faults the test commands.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sallyport_audit::event::{AuditErased, Denial, GatewayStarted, SessionDenied, SessionEnded};
use sallyport_audit::journal::{Found, recover};
use sallyport_audit::{Event, Groups, Person, Record, Sealed, Subject};
use sallyport_core::name::RegionId;
use sallyport_core::session::EndReason;
use sallyport_runtime::metrics::Registry;
use tempfile::TempDir;

use crate::audit::disk::{Disk, Volume};
use crate::audit::{Audit, AuditError, Limits, Place};
use crate::metrics::Metrics;

/// Small, so that files follow each other quickly.
pub(super) const FILE: u64 = 192 * 1024;

/// What is wrong with the volume.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) allocate: AtomicBool,
    pub(super) sync: AtomicBool,
    pub(super) write: AtomicBool,
    pub(super) used_percent: AtomicUsize,
    syncs: AtomicUsize,
    hangs: Mutex<bool>,
    woken: Condvar,
}

impl Faults {
    pub(super) fn set(fault: &AtomicBool) {
        fault.store(true, Ordering::SeqCst);
    }

    pub(super) fn clear(fault: &AtomicBool) {
        fault.store(false, Ordering::SeqCst);
    }

    pub(super) fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }

    pub(super) fn hang(&self) {
        *self.hangs.lock().unwrap() = true;
    }

    pub(super) fn go_on(&self) {
        *self.hangs.lock().unwrap() = false;
        self.woken.notify_all();
    }
}

struct FaultyDisk(Arc<Faults>);

impl FaultyDisk {
    fn fails(&self, fault: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if fault.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn allocate(&mut self, file: &File, len: u64) -> io::Result<()> {
        self.fails(&self.0.allocate, io::ErrorKind::StorageFull)?;
        Volume.allocate(file, len)
    }

    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.fails(&self.0.write, io::ErrorKind::ReadOnlyFilesystem)?;
        Volume.write(file, bytes, at)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        let mut hangs = self.0.hangs.lock().unwrap();
        while *hangs {
            hangs = self.0.woken.wait(hangs).unwrap();
        }
        drop(hangs);
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        self.fails(&self.0.sync, io::ErrorKind::Other)?;
        Volume.sync(file)
    }

    fn used_percent(&mut self, _: &Path) -> io::Result<u8> {
        Ok(u8::try_from(self.0.used_percent.load(Ordering::SeqCst)).unwrap())
    }
}

pub(super) struct Bench {
    folder: TempDir,
    pub(super) faults: Arc<Faults>,
    pub(super) patience: Duration,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), faults: Arc::default(), patience: Duration::from_secs(5) }
    }

    pub(super) fn volume(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn open(&self) -> Audit {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<Audit, AuditError> {
        open_at(self.volume(), Box::new(FaultyDisk(Arc::clone(&self.faults))), FILE, self.patience)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.volume().join("audit/journal")
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(self.volume())
    }

    pub(super) fn records(&self) -> Vec<Record<Sealed>> {
        records(self.volume())
    }

    pub(super) fn labels(&self) -> Vec<&'static str> {
        self.records().iter().map(|record| record.event.label()).collect()
    }
}

pub(super) fn open_at(volume: &Path, disk: Box<dyn Disk>, file: u64, patience: Duration) -> Result<Audit, AuditError> {
    let region = RegionId::parse("dmz", "frankfurt").unwrap();
    let place = Place { volume, region, gateway: "frankfurt-gateway-0".parse().unwrap() };
    Audit::open_on(place, Metrics::new(&Registry::new()).audit, disk, Limits { file, patience })
}

/// The journal's files in order.
pub(super) fn files(volume: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(volume.join("audit/journal")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    files
}

/// All records, read as a restart would read them.
pub(super) fn records(volume: &Path) -> Vec<Record<Sealed>> {
    let mut all = Vec::new();
    let mut state = None;
    for path in files(volume) {
        let recovered = recover(&std::fs::read(&path).unwrap(), state.as_ref());
        assert!(recovered.state.is_some(), "{} does not follow", path.display());
        state = recovered.state;
        all.extend(recovered.found.into_iter().filter_map(|found| match found {
            Found::Record { record, .. } => Some(record),
            Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
        }));
    }
    all
}

/// Waits on a condition, with a bound.
pub(super) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < until, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn started() -> Event<Person> {
    Event::GatewayStarted(GatewayStarted { version: "1".into() })
}

/// A record with a person, in a site's log.
pub(super) fn denied(user: &str) -> Event<Person> {
    let by = Person { user: user.parse().unwrap(), groups: Groups::default(), reason: None, from: None };
    Event::SessionDenied(SessionDenied {
        by,
        site: Some("lyon/hospital".parse().unwrap()),
        device: "lyon/ct".parse().unwrap(),
        service: "console".parse().unwrap(),
        incident: None,
        reason: Denial::NoPolicyForDevice,
    })
}

pub(super) fn ended() -> Event<Person> {
    Event::SessionEnded(SessionEnded {
        session: "0-1".into(),
        site: "lyon/hospital".parse().unwrap(),
        device: "lyon/ct".parse().unwrap(),
        service: "console".parse().unwrap(),
        reason: EndReason::RecordFailed,
        denial: None,
        detail: None,
        bytes_in: 0,
        bytes_out: 0,
        verified: true,
    })
}

pub(super) fn erased(subject: Subject) -> Event<Person> {
    Event::AuditErased(AuditErased { site: None, subject, basis: "Art. 17 GDPR".into(), keys: 1 })
}
