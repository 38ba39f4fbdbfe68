//! What the agent counts. Labels come from closed sets only.

use prometheus::{IntCounterVec, IntGauge};
use sallyport_runtime::admin::{Readiness, Requirement};
use sallyport_runtime::metrics::Registry;

/// The agent's metrics, and whether it is ready: with at least one tunnel up.
#[derive(Clone)]
pub struct Metrics {
    tunnels: IntGauge,
    tunnel: Requirement,
    /// Attempts to reach the gateway, by result.
    pub dials: IntCounterVec,
    /// Offers received, by result.
    pub offers: IntCounterVec,
    /// Announcements of trust received, by result.
    pub announcements: IntCounterVec,
    /// Attempts to renew the certificate, by result.
    pub renewals: IntCounterVec,
    /// End of the certificate in use, in seconds since 1970.
    pub certificate_not_after: IntGauge,
    /// Streams that are open.
    pub streams_open: IntGauge,
    /// Streams asked for, by result: `connected` or the refusal's label.
    pub streams: IntCounterVec,
    /// Bytes of streams, `toDevice` and `fromDevice`.
    pub bytes: IntCounterVec,
}

impl Metrics {
    /// All at zero, and not ready.
    pub fn new(registry: &Registry, readiness: &Readiness) -> Self {
        let counter = |name, help, label| registry.counter_vec(name, help, &[label]);
        Self {
            tunnels: registry.gauge("sallyport_agent_tunnels", "Tunnels to gateways that are up."),
            tunnel: readiness.require("tunnel"),
            dials: counter("sallyport_agent_dials_total", "Attempts to open a tunnel, by result.", "result"),
            offers: counter("sallyport_agent_offers_total", "Offers received, by result.", "result"),
            announcements: counter(
                "sallyport_agent_announcements_total",
                "Announcements of trust received, by result.",
                "result",
            ),
            renewals: counter(
                "sallyport_agent_renewals_total",
                "Attempts to renew the certificate, by result.",
                "result",
            ),
            certificate_not_after: registry.gauge(
                "sallyport_agent_certificate_not_after_seconds",
                "End of the certificate in use, in seconds since 1970.",
            ),
            streams_open: registry.gauge("sallyport_agent_streams", "Connections to devices that are open."),
            streams: counter("sallyport_agent_streams_total", "Connections to devices asked for, by result.", "result"),
            bytes: counter("sallyport_agent_bytes_total", "Bytes passed, by direction.", "direction"),
        }
    }

    /// One more tunnel.
    pub fn tunnel_up(&self) {
        self.tunnels.inc();
        self.tunnel.met();
    }

    /// One less.
    pub fn tunnel_down(&self) {
        self.tunnels.dec();
        if self.tunnels.get() == 0 {
            self.tunnel.unmet("no tunnel is up");
        }
    }
}
