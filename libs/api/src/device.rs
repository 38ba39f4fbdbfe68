//! `Device`: a scanner, a laboratory instrument or a server.

use kube::{CustomResource, KubeSchema};
use sallyport_core::config::Protocol;
use sallyport_core::level::{AccessLevel, DeviceClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Access, Condition, Enforcement, LocalRef};

/// A device that can be serviced: where it is behind its endpoint and which of its services exist. What is not
/// declared here cannot be reached (R63, R92, R93).
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    singular = "device",
    shortname = "mdev",
    category = "sallyport",
    namespaced,
    status = "DeviceStatus",
    derive = "PartialEq",
    selectable = ".spec.siteRef.name",
    selectable = ".spec.endpointRef.name",
    doc = "A scanner, a laboratory instrument or a server that can be serviced.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Connected","type":"string","jsonPath":".status.conditions[?(@.type==\"Connected\")].status"}"#,
    printcolumn = r#"{"name":"Site","type":"string","jsonPath":".spec.siteRef.name"}"#,
    printcolumn = r#"{"name":"Model","type":"string","jsonPath":".spec.product.model"}"#,
    printcolumn = r#"{"name":"Class","type":"string","jsonPath":".spec.product.class"}"#,
    printcolumn = r#"{"name":"Access","type":"string","jsonPath":".status.effectiveAccess"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')").message("metadata.name: at most 63 lower-case letters, digits and hyphens")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceSpec {
    /// The site where it stands.
    pub site_ref: LocalRef,
    /// The endpoint of that site through which it is reached.
    pub endpoint_ref: LocalRef,
    /// What it is.
    pub product: Product,
    /// IP address or host name behind the endpoint, as the agent sees it. Loopback, link-local, multicast and
    /// metadata addresses are refused, here, by the gateway and by the agent after name resolution.
    #[schemars(length(min = 1, max = 253), pattern(r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$|^[0-9a-fA-F:]+$"))]
    #[x_kube(
        validation = Rule::new("!isIP(self) || !(ip(self).isLoopback() || ip(self).isLinkLocalUnicast() || ip(self).isLinkLocalMulticast() || ip(self).isUnspecified() || self.startsWith('0.') || self == '255.255.255.255' || self == '100.100.100.200' || self.matches('^(22[4-9]|23[0-9])[.]') || self.lowerAscii().startsWith('ff') || self.lowerAscii().startsWith('::ffff:'))").message("spec.address: loopback, link-local, multicast, unspecified, IPv4-mapped and metadata addresses are not a device's"),
        validation = Rule::new("isIP(self) || (self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$') && !self.matches('(^|[.])[0-9]+$') && !self.lowerAscii().matches('(^|[.])(localhost|0x[0-9a-f]*)$'))").message("spec.address: neither an IP address nor a host name (and never localhost)")
    )]
    pub address: String,
    /// Services that exist on it, 1 to 32.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub services: Vec<DeviceService>,
    /// What the customer allows on this device without being asked each time. The site's ceiling applies too.
    #[serde(default)]
    pub access: Access,
    /// Suspends access to this device at once (R139): its sessions are cut, and none is opened. Default `false`.
    #[serde(default)]
    pub suspended: bool,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Product {
    /// Manufacturer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub manufacturer: Option<String>,
    /// Model name.
    #[schemars(length(min = 1, max = 100), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub model: String,
    /// Serial number.
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._/-]+$"))]
    pub serial_number: String,
    /// `inVivo` (at the patient), `inVitro` (laboratory; every session needs the local user's approval) or `server`.
    pub class: DeviceClass,
}

/// A service of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceService {
    /// Name that engineers ask for.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// TCP port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Using it does not interfere with examinations (R15), so that access level `permanentLimited` covers it.
    /// Default `false`.
    #[serde(default)]
    pub examination_safe: bool,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Connected`, `Suspended`, and `Reconciling` or `Stalled` when it is not ready.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The access level that applies: the strictest of the site's and the device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_access: Option<AccessLevel>,
    /// How the suspension was enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Enforcement>,
}
