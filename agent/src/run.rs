//! `sallyport-agent run`: the slots, the look at the files, and the admin port, until told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::dial::Slot;
use crate::handler::Site;
use crate::material::MaterialError;
use crate::metrics::Metrics;
use crate::surroundings::Surroundings;
use crate::{admin, slot};

/// Runs the agent until `stop` resolves and the tunnels have ended.
pub async fn run(config: Config, surroundings: Surroundings, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let admin = match config.admin {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|source| RunError::Admin { address, source })?),
        None => None,
    };
    let site = Arc::new(Site::open(config, surroundings, Metrics::new()?)?);
    tracing::info!(
        endpoint = %site.material().endpoint,
        gateway = %site.config.gateway.host,
        version = env!("CARGO_PKG_VERSION"),
        "agent starts"
    );
    let mut background = JoinSet::new();
    let current = Arc::clone(&site);
    background.spawn(async move { current.keep_current().await });
    if let Some(listener) = admin {
        background.spawn(admin::serve(listener, site.metrics.clone()));
    }

    let (told, mut slots) = (CancellationToken::new(), JoinSet::new());
    let instance = format!("{:032x}", rand::random::<u128>());
    for number in 0..site.config.tunnels {
        let slot = Slot { number, instance: instance.clone() };
        slots.spawn(slot::keep(slot, Arc::clone(&site), told.clone()));
    }
    stop.await;
    tracing::info!("told to stop: no new streams, open ones have a grace to end");
    told.cancel();
    while slots.join_next().await.is_some() {}
    Ok(())
}

/// Resolves with SIGTERM or SIGINT.
pub async fn told_to_stop() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        // Without handlers the signals end the process by themselves.
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "signals cannot be handled");
            std::future::pending().await
        }
    }
}

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admin port is taken.
    #[error("admin: cannot listen on {address}")]
    Admin {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// See [`MaterialError`].
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// Two metrics of one name.
    #[error("metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}
