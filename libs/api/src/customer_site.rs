//! `CustomerSite`: a hospital or laboratory.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::{SiteAudit, SiteAuditStatus};
use crate::common::{Access, Condition, Enforcement, RegionRef};

/// A customer's site, such as a hospital or a laboratory (R119). Its tunnel endpoints and devices refer to it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "sallyport.dev",
    version = "v1alpha1",
    kind = "CustomerSite",
    plural = "customersites",
    singular = "customersite",
    shortname = "csite",
    category = "sallyport",
    namespaced,
    status = "CustomerSiteStatus",
    derive = "PartialEq",
    selectable = ".spec.regionRef.name",
    doc = "A customer's site, such as a hospital or a laboratory.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Customer","type":"string","jsonPath":".spec.customer.name"}"#,
    printcolumn = r#"{"name":"Country","type":"string","jsonPath":".spec.country"}"#,
    printcolumn = r#"{"name":"Region","type":"string","jsonPath":".spec.regionRef.name"}"#,
    printcolumn = r#"{"name":"Connected","type":"string","jsonPath":".status.summary.connected"}"#,
    printcolumn = r#"{"name":"Devices","type":"integer","jsonPath":".status.summary.devices"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')").message("metadata.name: at most 63 lower-case letters, digits and hyphens; certificates carry it")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerSiteSpec {
    /// The customer, as contracts name them.
    pub customer: Customer,
    /// Country, ISO 3166-1 alpha-2, upper case.
    #[schemars(pattern("^[A-Z]{2}$"))]
    pub country: String,
    /// The region whose gateways the site uses. Immutable: certificates name the region.
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.regionRef: is immutable; certificates name the region, so create a new site"))]
    pub region_ref: RegionRef,
    /// What the customer allows without being asked each time.
    #[serde(default)]
    pub access: Access,
    /// Suspended at once (R139): tunnels and sessions of the site are cut and none is accepted. Default `false`.
    #[serde(default)]
    pub suspended: bool,
    /// How the site's audit records are kept and who is told about them.
    #[serde(default)]
    pub audit: SiteAudit,
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customer {
    /// Name, as engineers see it.
    #[schemars(length(min = 1, max = 200), pattern(r"^[^\x00-\x1f\x7f]+$"))]
    pub name: String,
    /// Customer number in the vendor's systems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._/-]+$"))]
    pub number: Option<String>,
}

/// What the operator observed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerSiteStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Connected`, `Suspended`, and `Reconciling` or `Stalled` when it is not ready; `AuditDelivered`, when
    /// there is a webhook: it took the newest checkpoints that were due.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Counts for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SiteSummary>,
    /// How the suspension was enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Enforcement>,
    /// The audit records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<SiteAuditStatus>,
}

/// Counts for `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteSummary {
    /// Endpoints with a tunnel, of all: `1/1`.
    pub connected: String,
    /// Devices of the site.
    pub devices: u32,
}
