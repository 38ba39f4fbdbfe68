//! One file per kind. Each `reconcile` is a table of contents: observe, plan, apply, report.

pub mod authority;
pub mod certificate;
pub mod device;
pub mod endpoint;
mod enforced;
mod finalizer;
mod keystore;
pub mod policy;
mod record;
pub mod region;
mod revoked;
mod secret;
pub mod site;

use std::time::Duration;

use jiff::Timestamp;
use sallyport_plan::catalogue::{ObjectKey, region_key};
use sallyport_plan::status::{self, Trouble};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::context::{Context, Shared};
use crate::error::Error;
use crate::kinds::{Kind, Ours};
use crate::queue::Outcome;

/// When to look again, if nothing changes before.
pub type Again = Option<Duration>;

/// Objects of one kind that are worked on at a time. Enough to hide the API server's latency, few enough that a storm
/// of a thousand sites leaves room for the one whose region matters now.
const WORKERS: usize = 4;
/// The same of certificates, which are written in four steps, one after the other, and come by the ten thousand when an
/// authority rotates. Twice as many did not make it faster (`make bench-ca`).
const ISSUERS: usize = 16;

/// Works on the objects of all kinds, until dropped.
pub async fn work(ctx: Shared) {
    let mut workers = tokio::task::JoinSet::new();
    for kind in Kind::ALL {
        let workers_of_kind = if kind == Kind::TunnelCertificate { ISSUERS } else { WORKERS };
        for _ in 0..workers_of_kind {
            workers.spawn(worker(ctx.clone(), kind));
        }
    }
    while workers.join_next().await.is_some() {}
}

/// Reads the keys of all authorities first, so that nothing else finds them not ready yet.
pub async fn authorities(ctx: &Shared) {
    for key in ctx.world.authorities.snapshot().keys() {
        if let Err(error) = authority::reconcile(ctx, key).await {
            log(Kind::CertificateAuthority, key, &error);
        }
    }
}

async fn worker(ctx: Shared, kind: Kind) {
    let Some(queue) = ctx.queues.get(&kind) else { return };
    loop {
        let key = queue.next().await;
        let span = tracing::info_span!("reconcile", kind = kind.label(), object = %key);
        let began = Instant::now();
        let result = dispatch(&ctx, kind, &key).instrument(span).await;
        ctx.metrics.duration.with_label_values(&[kind.label()]).observe(began.elapsed().as_secs_f64());
        let outcome = match result {
            Ok(None) => Outcome::Settled,
            Ok(Some(delay)) => Outcome::Again(delay),
            Err(error) if error.is_gone() => Outcome::Settled,
            Err(error) => {
                log(kind, &key, &error);
                Outcome::Failed
            }
        };
        let label = if outcome == Outcome::Failed { "error" } else { "ok" };
        ctx.metrics.reconciles.with_label_values(&[kind.label(), label]).inc();
        queue.done(&key, outcome);
    }
}

async fn dispatch(ctx: &Context, kind: Kind, key: &ObjectKey) -> Result<Again, Error> {
    match kind {
        Kind::AccessPolicy => policy::reconcile(ctx, key).await,
        Kind::CertificateAuthority => authority::reconcile(ctx, key).await,
        Kind::CustomerSite => site::reconcile(ctx, key).await,
        Kind::Device => device::reconcile(ctx, key).await,
        Kind::DmzRegion => region::reconcile(ctx, key).await,
        Kind::TunnelCertificate => certificate::reconcile(ctx, key).await,
        Kind::TunnelEndpoint => endpoint::reconcile(ctx, key).await,
    }
}

fn log(kind: Kind, key: &ObjectKey, error: &Error) {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    if error.is_conflict() {
        tracing::debug!(kind = kind.label(), object = %key, reason, "somebody wrote first; trying again");
    } else {
        tracing::warn!(kind = kind.label(), object = %key, reason, "failed; trying again");
    }
}

/// Whether an object is in a namespace that this operator may not handle, and another one has spoken for it.
fn handled_elsewhere<K: Ours, T>(object: &K, state: &Result<T, Trouble>) -> bool {
    state.as_ref().is_err_and(Trouble::is_out_of_scope) && status::is_anothers(object.status())
}

/// Whether a site belongs to another operator's region.
fn is_anothers(ctx: &Context, site: &ObjectKey) -> bool {
    ctx.world.sites.get(site).is_some_and(|site| ctx.is_anothers(&region_key(&site)))
}

/// The one clock of the reconciles.
fn now() -> Timestamp {
    Timestamp::now()
}

/// From now until then; at least a second, so that a time in the past is no busy loop.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default().max(Duration::from_secs(1))
}

/// The sooner of two times to look again.
fn sooner(a: Again, b: Again) -> Again {
    a.into_iter().chain(b).min()
}

/// How often to look whether somebody has removed what is in the way: nothing tells the operator of it.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What to do after a trouble was reported: what passes by itself is tried again, later and later; what somebody must
/// put right is looked at now and then; the rest waits for the object that it is about.
fn after_trouble(again: Again, trouble: Trouble) -> Result<Again, Error> {
    match trouble {
        Trouble::Api { .. } | Trouble::Issue(_) | Trouble::Starting(_) => Err(Error::Trouble(trouble)),
        Trouble::ForeignObject(_)
        | Trouble::Password(_)
        | Trouble::NotPermitted { .. }
        | Trouble::AuthorityLost(_)
        | Trouble::AuthorityDamaged(_) => Ok(sooner(again, Some(LOOK_AGAIN))),
        _ => Ok(again),
    }
}
