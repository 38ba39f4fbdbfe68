//! A world in memory: what is stored, what is published, and peers that trust and use certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::{Facts, GivenUp, Held, Made, Peer, Stage, State, Wish};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// Lives of CA and leaf certificates.
const AUTHORITY_LIFE: Duration = Duration::from_secs(150 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(40 * 24 * 3600);

/// Everything there is. Fields below the line are what the properties remember.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub stored: Stored,
    /// The trust bundle that peers can fetch.
    pub published: Published,
    /// Keys in the store, and what is noted beside them.
    pub keys: BTreeMap<u32, Generation>,
    pub made: BTreeMap<u32, Made>,
    pub sites: BTreeMap<String, Site>,
    pub wish: Wish,
    pub issuance: Issuance,
    // ---
    /// The latest that the clock ever showed: what had ended then stays ended.
    pub latest: Timestamp,
    /// Keys made so far; no two are the same.
    pub keys_made: u32,
    /// Every state write since the last check.
    pub writes: Vec<Write>,
    /// All who were ever given up.
    pub given_up: Vec<GivenUp>,
    /// Keys of generations that the stored state still trusted when they were destroyed.
    pub destroyed_early: Vec<u32>,
    /// The highest number that was ever in the state.
    pub highest: u32,
    /// A reconcile that did not come to rest.
    pub restless: bool,
}

/// The object's status, with its resource version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub version: u64,
    pub state: State,
}

/// A trust bundle. Its sequence never falls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    pub sequence: u64,
    pub numbers: BTreeSet<u32>,
    pub digest: String,
}

/// A peer as it is, which the operator may not know yet.
#[derive(Clone, Debug, Default)]
pub struct Site {
    pub trusts: Published,
    pub away_since: Option<Timestamp>,
    pub leaf: Option<Held>,
}

/// How certificates are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// No certificate is issued that outlives its issuer.
    Cut,
    /// A fault to be found.
    Uncut,
}

/// One write of the state, and what was so at that moment.
#[derive(Clone, Debug)]
pub struct Write {
    pub before: State,
    pub after: State,
    pub now: Timestamp,
    pub latest: Timestamp,
    /// The sites as they were.
    pub sites: BTreeMap<String, Site>,
    /// What the operator knew.
    pub facts: Facts,
}

impl World {
    pub fn new() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            now,
            stored: Stored::default(),
            published: Published::default(),
            keys: BTreeMap::new(),
            made: BTreeMap::new(),
            sites: BTreeMap::new(),
            wish: Wish {
                made_for: "spec 0".into(),
                start_before: 50 * DAY,
                publish_for: DAY,
                overlap: 10 * DAY,
                request: None,
                lost: BTreeMap::new(),
            },
            issuance: Issuance::Cut,
            latest: now,
            keys_made: 0,
            writes: Vec::new(),
            given_up: Vec::new(),
            destroyed_early: Vec::new(),
            highest: 0,
            restless: false,
        }
    }

    /// What can be known now by one who knows everything.
    pub fn facts(&self) -> Facts {
        Facts {
            keys: self.keys.clone(),
            made: self.made.clone(),
            digest: bundle(&self.stored.state).digest,
            peers: self.sites.iter().map(|(name, site)| (name.clone(), site.peer())).collect(),
            wish: self.wish.clone(),
        }
    }

    pub fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    pub fn forward(&mut self, by: Duration) {
        self.set_clock(self.now.checked_add(SignedDuration::try_from(by).unwrap()).unwrap());
    }

    pub fn back(&mut self, by: Duration) {
        self.set_clock(self.now.checked_sub(SignedDuration::try_from(by).unwrap()).unwrap());
    }

    /// A new site enrols, if anything signs; else it waits for its first certificate.
    pub fn add_site(&mut self) {
        let name = format!("site-{}", self.sites.len());
        self.sites.insert(name.clone(), Site::default());
        self.renew(&name);
    }

    /// A live site takes the published bundle and says so.
    pub fn acknowledge(&mut self, name: &str) {
        let published = self.published.clone();
        if let Some(site) = self.sites.get_mut(name).filter(|site| site.away_since.is_none()) {
            site.trusts = published;
        }
    }

    /// A live site gets a certificate of the signer. One that does not trust the signer, or holds nothing, enrols, which
    /// brings the bundle too. An operator that enrols has published its bundle before.
    pub fn renew(&mut self, name: &str) {
        let Some(leaf) = self.issue() else { return };
        let current = bundle(&self.stored.state);
        let Some(site) = self.sites.get_mut(name).filter(|site| site.away_since.is_none()) else { return };
        if self.published.sequence != current.sequence {
            return;
        }
        let knows_it = site.leaf.is_some_and(|held| current.numbers.contains(&held.issuer));
        if !knows_it || !site.trusts.numbers.contains(&leaf.issuer) {
            site.trusts = current;
        }
        site.leaf = Some(leaf);
    }

    fn issue(&self) -> Option<Held> {
        let signer = &self.stored.state.issuing()?.generation;
        let usable = self.keys.get(&signer.number) == Some(signer);
        if !usable || self.now < signer.not_before || self.now >= signer.not_after {
            return None;
        }
        let end = self.now.checked_add(SignedDuration::try_from(LEAF_LIFE).unwrap()).unwrap();
        let not_after = match self.issuance {
            Issuance::Cut => end.min(signer.not_after),
            Issuance::Uncut => end,
        };
        Some(Held { issuer: signer.number, not_after })
    }

    pub fn make_key(&mut self, number: u32, made: Made) {
        self.keys_made += 1;
        let life = SignedDuration::try_from(AUTHORITY_LIFE).unwrap();
        let generation = Generation {
            number,
            fingerprint: format!("{:02x}", self.keys_made),
            not_before: self.now,
            not_after: self.now.checked_add(life).unwrap(),
        };
        self.keys.insert(number, generation);
        self.made.insert(number, made);
    }

    pub fn destroy_key(&mut self, number: u32) {
        if self.stored.state.bundle().contains(&number) {
            self.destroyed_early.push(number);
        }
        self.keys.remove(&number);
        self.made.remove(&number);
    }

    /// Somebody recorded in a rotation to a generation younger than this one.
    pub fn is_given_up(&self, name: &str, older: u32) -> bool {
        self.given_up.iter().any(|record| record.peer == name && record.generation > older)
    }
}

impl Site {
    pub fn peer(&self) -> Peer {
        let acknowledged = Some(self.trusts.digest.clone()).filter(|digest| !digest.is_empty());
        Peer { acknowledged, away_since: self.away_since, holds: self.leaf.into_iter().collect() }
    }
}

/// What a state publishes.
pub fn bundle(state: &State) -> Published {
    let trusted = state.generations.iter().filter(|g| g.stage != Stage::Removed);
    let names: Vec<_> = trusted.map(|g| format!("{}:{}", g.generation.number, g.generation.fingerprint)).collect();
    Published { sequence: state.sequence, numbers: state.bundle(), digest: names.join(",") }
}
