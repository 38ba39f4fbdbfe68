//! The lease on the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, timeout};

use super::{DEADLINE, DURATION, PERIOD, Seen, Step, decide, look, may_go_on};
use crate::error::{code, found};

/// A request that takes longer than this has failed: several fit into the deadline.
const PATIENCE: Duration = Duration::from_secs(3);

/// A candidate for a lease.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    me: String,
    began: Instant,
    seen: Option<Seen>,
    lease: Option<Lease>,
}

/// This process leads, for as long as [`Leading::hold`] runs.
pub struct Leading {
    elector: Elector,
    renewed_at: Duration,
    fence: Fence,
}

/// Whether this process leads at this moment. A process that was stopped and goes on finds its lease over before anybody
/// has told it so; what must not be written twice is asked here just before it is written. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Fence {
    began: Instant,
    renewed_at: Arc<AtomicU64>,
}

impl Fence {
    fn new(began: Instant, renewed_at: Duration) -> Self {
        let fence = Self { began, renewed_at: Arc::default() };
        fence.renew(renewed_at);
        fence
    }

    /// Of a process that has just renewed.
    #[cfg(test)]
    pub(crate) fn leading() -> Self {
        Self::new(Instant::now(), Duration::ZERO)
    }

    /// Whether this process may write.
    pub fn holds(&self) -> bool {
        may_go_on(Duration::from_millis(self.renewed_at.load(Ordering::SeqCst)), self.began.elapsed())
    }

    fn renew(&self, at: Duration) {
        self.renewed_at.store(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Elector {
    /// `me` must be another name in every process, so it is the pod's with something random.
    pub fn new(api: Api<Lease>, name: &str, me: &str) -> Self {
        let me = format!("{me}_{:08x}", rand::random::<u32>());
        Self { api, name: name.to_owned(), me, began: Instant::now(), seen: None, lease: None }
    }

    /// Waits until this process leads. Errors are waited out: there is nothing else to do.
    pub async fn lead(mut self) -> Leading {
        loop {
            match self.step().await {
                Ok(Some(renewed_at)) => {
                    tracing::info!(lease = self.name, holder = self.me, "leading");
                    let fence = Fence::new(self.began, renewed_at);
                    return Leading { elector: self, renewed_at, fence };
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(lease = self.name, reason = %error, "lease"),
            }
            tokio::time::sleep(PERIOD.mul_f64(1.0 + 0.2 * rand::random::<f64>())).await;
        }
    }

    /// Looks, decides, writes. When the write was begun, if it succeeded: time spent waiting for the answer counts
    /// against the writer.
    async fn step(&mut self) -> Result<Option<Duration>, LeaseError> {
        let lease = timeout(PATIENCE, self.api.get(&self.name)).await.map_err(|_| LeaseError::Slow)?;
        self.note(found(lease)?);
        let now = self.began.elapsed();
        let step = decide(&self.me, self.seen.as_ref(), now);
        if step == Step::Wait {
            return Ok(None);
        }
        let wanted = self.written(step);
        let written = match step {
            Step::Create => timeout(PATIENCE, self.api.create(&PostParams::default(), &wanted)).await,
            _ => timeout(PATIENCE, self.api.replace(&self.name, &PostParams::default(), &wanted)).await,
        };
        match written.map_err(|_| LeaseError::Slow)? {
            Ok(lease) => {
                self.note(Some(lease));
                Ok(Some(now))
            }
            Err(error) if code(&error) == Some(409) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&mut self, lease: Option<Lease>) {
        let now = self.began.elapsed();
        self.seen = lease.as_ref().map(|lease| {
            let spec = lease.spec.clone().unwrap_or_default();
            let duration = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
            let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
            let holder = spec.holder_identity.as_deref().unwrap_or_default();
            // A holder cannot ask for less patience than we have: it may be an older program with other settings.
            look(self.seen.take(), holder, version, duration.unwrap_or(DURATION).max(DURATION), now)
        });
        self.lease = lease;
    }

    fn written(&self, step: Step) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if step != Step::Renew {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(-1).saturating_add(1));
        }
        spec.holder_identity = Some(self.me.clone());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        lease
    }
}

impl Leading {
    /// Asks, from anywhere, whether this process leads.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Renews until it fails; this process must then end at once. Safe to drop.
    pub async fn hold(&mut self) -> LeaseError {
        loop {
            tokio::time::sleep(PERIOD).await;
            let left = (self.renewed_at + DEADLINE).saturating_sub(self.elector.began.elapsed());
            match timeout(left, self.elector.step()).await {
                Ok(Ok(Some(renewed_at))) => {
                    self.renewed_at = renewed_at;
                    self.fence.renew(renewed_at);
                }
                Ok(Ok(None)) if self.elector.is_taken() => return LeaseError::Taken,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(lease = self.elector.name, reason = %error, "lease is not renewed"),
                Err(_) => {}
            }
            if !may_go_on(self.renewed_at, self.elector.began.elapsed()) {
                return LeaseError::Deadline;
            }
        }
    }

    /// Gives the lease back, so that the other replica need not wait. Everything else must have ended before.
    pub async fn release(mut self) {
        let mut lease = self.elector.written(Step::Renew);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let parameters = PostParams::default();
        let replaced = self.elector.api.replace(&self.elector.name, &parameters, &lease);
        match timeout(PATIENCE, replaced).await {
            Ok(Ok(_)) => tracing::info!(lease = self.elector.name, "released"),
            Ok(Err(error)) => tracing::warn!(lease = self.elector.name, reason = %error, "lease is not released"),
            Err(_) => tracing::warn!(lease = self.elector.name, "lease is not released in time"),
        }
        self.elector.lease = None;
    }
}

impl Elector {
    fn is_taken(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.holder != self.me && !seen.holder.is_empty())
    }
}

/// Why the lease is not held.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused.
    #[error("the API server refused the lease")]
    Api(#[from] kube::Error),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed within {DEADLINE:?}")]
    Deadline,
    /// The API server did not answer.
    #[error("the API server did not answer within {PATIENCE:?}")]
    Slow,
    /// Somebody else holds it.
    #[error("another replica took the lease")]
    Taken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_finds_its_lease_over() {
        let fence = Fence::new(Instant::now(), Duration::ZERO);
        let shared = fence.clone();
        tokio::time::advance(DEADLINE - Duration::from_secs(1)).await;
        assert!(shared.holds());
        fence.renew(Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(shared.holds());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!shared.holds() && !fence.holds());
    }
}
