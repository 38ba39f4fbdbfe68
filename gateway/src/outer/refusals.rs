//! Tunnels that were refused, in the audit. Agents dial again every few seconds, so the same refusal of the same endpoint is
//! recorded once in ten minutes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sallyport_audit::event::TunnelRefused;
use sallyport_audit::{Event, Person};
use sallyport_core::name::EndpointId;

use super::Site;

const AGAIN: Duration = Duration::from_secs(600);
/// Refusals that are remembered: a MB at most. An endpoint has a certificate of the region's authority, so there are not
/// many that can be refused; of more, the oldest are forgotten.
const REMEMBERED: usize = 4 * 1024;

/// Which refusals were recorded not long ago.
#[derive(Debug, Default)]
pub struct Refusals {
    recent: Mutex<BTreeMap<(EndpointId, &'static str), Instant>>,
}

impl Refusals {
    /// Whether this one is to be recorded, at `now`.
    fn is_news(&self, endpoint: &EndpointId, reason: &'static str, now: Instant) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.clone(), reason);
        if recent.get(&key).is_some_and(|at| now.saturating_duration_since(*at) < AGAIN) {
            return false;
        }
        if recent.len() >= REMEMBERED {
            recent.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        }
        if recent.len() >= REMEMBERED
            && let Some(oldest) = recent.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
        {
            recent.remove(&oldest);
        }
        recent.insert(key, now);
        true
    }
}

/// Records that the endpoint was not let in, if that is news. What passes by itself (a replica that stops or starts, a
/// tunnel that is there already) is none.
pub(super) fn refused(site: &Site, reason: &'static str) {
    if matches!(reason, "cloned" | "draining" | "held" | "notReady") {
        return;
    }
    record(site, reason, |site| {
        let (endpoint, from) = (site.endpoint.clone(), site.from);
        let of = site.gateway.site_of(&endpoint);
        Some(Event::TunnelRefused(TunnelRefused { site: of, endpoint, from, reason: reason.into() }))
    });
}

/// Records an event about a refusal, if it is news.
pub(super) fn record(site: &Site, reason: &'static str, event: impl FnOnce(&Site) -> Option<Event<Person>>) {
    if !site.gateway.refusals.is_news(&site.endpoint, reason, Instant::now()) {
        return;
    }
    let Some(event) = event(site) else { return };
    let site = site.clone();
    tokio::spawn(async move {
        if let Err(error) = site.gateway.audit.append(event).await {
            tracing::error!(endpoint = %site.endpoint, %error, "that an endpoint was refused could not be recorded");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_news_once_in_ten_minutes() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let endpoint: EndpointId = "lyon/agent".parse().unwrap();
        assert!(refusals.is_news(&endpoint, "suspended", now));
        assert!(!refusals.is_news(&endpoint, "suspended", now + AGAIN - Duration::from_secs(1)));
        assert!(refusals.is_news(&endpoint, "revoked", now));
        assert!(refusals.is_news(&endpoint, "suspended", now + AGAIN));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_stay() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for n in 0..2 * REMEMBERED {
            let at = now + Duration::from_millis(n as u64);
            assert!(refusals.is_news(&format!("lyon/e{n}").parse().unwrap(), "revoked", at));
        }
        assert_eq!(refusals.recent.lock().unwrap().len(), REMEMBERED);
        let last = format!("lyon/e{}", 2 * REMEMBERED - 1).parse().unwrap();
        assert!(!refusals.is_news(&last, "revoked", now + Duration::from_secs(10)));
    }
}
