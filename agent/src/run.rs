//! `sallyport-agent run`: the slots, the look at the files, the renewal, and the admin port, until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use sallyport_runtime::admin::{Admin, Readiness};
use sallyport_runtime::metrics::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::dial::Slot;
use crate::handler::Site;
use crate::material::MaterialError;
use crate::metrics::Metrics;
use crate::renew;
use crate::slot;
use crate::surroundings::Surroundings;

/// Runs the agent until `stop` is cancelled and the tunnels have ended.
pub async fn run(config: Config, surroundings: Surroundings, stop: CancellationToken) -> Result<(), RunError> {
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let metrics = Metrics::new(&registry, &readiness);
    let admin = match config.admin {
        Some(address) => {
            let bound = Admin::bind(address, registry, readiness).await;
            Some(bound.map_err(|source| RunError::Admin { address, source })?)
        }
        None => None,
    };
    let enrolled = config.certificate.exists() || config.key.exists();
    let site = Site::open(config, surroundings, metrics);
    let site = Arc::new(site.map_err(|error| if enrolled { error.into() } else { RunError::NotEnrolled(error) })?);
    tracing::info!(
        endpoint = %site.material().endpoint,
        gateway = %site.config.gateway.host,
        version = env!("CARGO_PKG_VERSION"),
        "agent starts"
    );
    let mut background = JoinSet::new();
    let current = Arc::clone(&site);
    background.spawn(async move { current.keep_current().await });
    if site.config.renew {
        background.spawn(renew::keep(Arc::clone(&site), renew::Pace::DEFAULT, stop.clone()));
    }
    if let Some(admin) = admin {
        let stop = stop.clone();
        background.spawn(async move {
            if let Err(error) = admin.serve(stop).await {
                tracing::error!(%error, "admin port failed");
            }
        });
    }

    let mut slots = JoinSet::new();
    let instance = format!("{:032x}", rand::random::<u128>());
    for number in 0..site.config.tunnels {
        let slot = Slot { number, instance: instance.clone() };
        slots.spawn(slot::keep(slot, Arc::clone(&site), stop.clone()));
    }
    // They end only when told to, after their open streams or the grace.
    while slots.join_next().await.is_some() {}
    Ok(())
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
    /// There is neither certificate nor key.
    #[error("this agent has no certificate yet: enrol it first, see sallyport-agent enrol --help")]
    NotEnrolled(#[source] MaterialError),
}
