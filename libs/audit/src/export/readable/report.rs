//! What `report.html` shows, gathered from records in whatever order the logs come: the first of each table by time, so
//! that memory is bounded. All records are in `records.csv`.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::facts::{Facts, Who};
use super::page;
use crate::event::Event;
use crate::export::about::About;
use crate::person::Shown;
use crate::record::Record;

/// Rows of each table: 10,000 sessions are some 5 MB, and a pile of paper that nobody reads.
const MOST_ROWS: usize = 10_000;

/// Time, log, number: what rows are sorted by.
pub(super) type Place = (Timestamp, usize, u64);

/// Sessions and other records of an export.
#[derive(Debug)]
pub(crate) struct Report {
    most: usize,
    sessions: BTreeMap<Place, Session>,
    /// Where the session of a log is, by its id.
    places: HashMap<(usize, String), Place>,
    others: BTreeMap<Place, Other>,
    /// Records that are in none of the tables.
    pub(super) omitted: bool,
    pub(super) records: u64,
    pub(super) erased: u64,
}

/// A session, as far as records of this time tell about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) who: Who,
    pub(super) device: String,
    pub(super) service: String,
    pub(super) incident: String,
    pub(super) began: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) outcome: Outcome,
    pub(super) bytes: Option<(String, String)>,
}

/// How a session went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was asked for; what became of it is not in these records.
    #[default]
    Asked,
    /// It was refused.
    Denied(String),
    /// It ended.
    Ended(String),
    /// It began; its end is not in these records.
    Open,
    /// Nobody at the site answered.
    Unanswered,
}

/// Any other record.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) facts: Facts,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            most: MOST_ROWS,
            sessions: BTreeMap::new(),
            places: HashMap::new(),
            others: BTreeMap::new(),
            omitted: false,
            records: 0,
            erased: 0,
        }
    }

    /// Takes in a record of a log. Those of one log come in their order.
    pub(crate) fn add(&mut self, log: usize, record: &Record<Shown>) {
        let facts = Facts::of(&record.event);
        self.records += 1;
        self.erased += u64::from(facts.who == Who::Erased);
        let place = (record.at, log, record.n);
        let at = record.at;
        match &record.event {
            Event::SessionDenied(_) => {
                let outcome = Outcome::Denied(facts.outcome.clone());
                self.insert(place, Session { outcome, ..session(facts) });
            }
            Event::SessionRequested(_) => self.tell(place, facts, |_, _| ()),
            Event::SessionStarted(_) => self.tell(place, facts, |session, _| {
                session.began = Some(at);
                session.outcome = Outcome::Open;
            }),
            Event::SessionEnded(_) => self.tell(place, facts, |session, facts| {
                session.ended = Some(at);
                session.outcome = Outcome::Ended(facts.outcome.clone());
                let bytes = |name| facts.detail(name).unwrap_or_default().to_owned();
                session.bytes = Some((bytes("bytesOut"), bytes("bytesIn")));
            }),
            Event::SessionUnanswered(_) => self.tell(place, facts, |session, _| {
                session.ended = Some(at);
                session.outcome = Outcome::Unanswered;
            }),
            _ => {
                self.others.insert(place, Other { facts });
                if self.others.len() > self.most {
                    self.others.pop_last();
                    self.omitted = true;
                }
            }
        }
    }

    /// The page.
    pub(crate) fn page(&self, about: &About) -> Vec<u8> {
        page::page(about, self).into_bytes()
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = (&Place, &Session)> {
        self.sessions.iter()
    }

    pub(super) fn others(&self) -> impl Iterator<Item = (&Place, &Other)> {
        self.others.iter()
    }

    /// Another record of a session, or its first one.
    fn tell(&mut self, place: Place, facts: Facts, change: impl FnOnce(&mut Session, &Facts)) {
        let key = (place.1, facts.id.clone());
        match self.places.get(&key).and_then(|place| self.sessions.get_mut(place)) {
            Some(known) => change(known, &facts),
            None => {
                let mut new = session(facts.clone());
                change(&mut new, &facts);
                self.places.insert(key, place);
                self.insert(place, new);
            }
        }
    }

    /// Keeps the earliest. A session that falls out begins later than all that stay, and so do its later records.
    fn insert(&mut self, place: Place, session: Session) {
        self.sessions.insert(place, session);
        if self.sessions.len() > self.most
            && let Some(((_, log, _), last)) = self.sessions.pop_last()
        {
            self.places.remove(&(log, last.id));
            self.omitted = true;
        }
    }
}

fn session(facts: Facts) -> Session {
    let Facts { who, device, service, id, incident, .. } = facts;
    Session { id, who, device, service, incident, ..Session::default() }
}
