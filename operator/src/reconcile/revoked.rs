//! A `TunnelCertificate` that is revoked or being deleted: whether the lists have all that its endpoint could use, what
//! nobody wrote down included, and whether the gateways have cut it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_endpoint::AgentStatus;
use sallyport_plan::catalogue::{Catalogue, ObjectKey, region_key};
use sallyport_plan::enforcement::begun;
use sallyport_plan::names;
use sallyport_plan::revocation::{self, Listed, RevokedCertificate, Unrecorded};
use sallyport_plan::status::Revocation;

use super::{enforced, now};
use crate::authorities::{Signer, Standing};
use crate::context::Context;
use crate::error::Error;
use crate::kinds::Kind;

/// How lists and gateways stand to a certificate that is revoked or being deleted.
pub(super) async fn observe(
    ctx: &Context,
    key: &ObjectKey,
    certificate: &TunnelCertificate,
) -> Result<Option<Revocation>, Error> {
    if !revocation::is_revoked(certificate) {
        return Ok(None);
    }
    let before = certificate.status.as_ref().and_then(|status| status.revocation.as_ref());
    let subject = (Kind::TunnelCertificate, key);
    let listed = listed(ctx, key, certificate).await?;
    let enforcement = match &listed {
        Listed::Listed(progress) => progress.status.clone(),
        Listed::NothingIssued => enforced::measured(ctx, subject, before, &[].into()).status,
        Listed::AuthorityMissing { .. } | Listed::NoAuthority | Listed::NotYet => {
            begun(before, ctx.memory.withdrawn_at(Kind::TunnelCertificate, key), now())
        }
    };
    let deleted = certificate.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let leaving = deleted.map(|deleted| revocation::leaving(deleted, &listed, now()));
    Ok(Some(Revocation { enforcement, listed, leaving }))
}

async fn listed(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> Result<Listed, Error> {
    let all = ctx.world.catalogue();
    let authority = revocation::authority_of(certificate, &all);
    let known = authority.clone().filter(|key| ctx.world.authorities.get(key).is_some());
    let signer = known.as_ref().and_then(|authority| ctx.authorities.get(authority));
    let unrecorded = signer.as_ref().map(|signer| unrecorded(ctx, certificate, &all, signer)).unwrap_or_default();
    if revocation::serials(certificate, now()).is_empty() && unrecorded.is_empty() {
        return Ok(Listed::NothingIssued);
    }
    let (Some(authority), Some(signer)) = (known, signer) else {
        return without_signer(ctx, authority).await;
    };
    // A generation that is trusted by nobody needs no list; but who is trusted may be yet to be decided.
    let trusted: BTreeSet<_> = signer.generations.values().copied().collect();
    let mut serials = match signer.standing {
        Standing::Settled => revocation::serials_of(certificate, &trusted, now()),
        Standing::Undecided => revocation::serials(certificate, now()),
    };
    serials.extend(unrecorded.iter().cloned());
    if !serials.iter().all(|serial| signer.revokes(serial)) {
        return Ok(Listed::NotYet);
    }
    let gateways = enforced::trust(ctx, &regions(&all, key, certificate, &authority), |told| {
        serials.iter().all(|serial| told.revokes(serial))
    });
    // Whoever comes with a certificate that nobody knew of is to be cut, whatever was said before.
    let live = live(ctx, &endpoint_key(key, certificate), &all);
    let is_back = live.iter().any(|agent| unrecorded.contains(&agent.serial));
    let before = certificate.status.as_ref().and_then(|status| status.revocation.as_ref());
    let anew = is_back.then(|| begun(before, ctx.memory.withdrawn_at(Kind::TunnelCertificate, key), now()));
    let before = anew.as_ref().or(before);
    Ok(Listed::Listed(enforced::measured(ctx, (Kind::TunnelCertificate, key), before, &gateways)))
}

/// Nobody can sign a list now. Without the object that is for good only when its keys are gone too.
async fn without_signer(ctx: &Context, authority: Option<ObjectKey>) -> Result<Listed, Error> {
    let Some(authority) = authority else { return Ok(Listed::NoAuthority) };
    if ctx.world.authorities.get(&authority).is_some() {
        return Ok(Listed::NotYet);
    }
    let keys = ObjectKey::new(&authority.namespace, names::authority(&authority.name));
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &keys.namespace);
    let what = format!("look for Secret {keys}");
    let found = crate::error::found(api.get_metadata(&keys.name).await).map_err(Error::api(what))?;
    Ok(if found.is_some() { Listed::AuthorityMissing { keys } } else { Listed::NoAuthority })
}

fn endpoint_key(key: &ObjectKey, certificate: &TunnelCertificate) -> ObjectKey {
    ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name)
}

/// What an endpoint proves on its tunnels now.
fn live(ctx: &Context, endpoint: &ObjectKey, all: &Catalogue) -> Vec<AgentStatus> {
    let site = all.site_of(endpoint);
    site.map(|site| ctx.links.agents(&region_key(site), endpoint)).unwrap_or_default()
}

/// Serial numbers that the endpoint of a revoked object uses and nobody wrote down.
fn unrecorded(ctx: &Context, certificate: &TunnelCertificate, all: &Catalogue, signer: &Signer) -> BTreeSet<String> {
    let certificates = ctx.world.certificates.snapshot();
    let live = |endpoint: &ObjectKey| live(ctx, endpoint, all);
    let by = Unrecorded { all, certificates: &certificates, live: &live, generations: &signer.generations };
    revocation::unrecorded(certificate, &by, now()).into_iter().map(|one| one.serial).collect()
}

/// Certificates of an authority that are revoked and that nobody wrote down, for its lists.
pub(super) fn unrecorded_of(
    ctx: &Context,
    authority: &ObjectKey,
    generations: &BTreeMap<String, u32>,
) -> Vec<RevokedCertificate> {
    let (all, certificates) = (ctx.world.catalogue(), ctx.world.certificates.snapshot());
    let live = |endpoint: &ObjectKey| live(ctx, endpoint, &all);
    Unrecorded { all: &all, certificates: &certificates, live: &live, generations }.of_authority(authority, now())
}

/// Serial numbers that the endpoint was seen to use.
pub(super) fn in_use(ctx: &Context, key: &ObjectKey, certificate: &TunnelCertificate) -> BTreeSet<String> {
    let (all, endpoint) = (ctx.world.catalogue(), endpoint_key(key, certificate));
    let remembered = all.endpoints.get(&endpoint).and_then(|endpoint| endpoint.status.as_ref()?.agent.clone());
    live(ctx, &endpoint, &all).into_iter().chain(remembered).map(|agent| agent.serial).collect()
}

/// The region whose doors the certificate opens; all of its authority when site or endpoint is gone.
fn regions(all: &Catalogue, key: &ObjectKey, certificate: &TunnelCertificate, authority: &ObjectKey) -> Vec<ObjectKey> {
    match all.site_of(&endpoint_key(key, certificate)) {
        Some(site) => vec![region_key(site)],
        None => all.regions_of(authority).map(|(key, _)| key.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::control::config_signer::tests::authority;
    use crate::run::idle;

    /// Gateways may trust a generation that status and Secret do not know: its certificate is not revoked before it is on
    /// a list, and its object does not go.
    #[tokio::test]
    async fn of_a_generation_that_is_to_be_decided_about_nothing_counts_as_revoked() {
        let (ctx, key, ca) = (idle(), ObjectKey::new("lyon", "agent"), ObjectKey::new("dmz", "ca"));
        let object = json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
            "metadata": { "name": "ca", "namespace": "dmz" }, "spec": { "subject": { "commonName": "EU" } },
        });
        ctx.world.authorities.put(serde_json::from_value(object).unwrap());
        let certificate = serde_json::from_value(json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelCertificate",
            "metadata": { "name": "agent", "namespace": "lyon" },
            "spec": { "endpointRef": { "name": "agent" }, "revoked": { "reason": "keyCompromise" } },
            "status": {
                "serial": "4a", "notAfter": "2999-01-01T00:00:00Z", "issuerGeneration": 3, "authority": "dmz/ca",
            },
        }));
        let certificate: TunnelCertificate = certificate.unwrap();
        let signer = authority(2, Timestamp::now());
        ctx.authorities.put(&ca, Signer { standing: Standing::Undecided, ..signer.clone() });
        assert_eq!(listed(&ctx, &key, &certificate).await.unwrap(), Listed::NotYet);
        ctx.authorities.put(&ca, signer);
        assert_ne!(
            listed(&ctx, &key, &certificate).await.unwrap(),
            Listed::NotYet,
            "it is known to be trusted by nobody"
        );
    }
}
