//! One watch: list, watch, begin again, for ever. What is seen goes into a [`Cache`]; who wants to know is told.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
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
    /// What is kept of an object.
    pub keep: fn(K) -> V,
    /// Where it is kept.
    pub cache: Arc<Cache<V>>,
    /// Counts failures.
    pub errors: IntCounter,
}

impl<K, V> Subject<K, V>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Watches until it is dropped.
    pub async fn follow(self, changed: impl Fn(Changed<V>)) {
        let stream = begin(self.api.clone(), self.config.clone()).backoff(DefaultBackoff::default());
        let mut stream = std::pin::pin!(stream);
        let mut listing = Vec::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listing.clear(),
                Ok(Event::InitApply(object)) => listing.push((self.keep)(object)),
                Ok(Event::InitDone) => {
                    let changes = self.cache.replace(&self.scope, std::mem::take(&mut listing));
                    self.cache.set_watch(&self.scope, Watch::Synced);
                    changes.into_iter().for_each(&changed);
                }
                Ok(Event::Apply(object)) => self.cache.put((self.keep)(object)).into_iter().for_each(&changed),
                Ok(Event::Delete(object)) => self.cache.remove(&(self.keep)(object)).into_iter().for_each(&changed),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&self, error: &watcher::Error) {
        self.errors.inc();
        let (code, why) = explain(error);
        let scope = self.scope.as_deref().unwrap_or("all namespaces");
        // What was seen stays: a watch that ends is begun again and told what it missed.
        if self.cache.watch(self.scope.as_deref().unwrap_or_default()) == Watch::Synced && code != Some(403) {
            tracing::debug!(kind = self.what, namespace = scope, reason = %why, "watch begins again");
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
