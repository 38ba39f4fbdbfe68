//! Metrics, with the house rules enforced where they are made: prefix `sallyport_`, a sentence of help, and a record
//! of each from which docs/metrics.md is written. Labels come from closed sets only; that is the caller's duty.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
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
    pub fn new() -> Self {
        let registry = Self { inner: prometheus::Registry::new(), described: Arc::default() };
        let process = registry.inner.register(Box::new(ProcessCollector::for_self()));
        process.expect("a new registry has no metric of that name");
        registry
    }

    /// A counter without labels.
    ///
    /// # Panics
    /// On a [`MetricError`], as every function here that makes a metric: names are constants, so it is a mistake in the
    /// program that its first start and every test of it shows. [`Registry::add`] is the same without a panic.
    #[track_caller]
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        sound(self.add(Kind::Counter, name, help, &[], IntCounter::with_opts))
    }

    /// A counter with labels.
    #[track_caller]
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        sound(self.add(Kind::Counter, name, help, labels, |opts| IntCounterVec::new(opts, labels)))
    }

    /// A gauge without labels.
    #[track_caller]
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        sound(self.add(Kind::Gauge, name, help, &[], IntGauge::with_opts))
    }

    /// A gauge with labels.
    #[track_caller]
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        sound(self.add(Kind::Gauge, name, help, labels, |opts| IntGaugeVec::new(opts, labels)))
    }

    /// A histogram without labels. `buckets` are upper edges, rising.
    #[track_caller]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let edges = buckets.to_vec();
        sound(self.add(Kind::Histogram, name, help, &[], |opts| {
            Histogram::with_opts(HistogramOpts { common_opts: opts, buckets: edges })
        }))
    }

    /// A histogram with labels. `buckets` are upper edges, rising.
    #[track_caller]
    pub fn histogram_vec(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let edges = buckets.to_vec();
        sound(self.add(Kind::Histogram, name, help, labels, |opts| {
            HistogramVec::new(HistogramOpts { common_opts: opts, buckets: edges }, labels)
        }))
    }

    /// Adds any kind of metric, checked against the house rules.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn add<M: Collector + Clone + 'static>(
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
        TextEncoder::new()
            .encode_to_string(&self.inner.gather())
            .map_err(|source| MetricError::Refused { name: "text".to_owned(), source })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn sound<M>(made: Result<M, MetricError>) -> M {
    made.unwrap_or_else(|error| {
        panic!("{error}: {}", std::error::Error::source(&error).map_or(String::new(), |s| s.to_string()))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrape_and_the_description_agree() {
        let registry = Registry::new();
        registry.counter("sallyport_test_things_total", "Things that happened.").inc_by(3);
        registry.gauge_vec("sallyport_test_level", "How high it is.", &["door"]).with_label_values(&["inner"]).set(7);
        registry.histogram("sallyport_test_wait_seconds", "How long it took.", &[0.1, 1.0]).observe(0.5);
        let text = registry.text().unwrap();
        for line in [
            "sallyport_test_things_total 3",
            "sallyport_test_level{door=\"inner\"} 7",
            "sallyport_test_wait_seconds_bucket{le=\"1\"} 1",
            "# TYPE process_open_fds gauge",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let described: Vec<_> = registry.describe().into_iter().map(|d| (d.name, d.kind.label(), d.labels)).collect();
        assert_eq!(
            described,
            [
                ("sallyport_test_level".to_owned(), "gauge", vec!["door".to_owned()]),
                ("sallyport_test_things_total".to_owned(), "counter", vec![]),
                ("sallyport_test_wait_seconds".to_owned(), "histogram", vec![]),
            ]
        );
    }

    #[test]
    fn names_against_the_rules_are_refused() {
        let registry = Registry::new();
        for (kind, name, help) in [
            (Kind::Gauge, "things", "Things that are."),
            (Kind::Gauge, "sallyport_Things", "Things that are."),
            (Kind::Counter, "sallyport_things", "Things that happened."),
            (Kind::Gauge, "sallyport_things_total", "Things that are."),
            (Kind::Histogram, "sallyport_wait", "How long it took."),
            (Kind::Gauge, "sallyport_things", ""),
        ] {
            let made = registry.add(kind, name, help, &[], IntGauge::with_opts);
            assert!(matches!(made, Err(MetricError::Name { .. })), "{name}");
        }
        registry.gauge("sallyport_things", "Things that are.");
        let twice = registry.add(Kind::Gauge, "sallyport_things", "Things that are.", &[], IntGauge::with_opts);
        assert!(matches!(twice, Err(MetricError::Refused { .. })));
        assert_eq!(registry.describe().len(), 1);
    }
}
