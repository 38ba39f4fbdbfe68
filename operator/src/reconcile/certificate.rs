//! `TunnelCertificate`: key and certificate of an endpoint in a Secret, renewed in time.

use sallyport_api::TunnelCertificate;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::labels::{self, Owner};
use sallyport_plan::problem::{Problem, judge_endpoint};
use sallyport_plan::status::{self, Issued, Trouble};
use serde_json::json;

use super::secret::{Order, bring_about};
use super::{Again, handled_elsewhere, is_anothers, now, region, sooner, until};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::report;

/// One certificate.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(certificate) = ctx.world.certificates.get(key) else { return Ok(None) }; // cache
    if certificate.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    if of_anothers_region(ctx, key, &certificate) {
        return Ok(None);
    }
    let state = apply(ctx, key, &certificate).await; // client
    if handled_elsewhere(&*certificate, &state) {
        return Ok(None);
    }
    let status = status::certificate(&certificate, &state, now()); // pure
    let again = report::status(ctx, &*certificate, status).await?; // client
    next(again, state)
}

fn of_anothers_region(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> bool {
    let endpoint = ctx.world.endpoints.get(&ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name));
    endpoint.is_some_and(|e| is_anothers(ctx, &ObjectKey::new(&key.namespace, &e.spec.site_ref.name)))
}

async fn apply(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> Result<Issued, Trouble> {
    if !ctx.for_secrets.contains(&key.namespace) {
        return Err(Trouble::NamespaceNotForSites(key.namespace.clone()));
    }
    let endpoint_key = ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name);
    let all = ctx.world.catalogue();
    let endpoint = all.endpoints.get(&endpoint_key).ok_or(Problem::EndpointMissing(endpoint_key.clone()))?;
    let (id, _, region_id) = judge_endpoint(endpoint, &all).map_err(|_| Problem::EndpointRefused(endpoint_key))?;
    let region_key = ObjectKey::new(region_id.0.namespace.as_str(), region_id.0.name.as_str());
    let region = all.regions.get(&region_key).ok_or(Problem::RegionMissing(region_key.clone()))?;
    let signer = region::signer(ctx, &region_key, region)?;
    ready_to_write(ctx, &key.namespace)?;
    let owner = Owner {
        kind: "TunnelCertificate",
        name: key.name.clone(),
        uid: certificate.metadata.uid.clone().unwrap_or_default(),
    };
    let order = Order {
        kind: Kind::TunnelCertificate,
        secret: ObjectKey::new(&key.namespace, certificate.spec.secret_name.as_deref().unwrap_or_default()),
        owner: &owner,
        labels: json!({
            labels::MANAGED_BY: labels::OPERATOR,
            labels::NAME: "sallyport-certificate",
            labels::CERTIFICATE: labels::value(&key.name),
        }),
        region: &region_id,
        profile: Profile::Endpoint(id),
        lifetime: certificate.spec.lifetime.length(),
        signer: &signer,
    };
    bring_about(ctx, &order, now()).await
}

/// Whether the Secrets of a namespace have been seen.
pub(super) fn ready_to_write(ctx: &Context, namespace: &str) -> Result<(), Trouble> {
    use crate::cache::Watch;
    match ctx.world.secrets.watch(namespace) {
        Watch::Synced => Ok(()),
        Watch::Starting => Err(Trouble::Starting(format!("Secrets of namespace {namespace}"))),
        Watch::Failing { forbidden: true, why } => {
            Err(Trouble::NotPermitted { what: format!("watch Secrets in namespace {namespace}"), why })
        }
        Watch::Failing { why, .. } => {
            Err(Trouble::Api { what: format!("watch Secrets in namespace {namespace}"), why })
        }
    }
}

/// When to look again: at the renewal, or as a failure wants it.
fn next(again: Again, state: Result<Issued, Trouble>) -> Result<Again, Error> {
    match state {
        Ok(issued) => Ok(sooner(again, Some(until(issued.renew_at, now())))),
        Err(trouble) => super::after_trouble(again, trouble),
    }
}
