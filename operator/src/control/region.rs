//! One region: what its gateways are told, and one task for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use sallyport_core::config::RegionConfig;
use sallyport_core::name::{Name, RegionId};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::region_config::Compiled;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::config_signer::ConfigSigner;
use super::gateway;
use super::offers::{OfferError, Offers};
use super::trust::{Told, Trust, TrustError};
use crate::authorities::Signer;
use crate::context::Shared;

/// What the gateways of a region are to enforce.
#[derive(Debug)]
pub struct Published {
    /// Rises with every change.
    pub generation: u64,
    /// The configuration.
    pub config: Arc<RegionConfig>,
    /// Its digest.
    pub digest: String,
}

/// What a gateway is told: the newest of each, once there is one. Trust comes apart, so that a revocation overtakes a
/// large configuration.
#[derive(Clone, Debug)]
pub struct News {
    /// The configuration.
    pub config: watch::Receiver<Option<Arc<Published>>>,
    /// Whom to trust.
    pub trust: watch::Receiver<Option<Arc<Told>>>,
}

/// One region's configuration and trust, its tasks and what was last published.
pub(super) struct Region {
    key: ObjectKey,
    id: RegionId,
    config_signer: Option<ConfigSigner>,
    offers: Offers,
    trust: Trust,
    config: watch::Sender<Option<Arc<Published>>>,
    told: watch::Sender<Option<Arc<Told>>>,
    generation: Arc<AtomicU64>,
    gateways: BTreeMap<Name, Task>,
}

/// A task that ends when it is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Region {
    pub(super) fn new(key: ObjectKey, id: RegionId) -> Self {
        Self {
            key,
            id,
            config_signer: None,
            offers: Offers::default(),
            trust: Trust::default(),
            config: watch::Sender::new(None),
            told: watch::Sender::new(None),
            generation: Arc::default(),
            gateways: BTreeMap::new(),
        }
    }

    /// Tells the gateways whom to trust. Nothing happens while that has not changed.
    pub(super) fn trust(&mut self, signer: &Arc<Signer>, period: u64) -> Result<(), TrustError> {
        let now = Timestamp::now();
        let by = ConfigSigner::fresh(&mut self.config_signer, &self.id, signer, period, now)?;
        let told = self.trust.tell(&self.id, signer, by, now)?;
        self.told.send_if_modified(|last| {
            let news = !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &told));
            if news {
                tracing::info!(
                    region = %self.key, sequence = told.message.sequence, bundle = told.signer.digest,
                    revoked = told.signer.lists.iter().map(|list| list.serials.len()).sum::<usize>(),
                    denied = told.message.revoked_serials.len(), "trust"
                );
                *last = Some(told);
            }
            news
        });
        Ok(())
    }

    /// Tells the gateways what to enforce. Nothing happens while that has not changed.
    pub(super) fn publish(&mut self, ctx: &Shared, compiled: &Compiled) -> Result<(), OfferError> {
        let Some(by) = &self.config_signer else { return Ok(()) };
        self.offers.sign(&compiled.offers, by, Timestamp::now())?;
        let mut config = compiled.config.clone();
        for (endpoint, entry) in &mut config.endpoints {
            entry.offer = self.offers.of(endpoint);
        }
        if !self.config.borrow().as_ref().is_some_and(|last| *last.config == config) {
            let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
            let digest = sallyport_control::digest::of(&config);
            tracing::info!(
                region = %self.key, generation, endpoints = config.endpoints.len(), devices = config.devices.len(),
                policies = config.policies.len(), "configuration"
            );
            self.config.send_replace(Some(Arc::new(Published { generation, config: Arc::new(config), digest })));
        }
        self.keep_tasks(ctx, &compiled.config.settings.gateways);
        Ok(())
    }

    /// One task for each wanted replica.
    fn keep_tasks(&mut self, ctx: &Shared, wanted: &BTreeSet<Name>) {
        self.gateways.retain(|pod, _| wanted.contains(pod));
        ctx.links.remove(&self.key, |pod| wanted.iter().any(|wanted| wanted.as_str() == pod));
        for pod in wanted.iter().filter(|pod| !self.gateways.contains_key(pod)).cloned().collect::<Vec<_>>() {
            let gateway = gateway::Gateway {
                ctx: ctx.clone(),
                region: self.key.clone(),
                id: self.id.clone(),
                pod: pod.clone(),
                news: News { config: self.config.subscribe(), trust: self.told.subscribe() },
                generation: self.generation.clone(),
                renewing: false,
            };
            self.gateways.insert(pod, Task(tokio::spawn(gateway.run()).abort_handle()));
        }
    }
}
