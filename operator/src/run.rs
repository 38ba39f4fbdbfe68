//! The process: admin port, lease, then everything that only the leader does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use sallyport_runtime::admin::{Admin, Readiness};
use sallyport_runtime::metrics::Registry;
use sallyport_runtime::{shutdown, telemetry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::archive::{LocationError, Wish};
use crate::audit::{self, Audit};
use crate::authorities::Authorities;
use crate::cli::Run;
use crate::context::{Context, Shared};
use crate::control::links::Links;
use crate::control::publisher::{self, Publisher};
use crate::custody::Custody;
use crate::kinds::Kind;
use crate::lease::{Elector, Fence, Leading, LeaseError};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reconcile::authority::{self, ClusterBundles};
use crate::world::World;
use crate::{reconcile, sources};

/// Runs until it is told to stop, or may not go on.
pub async fn run(flags: Run) -> Result<(), RunError> {
    telemetry::init(flags.log_format.parse()?, &flags.log_filter)?;
    let archive = flags.archive()?;
    let stop = shutdown::signal().map_err(RunError::Signals)?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let readiness = Readiness::new();
    let api_server = readiness.require("api-server");
    let admin = Admin::bind(flags.admin_address, registry, readiness).await.map_err(RunError::Admin)?;
    let admin_stop = CancellationToken::new();
    let admin = tokio::spawn(admin.serve(admin_stop.clone()));
    let client = Client::try_default().await.map_err(|e| RunError::Client(Box::new(e)))?;
    // A standby is ready too: it has what it needs to take over.
    api_server.met();

    let result = lead(flags, archive, client, metrics, &stop).await;
    admin_stop.cancel();
    let _ = admin.await;
    result
}

async fn lead(
    flags: Run,
    archive: Option<Wish>,
    client: Client,
    metrics: Metrics,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &flags.operator_namespace);
    let elector = Elector::new(leases, &flags.lease_name, &flags.pod_name);
    let mut leading = tokio::select! {
        leading = elector.lead() => leading,
        () = stop.cancelled() => return Ok(()),
    };
    metrics.leader.set(1);
    let ctx = context(flags, archive, client, metrics, leading.fence());
    let lost = work(&ctx, &mut leading, stop).await;
    ctx.metrics.leader.set(0);
    match lost {
        Some(error) => Err(error.into()),
        None => {
            leading.release().await;
            Ok(())
        }
    }
}

/// What only the leader does. `Some`: the lease is lost, and whatever was under way has been dropped.
async fn work(ctx: &Shared, leading: &mut Leading, stop: &CancellationToken) -> Option<LeaseError> {
    let mut tasks = JoinSet::new();
    sources::begin(ctx, &mut tasks);
    let shared = ctx.clone();
    tasks.spawn(async move {
        sources::seen(&shared).await;
        tracing::info!("everything has been seen");
        reconcile::authorities(&shared).await;
        authority::sweep(&shared).await;
        begin(&shared);
        tokio::join!(publisher::run(shared.clone()), reconcile::work(shared.clone()), audit::run(shared));
    });
    let lost = tokio::select! {
        error = leading.hold() => Some(error),
        () = stop.cancelled() => None,
    };
    // Nothing of this process writes once another may lead.
    tasks.shutdown().await;
    lost
}

/// Everything is looked at once.
fn begin(ctx: &Context) {
    let all = ctx.world.catalogue();
    all.regions.keys().for_each(|key| ctx.publisher.mark(key));
    let wake = |kind: Kind, keys: Vec<_>| keys.into_iter().for_each(|key| ctx.wake(kind, key));
    wake(Kind::CertificateAuthority, ctx.world.authorities.snapshot().keys().cloned().collect());
    wake(Kind::DmzRegion, all.regions.keys().cloned().collect());
    wake(Kind::CustomerSite, all.sites.keys().cloned().collect());
    wake(Kind::TunnelEndpoint, all.endpoints.keys().cloned().collect());
    wake(Kind::TunnelCertificate, ctx.world.certificates.snapshot().keys().cloned().collect());
    wake(Kind::Device, all.devices.keys().cloned().collect());
    wake(Kind::AccessPolicy, all.policies.keys().cloned().collect());
}

fn context(flags: Run, archive: Option<Wish>, client: Client, metrics: Metrics, fence: Fence) -> Shared {
    let reporter = Reporter { controller: "sallyport-operator".to_owned(), instance: Some(flags.pod_name.clone()) };
    Arc::new(Context {
        for_regions: flags.for_regions(),
        for_secrets: flags.for_secrets(),
        world: World::default(),
        queues: Kind::ALL.into_iter().map(|kind| (kind, Queue::default())).collect(),
        authorities: Authorities::default(),
        custody: Custody::new(flags.pkcs11_module.clone()),
        cluster_bundles: ClusterBundles::default(),
        fence,
        audit: Audit::new(archive),
        links: Links::new(Timestamp::now()),
        publisher: Publisher::default(),
        memory: Memory::default(),
        recorder: Recorder::new(client.clone(), reporter),
        client,
        metrics,
        written: Mutex::new(HashMap::new()),
        flags,
    })
}

/// What every reconcile has at hand, of a process that leads and sees nothing. Must be called within a runtime.
#[cfg(test)]
pub(crate) fn idle() -> Shared {
    idle_with(&[])
}

/// The same, with more flags.
#[cfg(test)]
pub(crate) fn idle_with(more: &[&str]) -> Shared {
    use clap::Parser as _;
    let arguments = ["sallyport-operator", "run", "--gateway-image", "image", "--region-namespaces", "dmz"];
    let arguments = arguments.iter().chain(more);
    let crate::cli::Command::Run(flags) = crate::cli::Cli::parse_from(arguments).command else { unreachable!() };
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nowhere).unwrap();
    context(*flags, None, client, Metrics::new(&Registry::new()), Fence::leading())
}

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admin port.
    #[error("bind the admin port")]
    Admin(#[source] std::io::Error),
    /// The flags of the archive.
    #[error("read the flags")]
    Archive(#[from] LocationError),
    /// The API server's address or credentials.
    #[error("configure the Kubernetes client")]
    Client(#[source] Box<kube::Error>),
    /// The lease is lost: another replica may work now.
    #[error("stopped leading")]
    Lease(#[from] LeaseError),
    /// Signal handlers.
    #[error("install signal handlers")]
    Signals(#[source] std::io::Error),
    /// Logging.
    #[error("begin logging")]
    Telemetry(#[from] telemetry::TelemetryError),
}
