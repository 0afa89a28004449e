//! What a scrape shows: the series of Java 5.x, put together from the broker's state when somebody
//! asks. Names, labels and definitions are Java's (`broker/.../metrics/`).

mod clients;
mod endpoint;
mod flow;
mod lag;
mod storage;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(crate) use self::endpoint::start;
pub(crate) use self::flow::{Kind, Sent};
use crate::broker::Broker;

/// Labels of one series.
type Labels = Vec<(&'static str, String)>;

/// A broker as a collector of metrics.
struct Scrape(Arc<Broker>);

/// Where families are written.
struct Page<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    /// Series of one family at most.
    series_max: usize,
    /// Series left out.
    dropped: u64,
}

/// The values of a histogram: sum, and the bounds with how many values lie up to each and not
/// up to the one before; the last bound is infinite.
struct Histogram {
    sum: f64,
    buckets: Vec<(f64, u64)>,
}

/// All series of a broker, in the OpenMetrics text format.
fn page(broker: &Arc<Broker>, labels: &[(String, String)]) -> Result<String, fmt::Error> {
    let own = |name: &'static str, value: &str| (Cow::from(name), Cow::from(value.to_owned()));
    let mut all = vec![
        own("cluster", &broker.config.broker_cluster_name),
        own("node_type", "broker"),
        own("node_id", &broker.config.broker_name),
    ];
    all.extend(labels.iter().map(|(name, value)| (name.clone().into(), value.clone().into())));
    let mut registry = Registry::with_labels(all.into_iter());
    registry.register_collector(Box::new(Scrape(Arc::clone(broker))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl fmt::Debug for Scrape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let broker = &*self.0;
        let series_max = broker.config.metrics_otel_cardinality_limit;
        let series_max = usize::try_from(series_max).unwrap_or(usize::MAX);
        let mut page = Page { encoder: &mut encoder, series_max, dropped: 0 };
        flow::write(broker, &mut page)?;
        clients::write(broker, &mut page)?;
        lag::write(broker, &mut page)?;
        storage::write(broker, &mut page)?;
        let dropped = page.dropped;
        page.counter(
            "raptormq_metrics_dropped_series",
            "Series beyond metricsOtelCardinalityLimit, left out of this page",
            [(Labels::new(), dropped)],
        )
    }
}

impl Page<'_, '_> {
    /// Writes a family of values that go up and down.
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, series, |value, encoder| {
            encoder.encode_gauge(value)
        })
    }

    /// Writes a family of values that only grow; `_total` is added to the name.
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, series, |value, encoder| {
            encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
        })
    }

    /// Writes a family of distributions.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, series, |values, encoder| {
            let count = values.buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(values.sum, count, &values.buckets, None)
        })
    }

    fn family<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        series: impl IntoIterator<Item = (Labels, T)>,
        write: impl Fn(&T, &mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (at, (labels, value)) in series.into_iter().enumerate() {
            if at >= self.series_max {
                self.dropped += 1;
            } else if labels.is_empty() {
                write(&value, &mut family)?;
            } else {
                write(&value, &mut family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Whether a series belongs to a topic of the system, as a label.
fn is_system(broker: &Broker, topic: &str, group: Option<&str>) -> (&'static str, String) {
    let of_group = group.is_some_and(|group| {
        let prefix = "CID_RMQ_SYS_";
        group.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    });
    ("is_system", (of_group || broker.topics.is_system(topic)).to_string())
}

fn label(name: &'static str, value: impl Into<String>) -> (&'static str, String) {
    (name, value.into())
}
