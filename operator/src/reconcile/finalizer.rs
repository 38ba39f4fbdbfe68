//! The finalizer `sallyport.dev/tunnels-cut`: set on what may have a tunnel, taken away when none is left.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use sallyport_core::config::RegionConfig;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::tunnels_cut::{Decision, FINALIZER, Gateway};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::kinds::Ours;

/// What became of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is there.
    Here,
    /// It is gone, or about to be.
    Released,
}

/// Sets the finalizer, or takes it away when `leaving` says so.
pub(super) async fn keep<K: Ours>(ctx: &Context, object: &K, leaving: Option<&Decision>) -> Result<Kept, Error> {
    let has = object.finalizers().iter().any(|f| f == FINALIZER);
    let others = || object.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect::<Vec<_>>();
    match leaving {
        None if !has => {
            let mut finalizers = others();
            finalizers.push(FINALIZER.to_owned());
            write(ctx, object, finalizers).await?;
            Ok(Kept::Here)
        }
        Some(_) if !has => Ok(Kept::Released),
        Some(Decision::Release) => {
            write(ctx, object, others()).await?;
            tracing::info!(kind = K::KIND.label(), object = %ObjectKey::of(object), "tunnels are cut; released");
            Ok(Kept::Released)
        }
        None | Some(Decision::Wait { .. }) => Ok(Kept::Here),
    }
}

/// A merge that the API server refuses if anybody wrote in between.
async fn write<K: Ours>(ctx: &Context, object: &K, finalizers: Vec<String>) -> Result<(), Error> {
    let key = ObjectKey::of(object);
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let parameters = PatchParams { field_manager: Some(K::KIND.manager()), ..PatchParams::default() };
    ctx.metrics.writes.with_label_values(&[K::KIND.label(), "finalizer"]).inc();
    let written = api.patch(&key.name, &parameters, &Patch::Merge(&patch)).await;
    let mut written = written.map_err(Error::api(format!("set finalizers of {} {key}", K::KIND.label())))?;
    crate::intake::strip(written.meta_mut());
    if written.meta().deletion_timestamp.is_none() {
        K::cache(&ctx.world).put(written);
    }
    Ok(())
}

/// What the pods of these regions enforce, seen through the question whether it `holds` the object.
pub(super) fn gateways(
    ctx: &Context,
    regions: &[ObjectKey],
    holds: impl Fn(&RegionConfig) -> bool,
) -> BTreeMap<String, Gateway> {
    let mut gateways = BTreeMap::new();
    for region in regions.iter().filter(|region| ctx.world.regions.get(region).is_some()) {
        for pod in ctx.world.pods_of(region).into_keys() {
            let state = match ctx.links.in_force(region, &pod) {
                None => Gateway::Unknown,
                Some(config) if holds(&config) => Gateway::Holds,
                Some(_) => Gateway::Without,
            };
            gateways.insert(pod, state);
        }
    }
    gateways
}
