//! The platform team's commands: they read and write Sallyport's objects through the Kubernetes API, with the caller's
//! own rights. What becomes of an object is the operator's business; they wait for its word in `status`.
//!
//! ```text
//!  command ─▶ client (kubeconfig; get, list, apply, watch) ─▶ Kubernetes API
//!     └────▶ authority (pure: what an authority's objects say, how a rotation goes)
//!     └────▶ refusal (what the API server said no to, and the remedy)
//! ```
//!
//! Each field is written by server-side apply under a field manager of its own: an apply takes away what the same manager
//! applied before and does not name again.

mod audit;
mod authority;
mod client;
mod enrol;
mod lost;
mod owned;
mod proxy;
pub(crate) mod refusal;
mod revoke;
mod rotate;
mod show;
mod suspend;
mod trust;
mod wait;

use crate::cli::audit::AuditCluster;
use crate::cli::platform::{Ca, Certificate, Enrol, Platform, Trust};
use crate::failure::Failure;
use crate::output::Output;
use client::Cluster;
use suspend::Access;

pub(crate) async fn run(mut command: Platform) -> Result<(), Failure> {
    let kube = command.kube_mut().clone();
    let output = Output::new(kube.output.unwrap_or_default());
    let cluster = Cluster::connect(&kube).await?;
    match command {
        Platform::Ca { command, .. } => match command {
            Ca::History { name } => show::history(&cluster, &name, &output).await,
            Ca::Lost { name, peer, reason, undo: _ } => lost::run(&cluster, &name, &peer, reason, &output).await,
            Ca::Rotate(wish) => rotate::run(&cluster, &wish, &output).await,
            Ca::Status { name } => show::status(&cluster, name.as_deref(), &output).await,
        },
        Platform::Certificate { command: Certificate::Revoke { name, reason, note, wait }, .. } => {
            revoke::run(&cluster, &name, reason.into(), note, wait.within(), &output).await
        }
        Platform::Enrol { command: Enrol::Token { endpoint, valid_for, certificate }, .. } => {
            enrol::token(&cluster, &endpoint, valid_for.length(), certificate.as_deref(), &output).await
        }
        Platform::Resume { target, .. } => suspend::run(&cluster, &target, Access::Allowed, &output).await,
        Platform::Suspend { target, .. } => suspend::run(&cluster, &target, Access::Suspended, &output).await,
        Platform::Trust { command: Trust::Update { engineers_context, from_cluster, config }, .. } => {
            trust::update(&cluster, &from_cluster, engineers_context, config, &output).await
        }
    }
}

pub(crate) async fn audit(mut command: AuditCluster) -> Result<(), Failure> {
    let kube = command.kube_mut().clone();
    let output = Output::new(kube.output.unwrap_or_default());
    let cluster = Cluster::connect(&kube).await?;
    match command {
        AuditCluster::Erase { user, region, legal_basis, yes, wait, .. } => {
            let wish = audit::Erasure { user, region, legal_basis, confirmed: yes, within: wait.within() };
            audit::erase(&cluster, &wish, &output).await
        }
        AuditCluster::Key { region, .. } => audit::key(&cluster, &region, &output).await,
        AuditCluster::Status { region, .. } => audit::status(&cluster, &region, &output).await,
    }
}
