//! Certificates, and everything that is revoked or suspended and waits for its gateways.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_api::common::Enforcement;
use sallyport_plan::catalogue::{ObjectKey, region_key, within};
use sallyport_plan::revocation::{authority_of as authority_of_certificate, is_revoked};

use super::{authority_of_endpoint, only_status};
use crate::cache::Changed;
use crate::context::Context;
use crate::kinds::Kind;

/// A certificate: the others that want its Secret, and, once it is revoked, the authority that signs the list.
pub fn certificate(ctx: &Context, change: &Changed<TunnelCertificate>) {
    ctx.wake(Kind::TunnelCertificate, change.key.clone());
    ctx.world.claims.note(&change.key, change.new.as_ref().and_then(|new| new.spec.secret_name.as_deref()));
    let is = |certificate: &Option<Arc<TunnelCertificate>>| certificate.as_ref().is_some_and(|c| is_revoked(c));
    ctx.memory.withdrawn(Kind::TunnelCertificate, &change.key, is(&change.new), Timestamp::now());
    let issued = |certificate: &TunnelCertificate| {
        certificate
            .status
            .as_ref()
            .map(|status| (status.serial.clone(), status.issuer_generation, status.earlier.len()))
    };
    if !only_status(change, issued) {
        let endpoint = change.old.iter().chain(&change.new).next().map(|c| c.spec.endpoint_ref.name.clone());
        authority_of_endpoint(ctx, &ObjectKey::new(&change.key.namespace, endpoint.unwrap_or_default()));
    }
    if is(&change.new) && !is(&change.old) {
        let authority = change.new.as_ref().and_then(|new| authority_of_certificate(new, &ctx.world.catalogue()));
        authority.into_iter().for_each(|authority| ctx.wake(Kind::CertificateAuthority, authority));
    }
    if change.old.is_none() || change.new.is_none() {
        same_secret(ctx, change);
    }
}

/// Of several that want one Secret the first gets it, so the others look again when one comes or goes.
fn same_secret(ctx: &Context, change: &Changed<TunnelCertificate>) {
    let secret = change.old.iter().chain(&change.new).find_map(|certificate| certificate.spec.secret_name.clone());
    let Some(secret) = secret else { return };
    for other in ctx.world.claims.of(&ObjectKey::new(&change.key.namespace, secret)) {
        ctx.wake(Kind::TunnelCertificate, other);
    }
}

/// Facts of a rotation come by the thousand when a fleet acknowledges, and none of them is urgent; each look at an
/// authority counts all of them.
const FACTS: Duration = Duration::from_millis(200);

/// The authority of a region: what its gateways or agents hold or trust has changed.
pub fn authority_of(ctx: &Context, region: &ObjectKey) {
    if let Some(object) = ctx.world.regions.get(region) {
        let authority = ObjectKey::new(&region.namespace, &object.spec.certificate_authority_ref.name);
        ctx.wake_within(Kind::CertificateAuthority, authority, FACTS);
    }
}

/// Certificates that are revoked and wait for the gateways to say so.
pub fn revoked(ctx: &Context, region: &ObjectKey) {
    let Some(object) = ctx.world.regions.get(region) else { return };
    let authority = ObjectKey::new(&region.namespace, &object.spec.certificate_authority_ref.name);
    revoked_of(ctx, &authority);
}

/// The same, of all regions of an authority.
pub fn revoked_of(ctx: &Context, authority: &ObjectKey) {
    let (all, certificates) = (ctx.world.catalogue(), ctx.world.certificates.snapshot());
    let waiting = certificates.iter().filter(|(_, certificate)| {
        let enforcement = certificate.status.as_ref().and_then(|status| status.revocation.as_ref());
        let enforced = enforcement.is_some_and(|enforcement| enforcement.enforced.is_some());
        let leaving = certificate.metadata.deletion_timestamp.is_some();
        is_revoked(certificate) && (leaving || !enforced)
    });
    for (key, certificate) in waiting {
        if authority_of_certificate(certificate, &all).as_ref() == Some(authority) {
            ctx.wake(Kind::TunnelCertificate, key.clone());
        }
    }
}

/// Certificates of an endpoint that are revoked, and their authority: it has, or has no more, a tunnel, and its agent may
/// use a certificate that nobody wrote down.
pub fn revoked_at(ctx: &Context, endpoint: &ObjectKey) {
    let certificates = ctx.world.certificates.snapshot();
    let revoked = within(&certificates, &endpoint.namespace)
        .filter(|(_, c)| c.spec.endpoint_ref.name == endpoint.name && is_revoked(c));
    let mut any = false;
    for (key, _) in revoked {
        ctx.wake(Kind::TunnelCertificate, key.clone());
        any = true;
    }
    if any {
        authority_of_endpoint(ctx, endpoint);
    }
}

/// Sites and devices that are suspended and wait for the gateways to say so.
pub fn suspended(ctx: &Context, region: &ObjectKey) {
    let all = ctx.world.catalogue();
    let waits = |suspension: Option<&Enforcement>| suspension.is_none_or(|suspension| suspension.enforced.is_none());
    for (site_key, site) in all.sites_of(region) {
        if site.spec.suspended && waits(site.status.as_ref().and_then(|status| status.suspension.as_ref())) {
            ctx.wake(Kind::CustomerSite, site_key.clone());
        }
    }
    for (key, device) in all.devices.iter().filter(|(_, device)| device.spec.suspended) {
        let site = all.sites.get(&ObjectKey::new(&key.namespace, &device.spec.site_ref.name));
        let here = site.is_some_and(|site| region_key(site) == *region);
        if here && waits(device.status.as_ref().and_then(|status| status.suspension.as_ref())) {
            ctx.wake(Kind::Device, key.clone());
        }
    }
}
