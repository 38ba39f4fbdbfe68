//! `TunnelEndpoint`: where a site's tunnel ends on the site.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, LocalRef};

/// The site's end of a tunnel. The agent (or router) with a certificate of this endpoint dials out to the region's
/// outer door; nothing ever dials in (R35, R75).
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "TunnelEndpoint",
    plural = "tunnelendpoints",
    singular = "tunnelendpoint",
    shortname = "tep",
    category = "sallyport",
    namespaced,
    status = "TunnelEndpointStatus",
    derive = "PartialEq",
    selectable = ".spec.siteRef.name",
    doc = "The site's end of a tunnel, from where an agent dials out to the region's outer door.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Connected","type":"string","jsonPath":".status.conditions[?(@.type==\"Connected\")].status"}"#,
    printcolumn = r#"{"name":"Site","type":"string","jsonPath":".spec.siteRef.name"}"#,
    printcolumn = r#"{"name":"Gateways","type":"string","jsonPath":".status.summary.gateways"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')").message("metadata.name: at most 63 lower-case letters, digits and hyphens; certificates carry it")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelEndpointSpec {
    /// The site. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.siteRef: is immutable; create a new endpoint"))]
    pub site_ref: LocalRef,
    /// A tunnel in a WebSocket over TLS on port 443 (R74-R77).
    pub web_socket: WebSocket,
}

/// A tunnel in a WebSocket over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocket {
    /// How the site reaches the outer door. `direct`: through the customer's own Internet access (R77).
    pub route: WebSocketRoute,
}

/// How a site reaches the outer door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WebSocketRoute {
    /// Through the customer's own Internet access.
    Direct,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelEndpointStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Connected`, and `Reconciling` or `Stalled` when it is not ready.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The identity that the endpoint's certificates carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// For `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<EndpointSummary>,
    /// Tunnels that are up.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gateway".into()]))]
    pub tunnels: Vec<TunnelStatus>,
    /// What its agent last proved to hold and to trust; it stays when the agent is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
}

/// What an agent last proved to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Serial number of the certificate that it uses, in hexadecimal.
    pub serial: String,
    /// SHA-256 of the CA certificate that issued it, in hexadecimal.
    pub issuer: String,
    /// End of the certificate (RFC 3339).
    pub not_after: String,
    /// Digest of the trust bundle that it acknowledged last; empty when it has not.
    #[serde(default)]
    pub trust_digest: String,
}

/// For `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSummary {
    /// The gateways that hold a tunnel, separated by commas.
    pub gateways: String,
}

/// A tunnel that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TunnelStatus {
    /// The gateway that holds it.
    pub gateway: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// From which address it was dialled, as the gateway saw it.
    pub from: String,
    /// Version of the agent.
    pub agent_version: String,
}
