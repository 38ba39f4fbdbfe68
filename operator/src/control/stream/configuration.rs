//! The configuration: what is told, what is in force, what was refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_control::{update, wire};
use sallyport_core::config::RegionConfig;
use tokio::time::Instant;

use super::super::gateway::Gateway;
use super::super::region::Published;
use super::{Session, Tell, words};
use crate::kinds::Kind;
use crate::wake;

/// A refused configuration is offered again after this long: a full disk may have been emptied.
const AFTER_NACK: Duration = Duration::from_secs(60);

/// A configuration that a gateway was told and has not answered.
pub(super) struct Owed {
    generation: u64,
    published: Arc<Published>,
    sent: Instant,
}

impl Session<'_> {
    /// Something was published.
    pub(super) fn config_news(&mut self, news: Option<Arc<Published>>) {
        if let Some(news) = news.filter(|news| !Arc::ptr_eq(news, &self.published)) {
            self.published = news;
            self.update();
        }
    }

    /// Tells the gateway what is different, or everything.
    pub(super) fn update(&mut self) {
        self.offer_again = None;
        let next = &self.published.config;
        let (snapshot, changes) = match &self.baseline {
            Some(baseline) => (false, baseline.diff(next)),
            None => (true, RegionConfig::default().diff(next)),
        };
        if !snapshot && changes.is_empty() {
            return;
        }
        let generation = self.published.generation.max(self.last + 1);
        self.last = generation;
        self.gateway.generation.fetch_max(generation, Ordering::SeqCst);
        let Gateway { ctx, region, pod, .. } = self.gateway;
        tracing::debug!(region = %region, gateway = %pod, generation, snapshot, changes = changes.len(), "telling");
        self.owes_more();
        self.baseline = Some(next.clone());
        self.owed.push_back(Owed { generation, published: self.published.clone(), sent: Instant::now() });
        for part in update::parts(generation, snapshot, &changes) {
            self.outbox.other(Tell::Update(part));
        }
        ctx.wake(Kind::DmzRegion, region.clone());
    }

    pub(super) fn acknowledged(&mut self, ack: &wire::Ack) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let Some(position) = self.owed.iter().position(|owed| owed.generation == ack.generation) else { return };
        let Some(owed) = self.owed.drain(..=position).next_back() else { return };
        ctx.metrics.acknowledged.with_label_values(&[&region.to_string()]).observe(owed.sent.elapsed().as_secs_f64());
        if ack.digest != owed.published.digest {
            tracing::warn!(region = %region, gateway = %pod, generation = ack.generation, "gateway enforces something else; telling it everything");
            self.baseline = None;
            self.offer_again = Some(Instant::now() + Duration::from_secs(1));
            return;
        }
        self.in_force(ack.generation, owed.published.config.clone());
    }

    pub(super) fn in_force(&mut self, generation: u64, config: Arc<RegionConfig>) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        ctx.links.enforces(region, pod.as_str(), generation, config, Timestamp::now());
        self.owes_less();
        ctx.wake(Kind::DmzRegion, region.clone());
        wake::leaving(ctx, region);
        wake::suspended(ctx, region);
    }

    pub(super) fn refused(&mut self, nack: &wire::Nack) {
        let Gateway { ctx, region, pod, .. } = self.gateway;
        let reason = words(&nack.reason);
        tracing::error!(region = %region, gateway = %pod, generation = nack.generation, reason, "configuration refused");
        ctx.metrics.refused.with_label_values(&[&region.to_string()]).inc();
        self.owed.clear();
        self.baseline = None;
        self.offer_again = Some(Instant::now() + AFTER_NACK);
        ctx.links.update(region, pod.as_str(), |facts| facts.refused = Some(reason));
        self.owes_less();
        ctx.wake(Kind::DmzRegion, region.clone());
    }
}
