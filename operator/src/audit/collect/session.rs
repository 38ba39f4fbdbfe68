//! One Audit stream: which incarnations there are, one batch after the other, acts to record, questions to answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_audit::{Incarnation, Keeper, PublicKey, Scope};
use sallyport_control::wire;
use sallyport_core::name::Name;
use sallyport_plan::audit::facts::{Archive as Reach, EvidenceKind, GatewayAudit};
use sallyport_plan::audit::is_accepted;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use wire::audit_from_gateway::Message as Said;
use wire::audit_from_operator::Message as Tell;
use wire::control_client::ControlClient;

use super::evidence::{self, Specimen};
use super::state::State;
use super::store;
use super::take::{Taken, Task};
use super::verify::{Misfit, shown};
use crate::audit::query::Answers;
use crate::audit::records::{Open, Records, WriteError, Written};
use crate::context::Shared;

mod acts;

/// Until the gateway answers the call.
const GREETING: Duration = Duration::from_secs(10);
/// Messages that are handed to gRPC ahead of their turn: chunks of answers to a few readers.
const OUTBOUND: usize = 4;
/// A gateway that takes no message for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// A batch has at most 1 MiB of lines, which touch at most some thousand logs with a checkpoint of 400 bytes each.
const LARGEST: usize = 8 * 1024 * 1024;
/// Records are let gather for so long: each batch costs some synced writes for each log that it touches.
const PACE: Duration = Duration::from_secs(1);
/// An earlier incarnation gets no new records: one that has nothing to give does not answer.
const EARLIER: Duration = Duration::from_secs(10);
/// How often it is asked whether a person has looked into what did not fit, and how often it is tried again then.
const LOOK: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(60);

/// Collects from one gateway.
pub(super) struct Collector {
    pub(super) ctx: Shared,
    pub(super) records: Arc<Records>,
    pub(super) open: Open,
    pub(super) pod: Name,
}

impl Collector {
    /// Until the stream ends.
    pub(super) async fn hold(self, channel: Channel) -> EndError {
        let (outbound, messages) = mpsc::channel(OUTBOUND);
        match Session::new(self, outbound).run(channel, messages).await {
            Ok(()) => EndError::new("the gateway ended the stream"),
            Err(error) => error,
        }
    }
}

/// What is collected now.
struct Collecting {
    keeper: Keeper,
    state: State,
    is_current: bool,
}

/// What the session waits for.
enum Step {
    /// Which incarnations there are.
    Asking,
    /// The answer to a `Collect`, until then.
    Batch { patience: Option<Instant> },
    /// Its batch being archived.
    Archiving { task: JoinHandle<Taken>, through: u64, newest: u64, bytes: usize, _given_up: DropGuard },
    /// Records to gather.
    Pace { until: Instant },
    /// A person to look into what did not fit.
    Person { look: Instant, tried: Option<Instant> },
}

struct Session {
    of: Collector,
    outbound: mpsc::Sender<wire::AuditFromOperator>,
    queue: VecDeque<(Keeper, PublicKey, bool)>,
    collecting: Option<Collecting>,
    step: Step,
    acts: BTreeMap<u64, oneshot::Sender<Result<Written, WriteError>>>,
    next_act: u64,
    errands: JoinSet<()>,
    answers: Answers,
}

impl Session {
    fn new(of: Collector, outbound: mpsc::Sender<wire::AuditFromOperator>) -> Self {
        let answers = Answers::new(&of.ctx, &of.records, &of.open, outbound.clone());
        Self {
            of,
            outbound,
            queue: VecDeque::new(),
            collecting: None,
            step: Step::Asking,
            acts: BTreeMap::new(),
            next_act: 1,
            errands: JoinSet::new(),
            answers,
        }
    }

    async fn run(
        mut self,
        channel: Channel,
        messages: mpsc::Receiver<wire::AuditFromOperator>,
    ) -> Result<(), EndError> {
        // Whom a gateway gives its records to is who called last.
        if !self.of.ctx.fence.holds() {
            return Err(EndError::new("this operator does not lead any more"));
        }
        self.tell(Tell::Collect(wire::Collect { incarnation: String::new(), after: 0 })).await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(LARGEST);
        let call = client.audit(ReceiverStream::new(messages));
        let silent = |_| EndError::new("the gateway did not answer");
        let mut inbound = tokio::time::timeout(GREETING, call).await.map_err(silent)??.into_inner();
        let mut acts = self.of.records.takes_writes(&self.of.pod);
        loop {
            let wake = self.wakes_at();
            tokio::select! {
                said = inbound.message() => match said? {
                    Some(said) => self.said(said).await?,
                    None => return Ok(()),
                },
                Some(act) = acts.recv() => self.act(act).await?,
                taken = archived(&mut self.step) => self.took(taken?).await?,
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.woke().await?;
                }
                Some(_) = self.errands.join_next(), if !self.errands.is_empty() => {}
            }
        }
    }

    fn wakes_at(&self) -> Option<Instant> {
        match self.step {
            Step::Asking | Step::Archiving { .. } => None,
            Step::Batch { patience } => patience,
            Step::Pace { until } => Some(until),
            Step::Person { look, .. } => Some(look),
        }
    }

    async fn said(&mut self, said: wire::AuditFromGateway) -> Result<(), EndError> {
        match said.message {
            Some(Said::AnotherIncarnation(another)) => self.incarnations(another).await,
            Some(Said::Batch(batch)) => self.batch(batch).await,
            Some(Said::Written(written)) => {
                self.written(written);
                Ok(())
            }
            Some(Said::Query(query)) => {
                self.answers.begin(query);
                Ok(())
            }
            Some(Said::Withdrawn(withdrawn)) => {
                self.answers.withdraw(withdrawn.request);
                Ok(())
            }
            // A newer gateway may say more than we understand.
            None => Ok(()),
        }
    }

    /// The gateway says whose logs it has.
    async fn incarnations(&mut self, another: wire::AnotherIncarnation) -> Result<(), EndError> {
        let current = another.current.ok_or_else(|| EndError::new("the gateway names no incarnation"))?;
        let (current, current_key) = self.keeper(&current)?;
        self.queue.clear();
        for earlier in &another.earlier {
            let (keeper, key) = self.keeper(earlier)?;
            self.queue.push_back((keeper, key, false));
        }
        self.queue.push_back((current.clone(), current_key, true));
        let present: Vec<_> = self.queue.iter().map(|(keeper, ..)| keeper.clone()).collect();
        self.end_others(&present, &current).await?;
        self.next().await
    }

    fn keeper(&self, incarnation: &wire::Incarnation) -> Result<(Keeper, PublicKey), EndError> {
        let wrong = || EndError::new(format!("the gateway's incarnation {:?} is none", shown(&incarnation.name)));
        let key = PublicKey(incarnation.public_key.as_slice().try_into().map_err(|_| wrong())?);
        let name = Incarnation::of(&key);
        if name.to_string() != incarnation.name {
            return Err(wrong());
        }
        let keeper = Keeper { region: self.of.records.id.clone(), gateway: self.of.pod.clone(), incarnation: name };
        Ok((keeper, key))
    }

    /// Begins with the next incarnation.
    async fn next(&mut self) -> Result<(), EndError> {
        let Some((keeper, key, is_current)) = self.queue.pop_front() else { return Ok(()) };
        let mut state = {
            // Who stored the last batch on an earlier stream finishes first.
            let storing = self.of.records.storing(&self.of.pod);
            let _only = storing.lock().await;
            let state = self.load(&keeper, key).await?;
            self.reached(store::clean(&self.of.open.archive, &keeper, &state).await)?;
            state
        };
        self.of.records.archived(&keeper, &state);
        let strange = if state.public_key != key {
            let what = "its name is that of an archived incarnation, and its key is not";
            Some(Misfit::new(EvidenceKind::BadSignature, what))
        } else {
            let ended = state.ended.as_ref().filter(|_| is_current);
            ended.map(|ended| {
                let what = format!("it ended and {} followed it, and now it is back: an older copy", ended.followed_by);
                Misfit::new(EvidenceKind::RolledBack, what)
            })
        };
        let accepted = self.is_accepted(&keeper);
        if accepted {
            state.ended = None;
        }
        if is_current {
            self.note(&keeper, &state, None);
        }
        let suspect = self.of.records.is_suspect(&keeper) || strange.is_some();
        self.collecting = Some(Collecting { keeper, state, is_current });
        if let Some(misfit) = strange.filter(|_| !accepted) {
            self.keep(&misfit).await?;
            return self.refuse(&misfit).await;
        }
        if suspect && !accepted {
            self.step = Step::Person { look: Instant::now() + LOOK, tried: None };
            return if is_current { Ok(()) } else { Box::pin(self.next()).await };
        }
        self.say_archived().await?;
        self.collect().await
    }

    async fn load(&self, keeper: &Keeper, key: PublicKey) -> Result<State, EndError> {
        let loaded = self.reached(State::load(&self.of.open.archive, keeper).await)?;
        Ok(loaded.unwrap_or_else(|| State::new(key)))
    }

    /// Whether somebody looked into what did not fit.
    fn is_accepted(&self, keeper: &Keeper) -> bool {
        let region = self.of.ctx.world.regions.get(&self.of.records.key);
        region.is_some_and(|region| is_accepted(&region, keeper.gateway.as_str(), &keeper.incarnation.to_string()))
    }

    /// Asks for the next batch.
    async fn collect(&mut self) -> Result<(), EndError> {
        let Some(Collecting { keeper, state, is_current }) = &self.collecting else { return Ok(()) };
        let collect = wire::Collect { incarnation: keeper.incarnation.to_string(), after: state.through() };
        self.step = Step::Batch { patience: (!is_current).then(|| Instant::now() + EARLIER) };
        self.tell(Tell::Collect(collect)).await
    }

    async fn say_archived(&mut self) -> Result<(), EndError> {
        let Some(Collecting { keeper, state, .. }) = &self.collecting else { return Ok(()) };
        if state.through() == 0 {
            return Ok(());
        }
        let archived = wire::Archived { incarnation: keeper.incarnation.to_string(), through: state.through() };
        self.tell(Tell::Archived(archived)).await
    }

    /// A batch came: it is archived in a task, so that questions are answered meanwhile.
    async fn batch(&mut self, batch: wire::Batch) -> Result<(), EndError> {
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
    async fn took(&mut self, taken: Taken) -> Result<(), EndError> {
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

    /// A time has come.
    async fn woke(&mut self) -> Result<(), EndError> {
        match self.step {
            Step::Asking | Step::Archiving { .. } => Ok(()),
            // An earlier incarnation that has nothing left.
            Step::Batch { .. } => self.next().await,
            Step::Pace { .. } => self.collect().await,
            Step::Person { tried, .. } => {
                let Some(now) = &self.collecting else { return Ok(()) };
                let again = tried.is_none_or(|tried| tried.elapsed() >= AGAIN);
                if again && self.is_accepted(&now.keeper) {
                    self.accepted();
                    return self.collect().await;
                }
                self.step = Step::Person { look: Instant::now() + LOOK, tried };
                Ok(())
            }
        }
    }

    /// Nothing more of this incarnation until a person has looked into it; the current one goes on behind an earlier one.
    async fn refuse(&mut self, misfit: &Misfit) -> Result<(), EndError> {
        let Some(now) = &self.collecting else { return Ok(()) };
        let (is_current, keeper) = (now.is_current, now.keeper.clone());
        self.say_refused(&keeper, misfit);
        self.step = Step::Person { look: Instant::now() + LOOK, tried: Some(Instant::now()) };
        if is_current { Ok(()) } else { Box::pin(self.next()).await }
    }

    /// Evidence that came in no batch.
    async fn keep(&mut self, misfit: &Misfit) -> Result<(), EndError> {
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
    fn note(&self, keeper: &Keeper, state: &State, newest: Option<u64>) {
        let through = state.through();
        let behind = self.of.records.update(|facts| {
            let known = facts.gateways.entry(self.of.pod.to_string()).or_default();
            let same = known.incarnation == keeper.incarnation.to_string();
            let newest = newest.unwrap_or(if same { known.newest } else { 0 }).max(through);
            let behind_since = (newest > through).then(|| known.behind_since.unwrap_or_else(Timestamp::now));
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

    /// What the archive said is known to status too.
    fn reached<T, E: std::error::Error + 'static>(&self, result: Result<T, E>) -> Result<T, EndError> {
        match result {
            Ok(value) => {
                self.of.records.reach(Reach::Ready);
                Ok(value)
            }
            Err(error) => {
                let why = crate::audit::chain(&error);
                self.of.records.reach(Reach::Unreachable { why: why.clone() });
                Err(EndError { reason: why })
            }
        }
    }

    async fn tell(&self, message: Tell) -> Result<(), EndError> {
        let message = wire::AuditFromOperator { message: Some(message) };
        let sent = tokio::time::timeout(STUCK, self.outbound.send(message)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(EndError::new("the gateway closed the stream")),
            Err(_) => Err(EndError::new("the gateway reads nothing")),
        }
    }
}

/// What came of the batch that is being archived; never, while none is.
async fn archived(step: &mut Step) -> Result<Taken, EndError> {
    match step {
        Step::Archiving { task, .. } => task.await.map_err(|error| EndError::new(error.to_string())),
        _ => std::future::pending().await,
    }
}

/// The scope as a `Write` names it.
fn site_of(scope: &Scope) -> String {
    match scope {
        Scope::Region => String::new(),
        Scope::Site(site) => site.to_string(),
    }
}

/// Why a stream ended.
#[derive(Debug)]
pub(super) struct EndError {
    /// For the log.
    pub(super) reason: String,
}

impl EndError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<tonic::Status> for EndError {
    fn from(status: tonic::Status) -> Self {
        Self::new(format!("stream: {status}"))
    }
}
