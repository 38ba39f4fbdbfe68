//! A vendor's region with one log of one site, and what the operator makes of it.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, reason = "a test, a part of each program")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sallyport_audit::event::{Event, SessionStarted};
use sallyport_audit::export::{Made, Order, Period, Sink, Source, build};
use sallyport_audit::tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use sallyport_audit::tlog::note::{KeyName, Signer, SigningKey};
use sallyport_audit::tlog::tile::Tile;
use sallyport_audit::tlog::tree::{Appender, Head, ReadError, Tree};
use sallyport_audit::tlog::witness::AddCheckpoint;
use sallyport_audit::{
    Clock, Groups, Incarnation, Keeper, KeyId, Origin, Person, PersonKey, PublicKey, Record, Scope, encode, seal,
};

pub type Files = BTreeMap<String, Vec<u8>>;

pub struct Vendor {
    pub region: Signer,
    pub gateway: Signer,
    pub origin: Origin,
    pub key: PersonKey,
    appender: Appender,
    store: BTreeMap<Tile, Vec<u8>>,
}

impl Vendor {
    /// With twelve records.
    pub fn new() -> Self {
        let region = Signer::new(KeyName::new("sallyport.dev/dmz/frankfurt").unwrap(), SigningKey::generate().unwrap());
        let key = SigningKey::generate().unwrap();
        let keeper = Keeper {
            region: "dmz/frankfurt".parse().unwrap(),
            gateway: "frankfurt-gateway-0".parse().unwrap(),
            incarnation: Incarnation::of(&PublicKey(key.public_key())),
        };
        let origin = keeper.origin(Scope::Site("site-lyon/hospices-rhone".parse().unwrap()));
        let gateway = Signer::new(KeyName::new(origin.to_string()).unwrap(), key);
        let (key, appender, store) = (PersonKey::new([7; 32]), Appender::new(), BTreeMap::new());
        let mut vendor = Self { region, gateway, origin, key, appender, store };
        vendor.grow(12);
        vendor
    }

    pub fn grow(&mut self, records: u64) {
        let first = self.appender.head().size;
        for n in first..first + records {
            self.appender.push(&encode(&self.record(n))).unwrap();
        }
        self.store.extend(self.appender.take().tiles);
    }

    fn record(&self, n: u64) -> Record<sallyport_audit::Sealed> {
        let by = Person {
            user: "anna@vendor.example".parse().unwrap(),
            groups: Groups::default(),
            reason: Some("tube arcing".parse().unwrap()),
            from: None,
        };
        let event = Event::SessionStarted(SessionStarted {
            by,
            session: format!("0-{n:04x}").as_str().into(),
            site: "site-lyon/hospices-rhone".parse().unwrap(),
            device: "site-lyon/ct-scanner".parse().unwrap(),
            service: "ssh".parse().unwrap(),
            endpoint: "site-lyon/lyon".parse().unwrap(),
            policy: "dmz/ct-service".parse().unwrap(),
            incident: None,
            approval: None,
            max_seconds: 3600,
        });
        let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let at = midnight + SignedDuration::from_secs(n as i64 + 1);
        let clock = Clock { synced: true, error_ms: Some(3), behind_ms: 0 };
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&n.to_be_bytes());
        let record = Record { n, at, clock, event };
        record.try_map(|person, n| seal(&person, &self.key, &self.origin, n, nonce)).unwrap()
    }

    /// The region's verifier key.
    pub fn key(&self) -> String {
        self.region.verifier_key().to_string()
    }

    pub fn head(&self) -> Head {
        self.appender.head()
    }

    /// As gateway and region sign it.
    pub fn checkpoint(&self, head: Head) -> SignedCheckpoint {
        let name = KeyName::new(self.origin.to_string()).unwrap();
        let mut checkpoint = Checkpoint::new(&name, head).sign(&self.gateway).unwrap();
        checkpoint.sign(&self.region);
        checkpoint
    }

    /// What the operator asks a witness for.
    pub fn request(&self, old: u64) -> AddCheckpoint {
        let head = self.head();
        let proof = Tree::new(&self.store, head.size).consistency(old).unwrap();
        AddCheckpoint { old, proof, checkpoint: self.checkpoint(head) }
    }

    pub fn export(&self) -> Files {
        let period =
            Period { from: "2026-11-24T00:00:00Z".parse().unwrap(), to: "2026-11-25T00:00:00Z".parse().unwrap() };
        let made = Made { at: "2026-11-26T00:00:00Z".parse().unwrap(), by: "auditor@vendor.example".into() };
        let keeper = &self.origin.keeper;
        let order = Order { region: keeper.region.clone(), scope: self.origin.scope.clone(), period, made };
        let source = Source {
            verifier_key: self.gateway.verifier_key().clone(),
            checkpoint: self.checkpoint(self.head()),
            tiles: self.store.clone(),
            collected_until: "2026-11-25T12:00:00Z".parse().unwrap(),
        };
        let keys: BTreeMap<KeyId, PersonKey> = BTreeMap::from([(self.key.id(), self.key.clone())]);
        let mut sink = Collected::default();
        build(&order, vec![source], &keys, &self.region, &mut sink).unwrap();
        sink.files
    }

    /// As a folder.
    pub fn write(&self, folder: &Path) {
        for (path, bytes) in self.export() {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

#[derive(Default)]
struct Collected {
    files: Files,
    path: String,
}

impl Sink for Collected {
    fn file(&mut self, path: &str, _size: u64) -> Result<(), ReadError> {
        self.path = path.to_owned();
        self.files.insert(path.to_owned(), vec![]);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        self.files.get_mut(&self.path).unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// As the gateway hands it on.
pub fn tar(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn text_of(files: &Files, path: &str) -> String {
    String::from_utf8(files[path].clone()).unwrap()
}
