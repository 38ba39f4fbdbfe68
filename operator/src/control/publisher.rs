//! Compiling: from objects to what the gateways of each region are told. One task compiles all regions, so that a
//! configuration is always made from one state of all objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::DmzRegion;
use sallyport_core::name::RegionId;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::region_config::{Authorities, Compiled, compile, signing_period};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::region::Region;
use crate::cache::Watch;
use crate::context::{Context, Shared};
use crate::kinds::Kind;
use crate::wake;

/// Changes that come together are compiled together. A revocation may take a second in all; this is a fiftieth of it.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// When to try again what could not be signed.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be compiled, and what was.
#[derive(Debug, Default)]
pub struct Publisher {
    dirty: Mutex<BTreeSet<ObjectKey>>,
    changed: Notify,
    compiled: RwLock<BTreeMap<ObjectKey, Arc<Compiled>>>,
}

impl Publisher {
    /// Something that a region's configuration is made from has changed.
    pub fn mark(&self, region: &ObjectKey) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).insert(region.clone());
        self.changed.notify_one();
    }

    /// What was made of a region.
    pub fn compiled(&self, region: &ObjectKey) -> Option<Arc<Compiled>> {
        self.compiled.read().unwrap_or_else(PoisonError::into_inner).get(region).cloned()
    }

    fn take_dirty(&self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers what was made of a region now, and says what was made of it before.
    fn remember(&self, region: &ObjectKey, compiled: Option<Arc<Compiled>>) -> Option<Arc<Compiled>> {
        let mut all = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        match compiled {
            Some(compiled) => all.insert(region.clone(), compiled),
            None => all.remove(region),
        }
    }
}

/// Compiles what is marked, until dropped.
pub async fn run(ctx: Shared) {
    let mut regions = BTreeMap::new();
    loop {
        let (period, next_period) = signing_period(Timestamp::now());
        let left = Duration::try_from(next_period.duration_since(Timestamp::now())).unwrap_or_default();
        tokio::select! {
            () = ctx.publisher.changed.notified() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(left + Duration::from_secs(1)) => {
                ctx.world.regions.snapshot().keys().for_each(|key| ctx.publisher.mark(key));
                continue;
            }
        }
        let dirty = ctx.publisher.take_dirty();
        // A revocation waits for no configuration, not even for another region's.
        dirty.iter().for_each(|key| trust(&ctx, key, period, &mut regions));
        dirty.iter().for_each(|key| one(&ctx, key, period, &mut regions));
    }
}

/// Tells a region's gateways whom to trust.
fn trust(ctx: &Shared, key: &ObjectKey, period: u64, regions: &mut BTreeMap<ObjectKey, Region>) {
    let Some(region) = ctx.world.regions.get(key).filter(|_| !ctx.is_anothers(key)) else { return };
    let Ok(id) = RegionId::parse(&key.namespace, &key.name) else { return };
    let authority = ObjectKey::new(&key.namespace, &region.spec.certificate_authority_ref.name);
    let Some(signer) = ctx.authorities.get(&authority) else { return };
    let state = regions.entry(key.clone()).or_insert_with(|| Region::new(key.clone(), id));
    if let Err(error) = state.trust(&signer, period) {
        tracing::error!(region = %key, reason = %error, "trust is not announced; gateways and agents keep what they have");
        retry(ctx, key);
    }
}

fn one(ctx: &Shared, key: &ObjectKey, period: u64, regions: &mut BTreeMap<ObjectKey, Region>) {
    let Some(region) = ctx.world.regions.get(key) else {
        regions.remove(key);
        ctx.publisher.remember(key, None);
        ctx.links.remove(key, |_| false);
        // Whatever waited for its tunnels to be cut has nothing left to wait for.
        wake::leaving(ctx, key);
        return;
    };
    if ctx.is_anothers(key) {
        return;
    }
    if !engineers_are_known(ctx, &key.namespace) {
        retry(ctx, key);
        return;
    }
    let began = Instant::now();
    let compiled = Arc::new(compile_one(ctx, key, &region, period));
    let old = ctx.publisher.remember(key, Some(compiled.clone())).unwrap_or_default();
    tell_status(ctx, key, &old, &compiled);
    // Without a key an authority vouches for nobody new, but what was vouched for must still be revocable.
    if let Some(state) = regions.get_mut(key)
        && let Err(error) = state.publish(ctx, &compiled)
    {
        tracing::error!(region = %key, reason = %error, "offers are not signed; gateways keep what they have");
        retry(ctx, key);
    }
    ctx.metrics.compile.with_label_values(&[&key.to_string()]).observe(began.elapsed().as_secs_f64());
}

/// An operator that has not read the engineers' authorities yet must not tell gateways that there are none. One that may
/// not read them at all must: closed by default, and revocations go on.
fn engineers_are_known(ctx: &Context, namespace: &str) -> bool {
    let maps = &ctx.world.config_maps;
    let forbidden = matches!(maps.watch(namespace), Watch::Failing { forbidden: true, .. });
    maps.was_seen(namespace) || forbidden
}

fn retry(ctx: &Shared, key: &ObjectKey) {
    let (ctx, key) = (ctx.clone(), key.clone());
    tokio::spawn(async move {
        tokio::time::sleep(RETRY).await;
        ctx.publisher.mark(&key);
    });
}

fn compile_one(ctx: &Context, key: &ObjectKey, region: &DmzRegion, period: u64) -> Compiled {
    let wanted = &region.spec.engineers.client_certificates.authorities_ref;
    let map = ctx.world.config_maps.get(&ObjectKey::new(&key.namespace, &wanted.name));
    let authorities = match map.as_ref().map(|map| map.data.as_ref().and_then(|data| data.get(&wanted.key))) {
        None => Authorities::NoConfigMap,
        Some(None) => Authorities::NoKey,
        Some(Some(text)) => Authorities::Found(text),
    };
    compile(key, region, authorities, period, &ctx.world.catalogue())
}

/// Wakes the objects whose status shows something else now.
fn tell_status(ctx: &Context, key: &ObjectKey, old: &Compiled, new: &Compiled) {
    let counts = |c: &Compiled| (c.sites.len(), c.config.devices.len(), c.settings_problem.clone());
    if counts(old) != counts(new) {
        ctx.wake(Kind::DmzRegion, key.clone());
    }
    for (id, coverage) in new.coverage.iter().filter(|(id, coverage)| old.coverage.get(id) != Some(coverage)) {
        tracing::debug!(region = %key, policy = %id, devices = coverage.devices, "policy covers others now");
        ctx.wake(Kind::AccessPolicy, ObjectKey::new(id.0.namespace.as_str(), id.0.name.as_str()));
    }
}
