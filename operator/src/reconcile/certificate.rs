//! `TunnelCertificate`: what its endpoint comes by its certificate with, what is written down of it, and that it is cut
//! off when it is revoked.

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::certificate::Takeover;
use sallyport_plan::labels::{self, Owner};
use sallyport_plan::problem::{Problem, judge_endpoint};
use sallyport_plan::revocation::{self, FINALIZER, Leaving, Listed};
use sallyport_plan::status::{self, CertificateFacts, Delivery, Revocation, Trouble};
use serde_json::{Value, json};

use super::keystore::Keystore;
use super::record::Book;
use super::revoked::{in_use, observe};
use super::secret::{Order, bring_about, empty};
use super::{Again, LOOK_AGAIN, finalizer, handled_elsewhere, is_anothers, now, region, sooner, until};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;
use crate::report;

/// One certificate.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(certificate) = ctx.world.certificates.get(key) else { return Ok(None) }; // cache
    if of_anothers_region(ctx, key, &certificate) {
        return Ok(None);
    }
    let revocation = observe(ctx, key, &certificate).await?; // cache, pure; client when its authority is gone
    if keep(ctx, key, &certificate, revocation.as_ref()).await? == finalizer::Kept::Released {
        // client
        return Ok(None);
    }
    let delivery = deliver(ctx, key, &certificate).await; // client
    if handled_elsewhere(&*certificate, &delivery) {
        return Ok(None);
    }
    // What was written above changed it.
    let Some(certificate) = ctx.world.certificates.get(key) else { return Ok(None) }; // cache
    let in_use = in_use(ctx, key, &certificate); // cache
    let facts = CertificateFacts { delivery, revocation, in_use };
    let status = status::certificate(&certificate, &facts, now()); // pure
    let again = report::guarded(ctx, &*certificate, status).await?; // client
    next(again, &certificate, facts)
}

fn of_anothers_region(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> bool {
    let endpoint = ctx.world.endpoints.get(&ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name));
    endpoint.is_some_and(|e| is_anothers(ctx, &ObjectKey::new(&key.namespace, &e.spec.site_ref.name)))
}

/// Sets the finalizer before anything is issued, and takes it away when everything that was issued is on the list.
async fn keep(
    ctx: &Context,
    key: &ObjectKey,
    certificate: &TunnelCertificate,
    revocation: Option<&Revocation>,
) -> Result<finalizer::Kept, Error> {
    let leaving = revocation.and_then(|revocation| revocation.leaving.as_ref());
    let wish = match leaving {
        Some(Leaving::Release) => finalizer::Wish::Release,
        Some(Leaving::Wait { .. }) => finalizer::Wish::Wait,
        // Of another operator's namespaces this one has not the whole picture.
        None if !ctx.for_secrets.contains(&key.namespace) => return Ok(finalizer::Kept::Here),
        None => finalizer::Wish::Keep,
    };
    finalizer::keep(ctx, certificate, FINALIZER, wish).await
}

/// Brings about that the endpoint can have its certificate: or, once it is revoked, that nobody finds its key.
async fn deliver(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> Result<Delivery, Trouble> {
    if !ctx.for_secrets.contains(&key.namespace) {
        return Err(Trouble::NamespaceNotForSites(key.namespace.clone()));
    }
    let owner = Owner {
        kind: "TunnelCertificate",
        name: key.name.clone(),
        uid: certificate.metadata.uid.clone().unwrap_or_default(),
    };
    let secret = certificate.spec.secret_name.as_ref().map(|name| ObjectKey::new(&key.namespace, name));
    match secret {
        Some(secret) if revocation::is_revoked(certificate) => {
            if certificate.metadata.deletion_timestamp.is_none() {
                empty(ctx, Kind::TunnelCertificate, &secret, &owner, labels_of(key)).await?;
            }
            Ok(Delivery::Enrolment)
        }
        Some(secret) => into_secret(ctx, key, certificate, secret, &owner).await,
        None => {
            endpoint_of(ctx, key, certificate)?;
            Ok(Delivery::Enrolment)
        }
    }
}

fn labels_of(key: &ObjectKey) -> Value {
    json!({
        labels::MANAGED_BY: labels::OPERATOR,
        labels::NAME: "sallyport-certificate",
        labels::CERTIFICATE: labels::value(&key.name),
    })
}

type Endpoint = (sallyport_core::name::EndpointId, sallyport_core::name::RegionId, ObjectKey);

/// Whom it is for, and where it may attach.
fn endpoint_of(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> Result<Endpoint, Trouble> {
    let endpoint_key = ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name);
    let all = ctx.world.catalogue();
    let endpoint = all.endpoints.get(&endpoint_key).ok_or(Problem::EndpointMissing(endpoint_key.clone()))?;
    let (id, _, region) = judge_endpoint(endpoint, &all).map_err(|_| Problem::EndpointRefused(endpoint_key))?;
    let region_key = ObjectKey::new(region.0.namespace.as_str(), region.0.name.as_str());
    Ok((id, region, region_key))
}

async fn into_secret(
    ctx: &Context,
    key: &ObjectKey,
    certificate: &TunnelCertificate,
    secret: ObjectKey,
    owner: &Owner,
) -> Result<Delivery, Trouble> {
    if let Some(by) = first_claim(ctx, key, certificate, &secret) {
        return Err(Trouble::SecretClaimed { secret, by });
    }
    let (id, region_id, region_key) = endpoint_of(ctx, key, certificate)?;
    let missing = || Problem::RegionMissing(region_key.clone());
    let region = ctx.world.regions.get(&region_key).ok_or_else(missing)?;
    let signer = region::signer(ctx, &region_key, &region)?;
    let authority = ObjectKey::new(&region_key.namespace, &region.spec.certificate_authority_ref.name);
    ready_to_write(ctx, &key.namespace)?;
    let keystore = Keystore::wanted(ctx, &key.namespace, certificate).await?;
    let in_use = in_use(ctx, key, certificate);
    let book = Book { certificate: key.clone(), authority: authority.clone(), in_use };
    let name = key.to_string();
    let order = Order {
        kind: Kind::TunnelCertificate,
        secret,
        owner,
        labels: labels_of(key),
        region: &region_id,
        profile: Profile::Endpoint(id),
        lifetime: certificate.spec.lifetime.length(),
        signer: &signer,
        takeover: takeover(ctx, &authority, signer.renew_within, &name),
        keystore: keystore.as_ref(),
        book: Some(&book),
    };
    let issued = bring_about(ctx, &order, now()).await?;
    Ok(Delivery::Secret { issued, authority })
}

/// Who has the better right to a Secret: who was there first.
fn first_claim(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate, secret: &ObjectKey) -> Option<String> {
    let order = |key: &ObjectKey, c: &TunnelCertificate| {
        (c.metadata.creation_timestamp.as_ref().map(|time| time.0), key.name.clone())
    };
    let mine = order(key, certificate);
    let others = ctx.world.claims.of(secret).into_iter().filter(|other| other != key);
    let earlier = others.filter(|other| ctx.world.certificates.get(other).is_some_and(|c| order(other, &c) < mine));
    earlier.map(|other| other.name).min()
}

/// Since when the present generation signs is written in the authority's status.
fn takeover<'a>(
    ctx: &Context,
    authority: &ObjectKey,
    renew_within: std::time::Duration,
    name: &'a str,
) -> Takeover<'a> {
    use sallyport_api::certificate_authority::GenerationState::Issuing;
    let object = ctx.world.authorities.get(authority);
    let status = object.as_ref().and_then(|object| object.status.as_ref());
    let issuing = status.and_then(|status| status.generations.iter().find(|g| g.state == Issuing));
    match (issuing.and_then(|issuing| issuing.since.parse::<Timestamp>().ok()), renew_within.try_into()) {
        (Some(since), Ok(spread)) => Takeover::Within { since, spread, name },
        _ => Takeover::AtOnce,
    }
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

/// A Secret with a PKCS#12 file is looked at this often: nothing tells the operator of another password.
const PASSWORD_IS_READ: std::time::Duration = std::time::Duration::from_secs(600);

/// When to look again: at the renewal, when a token ends, or as a failure wants it.
fn next(again: Again, certificate: &TunnelCertificate, facts: CertificateFacts) -> Result<Again, Error> {
    let now = now();
    let again = match &facts.revocation {
        Some(revocation) if !matches!(revocation.listed, Listed::NothingIssued) => match &revocation.leaving {
            Some(Leaving::Wait { until: Some(at), .. }) => sooner(again, Some(until(*at, now))),
            _ if revocation.enforcement.enforced.is_none() => sooner(again, Some(LOOK_AGAIN)),
            _ => again,
        },
        _ => again,
    };
    match facts.delivery {
        Ok(_) if facts.revocation.is_some() => Ok(again),
        Ok(Delivery::Secret { issued, .. }) => {
            let password = certificate.spec.pkcs12.as_ref().map(|_| PASSWORD_IS_READ);
            Ok(sooner(sooner(again, password), Some(until(issued.renew_at, now))))
        }
        Ok(Delivery::Enrolment) => {
            let changes = status::enrolment_changes_at(certificate, now);
            Ok(sooner(again, changes.map(|at| until(at, now))))
        }
        Err(trouble) => super::after_trouble(again, trouble),
    }
}
