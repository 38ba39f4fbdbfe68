//! `TunnelEndpoint`: which tunnels it has, and that none is left when it goes.

use sallyport_api::TunnelEndpoint;
use sallyport_plan::catalogue::{ObjectKey, region_key};
use sallyport_plan::problem::judge_endpoint;
use sallyport_plan::status::{self, EndpointFacts};
use sallyport_plan::tunnels_cut;

use super::{Again, finalizer, is_anothers, now};
use crate::context::Context;
use crate::error::Error;
use crate::{report, wake};

/// One endpoint.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(endpoint) = ctx.world.endpoints.get(key) else { return Ok(None) }; // cache
    if is_anothers(ctx, &ObjectKey::new(&key.namespace, &endpoint.spec.site_ref.name)) {
        return Ok(None);
    }
    let facts = observe(ctx, key, &endpoint); // cache, pure
    let wish = finalizer::Wish::of(facts.leaving.as_ref()); // pure
    if finalizer::keep(ctx, &*endpoint, tunnels_cut::FINALIZER, wish).await? == finalizer::Kept::Released {
        // client
        return Ok(None);
    }
    let status = status::endpoint(&endpoint, &facts, now()); // pure
    let proved_more = endpoint.status.as_ref().map(|before| &before.agent) != Some(&status.agent);
    let again = report::status(ctx, &*endpoint, status).await?; // client
    if let Some((region, true)) = facts.judged.as_ref().ok().map(|(_, region)| (region, proved_more)) {
        wake::authority_of(ctx, &ObjectKey::new(region.0.namespace.as_str(), region.0.name.as_str()));
    }
    Ok(again)
}

fn observe(ctx: &Context, key: &ObjectKey, endpoint: &TunnelEndpoint) -> EndpointFacts {
    let all = ctx.world.catalogue();
    let site = all.sites.get(&ObjectKey::new(&key.namespace, &endpoint.spec.site_ref.name));
    let region = site.map(|site| region_key(site));
    let leaving = endpoint.metadata.deletion_timestamp.is_some().then(|| {
        // Without its site the region is not known: any gateway that still has the endpoint counts.
        let regions = region.clone().map_or_else(|| all.regions.keys().cloned().collect(), |region| vec![region]);
        tunnels_cut::decide(&finalizer::gateways(ctx, &regions, |config| {
            config.endpoints.keys().any(|id| id.0.namespace.as_str() == key.namespace && id.0.name.as_str() == key.name)
        }))
    });
    let of_region = |region: &ObjectKey| {
        let (tunnels, proved) = (ctx.links.tunnels(region, key, Some(endpoint)), ctx.links.agents(region, key));
        (tunnels, proved, current(ctx, region))
    };
    let (tunnels, proved, current) = region.as_ref().map(of_region).unwrap_or_default();
    let judged = judge_endpoint(endpoint, &all).map(|(id, _, region)| (id, region));
    EndpointFacts { judged, leaving, tunnels, proved, current }
}

/// Who signs now, and the bundle that is published.
fn current(ctx: &Context, region: &ObjectKey) -> Option<(String, String)> {
    let object = ctx.world.regions.get(region)?;
    let authority = ObjectKey::new(&region.namespace, &object.spec.certificate_authority_ref.name);
    let signer = ctx.authorities.get(&authority)?;
    Some((signer.fingerprint().unwrap_or_default().to_owned(), signer.digest.clone()))
}
