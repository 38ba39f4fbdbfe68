//! One watch: list, watch, begin again, for ever. What is seen goes into a [`Cache`]; who wants to know is told.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt as _, watcher as begin};
use kube::{Api, Resource};
use prometheus::IntCounter;
use serde::de::DeserializeOwned;

use crate::cache::{Cache, Changed, Scope, Watch};

/// What a watch is for.
pub struct Subject<K, V> {
    /// As logs and messages spell it.
    pub what: &'static str,
    /// What is watched.
    pub api: Api<K>,
    /// Which of it.
    pub config: watcher::Config,
    /// What it covers.
    pub scope: Scope,
    /// What is kept of an object, unless it cannot be read.
    pub keep: fn(K) -> Result<V, Box<InvalidObject>>,
    /// Where it is kept.
    pub cache: Arc<Cache<V>>,
    /// Counts failures.
    pub errors: IntCounter,
}

/// A watch that fails so often in a row does not only begin again: what was seen gets older and older.
const OFTEN: u32 = 3;

impl<K, V> Subject<K, V>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Watches until it is dropped.
    pub async fn follow(self, changed: impl Fn(Changed<V>)) {
        let stream = begin(self.api.clone(), self.config.clone()).backoff(DefaultBackoff::default());
        let mut stream = std::pin::pin!(stream);
        let (mut listing, mut failures) = (Vec::new(), 0);
        while let Some(event) = stream.next().await {
            failures = if event.is_ok() { 0 } else { failures + 1 };
            match event {
                Ok(Event::Init) => listing.clear(),
                Ok(Event::InitApply(object)) => listing.push(self.read(object)),
                Ok(Event::InitDone) => {
                    let changes = self.cache.replace(&self.scope, std::mem::take(&mut listing));
                    self.cache.set_watch(&self.scope, Watch::Synced);
                    changes.into_iter().for_each(&changed);
                }
                Ok(Event::Apply(object)) => {
                    let seen = self.read(object).ok().and_then(|value| self.cache.put(value));
                    seen.into_iter().for_each(&changed);
                }
                Ok(Event::Delete(object)) => {
                    self.cache.remove(object.meta()).into_iter().for_each(&changed);
                }
                Err(error) => self.failed(&error, failures),
            }
        }
    }

    /// One object that cannot be read (a newer definition than this operator, or an older one) keeps no other from being
    /// seen. What was known of it stays; nothing known of it is nothing that gateways may carry.
    fn read(&self, object: K) -> Result<V, Box<ObjectMeta>> {
        (self.keep)(object).map_err(|unreadable| {
            self.errors.inc();
            let metadata = Box::new(unreadable.metadata.clone());
            let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
            tracing::error!(
                kind = self.what, namespace, name, reason = %unreadable,
                "this object cannot be read, and what was known of it before stays; bring operator and definitions to one version"
            );
            metadata
        })
    }

    fn failed(&self, error: &watcher::Error, failures: u32) {
        self.errors.inc();
        let (code, why) = explain(error);
        let scope = self.scope.as_deref().unwrap_or("all namespaces");
        // What was seen stays: a watch that ends is begun again and told what it missed.
        if self.cache.watch(self.scope.as_deref().unwrap_or_default()) == Watch::Synced && code != Some(403) {
            if failures < OFTEN {
                tracing::debug!(kind = self.what, namespace = scope, reason = %why, "watch begins again");
            } else {
                tracing::error!(kind = self.what, namespace = scope, failures, reason = %why, "watch fails again and again; what was seen before counts");
            }
            return;
        }
        let remedy = match code {
            Some(403) => "the operator may not watch this; add the right, or update the chart",
            Some(404) => "the API server does not know this kind; install the definitions",
            _ => "watch failed; beginning again",
        };
        tracing::error!(kind = self.what, namespace = scope, reason = %why, "{remedy}");
        self.cache.set_watch(&self.scope, Watch::Failing { forbidden: code == Some(403), why });
    }
}

fn explain(error: &watcher::Error) -> (Option<u16>, String) {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => match source {
            kube::Error::Api(status) => (Some(status.code), status.message.clone()),
            other => (None, other.to_string()),
        },
        watcher::Error::WatchError(status) => (Some(status.code), status.message.clone()),
        watcher::Error::NoResourceVersion => (None, error.to_string()),
    }
}
