//! Metrics that are sent to a collector, or written to the log, at an interval.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client as client;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use runtime::clock::now_ms;
use runtime::services::{Services, Stop};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};

use super::otlp::Exports;
use super::{Wanted, collect, constant_labels, pairs_of};
use crate::broker::Broker;

/// Starts to send metrics to a collector; a broker is worth more than its metrics, so that an
/// address that cannot be is one line in the log.
pub(super) fn start_sending(broker: &Arc<Broker>, services: &mut Services) {
    let config = &broker.config;
    let target = config.metrics_grpc_exporter_target.trim();
    let sender = match Sender::new(broker, target) {
        Ok(sender) => sender,
        Err(why) => {
            tracing::error!(metricsGrpcExporterTarget = target, why, "metrics are not sent");
            return;
        }
    };
    tracing::info!(target, "metrics are sent");
    let interval = millis(config.metric_grpc_exporter_interval_in_mills);
    let broker = Arc::clone(broker);
    services.run("metrics", move |stop| export(broker, interval, stop, Target::Collector(sender)));
}

/// Starts to write metrics to the log, as JSON in OpenTelemetry's form.
pub(super) fn start_logging(broker: &Arc<Broker>, services: &mut Services) {
    let interval = millis(broker.config.metric_logging_exporter_interval_in_mills);
    let broker = Arc::clone(broker);
    services.run("metrics", move |stop| export(broker, interval, stop, Target::Log));
}

/// Where metrics go.
enum Target {
    Collector(Box<Sender>),
    Log,
}

impl Target {
    async fn put(&mut self, metrics: ResourceMetrics) {
        match self {
            Target::Collector(sender) => sender.send(metrics).await,
            Target::Log => match serde_json::to_string(&metrics) {
                Ok(json) => tracing::info!(target: "metrics", "{json}"),
                Err(error) => tracing::error!(%error, "metrics cannot be written as JSON"),
            },
        }
    }
}

/// Exports at every interval, and once more at the stop.
async fn export(broker: Arc<Broker>, interval: Duration, stop: Stop, mut target: Target) {
    let delta = broker.config.metrics_in_delta;
    let mut exports = Exports::new(&constant_labels(&broker), delta, now_ns());
    loop {
        let last = stop.pause(interval).await;
        let of = Arc::clone(&broker);
        // The lag of all groups reads units from files.
        let families = tokio::task::spawn_blocking(move || collect(&of, Wanted::default())).await;
        match families {
            Ok(families) => target.put(exports.next(families, now_ns())).await,
            Err(error) => tracing::error!(%error, "metrics are not collected"),
        }
        if last {
            return;
        }
    }
}

/// What sends to a collector.
struct Sender {
    client: client::MetricsServiceClient<Channel>,
    headers: MetadataMap,
    timeout: Duration,
    failing: bool,
}

impl Sender {
    fn new(broker: &Broker, target: &str) -> Result<Box<Sender>, String> {
        if target.is_empty() {
            return Err("it names no collector".to_owned());
        }
        // As Java: what names no scheme is `https`.
        if !target.starts_with("http://") {
            return Err("TLS is not supported, write http://host:port".to_owned());
        }
        let timeout = millis(broker.config.metric_grpc_exporter_time_out_in_mills);
        let endpoint =
            Endpoint::from_shared(target.to_owned()).map_err(|error| error.to_string())?;
        let channel = endpoint.timeout(timeout).connect_timeout(timeout).connect_lazy();
        let mut headers = MetadataMap::new();
        for (name, value) in pairs_of(&broker.config.metrics_grpc_exporter_header) {
            let name = AsciiMetadataKey::from_bytes(name.to_lowercase().as_bytes());
            match (name, AsciiMetadataValue::try_from(value)) {
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                _ => return Err("metricsGrpcExporterHeader is no list name:value".to_owned()),
            }
        }
        let client = client::MetricsServiceClient::new(channel);
        Ok(Box::new(Sender { client, headers, timeout, failing: false }))
    }

    /// Sends once; what cannot be sent is lost, sums come again. Says so when it begins and ends.
    async fn send(&mut self, metrics: ResourceMetrics) {
        let request = ExportMetricsServiceRequest { resource_metrics: vec![metrics] };
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = self.headers.clone();
        let sent = tokio::time::timeout(self.timeout, self.client.export(request)).await;
        let error = match sent {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(status.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &error {
            Some(error) if !self.failing => tracing::warn!(error, "metrics are not taken"),
            None if self.failing => tracing::info!("metrics are taken again"),
            _ => {}
        }
        self.failing = error.is_some();
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(1).unsigned_abs())
}

fn now_ns() -> u64 {
    now_ms().max(0).unsigned_abs() * 1_000_000
}
