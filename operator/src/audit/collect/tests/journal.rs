//! A gateway's journal, made with the code that gateways use.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sallyport_audit::event::{GatewayStarted, SessionStarted};
use sallyport_audit::journal::{Reader, Snapshot, State, Wall};
use sallyport_audit::tlog::checkpoint::Checkpoint;
use sallyport_audit::tlog::note::{KeyName, Signer, SigningKey};
use sallyport_audit::{Event, Incarnation, Keeper, Person, PublicKey, Scope, Text};
use sallyport_control::wire;
use sallyport_core::engineer::Engineer;
use sallyport_core::name::RegionId;

/// A journal and its key.
pub(crate) struct Journal {
    pub(crate) key: SigningKey,
    pub(crate) keeper: Keeper,
    state: State,
    /// The lines of each record, those before it that belong to it included.
    lines: Vec<(Scope, Vec<u8>)>,
    random: u8,
}

pub(crate) fn region() -> RegionId {
    RegionId::parse("dmz", "eu").unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// An event in the region's log.
pub(crate) fn started(version: &str) -> Event<Person> {
    Event::GatewayStarted(GatewayStarted { version: Text::clipped(version) })
}

/// An event with a person in a site's log.
pub(crate) fn session(site: &str, user: &str) -> Event<Person> {
    let engineer = Engineer { user: user.parse().unwrap(), groups: BTreeSet::new(), not_after: at(1_000_000) };
    Event::SessionStarted(SessionStarted {
        by: Person::of(&engineer),
        session: Text::clipped("0-1"),
        site: site.parse().unwrap(),
        device: format!("{site}-device").parse().unwrap(),
        service: "ssh".parse().unwrap(),
        endpoint: format!("{site}-agent").parse().unwrap(),
        policy: "dmz/everybody".parse().unwrap(),
        incident: Some("INC-7".parse().unwrap()),
        approval: None,
        max_seconds: 60,
    })
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self::with(SigningKey::generate().unwrap())
    }

    pub(crate) fn with(key: SigningKey) -> Self {
        let incarnation = Incarnation::of(&PublicKey(key.public_key()));
        let keeper = Keeper { region: region(), gateway: "eu-gateway-0".parse().unwrap(), incarnation };
        Self { key, state: State::new(keeper.clone()), keeper, lines: Vec::new(), random: 1 }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey(self.key.public_key())
    }

    pub(crate) fn newest(&self) -> u64 {
        self.lines.len() as u64
    }

    pub(crate) fn incarnation(&self) -> wire::Incarnation {
        let name = self.keeper.incarnation.to_string();
        wire::Incarnation { name, public_key: self.key.public_key().to_vec() }
    }

    /// Appends at this second.
    pub(crate) fn append(&mut self, event: Event<Person>, second: i64) {
        let wall = Wall { at: at(second), synced: true, error_ms: Some(1) };
        let mut lines = Vec::new();
        if self.lines.len().is_multiple_of(50) {
            self.state.begin_file(&mut lines);
        }
        let random = &mut self.random;
        let mut fill = |bytes: &mut [u8]| {
            *random = random.wrapping_add(1);
            bytes.iter_mut().zip(0u8..).for_each(|(byte, n)| *byte = random.wrapping_mul(31).wrapping_add(n));
        };
        let appended = self.state.append(event, wall, &mut fill, &mut lines).unwrap();
        self.lines.push((appended.scope, lines));
    }

    /// A few logs that grow.
    pub(crate) fn fill(&mut self, records: u64) {
        for _ in 0..records {
            let n = self.newest();
            let event = match n % 20 {
                1 => session("lyon/hospital", "ben@vendor"),
                2 | 12 => session("paris/clinic", "ada@vendor"),
                11 => session("lyon/hospital", "ada@vendor"),
                _ => started(&format!("1.{n}")),
            };
            self.append(event, n.cast_signed());
        }
    }

    fn joined(&self, from: u64, to: u64) -> Vec<u8> {
        let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
        self.lines[range].iter().flat_map(|(_, lines)| lines).copied().collect()
    }

    /// All logs behind a record.
    pub(crate) fn snapshot(&self, through: u64) -> Snapshot {
        let mut reader = Reader::new(Snapshot::empty(self.keeper.incarnation));
        for line in self.joined(0, through).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            reader.line(line).unwrap();
        }
        reader.into_state()
    }

    /// What a gateway gives behind a record.
    pub(crate) fn batch(&self, after: u64, through: u64) -> wire::Batch {
        let snapshot = self.snapshot(through);
        let range = usize::try_from(after).unwrap()..usize::try_from(through).unwrap();
        let scopes: BTreeSet<Scope> = self.lines[range].iter().map(|(scope, _)| scope.clone()).collect();
        wire::Batch {
            incarnation: self.keeper.incarnation.to_string(),
            after,
            through,
            lines: self.joined(after, through),
            checkpoints: scopes.iter().map(|scope| self.checkpoint(scope, &snapshot, &self.key)).collect(),
            newest: self.newest(),
        }
    }

    /// A checkpoint as any key would sign it.
    pub(crate) fn checkpoint(&self, scope: &Scope, snapshot: &Snapshot, key: &SigningKey) -> wire::Checkpoint {
        let origin = KeyName::new(self.keeper.origin(scope.clone())).unwrap();
        let signer = Signer::new(origin.clone(), key.clone());
        let signed = Checkpoint::new(&origin, snapshot.head(scope)).sign(&signer).unwrap();
        wire::Checkpoint { log: scope.to_string(), note: signed.to_string().into_bytes() }
    }
}
