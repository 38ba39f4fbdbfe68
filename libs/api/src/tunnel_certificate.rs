//! `TunnelCertificate`: the certificate of an endpoint.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, Enforcement, LocalRef, SecretKeyRef};
use crate::span::Span;

/// The certificate of a tunnel endpoint, issued by the region's private CA (R71). The agent enrols for it with a one-time
/// token and keeps its key, or the operator makes the key and delivers both in a Secret, to be handed to the site as
/// files (R72). It is renewed at two thirds of its life.
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
    doc = "The certificate of a tunnel endpoint: enrolled by its agent, or delivered in a Secret.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".spec.endpointRef.name"}"#,
    printcolumn = r#"{"name":"Secret","type":"string","jsonPath":".spec.secretName"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.notAfter"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)").message("spec.secretName: is immutable; create a new certificate"),
    validation = Rule::new("!has(self.enrolmentToken) || !has(self.secretName)").message("spec.enrolmentToken: a certificate that is delivered in a Secret (spec.secretName) is not enrolled"),
    validation = Rule::new("!has(self.secretName) || !has(self.unprovenRenewal) || !self.unprovenRenewal").message("spec.unprovenRenewal: a certificate that is delivered in a Secret (spec.secretName) is renewed there by the operator"),
    validation = Rule::new("!has(self.pkcs12) || has(self.secretName)").message("spec.pkcs12: needs spec.secretName, the Secret that receives it"),
    validation = Rule::new("!has(oldSelf.revoked) || has(self.revoked)").message("spec.revoked: a revocation is final; create a new TunnelCertificate")
)]
pub struct TunnelCertificateSpec {
    /// The endpoint whose identity the certificate carries. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.endpointRef: is immutable; create a new certificate"))]
    pub endpoint_ref: LocalRef,
    /// Lifetime. 1h to 397d, default `90d`.
    #[serde(default = "default_lifetime")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 397 : duration(self) >= duration('1h') && duration(self) <= duration('9528h')").message("spec.lifetime: from 1h to 397d"))]
    pub lifetime: Span,
    /// Secret of type `kubernetes.io/tls`, in the same namespace, that receives `tls.crt`, `tls.key` and `ca.crt`: for
    /// a router or an agent that is handed files. A Secret that exists and was not made for this certificate is
    /// refused, never overwritten. Immutable. Without it the agent makes its own key and enrols (RFC 7030) with a
    /// one-time token, and the key never leaves the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// What else the Secret receives, for routers that read no PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkcs12: Option<Pkcs12>,
    /// The one-time token that the endpoint may enrol with. `sallyportctl enrol token` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment_token: Option<EnrolmentToken>,
    /// Whether the certificate is renewed for who shows the old one without signing the request with its key. Default
    /// false: whoever renews must send the header `Sallyport-Renewal-Proof`, as the agent does. Clients that know no more
    /// than RFC 7030 (`simplereenroll`) need `true`; then a gateway that was taken over can have this endpoint's
    /// certificate renewed for a key of its own, for as long as a certificate of the endpoint is valid.
    #[serde(default)]
    pub unproven_renewal: bool,
    /// Revokes every certificate that was issued for this object, at once and for good: its tunnels are cut, and a
    /// peer that shows one is refused. To let the endpoint back in, create a new `TunnelCertificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// A PKCS#12 file (RFC 7292) beside the PEM ones, under `keystore.p12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pkcs12 {
    /// The Secret, in the same namespace, with the file's password.
    pub password_ref: SecretKeyRef,
}

/// A one-time token, hashed: whoever reads the object cannot enrol with it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolmentToken {
    /// SHA-256 of the token, in hexadecimal. Tokens have at least 128 random bits, so a plain hash gives nothing away.
    #[schemars(length(min = 64, max = 64), pattern("^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Until when it can be used (RFC 3339, with its zone), at most seven days from when it is written. One that lasts
    /// longer is never accepted.
    #[schemars(
        extend("format" = "date-time"),
        length(max = 35),
        pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$")
    )]
    pub expires_at: String,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoked {
    /// Why (RFC 5280 section 5.3.1).
    pub reason: RevocationReason,
    /// In words, for status and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub note: Option<String>,
}

/// RFC 5280 section 5.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// The endpoint belongs to somebody else now.
    AffiliationChanged,
    /// The endpoint is out of service.
    CessationOfOperation,
    /// Somebody else may have the key.
    KeyCompromise,
    /// The right to it was withdrawn.
    PrivilegeWithdrawn,
    /// Replaced by another certificate.
    Superseded,
    /// None of the others.
    Unspecified,
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
    /// `NAMESPACE/NAME` of the `CertificateAuthority` that issued it and whose lists a revocation enters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// When a certificate was last issued (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<String>,
    /// Enrolment tokens that were used up, or that last too long: none of them is ever accepted again. At most 20; each is
    /// remembered until a day after its end.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["sha256".into()]))]
    pub used_tokens: Vec<UsedToken>,
    /// Certificates that were issued before and have not expired for more than a day, the newest last: what a revocation
    /// revokes besides `serial`. At most 20 that count; for one more the oldest that nobody was seen to use is revoked.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["serial".into()]))]
    pub earlier: Vec<EarlierCertificate>,
    /// How a revocation was enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Enforcement>,
}

/// An enrolment token that is not accepted any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedToken {
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its end (RFC 3339).
    pub expires_at: String,
}

/// A certificate that was issued before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlierCertificate {
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// End of validity (RFC 3339).
    pub not_after: String,
    /// The CA generation that issued it.
    pub issuer_generation: u32,
    /// Since when (RFC 3339) it is revoked as superseded, because another was issued for which there was no room. It
    /// stays on the authority's revocation list after it has left this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<String>,
}
