//! The operator's metrics.

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use sallyport_runtime::metrics::Registry;

use crate::audit::metrics::AuditMetrics;

/// The operator's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// By kind and result (`ok`, `error`).
    pub reconciles: IntCounterVec,
    /// By kind.
    pub duration: HistogramVec,
    /// By kind and verb (`apply`, `correct`, `create`, `delete`, `finalizer`, `status`, `event`).
    pub writes: IntCounterVec,
    /// By kind.
    pub watch_errors: IntCounterVec,
    /// By region.
    pub attached: IntGaugeVec,
    /// From sending to acknowledgement.
    pub acknowledged: HistogramVec,
    /// Refusals by gateways.
    pub refused: IntCounterVec,
    /// By profile and result (`issued`, `refused`).
    pub certificates: IntCounterVec,
    /// Requests of endpoints for certificates, by result.
    pub enrolments: IntCounterVec,
    /// From the change of an object until it is enforced, by kind.
    pub enforced: HistogramVec,
    /// Compiling and signing a region's configuration.
    pub compile: HistogramVec,
    /// The audit's.
    pub audit: AuditMetrics,
    /// Whether this replica works.
    pub leader: IntGauge,
}

/// An ordinary reconcile takes milliseconds; ten seconds is the client's patience.
const SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            reconciles: registry.counter_vec(
                "sallyport_operator_reconciles_total",
                "Reconciles, by kind and result.",
                &["kind", "result"],
            ),
            duration: registry.histogram_vec(
                "sallyport_operator_reconcile_duration_seconds",
                "Time a reconcile takes, by kind.",
                &["kind"],
                SECONDS,
            ),
            writes: registry.counter_vec(
                "sallyport_operator_writes_total",
                "Writes to the API server, by kind and verb; none while nothing changes.",
                &["kind", "verb"],
            ),
            watch_errors: registry.counter_vec(
                "sallyport_operator_watch_errors_total",
                "Watches that failed and were begun again, by kind.",
                &["kind"],
            ),
            attached: registry.gauge_vec(
                "sallyport_operator_gateways_attached",
                "Gateways with a control stream, by region.",
                &["region"],
            ),
            acknowledged: registry.histogram_vec(
                "sallyport_operator_acknowledge_duration_seconds",
                "Time from sending a configuration to a gateway until it is in force, by region.",
                &["region"],
                SECONDS,
            ),
            refused: registry.counter_vec(
                "sallyport_operator_configurations_refused_total",
                "Configurations that a gateway refused, by region.",
                &["region"],
            ),
            certificates: registry.counter_vec(
                "sallyport_operator_certificates_total",
                "Certificates asked for, by profile and result.",
                &["profile", "result"],
            ),
            enrolments: registry.counter_vec(
                "sallyport_operator_enrolments_total",
                "Requests of endpoints for certificates, by result: enrolled, renewed, or why not.",
                &["result"],
            ),
            enforced: registry.histogram_vec(
                "sallyport_operator_enforce_duration_seconds",
                "Time from seeing a revocation or suspension until every gateway has cut, by kind.",
                &["kind"],
                SECONDS,
            ),
            compile: registry.histogram_vec(
                "sallyport_operator_compile_duration_seconds",
                "Time to compile and sign the configuration, by region.",
                &["region"],
                SECONDS,
            ),
            audit: AuditMetrics::new(registry),
            leader: registry
                .gauge("sallyport_operator_leader", "1 on the replica that works, 0 on one that stands by."),
        }
    }
}
