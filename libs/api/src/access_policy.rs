//! `AccessPolicy`: who may reach what.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{Condition, LabelSelector, LocalRef};
use crate::span::Span;

/// Lets engineers reach devices of a region (R92, R93). Without a policy nobody reaches anything. It lives in the
/// region's namespace, so that a tenant cannot grant access to another's devices.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "AccessPolicy",
    plural = "accesspolicies",
    singular = "accesspolicy",
    shortname = "apol",
    category = "sallyport",
    namespaced,
    status = "AccessPolicyStatus",
    derive = "PartialEq",
    selectable = ".spec.regionRef.name",
    doc = "Lets engineers reach devices of a region.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Region","type":"string","jsonPath":".spec.regionRef.name"}"#,
    printcolumn = r#"{"name":"Groups","type":"string","jsonPath":".spec.subjects.groups"}"#,
    printcolumn = r#"{"name":"Sites","type":"integer","jsonPath":".status.sites"}"#,
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.devices"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')").message("metadata.name: at most 63 lower-case letters, digits and hyphens")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPolicySpec {
    /// The region, in the same namespace, whose devices it is about. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.regionRef: is immutable; create a new policy"))]
    pub region_ref: LocalRef,
    /// Whom it lets in.
    pub subjects: Subjects,
    /// The sites it is about, by their labels. `{}` means every site of the region.
    pub site_selector: LabelSelector,
    /// Of those sites, the devices it is about, by their labels. Default `{}`: every device.
    #[serde(default)]
    pub device_selector: LabelSelector,
    /// Names of services it allows. Default: every declared service.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub services: Vec<String>,
    /// The longest session it grants. 1m to 24h, default `4h`; the region's limit applies too.
    #[serde(default = "default_longest")]
    #[x_kube(validation = Rule::new("self.endsWith('d') ? false : duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("spec.maxSession: from 1m to 24h"))]
    pub max_session: Span,
}

fn default_longest() -> Span {
    "4h".parse().expect("a constant span")
}

/// Engineers, by user id or group.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("size(self.users) + size(self.groups) > 0").message("spec.subjects: name at least one user or group"))]
pub struct Subjects {
    /// User ids: the e-mail address in the engineer's certificate, or else its common name. Case does not matter.
    #[serde(default)]
    #[schemars(length(max = 200), inner(length(min = 1, max = 128), pattern("^[!-~]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub users: Vec<String>,
    /// Groups: the organizational units in the engineer's certificate. Exact spelling.
    #[serde(default)]
    #[schemars(length(max = 200), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessPolicyStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and `Reconciling` or `Stalled` when it is not.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Sites it covers now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<u32>,
    /// Devices it covers now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u32>,
}
