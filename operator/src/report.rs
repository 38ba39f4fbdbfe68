//! Writing a status: only when it differs, and not more than once a second unless something flips.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use sallyport_api::common::Condition;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::{Conditioned as _, needs_write, ready_changed};
use serde_json::json;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::Error;
use crate::kinds::Ours;

/// Counts of a busy region change all the time; people look once a second at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// A status that was not written for this long is calm: whatever comes next is told at once.
const CALM: Duration = Duration::from_secs(10);
/// So many flips of an object that is not calm are told at once; then it waits like everything else. Should another
/// program write the same status, this is all the harm it can do.
const MOST_FLIPS: u32 = 5;
/// The API server takes 1024 bytes in an Event's note.
const MAX_NOTE: usize = 1000;

/// When an object's status was last written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    at: Instant,
    flips: u32,
}

/// Writes a status if it differs. `Some` says that it is to be written later, after this long.
pub async fn status<K: Ours>(ctx: &Context, object: &K, new: K::Status) -> Result<Option<Duration>, Error> {
    if !needs_write(object.status(), &new) {
        return Ok(None);
    }
    let key = ObjectKey::of(object);
    if let Some(wait) = too_soon(ctx, object, &new, &key) {
        return Ok(Some(wait));
    }
    match write(ctx, object, &new, Over::ThisObject).await {
        Ok(_) => {}
        // It was deleted, or deleted and made anew, in the meantime: its successor has its own turn.
        Err(error) if error.is_gone() || error.is_conflict() => return Ok(None),
        Err(error) => return Err(error),
    }
    if let Some(ready) = ready_changed(object.status(), &new) {
        event(ctx, object, ready).await;
    }
    Ok(None)
}

/// The same, over exactly the version that was read: for a status that is a memory. That somebody wrote in between is an
/// error ([`Error::is_conflict`]).
pub async fn guarded<K: Ours>(ctx: &Context, object: &K, new: K::Status) -> Result<Option<Duration>, Error> {
    if !needs_write(object.status(), &new) {
        return Ok(None);
    }
    if let Some(wait) = too_soon(ctx, object, &new, &ObjectKey::of(object)) {
        return Ok(Some(wait));
    }
    write(ctx, object, &new, Over::ThisVersion).await?;
    if let Some(ready) = ready_changed(object.status(), &new) {
        event(ctx, object, ready).await;
    }
    Ok(None)
}

/// Over what a status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Whatever its version.
    ThisObject,
    /// Nothing but the version that was read.
    ThisVersion,
}

/// Writes a status now, and remembers the object as it is after that.
pub async fn write<K: Ours>(ctx: &Context, object: &K, new: &K::Status, over: Over) -> Result<K, Error> {
    let key = ObjectKey::of(object);
    let what = format!("write status of {} {key}", K::KIND.label());
    let mut body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": { "name": key.name, "namespace": key.namespace, "uid": object.meta().uid },
        "status": new,
    });
    if over == Over::ThisVersion {
        body["metadata"]["resourceVersion"] = json!(object.meta().resource_version);
    }
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let parameters = PatchParams::apply(&K::KIND.manager()).force();
    ctx.metrics.writes.with_label_values(&[K::KIND.label(), "status"]).inc();
    let written = api.patch_status(&key.name, &parameters, &Patch::Apply(&body)).await;
    let mut written = written.map_err(Error::api(what))?;
    crate::intake::strip(written.meta_mut());
    K::cache(&ctx.world).put(written.clone());
    Ok(written)
}

fn too_soon<K: Ours>(ctx: &Context, object: &K, new: &K::Status, key: &ObjectKey) -> Option<Duration> {
    let mut written = ctx.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let now = Instant::now();
    if written.len() > 10_000 {
        written.retain(|_, w| now.duration_since(w.at) < CALM);
    }
    let before = written.get(&(K::KIND, key.clone())).copied();
    let Some(before) = before.filter(|before| now.duration_since(before.at) < CALM) else {
        written.insert((K::KIND, key.clone()), Written { at: now, flips: 0 });
        return None;
    };
    let wait = INTERVAL.saturating_sub(now.duration_since(before.at));
    let at_once = flips(object, new) && before.flips < MOST_FLIPS;
    if !wait.is_zero() && !at_once {
        return Some(wait);
    }
    let flips = before.flips + u32::from(at_once);
    written.insert((K::KIND, key.clone()), Written { at: now, flips });
    None
}

/// Whether a condition becomes another, or the spec another generation: that is told at once.
fn flips<K: Ours>(object: &K, new: &K::Status) -> bool {
    let outline = |conditions: &[Condition]| {
        conditions.iter().map(|c| (c.type_.clone(), c.status.clone(), c.observed_generation)).collect::<Vec<_>>()
    };
    object.status().map(|old| outline(old.conditions())) != Some(outline(new.conditions()))
}

async fn event<K: Ours>(ctx: &Context, object: &K, ready: &Condition) {
    let type_ = if ready.status == "True" { EventType::Normal } else { EventType::Warning };
    tracing::info!(ready = ready.status, reason = ready.reason, "{}", ready.message);
    tell(ctx, object, type_, &ready.reason, &ready.message).await;
}

/// Records an Event about an object. One that cannot be recorded keeps nobody from anything.
pub async fn tell<K: Ours>(ctx: &Context, object: &K, type_: EventType, reason: &str, note: &str) {
    let key = ObjectKey::of(object);
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note.chars().take(MAX_NOTE / 4).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let reference = ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(object.name_any()),
        namespace: object.namespace(),
        uid: object.uid(),
        ..ObjectReference::default()
    };
    ctx.metrics.writes.with_label_values(&[K::KIND.label(), "event"]).inc();
    if let Err(error) = ctx.recorder.publish(&event, &reference).await {
        tracing::debug!(object = %key, reason = %error, "event was not recorded");
    }
}
