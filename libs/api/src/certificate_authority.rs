//! `CertificateAuthority`: a private CA.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Condition;
use crate::span::Span;

/// A private CA (R71) that vouches for the gateways, agents and the operator of the regions that refer to it. Its key
/// is in a Secret that only the operator reads; certificates come from our policy and a public key, nothing else.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "CertificateAuthority",
    plural = "certificateauthorities",
    singular = "certificateauthority",
    shortname = "ca",
    category = "sallyport",
    namespaced,
    status = "CertificateAuthorityStatus",
    derive = "PartialEq",
    doc = "A private CA that vouches for the gateways, agents and the operator of regions.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Generation","type":"integer","jsonPath":".status.issuing"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.generations[-1:].notAfter"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAuthoritySpec {
    /// Subject of the CA certificate. Immutable once issued.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.subject: is immutable; create a new CertificateAuthority"))]
    pub subject: Subject,
    /// Algorithm of the CA's key. Immutable. Default `ecdsaP256`; `ecdsaP384` signs about 18 times slower.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.keyAlgorithm: is immutable; create a new CertificateAuthority"))]
    pub key_algorithm: KeyAlgorithm,
    /// Lifetime of the CA certificate. 30d to 7300d, default `3650d`. Immutable.
    #[serde(default = "default_lifetime")]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("spec.lifetime: is immutable; create a new CertificateAuthority"),
        validation = Rule::new("self.endsWith('d') && int(self.replace('d', '')) >= 30 && int(self.replace('d', '')) <= 7300").message("spec.lifetime: in days, from 30d to 7300d")
    )]
    pub lifetime: Span,
}

fn default_lifetime() -> Span {
    "3650d".parse().expect("a constant span")
}

/// Subject of the CA certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// Common name.
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z0-9 ._()-]+$"))]
    pub common_name: String,
    /// Organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), pattern(r"^[A-Za-z0-9 ._()&-]+$"))]
    pub organization: Option<String>,
}

/// Algorithm of a CA's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthorityStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` when it is not.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The CA generation that signs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuing: Option<u32>,
    /// Every CA generation.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub generations: Vec<CaGeneration>,
    /// ConfigMap in which the trust bundle is published, under the key `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_bundle: Option<String>,
}

/// One CA generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaGeneration {
    /// Number, from 1.
    pub number: u32,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// Begin of validity (RFC 3339).
    pub not_before: String,
    /// End of validity (RFC 3339).
    pub not_after: String,
}
