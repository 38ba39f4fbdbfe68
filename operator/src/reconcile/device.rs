//! `Device`: it is in its region's configuration or its status says why not.

use sallyport_api::Device;
use sallyport_core::name::DeviceId;
use sallyport_plan::catalogue::{Catalogue, ObjectKey, region_key};
use sallyport_plan::enforcement::Progress;
use sallyport_plan::problem::judge_device;
use sallyport_plan::region_config::effective_access;
use sallyport_plan::status::{self, DeviceFacts};

use super::{Again, enforced, is_anothers, now};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::report;

/// One device.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(device) = ctx.world.devices.get(key) else { return Ok(None) }; // cache
    if is_anothers(ctx, &ObjectKey::new(&key.namespace, &device.spec.site_ref.name)) {
        return Ok(None);
    }
    let facts = observe(ctx, key, &device); // cache, pure
    let status = status::device(&device, &facts, now()); // pure
    report::status(ctx, &*device, status).await // client
}

fn observe(ctx: &Context, key: &ObjectKey, device: &Device) -> DeviceFacts {
    let all = ctx.world.catalogue();
    let judged = judge_device(device, &all);
    let connected = judged.as_ref().is_ok_and(|judged| {
        let endpoint = ObjectKey::new(&key.namespace, judged.endpoint.0.name.as_str());
        let region = ObjectKey::new(judged.region.0.namespace.as_str(), judged.region.0.name.as_str());
        ctx.links.is_connected(&region, &endpoint, all.endpoints.get(&endpoint).map(AsRef::as_ref))
    });
    let suspension = device.spec.suspended.then(|| suspension(ctx, &all, key, device));
    DeviceFacts { judged: judged.map(|_| level(&all, key, device)), connected, suspension }
}

/// In force where the device, if it is there at all, takes no session.
fn suspension(ctx: &Context, all: &Catalogue, key: &ObjectKey, device: &Device) -> Progress {
    let before = device.status.as_ref().and_then(|status| status.suspension.as_ref());
    let site = all.sites.get(&ObjectKey::new(&key.namespace, &device.spec.site_ref.name));
    let nowhere = || ObjectKey::new(&key.namespace, "");
    let region = site.map_or_else(nowhere, |site| region_key(site));
    let id = DeviceId::parse(&key.namespace, &key.name).ok();
    enforced::suspension(ctx, (Kind::Device, key), before, &region, |config| {
        let entry = id.as_ref().and_then(|id| config.devices.get(id));
        entry.is_none_or(|entry| entry.suspended)
    })
}

fn level(all: &Catalogue, key: &ObjectKey, device: &Device) -> sallyport_core::level::AccessLevel {
    let site = all.sites.get(&ObjectKey::new(&key.namespace, &device.spec.site_ref.name));
    site.map(|site| effective_access(site, device)).unwrap_or_default()
}
