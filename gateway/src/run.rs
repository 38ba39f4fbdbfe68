//! The process: make the parts, open the doors, wait for the signal, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sallyport_audit::Event;
use sallyport_audit::event::{GatewayStarted, GatewayStopped};
use sallyport_runtime::admin::{Admin, Readiness, Requirement};
use sallyport_runtime::metrics::Registry;
use sallyport_runtime::shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, Audit, AuditError};
use crate::connections::Connections;
use crate::control::certificates::{CertificateProblem, Certificates};
use crate::control::{self, Control};
use crate::doors::{self, Doors, Opened};
use crate::drain;
use crate::enrolments::Enrolments;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::outer::{Refusals, Unknown};
use crate::peers::Peers;
use crate::place::{Listen, Place};
use crate::queries::Queries;
use crate::readings;
use crate::sessions::Sessions;
use crate::store::Store;
use crate::trust::{self, TrustStore};
use crate::tunnels::Tunnels;
use crate::{inner, outer, peers, renewal};

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
    let running = start(place).await?;
    signal.cancelled().await;
    running.stop().await;
    Ok(())
}

/// A gateway whose doors are bound.
pub struct Running {
    /// Its parts.
    pub gateway: Arc<Gateway>,
    /// Where it listens: as asked for, with ports filled in.
    pub listen: Listen,
    not_draining: Requirement,
    stop: CancellationToken,
    doors: JoinSet<()>,
}

/// Makes the parts and opens the doors.
pub async fn start(place: Place) -> Result<Running, RunError> {
    let registry = Registry::new();
    let readiness = Readiness::new();
    let not_draining = readiness.require("draining");
    not_draining.met();
    let gateway = gateway(place, &registry)?;
    let doors = Arc::new(Doors::default());
    let ready = readiness.require("configuration");
    let certificates = Certificates::open(Arc::clone(&gateway), Arc::clone(&doors), ready)?;
    let certificates = Arc::new(certificates);
    let control = Control::new(Arc::clone(&gateway), Arc::clone(&certificates));
    let stop = CancellationToken::new();
    let admin = Admin::bind(gateway.place.listen.admin, registry, readiness).await.map_err(system("admin port"))?;
    let admin_at = admin.local_addr().map_err(system("admin port"))?;
    tokio::spawn(admin.serve(stop.clone()));
    let (listen, doors) = open_doors(&gateway, &doors, control, admin_at, &stop).await?;
    tokio::spawn(count(Arc::clone(&gateway)));
    tokio::spawn(trust::watch_lists(Arc::clone(&gateway)));
    tokio::spawn(renewal::walk(Arc::clone(&gateway)));
    tokio::spawn(Arc::clone(&certificates).end_hold(stop.clone()));
    tokio::spawn(Arc::clone(&certificates).take_when_valid(stop.clone()));
    tokio::spawn(look_at_mounted(certificates, stop.clone()));
    let started = GatewayStarted { version: env!("CARGO_PKG_VERSION").into() };
    match gateway.audit.append(Event::GatewayStarted(started)).await {
        Ok(_) => {}
        // No session opens until there is room, but a gateway that does not run cannot have its records collected either.
        Err(error @ AuditError::Full) => tracing::error!(%error, "the gateway's start could not be recorded"),
        Err(error) => return Err(error.into()),
    }
    tracing::info!(region = %gateway.place.region, gateway = %gateway.place.gateway, "gateway running");
    Ok(Running { gateway, listen, not_draining, stop, doors })
}

impl Running {
    /// Drains, then closes the doors.
    pub async fn stop(mut self) {
        self.not_draining.unmet("the gateway is stopping");
        drain::drain(&self.gateway).await;
        self.stop.cancel();
        // Connections end between requests; one that does not is not waited for any longer.
        let closed = async { while self.doors.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(5), closed).await.is_err() {
            tracing::warn!("connections were still open at the end");
        }
        if let Err(error) = self.gateway.audit.append(Event::GatewayStopped(GatewayStopped {})).await {
            tracing::error!(%error, "the gateway's end could not be recorded");
        }
    }
}

fn gateway(place: Place, registry: &Registry) -> Result<Arc<Gateway>, RunError> {
    std::fs::create_dir_all(&place.volume).map_err(system("volume"))?;
    let metrics = Metrics::new(registry);
    let volume = audit::Place { volume: &place.volume, region: place.region.clone(), gateway: place.gateway.clone() };
    let audit = Audit::open(volume, metrics.audit.clone())?;
    let store = Store::open(&place.volume);
    let trust = TrustStore::open(&place.volume);
    metrics.generation.set(i64::try_from(store.current().generation).unwrap_or(i64::MAX));
    Ok(Arc::new(Gateway {
        place,
        store,
        trust,
        audit,
        tunnels: Tunnels::default(),
        sessions: Sessions::default(),
        peers: Peers::default(),
        connections: Connections::default(),
        enrolments: Enrolments::default(),
        queries: Queries::default(),
        reading: readings::Limits::default(),
        refusals: Refusals::default(),
        unknown: Unknown::default(),
        metrics,
        draining: watch::Sender::new(false),
    }))
}

async fn open_doors(
    gateway: &Arc<Gateway>,
    doors: &Arc<Doors>,
    control: Control,
    admin: SocketAddr,
    stop: &CancellationToken,
) -> Result<(Listen, JoinSet<()>), RunError> {
    let mut all = JoinSet::new();
    let operators = control::serve_operators(control, stop.clone());
    let attach = move |gateway, stream, from, _| control::accept(operators.clone(), gateway, stream, from);
    let Listen { outer, inner, control, peer, .. } = gateway.place.listen;
    let outer = bind("outer port", outer).await?;
    let inner = bind("inner port", inner).await?;
    let control = bind("control port", control).await?;
    let peer = bind("peer port", peer).await?;
    let listen = Listen { outer: outer.1, inner: inner.1, control: control.1, peer: peer.1, admin };
    let door = Opened { name: "outer", door: |doors| &doors.outer, serve: outer::serve };
    all.spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), outer.0, door, stop.clone()));
    let door = Opened { name: "inner", door: |doors| &doors.inner, serve: inner::serve };
    all.spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), inner.0, door, stop.clone()));
    let door = Opened { name: "peer", door: |doors| &doors.peer, serve: peers::serve };
    all.spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), peer.0, door, stop.clone()));
    let door = Opened { name: "control", door: |doors| &doors.control, serve: attach };
    all.spawn(doors::run(Arc::clone(gateway), Arc::clone(doors), control.0, door, stop.clone()));
    Ok((listen, all))
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let listener = TcpListener::bind(address).await.map_err(system(what))?;
    let bound = listener.local_addr().map_err(system(what))?;
    Ok((listener, bound))
}

/// Kubernetes changes mounted files within a minute or two of their object.
const MOUNTED: Duration = Duration::from_secs(60);

async fn look_at_mounted(certificates: Arc<Certificates>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(MOUNTED)).await.is_some() {
        let certificates = Arc::clone(&certificates);
        // Reads three small files; that it panics would be seen in the log.
        let _ = tokio::task::spawn_blocking(move || certificates.look_at_mounted()).await;
    }
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
