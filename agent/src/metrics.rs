//! What the agent counts. Labels come from closed sets only.

use prometheus::core::Collector;
use prometheus::{Encoder, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// The agent's metrics and their registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Tunnels that are up.
    pub tunnels: IntGauge,
    /// Attempts to reach the gateway, by result.
    pub dials: IntCounterVec,
    /// Offers received, by result.
    pub offers: IntCounterVec,
    /// Streams that are open.
    pub streams_open: IntGauge,
    /// Streams asked for, by result: `connected` or the refusal's label.
    pub streams: IntCounterVec,
    /// Bytes of streams, `toDevice` and `fromDevice`.
    pub bytes: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| added(&registry, IntGauge::new(format!("sallyport_agent_{name}"), help)?);
        let counters = |name: &str, help: &str, label: &str| {
            added(&registry, IntCounterVec::new(Opts::new(format!("sallyport_agent_{name}"), help), &[label])?)
        };
        Ok(Self {
            tunnels: gauge("tunnels", "Tunnels to gateways that are up.")?,
            dials: counters("dials_total", "Attempts to open a tunnel, by result.", "result")?,
            offers: counters("offers_total", "Offers received, by result.", "result")?,
            streams_open: gauge("streams", "Connections to devices that are open.")?,
            streams: counters("streams_total", "Connections to devices asked for, by result.", "result")?,
            bytes: counters("bytes_total", "Bytes passed, by direction.", "direction")?,
            registry,
        })
    }

    /// In Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

fn added<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
