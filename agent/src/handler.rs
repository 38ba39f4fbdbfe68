//! What this agent answers a gateway: connections, offers, trust, proofs, drains. One [`Site`] for the process, one [`TunnelHandler`]
//! for each tunnel.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use sallyport_pki::renewal;
use sallyport_tunnel::{Handler, NONCE, Proof, Refusal, StreamTarget};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::allow::Allow;
use crate::config::Config;
use crate::connect::connect;
use crate::material::{Material, MaterialError};
use crate::metrics::Metrics;
use crate::offer::{Judge, Offers};
use crate::pair::{Pair, Recovered};
use crate::passing::Passing;
use crate::surroundings::Surroundings;
use crate::trust::{self, Announcements, Issuing, TrustError};

/// A renewed file is used at the next dial after at most this long.
const RELOAD_EVERY: Duration = Duration::from_secs(30);

/// What all tunnels of the process share.
pub struct Site {
    /// As read at start.
    pub config: Config,
    /// The clock and the resolver.
    pub surroundings: Surroundings,
    /// What is counted.
    pub metrics: Metrics,
    offers: Offers,
    material: RwLock<Arc<Material>>,
    allow: RwLock<Arc<Allow>>,
    announcements: Announcements,
    /// Two looks at once could put the older files in use.
    looking: Mutex<()>,
    changed: Notify,
    last_refusal: Mutex<Option<String>>,
}

impl Site {
    /// Reads what the configuration names.
    pub fn open(config: Config, surroundings: Surroundings, metrics: Metrics) -> Result<Self, MaterialError> {
        match (Pair { certificate: &config.certificate, key: &config.key }).recover() {
            Ok(Recovered::Nothing) => {}
            Ok(found) => tracing::warn!(?found, "a replacement of key and certificate had been interrupted"),
            Err(error) => tracing::error!(%error, "an interrupted replacement of key and certificate stays as it is"),
        }
        let material = Material::read(&config)?;
        metrics.certificate_not_after.set(material.validity.not_after.as_second());
        let announcements = Announcements::load(&config.state_directory, trust_judge(&material, &surroundings));
        let (offers, error) = Offers::load(&config.state_directory, judge(&material, &surroundings));
        if let Some(error) = error {
            tracing::warn!(%error, "the stored offer is not used");
        }
        let (allow, error) = Allow::load(config.allow.as_deref());
        if let Some(error) = error {
            tracing::error!(%error, "nothing is allowed");
        }
        Ok(Self {
            config,
            surroundings,
            metrics,
            offers,
            material: RwLock::new(Arc::new(material)),
            allow: RwLock::new(Arc::new(allow)),
            announcements,
            looking: Mutex::new(()),
            changed: Notify::new(),
            last_refusal: Mutex::new(None),
        })
    }

    /// Certificate, key and trust, as of the last look.
    pub fn material(&self) -> Arc<Material> {
        Arc::clone(&self.material.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn allow(&self) -> Arc<Allow> {
        Arc::clone(&self.allow.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files again and again, for ever. What became unreadable is reported, and the last good kept,
    /// except for the allow-list: that one closes.
    pub async fn keep_current(&self) {
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            self.reload();
        }
    }

    /// Which CA signs now, as far as a gateway told.
    pub fn issuing(&self) -> Option<Issuing> {
        self.announcements.issuing()
    }

    /// Resolves when files or the announcement changed since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes an announcement of trust and answers the digest of the bundle that is in use then. Blocks on the disk.
    pub fn take_trust(&self, document: &[u8]) -> Result<String, TrustError> {
        let material = self.material();
        let before = self.announcements.taken();
        let judge = trust_judge(&material, &self.surroundings);
        let taken = self.announcements.take(document, judge, &self.config.trust)?;
        self.reload();
        let in_use = self.material().trust.digest();
        // A gateway repeats what it has no right answer to; only what is new is worth a line.
        if before.as_ref() != Some(&taken) {
            self.changed.notify_one();
            tracing::info!(sequence = taken.sequence, digest = %in_use, "announcement of trust taken");
            if in_use != taken.digest {
                tracing::warn!(announced = %taken.digest, %in_use, "the trust file says otherwise");
            }
        }
        Ok(in_use)
    }

    /// Whether this refusal is another one than the last: a gateway repeats what was refused.
    fn is_news(&self, refusal: Option<String>) -> bool {
        let mut last = self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *last != refusal;
        *last = refusal;
        news
    }

    /// Looks at the files once.
    pub fn reload(&self) {
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        match self.material().is_current(&self.config) {
            Ok(true) => {}
            Ok(false) => match Material::read(&self.config) {
                Ok(fresh) => {
                    tracing::info!(endpoint = %fresh.endpoint, "certificate, key or trust changed");
                    self.metrics.certificate_not_after.set(fresh.validity.not_after.as_second());
                    *self.material.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    self.changed.notify_one();
                }
                Err(error) => tracing::error!(%error, "changed files are not used"),
            },
            Err(error) => tracing::error!(%error, "files cannot be looked at"),
        }
        let (allow, error) = Allow::load(self.config.allow.as_deref());
        if allow != *self.allow() {
            match error {
                Some(error) => tracing::error!(%error, "nothing is allowed"),
                None => tracing::info!("the allow-list changed"),
            }
            *self.allow.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(allow);
        }
    }
}

fn judge<'a>(material: &'a Material, surroundings: &Surroundings) -> Judge<'a> {
    Judge { trust: &material.trust, region: &material.region, endpoint: &material.endpoint, now: surroundings.now() }
}

fn trust_judge<'a>(material: &'a Material, surroundings: &Surroundings) -> trust::Judge<'a> {
    trust::Judge { trust: &material.trust, region: &material.region, now: surroundings.now() }
}

/// The answers for one tunnel.
pub struct TunnelHandler {
    /// What all tunnels share.
    pub site: Arc<Site>,
    /// The gateway at the other end.
    pub gateway: String,
    /// Cancelled when the gateway wants to be rid of this tunnel.
    pub drained: CancellationToken,
}

impl Handler for TunnelHandler {
    type Io = Passing;

    async fn connect(&self, target: StreamTarget) -> Result<Passing, Refusal> {
        let site = &self.site;
        let offer = site.offers.in_force();
        let connected = connect(offer.as_deref(), &site.allow(), &site.surroundings, &target).await;
        let StreamTarget { device, service, session } = &target;
        let (gateway, streams) = (&self.gateway, &site.metrics.streams);
        match connected {
            Ok(stream) => {
                tracing::info!(%gateway, %session, %device, %service, "connected");
                streams.with_label_values(&["connected"]).inc();
                Ok(Passing::new(stream, &site.metrics, target))
            }
            Err(refusal) => {
                tracing::warn!(%gateway, %session, %device, %service, reason = %refusal, "refused");
                streams.with_label_values(&[refusal.reason.label()]).inc();
                Err(refusal)
            }
        }
    }

    async fn offer(&self, signed: Bytes) -> Result<(), String> {
        let site = Arc::clone(&self.site);
        let taken = tokio::task::spawn_blocking(move || {
            let material = site.material();
            site.offers.take(&signed, judge(&material, &site.surroundings))
        });
        let offers = &self.site.metrics.offers;
        match taken.await {
            Ok(Ok(offer)) => {
                tracing::info!(gateway = %self.gateway, devices = offer.devices.len(), "offer in force");
                offers.with_label_values(&["inForce"]).inc();
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::warn!(gateway = %self.gateway, reason = %error, "offer refused");
                offers.with_label_values(&["refused"]).inc();
                Err(error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn trust(&self, signed: Bytes) -> Result<String, String> {
        let site = Arc::clone(&self.site);
        let taken = tokio::task::spawn_blocking(move || site.take_trust(&signed));
        let announcements = &self.site.metrics.announcements;
        match taken.await {
            Ok(Ok(digest)) => {
                self.site.is_news(None);
                announcements.with_label_values(&["inForce"]).inc();
                Ok(digest)
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                if self.site.is_news(Some(error.to_string())) {
                    tracing::error!(gateway = %self.gateway, %error, %cause, "announcement of trust refused");
                }
                announcements.with_label_values(&["refused"]).inc();
                Err(error.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn identity(&self, nonce: [u8; NONCE]) -> Result<Proof, String> {
        let material = self.site.material();
        let signature = renewal::sign(&material.key, &self.gateway, &nonce).map_err(|error| error.to_string())?;
        tracing::debug!(gateway = %self.gateway, "proved its present certificate");
        Ok(Proof { certificate: material.leaf.to_vec(), signature })
    }

    fn drain(&self) {
        tracing::info!(gateway = %self.gateway, "the gateway drains this tunnel");
        self.drained.cancel();
    }
}
