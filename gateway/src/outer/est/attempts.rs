//! How often may be refused before nobody is asked any more. An attempt counts as refused until the operator says
//! otherwise, so that many at once are no way around the limit.
//!
//! Tokens are counted for each source and endpoint, for each source, and all together: never for an endpoint alone, or a
//! stranger who knows its name would keep it from enrolling. Renewals are counted for the endpoint alone, which showed its
//! certificate: a whole fleet may come from one address, and what neighbours do is no reason to refuse it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sallyport_core::name::EndpointId;

use crate::places::Source;

/// How many in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    most: usize,
    within: Duration,
}

const WINDOW: Duration = Duration::from_secs(600);
/// Of one source for one endpoint, or of one endpoint that renews. A person who copies a token wrongly needs three; a token
/// has 128 random bits, so no limit here protects it: they keep the operator and the audit file from being flooded.
const EACH: Limit = Limit { most: 10, within: WINDOW };
/// Of one source for all endpoints: a hospital behind one address may have a few whose token is used up, and the next one
/// is still let try.
const SOURCE: Limit = Limit { most: 30, within: WINDOW };
/// Of all sources. The operator answers a thousand in a second, so refusing takes a fifth of its time at most. Short,
/// because who commands many addresses could else keep everybody out with a few packets.
const ALL: Limit = Limit { most: 200, within: Duration::from_secs(1) };
/// Sources, endpoints and pairs that are remembered: some 2 MB at most. Of more, those that tried longest ago are
/// forgotten.
const REMEMBERED: usize = 8 * 1024;

/// Refusals that are recorded in [`WINDOW`], of all sources together: with them, who commands many addresses could fill
/// the audit volume, and without audit no session opens. Further ones are counted and logged.
const RECORDED: usize = 1000;

/// How many more refusals may be recorded.
#[derive(Debug, Default)]
pub(crate) struct Records {
    recent: Mutex<VecDeque<Instant>>,
}

impl Records {
    /// Whether one more may be, at `now`.
    pub(crate) fn may_add(&self, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            recent.pop_front();
        }
        let may = recent.len() < RECORDED;
        if may {
            recent.push_back(now);
        }
        may
    }
}

/// What an attempt counts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    All,
    Endpoint(EndpointId),
    Pair(Source, EndpointId),
    Source(Source),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Renewals,
    Tokens,
}

type Recent = BTreeMap<Key, VecDeque<Instant>>;

/// Remembers attempts of one kind.
#[derive(Debug)]
pub(crate) struct Attempts {
    kind: Kind,
    recent: Mutex<Recent>,
}

/// An attempt that counts as refused until [`Attempt::forgive`].
#[derive(Debug)]
#[must_use = "an attempt counts as refused until it is forgiven"]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    keys: Vec<Key>,
    at: Instant,
}

impl Attempts {
    /// Enrolments by token.
    pub(crate) fn tokens() -> Self {
        Self { kind: Kind::Tokens, recent: Mutex::default() }
    }

    /// Renewals by certificate.
    pub(crate) fn renewals() -> Self {
        Self { kind: Kind::Renewals, recent: Mutex::default() }
    }

    /// Takes an attempt at `now`.
    ///
    /// # Errors
    /// How long to wait, when too many were refused.
    pub(crate) fn begin(&self, source: Source, endpoint: &EndpointId, now: Instant) -> Result<Attempt<'_>, Duration> {
        let limits = match self.kind {
            Kind::Renewals => vec![(Key::Endpoint(endpoint.clone()), EACH)],
            Kind::Tokens => {
                vec![(Key::Pair(source, endpoint.clone()), EACH), (Key::Source(source), SOURCE), (Key::All, ALL)]
            }
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = limits.iter().filter_map(|(key, limit)| wait(&mut recent, key, *limit, now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        let keys: Vec<Key> = limits.into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            note(&mut recent, key, now);
        }
        Ok(Attempt { attempts: self, keys, at: now })
    }
}

impl Attempt<'_> {
    /// It was not refused.
    pub(crate) fn forgive(self) {
        let mut recent = self.attempts.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            forget(&mut recent, key, self.at);
        }
    }
}

fn wait(recent: &mut Recent, key: &Key, limit: Limit, now: Instant) -> Option<Duration> {
    let times = recent.get_mut(key)?;
    while times.front().is_some_and(|at| now.saturating_duration_since(*at) >= limit.within) {
        times.pop_front();
    }
    let first = times.front().filter(|_| times.len() >= limit.most)?;
    Some(limit.within.saturating_sub(now.saturating_duration_since(*first)))
}

fn note(recent: &mut Recent, key: &Key, now: Instant) {
    if recent.len() >= REMEMBERED && !recent.contains_key(key) {
        recent.retain(|_, times| times.back().is_some_and(|at| now.saturating_duration_since(*at) < WINDOW));
        if recent.len() >= REMEMBERED
            && let Some(oldest) =
                recent.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| key.clone())
        {
            recent.remove(&oldest);
        }
    }
    recent.entry(key.clone()).or_default().push_back(now);
}

fn forget(recent: &mut Recent, key: &Key, at: Instant) {
    if let Some(times) = recent.get_mut(key) {
        if let Some(position) = times.iter().position(|time| *time == at) {
            times.remove(position);
        }
        if times.is_empty() {
            recent.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    fn source(n: u32) -> Source {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(n)), 1).into()
    }

    fn endpoint(n: u32) -> EndpointId {
        format!("lyon/e{n}").parse().unwrap()
    }

    #[test]
    fn a_stranger_closes_an_endpoint_to_himself_alone() {
        let (tokens, now) = (Attempts::tokens(), Instant::now());
        for n in 0..10 {
            let _wrong = tokens.begin(source(1), &endpoint(1), now + Duration::from_secs(n)).unwrap();
        }
        let later = now + Duration::from_secs(10);
        assert_eq!(tokens.begin(source(1), &endpoint(1), later).unwrap_err(), WINDOW - Duration::from_secs(10));
        let _own = tokens.begin(source(2), &endpoint(1), later).unwrap();
        let _neighbour = tokens.begin(source(1), &endpoint(2), later).unwrap();
        assert!(tokens.begin(source(1), &endpoint(1), now + WINDOW).is_ok());
    }

    #[test]
    fn thirty_wrong_ones_close_a_source_for_ten_minutes() {
        let (tokens, now) = (Attempts::tokens(), Instant::now());
        for n in 0..30 {
            let _wrong = tokens.begin(source(1), &endpoint(n), now).unwrap();
        }
        assert_eq!(tokens.begin(source(1), &endpoint(30), now).unwrap_err(), WINDOW);
        let _other = tokens.begin(source(2), &endpoint(30), now).unwrap();
        assert!(tokens.begin(source(1), &endpoint(30), now + WINDOW).is_ok());
    }

    #[test]
    fn two_hundred_wrong_ones_in_a_second_make_all_wait_a_second() {
        let (tokens, now) = (Attempts::tokens(), Instant::now());
        for n in 0..200 {
            let _wrong = tokens.begin(source(n), &endpoint(n), now).unwrap();
        }
        let second = Duration::from_secs(1);
        assert_eq!(tokens.begin(source(999), &endpoint(999), now).unwrap_err(), second);
        let _next = tokens.begin(source(999), &endpoint(999), now + second).unwrap();
    }

    #[test]
    fn the_audit_file_takes_a_thousand_refusals_in_ten_minutes() {
        let (records, now) = (Records::default(), Instant::now());
        assert_eq!((0..2000).filter(|_| records.may_add(now)).count(), RECORDED);
        assert!(!records.may_add(now + WINDOW - Duration::from_secs(1)));
        assert!(records.may_add(now + WINDOW));
    }

    #[test]
    fn a_fleet_behind_one_address_renews_and_each_endpoint_is_limited() {
        let (renewals, now) = (Attempts::renewals(), Instant::now());
        for _ in 0..10 {
            for n in 0..200 {
                let _refused = renewals.begin(source(1), &endpoint(n), now).unwrap();
            }
        }
        assert_eq!(renewals.begin(source(2), &endpoint(7), now).unwrap_err(), WINDOW);
        assert!(renewals.begin(source(1), &endpoint(200), now).is_ok());
    }

    #[test]
    fn right_ones_do_not_count() {
        let (tokens, now) = (Attempts::tokens(), Instant::now());
        for _ in 0..100 {
            tokens.begin(source(1), &endpoint(1), now).unwrap().forgive();
        }
        assert!(tokens.recent.lock().unwrap().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_stay() {
        let (tokens, now) = (Attempts::tokens(), Instant::now());
        // Each is remembered as a pair and as a source.
        let most = u32::try_from(REMEMBERED / 2).unwrap();
        for n in 0..most + 100 {
            let at = now + Duration::from_millis(u64::from(n) * 10);
            let _wrong = tokens.begin(source(n), &endpoint(n), at).unwrap();
        }
        let recent = tokens.recent.lock().unwrap();
        assert_eq!(recent.len(), REMEMBERED);
        let known = |n: u32| recent.contains_key(&Key::Source(source(n)));
        assert!(known(most + 99) && !known(0));
    }
}
