//! A vendor's region in memory: gateways with logs of one site, made from a seed, and exports of them.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "a test, and each file uses its part")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_audit::event::{Event, SessionDenied, SessionEnded, SessionStarted, TunnelUp};
use sallyport_audit::export::{
    About, Built, Faults, Files, Known, Made, Order, Period, Sink, Source, Trust, Verified, build, verify,
};
use sallyport_audit::tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use sallyport_audit::tlog::cosignature::Cosigner;
use sallyport_audit::tlog::note::{KeyName, SignatureType, Signer, SigningKey, VerifierKey};
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::tlog::tree::{Appender, Head, ReadError, Tree};
use sallyport_audit::tlog::witness::{self, AddCheckpoint};
use sallyport_audit::{
    Clock, Groups, Incarnation, Keeper, KeyId, Origin, Person, PersonKey, PublicKey, Record, Scope, encode, seal,
};
use sallyport_core::session::EndReason;

/// The files of an export.
pub type Folder = BTreeMap<String, Vec<u8>>;
pub type Store = BTreeMap<Tile, Vec<u8>>;

pub const SITE: &str = "site-lyon/hospices-rhone";

/// A key from one byte, so that every run has the same.
pub fn key(seed: u8) -> SigningKey {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    SigningKey::from_pkcs8(&[prefix.as_slice(), &[seed; 32]].concat()).unwrap()
}

pub fn region() -> Signer {
    Signer::new(KeyName::new("sallyport.dev/dmz/frankfurt").unwrap(), key(1))
}

pub fn witness() -> Cosigner {
    Cosigner::new(KeyName::new("witness.example/lyon").unwrap(), key(2))
}

pub fn site() -> Scope {
    Scope::Site(SITE.parse().unwrap())
}

pub fn at(seconds: i64) -> Timestamp {
    "2026-11-24T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub fn period(from: i64, to: i64) -> Period {
    Period { from: at(from), to: at(to) }
}

/// One log of a gateway.
#[derive(Clone)]
pub struct Log {
    pub origin: Origin,
    pub signer: Signer,
    pub entries: Vec<Vec<u8>>,
    pub store: Store,
    appender: Appender,
    pub cosigned: Head,
}

/// Logs of one site and the keys of its people.
#[derive(Clone)]
pub struct World {
    pub logs: Vec<Log>,
    pub keys: BTreeMap<KeyId, PersonKey>,
}

impl World {
    /// Logs of these sizes. Record n of log l is at second 10 n + l.
    pub fn new(sizes: &[usize]) -> Self {
        let keys = (0..3).map(person_key).map(|key| (key.id(), key)).collect();
        let logs = (0u8..).zip(sizes).map(|(number, size)| {
            let mut log = Log::new(number);
            log.grow(*size, number);
            log
        });
        Self { logs: logs.collect(), keys }
    }

    pub fn sources(&self) -> Vec<Source<Store>> {
        self.logs.iter().map(|log| log.source(log.checkpoint())).collect()
    }

    pub fn export(&self, period: Period) -> Folder {
        self.export_of(self.sources(), period)
    }

    pub fn export_of(&self, sources: Vec<Source<Store>>, period: Period) -> Folder {
        let mut sink = Collected::default();
        build(&order(period), sources, &self.keys, &region(), &mut sink).unwrap();
        sink.whole()
    }
}

pub fn order(period: Period) -> Order {
    let made = Made { at: at(1_000_000), by: "auditor@vendor.example".into() };
    Order { region: "dmz/frankfurt".parse().unwrap(), scope: site(), period, made }
}

impl Log {
    pub fn new(number: u8) -> Self {
        let key = key(100 + number);
        let public = PublicKey(key.public_key());
        let keeper = Keeper {
            region: "dmz/frankfurt".parse().unwrap(),
            gateway: format!("frankfurt-gateway-{number}").parse().unwrap(),
            incarnation: Incarnation::of(&public),
        };
        let origin = keeper.origin(site());
        let signer = Signer::new(KeyName::new(origin.to_string()).unwrap(), key);
        Self { origin, signer, entries: vec![], store: Store::new(), appender: Appender::new(), cosigned: Head::EMPTY }
    }

    pub fn grow(&mut self, records: usize, number: u8) {
        let first = self.entries.len() as u64;
        let numbers = first..first + records as u64;
        let record = |n| encode(&record(&self.origin, n, at(10 * n as i64 + i64::from(number))));
        let records: Vec<_> = numbers.map(record).collect();
        self.push(records);
    }

    /// Any bytes as the next entries.
    pub fn push(&mut self, entries: impl IntoIterator<Item = Vec<u8>>) {
        for entry in entries {
            self.appender.push(&entry).unwrap();
            self.entries.push(entry);
        }
        self.store.extend(self.appender.take().tiles);
    }

    pub fn head(&self) -> Head {
        self.appender.head()
    }

    /// By gateway, region and witness.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.checkpoint_of(self.head())
    }

    pub fn checkpoint_of(&self, head: Head) -> SignedCheckpoint {
        let mut checkpoint = Checkpoint::new(self.signer.verifier_key().name(), head).sign(&self.signer).unwrap();
        checkpoint.sign(&region());
        let keys = [region().verifier_key().clone()];
        let request = AddCheckpoint { old: 0, proof: vec![], checkpoint: checkpoint.clone() };
        let line = witness::decide(None, request, Some(&keys), &witness(), at(900_000)).unwrap();
        checkpoint.add(line.into_line_once_kept());
        checkpoint
    }

    pub fn source(&self, checkpoint: SignedCheckpoint) -> Source<Store> {
        Source {
            verifier_key: self.signer.verifier_key().clone(),
            checkpoint,
            tiles: self.store.clone(),
            collected_until: at(950_000),
        }
    }

    /// The log as it was.
    pub fn head_at(&self, size: u64) -> Head {
        Tree::new(&self.store, self.entries.len() as u64).head_at(size).unwrap()
    }
}

pub fn person_key(person: u64) -> PersonKey {
    PersonKey::new([u8::try_from(person).unwrap() + 50; 32])
}

pub fn person(number: u64) -> Person {
    let user = ["anna@vendor.example", "bela@vendor.example", "carla@vendor.example"][number as usize % 3];
    Person {
        user: user.parse().unwrap(),
        groups: Groups::clipped(&["ct-service-emea".to_owned()]),
        reason: Some(
            ["=1+1", "tube arcing, \"log\" check", "<script>alert(1)</script>"][number as usize % 3].parse().unwrap(),
        ),
        from: Some("192.0.2.7:40000".parse().unwrap()),
    }
}

/// A session's beginning and end, a refusal, a tunnel; in turn.
pub fn record(origin: &Origin, n: u64, at: Timestamp) -> Record<sallyport_audit::Sealed> {
    let (site, device) = (SITE.parse().unwrap(), "site-lyon/ct-scanner".parse().unwrap());
    let service = "ssh".parse().unwrap();
    let session = format!("0-{:04x}", n / 4);
    let incident = Some("4711".parse().unwrap());
    let event: Event<Person> = match n % 4 {
        0 => Event::SessionStarted(SessionStarted {
            by: person(n / 4),
            session: session.as_str().into(),
            site,
            device,
            service,
            endpoint: "site-lyon/lyon".parse().unwrap(),
            policy: "dmz/ct-service".parse().unwrap(),
            incident,
            approval: None,
            max_seconds: 3600,
        }),
        1 => Event::SessionEnded(SessionEnded {
            session: session.as_str().into(),
            site,
            device,
            service,
            reason: EndReason::Idle,
            denial: None,
            detail: None,
            bytes_in: 1000 * n,
            bytes_out: n,
            verified: true,
        }),
        2 => Event::SessionDenied(SessionDenied {
            by: person(n / 4 + 1),
            site: Some(site),
            device,
            service,
            incident,
            reason: sallyport_audit::event::Denial::ApprovalRequired,
        }),
        _ => Event::TunnelUp(TunnelUp {
            site: Some(site),
            endpoint: "site-lyon/lyon".parse().unwrap(),
            from: "198.51.100.9:50000".parse().unwrap(),
            agent_version: "@SUM(1) <b>0.1.0</b>".into(),
        }),
    };
    let clock = Clock { synced: true, error_ms: Some(3), behind_ms: 0 };
    let record = Record { n, at, clock, event };
    let by = |person: Person, n: u64| {
        let which = ["anna", "bela", "carla"].iter().position(|who| person.user.to_string().starts_with(who)).unwrap();
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&n.to_be_bytes());
        seal(&person, &person_key(which as u64), origin, n, nonce)
    };
    record.try_map(by).unwrap()
}

/// A sink that holds the writer to its word about sizes.
#[derive(Default)]
pub struct Collected {
    files: Folder,
    open: Option<(String, u64)>,
}

impl Collected {
    pub fn whole(mut self) -> Folder {
        self.close();
        self.files
    }

    fn close(&mut self) {
        if let Some((path, size)) = self.open.take() {
            assert_eq!(self.files[&path].len() as u64, size, "{path}");
        }
    }
}

impl Sink for Collected {
    fn file(&mut self, path: &str, size: u64) -> Result<(), ReadError> {
        self.close();
        assert!(self.files.insert(path.to_owned(), vec![]).is_none(), "{path} twice");
        self.open = Some((path.to_owned(), size));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let (path, _) = self.open.as_ref().unwrap();
        self.files.get_mut(path).unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// Everything is asked for.
pub fn check(folder: &impl Files, known: &[Known]) -> Result<Verified, Faults> {
    let (keys, witnesses) = ([region().verifier_key().clone()], [witness().verifier_key().clone()]);
    verify(folder, Trust { keys: &keys, witnesses: &witnesses, known })
}

pub fn about(folder: &Folder) -> About {
    serde_json::from_slice(&folder["export.json"]).unwrap()
}

/// The manifest of these files as the region would sign it: a vendor who cheats.
pub fn signed_anew(folder: &Folder) -> Folder {
    use std::fmt::Write as _;
    let about = about(folder);
    let mut text = format!(
        "sallyport.dev/audit-export/v1\n{}\n{}\n{}\n{}\n",
        about.region, about.scope, about.period.from, about.period.to
    );
    for (path, bytes) in folder.iter().filter(|(path, _)| *path != "manifest") {
        let hash =
            data_encoding::HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        writeln!(text, "{hash}  {path}").unwrap();
    }
    let mut note = sallyport_audit::tlog::note::Note::new(text).unwrap();
    note.sign(&region());
    let mut folder = folder.clone();
    folder.insert("manifest".to_owned(), note.to_string().into_bytes());
    folder
}

pub fn verifier(name: &str, seed: u8) -> VerifierKey {
    VerifierKey::new(KeyName::new(name).unwrap(), SignatureType::Text, key(seed).public_key())
}

#[allow(unused, reason = "tests of building alone use it")]
pub fn built(world: &World, period: Period) -> (Built, Folder) {
    let mut sink = Collected::default();
    let built = build(&order(period), world.sources(), &world.keys, &region(), &mut sink).unwrap();
    (built, sink.whole())
}
