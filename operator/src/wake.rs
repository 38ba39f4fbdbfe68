//! Who has to look again when something changes. Every reference between objects is followed here, backwards.

mod withdrawn;

use std::collections::BTreeSet;

use jiff::Timestamp;
use sallyport_api::{
    AccessPolicy, CertificateAuthority, CustomerSite, Device, DmzRegion, TunnelCertificate, TunnelEndpoint,
};
use sallyport_plan::catalogue::{ObjectKey, region_key, within};

use crate::cache::Changed;
use crate::context::Context;
use crate::kinds::Kind;

pub use withdrawn::{authority_of, certificate, revoked, revoked_at, revoked_of, suspended};

/// A region: its sites, policies, and what its gateways are told.
pub fn region(ctx: &Context, change: &Changed<DmzRegion>) {
    ctx.wake(Kind::DmzRegion, change.key.clone());
    let holds = |region: &DmzRegion| {
        let gateways = region.status.iter().flat_map(|status| &status.gateways);
        gateways.map(|gateway| (gateway.trust_digest.clone(), gateway.certificates.clone())).collect::<Vec<_>>()
    };
    if !only_status(change, |region| (region.metadata.generation, holds(region))) {
        authority_of(ctx, &change.key);
    }
    if only_status(change, |r| (r.metadata.generation, r.metadata.deletion_timestamp.is_some())) {
        return;
    }
    ctx.publisher.mark(&change.key);
    let all = ctx.world.catalogue();
    for (key, _) in all.sites_of(&change.key) {
        ctx.wake(Kind::CustomerSite, key.clone());
        members_of_site(ctx, key);
    }
    for (key, _) in all.policies_of(&change.key) {
        ctx.wake(Kind::AccessPolicy, key.clone());
    }
}

/// A site: its endpoints and devices, and what gateways are told.
pub fn site(ctx: &Context, change: &Changed<CustomerSite>) {
    let suspended = change.new.as_ref().is_some_and(|site| site.spec.suspended);
    ctx.memory.withdrawn(Kind::CustomerSite, &change.key, suspended, Timestamp::now());
    ctx.wake(Kind::CustomerSite, change.key.clone());
    let outline =
        |s: &CustomerSite| (s.metadata.generation, s.metadata.deletion_timestamp.is_some(), s.metadata.labels.clone());
    if only_status(change, outline) {
        return;
    }
    for site in change.old.iter().chain(&change.new) {
        ctx.publisher.mark(&region_key(site));
    }
    members_of_site(ctx, &change.key);
}

fn members_of_site(ctx: &Context, site: &ObjectKey) {
    let all = ctx.world.catalogue();
    for (key, _) in all.endpoints_of(site) {
        ctx.wake(Kind::TunnelEndpoint, key.clone());
        certificates_of(ctx, key);
    }
    for (key, _) in all.devices_of(site) {
        ctx.wake(Kind::Device, key.clone());
    }
}

/// An endpoint: its site, devices and certificates, and what gateways are told.
pub fn endpoint(ctx: &Context, change: &Changed<TunnelEndpoint>) {
    ctx.wake(Kind::TunnelEndpoint, change.key.clone());
    let holds = |endpoint: &TunnelEndpoint| {
        let status = endpoint.status.as_ref();
        status.map(|status| (status.agent.clone(), status.tunnels.is_empty()))
    };
    if !only_status(change, holds) {
        authority_of_endpoint(ctx, &change.key);
    }
    if only_status(change, |e| (e.metadata.generation, e.metadata.deletion_timestamp.is_some())) {
        return;
    }
    let sites: Vec<_> = change.old.iter().chain(&change.new).map(|e| e.spec.site_ref.name.clone()).collect();
    for name in sites {
        of_site(ctx, &ObjectKey::new(&change.key.namespace, name));
    }
    certificates_of(ctx, &change.key);
    devices_behind(ctx, &change.key);
}

fn of_site(ctx: &Context, site: &ObjectKey) {
    ctx.wake(Kind::CustomerSite, site.clone());
    if let Some(site) = ctx.world.sites.get(site) {
        ctx.publisher.mark(&region_key(&site));
    }
}

fn devices_behind(ctx: &Context, endpoint: &ObjectKey) {
    let devices = ctx.world.devices.snapshot();
    let behind = devices
        .iter()
        .filter(|(key, device)| key.namespace == endpoint.namespace && device.spec.endpoint_ref.name == endpoint.name);
    for (key, _) in behind {
        ctx.wake(Kind::Device, key.clone());
    }
}

fn certificates_of(ctx: &Context, endpoint: &ObjectKey) {
    let certificates = ctx.world.certificates.snapshot();
    let of_namespace = within(&certificates, &endpoint.namespace);
    for (key, _) in of_namespace.filter(|(_, certificate)| certificate.spec.endpoint_ref.name == endpoint.name) {
        ctx.wake(Kind::TunnelCertificate, key.clone());
    }
}

/// A device: its site's counts, and what gateways are told.
pub fn device(ctx: &Context, change: &Changed<Device>) {
    let suspended = change.new.as_ref().is_some_and(|device| device.spec.suspended);
    ctx.memory.withdrawn(Kind::Device, &change.key, suspended, Timestamp::now());
    ctx.wake(Kind::Device, change.key.clone());
    let outline =
        |d: &Device| (d.metadata.generation, d.metadata.deletion_timestamp.is_some(), d.metadata.labels.clone());
    if only_status(change, outline) {
        return;
    }
    for device in change.old.iter().chain(&change.new) {
        of_site(ctx, &ObjectKey::new(&change.key.namespace, &device.spec.site_ref.name));
    }
}

/// A policy: what gateways are told.
pub fn policy(ctx: &Context, change: &Changed<AccessPolicy>) {
    ctx.wake(Kind::AccessPolicy, change.key.clone());
    if only_status(change, |p| (p.metadata.generation, p.metadata.deletion_timestamp.is_some())) {
        return;
    }
    for policy in change.old.iter().chain(&change.new) {
        ctx.publisher.mark(&ObjectKey::new(&change.key.namespace, &policy.spec.region_ref.name));
    }
}

/// A certificate authority.
pub fn authority(ctx: &Context, change: &Changed<CertificateAuthority>) {
    ctx.wake(Kind::CertificateAuthority, change.key.clone());
    if change.old.is_none() || change.new.is_none() {
        users_of_authority(ctx, &change.key);
    }
}

/// The regions that an authority vouches for, and all their certificates.
pub fn users_of_authority(ctx: &Context, authority: &ObjectKey) {
    let all = ctx.world.catalogue();
    let regions: BTreeSet<_> = all.regions_of(authority).map(|(region, _)| region.clone()).collect();
    for region in &regions {
        ctx.wake(Kind::DmzRegion, region.clone());
        ctx.publisher.mark(region);
    }
    // Each certificate is looked at once, not once for each endpoint: there may be ten thousand of both.
    let certificates = ctx.world.certificates.snapshot();
    let is_user = |key: &ObjectKey, certificate: &TunnelCertificate| {
        let endpoint = ObjectKey::new(&key.namespace, &certificate.spec.endpoint_ref.name);
        all.site_of(&endpoint).is_some_and(|site| regions.contains(&region_key(site)))
    };
    for (key, _) in certificates.iter().filter(|(key, certificate)| is_user(key, certificate)) {
        ctx.wake(Kind::TunnelCertificate, key.clone());
    }
    revoked_of(ctx, authority);
}

/// The authority of an endpoint: its agent uses or trusts something else, or a certificate of it was issued, revoked or
/// deleted.
fn authority_of_endpoint(ctx: &Context, endpoint: &ObjectKey) {
    if let Some(site) = ctx.world.catalogue().site_of(endpoint) {
        authority_of(ctx, &region_key(site));
    }
}

/// The regions of a namespace whose engineers' authorities are in this ConfigMap.
pub fn config_map(ctx: &Context, key: &ObjectKey) {
    let regions = ctx.world.regions.snapshot();
    for (region, spec) in regions.iter() {
        let named = &spec.spec.engineers.client_certificates.authorities_ref.name;
        if region.namespace == key.namespace && *named == key.name {
            ctx.publisher.mark(region);
            ctx.wake(Kind::DmzRegion, region.clone());
        }
    }
}

/// A gateway's pod: whatever waits for it to be gone.
pub fn pod(ctx: &Context, key: &ObjectKey, gone: bool) {
    let regions = ctx.world.regions.snapshot();
    let of = |region: &&ObjectKey| {
        region.namespace == key.namespace && key.name.starts_with(&sallyport_plan::names::gateway(&region.name))
    };
    for region in regions.keys().filter(of) {
        ctx.wake(Kind::DmzRegion, region.clone());
        if gone {
            leaving(ctx, region);
        }
    }
}

/// Everything of a region that waits for its tunnels to be cut.
pub fn leaving(ctx: &Context, region: &ObjectKey) {
    let all = ctx.world.catalogue();
    for (key, endpoint) in all.endpoints.iter().filter(|(_, e)| e.metadata.deletion_timestamp.is_some()) {
        let site = all.sites.get(&ObjectKey::new(&key.namespace, &endpoint.spec.site_ref.name));
        if site.is_none_or(|site| region_key(site) == *region) {
            ctx.wake(Kind::TunnelEndpoint, key.clone());
        }
    }
    for (key, _) in all.sites_of(region).filter(|(_, site)| site.metadata.deletion_timestamp.is_some()) {
        ctx.wake(Kind::CustomerSite, key.clone());
    }
}

/// An endpoint's tunnels: its own status, its site's and its devices'.
pub fn tunnels(ctx: &Context, endpoint: &ObjectKey) {
    ctx.wake(Kind::TunnelEndpoint, endpoint.clone());
    if let Some(object) = ctx.world.endpoints.get(endpoint) {
        ctx.wake(Kind::CustomerSite, ObjectKey::new(&endpoint.namespace, &object.spec.site_ref.name));
    }
    devices_behind(ctx, endpoint);
}

/// Whether what matters to others is as before.
fn only_status<K, T: PartialEq>(change: &Changed<K>, outline: impl Fn(&K) -> T) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => outline(old) == outline(new),
        _ => false,
    }
}
