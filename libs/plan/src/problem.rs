//! Why an object is left out, one variant per cause. Each names the field and what to do; each heals by itself when
//! the cause is gone. The judging functions are ordered lists of checks: the first that fails is the answer.

use sallyport_api::{AccessPolicy, CustomerSite, Device, DmzRegion, TunnelEndpoint};
use sallyport_core::address::{AddressError, TargetAddress};
use sallyport_core::name::{DeviceId, EndpointId, NameError, PolicyId, RegionId, SiteId};

use crate::catalogue::{Catalogue, ObjectKey, region_key};

/// Why an object is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The device's address can be no device's.
    #[error("spec.address: {0}; give the address or host name of the device on the site's network")]
    Address(AddressError),
    /// It is being deleted.
    #[error("it is being deleted")]
    Deleting,
    /// Two entries of a list are called the same.
    #[error("{field}: {name:?} occurs twice; remove one")]
    Duplicate {
        /// The list.
        field: &'static str,
        /// What occurs twice.
        name: String,
    },
    /// The device names an endpoint that belongs to another site.
    #[error(
        "spec.endpointRef: TunnelEndpoint {endpoint} belongs to site {site}; refer to an endpoint of the device's own site"
    )]
    EndpointElsewhere {
        /// The endpoint.
        endpoint: ObjectKey,
        /// Whose it is.
        site: String,
    },
    /// The device's endpoint does not exist.
    #[error("spec.endpointRef: TunnelEndpoint {0} does not exist; create it or correct the name")]
    EndpointMissing(ObjectKey),
    /// The device's endpoint has a problem.
    #[error("spec.endpointRef: TunnelEndpoint {0} is not usable; see its conditions")]
    EndpointRefused(ObjectKey),
    /// A field holds text that is not what it should be.
    #[error("{field}: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The object is called what a certificate cannot carry.
    #[error("metadata.name: {0}")]
    Name(NameError),
    /// The region's namespace does not let this namespace's sites in.
    #[error(
        "spec.regionRef: DmzRegion {region} does not admit sites of namespace {namespace:?}; its owner must add the namespace to spec.allowedSites.namespaces"
    )]
    RegionForbids {
        /// The region.
        region: ObjectKey,
        /// Whose sites it does not admit.
        namespace: String,
    },
    /// The region does not exist.
    #[error("spec.regionRef: DmzRegion {0} does not exist; create it or correct the name")]
    RegionMissing(ObjectKey),
    /// The site does not exist.
    #[error("spec.siteRef: CustomerSite {0} does not exist; create it or correct the name")]
    SiteMissing(ObjectKey),
    /// The site has a problem.
    #[error("spec.siteRef: CustomerSite {0} is not usable; see its conditions")]
    SiteRefused(ObjectKey),
}

impl Problem {
    /// The reason of the condition; a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "AddressRefused",
            Self::Deleting => "Deleting",
            Self::Duplicate { .. } => "Duplicate",
            Self::EndpointElsewhere { .. } => "EndpointOfOtherSite",
            Self::EndpointMissing(_) => "EndpointNotFound",
            Self::EndpointRefused(_) => "EndpointNotUsable",
            Self::Field { .. } | Self::Name(_) => "Invalid",
            Self::RegionForbids { .. } => "RegionForbids",
            Self::RegionMissing(_) => "RegionNotFound",
            Self::SiteMissing(_) => "SiteNotFound",
            Self::SiteRefused(_) => "SiteNotUsable",
        }
    }
}

/// A site that may attach to its region.
pub fn judge_site(site: &CustomerSite, all: &Catalogue) -> Result<(SiteId, RegionId), Problem> {
    let key = ObjectKey::of(site);
    let id = SiteId::parse(&key.namespace, &key.name).map_err(Problem::Name)?;
    not_deleting(site.metadata.deletion_timestamp.is_some())?;
    let region_key = region_key(site);
    let region = all.region_of(site).ok_or_else(|| Problem::RegionMissing(region_key.clone()))?;
    if !admits(region, &key.namespace) {
        return Err(Problem::RegionForbids { region: region_key, namespace: key.namespace });
    }
    let region = RegionId::parse(&region_key.namespace, &region_key.name).map_err(Problem::Name)?;
    Ok((id, region))
}

fn admits(region: &DmzRegion, namespace: &str) -> bool {
    let own = region.metadata.namespace.as_deref() == Some(namespace);
    own || region.spec.allowed_sites.as_ref().is_some_and(|allowed| allowed.namespaces.iter().any(|n| n == namespace))
}

/// An endpoint whose site may attach.
pub fn judge_endpoint(endpoint: &TunnelEndpoint, all: &Catalogue) -> Result<(EndpointId, SiteId, RegionId), Problem> {
    let key = ObjectKey::of(endpoint);
    let id = EndpointId::parse(&key.namespace, &key.name).map_err(Problem::Name)?;
    not_deleting(endpoint.metadata.deletion_timestamp.is_some())?;
    let (site, region) = site_of(&key.namespace, &endpoint.spec.site_ref.name, all)?;
    Ok((id, site, region))
}

fn site_of(namespace: &str, name: &str, all: &Catalogue) -> Result<(SiteId, RegionId), Problem> {
    let key = ObjectKey::new(namespace, name);
    let site = all.sites.get(&key).ok_or_else(|| Problem::SiteMissing(key.clone()))?;
    judge_site(site, all).map_err(|_| Problem::SiteRefused(key))
}

/// A device that can be reached once its endpoint has a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedDevice {
    /// Which.
    pub id: DeviceId,
    /// Its site.
    pub site: SiteId,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// Its region.
    pub region: RegionId,
    /// Where it is.
    pub address: TargetAddress,
}

/// Whether a device can be in the configuration.
pub fn judge_device(device: &Device, all: &Catalogue) -> Result<JudgedDevice, Problem> {
    let key = ObjectKey::of(device);
    let id = DeviceId::parse(&key.namespace, &key.name).map_err(Problem::Name)?;
    not_deleting(device.metadata.deletion_timestamp.is_some())?;
    let (site, region) = site_of(&key.namespace, &device.spec.site_ref.name, all)?;
    let endpoint_key = ObjectKey::new(&key.namespace, &device.spec.endpoint_ref.name);
    let endpoint = all.endpoints.get(&endpoint_key).ok_or_else(|| Problem::EndpointMissing(endpoint_key.clone()))?;
    if endpoint.spec.site_ref.name != device.spec.site_ref.name {
        let site = endpoint.spec.site_ref.name.clone();
        return Err(Problem::EndpointElsewhere { endpoint: endpoint_key, site });
    }
    let (endpoint, _, _) = judge_endpoint(endpoint, all).map_err(|_| Problem::EndpointRefused(endpoint_key))?;
    let address = device.spec.address.parse().map_err(Problem::Address)?;
    services_are_distinct(device)?;
    Ok(JudgedDevice { id, site, endpoint, region, address })
}

fn services_are_distinct(device: &Device) -> Result<(), Problem> {
    let mut seen = std::collections::BTreeSet::new();
    for service in &device.spec.services {
        service.name.parse::<sallyport_core::name::Name>().map_err(|e| field("spec.services", e))?;
        if service.port == 0 {
            return Err(field("spec.services", "0 is not a port; use 1 to 65535"));
        }
        if !seen.insert(&service.name) {
            return Err(Problem::Duplicate { field: "spec.services", name: service.name.clone() });
        }
    }
    Ok(())
}

/// A policy whose region exists.
pub fn judge_policy(policy: &AccessPolicy, all: &Catalogue) -> Result<(PolicyId, ObjectKey), Problem> {
    let key = ObjectKey::of(policy);
    let id = PolicyId::parse(&key.namespace, &key.name).map_err(Problem::Name)?;
    not_deleting(policy.metadata.deletion_timestamp.is_some())?;
    let region = ObjectKey::new(&key.namespace, &policy.spec.region_ref.name);
    if !all.regions.contains_key(&region) {
        return Err(Problem::RegionMissing(region));
    }
    crate::region_config::policy_rules(policy)?;
    Ok((id, region))
}

/// A field whose text is not what it should be.
pub(crate) fn field(field: &'static str, why: impl ToString) -> Problem {
    Problem::Field { field, why: why.to_string() }
}

fn not_deleting(deleting: bool) -> Result<(), Problem> {
    if deleting { Err(Problem::Deleting) } else { Ok(()) }
}
