//! All that the operator has seen. Reconciles read from here; they ask the API server only before they make something
//! that must not be made twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::DynamicObject;
use sallyport_api::{
    AccessPolicy, CertificateAuthority, CustomerSite, Device, DmzRegion, TunnelCertificate, TunnelEndpoint,
};
use sallyport_plan::catalogue::{Catalogue, ObjectKey};
use sallyport_plan::objects;
use sallyport_plan::secret_facts::SecretFacts;

use crate::cache::Cache;
use crate::claims::Claims;

/// All that the operator has seen.
#[derive(Debug)]
pub struct World {
    /// `DmzRegion`s.
    pub regions: Arc<Cache<DmzRegion>>,
    /// `CertificateAuthority`s.
    pub authorities: Arc<Cache<CertificateAuthority>>,
    /// `CustomerSite`s.
    pub sites: Arc<Cache<CustomerSite>>,
    /// `TunnelEndpoint`s.
    pub endpoints: Arc<Cache<TunnelEndpoint>>,
    /// `TunnelCertificate`s.
    pub certificates: Arc<Cache<TunnelCertificate>>,
    /// Which Secrets those want.
    pub claims: Claims,
    /// `Device`s.
    pub devices: Arc<Cache<Device>>,
    /// `AccessPolicy`s.
    pub policies: Arc<Cache<AccessPolicy>>,
    /// What the operator made, but for Secrets.
    pub children: BTreeMap<objects::Kind, Arc<Cache<DynamicObject>>>,
    /// Secrets that the operator made, without their keys.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// ConfigMaps of the regions' namespaces: engineers' authorities are among them.
    pub config_maps: Arc<Cache<ConfigMap>>,
    /// Gateways' pods.
    pub pods: Arc<Cache<Pod>>,
}

impl Default for World {
    fn default() -> Self {
        let kinds = objects::Kind::ALL.into_iter().filter(|kind| *kind != objects::Kind::Secret);
        Self {
            regions: Arc::new(Cache::new(|o| &o.metadata)),
            authorities: Arc::new(Cache::new(|o| &o.metadata)),
            sites: Arc::new(Cache::new(|o| &o.metadata)),
            endpoints: Arc::new(Cache::new(|o| &o.metadata)),
            certificates: Arc::new(Cache::new(|o| &o.metadata)),
            claims: Claims::default(),
            devices: Arc::new(Cache::new(|o| &o.metadata)),
            policies: Arc::new(Cache::new(|o| &o.metadata)),
            children: kinds.map(|kind| (kind, Arc::new(Cache::new(|o: &DynamicObject| &o.metadata)))).collect(),
            secrets: Arc::new(Cache::new(|o| &o.metadata)),
            config_maps: Arc::new(Cache::new(|o| &o.metadata)),
            pods: Arc::new(Cache::new(|o| &o.metadata)),
        }
    }
}

impl World {
    /// All objects that refer to each other, as they are now.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue {
            regions: self.regions.snapshot(),
            sites: self.sites.snapshot(),
            endpoints: self.endpoints.snapshot(),
            devices: self.devices.snapshot(),
            policies: self.policies.snapshot(),
        }
    }

    /// A child that the operator made, as it is.
    pub fn child(&self, kind: objects::Kind, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        self.children.get(&kind)?.get(key)
    }

    /// Pods of a region, by name.
    pub fn pods_of(&self, region: &ObjectKey) -> BTreeMap<String, Arc<Pod>> {
        let label = sallyport_plan::labels::value(&region.name);
        let of_region = |pod: &Pod| {
            pod.metadata.labels.as_ref().and_then(|l| l.get(sallyport_plan::labels::REGION)) == Some(&label)
        };
        let pods = self.pods.snapshot();
        let found = pods.iter().filter(|(key, pod)| key.namespace == region.namespace && of_region(pod));
        found.map(|(key, pod)| (key.name.clone(), pod.clone())).collect()
    }
}
