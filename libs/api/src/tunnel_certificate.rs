//! `TunnelCertificate`: the certificate of an endpoint.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{Condition, LocalRef};
use crate::span::Span;

/// The certificate of a tunnel endpoint, issued by the region's private CA and delivered in a Secret, to be handed to
/// the site as files (R72). It is renewed at two thirds of its life.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "TunnelCertificate",
    plural = "tunnelcertificates",
    singular = "tunnelcertificate",
    shortname = "tcert",
    category = "sallyport",
    namespaced,
    status = "TunnelCertificateStatus",
    derive = "PartialEq",
    selectable = ".spec.endpointRef.name",
    doc = "The certificate of a tunnel endpoint, delivered in a Secret.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".spec.endpointRef.name"}"#,
    printcolumn = r#"{"name":"Secret","type":"string","jsonPath":".spec.secretName"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.notAfter"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelCertificateSpec {
    /// The endpoint whose identity the certificate carries. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.endpointRef: is immutable; create a new certificate"))]
    pub endpoint_ref: LocalRef,
    /// Lifetime. 1h to 397d, default `90d`.
    #[serde(default = "default_lifetime")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 397 : duration(self) >= duration('1h') && duration(self) <= duration('9528h')").message("spec.lifetime: from 1h to 397d"))]
    pub lifetime: Span,
    /// Secret of type `kubernetes.io/tls`, in the same namespace, that receives `tls.crt`, `tls.key` and `ca.crt`.
    /// A Secret that exists and was not made for this certificate is refused, never overwritten. Immutable.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.secretName: is immutable; create a new certificate"))]
    pub secret_name: String,
}

fn default_lifetime() -> Span {
    "90d".parse().expect("a constant span")
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelCertificateStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` when it is not.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Serial number, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Begin of validity (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// End of validity (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// When it will be renewed (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<String>,
    /// The CA generation that issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_generation: Option<u32>,
}
