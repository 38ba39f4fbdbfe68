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
    let what = format!("write status of {} {key}", K::KIND.label());
    let body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": { "name": key.name, "namespace": key.namespace, "uid": object.meta().uid },
        "status": new,
    });
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let parameters = PatchParams::apply(&K::KIND.manager()).force();
    ctx.metrics.writes.with_label_values(&[K::KIND.label(), "status"]).inc();
    let mut written = match api.patch_status(&key.name, &parameters, &Patch::Apply(&body)).await {
        Ok(written) => written,
        // It was deleted, or deleted and made anew, in the meantime: its successor has its own turn.
        Err(error) if matches!(crate::error::code(&error), Some(404 | 409)) => return Ok(None),
        Err(error) => return Err(Error::api(what)(error)),
    };
    crate::intake::strip(written.meta_mut());
    K::cache(&ctx.world).put(written);
    if let Some(ready) = ready_changed(object.status(), &new) {
        event(ctx, object, ready).await;
    }
    Ok(None)
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
    let fine = ready.status == "True";
    let key = ObjectKey::of(object);
    tracing::info!(ready = ready.status, reason = ready.reason, "{}", ready.message);
    let event = Event {
        type_: if fine { EventType::Normal } else { EventType::Warning },
        reason: ready.reason.clone(),
        note: Some(ready.message.chars().take(MAX_NOTE / 4).collect()),
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
