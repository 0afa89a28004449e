//! Families of series as exporters get them: Java's names, units and labels, and what they say now.

use std::sync::atomic::{AtomicU64, Ordering};

/// Labels of one series.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Series of one name.
#[derive(Debug)]
pub(super) struct Family {
    /// Name of Java's instrument; that of a counter ends in `_total`.
    pub name: &'static str,
    /// Java's unit; empty for a plain number.
    pub unit: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// What the series say.
    pub values: Values,
}

/// The series of a family.
#[derive(Debug)]
pub(super) enum Values {
    /// They go up and down.
    Gauges(Vec<(Labels, f64)>),
    /// They only grow.
    Counters(Vec<(Labels, u64)>),
    /// Distributions.
    Histograms(Vec<(Labels, Histogram)>),
}

/// A distribution at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Upper bounds of the buckets but the last, which has none.
    pub bounds: &'static [u64],
    /// Values in each bucket, one more than bounds.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

/// What is being collected.
pub(super) struct Families {
    /// The families so far.
    pub list: Vec<Family>,
    series_max: usize,
    dropped: u64,
}

impl Family {
    /// Whether it has no series.
    pub(super) fn is_empty(&self) -> bool {
        match &self.values {
            Values::Gauges(series) => series.is_empty(),
            Values::Counters(series) => series.is_empty(),
            Values::Histograms(series) => series.is_empty(),
        }
    }
}

impl Histogram {
    /// Number of values.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What came since an earlier moment.
    pub(super) fn less(&self, before: &Histogram) -> Histogram {
        let pairs = self.counts.iter().zip(&before.counts);
        Histogram {
            bounds: self.bounds,
            counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum: self.sum.saturating_sub(before.sum),
        }
    }
}

impl Families {
    /// Nothing yet; each family gets so many series at most.
    pub(super) fn new(series_max: usize) -> Families {
        Families { list: Vec::new(), series_max, dropped: 0 }
    }

    /// Adds a family of values that go up and down.
    pub(super) fn gauge(
        &mut self,
        (name, unit): (&'static str, &'static str),
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let values = Values::Gauges(self.capped(series));
        self.list.push(Family { name, unit, help, values });
    }

    /// Adds a family of values that only grow.
    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let values = Values::Counters(self.capped(series));
        self.list.push(Family { name, unit: "", help, values });
    }

    /// Adds a family of distributions.
    pub(super) fn histogram(
        &mut self,
        (name, unit): (&'static str, &'static str),
        help: &'static str,
        series: impl IntoIterator<Item = (Labels, Histogram)>,
    ) {
        let values = Values::Histograms(self.capped(series));
        self.list.push(Family { name, unit, help, values });
    }

    fn capped<T>(&mut self, series: impl IntoIterator<Item = (Labels, T)>) -> Vec<(Labels, T)> {
        let mut series = series.into_iter();
        let kept = series.by_ref().take(self.series_max).collect();
        self.dropped += series.count() as u64;
        kept
    }

    /// Adds what was left out to the number of all times, and that as a family.
    pub(super) fn tell_dropped(&mut self, total: &AtomicU64) {
        let dropped = total.fetch_add(self.dropped, Ordering::Relaxed) + self.dropped;
        self.counter(
            "raptormq_metrics_dropped_series_total",
            "Series beyond metricsOtelCardinalityLimit, left out",
            [(Labels::new(), dropped)],
        );
    }
}

/// A label of a series.
pub(super) fn label(name: &'static str, value: impl Into<String>) -> (&'static str, String) {
    (name, value.into())
}
