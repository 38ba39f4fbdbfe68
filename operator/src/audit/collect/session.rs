//! One Audit stream: which incarnations there are, one batch after the other, acts to record, questions to answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sallyport_audit::{Keeper, PublicKey, Scope};
use sallyport_control::wire;
use sallyport_core::name::Name;
use sallyport_plan::audit::facts::Archive as Reach;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::DropGuard;
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
mod batches;
mod incarnations;

/// Until the gateway answers the call, and says which incarnations it has.
const GREETING: Duration = Duration::from_secs(10);
/// Messages that are handed to gRPC ahead of their turn: chunks of answers to a few readers.
const OUTBOUND: usize = 4;
/// A gateway that takes no message for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// A batch has at most 1 MiB of lines, which touch at most some thousand logs with a checkpoint of 400 bytes each.
const LARGEST: usize = 8 * 1024 * 1024;
/// Records are let gather for so long: each batch costs some synced writes for each log that it touches.
const PACE: Duration = Duration::from_secs(1);
/// A gateway that has something answers sooner. An earlier incarnation gets no new records, so it is done then.
const QUIET: Duration = Duration::from_secs(10);
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
    /// How often it said which, since the last batch.
    asked: u32,
    /// Until when the gateway must have said which incarnations it has.
    greeting: Instant,
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
            asked: 0,
            greeting: Instant::now() + GREETING,
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
            Step::Asking => Some(self.greeting),
            Step::Archiving { .. } => None,
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

    /// Asks for the next batch.
    async fn collect(&mut self) -> Result<(), EndError> {
        let Some(Collecting { keeper, state, .. }) = &self.collecting else { return Ok(()) };
        let collect = wire::Collect { incarnation: keeper.incarnation.to_string(), after: state.through() };
        self.step = Step::Batch { patience: Some(Instant::now() + QUIET) };
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

    /// A time has come.
    async fn woke(&mut self) -> Result<(), EndError> {
        match self.step {
            Step::Asking => Err(EndError::new("the gateway does not say which incarnations it has")),
            Step::Archiving { .. } => Ok(()),
            Step::Batch { .. } if self.collecting.as_ref().is_some_and(|now| now.is_current) => {
                self.quiet();
                Ok(())
            }
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
