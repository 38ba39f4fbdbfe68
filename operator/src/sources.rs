//! All watches, and whom each one wakes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, DynamicObject};
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::labels;
use sallyport_plan::objects;
use sallyport_plan::secret_facts::SecretFacts;
use tokio::task::JoinSet;

use crate::cache::{Cache, Changed, Watch};
use crate::context::{Context, Shared};
use crate::kinds::{Kind, Ours};
use crate::watch::Subject;
use crate::{apply, intake, wake};

/// Begins all watches.
pub fn begin(ctx: &Shared, tasks: &mut JoinSet<()>) {
    ours(ctx, tasks, &ctx.world.regions, wake::region);
    ours(ctx, tasks, &ctx.world.authorities, wake::authority);
    ours(ctx, tasks, &ctx.world.sites, wake::site);
    ours(ctx, tasks, &ctx.world.endpoints, wake::endpoint);
    ours(ctx, tasks, &ctx.world.certificates, wake::certificate);
    ours(ctx, tasks, &ctx.world.devices, wake::device);
    ours(ctx, tasks, &ctx.world.policies, wake::policy);
    for namespace in &ctx.for_secrets {
        secrets(ctx, tasks, namespace);
    }
    for namespace in &ctx.for_regions {
        for kind in objects::Kind::ALL.into_iter().filter(|kind| *kind != objects::Kind::Secret) {
            children(ctx, tasks, kind, namespace);
        }
        config_maps(ctx, tasks, namespace);
        pods(ctx, tasks, namespace);
    }
}

/// Waits until everything that decides what gateways enforce has been seen: an operator that knows half of it must not
/// tell them that the rest is gone.
pub async fn seen(ctx: &Context) {
    let mut said = std::time::Instant::now();
    loop {
        let missing = unseen(ctx);
        if missing.is_empty() {
            return;
        }
        if said.elapsed().as_secs() >= 10 {
            tracing::warn!(kinds = missing.join(","), "waiting for the first list");
            said = std::time::Instant::now();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn unseen(ctx: &Context) -> Vec<&'static str> {
    let world = &ctx.world;
    let mut missing: Vec<_> = [
        (Kind::AccessPolicy, world.policies.watch("")),
        (Kind::CertificateAuthority, world.authorities.watch("")),
        (Kind::CustomerSite, world.sites.watch("")),
        (Kind::Device, world.devices.watch("")),
        (Kind::DmzRegion, world.regions.watch("")),
        (Kind::TunnelCertificate, world.certificates.watch("")),
        (Kind::TunnelEndpoint, world.endpoints.watch("")),
    ]
    .into_iter()
    .filter(|(_, watch)| *watch != Watch::Synced)
    .map(|(kind, _)| kind.label())
    .collect();
    // Of one namespace the rights may be missing: that is a condition on what is in it, not a reason to wait.
    for namespace in &ctx.for_regions {
        let children = world.children.iter().map(|(kind, cache)| (kind.label(), cache.watch(namespace)));
        let others = [("ConfigMap", world.config_maps.watch(namespace)), ("Pod", world.pods.watch(namespace))];
        missing.extend(children.chain(others).filter(|(_, watch)| *watch == Watch::Starting).map(|(what, _)| what));
    }
    let secrets = ctx.for_secrets.iter().map(|namespace| world.secrets.watch(namespace));
    missing.extend(secrets.filter(|watch| *watch == Watch::Starting).map(|_| "Secret"));
    missing
}

fn ours<K: Ours>(ctx: &Shared, tasks: &mut JoinSet<()>, cache: &Arc<Cache<K>>, wake: fn(&Context, &Changed<K>)) {
    let subject = Subject {
        what: K::KIND.label(),
        api: Api::<DeserializeGuard<K>>::all(ctx.client.clone()),
        config: watcher::Config::default(),
        scope: None,
        keep: intake::ours::<K>,
        cache: cache.clone(),
        errors: ctx.metrics.watch_errors.with_label_values(&[K::KIND.label()]),
    };
    let ctx = ctx.clone();
    tasks.spawn(async move { subject.follow(|change| wake(&ctx, &change)).await });
}

fn secrets(ctx: &Shared, tasks: &mut JoinSet<()>, namespace: &str) {
    let subject = Subject {
        what: "Secret",
        api: Api::<Secret>::namespaced(ctx.client.clone(), namespace),
        config: watcher::Config::default().labels(labels::SELECTOR),
        scope: Some(namespace.to_owned()),
        keep: |secret| Ok(intake::secret(secret)),
        cache: ctx.world.secrets.clone(),
        errors: ctx.metrics.watch_errors.with_label_values(&["Secret"]),
    };
    let ctx = ctx.clone();
    tasks.spawn(async move {
        let wake = |change: Changed<SecretFacts>| {
            for facts in change.old.iter().chain(&change.new) {
                owner(&ctx, &change.key.namespace, &facts.metadata);
            }
        };
        subject.follow(wake).await;
    });
}

fn children(ctx: &Shared, tasks: &mut JoinSet<()>, kind: objects::Kind, namespace: &str) {
    let Some(cache) = ctx.world.children.get(&kind).cloned() else { return };
    let subject = Subject {
        what: kind.label(),
        api: Api::<DynamicObject>::namespaced_with(ctx.client.clone(), namespace, &apply::resource(kind)),
        config: watcher::Config::default().labels(labels::SELECTOR),
        scope: Some(namespace.to_owned()),
        keep: |object| Ok(intake::child(object)),
        cache,
        errors: ctx.metrics.watch_errors.with_label_values(&[kind.label()]),
    };
    let ctx = ctx.clone();
    tasks.spawn(async move {
        let wake = |change: Changed<DynamicObject>| {
            for object in change.old.iter().chain(&change.new) {
                owner(&ctx, &change.key.namespace, &object.metadata);
            }
        };
        subject.follow(wake).await;
    });
}

fn config_maps(ctx: &Shared, tasks: &mut JoinSet<()>, namespace: &str) {
    let subject = Subject {
        what: "ConfigMap",
        api: Api::<ConfigMap>::namespaced(ctx.client.clone(), namespace),
        config: watcher::Config::default(),
        scope: Some(namespace.to_owned()),
        keep: |object| Ok(intake::config_map(object)),
        cache: ctx.world.config_maps.clone(),
        errors: ctx.metrics.watch_errors.with_label_values(&["ConfigMap"]),
    };
    let ctx = ctx.clone();
    tasks.spawn(async move { subject.follow(|change| wake::config_map(&ctx, &change.key)).await });
}

fn pods(ctx: &Shared, tasks: &mut JoinSet<()>, namespace: &str) {
    let subject = Subject {
        what: "Pod",
        api: Api::<Pod>::namespaced(ctx.client.clone(), namespace),
        config: watcher::Config::default().labels(labels::POD_SELECTOR),
        scope: Some(namespace.to_owned()),
        keep: |pod| Ok(intake::pod(pod)),
        cache: ctx.world.pods.clone(),
        errors: ctx.metrics.watch_errors.with_label_values(&["Pod"]),
    };
    let ctx = ctx.clone();
    tasks.spawn(async move { subject.follow(|change| wake::pod(&ctx, &change.key, change.new.is_none())).await });
}

/// Wakes the object that something belongs to.
fn owner(ctx: &Context, namespace: &str, metadata: &kube::api::ObjectMeta) {
    for kind in [Kind::DmzRegion, Kind::CertificateAuthority, Kind::TunnelCertificate] {
        if let Some(name) = labels::controller_of(metadata, kind.label()) {
            let key = ObjectKey::new(namespace, name);
            if kind == Kind::DmzRegion {
                // Its bootstrap certificate and the bundle beside it are facts of a rotation.
                wake::authority_of(ctx, &key);
            }
            ctx.wake(kind, key);
        }
    }
    // The Secret of an authority has no owner, so that it outlives a mistake.
    if let Some(name) = metadata.labels.as_ref().and_then(|l| l.get(labels::AUTHORITY)) {
        let authorities = ctx.world.authorities.snapshot();
        let named = |key: &&ObjectKey| key.namespace == namespace && labels::value(&key.name) == *name;
        authorities.keys().filter(named).for_each(|key| ctx.wake(Kind::CertificateAuthority, key.clone()));
    }
}
