//! Batches: handed to a task that archives them, and what comes of that.

use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::Keeper;
use sallyport_control::wire;
use sallyport_plan::audit::facts::GatewayAudit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Collecting, EndError, LOOK, Misfit, PACE, Session, Specimen, State, Step, Taken, Task, evidence};

impl Session {
    /// A batch came: it is archived in a task, so that questions are answered meanwhile.
    pub(super) async fn batch(&mut self, batch: wire::Batch) -> Result<(), EndError> {
        let (Some(now), Step::Batch { .. }) = (&self.collecting, &self.step) else {
            tracing::debug!(gateway = %self.of.pod, "a batch came that nobody waits for");
            return Ok(());
        };
        self.note(&now.keeper, &now.state, Some(batch.newest).filter(|_| now.is_current));
        let given_up = CancellationToken::new();
        let (through, newest, bytes) = (batch.through, batch.newest, batch.lines.len());
        let task = Task {
            records: self.of.records.clone(),
            open: self.of.open.clone(),
            metrics: self.of.ctx.metrics.audit.clone(),
            keeper: now.keeper.clone(),
            before: now.state.clone(),
            batch,
            given_up: given_up.clone(),
        };
        let task = tokio::spawn(task.run());
        self.step = Step::Archiving { task, through, newest, bytes, _given_up: given_up.drop_guard() };
        Ok(())
    }

    /// The batch is archived, or it is evidence.
    pub(super) async fn took(&mut self, taken: Taken) -> Result<(), EndError> {
        let Step::Archiving { through, newest, bytes, .. } = std::mem::replace(&mut self.step, Step::Asking) else {
            return Ok(());
        };
        let Some(now) = &mut self.collecting else { return Ok(()) };
        match taken {
            Taken::GivenUp => Err(EndError::new("the batch was given up")),
            Taken::Evidence(misfit) => self.refuse(&misfit).await,
            Taken::Archived(state) => {
                let region = self.of.records.key.to_string();
                let metrics = &self.of.ctx.metrics.audit;
                let new = state.through().saturating_sub(now.state.through());
                metrics.archived.with_label_values(&[&region]).inc_by(new);
                metrics.bytes.with_label_values(&[&region]).inc_by(bytes as u64);
                now.state = *state;
                self.asked = 0;
                let (keeper, state, is_current) = (now.keeper.clone(), now.state.clone(), now.is_current);
                tracing::debug!(
                    region, gateway = %keeper.gateway, incarnation = %keeper.incarnation, through, newest,
                    logs = state.replaced.len(), "archived"
                );
                if is_current {
                    self.note(&keeper, &state, Some(newest));
                }
                self.say_archived().await?;
                let rest = newest > through;
                if !rest && !is_current {
                    return self.next().await;
                }
                self.step = Step::Pace { until: Instant::now() + if rest { Duration::ZERO } else { PACE } };
                Ok(())
            }
        }
    }

    /// Nothing more of this incarnation until a person has looked into it; the current one goes on behind an earlier one.
    pub(super) async fn refuse(&mut self, misfit: &Misfit) -> Result<(), EndError> {
        let Some(now) = &self.collecting else { return Ok(()) };
        let (is_current, keeper) = (now.is_current, now.keeper.clone());
        self.say_refused(&keeper, misfit);
        self.step = Step::Person { look: Instant::now() + LOOK, tried: Some(Instant::now()) };
        if is_current { Ok(()) } else { Box::pin(self.next()).await }
    }

    /// Evidence that came in no batch.
    pub(super) async fn keep(&mut self, misfit: &Misfit) -> Result<(), EndError> {
        let Some(Collecting { keeper, state, .. }) = &self.collecting else { return Ok(()) };
        tracing::error!(
            region = %self.of.records.key, gateway = %keeper.gateway, incarnation = %keeper.incarnation,
            reason = misfit.kind.label(), what = misfit.what, "audit records do not fit what is archived"
        );
        let batch = wire::Batch { incarnation: keeper.incarnation.to_string(), ..wire::Batch::default() };
        let public_key = state.public_key.to_string();
        let specimen = Specimen { keeper, public_key, batch: &batch, misfit };
        let kept = self.reached(evidence::keep(&self.of.open.archive, &specimen, Timestamp::now()).await)?;
        let labels = [&*self.of.records.key.to_string(), misfit.kind.label()];
        self.of.ctx.metrics.audit.evidence.with_label_values(&labels).inc();
        self.of.records.found(kept);
        Ok(())
    }

    /// Notes how far the gateway's log is archived.
    pub(super) fn note(&self, keeper: &Keeper, state: &State, newest: Option<u64>) {
        let (through, heard) = (state.through(), newest.is_some());
        let behind = self.of.records.update(|facts| {
            let known = facts.gateways.entry(self.of.pod.to_string()).or_default();
            let same = known.incarnation == keeper.incarnation.to_string();
            let newest = newest.unwrap_or(if same { known.newest } else { 0 }).max(through);
            // Nothing that was heard of waits: that clears it only where the gateway has just said so.
            let waits = newest > through || (!heard && known.behind_since.is_some());
            let behind_since = waits.then(|| known.behind_since.unwrap_or_else(Timestamp::now));
            *known = GatewayAudit {
                incarnation: keeper.incarnation.to_string(),
                archived_through: through,
                archived_at: state.archived_at,
                newest,
                behind_since,
                health: known.health,
                volume_used_percent: known.volume_used_percent,
            };
            newest - through
        });
        let labels = [&*self.of.records.key.to_string(), self.of.pod.as_str()];
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        self.of.ctx.metrics.audit.behind.with_label_values(&labels).set(behind);
    }

    /// The gateway was asked and has nothing: all that it has is archived, as far as was heard.
    pub(super) fn quiet(&mut self) {
        self.step = Step::Batch { patience: None };
        self.of.records.update(|facts| {
            if let Some(known) = facts.gateways.get_mut(self.of.pod.as_str())
                && known.newest <= known.archived_through
            {
                known.behind_since = None;
            }
        });
    }
}
