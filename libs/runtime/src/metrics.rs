//! Metrics, with the house rules enforced where they are made: prefix `sallyport_`, a sentence of help, and a record
//! of each from which docs/metrics.md is written. Labels come from closed sets only; that is the caller's duty.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    TextEncoder,
};

/// All metrics of one process. Clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: prometheus::Registry,
    described: Arc<Mutex<Vec<Description>>>,
}

/// One metric, for the documentation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// As scraped.
    pub name: String,
    /// What it measures.
    pub help: String,
    /// How it behaves.
    pub kind: Kind,
    /// Names of its labels, in order.
    pub labels: Vec<String>,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution; its name ends in its unit.
    Histogram,
}

impl Kind {
    /// The word used by Prometheus.
    pub fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Registry {
    /// With the process's own metrics (`process_*`: CPU, memory, descriptors) and nothing else.
    ///
    /// # Errors
    /// [`MetricError::Refused`] should the library refuse them.
    pub fn new() -> Result<Self, MetricError> {
        let registry = Self { inner: prometheus::Registry::new(), described: Arc::default() };
        let refused = |source| MetricError::Refused { name: "process".to_owned(), source };
        registry.inner.register(Box::new(ProcessCollector::for_self())).map_err(refused)?;
        Ok(registry)
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// See [`MetricError`]; the same holds for every metric here.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricError> {
        self.add(Kind::Counter, name, help, &[], IntCounter::with_opts)
    }

    /// A counter with labels.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, MetricError> {
        self.add(Kind::Counter, name, help, labels, |opts| IntCounterVec::new(opts, labels))
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricError> {
        self.add(Kind::Gauge, name, help, &[], IntGauge::with_opts)
    }

    /// A gauge with labels.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricError> {
        self.add(Kind::Gauge, name, help, labels, |opts| IntGaugeVec::new(opts, labels))
    }

    /// A histogram without labels. `buckets` are upper edges, rising.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, MetricError> {
        let edges = buckets.to_vec();
        self.add(Kind::Histogram, name, help, &[], |opts| {
            Histogram::with_opts(HistogramOpts { common_opts: opts, buckets: edges })
        })
    }

    /// A histogram with labels. `buckets` are upper edges, rising.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricError> {
        let edges = buckets.to_vec();
        self.add(Kind::Histogram, name, help, labels, |opts| {
            HistogramVec::new(HistogramOpts { common_opts: opts, buckets: edges }, labels)
        })
    }

    /// What there is, sorted by name, without the process's own.
    pub fn describe(&self) -> Vec<Description> {
        let mut all = self.described.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all
    }

    /// The text that a scrape gets.
    ///
    /// # Errors
    /// [`MetricError::Refused`] should the library fail.
    pub fn text(&self) -> Result<String, MetricError> {
        let refused = |source| MetricError::Refused { name: "text".to_owned(), source };
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&self.inner.gather(), &mut bytes).map_err(refused)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn add<M: Collector + Clone + 'static>(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[&str],
        make: impl FnOnce(Opts) -> prometheus::Result<M>,
    ) -> Result<M, MetricError> {
        named_by_the_rules(kind, name, help)?;
        let refused = |source| MetricError::Refused { name: name.to_owned(), source };
        let metric = make(Opts::new(name, help)).map_err(refused)?;
        self.inner.register(Box::new(metric.clone())).map_err(refused)?;
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let description = Description { name: name.to_owned(), help: help.to_owned(), kind, labels };
        self.described.lock().unwrap_or_else(PoisonError::into_inner).push(description);
        Ok(metric)
    }
}

fn named_by_the_rules(kind: Kind, name: &str, help: &str) -> Result<(), MetricError> {
    let refused = |rule| MetricError::Name { name: name.to_owned(), rule };
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !name.starts_with("sallyport_") || !name.bytes().all(fine) {
        return Err(refused("must begin with sallyport_ and be of a-z, 0-9 and _"));
    }
    if (kind == Kind::Counter) != name.ends_with("_total") {
        return Err(refused("must end in _total exactly if it is a counter"));
    }
    if kind == Kind::Histogram && !(name.ends_with("_seconds") || name.ends_with("_bytes")) {
        return Err(refused("must end in its unit, _seconds or _bytes"));
    }
    if help.len() < 10 { Err(refused("must have a sentence of help")) } else { Ok(()) }
}

/// Why there is no such metric. All of them are mistakes in the program.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// It breaks a house rule.
    #[error("metric {name:?} {rule}")]
    Name {
        /// Which.
        name: String,
        /// What it should do.
        rule: &'static str,
    },
    /// The library refuses it, for instance because the name is taken.
    #[error("metric {name:?} is refused")]
    Refused {
        /// Which.
        name: String,
        /// Why.
        source: prometheus::Error,
    },
}
