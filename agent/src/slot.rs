//! One of the agent's two places for a tunnel: dial, serve, and dial again, until told to stop.
//!
//! ```text
//!  Dialling ──101──▶ serving ──drained──▶ Dialling a replacement (the old one goes on beside it)
//!     ▲  └─ refused, failed ─▶ wait ─┐        └── ended ─▶ wait ─┐
//!     └──────────────────────────────┴───────────────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use sallyport_tunnel::{CloseReason, Limits, agent_end};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::dial::{self, DialError, Slot};
use crate::handler::{Site, TunnelHandler};

/// Keeps one tunnel up. When `stop` is cancelled, streams have the tunnel's own grace to end; then this returns.
pub async fn keep(slot: Slot, site: Arc<Site>, stop: CancellationToken) {
    let mut tunnels = JoinSet::new();
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let dialled = tokio::select! {
            dialled = dial(&slot, &site) => dialled,
            () = stop.cancelled() => break,
        };
        let wait = match dialled {
            Ok((io, gateway)) => {
                let began = Instant::now();
                let drained = CancellationToken::new();
                let handler = Arc::new(TunnelHandler {
                    site: Arc::clone(&site),
                    gateway: gateway.clone(),
                    drained: drained.clone(),
                });
                tracing::info!(%gateway, slot = slot.number, "tunnel up");
                let ended = CancellationToken::new();
                let up = Up { site: Arc::clone(&site), gateway, slot: slot.number, ended: ended.clone() };
                tunnels.spawn(serve(io, handler, stop.clone(), up));
                tokio::select! {
                    () = drained.cancelled() => {}
                    () = ended.cancelled() => {}
                    () = stop.cancelled() => break,
                }
                backoff.after_tunnel(began.elapsed(), &mut rand::rng())
            }
            Err(DialError::Refused(answer)) if answer.is_held() => backoff.after_held(&mut rand::rng()),
            Err(error) => {
                log_failure(&slot, &error);
                backoff.after_failure(&mut rand::rng())
            }
        };
        while tunnels.try_join_next().is_some() {}
        pause(wait, &stop).await;
    }
    while tunnels.join_next().await.is_some() {}
}

async fn pause(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = stop.cancelled() => {}
    }
}

async fn dial(slot: &Slot, site: &Site) -> Result<(dial::Upgraded, String), DialError> {
    let gateway = &site.config.gateway;
    let dialled = async {
        let stream = dial::connect(gateway, &site.surroundings, &site.material().tls).await?;
        dial::upgrade(stream, &gateway.host, slot).await
    };
    let dialled = Box::pin(dialled).await;
    let result = dialled.as_ref().map_or_else(DialError::label, |_| "up");
    site.metrics.dials.with_label_values(&[result]).inc();
    dialled
}

/// Somebody has to act on a refusal, so it is not merely a warning.
fn log_failure(slot: &Slot, error: &DialError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error {
        DialError::Refused(answer) if answer.status == http::StatusCode::SERVICE_UNAVAILABLE => {
            tracing::info!(slot = slot.number, reason = %answer, "the gateway takes no tunnel now");
        }
        DialError::Refused(answer) => {
            tracing::error!(slot = slot.number, reason = %answer, "the gateway refuses this endpoint");
        }
        error => tracing::warn!(slot = slot.number, %error, %cause, "no tunnel"),
    }
}

/// Boxed here, so that the slot's own future stays small.
fn serve(
    io: dial::Upgraded,
    handler: Arc<TunnelHandler>,
    stop: CancellationToken,
    up: Up,
) -> impl Future<Output = CloseReason> + Send {
    up.site.metrics.tunnel_up();
    async move {
        let reason = agent_end(io, Limits::DEFAULT, handler, stop.cancelled_owned()).await;
        tracing::info!(gateway = %up.gateway, slot = up.slot, %reason, "tunnel ended");
        drop(up);
        reason
    }
}

/// A tunnel that counts as up, until this is dropped.
struct Up {
    site: Arc<Site>,
    gateway: String,
    slot: u8,
    ended: CancellationToken,
}

impl Drop for Up {
    fn drop(&mut self) {
        self.site.metrics.tunnel_down();
        self.ended.cancel();
    }
}
