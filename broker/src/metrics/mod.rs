//! Metrics under Java 5.x's names, with its labels and units (`broker/.../metrics/`).
//!
//! Most of them are read from the broker's state when somebody asks (`collect`); what nobody else
//! needs is counted in [`Measures`] and `traffic.rs`, and only while an exporter is on. Families
//! have one form (`family`); `endpoint` shows them as a page, `push` sends or logs them.

mod calls;
mod classic;
mod clients;
mod endpoint;
mod family;
mod flow;
mod lag;
mod otlp;
mod page;
mod pop;
mod push;
mod storage;
mod tally;
mod timer;
mod transaction;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use runtime::services::Services;

pub(crate) use self::calls::{Measured, creation};
pub(crate) use self::flow::{Handed, Kind, Sent, Way};
pub(crate) use self::pop::{Revival, Revived};

use self::calls::Calls;
use self::family::{Families, Labels, label};
use self::tally::Tally;
use self::transaction::Ended;
use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::topics::{DLQ_PREFIX, is_retry_topic};

/// Upper bounds of the time to make a topic or a group, in ms.
const CREATIONS: [u64; 5] = [10, 100, 1000, 3000, 5000];
/// Upper bounds of the time of a look through the check points in memory, in ms.
const SCANS: [u64; 6] = [1, 10, 100, 1000, 2000, 3000];

/// What is counted for metrics alone.
pub(crate) struct Measures {
    /// Whether an exporter is on; nothing is counted otherwise.
    pub(crate) on: bool,
    calls: Calls,
    /// The ends of transactions.
    pub(crate) ended: Ended,
    /// Requests to make a topic: by success, then by whether it is one of the system.
    topics: [[Tally<{ CREATIONS.len() }>; 2]; 2],
    /// Requests to make a group: by success.
    groups: [Tally<{ CREATIONS.len() }>; 2],
    buffer_scans: Tally<{ SCANS.len() }>,
    /// Series left out so far.
    dropped: AtomicU64,
}

/// Who gets metrics (`metricsExporterType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// Nobody.
    Disable,
    /// A collector of OpenTelemetry.
    OtlpGrpc,
    /// Who fetches a page.
    Prom,
    /// The log.
    Log,
}

impl Exporter {
    /// Java's words and numbers.
    pub(crate) fn parse(text: &str) -> Option<Exporter> {
        match text.trim() {
            "DISABLE" | "0" => Some(Exporter::Disable),
            "OTLP_GRPC" | "1" => Some(Exporter::OtlpGrpc),
            "PROM" | "2" => Some(Exporter::Prom),
            "LOG" | "3" => Some(Exporter::Log),
            _ => None,
        }
    }
}

impl BrokerConfig {
    /// Who gets metrics; nobody if the settings say nothing that is known.
    pub(crate) fn exporter(&self) -> Exporter {
        Exporter::parse(&self.metrics_exporter_type).unwrap_or(Exporter::Disable)
    }

    /// Whether anybody gets metrics.
    pub(crate) fn measures(&self) -> bool {
        self.exporter() != Exporter::Disable
    }
}

impl Measures {
    /// Nothing yet.
    pub(crate) fn new(config: &BrokerConfig) -> Measures {
        let tally = || Tally::new(&CREATIONS);
        Measures {
            on: config.measures(),
            calls: Calls::new(),
            ended: Ended::default(),
            topics: [[tally(), tally()], [tally(), tally()]],
            groups: [tally(), tally()],
            buffer_scans: Tally::new(&SCANS),
            dropped: AtomicU64::new(0),
        }
    }

    /// Counts a request to make a topic.
    pub(crate) fn topic_made(&self, ok: bool, system: bool, took: Duration) {
        self.topics[usize::from(ok)][usize::from(system)].add(millis(took));
    }

    /// Counts a request to make a group.
    pub(crate) fn group_made(&self, ok: bool, took: Duration) {
        self.groups[usize::from(ok)].add(millis(took));
    }

    /// Counts a look through the check points in memory.
    pub(crate) fn buffer_scan(&self, took: Duration) {
        self.buffer_scans.add(millis(took));
    }
}

/// What somebody wants beyond Java's series.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// The lag of every queue.
    queues: bool,
    /// The names of the exporter for 4.x.
    classic: bool,
}

/// Starts the exporter that the settings name; returns where a page is shown, if one is.
pub(crate) fn start(broker: &Arc<Broker>, services: &mut Services) -> Option<SocketAddr> {
    match broker.config.exporter() {
        Exporter::Disable => None,
        Exporter::Prom => endpoint::start(broker, services),
        Exporter::OtlpGrpc => {
            push::start_sending(broker, services);
            None
        }
        Exporter::Log => {
            push::start_logging(broker, services);
            None
        }
    }
}

/// Collects the families of one subject.
type Part = fn(&Broker, &mut Families);

/// Everything there is to say now. May read files.
fn collect(broker: &Broker, wanted: Wanted) -> Families {
    let config = &broker.config;
    let series_max = usize::try_from(config.metrics_otel_cardinality_limit);
    let mut families = Families::new(series_max.unwrap_or(usize::MAX));
    let parts: [(bool, Part); 9] = [
        (config.enable_request_metrics, flow::collect),
        (config.enable_request_metrics, creations),
        (config.enable_remoting_metrics, calls::collect),
        (config.enable_stats_metrics, clients::collect_state),
        (config.enable_connection_metrics, clients::collect_connections),
        (config.enable_message_store_metrics, storage::collect),
        (config.enable_message_store_metrics, timer::collect),
        (config.enable_transaction_metrics, transaction::collect),
        (config.enable_pop_metrics, pop::collect),
    ];
    for (_, part) in parts.iter().filter(|(enabled, _)| *enabled) {
        part(broker, &mut families);
    }
    if config.enable_lag_and_dlq_metrics {
        flow::collect_dead(broker, &mut families);
        lag::collect(broker, &mut families, wanted.queues);
    }
    if wanted.classic {
        classic::collect(broker, &mut families);
    }
    families.tell_dropped(&broker.measures.dropped);
    families
}

fn creations(broker: &Broker, families: &mut Families) {
    let made = |of: &Tally<{ CREATIONS.len() }>, ok: usize, more: Labels| {
        let status = ["failure", "success"][ok];
        let labels: Labels = [label("invocation_status", status)].into_iter().chain(more).collect();
        let read = of.read();
        (read.count() > 0).then_some((labels, read))
    };
    let Measures { topics, groups, .. } = &broker.measures;
    let each = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let series = each.into_iter().filter_map(|(ok, system)| {
        let system_label = label("is_system", (system == 1).to_string());
        made(&topics[ok][system], ok, vec![system_label])
    });
    let name = ("rocketmq_topic_create_execution_time", "milliseconds");
    families.histogram(name, "Time of requests to make a topic", series);
    let series = [0, 1].into_iter().filter_map(|ok| made(&groups[ok], ok, Labels::new()));
    let name = ("rocketmq_consumer_group_create_execution_time", "milliseconds");
    families.histogram(name, "Time of requests to make a group", series);
}

/// Labels of every series: Java's, and those of the settings.
fn constant_labels(broker: &Broker) -> Vec<(String, String)> {
    let config = &broker.config;
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![
        own("cluster", &config.broker_cluster_name),
        own("node_type", "broker"),
        own("node_id", &config.broker_name),
    ];
    if config.metrics_in_delta {
        all.push(own("aggregation", "delta"));
    }
    all.extend(pairs_of(&config.metrics_label));
    all
}

/// Pairs `name:value,name:value`; what is none is left out, as in Java.
fn pairs_of(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Whether messages of a topic are counted: those of retry and dead letter topics are not.
pub(crate) fn is_counted(topic: &str) -> bool {
    !is_retry_topic(topic) && !topic.starts_with(DLQ_PREFIX)
}

/// Whether a series belongs to a topic or a group of the system, as a label.
fn is_system(broker: &Broker, topic: &str, group: Option<&str>) -> (&'static str, String) {
    let of_group = group.is_some_and(|group| {
        let prefix = "CID_RMQ_SYS_";
        group.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    });
    ("is_system", (of_group || broker.topics.is_system(topic)).to_string())
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
