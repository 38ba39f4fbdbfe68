//! Waiting for the operator's word on an object.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::client::{Cluster, Kind};
use super::refusal::Refusal;
use crate::words;

/// The object that is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub within: Duration,
}

/// Shows the object, and every change of it, to `see` until it gives something. `state` says where it stands when time is
/// over.
pub(crate) async fn until<K: Kind, T>(
    cluster: &Cluster,
    awaited: Awaited<'_>,
    mut see: impl FnMut(&K) -> Result<Option<T>, Refusal>,
    state: impl FnOnce() -> String,
) -> Result<T, Refusal> {
    let Awaited { namespace, name, within } = awaited;
    let object = format!("{} {namespace}/{name}", K::kind(&()));
    let end = Instant::now().checked_add(within).unwrap_or_else(Instant::now);
    let mut objects = cluster.watch::<K>(namespace, name);
    loop {
        match timeout_at(end, objects.next()).await {
            Ok(Some(Ok(Some(seen)))) => {
                if let Some(value) = see(&seen)? {
                    return Ok(value);
                }
            }
            Ok(Some(Ok(None)) | None) => {
                return Err(Refusal::Overtaken { object, why: "it was deleted".to_owned() });
            }
            Ok(Some(Err(refusal))) => return Err(refusal),
            Err(_) => {
                return Err(Refusal::NotYet {
                    object,
                    after: words::length(within.as_secs()),
                    state: state(),
                    look: format!(
                        "kubectl get {} {name} --namespace {namespace} --output yaml shows it",
                        K::plural(&())
                    ),
                });
            }
        }
    }
}
