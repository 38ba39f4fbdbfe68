//! Backups that are restored, however old: numbers and fingerprints stay one to one, and what peers are told never counts
//! down. The authority is driven as the operator drives it, without an API server.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sallyport_pki::authority::{Authority, AuthoritySubject, Serial};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::rotation::{Action, Facts, Request, Stage, State, Wish, step};
use sallyport_plan::authority::keys::{Stored, StoredKey};
use sallyport_plan::authority::{published, restored, stored};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Event {
    /// Status and Secret are copied.
    Backup,
    /// Time goes by.
    Pass(u8),
    /// Status and Secret come back from one of the copies.
    Restore(prop::sample::Index),
    /// Somebody asks for a rotation.
    Rotate,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Backup),
        1 => any::<u8>().prop_map(Event::Pass),
        1 => any::<prop::sample::Index>().prop_map(Event::Restore),
        3 => Just(Event::Rotate),
    ]
}

struct Cluster {
    now: Timestamp,
    state: State,
    secret: BTreeMap<u32, Stored>,
    config_map: Value,
    backups: Vec<(State, BTreeMap<u32, Stored>)>,
    requests: u32,
    /// Every generation that ever was: number to fingerprint.
    ever: BTreeMap<u32, String>,
    /// What peers were last told: number and digest.
    told: (u64, String),
}

impl Cluster {
    fn new() -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut cluster = Self {
            now,
            state: State::default(),
            secret: BTreeMap::new(),
            config_map: Value::Null,
            backups: Vec::new(),
            requests: 0,
            ever: BTreeMap::new(),
            told: (0, String::new()),
        };
        cluster.settle(Begins::Anew);
        cluster
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Backup => self.backups.push((self.state.clone(), self.secret.clone())),
            Event::Pass(seconds) => self.now += SignedDuration::from_secs(i64::from(*seconds)),
            Event::Rotate => self.requests += 1,
            Event::Restore(which) => {
                if !self.backups.is_empty() {
                    (self.state, self.secret) = which.get(&self.backups).clone();
                    self.put_back();
                    return self.settle(Begins::Anew);
                }
            }
        }
        self.settle(Begins::Already);
    }

    /// What a person does about `AuthorityRestored`: certificates that are published go into the Secret.
    fn put_back(&mut self) {
        let published = published::read(&self.config_map, self.now);
        let kept: Vec<_> = self.secret.iter().filter_map(|(n, s)| restored::generation(*n, s)).collect();
        let kept: Vec<_> = kept.iter().map(|g| g.fingerprint.as_str()).collect();
        for fingerprint in published::unknown(&published, &self.state, &kept, self.now) {
            let certificate = sallyport_pki::pem::certificate(&published.certificates[&fingerprint]);
            self.secret.insert(published.numbers[&fingerprint], Stored { certificate, key: None, made: None });
        }
    }

    fn settle(&mut self, begins: Begins) {
        for _ in 0..40 {
            let before = self.state.clone();
            let published = published::read(&self.config_map, self.now);
            let mut after = restored::with_certificates(&before, self.secret.iter().map(|(n, s)| (*n, s)), self.now);
            let mut actions = Vec::new();
            if after == before && begins == Begins::Anew {
                after = restored::counting_on(&before, &published, self.now);
            }
            if after == before {
                let next = step(&before, &self.facts(), self.now);
                (after, actions) = (next.state, next.actions);
            }
            stored::sequence(&before, &mut after, self.now);
            self.state = after;
            if self.state != before {
                continue;
            }
            let gone: Vec<_> = self.secret.keys().copied().filter(|n| self.is_removed(*n)).collect();
            if actions.is_empty() && gone.is_empty() {
                return self.publish();
            }
            for number in gone {
                self.secret.remove(&number);
            }
            for action in actions {
                match action {
                    Action::DestroyKey { number } => drop(self.secret.remove(&number)),
                    Action::MakeKey { number, .. } => self.make(number),
                }
            }
        }
        panic!("it does not come to rest: {:?}", self.state);
    }

    fn is_removed(&self, number: u32) -> bool {
        self.state.generation(number).is_some_and(|g| g.stage == Stage::Removed)
    }

    fn facts(&self) -> Facts {
        let with_key = self.secret.iter().filter(|(_, stored)| stored.key.is_some());
        let request = (self.requests > 0).then(|| Request {
            id: self.requests.to_string(),
            reason: "a test".into(),
            emergency: None,
        });
        Facts {
            keys: with_key.filter_map(|(n, s)| Some((*n, restored::generation(*n, s)?))).collect(),
            wish: Wish { request, overlap: Duration::from_secs(60), ..Wish::default() },
            ..Facts::default()
        }
    }

    fn make(&mut self, number: u32) {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.to_pem().to_string();
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let (life, serial) = (Duration::from_secs(3650 * 86_400), Serial::from_random([7; 16]));
        let made = Authority::create(number, &subject, Box::new(key), life, serial, self.now).unwrap();
        let before = self.ever.insert(number, made.fingerprint());
        assert_eq!(before, None, "number {number} is given twice");
        let stored = Stored { certificate: made.certificate_pem(), key: Some(StoredKey::Pem(pem)), made: None };
        self.secret.insert(number, stored);
    }

    fn publish(&mut self) {
        let certificate = |number: u32| self.secret[&number].certificate.clone();
        let bundle: String = self.state.bundle().into_iter().map(certificate).collect();
        let digest = TrustBundle::from_pem(&bundle).unwrap().digest();
        let (sequence, before) = (self.state.sequence, &self.told);
        assert!(sequence > before.0 || *before == (sequence, digest.clone()), "{before:?} then {sequence} {digest}");
        self.told = (sequence, digest);
        let annotations = published::annotations(&self.state);
        self.config_map = json!({ "metadata": { "annotations": annotations }, "data": { published::BUNDLE: bundle } });
    }
}

/// Whether the operator remembers what it published.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Already,
    Anew,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_number_comes_twice_and_no_peer_is_told_less_than_it_knows(events in prop::collection::vec(event(), 1..14)) {
        let mut cluster = Cluster::new();
        for event in &events {
            cluster.happens(event);
            let signs = cluster.state.issuing().map(|g| g.generation.clone());
            let signs = signs.expect("somebody signs");
            prop_assert_eq!(cluster.ever.get(&signs.number), Some(&signs.fingerprint));
        }
    }
}

/// The ConfigMap is lost with the newer status: only the clock tells that peers were told something since.
#[test]
fn a_bundle_counts_on_from_the_clock_when_nothing_else_tells() {
    let mut cluster = Cluster::new();
    for event in [Event::Backup, Event::Pass(7), Event::Rotate, Event::Pass(7), Event::Rotate, Event::Pass(7)] {
        cluster.happens(&event);
    }
    cluster.requests = 0;
    (cluster.state, cluster.secret) = cluster.backups[0].clone();
    cluster.config_map = Value::Null;
    let before = cluster.told.clone();
    cluster.settle(Begins::Anew);
    assert!(cluster.told.0 > before.0 && cluster.told.1 != before.1);
    // An operator that begins and finds everything in order changes nothing.
    let (state, told) = (cluster.state.clone(), cluster.told.clone());
    cluster.happens(&Event::Pass(200));
    cluster.settle(Begins::Anew);
    assert_eq!((cluster.state, cluster.told), (state, told));
}

/// The sequence that the property was written for: the key of the third generation is lost with the newer backup.
#[test]
fn an_old_backup_after_two_rotations() {
    let mut cluster = Cluster::new();
    for event in [Event::Backup, Event::Rotate, Event::Rotate] {
        cluster.happens(&event);
    }
    assert_eq!(cluster.state.issuing().unwrap().generation.number, 3);
    // Somebody takes the request back before the operator comes back.
    cluster.requests = 0;
    (cluster.state, cluster.secret) = cluster.backups[0].clone();
    cluster.put_back();
    cluster.settle(Begins::Anew);
    let stage = |n| cluster.state.generation(n).map(|g| g.stage);
    assert_eq!((stage(1), stage(2), stage(3)), (Some(Stage::Issuing), None, Some(Stage::PhasingOut)));
    cluster.requests = 3;
    cluster.settle(Begins::Already);
    assert_eq!(cluster.state.issuing().unwrap().generation.number, 4);
    assert_eq!(cluster.state.bundle().len(), 1);
}
