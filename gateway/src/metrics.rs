//! What the gateway counts. Labels come from closed sets only.

use prometheus::{IntCounter, IntCounterVec, IntGauge};
use sallyport_runtime::metrics::Registry;

use crate::audit::AuditMetrics;

/// One field a metric.
#[derive(Clone)]
#[allow(missing_docs, reason = "each has its help text below")]
pub struct Metrics {
    pub audit: AuditMetrics,
    pub certificates_not_after: prometheus::IntGaugeVec,
    pub cloned_endpoints: IntCounter,
    pub control_streams: IntCounter,
    pub enrolments: IntCounterVec,
    pub generation: IntGauge,
    pub handshakes_refused: IntCounterVec,
    pub holds_ended_untold: IntCounter,
    pub nacks: IntCounter,
    pub proofs_refused: IntCounterVec,
    pub revocation_list_next_update: IntGauge,
    pub revocation_lists: prometheus::IntGaugeVec,
    pub sessions: IntGauge,
    pub sessions_ended: IntCounterVec,
    pub sessions_opened: IntCounter,
    pub sessions_refused: IntCounterVec,
    pub streams_refused: IntCounterVec,
    pub trust_refused: IntCounter,
    pub tunnels: IntGauge,
    pub tunnels_cut: IntCounter,
    pub tunnels_refused: IntCounterVec,
    pub tunnels_renewed: IntCounter,
}

impl Metrics {
    /// Registers all of them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            audit: audit(registry),
            certificates_not_after: registry.gauge_vec(
                "sallyport_gateway_certificate_not_after_seconds",
                "End of validity of the gateway's own certificates, in seconds since 1970.",
                &["purpose"],
            ),
            cloned_endpoints: registry.counter(
                "sallyport_gateway_cloned_endpoints_total",
                "Tunnels refused because another live agent holds one with the same certificate. Investigate each.",
            ),
            control_streams: registry
                .counter("sallyport_gateway_control_streams_total", "Control streams that an operator opened."),
            enrolments: registry.counter_vec(
                "sallyport_gateway_enrolments_total",
                "Requests for an endpoint's certificate, by operation and result.",
                &["operation", "result"],
            ),
            generation: registry.gauge(
                "sallyport_gateway_configuration_generation",
                "Generation of the configuration in force; 0 is none.",
            ),
            handshakes_refused: registry.counter_vec(
                "sallyport_gateway_handshakes_refused_total",
                "Connections refused at a door before any request, by door and reason.",
                &["door", "reason"],
            ),
            holds_ended_untold: registry.counter(
                "sallyport_gateway_holds_ended_untold_total",
                "Starts after which doors opened by what the volume keeps, because no operator said in time what counts.",
            ),
            nacks: registry.counter(
                "sallyport_gateway_configurations_refused_total",
                "Configurations refused; the one before stayed in force.",
            ),
            proofs_refused: registry.counter_vec(
                "sallyport_gateway_renewal_proofs_refused_total",
                "Proofs of a renewed certificate over a tunnel that did not count, by reason.",
                &["reason"],
            ),
            revocation_list_next_update: registry.gauge(
                "sallyport_revocation_list_next_update_seconds",
                "When the first of the revocation lists in force ends and closes the doors to its authority's certificates, in seconds since 1970; 0 without any.",
            ),
            revocation_lists: registry.gauge_vec(
                "sallyport_gateway_revocation_lists",
                "Trusted certificate authorities by the state of their revocation list; ended and missing ones let nobody in.",
                &["state"],
            ),
            sessions: registry.gauge("sallyport_gateway_sessions", "Sessions that are open."),
            sessions_ended: registry.counter_vec(
                "sallyport_gateway_sessions_ended_total",
                "Sessions that ended, by reason.",
                &["reason"],
            ),
            sessions_opened: registry.counter("sallyport_gateway_sessions_opened_total", "Sessions that were opened."),
            sessions_refused: registry.counter_vec(
                "sallyport_gateway_sessions_refused_total",
                "Sessions that were asked for and not opened, by reason.",
                &["reason"],
            ),
            streams_refused: registry.counter_vec(
                "sallyport_gateway_streams_refused_total",
                "Streams of open sessions that could not be connected, by reason.",
                &["reason"],
            ),
            trust_refused: registry.counter(
                "sallyport_gateway_trust_refused_total",
                "Trust bundles with revocation lists that were refused; the ones before stayed in force.",
            ),
            tunnels: registry.gauge("sallyport_gateway_tunnels", "Tunnels that this replica holds."),
            tunnels_cut: registry.counter(
                "sallyport_gateway_tunnels_cut_total",
                "Tunnels cut because their certificate was revoked or its authority is no longer trusted.",
            ),
            tunnels_refused: registry.counter_vec(
                "sallyport_gateway_tunnels_refused_total",
                "Tunnels that were asked for and refused, by reason.",
                &["reason"],
            ),
            tunnels_renewed: registry.counter(
                "sallyport_gateway_tunnels_renewed_total",
                "Tunnels that moved to a renewed certificate without being closed.",
            ),
        }
    }
}

/// A local disk syncs in a millisecond or ten, a network volume in tens; seconds are a volume in trouble.
const SYNC_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From one record to a thousand that share a sync.
const BATCH_BYTES: &[f64] = &[512.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

fn audit(registry: &Registry) -> AuditMetrics {
    AuditMetrics {
        appends: registry.counter("sallyport_audit_appends_total", "Audit records that were made durable."),
        batch_bytes: registry.histogram(
            "sallyport_audit_batch_bytes",
            "Bytes of audit records that shared one sync. Records for each sync are appends for each of these.",
            BATCH_BYTES,
        ),
        health: registry.gauge_vec(
            "sallyport_audit_health",
            "1 for the state in which the audit log is; in all but open no session begins and live ones end.",
            &["health"],
        ),
        not_archived: registry.gauge(
            "sallyport_audit_not_archived_records",
            "Audit records on the volume of which the operator has not said that they are in the archive.",
        ),
        sync_seconds: registry.histogram(
            "sallyport_audit_sync_seconds",
            "How long writing and syncing audit records took.",
            SYNC_SECONDS,
        ),
        volume_used_percent: registry
            .gauge("sallyport_audit_volume_used_percent", "How full the volume with the audit log is, rounded up."),
    }
}
