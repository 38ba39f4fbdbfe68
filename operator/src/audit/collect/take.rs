//! One batch: judged, then stored or kept as evidence. Runs in a task of its own, so that a stream that ends in the
//! middle leaves no write behind that nobody waits for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::{Keeper, Scope};
use sallyport_control::wire;
use sallyport_plan::audit::facts::Archive as Reach;
use tokio_util::sync::CancellationToken;

use super::evidence::{self, Specimen};
use super::state::State;
use super::store::{self, StoreError};
use super::verify::{Misfit, verify};
use crate::audit::metrics::AuditMetrics;
use crate::audit::records::{Open, Records};

/// A batch and what it is to go on from.
pub(super) struct Task {
    pub(super) records: Arc<Records>,
    pub(super) open: Open,
    pub(super) metrics: AuditMetrics,
    pub(super) keeper: Keeper,
    pub(super) before: State,
    pub(super) batch: wire::Batch,
    /// Cancelled when nobody waits for it any more.
    pub(super) given_up: CancellationToken,
}

/// What came of a batch.
pub(super) enum Taken {
    /// It is not what is archived. It is stored as evidence.
    Evidence(Misfit),
    /// It is archived.
    Archived(Box<State>),
    /// Nobody waits for it any more, and it is not archived.
    GivenUp,
}

/// Waits while the archive cannot be reached.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Task {
    /// Tries until the archive takes it.
    pub(super) async fn run(self) -> Taken {
        let storing = self.records.storing(&self.keeper.gateway);
        let _only = storing.lock().await;
        let mut wait = FIRST_WAIT;
        loop {
            let result = self.attempt().await;
            match result {
                Ok(taken) => {
                    self.records.reach(Reach::Ready);
                    return taken;
                }
                Err(error) => self.unreachable(&error),
            }
            tokio::select! {
                () = self.given_up.cancelled() => return Taken::GivenUp,
                () = tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(&self) -> Result<Taken, StoreError> {
        let Open { archive, signer } = &self.open;
        let touched: BTreeSet<Scope> = self.batch.checkpoints.iter().filter_map(|c| c.log.parse().ok()).collect();
        let archived = store::heads(archive, &self.keeper, touched).await?;
        let stored = match verify(&self.before, &self.keeper, &self.batch, &archived) {
            Err(misfit) => Err(misfit),
            Ok(verified) => {
                let into = store::Into {
                    archive,
                    signer,
                    persons: &self.records.persons,
                    checkpoints: &self.records.checkpoints,
                };
                match store::store(into, &self.keeper, &self.before, verified).await {
                    Ok(state) => Ok(state),
                    Err(StoreError::Misfit(misfit)) => Err(misfit),
                    Err(error) => return Err(error),
                }
            }
        };
        match stored {
            Ok(state) => {
                self.records.archived(&self.keeper, &state);
                Ok(Taken::Archived(Box::new(state)))
            }
            Err(misfit) => {
                self.keep(&misfit).await?;
                Ok(Taken::Evidence(misfit))
            }
        }
    }

    async fn keep(&self, misfit: &Misfit) -> Result<(), StoreError> {
        let Self { keeper, records, batch, .. } = self;
        tracing::error!(
            region = %records.key, gateway = %keeper.gateway, incarnation = %keeper.incarnation,
            reason = misfit.kind.label(), what = misfit.what, "audit records do not fit what is archived"
        );
        let public_key = self.before.public_key.to_string();
        let specimen = Specimen { keeper, public_key, batch, misfit };
        let evidence = evidence::keep(&self.open.archive, &specimen, Timestamp::now()).await?;
        self.metrics.evidence.with_label_values(&[&records.key.to_string(), misfit.kind.label()]).inc();
        records.found(evidence);
        Ok(())
    }

    fn unreachable(&self, error: &StoreError) {
        let why = crate::audit::chain(error);
        tracing::warn!(region = %self.records.key, gateway = %self.keeper.gateway, reason = why, "not archived; trying again");
        self.metrics.failures.with_label_values(&[&self.records.key.to_string()]).inc();
        self.records.reach(Reach::Unreachable { why });
    }
}
