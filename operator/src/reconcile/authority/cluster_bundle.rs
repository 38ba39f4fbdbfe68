//! The bundle as a `ClusterTrustBundle`, where the API server serves that kind. Pods of any namespace can then mount it.
//! What cannot be done here keeps nobody from anything: it is a note in the condition.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use sallyport_api::CertificateAuthority;
use sallyport_pki::bundle::TrustBundle;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::{drift, labels, names, objects};
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;

const GROUP: &str = "certificates.k8s.io";
/// Newest first.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// Nobody tells the operator when somebody changes the bundle, or when the API server begins to serve the kind.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// What is known of the kind and of what was written.
#[derive(Debug, Default)]
pub struct ClusterBundles {
    served: Mutex<Option<(Instant, Option<&'static str>)>>,
    written: Mutex<BTreeMap<ObjectKey, (Instant, String)>>,
}

impl ClusterBundles {
    fn is_settled(&self, key: &ObjectKey, digest: &str) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(key).is_some_and(|(at, known)| known == digest && at.elapsed() < LOOK_AGAIN)
    }

    fn settle(&self, key: &ObjectKey, digest: String) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), (Instant::now(), digest));
    }

    fn served(&self) -> Option<Option<&'static str>> {
        let served = *self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.filter(|(at, _)| at.elapsed() < LOOK_AGAIN).map(|(_, version)| version)
    }
}

/// Publishes, or takes away what is no longer to be published. What a person should know of it.
pub(super) async fn bring_about(
    ctx: &Context,
    key: &ObjectKey,
    object: &CertificateAuthority,
    bundle: &TrustBundle,
) -> Option<String> {
    let wanted = object.spec.publish.cluster_trust_bundle;
    let digest = if wanted { bundle.digest() } else { String::new() };
    if ctx.cluster_bundles.is_settled(key, &digest) {
        return None;
    }
    let done = if wanted { publish(ctx, key, bundle).await } else { remove(ctx, key).await };
    match done {
        Ok(()) => {
            ctx.cluster_bundles.settle(key, digest);
            None
        }
        Err(error) => {
            let trouble = sallyport_plan::status::Trouble::from(error);
            Some(format!("the ClusterTrustBundle is not published: {trouble}"))
        }
    }
}

async fn publish(ctx: &Context, key: &ObjectKey, bundle: &TrustBundle) -> Result<(), Error> {
    let Some(version) = version(ctx).await? else { return Ok(()) };
    let (name, api) = (names::cluster_trust_bundle(&key.namespace, &key.name), api(ctx, version));
    let wanted = objects::authority::cluster_trust_bundle(version, &key.namespace, &key.name, &bundle.to_pem());
    if let Some(observed) =
        found(api.get(&name).await).map_err(Error::api(format!("read ClusterTrustBundle {name}")))?
    {
        if !is_ours(&observed, key) {
            let foreign = format!("ClusterTrustBundle {name}");
            return Err(Error::Trouble(sallyport_plan::status::Trouble::ForeignObject(foreign)));
        }
        let observed = serde_json::to_value(&observed).unwrap_or_default();
        if drift::covers(&wanted["spec"], &observed["spec"]) {
            return Ok(());
        }
    }
    ctx.metrics.writes.with_label_values(&["ClusterTrustBundle", "apply"]).inc();
    let parameters = PatchParams::apply(&Kind::CertificateAuthority.manager()).force();
    let applied = api.patch(&name, &parameters, &Patch::Apply(&wanted)).await;
    applied.map(drop).map_err(Error::api(format!("apply ClusterTrustBundle {name}")))
}

/// Deletes an authority's bundle, if it is there and ours.
pub(super) async fn remove(ctx: &Context, key: &ObjectKey) -> Result<(), Error> {
    if !ctx.for_regions.contains(&key.namespace) {
        return Ok(());
    }
    let Some(version) = version(ctx).await? else { return Ok(()) };
    let (name, api) = (names::cluster_trust_bundle(&key.namespace, &key.name), api(ctx, version));
    let observed = found(api.get(&name).await).map_err(Error::api(format!("read ClusterTrustBundle {name}")))?;
    match observed.filter(|observed| is_ours(observed, key)) {
        Some(observed) => delete(ctx, &api, &observed).await,
        None => Ok(()),
    }
}

/// Deletes what authorities left that were deleted while nobody looked. Called once, when everything has been seen.
pub async fn sweep(ctx: &Context) {
    if let Err(error) = try_sweep(ctx).await {
        tracing::debug!(reason = %error, "ClusterTrustBundles of deleted authorities were not looked for");
    }
}

async fn try_sweep(ctx: &Context) -> Result<(), Error> {
    let Some(version) = version(ctx).await? else { return Ok(()) };
    let api = api(ctx, version);
    let parameters = ListParams::default().labels(labels::SELECTOR);
    let bundles = api.list(&parameters).await.map_err(Error::api("list ClusterTrustBundles"))?;
    let authorities = ctx.world.authorities.snapshot();
    for bundle in bundles {
        let ours = |namespace: &String| {
            let of = bundle.metadata.labels.as_ref().and_then(|labels| labels.get(labels::AUTHORITY_NAMESPACE));
            of == Some(&labels::value(namespace))
        };
        if ctx.for_regions.iter().any(ours) && !authorities.keys().any(|key| is_ours(&bundle, key)) {
            delete(ctx, &api, &bundle).await?;
        }
    }
    Ok(())
}

async fn delete(ctx: &Context, api: &Api<DynamicObject>, observed: &DynamicObject) -> Result<(), Error> {
    let name = observed.metadata.name.clone().unwrap_or_default();
    let preconditions = Preconditions { uid: observed.metadata.uid.clone(), ..Preconditions::default() };
    let parameters = DeleteParams::default().preconditions(preconditions);
    tracing::info!(bundle = name, "deleting the ClusterTrustBundle of an authority that is gone or does not want it");
    ctx.metrics.writes.with_label_values(&["ClusterTrustBundle", "delete"]).inc();
    found(api.delete(&name, &parameters).await)
        .map(drop)
        .map_err(Error::api(format!("delete ClusterTrustBundle {name}")))
}

fn is_ours(observed: &DynamicObject, key: &ObjectKey) -> bool {
    let labels = observed.metadata.labels.clone().unwrap_or_default();
    objects::authority::is_cluster_trust_bundle_of(&labels, &key.namespace, &key.name)
}

/// The version that the API server serves, if it serves the kind at all.
async fn version(ctx: &Context) -> Result<Option<&'static str>, Error> {
    if let Some(known) = ctx.cluster_bundles.served() {
        return Ok(known);
    }
    let mut served = None;
    for version in VERSIONS {
        let resources = ctx.client.list_api_group_resources(&format!("{GROUP}/{version}")).await;
        let resources = found(resources).map_err(Error::api(format!("ask which kinds {GROUP}/{version} has")))?;
        if resources.is_some_and(|list| list.resources.iter().any(|resource| resource.name == "clustertrustbundles")) {
            served = Some(version);
            break;
        }
    }
    if served.is_none() {
        tracing::debug!("the API server serves no ClusterTrustBundle");
    }
    *ctx.cluster_bundles.served.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), served));
    Ok(served)
}

fn api(ctx: &Context, version: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: GROUP.into(),
        version: version.into(),
        api_version: format!("{GROUP}/{version}"),
        kind: "ClusterTrustBundle".into(),
        plural: "clustertrustbundles".into(),
    };
    Api::all_with(ctx.client.clone(), &resource)
}
