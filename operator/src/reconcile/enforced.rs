//! Which gateways enforce something, by what they acknowledged.

use std::collections::BTreeMap;

use sallyport_api::common::Enforcement;
use sallyport_core::config::RegionConfig;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::enforcement::{Gateway, Progress, progress};

use super::now;
use crate::context::Context;
use crate::control::links::InForce;
use crate::control::trust::Told;
use crate::kinds::Kind;

/// How far a suspension is: gateways whose configuration in force has it.
pub(super) fn suspension(
    ctx: &Context,
    (kind, key): (Kind, &ObjectKey),
    before: Option<&Enforcement>,
    region: &ObjectKey,
    has_it: impl Fn(&RegionConfig) -> bool,
) -> Progress {
    let gateways = gateways(ctx, region, |pod| ctx.links.in_force(region, pod), has_it);
    measured(ctx, (kind, key), before, &gateways)
}

/// The gateways of these regions, by whether their trust in force has it.
pub(super) fn trust(ctx: &Context, regions: &[ObjectKey], has_it: impl Fn(&Told) -> bool) -> BTreeMap<String, Gateway> {
    let of = |region: &ObjectKey| gateways(ctx, region, |pod| ctx.links.trust(region, pod), &has_it);
    regions.iter().flat_map(of).collect()
}

/// Measures, and counts what has just been enforced.
pub(super) fn measured(
    ctx: &Context,
    (kind, key): (Kind, &ObjectKey),
    before: Option<&Enforcement>,
    gateways: &BTreeMap<String, Gateway>,
) -> Progress {
    let progress = progress(before, ctx.memory.withdrawn_at(kind, key), gateways, now());
    let was = before.is_some_and(|before| before.enforced.is_some());
    if let (false, Some(took)) = (was, progress.status.milliseconds) {
        let took = std::time::Duration::from_millis(took);
        tracing::info!(kind = kind.label(), object = %key, milliseconds = took.as_millis(), "enforced everywhere");
        ctx.metrics.enforced.with_label_values(&[kind.label()]).observe(took.as_secs_f64());
    }
    progress
}

/// Only gateways whose pod exists: another holds no tunnel.
fn gateways<T>(
    ctx: &Context,
    region: &ObjectKey,
    in_force: impl Fn(&str) -> Option<InForce<T>>,
    has_it: impl Fn(&T) -> bool,
) -> BTreeMap<String, Gateway> {
    let state = |pod: &str| match in_force(pod) {
        Some(InForce { what, since }) if has_it(&what) => Gateway::Enforces { since },
        _ if ctx.links.facts(region, pod).attached => Gateway::Owes,
        _ => Gateway::Unreachable,
    };
    let pods = ctx.world.regions.get(region).map(|_| ctx.world.pods_of(region)).unwrap_or_default();
    pods.into_keys().map(|pod| (pod.clone(), state(&pod))).collect()
}
