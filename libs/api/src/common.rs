//! What several kinds share: references, conditions, levels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};

/// A reference to an object of a known kind in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// A reference to a `DmzRegion`, which may be in another namespace if that region allows it (`spec.allowedSites`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionRef {
    /// Name of the region.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Namespace of the region. Default: the namespace of the object that refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253), pattern("^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How a revocation or suspension was enforced: measured from the moment the operator saw it until the last gateway of
/// the region said that everything it forbids is cut (invariant I2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enforcement {
    /// When the operator saw it (RFC 3339).
    pub seen: String,
    /// When the last gateway had cut (RFC 3339); absent while one has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<String>,
    /// Between the two, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
}

/// What the customer allows without being asked each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// The widest access level, a ceiling: the strictest of the site's and the device's applies (R11, R14-R19).
    /// `none` (the default): the customer is asked every time. `permanentLimited`: services that do not interfere
    /// with examinations, without being asked. `full`: every declared service.
    #[serde(default)]
    pub ceiling: sallyport_core::level::AccessLevel,
}

/// Names of condition types, the same on every kind.
pub mod condition {
    /// The object does what its spec asks for. Its message says what is missing and what to do.
    pub const READY: &str = "Ready";
    /// kstatus: the operator is at work on it.
    pub const RECONCILING: &str = "Reconciling";
    /// kstatus: nothing will change until somebody changes something; the message says what.
    pub const STALLED: &str = "Stalled";
    /// At least one tunnel is up.
    pub const CONNECTED: &str = "Connected";
    /// The certificate is revoked, for good.
    pub const REVOKED: &str = "Revoked";
    /// Access is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// What the gateways recorded is in the archive.
    pub const AUDIT_ARCHIVED: &str = "AuditArchived";
    /// The customer's webhook took the checkpoints that were due.
    pub const AUDIT_DELIVERED: &str = "AuditDelivered";
    /// Every log fits what was archived of it before.
    pub const AUDIT_INTACT: &str = "AuditIntact";
}
