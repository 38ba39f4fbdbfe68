//! `DmzRegion`: a set of gateways in one place.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::{RegionAudit, RegionAuditStatus};
use crate::common::{Condition, LocalRef};
use crate::span::Span;

/// A demilitarised zone in one place: a set of gateways with an outer door, where hospital sites dial in, and an
/// inner door, where the vendor's engineers ask for sessions. The passage between them exists only while a permit
/// does; no IP route joins the two sides (R98, R112).
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "DmzRegion",
    plural = "dmzregions",
    singular = "dmzregion",
    shortname = "dmz",
    category = "sallyport",
    namespaced,
    status = "DmzRegionStatus",
    derive = "PartialEq",
    doc = "A set of gateways in one place, with an outer door for hospital sites and an inner door for engineers.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Gateways","type":"string","jsonPath":".status.summary.gateways"}"#,
    printcolumn = r#"{"name":"Sites","type":"integer","jsonPath":".status.summary.sites"}"#,
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.summary.devices"}"#,
    printcolumn = r#"{"name":"Outer","type":"string","jsonPath":".spec.outer.host"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name: a region's name has at most 40 characters, because pods and host names are derived from it")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.outer.host != self.inner.host").message("spec.inner.host: must differ from spec.outer.host; the doors are never the same"))]
pub struct DmzRegionSpec {
    /// Where hospital sites dial in.
    pub outer: Door,
    /// Where the vendor's engineers ask for sessions. Reachable from the vendor's intranet only (R90).
    pub inner: Door,
    /// Number of gateways, 1 to 9. Default 2: one can be away for an upgrade while tunnels are held by the other.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 1, max = 9))]
    pub replicas: u8,
    /// The private CA that vouches for gateways, agents and the operator of this region. Immutable: a region cannot
    /// change the authority that its sites trust.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.certificateAuthorityRef: is immutable; create a new region to use another authority"))]
    pub certificate_authority_ref: LocalRef,
    /// Whose engineers the inner door admits.
    pub engineers: Engineers,
    /// What the gateways run on.
    #[serde(default)]
    pub data_plane: DataPlane,
    /// Limits of every session in this region.
    #[serde(default)]
    pub sessions: SessionLimits,
    /// Which namespaces' sites may attach. The region's own namespace always may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_sites: Option<AllowedSites>,
    /// How the region's audit records are kept, who reads them and who vouches for them.
    #[serde(default)]
    pub audit: RegionAudit,
}

fn default_replicas() -> u8 {
    2
}

/// A door: the name it is reached under and the Service that leads to it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Door {
    /// Host name under which the other side reaches this door. The door's certificate carries it.
    #[schemars(
        length(min = 1, max = 253),
        pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub host: String,
    /// The Service in front of the gateways.
    #[serde(default)]
    pub service: DoorService,
}

/// Settings of a door's Service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'").message("nodePort: needs type NodePort or LoadBalancer"))]
pub struct DoorService {
    /// Type of the Service. Default `ClusterIP`: something else, such as a TCP load balancer, leads to it.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Port of the Service, 1 to 65535. Default 443.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Fixed node port, 1 to 65535 within the cluster's range. Default: chosen by Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<u16>,
    /// Annotations of the Service, for load balancer controllers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20))]
    pub annotations: BTreeMap<String, String>,
}

impl Default for DoorService {
    fn default() -> Self {
        Self { type_: ServiceType::default(), port: default_port(), node_port: None, annotations: BTreeMap::new() }
    }
}

fn default_port() -> u16 {
    443
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable inside the cluster only.
    #[default]
    ClusterIP,
    /// Through a load balancer of the platform.
    LoadBalancer,
    /// On a port of every node.
    NodePort,
}

impl ServiceType {
    /// As Kubernetes spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
            Self::NodePort => "NodePort",
        }
    }
}

/// Whose engineers the inner door admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Engineers {
    /// Engineers with a client certificate (smart card) of a corporate authority (R91).
    pub client_certificates: ClientCertificates,
}

/// Engineers' client certificates. The user id is the certificate's e-mail address, or else its common name; the
/// groups are its organizational units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificates {
    /// The ConfigMap with the authorities' certificates.
    pub authorities_ref: ConfigMapKeyRef,
}

/// A key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key with the certificates in PEM form. Default `ca.crt`.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_key() -> String {
    "ca.crt".to_owned()
}

/// What the gateways run on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataPlane {
    /// Image of the gateways. Default: the operator's at the region's creation, and it then stays: upgrading the
    /// operator never restarts a gateway. Set it to upgrade the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), pattern(r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"))]
    pub image: Option<String>,
    /// The volume on which each gateway keeps its audit records and its last configuration.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.dataPlane.storage: is immutable; the volumes hold audit records"))]
    pub storage: Storage,
}

/// A gateway's own volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// Size. Default `1Gi`.
    #[serde(default = "default_size")]
    #[schemars(length(max = 12), pattern("^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    pub size: String,
    /// StorageClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_size(), class_name: None }
    }
}

fn default_size() -> String {
    "1Gi".to_owned()
}

/// Limits of every session in this region.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionLimits {
    /// A session without traffic for this long ends (R23). 1m to 4h, default `15m`.
    #[serde(default = "default_idle")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? false : duration(self) >= duration('1m') && duration(self) <= duration('4h')").message("spec.sessions.idleTimeout: from 1m to 4h"))]
    pub idle_timeout: Span,
    /// No session is longer than this, whatever a policy says. 1m to 24h, default `4h`.
    #[serde(default = "default_longest")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? false : duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("spec.sessions.maxSession: from 1m to 24h"))]
    pub max_session: Span,
    /// How long live sessions go on when their gateway is told to stop, for an upgrade for example. 0s to 1h,
    /// default `60s`.
    #[serde(default = "default_grace")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? false : duration(self) <= duration('1h')").message("spec.sessions.drainGrace: at most 1h"))]
    pub drain_grace: Span,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle_timeout: default_idle(), max_session: default_longest(), drain_grace: default_grace() }
    }
}

fn default_idle() -> Span {
    "15m".parse().expect("a constant span")
}

fn default_longest() -> Span {
    "4h".parse().expect("a constant span")
}

fn default_grace() -> Span {
    "60s".parse().expect("a constant span")
}

/// Namespaces whose sites may attach.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedSites {
    /// Names of the namespaces.
    #[serde(default)]
    #[schemars(length(max = 500), inner(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DmzRegionStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` when it is not; `AuditArchived`: what the gateways recorded is in the
    /// archive; `AuditIntact`: it fits what was archived before.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The image that the gateways run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Counts for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<RegionSummary>,
    /// Each gateway.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gateways: Vec<GatewayStatus>,
    /// What firewall teams must let through.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["purpose".into()]))]
    pub addresses: Vec<FirewallAddress>,
    /// The audit records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<RegionAuditStatus>,
}

/// Counts for `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionSummary {
    /// Gateways that enforce the current configuration, of those wanted: `2/2`.
    pub gateways: String,
    /// Sites in the configuration.
    pub sites: u32,
    /// Devices in the configuration.
    pub devices: u32,
}

/// One gateway, as it reports itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// Its pod.
    pub name: String,
    /// Whether the operator has a control stream to it.
    pub attached: bool,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The generation of the region's configuration that it enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<u64>,
    /// Why it refused the newest configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Tunnels it holds.
    #[serde(default)]
    pub tunnels: u32,
    /// Sessions it carries.
    #[serde(default)]
    pub sessions: u32,
    /// Digest of the trust bundle that it acknowledged last; empty when it has not.
    #[serde(default)]
    pub trust_digest: String,
    /// The certificates that it uses.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["purpose"]))]
    pub certificates: Vec<GatewayCertificate>,
}

/// A certificate that a gateway uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayCertificate {
    /// `peer`, `outer` or `inner`.
    pub purpose: String,
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// SHA-256 of the CA certificate that issued it, in hexadecimal.
    pub issuer: String,
    /// End of the certificate (RFC 3339).
    pub not_after: String,
}

/// An address that must be reachable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirewallAddress {
    /// Who needs it: `sites` or `engineers`.
    pub purpose: String,
    /// Host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Addresses of the load balancer, as far as known.
    #[serde(default)]
    pub addresses: Vec<String>,
}
