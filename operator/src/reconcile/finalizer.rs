//! Finalizers: `sallyport.dev/tunnels-cut` on what may have a tunnel, `sallyport.dev/certificate-revoked` on what may
//! have a certificate; taken away when none is left that counts.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use sallyport_core::config::RegionConfig;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::tunnels_cut::{Decision, Gateway};
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

/// What is wished of an object's finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The object stays.
    Keep,
    /// It is being deleted, and may go.
    Release,
    /// It is being deleted, and waits.
    Wait,
}

impl Wish {
    /// What the tunnels of an object want.
    pub(super) fn of(leaving: Option<&Decision>) -> Self {
        match leaving {
            None => Self::Keep,
            Some(Decision::Release) => Self::Release,
            Some(Decision::Wait { .. }) => Self::Wait,
        }
    }
}

/// Sets a finalizer, or takes it away when the object may go.
pub(super) async fn keep<K: Ours>(ctx: &Context, object: &K, finalizer: &str, wish: Wish) -> Result<Kept, Error> {
    let has = object.finalizers().iter().any(|f| f == finalizer);
    let others = || object.finalizers().iter().filter(|f| *f != finalizer).cloned().collect::<Vec<_>>();
    match wish {
        Wish::Keep if !has => {
            let mut finalizers = others();
            finalizers.push(finalizer.to_owned());
            write(ctx, object, finalizers).await?;
            Ok(Kept::Here)
        }
        Wish::Release | Wish::Wait if !has => Ok(Kept::Released),
        Wish::Release => {
            write(ctx, object, others()).await?;
            tracing::info!(kind = K::KIND.label(), object = %ObjectKey::of(object), finalizer, "released");
            Ok(Kept::Released)
        }
        Wish::Keep | Wish::Wait => Ok(Kept::Here),
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
                Some(config) if holds(&config.what) => Gateway::Holds,
                Some(_) => Gateway::Without,
            };
            gateways.insert(pod, state);
        }
    }
    gateways
}
