//! The process: make the parts, open the doors, wait for the signal, drain.

use std::sync::Arc;
use std::time::Duration;

use sallyport_audit::Event;
use sallyport_runtime::admin::{Admin, Readiness};
use sallyport_runtime::metrics::Registry;
use sallyport_runtime::shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::audit::{Audit, AuditError};
use crate::control::certificates::{CertificateProblem, Certificates};
use crate::control::{self, Control};
use crate::doors::{self, Doors, Opened};
use crate::drain;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::place::Place;
use crate::sessions::Sessions;
use crate::store::Store;
use crate::tunnels::Tunnels;
use crate::{inner, outer, peers};

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No audit, no access: not even a start.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Without its bootstrap certificate nobody can attach.
    #[error(transparent)]
    Certificates(#[from] CertificateProblem),
    /// A port is taken or the system refuses.
    #[error("{what}: {why}")]
    System {
        /// Which part.
        what: &'static str,
        /// What went wrong.
        why: String,
    },
}

fn system<E: ToString>(what: &'static str) -> impl FnOnce(E) -> RunError {
    move |error| RunError::System { what, why: error.to_string() }
}

/// Runs until SIGTERM or SIGINT, then drains.
pub async fn run(place: Place) -> Result<(), RunError> {
    let signal = shutdown::signal().map_err(system("signals"))?;
    let registry = Registry::new();
    let readiness = Readiness::new();
    let not_draining = readiness.require("draining");
    not_draining.met();
    let gateway = gateway(place, &registry)?;
    let doors = Arc::new(Doors::default());
    let ready = readiness.require("configuration");
    let certificates = Certificates::open(Arc::clone(&gateway), Arc::clone(&doors), ready)?;
    let control = Control::new(Arc::clone(&gateway), Arc::new(certificates));
    let stop = CancellationToken::new();
    let listen = gateway.place.listen.clone();
    let admin = Admin::bind(listen.admin, registry, readiness).await.map_err(system("admin port"))?;
    tokio::spawn(admin.serve(stop.clone()));
    open_doors(&gateway, &doors, control, &stop).await?;
    tokio::spawn(count(Arc::clone(&gateway)));
    gateway.audit.append(Event::GatewayStarted { version: env!("CARGO_PKG_VERSION").into() }).await?;
    tracing::info!(region = %gateway.place.region, gateway = %gateway.place.gateway, "gateway running");
    signal.cancelled().await;
    not_draining.unmet("the gateway is stopping");
    drain::drain(&gateway).await;
    stop.cancel();
    // The last answers and records are on their way; a second is plenty for what is left.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

fn gateway(place: Place, registry: &Registry) -> Result<Arc<Gateway>, RunError> {
    std::fs::create_dir_all(&place.volume).map_err(system("volume"))?;
    let audit = Audit::open(&place.volume, place.gateway.clone())?;
    let metrics = Metrics::new(registry);
    let store = Store::open(&place.volume);
    metrics.generation.set(i64::try_from(store.current().generation).unwrap_or(i64::MAX));
    Ok(Arc::new(Gateway {
        place,
        store,
        audit,
        tunnels: Tunnels::default(),
        sessions: Sessions::default(),
        peers: Peers::default(),
        metrics,
        draining: watch::Sender::new(false),
    }))
}

async fn open_doors(
    gateway: &Arc<Gateway>,
    doors: &Arc<Doors>,
    control: Control,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let listen = &gateway.place.listen;
    let bind = |address| TcpListener::bind(address);
    let outer_port = bind(listen.outer).await.map_err(system("outer port"))?;
    let inner_port = bind(listen.inner).await.map_err(system("inner port"))?;
    let control_port = bind(listen.control).await.map_err(system("control port"))?;
    let peer_port = bind(listen.peer).await.map_err(system("peer port"))?;
    let attach = move |_, stream, from, stop| control::serve(control.clone(), stream, from, stop);
    let outer = Opened { name: "outer", door: |doors| &doors.outer, serve: outer::serve };
    let inner = Opened { name: "inner", door: |doors| &doors.inner, serve: inner::serve };
    let peer = Opened { name: "peer", door: |doors| &doors.peer, serve: peers::serve };
    let control = Opened { name: "control", door: |doors| &doors.control, serve: attach };
    tokio::spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), outer_port, outer, stop.clone()));
    tokio::spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), inner_port, inner, stop.clone()));
    tokio::spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), control_port, control, stop.clone()));
    tokio::spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), peer_port, peer, stop.clone()));
    Ok(())
}

/// Keeps the gauges of what comes and goes.
async fn count(gateway: Arc<Gateway>) {
    let (mut tunnels, mut sessions) = (gateway.tunnels.watch(), gateway.sessions.count());
    loop {
        gateway.metrics.tunnels.set(i64::try_from(gateway.tunnels.all().len()).unwrap_or(i64::MAX));
        gateway.metrics.sessions.set(i64::from(*sessions.borrow_and_update()));
        let changed = tokio::select! {
            changed = tunnels.changed() => changed,
            changed = sessions.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
