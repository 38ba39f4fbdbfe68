//! The Audit stream: the operator collects the journal, has its own acts recorded, and answers who reads the archive.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sallyport_audit::{Event, Person, Scope};
use sallyport_control::wire::audit_from_gateway::Message as Out;
use sallyport_control::wire::audit_from_operator::Message as In;
use sallyport_control::wire::{self, AuditFromGateway, AuditFromOperator};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::audit::collect::{BATCH, Batch, Collected, Collector};
use crate::gateway::Gateway;

/// Batches smaller than this are at least [`COALESCE`] apart, so that a trickle of records is no storm of signatures and
/// objects in an archive.
const SMALL: usize = 256 * 1024;
const COALESCE: Duration = Duration::from_secs(1);

/// What one operator is given, until it or a newer one ends it.
pub(super) struct Collecting {
    gateway: Arc<Gateway>,
    out: mpsc::Sender<Result<AuditFromGateway, Status>>,
    /// Moves into the task that reads the files, and back.
    collector: Option<Collector>,
    /// When the last batch went out, if it was a small one.
    small_at: Option<Instant>,
}

type Collects = Pin<Box<dyn Future<Output = Result<(Collector, Batch, u64), Status>> + Send>>;

impl Collecting {
    pub(super) fn new(gateway: Arc<Gateway>, out: mpsc::Sender<Result<AuditFromGateway, Status>>) -> Self {
        let collector = Some(gateway.audit.collector());
        Self { gateway, out, collector, small_at: None }
    }

    /// Serves the stream; in words why it ended.
    pub(super) async fn run(mut self, messages: Streaming<AuditFromOperator>, superseded: CancellationToken) -> String {
        let served = tokio::select! {
            served = self.converse(messages) => served,
            () = superseded.cancelled() => Err(Status::aborted("another operator collects from this gateway now")),
        };
        match served {
            Ok(()) => "the operator closed the stream".to_owned(),
            Err(status) => {
                let why = status.message().to_owned();
                // Nobody may be there to be told.
                let _ = self.out.try_send(Err(status));
                why
            }
        }
    }

    async fn converse(&mut self, mut messages: Streaming<AuditFromOperator>) -> Result<(), Status> {
        let mut questions = self.gateway.queries.attach();
        let mut collects: Option<(u64, Collects)> = None;
        loop {
            let collected = async {
                match &mut collects {
                    Some((after, collects)) => (*after, collects.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = messages.message() => match message? {
                    Some(AuditFromOperator { message: Some(In::Collect(collect)) }) => {
                        collects = self.collect(collect).await?;
                    }
                    Some(AuditFromOperator { message: Some(message) }) => self.hear(message).await?,
                    Some(AuditFromOperator { message: None }) => {
                        tracing::warn!("an audit message of an unknown kind was ignored");
                    }
                    None => return Ok(()),
                },
                Some(question) = questions.recv() => self.say(question).await?,
                (after, collected) = collected => {
                    collects = None;
                    let (collector, batch, newest) = collected?;
                    self.collector = Some(collector);
                    self.give(after, batch, newest).await?;
                }
            }
        }
    }

    async fn hear(&mut self, message: In) -> Result<(), Status> {
        match message {
            // The stream's loop takes it.
            In::Collect(_) => Ok(()),
            In::Archived(wire::Archived { incarnation, through }) => {
                if incarnation == self.incarnation() {
                    self.gateway.audit.archived(through);
                } else {
                    tracing::info!(incarnation, through, "another incarnation's records are archived");
                }
                Ok(())
            }
            In::Write(write) => {
                let written = self.write(write).await;
                self.say(Out::Written(written)).await
            }
            In::Answer(answer) => {
                self.gateway.queries.answered(answer).await;
                Ok(())
            }
        }
    }

    fn incarnation(&self) -> String {
        self.gateway.audit.incarnation().to_string()
    }

    /// Begins to wait for a batch. One that is asked for while another is under way takes its place: the operator never
    /// has two outstanding.
    async fn collect(&mut self, collect: wire::Collect) -> Result<Option<(u64, Collects)>, Status> {
        if collect.incarnation != self.incarnation() {
            let name = self.incarnation();
            let public_key = self.gateway.audit.public_key().0.to_vec();
            let current = Some(wire::Incarnation { name, public_key });
            let another = wire::AnotherIncarnation { current, earlier: Vec::new() };
            self.say(Out::AnotherIncarnation(another)).await?;
            return Ok(None);
        }
        let collector = self.collector.take().unwrap_or_else(|| self.gateway.audit.collector());
        let not_before = self.small_at.map(|at| at + COALESCE);
        let gateway = Arc::clone(&self.gateway);
        Ok(Some((collect.after, Box::pin(next_batch(gateway, collector, collect.after, not_before)))))
    }

    async fn give(&mut self, after: u64, batch: Batch, newest: u64) -> Result<(), Status> {
        self.small_at = (batch.lines.len() < SMALL).then(Instant::now);
        let Batch { through, lines, checkpoints } = batch;
        tracing::debug!(after, through, newest, bytes = lines.len(), "audit records collected");
        let checkpoints = checkpoints.into_iter().map(|(log, note)| wire::Checkpoint { log, note }).collect();
        let incarnation = self.incarnation();
        self.say(Out::Batch(wire::Batch { incarnation, after, through, lines, checkpoints, newest })).await
    }

    /// Records an act of the operator.
    async fn write(&self, wire::Write { request, site, event }: wire::Write) -> wire::Written {
        let mut written = wire::Written { request, incarnation: self.incarnation(), ..wire::Written::default() };
        let recorded = match operators_event(&site, &event) {
            Ok(event) => self.gateway.audit.append(event).await.map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        match recorded {
            Ok(receipt) => written.sequence = receipt.sequence(),
            Err(why) => {
                tracing::error!(request, reason = why, "an act of the operator was not recorded");
                written.refused = why;
            }
        }
        written
    }

    async fn say(&self, message: Out) -> Result<(), Status> {
        let message = AuditFromGateway { message: Some(message) };
        self.out.send(Ok(message)).await.map_err(|_| Status::cancelled("the stream is closed"))
    }
}

/// Waits until there is a batch behind `after`.
async fn next_batch(
    gateway: Arc<Gateway>,
    mut collector: Collector,
    after: u64,
    not_before: Option<Instant>,
) -> Result<(Collector, Batch, u64), Status> {
    let mut grown = gateway.audit.watch_position();
    let newest = grown.borrow_and_update().newest;
    if after > newest {
        // This volume is an older copy of what the operator has. It must not wait for numbers that come anew.
        tracing::error!(after, newest, "the operator has records that this journal has not: it is an older copy");
        let nothing = Batch { through: newest, lines: Vec::new(), checkpoints: BTreeMap::new() };
        return Ok((collector, nothing, newest));
    }
    let mut marked = false;
    loop {
        let stopping = |_| Status::unavailable("the audit log is sealed or the gateway is stopping");
        let mut position = *grown.wait_for(|position| position.newest > after).await.map_err(stopping)?;
        if let Some(at) = not_before {
            tokio::time::sleep_until(at).await;
            position = *grown.borrow_and_update();
        }
        let read = tokio::task::spawn_blocking(move || {
            let collected = collector.after(after, position, BATCH);
            (collector, collected)
        });
        let (returned, collected) = read.await.map_err(|error| Status::internal(error.to_string()))?;
        collector = returned;
        match collected.map_err(|error| Status::data_loss(error.to_string()))? {
            Collected::Batch(batch) if marked || !is_cut_short(&batch, position.newest) => {
                return Ok((collector, batch, position.newest));
            }
            // The rest is not signed yet. When it cannot be, what is signed is given.
            Collected::Batch(batch) => match gateway.audit.mark().await {
                Ok(()) => marked = true,
                Err(_) => return Ok((collector, batch, position.newest)),
            },
            Collected::Unsigned if marked => {
                return Err(Status::internal("records of more than a batch stand without their checkpoints"));
            }
            Collected::Unsigned => match gateway.audit.mark().await {
                Ok(()) => marked = true,
                Err(error) => {
                    tracing::warn!(%error, "audit records cannot be signed for the operator now");
                    tokio::time::sleep(COALESCE).await;
                }
            },
            Collected::Nothing => tokio::time::sleep(COALESCE).await,
        }
    }
}

/// Whether there is more that would fit into it.
fn is_cut_short(batch: &Batch, newest: u64) -> bool {
    batch.through < newest && batch.lines.len() < SMALL
}

/// An event that an operator may write, for the log that it names.
fn operators_event(site: &str, event: &[u8]) -> Result<Event<Person>, String> {
    let event: Event<Person> = serde_json::from_slice(event).map_err(|error| format!("no event: {error}"))?;
    if !is_operators(&event) {
        return Err(format!("events of the kind {} are not an operator's to write", event.label()));
    }
    let said = match event.scope() {
        Scope::Region => String::new(),
        Scope::Site(site) => site.to_string(),
    };
    if said != site {
        return Err(format!("the event belongs into the log of {said:?}, not of {site:?}"));
    }
    Ok(event)
}

/// Which kinds are an operator's acts. All others are what gateways see themselves: an operator that is taken over can
/// invent no session.
fn is_operators(event: &Event<Person>) -> bool {
    match event {
        Event::AdministratorActed(_)
        | Event::AuditDeleted(_)
        | Event::AuditErased(_)
        | Event::AuditExported(_)
        | Event::AuditRead(_)
        | Event::AuditRefused(_) => true,
        Event::ApprovalAsked(_)
        | Event::ApprovalGiven(_)
        | Event::ApprovalRefused(_)
        | Event::ApprovalTimedOut(_)
        | Event::ApprovalWithdrawn(_)
        | Event::CapacityAlarm(_)
        | Event::CertificateRevoked(_)
        | Event::ClockStepped(_)
        | Event::CloneSeen(_)
        | Event::CodeRefused(_)
        | Event::CodeShown(_)
        | Event::CodeUsed(_)
        | Event::ConfigurationApplied(_)
        | Event::DeviceResumed(_)
        | Event::DeviceSuspended(_)
        | Event::Enrolled(_)
        | Event::EnrolmentRefused(_)
        | Event::GatewayStarted(_)
        | Event::GatewayStopped(_)
        | Event::IncarnationBegan(_)
        | Event::LevelChanged(_)
        | Event::LogDegraded(_)
        | Event::LogRecovered(_)
        | Event::LogSealed(_)
        | Event::LogSetAside(_)
        | Event::MailAccepted(_)
        | Event::MailDelivered(_)
        | Event::MailFailed(_)
        | Event::MailRefused(_)
        | Event::Renewed(_)
        | Event::SessionDenied(_)
        | Event::SessionEnded(_)
        | Event::SessionRequested(_)
        | Event::SessionStarted(_)
        | Event::SessionUnanswered(_)
        | Event::SiteConfigured(_)
        | Event::SiteResumed(_)
        | Event::SiteSuspended(_)
        | Event::TransferEnded(_)
        | Event::TransferRefused(_)
        | Event::TransferStarted(_)
        | Event::TrustApplied(_)
        | Event::TunnelDown(_)
        | Event::TunnelRefused(_)
        | Event::TunnelRenewed(_)
        | Event::TunnelUp(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_writes_its_own_acts_and_nothing_else() {
        let subject = "0".repeat(64);
        let erased = format!(r#"{{"kind":"auditErased","subject":"{subject}","basis":"GDPR 17","keys":2}}"#);
        assert!(operators_event("", erased.as_bytes()).is_ok());
        assert!(operators_event("lyon/hospital", erased.as_bytes()).unwrap_err().contains("belongs into"));
        let started = br#"{"kind":"gatewayStarted","version":"1"}"#;
        assert!(operators_event("", started).unwrap_err().contains("gatewayStarted"));
        assert!(operators_event("", b"{}").unwrap_err().starts_with("no event"));
    }
}
