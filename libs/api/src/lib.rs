//! The kinds of `sallyport.dev/v1alpha1`, one file each. The doc comments here are the reference manual
//! (`docs/reference/`) and what `kubectl explain` prints; the schema, the parser and the error come from the same
//! definition.
//!
//! Either/or, immutability and cross-field rules are CEL rules on the types. What needs other objects to judge is a
//! condition, written by the operator.

#![allow(unreachable_pub, reason = "the KubeSchema derive copies the types into a function")]

pub mod access_policy;
pub mod audit;
pub mod certificate_authority;
pub mod common;
pub mod crd;
pub mod customer_site;
pub mod device;
pub mod dmz_region;
pub mod span;
pub mod tunnel_certificate;
pub mod tunnel_endpoint;

pub use access_policy::AccessPolicy;
pub use certificate_authority::CertificateAuthority;
pub use customer_site::CustomerSite;
pub use device::Device;
pub use dmz_region::DmzRegion;
pub use tunnel_certificate::TunnelCertificate;
pub use tunnel_endpoint::TunnelEndpoint;

/// The API group of every kind.
pub const GROUP: &str = "sallyport.dev";
/// The one version served and stored.
pub const VERSION: &str = "v1alpha1";
