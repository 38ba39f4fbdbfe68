//! Metrics of the audit.

use prometheus::{IntCounterVec, IntGaugeVec};
use sallyport_runtime::metrics::Registry;

/// Metrics of the audit. Clones share them.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    /// Records archived, by region.
    pub archived: IntCounterVec,
    /// Bytes of journal archived, by region.
    pub bytes: IntCounterVec,
    /// Records that wait at a gateway, by region and gateway.
    pub behind: IntGaugeVec,
    /// What did not fit, by region and reason.
    pub evidence: IntCounterVec,
    /// Times that the archive did not take a batch, by region.
    pub failures: IntCounterVec,
    /// Offers to witnesses, by region and result.
    pub offers: IntCounterVec,
    /// Deliveries to customers, by region and result.
    pub deliveries: IntCounterVec,
    /// Records deleted after their time, by region.
    pub deleted: IntCounterVec,
    /// Persons' keys destroyed, by region.
    pub erased: IntCounterVec,
    /// Questions about the archive, by region and result.
    pub queries: IntCounterVec,
}

impl AuditMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            archived: registry.counter_vec(
                "sallyport_audit_archived_records_total",
                "Audit records that were verified and archived, by region.",
                &["region"],
            ),
            bytes: registry.counter_vec(
                "sallyport_audit_archived_bytes_total",
                "Bytes of gateways' journals that were verified and archived, by region.",
                &["region"],
            ),
            behind: registry.gauge_vec(
                "sallyport_audit_behind_records",
                "Audit records of a gateway that are not in the archive yet, by region and gateway.",
                &["region", "gateway"],
            ),
            evidence: registry.counter_vec(
                "sallyport_audit_evidence_total",
                "Batches of audit records that did not fit what is archived, by region and reason.",
                &["region", "reason"],
            ),
            failures: registry.counter_vec(
                "sallyport_audit_archive_failures_total",
                "Times that the archive did not take what was to be stored, by region.",
                &["region"],
            ),
            offers: registry.counter_vec(
                "sallyport_audit_witness_offers_total",
                "Checkpoints offered to witnesses, by region and result: cosigned, behind, refused, failed.",
                &["region", "result"],
            ),
            deliveries: registry.counter_vec(
                "sallyport_audit_deliveries_total",
                "Deliveries of checkpoints to customers' webhooks, by region and result: ok, failed.",
                &["region", "result"],
            ),
            deleted: registry.counter_vec(
                "sallyport_audit_deleted_records_total",
                "Audit records that were deleted after their time, by region.",
                &["region"],
            ),
            erased: registry.counter_vec(
                "sallyport_audit_erased_keys_total",
                "Keys of persons that were destroyed by erasures, by region.",
                &["region"],
            ),
            queries: registry.counter_vec(
                "sallyport_audit_queries_total",
                "Questions of gateways about archived records, by region and result: answered, withdrawn, or why not.",
                &["region", "result"],
            ),
        }
    }
}
