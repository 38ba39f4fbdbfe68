//! Audit records, the operator's side: collected from gateways, verified, archived; vouched for by the region's key and
//! by witnesses; deleted after their time; erased where the law wants it; delivered and read.
//!
//! ```text
//!  gateway ── Audit stream ─▶ collect: verify (pure) ─▶ store ─▶ archive ◀─ query ◀─ gateway's doors
//!                 ▲                        └─ does not fit ─▶ evidence   │
//!                 └── Write (acts) ◀─ retention, erasure                 ├─ witness ─▶ cosignatures
//!  Secret REGION-audit ─ key ─▶ signs checkpoints, exports               └─ webhook ─▶ the customer
//!                                                 records (what is known) ─▶ status
//! ```
//!
//! Only the leader does any of it; what it goes on from is in the archive and in status, never only in memory.

pub mod archive;
pub(crate) mod collect;
mod erasure;
mod https;
mod key;
pub mod metrics;
mod persons;
mod query;
pub(crate) mod records;
mod retention;
mod round;
mod webhook;
mod witness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sallyport_api::audit::LogHealth;
use sallyport_core::name::RegionId;
use sallyport_plan::audit::facts::{AuditFacts, SiteAuditFacts};
use sallyport_plan::catalogue::ObjectKey;

use archive::Wish;
use records::Records;

pub(crate) use crate::error::chain;

pub use round::run;

/// All that is known of audit records, by region.
#[derive(Debug)]
pub struct Audit {
    wish: Option<Wish>,
    regions: Mutex<BTreeMap<ObjectKey, Arc<Records>>>,
}

impl Audit {
    /// Of nothing yet. Without a wish there is no archive, and nothing is collected.
    pub fn new(wish: Option<Wish>) -> Self {
        Self { wish, regions: Mutex::default() }
    }

    /// What is known of a region's records.
    pub(crate) fn region(&self, key: &ObjectKey, id: &RegionId) -> Arc<Records> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions.entry(key.clone()).or_insert_with(|| Arc::new(Records::new(key.clone(), id.clone()))).clone()
    }

    /// The same, of a region that was heard of.
    pub(crate) fn known(&self, key: &ObjectKey) -> Option<Arc<Records>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// What status shows of a region's records; nothing while nothing is known.
    pub fn facts(&self, region: &ObjectKey, now: Timestamp) -> Option<AuditFacts> {
        self.known(region)?.shown(now)
    }

    /// What status shows of a site's records; nothing while nothing is known.
    pub fn site_facts(&self, region: &ObjectKey, site: &ObjectKey, now: Timestamp) -> Option<SiteAuditFacts> {
        self.known(region)?.site_shown(site, now)
    }

    /// What a gateway reports of its log.
    pub fn reported(
        &self,
        region: &ObjectKey,
        id: &RegionId,
        pod: &str,
        health: Option<LogHealth>,
        volume_used_percent: Option<u8>,
    ) {
        self.region(region, id).update(|facts| {
            let gateway = facts.gateways.entry(pod.to_owned()).or_default();
            gateway.health = health;
            gateway.volume_used_percent = volume_used_percent;
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
