//! `DmzRegion`: its gateways and what is around them.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::DnsName;
use sallyport_api::DmzRegion;
use sallyport_core::name::RegionId;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::certificate::Takeover;
use sallyport_plan::labels::{self, Owner};
use sallyport_plan::names;
use sallyport_plan::objects::{self, Child, RegionParts};
use sallyport_plan::problem::Problem;
use sallyport_plan::status::{self, Issued, LAG, ListsFacts, RegionFacts, Trouble};
use serde_json::Value;

use super::certificate::ready_to_write;
use super::secret::{Order, bring_about};
use super::{Again, after_trouble, handled_elsewhere, now, sooner, until};
use crate::authorities::{MakeError, Signer};
use crate::cache::Watch;
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::{apply, report};

/// One region.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(region) = ctx.world.regions.get(key) else { return Ok(None) }; // cache
    if region.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let plan = plan(ctx, key, &region); // cache, pure
    let built = match &plan {
        Ok(plan) => build(ctx, key, plan).await, // client
        Err(trouble) => Err(trouble.clone()),
    };
    if handled_elsewhere(&*region, &built) {
        return Ok(None);
    }
    let facts = observe(ctx, key, &region, plan.as_ref().ok(), built.as_ref().err()); // cache
    if is_settling(ctx, &region, &facts) {
        return Ok(Some(SETTLING));
    }
    let status = status::region(&region, &facts, now()); // pure
    let again = report::status(ctx, &*region, status).await?; // client
    next(&facts, again, built)
}

/// Whether a gateway that was attached when the operator was last there is not yet attached again.
fn is_settling(ctx: &Context, region: &DmzRegion, facts: &RegionFacts) -> bool {
    let before = region.status.iter().flat_map(|status| &status.gateways).filter(|gateway| gateway.attached);
    let away = |name: &str| facts.gateways.get(name).is_some_and(|gateway| !gateway.attached);
    ctx.links.is_settling(now()) && facts.troubles.is_empty() && before.into_iter().any(|gateway| away(&gateway.name))
}

/// How often a region is looked at while it settles.
const SETTLING: Duration = Duration::from_millis(500);

/// What a region is to be made of.
struct Plan {
    id: RegionId,
    owner: Owner,
    image: String,
    signer: Arc<Signer>,
    children: Vec<Child>,
}

fn plan(ctx: &Context, key: &ObjectKey, region: &DmzRegion) -> Result<Plan, Trouble> {
    let id = RegionId::parse(&key.namespace, &key.name).map_err(Problem::Name)?;
    if !ctx.for_regions.contains(&key.namespace) {
        return Err(Trouble::NamespaceNotForRegions(key.namespace.clone()));
    }
    everything_seen(ctx, &key.namespace)?;
    let signer = signer(ctx, key, region)?;
    let owner =
        Owner { kind: "DmzRegion", name: key.name.clone(), uid: region.metadata.uid.clone().unwrap_or_default() };
    let stateful_set =
        ctx.world.child(objects::Kind::StatefulSet, &ObjectKey::new(&key.namespace, names::gateway(&key.name)));
    let image = objects::image(region, stateful_set.as_ref().map(|set| &set.data), &ctx.flags.gateway_image).to_owned();
    let children = objects::region_children(&RegionParts {
        region,
        namespace: &key.namespace,
        name: &key.name,
        owner: &owner,
        image: &image,
        trust: &signer.trust,
        operator_namespace: &ctx.flags.operator_namespace,
        monitoring_namespace: ctx.flags.monitoring_namespace.as_deref().filter(|n| !n.is_empty()),
    });
    Ok(Plan { id, owner, image, signer, children })
}

/// What has not been seen cannot be judged: it would be made again, or taken for somebody else's.
fn everything_seen(ctx: &Context, namespace: &str) -> Result<(), Trouble> {
    ready_to_write(ctx, namespace)?;
    for (kind, cache) in &ctx.world.children {
        let what = || format!("watch {} in namespace {namespace}", kind.coordinates().3);
        match cache.watch(namespace) {
            Watch::Synced => {}
            Watch::Starting => {
                return Err(Trouble::Starting(format!("{} of namespace {namespace}", kind.coordinates().3)));
            }
            Watch::Failing { forbidden: true, why } => return Err(Trouble::NotPermitted { what: what(), why }),
            Watch::Failing { why, .. } => return Err(Trouble::Api { what: what(), why }),
        }
    }
    Ok(())
}

/// The CA of a region, if it vouches for anybody new.
pub(super) fn signer(ctx: &Context, key: &ObjectKey, region: &DmzRegion) -> Result<Arc<Signer>, Trouble> {
    let authority = ObjectKey::new(&key.namespace, &region.spec.certificate_authority_ref.name);
    if ctx.world.authorities.get(&authority).is_none() {
        return Err(Trouble::AuthorityMissing(authority));
    }
    let signer = ctx.authorities.get(&authority).ok_or_else(|| Trouble::AuthorityNotReady(authority.clone()))?;
    match signer.vouches() {
        Ok(()) => Ok(signer),
        Err(error) => Err(cannot_sign(ctx, authority, &error)),
    }
}

/// Names the key that is missing.
fn cannot_sign(ctx: &Context, authority: ObjectKey, error: &MakeError) -> Trouble {
    let object = ctx.world.authorities.get(&authority);
    let signing = object.and_then(|object| object.status.as_ref()?.issuing);
    let why = match (error, signing) {
        (MakeError::NoKey, Some(number)) => {
            let secret = names::authority(&authority.name);
            format!("the key of generation {number}, which signs, is lost or cannot be reached (Secret {secret})")
        }
        _ => error.to_string(),
    };
    Trouble::AuthorityCannotSign { authority, why }
}

/// The bootstrap certificate first, because pods wait for it; the gateways last.
async fn build(ctx: &Context, key: &ObjectKey, plan: &Plan) -> Result<Issued, Trouble> {
    let bootstrap = bootstrap(ctx, key, plan).await?;
    let mut foreign = Vec::new();
    for child in &plan.children {
        match apply::child(ctx, Kind::DmzRegion, &key.namespace, &plan.owner, child).await {
            Ok(()) => {}
            // The others are built all the same, so that one look shows everything that is in the way.
            Err(Error::Trouble(Trouble::ForeignObject(object))) => foreign.push(object),
            Err(error) => return Err(error.into()),
        }
    }
    apply::prune(ctx, key, &plan.owner, &plan.children).await?;
    if foreign.is_empty() { Ok(bootstrap) } else { Err(Trouble::ForeignObject(foreign.join(", "))) }
}

async fn bootstrap(ctx: &Context, key: &ObjectKey, plan: &Plan) -> Result<Issued, Trouble> {
    let host = names::headless_host(&key.name, &key.namespace);
    let dns = DnsName::try_from(host).map_err(|e| Trouble::Issue(e.to_string()))?;
    let profile = Profile::GatewayBootstrap { dns };
    let order = Order {
        kind: Kind::DmzRegion,
        secret: ObjectKey::new(&key.namespace, names::bootstrap(&key.name)),
        owner: &plan.owner,
        labels: labels::of_region(&key.name),
        region: &plan.id,
        lifetime: profile.default_lifetime(),
        profile,
        signer: &plan.signer,
        takeover: Takeover::AtOnce,
        keystore: None,
        book: None,
    };
    bring_about(ctx, &order, now()).await
}

fn observe(
    ctx: &Context,
    key: &ObjectKey,
    region: &DmzRegion,
    plan: Option<&Plan>,
    trouble: Option<&Trouble>,
) -> RegionFacts {
    let compiled = ctx.publisher.compiled(key);
    let settings = compiled.as_ref().and_then(|compiled| compiled.settings_problem.clone()).map(Trouble::Spec);
    let count = |n: Option<usize>| u32::try_from(n.unwrap_or_default()).unwrap_or(u32::MAX);
    let wanted = (0..region.spec.replicas).map(|ordinal| names::pod(&key.name, ordinal));
    RegionFacts {
        troubles: trouble.cloned().into_iter().chain(settings).collect(),
        image: plan.map(|plan| plan.image.clone()).or_else(|| region.status.as_ref()?.image.clone()),
        gateways: wanted.map(|pod| (pod.clone(), ctx.links.facts(key, &pod))).collect(),
        sites: count(compiled.as_ref().map(|c| c.sites.len())),
        devices: count(compiled.as_ref().map(|c| c.config.devices.len())),
        outer_addresses: addresses(ctx, &ObjectKey::new(&key.namespace, names::outer(&key.name))),
        inner_addresses: addresses(ctx, &ObjectKey::new(&key.namespace, names::inner(&key.name))),
        lists: lists(ctx, key, region),
        audit: ctx.audit.facts(key, now()),
    }
}

/// Until when the authority's lists count, and from when on somebody should know.
fn lists(ctx: &Context, key: &ObjectKey, region: &DmzRegion) -> Option<ListsFacts> {
    let authority = ObjectKey::new(&key.namespace, &region.spec.certificate_authority_ref.name);
    let lifetime = ctx.world.authorities.get(&authority)?.spec.revocation_lists.lifetime.length();
    let end = ctx.authorities.get(&authority)?.lists.iter().map(|list| list.next_update).min()?;
    Some(ListsFacts { end, alarm: end.checked_sub(lifetime / 3).unwrap_or(end) })
}

/// Addresses that a load balancer gave a Service.
fn addresses(ctx: &Context, service: &ObjectKey) -> Vec<String> {
    let Some(service) = ctx.world.child(objects::Kind::Service, service) else { return Vec::new() };
    let ingress = service.data.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let address = |entry: &Value| entry.get("ip").or_else(|| entry.get("hostname"))?.as_str().map(str::to_owned);
    ingress.into_iter().flatten().filter_map(address).collect()
}

fn next(facts: &RegionFacts, again: Again, built: Result<Issued, Trouble>) -> Result<Again, Error> {
    let owes = facts.gateways.values().filter_map(|gateway| gateway.owes_since).max();
    let late = owes.map(|since| until(since.saturating_add(LAG).unwrap_or(since), now()));
    let alarm = facts.lists.map(|lists| lists.alarm).filter(|alarm| *alarm > now());
    let again = sooner(sooner(again, late), alarm.map(|alarm| until(alarm, now())));
    match built {
        Ok(bootstrap) => Ok(sooner(again, Some(until(bootstrap.renew_at, now()).min(LONGEST)))),
        Err(trouble) => after_trouble(again, trouble),
    }
}

/// A region is looked at this often whatever happens: it mends what a lost watch event would have told.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
