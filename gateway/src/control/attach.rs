//! One attached operator: updates in, Ack or Nack out; certificates asked for and received; reports.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use sallyport_audit::event::{ConfigurationApplied, TrustApplied};
use sallyport_audit::{Event, Person};
use sallyport_control::update::Collector;
use sallyport_control::wire::control_server::Control as ControlService;
use sallyport_control::wire::from_gateway::Message as Out;
use sallyport_control::wire::from_operator::Message as In;
use sallyport_control::wire::{self, FromGateway, FromOperator};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::audit::Collecting;
use super::certificates::{Certificates, Told};
use super::report;
use crate::audit::{self, Health};
use crate::gateway::Gateway;
use crate::store::InForce;
use crate::trust::{Trust, TrustError};

/// The control service; cheap to clone.
#[derive(Clone)]
pub struct Control {
    gateway: Arc<Gateway>,
    certificates: Arc<Certificates>,
    /// Cancelled when a newer operator attaches: one is in charge at a time.
    attached: Newest,
    /// The same for who collects the audit records.
    collects: Newest,
}

/// Cancels whoever had its place before.
#[derive(Clone, Default)]
struct Newest(Arc<std::sync::Mutex<CancellationToken>>);

impl Newest {
    fn supersede(&self) -> CancellationToken {
        let mine = CancellationToken::new();
        let mut newest = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut *newest, mine.clone()).cancel();
        mine
    }
}

/// Records of one configuration that wait for a sync together: a region of thousands of sites needs a few syncs, and the
/// queue has room for everybody else.
const RECORDED_AT_ONCE: usize = 256;

/// Reports are coalesced over this time.
const COALESCE: Duration = Duration::from_millis(300);

impl Control {
    /// The service of this gateway.
    pub fn new(gateway: Arc<Gateway>, certificates: Arc<Certificates>) -> Self {
        Self { gateway, certificates, attached: Newest::default(), collects: Newest::default() }
    }

    /// The process.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }
}

#[tonic::async_trait]
impl ControlService for Control {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<FromGateway, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<FromOperator>>) -> Result<Response<Self::AttachStream>, Status> {
        let superseded = self.attached.supersede();
        self.gateway.metrics.control_streams.inc();
        tracing::info!("operator attached");
        let (out, answers) = mpsc::channel(32);
        let attached =
            Attached { control: self.clone(), superseded: superseded.clone(), out, collector: Collector::default() };
        let updates = request.into_inner();
        tokio::spawn(async move {
            tokio::select! {
                why = attached.run(updates) => tracing::info!(reason = %why, "operator detached"),
                () = superseded.cancelled() => tracing::info!(reason = "superseded", "operator detached"),
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    type AuditStream = Pin<Box<dyn Stream<Item = Result<wire::AuditFromGateway, Status>> + Send>>;

    async fn audit(
        &self,
        request: Request<Streaming<wire::AuditFromOperator>>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let superseded = self.collects.supersede();
        tracing::info!("operator collects the audit records");
        // A batch under way and one that waits: two MiB.
        let (out, answers) = mpsc::channel(2);
        let collecting = Collecting::new(Arc::clone(&self.gateway), out);
        let messages = request.into_inner();
        tokio::spawn(async move {
            let why = collecting.run(messages, superseded).await;
            tracing::info!(reason = why, "operator collects no more");
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

struct Attached {
    control: Control,
    /// Cancelled when a newer operator is in charge: what this one sent must not take effect after that.
    superseded: CancellationToken,
    out: mpsc::Sender<Result<FromGateway, Status>>,
    collector: Collector,
}

impl Attached {
    async fn run(mut self, mut updates: Streaming<FromOperator>) -> String {
        match self.converse(&mut updates).await {
            Ok(()) => "the operator closed the stream".to_owned(),
            Err(why) => why,
        }
    }

    async fn converse(&mut self, updates: &mut Streaming<FromOperator>) -> Result<(), String> {
        let gateway = Arc::clone(&self.control.gateway);
        self.say(hello(&gateway)).await?;
        self.control.certificates.forget_asked(None);
        self.ask_for_certificates().await?;
        let mut tunnels = gateway.tunnels.watch();
        let mut sessions = gateway.sessions.count();
        let mut certificates = self.control.certificates.watch();
        let mut enrolments = gateway.enrolments.attach();
        let mut log = Log { health: gateway.audit.watch_health(), volume: gateway.audit.watch_volume() };
        // When the next report is due; set by the first change after the last one, so that a storm is one report.
        let mut report_at = Some(Instant::now());
        loop {
            let due = async {
                match report_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = updates.message() => match message.map_err(|status| status.to_string())? {
                    Some(FromOperator { message: Some(message) }) => self.hear(message).await?,
                    Some(FromOperator { message: None }) => tracing::warn!("a message of an unknown kind was ignored"),
                    None => return Ok(()),
                },
                changed = changed(&mut tunnels, &mut sessions, &mut certificates, &mut log) => {
                    changed?;
                    report_at = report_at.or_else(|| Some(Instant::now() + COALESCE));
                }
                () = due => {
                    report_at = None;
                    self.say(Out::Report(report::of(&gateway, &self.control.certificates))).await?;
                }
                Some(enrol) = enrolments.recv() => self.say(Out::Enrol(enrol)).await?,
                () = tokio::time::sleep(self.control.certificates.next_look()) => self.ask_for_certificates().await?,
            }
        }
    }

    async fn hear(&mut self, message: In) -> Result<(), String> {
        match message {
            In::Update(part) => self.update(part).await,
            In::Certificate(signed) => {
                if let Err(error) = self.control.certificates.receive(&signed) {
                    tracing::error!(%error, "the certificate from the operator is unusable");
                }
                Ok(())
            }
            In::RefusedCertificate(refused) => {
                tracing::error!(
                    purpose = refused.purpose,
                    reason = refused.reason,
                    "the operator refused a certificate"
                );
                // Asked for again at the next look.
                self.control.certificates.forget_asked(Some(refused.purpose()));
                Ok(())
            }
            In::Enrolled(enrolled) => {
                self.control.gateway.enrolments.answered(enrolled);
                Ok(())
            }
            In::Trust(trust) => self.trust(trust).await,
        }
    }

    /// Refused as a whole, or in force: stored, everything else cut, and only then acknowledged.
    async fn update(&mut self, part: wire::Update) -> Result<(), String> {
        let gateway = Arc::clone(&self.control.gateway);
        let generation = part.generation;
        let current = gateway.store.current();
        let (generation, config) = match self.collector.take(part, &current.config) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(()),
            Err(error) => {
                gateway.metrics.nacks.inc();
                tracing::error!(generation, %error, "configuration refused");
                return self.say(Out::Nack(wire::Nack { generation, reason: error.to_string() })).await;
            }
        };
        let next = InForce { generation, config: Arc::new(config) };
        // What the gateway has already is neither written nor recorded again; that it counts is news after a start, and
        // whether all of it was cut is not known of a stream that was superseded meanwhile.
        let another = next != current;
        if another && let Err(error) = gateway.store.put(next.clone(), &self.superseded).await {
            gateway.metrics.nacks.inc();
            tracing::error!(generation, %error, "configuration could not be stored");
            return self.say(Out::Nack(wire::Nack { generation, reason: error.to_string() })).await;
        }
        // The doors first: nobody comes in by what was, while what is there is cut.
        self.control.certificates.told(Told::Configuration);
        self.control.certificates.refresh();
        gateway.enforce(&next).await;
        if another {
            record(&gateway, &current, &next).await;
        }
        tracing::info!(generation, "configuration in force");
        self.say(Out::Ack(wire::Ack { generation, digest: next.digest() })).await?;
        self.ask_for_certificates().await
    }

    /// Refused as a whole, or in force: stored, every door changed, everything else cut, and only then acknowledged.
    async fn trust(&mut self, message: wire::Trust) -> Result<(), String> {
        let gateway = Arc::clone(&self.control.gateway);
        let digest = message.digest.clone();
        let before = gateway.trust.current();
        let trust = match put_trust(&gateway, message, &self.superseded).await {
            Ok(trust) => trust,
            Err(error) => {
                gateway.metrics.trust_refused.inc();
                let reason = error.to_string();
                tracing::error!(digest, reason, "trust refused; the one before stays in force");
                return self.say(Out::TrustNack(wire::TrustNack { digest, reason })).await;
            }
        };
        // The doors first: nobody comes in by what was, while what is there is cut.
        self.control.certificates.told(Told::Trust);
        self.control.certificates.trust_changed(before.as_deref(), &trust);
        gateway.enforce_trust(&trust).await;
        if before.is_none_or(|before| before.digest() != digest) {
            record_trust(&gateway, &trust).await;
        }
        self.say(Out::TrustAck(wire::TrustAck { digest })).await?;
        announce(&gateway, &trust);
        self.ask_for_certificates().await
    }

    async fn ask_for_certificates(&self) -> Result<(), String> {
        for request in self.control.certificates.wanted() {
            self.say(Out::CertificateRequest(request)).await?;
        }
        Ok(())
    }

    async fn say(&self, message: Out) -> Result<(), String> {
        let message = FromGateway { message: Some(message) };
        self.out.send(Ok(message)).await.map_err(|_| "the stream is closed".to_owned())
    }
}

/// What a configuration is, for the region, and what it changed, for each site.
async fn record(gateway: &Gateway, before: &InForce, next: &InForce) {
    let changes = audit::changes(&before.config, &next.config, next.generation);
    let records = std::iter::once(applied(next)).chain(changes).map(|event| gateway.audit.append(event));
    // Many at once, because they share syncs; not all, because the queue is bounded and sessions use it too.
    let mut recorded = futures::stream::iter(records).buffered(RECORDED_AT_ONCE);
    while let Some(recorded) = recorded.next().await {
        if let Err(error) = recorded {
            tracing::error!(generation = next.generation, %error, "a configuration could not be recorded");
        }
    }
}

fn applied(next: &InForce) -> Event<Person> {
    let count = |entries: usize| u64::try_from(entries).unwrap_or(u64::MAX);
    Event::ConfigurationApplied(ConfigurationApplied {
        generation: next.generation,
        digest: next.digest().into(),
        endpoints: count(next.config.endpoints.len()),
        devices: count(next.config.devices.len()),
        policies: count(next.config.policies.len()),
    })
}

async fn put_trust(
    gateway: &Gateway,
    message: wire::Trust,
    superseded: &CancellationToken,
) -> Result<Arc<Trust>, TrustError> {
    let trust = Arc::new(Trust::parse(message)?);
    gateway.trust.put(Arc::clone(&trust), superseded).await?;
    Ok(trust)
}

async fn record_trust(gateway: &Gateway, trust: &Trust) {
    let (sequence, revoked) = (trust.sequence(), trust.revoked() as u64);
    let event = Event::TrustApplied(TrustApplied { digest: trust.digest().into(), sequence, revoked });
    if let Err(error) = gateway.audit.append(event).await {
        tracing::error!(sequence, %error, "trust could not be recorded");
    }
    tracing::info!(sequence, revoked, authorities = trust.bundle().len(), "trust in force");
}

/// Tells the agents that do not know it yet. Not waited for: the operator learns from reports who acknowledged.
fn announce(gateway: &Arc<Gateway>, trust: &Arc<Trust>) {
    for (endpoint, live) in gateway.tunnels.all().into_iter().filter(|(_, live)| !live.knows(trust)) {
        let (gateway, trust) = (Arc::clone(gateway), Arc::clone(trust));
        tokio::spawn(async move { gateway.tunnels.announce(&endpoint, &live, &trust).await });
    }
}

fn hello(gateway: &Gateway) -> Out {
    let in_force = gateway.store.current();
    Out::Attached(wire::Attached {
        gateway: gateway.place.gateway.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: in_force.generation,
        digest: in_force.digest(),
    })
}

/// What is reported of the audit log.
struct Log {
    health: watch::Receiver<Health>,
    volume: watch::Receiver<u8>,
}

impl Log {
    /// Waits until it is another. A log that is sealed says nothing more, which is no reason to stop reporting.
    async fn changed(&mut self) {
        let changed = tokio::select! {
            changed = self.health.changed() => changed,
            changed = self.volume.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until something changed that is reported.
async fn changed(
    tunnels: &mut watch::Receiver<u64>,
    sessions: &mut watch::Receiver<u32>,
    certificates: &mut watch::Receiver<()>,
    log: &mut Log,
) -> Result<(), String> {
    let changed = tokio::select! {
        () = log.changed() => Ok(()),
        changed = certificates.changed() => changed,
        changed = tunnels.changed() => changed,
        changed = sessions.changed() => changed,
    };
    changed.map_err(|_| "the gateway is stopping".to_owned())
}
