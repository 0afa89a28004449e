//! Families as the messages of OpenTelemetry's protocol.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::{AggregationTemporality, metric, number_data_point};

use super::family::{Families, Family, Histogram, Labels, Values};

/// Java's name of what measures.
const METER: &str = "broker-meter";

/// Makes messages of families, one after the other.
pub(super) struct Exports {
    labels: Vec<KeyValue>,
    /// Since when sums count, in ns.
    since_ns: u64,
    /// With differences: what was said last, by family and labels.
    last: Option<HashMap<(&'static str, Labels), Last>>,
}

enum Last {
    Count(u64),
    Histogram(Histogram),
}

impl Exports {
    /// For series that all have these labels, too; with `delta` differences are told, not sums.
    pub(super) fn new(labels: &[(String, String)], delta: bool, now_ns: u64) -> Exports {
        let labels = labels.iter().map(|(name, value)| pair(name, value)).collect();
        Exports { labels, since_ns: now_ns, last: delta.then(HashMap::new) }
    }

    /// What there is to say at a time.
    pub(super) fn next(&mut self, families: Families, now_ns: u64) -> wire::ResourceMetrics {
        let list = families.list.into_iter().filter(|family| !family.is_empty());
        let metrics = list.map(|family| self.metric(family, now_ns)).collect();
        if self.last.is_some() {
            self.since_ns = now_ns;
        }
        let scope =
            InstrumentationScope { name: METER.to_owned(), ..InstrumentationScope::default() };
        let metrics =
            wire::ScopeMetrics { scope: Some(scope), metrics, ..wire::ScopeMetrics::default() };
        wire::ResourceMetrics {
            resource: Some(Resource::default()),
            scope_metrics: vec![metrics],
            ..wire::ResourceMetrics::default()
        }
    }

    fn metric(&mut self, family: Family, now_ns: u64) -> wire::Metric {
        let name = family.name;
        let temporality = match self.last {
            Some(_) => AggregationTemporality::Delta,
            None => AggregationTemporality::Cumulative,
        };
        let aggregation_temporality = temporality.into();
        let data = match family.values {
            Values::Gauges(series) => {
                let point = |(labels, value)| {
                    self.point(&labels, number_data_point::Value::AsDouble(value), now_ns)
                };
                let data_points = series.into_iter().map(point).collect();
                metric::Data::Gauge(wire::Gauge { data_points })
            }
            Values::Counters(series) => {
                let point = |(labels, value)| {
                    let value = self.count(name, &labels, value).cast_signed();
                    self.point(&labels, number_data_point::Value::AsInt(value), now_ns)
                };
                let data_points = series.into_iter().map(point).collect();
                let is_monotonic = true;
                metric::Data::Sum(wire::Sum { data_points, aggregation_temporality, is_monotonic })
            }
            Values::Histograms(series) => {
                let point = |(labels, values)| self.distribution(name, &labels, values, now_ns);
                let data_points = series.into_iter().map(point).collect();
                metric::Data::Histogram(wire::Histogram { data_points, aggregation_temporality })
            }
        };
        wire::Metric {
            name: name.to_owned(),
            description: family.help.to_owned(),
            unit: family.unit.to_owned(),
            data: Some(data),
            ..wire::Metric::default()
        }
    }

    fn point(
        &self,
        labels: &Labels,
        value: number_data_point::Value,
        now_ns: u64,
    ) -> wire::NumberDataPoint {
        wire::NumberDataPoint {
            attributes: self.attributes(labels),
            start_time_unix_nano: self.since_ns,
            time_unix_nano: now_ns,
            value: Some(value),
            ..wire::NumberDataPoint::default()
        }
    }

    fn distribution(
        &mut self,
        name: &'static str,
        labels: &Labels,
        values: Histogram,
        now_ns: u64,
    ) -> wire::HistogramDataPoint {
        let values = self.values(name, labels, values);
        wire::HistogramDataPoint {
            attributes: self.attributes(labels),
            start_time_unix_nano: self.since_ns,
            time_unix_nano: now_ns,
            count: values.count(),
            sum: Some(values.sum as f64),
            explicit_bounds: values.bounds.iter().map(|bound| *bound as f64).collect(),
            bucket_counts: values.counts,
            ..wire::HistogramDataPoint::default()
        }
    }

    fn attributes(&self, labels: &Labels) -> Vec<KeyValue> {
        let own = labels.iter().map(|(name, value)| pair(name, value));
        self.labels.iter().cloned().chain(own).collect()
    }

    /// The sum, or what came since the last time.
    fn count(&mut self, name: &'static str, labels: &Labels, value: u64) -> u64 {
        let Some(last) = &mut self.last else { return value };
        match last.insert((name, labels.clone()), Last::Count(value)) {
            // A topic that was deleted and made again counts from nothing.
            Some(Last::Count(before)) if before <= value => value - before,
            _ => value,
        }
    }

    fn values(&mut self, name: &'static str, labels: &Labels, values: Histogram) -> Histogram {
        let Some(last) = &mut self.last else { return values };
        match last.insert((name, labels.clone()), Last::Histogram(values.clone())) {
            Some(Last::Histogram(before)) if before.count() <= values.count() => {
                values.less(&before)
            }
            _ => values,
        }
    }
}

fn pair(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::super::family::label;
    use super::*;

    fn families(count: u64, counts: [u64; 2]) -> Families {
        let mut families = Families::new(10);
        let labels = || vec![label("topic", "T")];
        families.counter("in_total", "In", [(labels(), count)]);
        families.gauge(("late", "ms"), "Late", [(Labels::new(), 1.5)]);
        let values = Histogram { bounds: &[10], counts: counts.to_vec(), sum: count * 3 };
        families.histogram(("size", ""), "Sizes", [(labels(), values)]);
        families.gauge(("absent", ""), "Nothing", []);
        families
    }

    fn sums(metrics: &wire::ResourceMetrics) -> (i64, Vec<u64>, f64) {
        let metrics = &metrics.scope_metrics[0].metrics;
        let (Some(metric::Data::Sum(sum)), Some(metric::Data::Histogram(histogram))) =
            (&metrics[0].data, &metrics[2].data)
        else {
            panic!("{metrics:?}")
        };
        let Some(number_data_point::Value::AsInt(count)) = sum.data_points[0].value else {
            panic!("{sum:?}")
        };
        let point = &histogram.data_points[0];
        (count, point.bucket_counts.clone(), point.sum.unwrap())
    }

    #[test]
    fn sums_stay_and_differences_begin_anew() {
        for (delta, second) in [(false, (7, vec![3, 4], 21.0)), (true, (2, vec![2, 0], 6.0))] {
            let labels = [("node_id".to_owned(), "b".to_owned())];
            let mut exports = Exports::new(&labels, delta, 1);
            let first = exports.next(families(5, [1, 4]), 10);
            assert_eq!(sums(&first), (5, vec![1, 4], 15.0));
            let metrics = &first.scope_metrics[0].metrics;
            assert_eq!(metrics.len(), 3, "a family without series is not sent");
            assert_eq!((metrics[1].name.as_str(), metrics[1].unit.as_str()), ("late", "ms"));
            let next = exports.next(families(7, [3, 4]), 20);
            assert_eq!(sums(&next), second, "{delta}");
        }
    }

    #[test]
    fn what_begins_anew_is_told_whole() {
        let mut exports = Exports::new(&[], true, 1);
        exports.next(families(5, [1, 4]), 10);
        assert_eq!(sums(&exports.next(families(3, [1, 0]), 20)), (3, vec![1, 0], 9.0));
    }
}
