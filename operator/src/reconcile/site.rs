//! `CustomerSite`: how many of its endpoints are connected, and that no tunnel is left when it goes.

use sallyport_api::CustomerSite;
use sallyport_plan::catalogue::{ObjectKey, region_key};
use sallyport_plan::enforcement::Progress;
use sallyport_plan::problem::judge_site;
use sallyport_plan::status::{self, SiteFacts};
use sallyport_plan::tunnels_cut;

use super::{Again, enforced, finalizer, now};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::report;

/// One site.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(site) = ctx.world.sites.get(key) else { return Ok(None) }; // cache
    if ctx.is_anothers(&region_key(&site)) {
        return Ok(None);
    }
    let facts = observe(ctx, key, &site); // cache, pure
    let wish = finalizer::Wish::of(facts.leaving.as_ref()); // pure
    if finalizer::keep(ctx, &*site, tunnels_cut::FINALIZER, wish).await? == finalizer::Kept::Released {
        // client
        return Ok(None);
    }
    let status = status::site(&site, &facts, now()); // pure
    report::status(ctx, &*site, status).await // client
}

fn observe(ctx: &Context, key: &ObjectKey, site: &CustomerSite) -> SiteFacts {
    let all = ctx.world.catalogue();
    let region = region_key(site);
    let leaving = site.metadata.deletion_timestamp.is_some().then(|| {
        let regions = [region.clone()];
        tunnels_cut::decide(&finalizer::gateways(ctx, &regions, |config| {
            config.endpoints.values().any(|endpoint| {
                endpoint.site.0.namespace.as_str() == key.namespace && endpoint.site.0.name.as_str() == key.name
            })
        }))
    });
    let connected = all.endpoints_of(key).filter(|(k, e)| ctx.links.is_connected(&region, k, Some(e))).count();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SiteFacts {
        judged: judge_site(site, &all).map(drop),
        leaving,
        endpoints: count(all.endpoints_of(key).count()),
        connected: count(connected),
        devices: count(all.devices_of(key).count()),
        suspension: site.spec.suspended.then(|| suspension(ctx, key, site, &region)),
        audit: ctx.audit.site_facts(&region, key, now()),
    }
}

/// In force where every endpoint of the site that is left may hold no tunnel.
fn suspension(ctx: &Context, key: &ObjectKey, site: &CustomerSite, region: &ObjectKey) -> Progress {
    let before = site.status.as_ref().and_then(|status| status.suspension.as_ref());
    enforced::suspension(ctx, (Kind::CustomerSite, key), before, region, |config| {
        let mut mine = config.endpoints.values().filter(|endpoint| {
            endpoint.site.0.namespace.as_str() == key.namespace && endpoint.site.0.name.as_str() == key.name
        });
        mine.all(|endpoint| endpoint.suspended)
    })
}
