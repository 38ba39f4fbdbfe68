//! The seven kinds, as the operator handles them alike.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use sallyport_api::{
    AccessPolicy, CertificateAuthority, CustomerSite, Device, DmzRegion, TunnelCertificate, TunnelEndpoint,
};
use sallyport_plan::status::Conditioned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::world::World;

/// One of the seven kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `AccessPolicy`.
    AccessPolicy,
    /// `CertificateAuthority`.
    CertificateAuthority,
    /// `CustomerSite`.
    CustomerSite,
    /// `Device`.
    Device,
    /// `DmzRegion`.
    DmzRegion,
    /// `TunnelCertificate`.
    TunnelCertificate,
    /// `TunnelEndpoint`.
    TunnelEndpoint,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AccessPolicy,
        Self::CertificateAuthority,
        Self::CustomerSite,
        Self::Device,
        Self::DmzRegion,
        Self::TunnelCertificate,
        Self::TunnelEndpoint,
    ];

    /// As Kubernetes spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::AccessPolicy => "AccessPolicy",
            Self::CertificateAuthority => "CertificateAuthority",
            Self::CustomerSite => "CustomerSite",
            Self::Device => "Device",
            Self::DmzRegion => "DmzRegion",
            Self::TunnelCertificate => "TunnelCertificate",
            Self::TunnelEndpoint => "TunnelEndpoint",
        }
    }

    /// The field manager of this kind's controller.
    pub fn manager(self) -> String {
        format!("sallyport-operator/{}", self.label().to_ascii_lowercase())
    }
}

/// An object of one of the seven kinds.
pub trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its status.
    type Status: Conditioned + PartialEq + Serialize + Sync;
    /// Which kind.
    const KIND: Kind;
    /// Its status, if any was written.
    fn status(&self) -> Option<&Self::Status>;
    /// Where objects of this kind are kept.
    fn cache(world: &World) -> &Cache<Self>;
}

macro_rules! ours {
    ($($kind:ident, $status:path, $cache:ident;)+) => {$(
        impl Ours for $kind {
            type Status = $status;
            const KIND: Kind = Kind::$kind;
            fn status(&self) -> Option<&Self::Status> {
                self.status.as_ref()
            }
            fn cache(world: &World) -> &Cache<Self> {
                &world.$cache
            }
        }
    )+};
}

ours! {
    AccessPolicy, sallyport_api::access_policy::AccessPolicyStatus, policies;
    CertificateAuthority, sallyport_api::certificate_authority::CertificateAuthorityStatus, authorities;
    CustomerSite, sallyport_api::customer_site::CustomerSiteStatus, sites;
    Device, sallyport_api::device::DeviceStatus, devices;
    DmzRegion, sallyport_api::dmz_region::DmzRegionStatus, regions;
    TunnelCertificate, sallyport_api::tunnel_certificate::TunnelCertificateStatus, certificates;
    TunnelEndpoint, sallyport_api::tunnel_endpoint::TunnelEndpointStatus, endpoints;
}
