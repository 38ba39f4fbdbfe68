//! All objects of the kinds that refer to each other, as they are now.

use std::fmt;
use std::sync::Arc;

use kube::ResourceExt;
use sallyport_api::common::RegionRef;
use sallyport_api::{AccessPolicy, CustomerSite, Device, DmzRegion, TunnelEndpoint};

/// An object's namespace and name, as text: it may be what no [`sallyport_core::name::Name`] can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// From both parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// What a reference from `namespace` to a region means.
    pub fn of_region(reference: &RegionRef, namespace: &str) -> Self {
        Self::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Objects of one kind, in order. A clone shares all that does not change after it: a cache takes a new version while a
/// reconcile looks at the old ones, and neither copies ten thousand keys.
pub type Objects<K> = rpds::RedBlackTreeMapSync<ObjectKey, Arc<K>>;

/// All objects that refer to each other. A clone is cheap and does not change.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Regions.
    pub regions: Objects<DmzRegion>,
    /// Sites.
    pub sites: Objects<CustomerSite>,
    /// Endpoints.
    pub endpoints: Objects<TunnelEndpoint>,
    /// Devices.
    pub devices: Objects<Device>,
    /// Policies.
    pub policies: Objects<AccessPolicy>,
}

impl Catalogue {
    /// The region a site refers to, if it exists.
    pub fn region_of(&self, site: &CustomerSite) -> Option<&Arc<DmzRegion>> {
        self.regions.get(&region_key(site))
    }

    /// Sites that refer to a region, whether it lets them or not.
    pub fn sites_of<'a>(
        &'a self,
        region: &'a ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<CustomerSite>)> {
        self.sites.iter().filter(move |(_, site)| region_key(site) == *region)
    }

    /// Regions that an authority vouches for.
    pub fn regions_of<'a>(
        &'a self,
        authority: &'a ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<DmzRegion>)> {
        within(&self.regions, &authority.namespace)
            .filter(move |(_, region)| region.spec.certificate_authority_ref.name == authority.name)
    }

    /// The site of an endpoint, if both exist.
    pub fn site_of(&self, endpoint: &ObjectKey) -> Option<&Arc<CustomerSite>> {
        let object = self.endpoints.get(endpoint)?;
        self.sites.get(&ObjectKey::new(&endpoint.namespace, &object.spec.site_ref.name))
    }

    /// Endpoints that refer to a site.
    pub fn endpoints_of<'a>(
        &'a self,
        site: &'a ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<TunnelEndpoint>)> {
        within(&self.endpoints, &site.namespace).filter(move |(_, e)| e.spec.site_ref.name == site.name)
    }

    /// Devices that refer to a site.
    pub fn devices_of<'a>(&'a self, site: &'a ObjectKey) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<Device>)> {
        within(&self.devices, &site.namespace).filter(move |(_, d)| d.spec.site_ref.name == site.name)
    }

    /// Policies that refer to a region.
    pub fn policies_of<'a>(
        &'a self,
        region: &'a ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<AccessPolicy>)> {
        within(&self.policies, &region.namespace).filter(move |(_, p)| p.spec.region_ref.name == region.name)
    }
}

/// The region a site refers to.
pub fn region_key(site: &CustomerSite) -> ObjectKey {
    ObjectKey::of_region(&site.spec.region_ref, site.metadata.namespace.as_deref().unwrap_or_default())
}

/// The objects of one namespace, without looking at the others.
pub fn within<'a, K>(objects: &'a Objects<K>, namespace: &'a str) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<K>)> {
    objects.range(ObjectKey::new(namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
}
