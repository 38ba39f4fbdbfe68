//! One control stream. The gateway says what it enforces; it is told whom to trust and what is different, and answers
//! each with an acknowledgement, in force and cut, or a refusal. Everything else it says is noted, and who cares is woken.

mod certificates;
mod configuration;
mod outbox;
mod report;
mod trusted;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_control::{update, wire};
use sallyport_core::config::RegionConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use wire::control_client::ControlClient;
use wire::from_gateway::Message as Said;
use wire::from_operator::Message as Tell;

use super::dial::DialError;
use super::gateway::{Gateway, Own};
use super::region::Published;
use super::trust::Told;
use crate::authorities::MakeError;
use crate::kinds::Kind;
use configuration::Owed;
use outbox::Outbox;

/// Until the gateway says who it is.
const GREETING: Duration = Duration::from_secs(10);
/// Messages that are handed to gRPC ahead of their turn: few, so that what is urgent is soon at the front.
const OUTBOUND: usize = 2;
/// The largest message in either direction. Trust carries every generation's revocation list: at 40 bytes an entry this
/// is room for some 200,000 of them.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why a stream ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The gateway ended it.
    ByGateway,
    /// The operator's own certificate is to be replaced.
    ToRenew,
}

/// Holds a stream until it ends.
pub(super) async fn hold(
    gateway: &Gateway,
    channel: Channel,
    own: &Own,
    published: Arc<Published>,
    told: Arc<Told>,
) -> Result<Ended, StreamError> {
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let mut client = ControlClient::new(channel).max_decoding_message_size(LARGEST).max_encoding_message_size(LARGEST);
    // Whom a gateway listens to is who attached last.
    if !gateway.ctx.fence.holds() {
        return Err(StreamError::NotLeading);
    }
    let attach = client.attach(ReceiverStream::new(messages));
    let mut inbound = tokio::time::timeout(GREETING, attach).await.map_err(|_| StreamError::Silent)??.into_inner();
    let greeting = tokio::time::timeout(GREETING, inbound.message()).await.map_err(|_| StreamError::Silent)??;
    let Some(wire::FromGateway { message: Some(Said::Attached(attached)) }) = greeting else {
        return Err(StreamError::NoGreeting);
    };
    if attached.gateway != gateway.pod.as_str() {
        return Err(StreamError::Other(attached.gateway));
    }
    let mut session = Session::new(gateway, outbound, published, told, attached.generation);
    session.begin(&attached);
    let mut news = gateway.news.clone();
    // What was published while we dialled.
    news.config.mark_changed();
    news.trust.mark_changed();
    let renewal = tokio::time::sleep(own.renew_in(Timestamp::now()));
    tokio::pin!(renewal);
    loop {
        // In the middle of something the stream is not ended: the gateway would be told all of it again.
        if session.owes_nothing() && own.is_due(&session.told.signer, Timestamp::now()) {
            return Ok(Ended::ToRenew);
        }
        let offer_again = session.offer_again.unwrap_or_else(Instant::now);
        let trust_again = session.trust_again.unwrap_or_else(Instant::now);
        tokio::select! {
            changed = news.trust.changed() => {
                changed.map_err(|_| StreamError::Unwanted)?;
                let newest = news.trust.borrow_and_update().clone();
                session.trust_news(newest);
            }
            said = inbound.message() => match said? {
                Some(said) => session.said(said),
                None => return Ok(Ended::ByGateway),
            },
            Some(answer) = session.enrolments.join_next(), if !session.enrolments.is_empty() => {
                session.enrolled(answer);
            }
            sent = session.outbox.send(), if !session.outbox.is_empty() => sent?,
            changed = news.config.changed() => {
                changed.map_err(|_| StreamError::Unwanted)?;
                let newest = news.config.borrow_and_update().clone();
                session.config_news(newest);
            }
            () = tokio::time::sleep_until(offer_again), if session.offer_again.is_some() => session.update(),
            () = tokio::time::sleep_until(trust_again), if session.trust_again.is_some() => session.tell_trust(),
            () = &mut renewal, if !renewal.is_elapsed() => {}
        }
    }
}

/// The state of one stream.
struct Session<'a> {
    gateway: &'a Gateway,
    outbox: Outbox,
    /// The newest configuration.
    published: Arc<Published>,
    /// The newest trust.
    told: Arc<Told>,
    /// Trust that the gateway was told and has not answered, the newest last.
    trust_owed: VecDeque<Arc<Told>>,
    trust_again: Option<Instant>,
    /// The highest generation that this gateway has heard of.
    last: u64,
    /// What the gateway has once it has taken all it was told; unknown: it needs a snapshot.
    baseline: Option<Arc<RegionConfig>>,
    /// Configurations that it was told and has not answered.
    owed: VecDeque<Owed>,
    offer_again: Option<Instant>,
    enrolments: JoinSet<wire::Enrolled>,
}

impl<'a> Session<'a> {
    fn new(
        gateway: &'a Gateway,
        outbound: mpsc::Sender<wire::FromOperator>,
        published: Arc<Published>,
        told: Arc<Told>,
        last: u64,
    ) -> Self {
        Self {
            gateway,
            outbox: Outbox::new(outbound, gateway.ctx.fence.clone()),
            published,
            told,
            trust_owed: VecDeque::new(),
            trust_again: None,
            last,
            baseline: None,
            owed: VecDeque::new(),
            offer_again: None,
            enrolments: JoinSet::new(),
        }
    }

    /// The gateway has said what it enforces.
    fn begin(&mut self, attached: &wire::Attached) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let configuration = (attached.generation > 0).then_some(attached.generation);
        tracing::info!(region = %region, gateway = %pod, version = attached.version, generation = attached.generation, "attached");
        ctx.links.attached(region, pod.as_str(), &attached.version, configuration);
        ctx.metrics.attached.with_label_values(&[&region.to_string()]).inc();
        self.gateway.generation.fetch_max(attached.generation, Ordering::SeqCst);
        ctx.wake(Kind::DmzRegion, region.clone());
        self.tell_trust();
        if configuration.is_some() && attached.digest == self.published.digest {
            let config = self.published.config.clone();
            self.baseline = Some(config.clone());
            self.in_force(attached.generation, config);
            // No change, and the word that it counts: after a start a gateway keeps doors closed until it has that.
            for part in update::parts(attached.generation, false, &[]) {
                self.outbox.other(Tell::Update(part));
            }
        } else {
            self.update();
        }
    }

    /// Whether the gateway has answered everything, and is waited for by nobody.
    fn owes_nothing(&self) -> bool {
        self.owed.is_empty() && self.trust_owed.is_empty() && self.outbox.is_empty() && self.enrolments.is_empty()
    }

    /// The gateway was told something that it must acknowledge.
    fn owes_more(&self) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        ctx.links.update(region, pod.as_str(), |facts| *facts.owes_since.get_or_insert_with(Timestamp::now));
    }

    /// The gateway has answered something.
    fn owes_less(&self) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        if self.owed.is_empty() && self.trust_owed.is_empty() {
            ctx.links.update(region, pod.as_str(), |facts| facts.owes_since = None);
        }
    }

    fn said(&mut self, said: wire::FromGateway) {
        match said.message {
            Some(Said::Ack(ack)) => self.acknowledged(&ack),
            Some(Said::Nack(nack)) => self.refused(&nack),
            Some(Said::TrustAck(ack)) => self.trusts(&ack),
            Some(Said::TrustNack(nack)) => self.trust_refused(&nack),
            Some(Said::CertificateRequest(request)) => self.certificate(&request),
            Some(Said::Enrol(request)) => self.enrol(request),
            Some(Said::Report(report)) => self.report(report),
            // A newer gateway may say more than we understand.
            Some(Said::Attached(_)) | None => {}
        }
    }
}

/// What a person reads of a gateway's words.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
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
    /// The lease was not renewed in time; the process is about to end.
    #[error("this operator does not lead any more")]
    NotLeading,
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
