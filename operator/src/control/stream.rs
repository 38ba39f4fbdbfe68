//! One control stream. The gateway says what it enforces; it is told what is different, and answers Ack, in force, or
//! Nack. Everything else it says is noted, and who cares is woken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::tunnel_endpoint::TunnelStatus;
use sallyport_control::{update, wire};
use sallyport_core::config::RegionConfig;
use sallyport_core::name::EndpointId;
use sallyport_plan::catalogue::ObjectKey;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use wire::control_client::ControlClient;
use wire::from_gateway::Message as Said;
use wire::from_operator::Message as Tell;

use super::dial::DialError;
use super::gateway::Gateway;
use super::publisher::Published;
use super::requests::{RequestError, Requests};
use crate::authorities::MakeError;
use crate::kinds::Kind;
use crate::wake;

/// Until the gateway says who it is.
const GREETING: Duration = Duration::from_secs(10);
/// Messages on their way to a gateway. A gateway that reads none for `STUCK` is dialled again.
const OUTBOUND: usize = 16;
const STUCK: Duration = Duration::from_secs(20);
/// A refused configuration is offered again after this long: a full disk may have been emptied.
const AFTER_NACK: Duration = Duration::from_secs(60);

/// Holds a stream until it ends.
pub(super) async fn hold(
    gateway: &mut Gateway,
    channel: Channel,
    published: Arc<Published>,
) -> Result<(), StreamError> {
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let mut client = ControlClient::new(channel);
    let attach = client.attach(ReceiverStream::new(messages));
    let mut inbound = tokio::time::timeout(GREETING, attach).await.map_err(|_| StreamError::Silent)??.into_inner();
    let greeting = tokio::time::timeout(GREETING, inbound.message()).await.map_err(|_| StreamError::Silent)??;
    let Some(wire::FromGateway { message: Some(Said::Attached(attached)) }) = greeting else {
        return Err(StreamError::NoGreeting);
    };
    if attached.gateway != gateway.pod.as_str() {
        return Err(StreamError::Other(attached.gateway));
    }
    let mut news = gateway.news.clone();
    news.mark_unchanged();
    let mut session = Session {
        gateway,
        outbound,
        published,
        last: attached.generation,
        baseline: None,
        owed: VecDeque::new(),
        requests: Requests::new(Instant::now()),
        offer_again: None,
    };
    session.begin(&attached).await?;
    // What was published while we dialled.
    let newest = news.borrow_and_update().clone();
    session.news(newest).await?;
    loop {
        let offer_again = session.offer_again;
        tokio::select! {
            said = inbound.message() => match said? {
                Some(said) => session.said(said).await?,
                None => return Ok(()),
            },
            changed = news.changed() => {
                changed.map_err(|_| StreamError::Unwanted)?;
                let newest = news.borrow_and_update().clone();
                session.news(newest).await?;
            }
            () = tokio::time::sleep_until(offer_again.unwrap_or_else(Instant::now)), if offer_again.is_some() => {
                session.update().await?;
            }
        }
    }
}

/// The state of one stream.
struct Session<'a> {
    gateway: &'a Gateway,
    outbound: mpsc::Sender<wire::FromOperator>,
    published: Arc<Published>,
    /// The highest generation that this gateway has heard of.
    last: u64,
    /// What the gateway has once it has taken all it was told; unknown: it needs a snapshot.
    baseline: Option<Arc<RegionConfig>>,
    /// What it was told and has not answered.
    owed: VecDeque<Owed>,
    requests: Requests,
    offer_again: Option<Instant>,
}

struct Owed {
    generation: u64,
    published: Arc<Published>,
    sent: Instant,
}

impl Session<'_> {
    /// The gateway has said what it enforces.
    async fn begin(&mut self, attached: &wire::Attached) -> Result<(), StreamError> {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let configuration = (attached.generation > 0).then_some(attached.generation);
        tracing::info!(region = %region, gateway = %pod, version = attached.version, generation = attached.generation, "attached");
        ctx.links.attached(region, pod.as_str(), &attached.version, configuration);
        ctx.metrics.attached.with_label_values(&[&region.to_string()]).inc();
        self.gateway.generation.fetch_max(attached.generation, Ordering::SeqCst);
        ctx.wake(Kind::DmzRegion, region.clone());
        self.tell(Tell::Trust(wire::Trust {
            certificates: self.published.signer.trust.clone(),
            ..wire::Trust::default()
        }))
        .await?;
        if configuration.is_some() && attached.digest == self.published.digest {
            let config = self.published.config.clone();
            self.baseline = Some(config.clone());
            self.in_force(attached.generation, config);
            return Ok(());
        }
        self.update().await
    }

    /// Something was published.
    async fn news(&mut self, news: Option<Arc<Published>>) -> Result<(), StreamError> {
        let Some(news) = news.filter(|news| !Arc::ptr_eq(news, &self.published)) else { return Ok(()) };
        if news.signer.trust != self.published.signer.trust {
            self.tell(Tell::Trust(wire::Trust { certificates: news.signer.trust.clone(), ..wire::Trust::default() }))
                .await?;
        }
        self.published = news;
        self.update().await
    }

    /// Tells the gateway what is different, or everything.
    async fn update(&mut self) -> Result<(), StreamError> {
        self.offer_again = None;
        let next = &self.published.config;
        let (snapshot, changes) = match &self.baseline {
            Some(baseline) => (false, baseline.diff(next)),
            None => (true, RegionConfig::default().diff(next)),
        };
        if !snapshot && changes.is_empty() {
            return Ok(());
        }
        let generation = self.published.generation.max(self.last + 1);
        self.last = generation;
        self.gateway.generation.fetch_max(generation, Ordering::SeqCst);
        let Gateway { ctx, region, pod, .. } = self.gateway;
        tracing::debug!(region = %region, gateway = %pod, generation, snapshot, changes = changes.len(), "telling");
        ctx.links.update(region, pod.as_str(), |facts| facts.owes_since.get_or_insert(Timestamp::now()).to_owned());
        self.baseline = Some(next.clone());
        self.owed.push_back(Owed { generation, published: self.published.clone(), sent: Instant::now() });
        for part in update::parts(generation, snapshot, &changes) {
            self.tell(Tell::Update(part)).await?;
        }
        ctx.wake(Kind::DmzRegion, region.clone());
        Ok(())
    }

    async fn said(&mut self, said: wire::FromGateway) -> Result<(), StreamError> {
        match said.message {
            Some(Said::Ack(ack)) => self.acknowledged(&ack).await,
            Some(Said::Nack(nack)) => {
                self.refused(nack);
                Ok(())
            }
            Some(Said::CertificateRequest(request)) => self.certificate(request).await,
            Some(Said::Report(report)) => {
                self.report(report);
                Ok(())
            }
            // A newer gateway may say more than we understand.
            Some(Said::Attached(_) | Said::Enrol(_) | Said::TrustAck(_) | Said::TrustNack(_)) | None => Ok(()),
        }
    }

    async fn acknowledged(&mut self, ack: &wire::Ack) -> Result<(), StreamError> {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let Some(position) = self.owed.iter().position(|owed| owed.generation == ack.generation) else { return Ok(()) };
        let Some(owed) = self.owed.drain(..=position).next_back() else { return Ok(()) };
        ctx.metrics.acknowledged.with_label_values(&[&region.to_string()]).observe(owed.sent.elapsed().as_secs_f64());
        if ack.digest != owed.published.digest {
            tracing::warn!(region = %region, gateway = %pod, generation = ack.generation, "gateway enforces something else; telling it everything");
            self.baseline = None;
            self.offer_again = Some(Instant::now() + Duration::from_secs(1));
            return Ok(());
        }
        self.in_force(ack.generation, owed.published.config.clone());
        Ok(())
    }

    fn in_force(&mut self, generation: u64, config: Arc<RegionConfig>) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        ctx.links.enforces(region, pod.as_str(), generation, config);
        if self.owed.is_empty() {
            ctx.links.update(region, pod.as_str(), |facts| facts.owes_since = None);
        }
        ctx.wake(Kind::DmzRegion, region.clone());
        wake::leaving(ctx, region);
    }

    fn refused(&mut self, nack: wire::Nack) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        tracing::error!(region = %region, gateway = %pod, generation = nack.generation, reason = nack.reason, "configuration refused");
        ctx.metrics.refused.with_label_values(&[&region.to_string()]).inc();
        self.owed.clear();
        self.baseline = None;
        self.offer_again = Some(Instant::now() + AFTER_NACK);
        ctx.links.update(region, pod.as_str(), |facts| {
            facts.owes_since = None;
            facts.refused = Some(nack.reason.chars().take(500).collect());
        });
        ctx.wake(Kind::DmzRegion, region.clone());
    }

    async fn certificate(&mut self, request: wire::CertificateRequest) -> Result<(), StreamError> {
        let Gateway { ctx, region, id, pod, .. } = self.gateway;
        let settings = &self.published.config.settings;
        let signed = self.requests.sign(&request, id, pod, settings, &self.published.signer, Instant::now());
        let result = if signed.is_ok() { "issued" } else { "refused" };
        let purpose = request.purpose();
        ctx.metrics.certificates.with_label_values(&[purpose.as_str_name(), result]).inc();
        let purpose = request.purpose;
        match signed {
            Ok(leaf) => {
                tracing::info!(region = %region, gateway = %pod, purpose, serial = leaf.serial, "signed a gateway's certificate");
                self.tell(Tell::Certificate(wire::SignedCertificate { purpose, chain: leaf.pem })).await
            }
            Err(error) => {
                let reason = refusal(&error);
                tracing::warn!(region = %region, gateway = %pod, purpose, reason, "refused to sign a gateway's certificate");
                self.tell(Tell::RefusedCertificate(wire::RefusedCertificate { purpose, reason })).await
            }
        }
    }

    fn report(&self, report: wire::Report) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let tunnels: BTreeMap<_, _> =
            report.tunnels.into_iter().filter_map(|tunnel| status_of(tunnel, pod.as_str())).collect();
        let first = !ctx.links.has_reported(region, pod.as_str());
        for endpoint in ctx.links.report(region, pod.as_str(), tunnels, report.sessions) {
            wake::tunnels(ctx, &endpoint);
        }
        if first {
            self.gateway.wake_remembered();
        }
        ctx.wake(Kind::DmzRegion, region.clone());
    }

    async fn tell(&self, message: Tell) -> Result<(), StreamError> {
        let message = wire::FromOperator { message: Some(message) };
        match tokio::time::timeout(STUCK, self.outbound.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(StreamError::Closed),
            Err(_) => Err(StreamError::Stuck),
        }
    }
}

/// What a gateway says comes from the DMZ: it is parsed before it is shown.
fn status_of(tunnel: wire::Tunnel, pod: &str) -> Option<(ObjectKey, TunnelStatus)> {
    let endpoint: EndpointId = tunnel.endpoint.parse().ok()?;
    let since = Timestamp::from_millisecond(tunnel.since_ms).ok()?;
    let since = Timestamp::from_second(since.as_second()).ok()?;
    let text = |text: String| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    let status = TunnelStatus {
        gateway: pod.to_owned(),
        since: since.to_string(),
        from: text(tunnel.from),
        agent_version: text(tunnel.agent_version),
    };
    Some((ObjectKey::new(endpoint.0.namespace.as_str(), endpoint.0.name.as_str()), status))
}

fn refusal(error: &RequestError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// The stream is closed in our direction.
    #[error("the gateway closed the stream")]
    Closed,
    /// It was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The operator has no certificate of its own.
    #[error("the operator's own certificate")]
    Make(#[from] MakeError),
    /// It began with something else.
    #[error("the gateway did not say who it is")]
    NoGreeting,
    /// Another gateway answered.
    #[error("gateway {0:?} answered")]
    Other(String),
    /// It said nothing.
    #[error("the gateway said nothing")]
    Silent,
    /// gRPC failed.
    #[error("stream")]
    Status(#[source] Box<tonic::Status>),
    /// It reads nothing.
    #[error("the gateway reads nothing")]
    Stuck,
    /// The region no longer wants it.
    #[error("no longer wanted")]
    Unwanted,
}

impl From<tonic::Status> for StreamError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}
