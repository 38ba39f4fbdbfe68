//! What regions and sites say about audit records, and what the operator says about them in status. The records
//! themselves are in the archive, never in an object.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a region's records are kept, who reads them and who vouches for them (R40, R58, R94 to R97).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionAudit {
    /// How long records are kept, unless a site says otherwise.
    #[serde(default)]
    pub retention: RegionRetention,
    /// Who of the vendor's staff may read the region's records, at the inner door. Default: nobody. Each reading is
    /// recorded itself, where the customer sees it.
    #[serde(default)]
    pub auditors: Auditors,
    /// Who countersigns the logs' checkpoints with a key that the operator does not have (`sallyportctl audit
    /// witness`), so that not even the vendor can show one history to one customer and another to the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub witnesses: Vec<Witness>,
    /// Lawful erasures of persons: their keys are destroyed, after which nobody can read who it was; the records and
    /// their proofs stay. It cannot be undone. An entry may go once `status.audit.erased` has it. `sallyportctl audit
    /// erase` writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub erasures: Vec<Erasure>,
    /// Logs that did not fit what was archived before, and that somebody looked into: their collection goes on, and
    /// what did not fit stays in the archive as evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gateway".into(), "incarnation".into()]))]
    pub accepted_forks: Vec<AcceptedFork>,
}

/// How long records are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionRetention {
    /// Years, by the calendar, counted from the record (R96). 1 to 30, default 6. Records that are older are deleted,
    /// and that is recorded; an archive under Object Lock keeps what was stored under a longer time.
    #[serde(default = "default_years")]
    #[schemars(range(min = 1, max = 30))]
    pub years: u8,
}

impl Default for RegionRetention {
    fn default() -> Self {
        Self { years: default_years() }
    }
}

fn default_years() -> u8 {
    6
}

/// Engineers who may read records, by user id or group. Nobody by default.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auditors {
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

/// A witness: a server that countersigns checkpoints after it has seen that they go on from those it saw before.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Witness {
    /// Name in status and messages.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where checkpoints are sent, without user name or query. The operator must be able to reach it.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[!$-;=@-Z_a-z~-]*)?$')").message("spec.audit.witnesses.url: write https://HOST[:PORT][/PATH], in lower case and without user name or query"))]
    pub url: String,
    /// The witness' public key as `sallyportctl audit witness` prints it: a C2SP verifier key of type 0x04,
    /// `NAME+HASH+KEY`.
    #[schemars(length(max = 320))]
    #[x_kube(validation = Rule::new(r"self.matches('^[!-*,-~]{1,255}[+][0-9a-f]{8}[+]B[A-P][A-Za-z0-9+/]{42}$')").message("spec.audit.witnesses.verifierKey: copy the line NAME+HASH+KEY that the witness prints at its start; its key is for cosignatures (type 0x04)"))]
    pub verifier_key: String,
    /// Authorities (PEM) of the witness' TLS certificate. Default: those that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message("spec.audit.witnesses.caBundle: certificates in PEM form, beginning with -----BEGIN CERTIFICATE-----"))]
    pub ca_bundle: Option<String>,
}

/// A lawful erasure of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Erasure {
    /// Tells this erasure from others.
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._:-]+$"))]
    pub id: String,
    /// Whom: the digest that `sallyportctl audit subject` prints of a user id, never the user id itself.
    #[schemars(length(min = 64, max = 64), pattern("^[0-9a-f]{64}$"))]
    pub subject: String,
    /// By what law or whose decision, for the record. It must not name the person.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"))]
    pub legal_basis: String,
    /// When it was requested (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub requested_at: String,
}

/// A log that did not fit and was looked into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedFork {
    /// Its gateway, by pod name.
    #[schemars(length(min = 1, max = 63), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub gateway: String,
    /// Its incarnation, as the condition `AuditIntact` names it.
    #[schemars(length(min = 8, max = 8), pattern("^[0-9a-f]{8}$"))]
    pub incarnation: String,
    /// What was found out, for the record.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"))]
    pub reason: String,
}

/// How a site's records are kept and who is told about them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteAudit {
    /// Another time than the region's, longer or shorter, where applicable law or the contract wants it (R96).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<SiteRetention>,
    /// Nothing of this site is deleted while this stands, however old it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_hold: Option<LegalHold>,
    /// Where the customer is sent the checkpoints of their logs, so that they can tell later whether what they are
    /// shown goes on from them (R97). Records are not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// How long a site's records are kept, and why not as long as the region's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteRetention {
    /// Years, by the calendar, counted from the record. 1 to 30. Instead of the region's, in both directions.
    #[schemars(range(min = 1, max = 30))]
    pub years: u8,
    /// The law or contract that says so; it goes into the record of each deletion.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"))]
    pub legal_basis: String,
}

/// A hold: nothing is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LegalHold {
    /// Why, for the record.
    #[schemars(length(min = 1, max = 300), pattern(r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"))]
    pub reason: String,
    /// Since when it was ordered (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
}

/// A server of the customer's that takes checkpoints by `POST`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where to, by name: an address would be what a certificate rarely vouches for.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?(/[!$-;=@-Z_a-z~-]*)?$')").message("spec.audit.webhook.url: write https://NAME[:PORT][/PATH], with a host name in lower case, and without user name or query"))]
    pub url: String,
    /// Minutes between two deliveries, 1 to 44640 (31 days). Default 1440, once a day. Nothing is sent while nothing is
    /// new; what fails is tried again.
    #[serde(default = "default_minutes")]
    #[schemars(range(min = 1, max = 44640))]
    pub every_minutes: u32,
    /// Authorities (PEM) of the server's TLS certificate. Default: those that the operator's image trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message("spec.audit.webhook.caBundle: certificates in PEM form, beginning with -----BEGIN CERTIFICATE-----"))]
    pub ca_bundle: Option<String>,
    /// A Secret in the site's namespace whose key `hmac` signs each delivery (HMAC-SHA-256), so that the server knows
    /// who sent it. Default: none; a checkpoint proves itself by its signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
}

fn default_minutes() -> u32 {
    1440
}

/// What the operator collected of a region. Figures are shown at most once a minute.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionAuditStatus {
    /// The region's public key (C2SP verifier key): the one thing a customer keeps to check every export by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_key: Option<String>,
    /// Each gateway's log.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub gateways: Vec<GatewayAuditStatus>,
    /// Erasures of `spec.audit.erasures` that are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub erased: Vec<ErasedStatus>,
}

/// How far a gateway's log is in the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayAuditStatus {
    /// Its pod.
    pub name: String,
    /// The incarnation of its log: the first 8 hex digits of SHA-256 of its public key.
    pub incarnation: String,
    /// Sequence number of the newest record in the archive.
    #[serde(default)]
    pub archived_through: u64,
    /// Time of that record (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<String>,
    /// Records that are not in the archive yet, rounded up to a power of ten.
    #[serde(default)]
    pub behind: u64,
    /// Whether the log can take a record; absent when the gateway does not say. Whatever is not `Open` lets no session
    /// begin and ends live ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<LogHealth>,
    /// How full the log's volume is, in steps of 5 percent, rounded up. An alarm from 80 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_used_percent: Option<u8>,
}

/// Whether an audit log can take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LogHealth {
    /// It can.
    Open,
    /// There is no room for another file of the journal.
    Full,
    /// The oldest append waits for longer than 5 s.
    Stalled,
    /// A write or a sync failed; for the life of the process.
    Sealed,
}

impl LogHealth {
    /// As status spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Full => "Full",
            Self::Stalled => "Stalled",
            Self::Sealed => "Sealed",
        }
    }
}

/// An erasure that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasedStatus {
    /// As `spec.audit.erasures` has it.
    pub id: String,
    /// How many keys were destroyed; 0 when no record names the person.
    pub keys: u32,
    /// When (RFC 3339).
    pub at: String,
}

/// What the operator collected of a site. Figures are shown at most once a minute.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteAuditStatus {
    /// The site's logs in the archive, at most 32: those with the newest checkpoints.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["gateway".into(), "incarnation".into()]))]
    pub logs: Vec<SiteLogStatus>,
    /// When the webhook took checkpoints last (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivered: Option<String>,
}

/// One log of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteLogStatus {
    /// The gateway that wrote it, by pod name.
    pub gateway: String,
    /// The incarnation that wrote it.
    pub incarnation: String,
    /// Records in the archive.
    pub size: u64,
    /// When the archived checkpoint was signed (RFC 3339).
    pub checkpoint_at: String,
}
