//! How often one reader may read. Every reading is a record, and an export reads much of the archive.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Kind;

const WINDOW: Duration = Duration::from_secs(60);
/// Pages of records in a minute: a console that pages through a day.
const RECORDS: usize = 60;
/// Exports in a minute: one takes minutes.
const EXPORTS: usize = 6;
/// Readers that are remembered: 100 KB at most. Of more, one that read longest ago is forgotten.
const REMEMBERED: usize = 1024;

/// Who read how often.
#[derive(Debug, Default)]
pub struct Limits {
    recent: Mutex<BTreeMap<(String, &'static str), VecDeque<Instant>>>,
}

impl Limits {
    /// Takes one at `now`.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub fn take(&self, reader: &str, kind: Kind, now: Instant) -> Result<(), Duration> {
        let (most, word) = match kind {
            Kind::Export => (EXPORTS, "export"),
            Kind::Records => (RECORDS, "records"),
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (reader.to_owned(), word);
        if recent.len() >= REMEMBERED
            && !recent.contains_key(&key)
            && let Some(oldest) =
                recent.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| key.clone())
        {
            recent.remove(&oldest);
        }
        let times = recent.entry(key).or_default();
        while times.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            times.pop_front();
        }
        match times.front().filter(|_| times.len() >= most) {
            Some(first) => Err(WINDOW.saturating_sub(now.saturating_duration_since(*first))),
            None => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_has_a_share_of_each_kind() {
        let (limits, now) = (Limits::default(), Instant::now());
        for _ in 0..EXPORTS {
            limits.take("ada", Kind::Export, now).unwrap();
        }
        assert_eq!(limits.take("ada", Kind::Export, now + Duration::from_secs(50)), Err(Duration::from_secs(10)));
        limits.take("ada", Kind::Records, now).unwrap();
        limits.take("bob", Kind::Export, now).unwrap();
        limits.take("ada", Kind::Export, now + WINDOW).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let (limits, now) = (Limits::default(), Instant::now());
        for n in 0..2 * REMEMBERED {
            limits.take(&n.to_string(), Kind::Records, now).unwrap();
        }
        assert_eq!(limits.recent.lock().unwrap().len(), REMEMBERED);
    }
}
