//! Families as a page of text: OpenMetrics, or the older format of Prometheus for those who do not
//! ask for it.

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::family::{Families, Family, Histogram, Labels, Values};

/// Writes the page; every series has `labels`, too.
///
/// # Errors
/// None in practice: writing to a string does not fail.
pub(super) fn page(
    families: Families,
    labels: &[(String, String)],
    open_metrics: bool,
) -> Result<String, fmt::Error> {
    let all = labels.iter().map(|(name, value)| (name.clone().into(), escaped(value).into()));
    let mut registry = Registry::with_labels(all);
    registry.register_collector(Box::new(Collected(families.list)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    if open_metrics { Ok(out) } else { plain(&out) }
}

#[derive(Debug)]
struct Collected(Vec<Family>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| write(family, &mut encoder))
    }
}

fn write(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let name = match &family.values {
        // It is added again behind the unit.
        Values::Counters(_) => family.name.strip_suffix("_total").unwrap_or(family.name),
        Values::Gauges(_) | Values::Histograms(_) => family.name,
    };
    let unit = unit_of(family).map(|unit| Unit::Other(unit.to_owned()));
    let kind = match &family.values {
        Values::Gauges(_) => MetricType::Gauge,
        Values::Counters(_) => MetricType::Counter,
        Values::Histograms(_) => MetricType::Histogram,
    };
    let out = encoder.encode_descriptor(name, family.help, unit.as_ref(), kind)?;
    match &family.values {
        Values::Gauges(series) => each(out, series, |value, out| out.encode_gauge(value)),
        Values::Counters(series) => {
            each(out, series, |value, out| out.encode_counter::<NoLabelSet, _, u64>(value, None))
        }
        Values::Histograms(series) => each(out, series, |values, out| {
            let sum = values.sum as f64;
            out.encode_histogram::<NoLabelSet>(sum, values.count(), &buckets(values), None)
        }),
    }
}

/// The unit as the end of a name; none if the name has it.
fn unit_of(family: &Family) -> Option<&'static str> {
    let unit = match family.unit {
        "ms" => "milliseconds",
        unit => unit,
    };
    (!unit.is_empty() && !family.name.contains(unit)).then_some(unit)
}

fn each<T>(
    mut family: MetricEncoder<'_>,
    series: &[(Labels, T)],
    write: impl Fn(&T, &mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in series {
        let labels: Labels = labels.iter().map(|(name, text)| (*name, escaped(text))).collect();
        match labels.is_empty() {
            true => write(value, &mut family)?,
            false => write(value, &mut family.encode_family(&labels)?)?,
        }
    }
    Ok(())
}

/// A label's value as it stands between quotes, which the encoder does not look at.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Bounds with the values in each bucket; the last bound is infinite.
fn buckets(values: &Histogram) -> Vec<(f64, u64)> {
    let bounds = values.bounds.iter().map(|bound| *bound as f64).chain([f64::MAX]);
    bounds.zip(values.counts.iter().copied()).collect()
}

/// The older format: counters are declared under the name of their series, nothing has a unit.
fn plain(open_metrics: &str) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(words) = line.strip_prefix("# HELP ") {
            help = words.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|words| words.split_once(' '))
        {
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                writeln!(out, "# HELP {name}{end} {text}")?;
            }
            writeln!(out, "# TYPE {name}{end} {kind}")?;
        } else if !line.starts_with("# ") {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::family::label;
    use super::*;

    fn families() -> Families {
        let mut families = Families::new(10);
        families.counter("a_total", "Counted", [(vec![label("x", "1\"\n")], 3)]);
        families.gauge(("b", "ms"), "Late", [(Labels::new(), 0.5)]);
        families.gauge(("c_bytes", "bytes"), "Used", []);
        let values = Histogram { bounds: &[10], counts: vec![1, 2], sum: 40 };
        families.histogram(("d", ""), "Sizes", [(Labels::new(), values)]);
        families
    }

    #[test]
    fn names_are_those_of_javas_exporter_in_both_formats() {
        let labels = [("node_id".to_owned(), "b".to_owned())];
        let open = page(families(), &labels, true).unwrap();
        assert!(open.contains("# TYPE a counter\n"), "{open}");
        assert!(open.contains("a_total{node_id=\"b\",x=\"1\\\"\\n\"} 3\n"), "{open}");
        assert!(open.contains("# UNIT b_milliseconds milliseconds\n"), "{open}");
        assert!(open.contains("b_milliseconds{node_id=\"b\"} 0.5\n"), "{open}");
        assert!(open.contains("# TYPE c_bytes gauge\n"), "{open}");
        for (bound, count) in [("10.0", 1), ("+Inf", 3)] {
            let bound = format!("le=\"{bound}\"");
            let mut buckets = open.lines().filter(|line| line.starts_with("d_bucket{"));
            let bucket = buckets.find(|line| line.contains(&bound)).unwrap();
            assert!(bucket.ends_with(&format!("}} {count}")), "{open}");
        }
        assert!(open.ends_with("# EOF\n"), "{open}");
        let plain = page(families(), &labels, false).unwrap();
        assert!(plain.contains("# HELP a_total Counted\n# TYPE a_total counter\n"), "{plain}");
        assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"), "{plain}");
        assert_eq!(plain.lines().filter(|line| !line.starts_with('#')).count(), 6);
    }
}
