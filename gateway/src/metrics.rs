//! What the gateway counts. Labels come from closed sets only.

use prometheus::{IntCounter, IntCounterVec, IntGauge};
use sallyport_runtime::metrics::Registry;

/// One field a metric.
#[derive(Clone)]
#[allow(missing_docs, reason = "each has its help text below")]
pub struct Metrics {
    pub certificates_not_after: prometheus::IntGaugeVec,
    pub cloned_endpoints: IntCounter,
    pub control_streams: IntCounter,
    pub generation: IntGauge,
    pub handshakes_refused: IntCounterVec,
    pub nacks: IntCounter,
    pub sessions: IntGauge,
    pub sessions_ended: IntCounterVec,
    pub sessions_opened: IntCounter,
    pub sessions_refused: IntCounterVec,
    pub streams_refused: IntCounterVec,
    pub tunnels: IntGauge,
    pub tunnels_refused: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    pub fn new(registry: &Registry) -> Self {
        Self {
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
            generation: registry.gauge(
                "sallyport_gateway_configuration_generation",
                "Generation of the configuration in force; 0 is none.",
            ),
            handshakes_refused: registry.counter_vec(
                "sallyport_gateway_handshakes_refused_total",
                "Connections refused at a door before any request, by door and reason.",
                &["door", "reason"],
            ),
            nacks: registry.counter(
                "sallyport_gateway_configurations_refused_total",
                "Configurations refused; the one before stayed in force.",
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
            tunnels: registry.gauge("sallyport_gateway_tunnels", "Tunnels that this replica holds."),
            tunnels_refused: registry.counter_vec(
                "sallyport_gateway_tunnels_refused_total",
                "Tunnels that were asked for and refused, by reason.",
                &["reason"],
            ),
        }
    }
}
