//! Writing what a region is made of. Silent when everything is as it should be; never touches what is not ours.

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::labels::{self, Owner};
use sallyport_plan::objects::{self, Child};
use sallyport_plan::status::Trouble;
use sallyport_plan::{drift, names};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;

/// Brings one child about. Nothing is written when it is as it should be.
pub async fn child(ctx: &Context, kind: Kind, namespace: &str, owner: &Owner, child: &Child) -> Result<(), Error> {
    bring_about(ctx, kind, namespace, child, |metadata| labels::is_controlled_by(metadata, &owner.uid)).await
}

/// Brings an object about that has no owner, because it outlives the object that it is for. One that an older operator
/// gave an owner loses that.
pub async fn ownerless(
    ctx: &Context,
    kind: Kind,
    namespace: &str,
    child: &Child,
    is_ours: impl Fn(&ObjectMeta) -> bool,
) -> Result<(), Error> {
    let key = ObjectKey::new(namespace, &child.name);
    bring_about(ctx, kind, namespace, child, is_ours).await?;
    let Some(object) = ctx.world.child(child.kind, &key) else { return Ok(()) };
    if object.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    tracing::info!(kind = child.kind.label(), object = %key, "taking its owner away");
    ctx.metrics.writes.with_label_values(&[child.kind.label(), "correct"]).inc();
    let parameters = PatchParams { field_manager: Some(kind.manager()), ..PatchParams::default() };
    let nobody = Patch::Merge(json!({ "metadata": { "ownerReferences": null } }));
    let patched = api(ctx, child.kind, namespace).patch(&child.name, &parameters, &nobody).await;
    let what = format!("take the owner of {} {key} away", child.kind.label());
    remember(ctx, child.kind, patched.map_err(Error::api(what))?);
    Ok(())
}

async fn bring_about(
    ctx: &Context,
    kind: Kind,
    namespace: &str,
    child: &Child,
    is_ours: impl Fn(&ObjectMeta) -> bool,
) -> Result<(), Error> {
    let api = api(ctx, child.kind, namespace);
    let key = ObjectKey::new(namespace, &child.name);
    let cached = ctx.world.child(child.kind, &key);
    // The cache holds only what bears our labels, so an absence there proves nothing.
    let observed = match cached {
        Some(object) => Some((*object).clone()),
        None => found(api.get(&child.name).await).map_err(Error::api(format!("read {} {key}", child.kind.label())))?,
    };
    if observed.as_ref().is_some_and(|object| !is_ours(&object.metadata)) {
        return Err(foreign(child.kind, &key));
    }
    let covered = |object: &DynamicObject| drift::covers(&child.object, &value(object, &child.object));
    if observed.as_ref().is_some_and(covered) {
        return Ok(());
    }
    tracing::info!(kind = child.kind.label(), object = %key, "applying");
    ctx.metrics.writes.with_label_values(&[child.kind.label(), "apply"]).inc();
    let parameters = PatchParams::apply(&kind.manager()).force();
    let applied = api.patch(&child.name, &parameters, &Patch::Apply(&child.object)).await;
    let applied = match (applied, observed) {
        // An apply merges lists by their elements' keys. Where somebody changed such a key (a port's number), ours beside
        // theirs can be invalid (two ports of one name): then theirs is replaced without applying first.
        (Err(kube::Error::Api(status)), Some(observed)) if status.code == 422 => {
            tracing::debug!(kind = child.kind.label(), object = %key, reason = status.message, "apply is invalid");
            observed
        }
        (applied, _) => applied.map_err(Error::api(format!("apply {} {key}", child.kind.label())))?,
    };
    let applied = correct(ctx, &api, kind, child, applied).await?;
    remember(ctx, child.kind, applied);
    Ok(())
}

/// Removes what an apply leaves: elements that somebody else added to a list that is ours.
async fn correct(
    ctx: &Context,
    api: &Api<DynamicObject>,
    kind: Kind,
    child: &Child,
    applied: DynamicObject,
) -> Result<DynamicObject, Error> {
    let now = value(&applied, &child.object);
    if drift::covers(&child.object, &now) {
        return Ok(applied);
    }
    let what = format!("correct {} {}", child.kind.label(), child.name);
    tracing::warn!(kind = child.kind.label(), object = child.name, "removing what somebody added");
    ctx.metrics.writes.with_label_values(&[child.kind.label(), "correct"]).inc();
    let mut corrected = drift::corrected(&child.object, &now);
    if let Some(object) = corrected.as_object_mut() {
        object.remove("status");
    }
    let parameters = PatchParams { field_manager: Some(kind.manager()), ..PatchParams::default() };
    api.patch(&child.name, &parameters, &Patch::Merge(&corrected)).await.map_err(Error::api(what))
}

/// Deletes what a region had and no longer wants.
pub async fn prune(ctx: &Context, region: &ObjectKey, owner: &Owner, wanted: &[Child]) -> Result<(), Error> {
    for (kind, cache) in &ctx.world.children {
        let objects = cache.snapshot();
        let ours = objects.iter().filter(|(key, object)| {
            key.namespace == region.namespace && labels::is_controlled_by(&object.metadata, &owner.uid)
        });
        for (key, object) in ours {
            let keep = wanted.iter().any(|child| child.kind == *kind && child.name == key.name);
            if keep || object.metadata.deletion_timestamp.is_some() {
                continue;
            }
            tracing::info!(kind = kind.label(), object = %key, owner = owner.name, "deleting what is no longer wanted");
            delete(ctx, *kind, key, object).await?;
        }
    }
    Ok(())
}

async fn delete(ctx: &Context, kind: objects::Kind, key: &ObjectKey, object: &DynamicObject) -> Result<(), Error> {
    let preconditions =
        Preconditions { resource_version: object.metadata.resource_version.clone(), uid: object.metadata.uid.clone() };
    let parameters = DeleteParams::background().preconditions(preconditions);
    ctx.metrics.writes.with_label_values(&[kind.label(), "delete"]).inc();
    let deleted = api(ctx, kind, &key.namespace).delete(&key.name, &parameters).await;
    found(deleted).map(drop).map_err(Error::api(format!("delete {} {key}", kind.label())))
}

/// A Secret with a certificate. Who calls has made sure that it is ours or not there.
pub async fn secret(ctx: &Context, kind: Kind, namespace: &str, child: &Child) -> Result<(), Error> {
    let what = format!("apply Secret {namespace}/{}", child.name);
    ctx.metrics.writes.with_label_values(&["Secret", "apply"]).inc();
    let api: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let parameters = PatchParams::apply(&kind.manager()).force();
    let applied = api.patch(&child.name, &parameters, &Patch::Apply(&child.object)).await.map_err(Error::api(what))?;
    ctx.world.secrets.put(crate::intake::secret(applied));
    Ok(())
}

/// The trouble of finding somebody else's object where ours should be.
pub fn foreign(kind: objects::Kind, key: &ObjectKey) -> Error {
    Error::Trouble(Trouble::ForeignObject(format!("{} {key}", kind.label())))
}

/// The client for a kind of child.
pub fn api(ctx: &Context, kind: objects::Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(ctx.client.clone(), namespace, &resource(kind))
}

/// How the API server calls a kind of child.
pub fn resource(kind: objects::Kind) -> ApiResource {
    let (group, version, name, plural) = kind.coordinates();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.into(), version: version.into(), api_version, kind: name.into(), plural: plural.into() }
}

/// The host names of everything the operator dials are made in one place.
pub fn control_host(pod: &str, region: &ObjectKey) -> String {
    names::pod_host(pod, &region.name, &region.namespace)
}

fn remember(ctx: &Context, kind: objects::Kind, object: DynamicObject) {
    if let Some(cache) = ctx.world.children.get(&kind) {
        cache.put(crate::intake::child(object));
    }
}

/// An object as JSON. Items of a list do not say their own kind, so it is taken from what was asked for.
fn value(object: &DynamicObject, asked: &Value) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    for key in ["apiVersion", "kind"] {
        value[key] = asked[key].clone();
    }
    value
}
