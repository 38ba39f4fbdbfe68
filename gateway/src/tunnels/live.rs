//! One tunnel, with what is known of its agent now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_tunnel::{PushError, Tunnel};
use tokio::sync::watch;

use super::AgentProcess;
use crate::certificate::InUse;
use crate::socket::Discard;
use crate::trust::Trust;

/// A tunnel with what is known of its agent. Clones are handles of the same one.
#[derive(Clone)]
pub struct LiveTunnel {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// Which process of the agent dialled it.
    pub agent: AgentProcess,
    /// Since when.
    pub since: Timestamp,
    /// From where.
    pub from: SocketAddr,
    /// The agent's version, as it says.
    pub agent_version: String,
    pub(super) number: u64,
    /// What the agent showed at the handshake, or proved since. Its end is the tunnel's.
    pub(super) certificate: Arc<watch::Sender<InUse>>,
    /// The announcement that the agent acknowledged last.
    acknowledged: Arc<watch::Sender<Acknowledged>>,
    discard: Discard,
}

#[derive(Default)]
struct Acknowledged {
    sequence: u64,
    /// The CA that signs, as the agent was told: it changes under one sequence, which counts bundles.
    issuer: String,
    /// Digest of the bundle; empty when there was none.
    digest: String,
    /// When the agent was told last.
    told: Option<Instant>,
}

/// Before an agent that did not take an announcement is told again. One that is too old for it will never take it.
pub(crate) const TELL_AGAIN: Duration = Duration::from_secs(60);

impl LiveTunnel {
    /// A tunnel that was just established with `certificate`.
    pub fn new(
        tunnel: Tunnel,
        agent: AgentProcess,
        from: SocketAddr,
        agent_version: String,
        certificate: InUse,
        discard: Discard,
    ) -> Self {
        Self {
            tunnel,
            agent,
            since: Timestamp::now(),
            from,
            agent_version,
            number: 0,
            certificate: Arc::new(watch::Sender::new(certificate)),
            acknowledged: Arc::default(),
            discard,
        }
    }

    /// The certificate that counts for it now.
    pub fn certificate(&self) -> InUse {
        self.certificate.borrow().clone()
    }

    /// To be told when another counts.
    pub fn watch_certificate(&self) -> watch::Receiver<InUse> {
        self.certificate.subscribe()
    }

    /// Digest of the trust bundle that the agent acknowledged last; empty when it has not.
    pub fn trust_digest(&self) -> String {
        self.acknowledged.borrow().digest.clone()
    }

    /// Whether the agent acknowledged this trust, or a later one.
    pub fn knows(&self, trust: &Trust) -> bool {
        let acknowledged = self.acknowledged.borrow();
        let same = acknowledged.sequence == trust.sequence() && acknowledged.issuer == trust.issuer();
        !acknowledged.digest.is_empty() && (same || acknowledged.sequence > trust.sequence())
    }

    /// Whether the agent was told not long ago, whatever came of it.
    pub fn was_just_told(&self) -> bool {
        self.acknowledged.borrow().told.is_some_and(|told| told.elapsed() < TELL_AGAIN)
    }

    /// Closes it, and discards what the kernel has not sent yet.
    pub fn cut(&self, why: &str) {
        self.discard.order();
        self.tunnel.close(why);
    }

    /// Hands the agent its offer. An agent that refuses it keeps the one it has, which is at worst narrower.
    pub async fn push_offer(&self, endpoint: &EndpointId, offer: Vec<u8>) {
        match self.tunnel.push_offer(offer.into()).await {
            Ok(()) => tracing::debug!(%endpoint, "offer taken"),
            Err(PushError::Closed(_)) => {}
            Err(error) => tracing::warn!(%endpoint, %error, "offer not taken"),
        }
    }

    /// Hands the agent the announcement of this trust. True when it acknowledged another digest than before.
    pub(super) async fn push_trust(&self, endpoint: &EndpointId, trust: &Trust) -> bool {
        let announcement = trust.announcement().clone();
        if announcement.is_empty() {
            return false;
        }
        self.acknowledged.send_modify(|acknowledged| acknowledged.told = Some(Instant::now()));
        match self.tunnel.push_trust(announcement).await {
            Ok(digest) => self.acknowledged.send_if_modified(|acknowledged| {
                // Answers may overtake each other.
                if acknowledged.sequence > trust.sequence() {
                    return false;
                }
                acknowledged.sequence = trust.sequence();
                acknowledged.issuer = trust.issuer().to_owned();
                let another = acknowledged.digest != digest;
                acknowledged.digest = digest;
                another
            }),
            Err(PushError::Closed(_)) => false,
            Err(error) => {
                tracing::warn!(%endpoint, %error, "announcement of trust not taken");
                false
            }
        }
    }

    /// Whether the agent behind this tunnel answers. A tunnel is asked when another process claims its endpoint.
    pub async fn answers(&self, offer: Vec<u8>) -> bool {
        /// Enough for any live line; the new agent waits meanwhile.
        const PATIENCE: Duration = Duration::from_secs(3);
        let answer = tokio::time::timeout(PATIENCE, self.tunnel.push_offer(offer.into())).await;
        matches!(answer, Ok(Ok(()) | Err(PushError::Refused(_))))
    }
}
