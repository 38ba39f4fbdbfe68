//! The Kubernetes API, with errors that name what was tried, the right that is missing, and where it was looked for.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::{Client, Config, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::proxy;
use super::refusal::Refusal;
use crate::cli::platform::Kube;
use crate::failure::chain;

/// An API server that takes longer for one request is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any healthy way to an API server.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Objects in one answer; a fleet of ten thousand endpoints is read in twenty.
const PAGE: u32 = 500;

/// A namespaced kind whose name the type knows.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

/// A cluster, and the namespace that is meant when none is named.
pub(crate) struct Cluster {
    client: Client,
    server: String,
    pub namespace: String,
}

impl Cluster {
    /// From the flags, the environment, or the pod that this runs in. Nothing is sent yet.
    pub(crate) async fn connect(kube: &Kube) -> Result<Self, Refusal> {
        let mut config = config(kube).await?;
        // kube compares NO_PROXY with the proxy's own name.
        let no_proxy = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default();
        if proxy::bypasses(&no_proxy, config.cluster_url.host().unwrap_or_default()) {
            config.proxy_url = None;
        }
        config.connect_timeout = Some(CONNECT_WITHIN);
        let (server, default) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Refusal::Kubeconfig { why: chain(&error) })?;
        Ok(Self { client, server, namespace: kube.namespace.clone().unwrap_or(default) })
    }

    pub(crate) async fn get<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, Refusal> {
        let tried = Tried::new::<K>("get", namespace, name);
        self.answer(tried, self.api(namespace).get(name)).await
    }

    /// All of a namespace.
    pub(crate) async fn list<K: Kind>(&self, namespace: &str) -> Result<Vec<K>, Refusal> {
        let api: Api<K> = self.api(namespace);
        let (mut objects, mut parameters) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let page = self.answer(Tried::new::<K>("list", namespace, ""), api.list(&parameters)).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }

    /// Writes fields of a spec, whoever wrote them before: it is a person's explicit word. The object must be the one that
    /// was read; none is created.
    pub(crate) async fn apply<K: Kind>(&self, manager: &str, read: &K, spec: &Value) -> Result<K, Refusal> {
        self.send(manager, read, json!({ "uid": read.uid() }), spec).await
    }

    /// The same, and a conflict when the object has changed since it was read.
    pub(crate) async fn apply_unchanged<K: Kind>(&self, manager: &str, read: &K, spec: &Value) -> Result<K, Refusal> {
        self.send(manager, read, json!({ "uid": read.uid(), "resourceVersion": read.resource_version() }), spec).await
    }

    async fn send<K: Kind>(&self, manager: &str, read: &K, mut metadata: Value, spec: &Value) -> Result<K, Refusal> {
        let (namespace, name) = (read.namespace().unwrap_or_default(), read.name_any());
        metadata["name"] = json!(name);
        metadata["namespace"] = json!(namespace);
        let (version, kind) = (K::api_version(&()), K::kind(&()));
        let object = json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec });
        let api: Api<K> = self.api(&namespace);
        let parameters = PatchParams::apply(manager).force();
        let tried = Tried::new::<K>("patch", &namespace, &name);
        self.answer(tried, api.patch(&name, &parameters, &Patch::Apply(&object))).await
    }

    /// The object now and whenever it changes; nothing when it is gone. Broken connections are made again; a refusal ends
    /// it.
    pub(crate) fn watch<K: Kind>(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Stream<Item = Result<Option<K>, Refusal>> + Unpin + use<'_, K> {
        let tried = Tried::new::<K>("watch", namespace, name);
        let stream = watcher::watcher(
            self.api::<K>(namespace),
            watcher::Config::default().fields(&format!("metadata.name={name}")),
        );
        let mut seen = false;
        let objects = stream.default_backoff().filter_map(move |event| {
            let object = match event {
                Ok(watcher::Event::Apply(object)) => Some(Ok(Some(object))),
                Ok(watcher::Event::InitApply(object)) => {
                    seen = true;
                    Some(Ok(Some(object)))
                }
                Ok(watcher::Event::Init) => {
                    seen = false;
                    None
                }
                Ok(watcher::Event::InitDone) => (!seen).then_some(Ok(None)),
                Ok(watcher::Event::Delete(_)) => Some(Ok(None)),
                Err(error) => fatal(error).map(|error| Err(self.refusal(&tried, error))),
            };
            std::future::ready(object)
        });
        objects.boxed().into_stream()
    }

    fn api<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn answer<T>(&self, tried: Tried, request: impl Future<Output = kube::Result<T>>) -> Result<T, Refusal> {
        match tokio::time::timeout(ANSWER_WITHIN, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.refusal(&tried, error)),
            Err(_) => Err(self.unreachable(&tried, format!("nothing within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    fn refusal(&self, tried: &Tried, error: kube::Error) -> Refusal {
        let what = tried.to_string();
        let kube::Error::Api(status) = error else {
            return self.unreachable(tried, chain(&error));
        };
        let message = status.message.clone();
        match status.code {
            401 => Refusal::Unauthenticated { what, message },
            403 => Refusal::Forbidden { what, right: tried.right(), message },
            // Of an object there are details; of a path that is not served there are none.
            404 if tried.name.is_empty() || status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                Refusal::NoSuchKind { what, kind: tried.kind.clone() }
            }
            404 => Refusal::NotFound {
                kind: tried.kind.clone(),
                namespace: tried.namespace.clone(),
                name: tried.name.clone(),
                plural: tried.plural.clone(),
            },
            409 => Refusal::Conflict { what, message },
            400 | 422 => Refusal::Refused { what, message },
            _ => self.unreachable(tried, message),
        }
    }

    fn unreachable(&self, tried: &Tried, why: String) -> Refusal {
        Refusal::Unreachable { what: tried.to_string(), server: self.server.clone(), why }
    }
}

async fn config(kube: &Kube) -> Result<Config, Refusal> {
    let options = KubeConfigOptions { context: kube.context.clone(), ..KubeConfigOptions::default() };
    let unusable = |error: KubeconfigError| Refusal::Kubeconfig { why: chain(&error) };
    let read = match &kube.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(unusable)?,
        None => match Kubeconfig::read() {
            Ok(read) => read,
            Err(error) if kube.context.is_some() => return Err(unusable(error)),
            // In a pod there is none, and the service account's is right; elsewhere the kubeconfig's error is the useful one.
            Err(error) => return Config::incluster().map_err(|_| unusable(error)),
        },
    };
    Config::from_custom_kubeconfig(read, &options).await.map_err(unusable)
}

/// Trying again does not help against these.
fn fatal(error: watcher::Error) -> Option<kube::Error> {
    let inner = match error {
        watcher::Error::InitialListFailed(inner) | watcher::Error::WatchStartFailed(inner) => inner,
        _ => return None,
    };
    let refused = matches!(&inner, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404));
    refused.then_some(inner)
}

/// What was tried, for errors.
#[derive(Clone, Debug)]
struct Tried {
    verb: &'static str,
    kind: String,
    group: String,
    plural: String,
    namespace: String,
    name: String,
}

impl Tried {
    fn new<K: Kind>(verb: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            kind: K::kind(&()).into_owned(),
            group: K::group(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn right(&self) -> String {
        let resource =
            if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) };
        format!("{} {resource} in namespace {}", self.verb, self.namespace)
    }
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "{} {} in namespace {}", self.verb, self.plural, self.namespace),
            name => write!(f, "{} {} {}/{name}", self.verb, self.kind, self.namespace),
        }
    }
}
