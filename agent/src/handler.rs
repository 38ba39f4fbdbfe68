//! What this agent answers a gateway: connections, offers, drains. One [`Site`] for the process, one [`TunnelHandler`]
//! for each tunnel.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use sallyport_tunnel::{Handler, NONCE, Proof, Refusal, StreamTarget};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::allow::Allow;
use crate::config::Config;
use crate::connect::connect;
use crate::material::{Material, MaterialError};
use crate::metrics::Metrics;
use crate::offer::{Judge, Offers};
use crate::surroundings::Surroundings;

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
}

impl Site {
    /// Reads what the configuration names.
    pub fn open(config: Config, surroundings: Surroundings, metrics: Metrics) -> Result<Self, MaterialError> {
        let material = Material::read(&config)?;
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

    /// Looks at the files once.
    pub fn reload(&self) {
        match self.material().is_current(&self.config) {
            Ok(true) => {}
            Ok(false) => match Material::read(&self.config) {
                Ok(fresh) => {
                    tracing::info!(endpoint = %fresh.endpoint, "certificate, key or trust changed");
                    *self.material.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
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

    async fn trust(&self, _signed: Bytes) -> Result<String, String> {
        Err("this version takes no announcement".to_owned())
    }

    async fn identity(&self, _nonce: [u8; NONCE]) -> Result<Proof, String> {
        Err("this version proves nothing".to_owned())
    }

    fn drain(&self) {
        tracing::info!(gateway = %self.gateway, "the gateway drains this tunnel");
        self.drained.cancel();
    }
}

/// A device connection that is counted, and logged at its end.
pub struct Passing {
    stream: TcpStream,
    metrics: Metrics,
    target: StreamTarget,
    to_device: u64,
    from_device: u64,
}

impl Passing {
    fn new(stream: TcpStream, metrics: &Metrics, target: StreamTarget) -> Self {
        metrics.streams_open.inc();
        Self { stream, metrics: metrics.clone(), target, to_device: 0, from_device: 0 }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.metrics.streams_open.dec();
        let StreamTarget { device, service, session } = &self.target;
        let (to_device, from_device) = (self.to_device, self.from_device);
        tracing::info!(%session, %device, %service, to_device, from_device, "stream ended");
    }
}

impl AsyncRead for Passing {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        me.from_device += read;
        me.metrics.bytes.with_label_values(&["fromDevice"]).inc_by(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Passing {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = ready!(Pin::new(&mut me.stream).poll_write(cx, buf))?;
        me.to_device += written as u64;
        me.metrics.bytes.with_label_values(&["toDevice"]).inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
