//! How often a wrong token may be tried: from one source, and for one endpoint. An attempt counts as wrong until the
//! operator says otherwise, so that many at once are no way around the limit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sallyport_core::name::EndpointId;

use crate::places::Source;

/// Wrong attempts in [`WINDOW`]. A person who copies a token wrongly needs three; a token has 128 random bits, so the
/// limit does not protect it: it keeps the operator and the audit file from being flooded.
const MOST: usize = 10;
/// See [`MOST`].
const WINDOW: Duration = Duration::from_secs(600);
/// Sources and endpoints that are remembered, each: some 2 MB at most. Of more, those that tried longest ago are
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

/// Remembers attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    sources: BTreeMap<Source, VecDeque<Instant>>,
    endpoints: BTreeMap<EndpointId, VecDeque<Instant>>,
}

/// An attempt that counts as wrong until [`Attempt::forgive`].
#[derive(Debug)]
#[must_use = "an attempt counts as wrong until it is forgiven"]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    source: Option<Source>,
    endpoint: EndpointId,
    at: Instant,
}

impl Attempts {
    /// Takes an attempt at `now`. Without a source only the endpoint counts: who has shown a certificate is known, and a
    /// whole fleet may come from one address, behind a balancer that translates.
    ///
    /// # Errors
    /// How long to wait, when there were too many from this source or for this endpoint.
    pub(crate) fn begin(
        &self,
        source: Option<Source>,
        endpoint: &EndpointId,
        now: Instant,
    ) -> Result<Attempt<'_>, Duration> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = source.as_ref().and_then(|source| wait(&mut recent.sources, source, now));
        let wait = of_source.max(wait(&mut recent.endpoints, endpoint, now));
        if let Some(wait) = wait {
            return Err(wait);
        }
        if let Some(source) = &source {
            note(&mut recent.sources, source.clone(), now);
        }
        note(&mut recent.endpoints, endpoint.clone(), now);
        Ok(Attempt { attempts: self, source, endpoint: endpoint.clone(), at: now })
    }
}

impl Attempt<'_> {
    /// It was not wrong.
    pub(crate) fn forgive(self) {
        let mut recent = self.attempts.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &self.source {
            forget(&mut recent.sources, source, self.at);
        }
        forget(&mut recent.endpoints, &self.endpoint, self.at);
    }
}

fn wait<K: Ord>(of: &mut BTreeMap<K, VecDeque<Instant>>, key: &K, now: Instant) -> Option<Duration> {
    let times = of.get_mut(key)?;
    while times.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
        times.pop_front();
    }
    let first = times.front().filter(|_| times.len() >= MOST)?;
    Some(WINDOW.saturating_sub(now.saturating_duration_since(*first)))
}

fn note<K: Ord + Clone>(of: &mut BTreeMap<K, VecDeque<Instant>>, key: K, now: Instant) {
    if of.len() >= REMEMBERED && !of.contains_key(&key) {
        of.retain(|_, times| times.back().is_some_and(|at| now.saturating_duration_since(*at) < WINDOW));
        if of.len() >= REMEMBERED
            && let Some(oldest) = of.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| key.clone())
        {
            of.remove(&oldest);
        }
    }
    of.entry(key).or_default().push_back(now);
}

fn forget<K: Ord>(of: &mut BTreeMap<K, VecDeque<Instant>>, key: &K, at: Instant) {
    if let Some(times) = of.get_mut(key) {
        if let Some(position) = times.iter().position(|time| *time == at) {
            times.remove(position);
        }
        if times.is_empty() {
            of.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    fn source(n: u32) -> Option<Source> {
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(n)), 1).into())
    }

    fn endpoint(n: u32) -> EndpointId {
        format!("lyon/e{n}").parse().unwrap()
    }

    #[test]
    fn ten_wrong_ones_close_a_source_and_an_endpoint_for_ten_minutes() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..10 {
            let _wrong = attempts.begin(source(1), &endpoint(n), now).unwrap();
            let _wrong = attempts.begin(source(100 + n), &endpoint(50), now).unwrap();
        }
        assert_eq!(attempts.begin(source(1), &endpoint(11), now).unwrap_err(), WINDOW);
        assert_eq!(attempts.begin(source(2), &endpoint(50), now).unwrap_err(), WINDOW);
        let _other = attempts.begin(source(2), &endpoint(11), now).unwrap();
        let later = now + WINDOW - Duration::from_secs(1);
        assert_eq!(attempts.begin(source(1), &endpoint(11), later).unwrap_err(), Duration::from_secs(1));
        assert!(attempts.begin(source(1), &endpoint(50), now + WINDOW).is_ok());
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
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            for n in 0..200 {
                let _wrong = attempts.begin(None, &endpoint(n), now).unwrap();
            }
        }
        assert_eq!(attempts.begin(None, &endpoint(7), now).unwrap_err(), WINDOW);
        assert!(attempts.begin(None, &endpoint(200), now).is_ok());
    }

    #[test]
    fn right_ones_do_not_count() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..100 {
            attempts.begin(source(1), &endpoint(1), now).unwrap().forgive();
        }
        assert!(attempts.recent.lock().unwrap().sources.is_empty());
        assert!(attempts.recent.lock().unwrap().endpoints.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_stay() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let most = u32::try_from(REMEMBERED).unwrap();
        for n in 0..most + 100 {
            let _wrong = attempts.begin(source(n), &endpoint(n), now + Duration::from_millis(n.into())).unwrap();
        }
        let recent = attempts.recent.lock().unwrap();
        assert_eq!((recent.sources.len(), recent.endpoints.len()), (REMEMBERED, REMEMBERED));
        assert!(
            recent.sources.contains_key(&source(most + 99).unwrap())
                && !recent.sources.contains_key(&source(0).unwrap())
        );
    }
}
