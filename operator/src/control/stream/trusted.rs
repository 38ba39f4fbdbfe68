//! Trust: bundle and revocation lists, told at once, acknowledged once everything they forbid is cut.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_control::wire;
use tokio::time::Instant;

use super::super::gateway::Gateway;
use super::super::trust::Told;
use super::{Session, Tell, words};
use crate::kinds::Kind;
use crate::wake;

/// Trust that was refused is offered again after this long.
const AFTER_NACK: Duration = Duration::from_secs(20);

impl Session<'_> {
    /// There is something new to trust, or not to trust any more.
    pub(super) fn trust_news(&mut self, news: Option<Arc<Told>>) {
        let Some(news) = news.filter(|news| !Arc::ptr_eq(news, &self.told)) else { return };
        let same = news.message.digest == self.told.message.digest;
        self.told = news;
        if !same {
            self.tell_trust();
        }
    }

    /// Tells the gateway whom to trust, ahead of everything else.
    pub(super) fn tell_trust(&mut self) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let message = self.told.message.clone();
        tracing::debug!(region = %region, gateway = %pod, sequence = message.sequence, digest = message.digest, "telling trust");
        self.trust_again = None;
        self.outbox.drop_trust();
        self.outbox.urgent(Tell::Trust(message));
        self.trust_owed.push_back(self.told.clone());
        self.owes_more();
        ctx.wake(Kind::DmzRegion, region.clone());
    }

    pub(super) fn trusts(&mut self, ack: &wire::TrustAck) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let Some(position) = self.trust_owed.iter().position(|told| told.message.digest == ack.digest) else {
            tracing::warn!(region = %region, gateway = %pod, "gateway acknowledges trust that it was not told");
            return;
        };
        // An answer to the newest answers those before it: they were overtaken.
        let Some(told) = self.trust_owed.drain(..=position).next_back() else { return };
        if ctx.links.trusts(region, pod.as_str(), told, Timestamp::now()) {
            wake::authority_of(ctx, region);
        }
        self.owes_less();
        ctx.wake(Kind::DmzRegion, region.clone());
        wake::revoked(ctx, region);
    }

    pub(super) fn trust_refused(&mut self, nack: &wire::TrustNack) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let reason = words(&nack.reason);
        tracing::error!(region = %region, gateway = %pod, reason, "trust refused");
        self.trust_owed.clear();
        self.trust_again = Some(Instant::now() + AFTER_NACK);
        ctx.links.update(region, pod.as_str(), |facts| facts.trust_refused = Some(reason));
        self.owes_less();
        ctx.wake(Kind::DmzRegion, region.clone());
    }
}
