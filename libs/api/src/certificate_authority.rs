//! `CertificateAuthority`: a private CA.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Condition, SecretKeyRef};
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
    printcolumn = r#"{"name":"Rotation","type":"string","jsonPath":".status.summary.rotation"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.summary.expires"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAuthoritySpec {
    /// Subject of the CA certificates; the generation's number is added to the common name. A change begins a rotation.
    pub subject: Subject,
    /// Algorithm of the CA's keys. Default `ecdsaP256`; `ecdsaP384` signs about 18 times slower. A change begins a
    /// rotation.
    #[serde(default)]
    pub key_algorithm: KeyAlgorithm,
    /// Lifetime of each CA certificate. 30d to 7300d, default `3650d`. A change counts from the next generation on.
    #[serde(default = "default_lifetime")]
    #[x_kube(validation = Rule::new("self.endsWith('d') && int(self.replace('d', '')) >= 30 && int(self.replace('d', '')) <= 7300").message("spec.lifetime: in days, from 30d to 7300d"))]
    pub lifetime: Span,
    /// When a new generation takes over, and how long everybody has.
    #[serde(default)]
    pub rotation: Rotation,
    /// The certificate revocation lists.
    #[serde(default)]
    pub revocation_lists: RevocationLists,
    /// Where the keys are kept. Default: in a Secret. A change begins a rotation: a key never moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custody: Option<Custody>,
    /// Where the trust bundle is published besides its ConfigMap.
    #[serde(default)]
    pub publish: Publish,
    /// Asks for a rotation now. Each new `id` is one request; `sallyportctl ca rotate` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_request: Option<RotateRequest>,
    /// Peers that a rotation does not wait for any more; each comes back only by enrolling again. `sallyportctl ca
    /// lost` writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub lost_peers: Vec<LostPeer>,
}

fn default_lifetime() -> Span {
    span("3650d")
}

fn span(text: &str) -> Span {
    text.parse().expect("a constant span")
}

/// When a new generation takes over. Everybody must trust it before it signs; everybody must hold one of its
/// certificates, or be given up with a recorded reason, before the one before it is dropped.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    /// A rotation begins this long before the signing generation ends. 1d to 3650d. Default: a fifth of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.endsWith('d') && int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 3650").message("spec.rotation.startBefore: in days, from 1d to 3650d"))]
    pub start_before: Option<Span>,
    /// A new generation is in the published trust bundle at least this long before it signs, for those who cannot
    /// acknowledge: engineers' clients and whoever mounts the ConfigMap. 0s to 90d, default `24h`.
    #[serde(default = "default_publish_for")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) <= 90 : duration(self) <= duration('2160h')").message("spec.rotation.publishFor: from 0s to 90d"))]
    pub publish_for: Span,
    /// How long a peer may be away before a rotation goes on without it. 1m to 397d, default `30d`. Such a peer comes
    /// back only by enrolling again (R75).
    #[serde(default = "default_overlap")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 397 : duration(self) >= duration('1m') && duration(self) <= duration('9528h')").message("spec.rotation.overlap: from 1m to 397d"))]
    pub overlap: Span,
    /// The agents' and gateways' certificates are renewed, spread over this time, after a new generation began to sign.
    /// 0s to 30d, default `24h`.
    #[serde(default = "default_renew_within")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) <= 30 : duration(self) <= duration('720h')").message("spec.rotation.renewWithin: from 0s to 30d"))]
    pub renew_within: Span,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            start_before: None,
            publish_for: default_publish_for(),
            overlap: default_overlap(),
            renew_within: default_renew_within(),
        }
    }
}

fn default_publish_for() -> Span {
    span("24h")
}

fn default_overlap() -> Span {
    span("30d")
}

fn default_renew_within() -> Span {
    span("24h")
}

/// The certificate revocation lists (RFC 5280 section 5), one for each generation that is trusted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationLists {
    /// From a list's issue to its next update, after which doors that have no newer one admit nobody. It is signed anew
    /// when a third of it is over, so this is what the operator may be away. 1h to 90d, default `7d`.
    #[serde(default = "default_list_lifetime")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 90 : duration(self) >= duration('1h') && duration(self) <= duration('2160h')").message("spec.revocationLists.lifetime: from 1h to 90d"))]
    pub lifetime: Span,
}

impl Default for RevocationLists {
    fn default() -> Self {
        Self { lifetime: default_list_lifetime() }
    }
}

fn default_list_lifetime() -> Span {
    span("7d")
}

/// Where the keys are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Custody {
    /// In a PKCS#11 token, from which no key ever comes out.
    pub pkcs11: Pkcs11,
}

/// A PKCS#11 token. Its module is the operator's flag `--pkcs11-module`, never a field: what is loaded into the operator
/// is not for everyone to say who may write a `CertificateAuthority`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pkcs11 {
    /// Label of the token.
    #[schemars(length(min = 1, max = 32), pattern(r"^[A-Za-z0-9 ._-]+$"))]
    pub token_label: String,
    /// The Secret, in the same namespace, that holds the user's PIN.
    pub pin_ref: SecretKeyRef,
}

/// Where the trust bundle is published besides its ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publish {
    /// In a `ClusterTrustBundle` named `sallyport.NAMESPACE.NAME`, where the API server serves that kind. Default `true`.
    #[serde(default = "yes")]
    pub cluster_trust_bundle: bool,
}

impl Default for Publish {
    fn default() -> Self {
        Self { cluster_trust_bundle: true }
    }
}

fn yes() -> bool {
    true
}

/// A request to rotate now.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.dropWithin) ? self.emergency : true").message("spec.rotateRequest.dropWithin: only an emergency drops a root by a deadline"))]
pub struct RotateRequest {
    /// Tells this request from the one before.
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._:-]+$"))]
    pub id: String,
    /// Why, for status, events and the audit.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub reason: String,
    /// A key leaked: leaves are renewed at once and the old roots are dropped by the deadline, whoever still needs them.
    #[serde(default)]
    pub emergency: bool,
    /// The deadline of an emergency, from the moment its new generation is made. 1m to 30d, default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? int(self.replace('d', '')) >= 1 && int(self.replace('d', '')) <= 30 : duration(self) >= duration('1m') && duration(self) <= duration('720h')").message("spec.rotateRequest.dropWithin: from 1m to 30d"))]
    pub drop_within: Option<Span>,
}

/// A peer that a rotation does not wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LostPeer {
    /// As `status.rotation.blockers` names it: `NAMESPACE/NAME` of a `TunnelEndpoint`, `gateway NAMESPACE/POD`, or
    /// `bootstrap NAMESPACE/REGION` for the certificate that a region's gateways begin with.
    #[schemars(
        length(min = 3, max = 137),
        pattern("^((bootstrap|gateway) )?[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Why.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub reason: String,
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
    /// Every CA generation, the removed ones of the last ten too.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub generations: Vec<CaGeneration>,
    /// The rotation that is under way, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
    /// ConfigMap in which the trust bundle is published, under the key `ca.crt`, and the revocation lists, as `crls.pem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_bundle: Option<String>,
    /// Digest of the trust bundle, as peers acknowledge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_digest: Option<String>,
    /// Counts the trust bundles; a peer never goes back to a lower one.
    #[serde(default)]
    pub trust_sequence: u64,
    /// The last `spec.rotateRequest.id` that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<String>,
    /// Peers that the rotations went on without, the newest last, at most 100.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub given_up: Vec<GivenUp>,
    /// What happened, the newest last, at most 50.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub history: Vec<HistoryEntry>,
    /// When the next certificate revocation lists are signed at the latest, and when the present ones end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_lists: Option<RevocationListStatus>,
    /// Counts for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<AuthoritySummary>,
}

/// Where a generation stands. The order is the order of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum GenerationState {
    /// It is in every published bundle; not every peer has acknowledged that yet.
    NotYetTrusted,
    /// Every live peer trusts it; it does not sign yet.
    Trusted,
    /// It signs.
    Issuing,
    /// It is trusted and signs nothing more; its certificates are being replaced.
    PhasingOut,
    /// It is in no bundle, and its key is destroyed.
    Removed,
}

/// Why a generation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GenerationCause {
    /// `spec.rotateRequest` with `emergency`.
    Emergency,
    /// It is the first.
    First,
    /// `spec.rotateRequest`.
    Request,
    /// The one before comes to its end.
    Schedule,
    /// The subject, the algorithm or the custody changed.
    Spec,
}

/// One CA generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaGeneration {
    /// Number, from 1; it never falls.
    pub number: u32,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// Begin of validity (RFC 3339).
    pub not_before: String,
    /// End of validity (RFC 3339).
    pub not_after: String,
    /// Where it stands. Before rotations there was one generation, which signed, and nothing said so: that is what the
    /// absence of this and of the next three fields means.
    #[serde(default = "issuing")]
    pub state: GenerationState,
    /// Since when (RFC 3339).
    #[serde(default)]
    pub since: String,
    /// Why it was made.
    #[serde(default = "first")]
    pub cause: GenerationCause,
    /// Digest of the subject, algorithm and custody it was made for; another one in `spec` begins a rotation.
    #[serde(default)]
    pub made_for: String,
    /// Emergency: the generations before this one are dropped at this time (RFC 3339), whoever still needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_others_at: Option<String>,
    /// Peers that hold one of its certificates.
    #[serde(default)]
    pub holders: u32,
}

fn issuing() -> GenerationState {
    GenerationState::Issuing
}

fn first() -> GenerationCause {
    GenerationCause::First
}

/// A rotation that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// The generation that takes over.
    pub to: u32,
    /// What it waits for, for people.
    pub waits_for: String,
    /// Peers that are done with the present step.
    pub done: u32,
    /// Of how many.
    pub of: u32,
    /// Who is not, with the reason: the first 20 by name.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub blockers: Vec<Blocker>,
    /// How many there are in all.
    #[serde(default)]
    pub blocked_by: u32,
    /// When the step is looked at again for time alone (RFC 3339), whatever peers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// A peer that a rotation waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// `NAMESPACE/NAME` of a `TunnelEndpoint`, `gateway NAMESPACE/POD`, or `bootstrap NAMESPACE/REGION`.
    pub name: String,
    /// What is missing, and since when it is away.
    pub reason: String,
}

/// A peer that a rotation went on without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenUp {
    /// As in a blocker.
    pub name: String,
    /// Why.
    pub reason: String,
    /// When (RFC 3339).
    pub at: String,
    /// By which rotation: the generation that took over.
    pub generation: u32,
}

/// One step of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When (RFC 3339).
    pub at: String,
    /// Which generation.
    pub generation: u32,
    /// Where it came to.
    pub state: GenerationState,
    /// Why, for people: what was waited for and is done.
    pub why: String,
}

/// The revocation lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevocationListStatus {
    /// Certificates on them.
    pub revoked: u32,
    /// When the earliest of them ends (RFC 3339).
    pub next_update: String,
    /// When they are signed anew at the latest (RFC 3339).
    pub renew_at: String,
}

/// Counts for `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritySummary {
    /// The step and how far it is, such as `Trusting 198/200`; empty when no rotation is under way.
    pub rotation: String,
    /// End of the generation that signs (RFC 3339).
    pub expires: String,
}
