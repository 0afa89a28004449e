//! Metrics that are sent: a collector in this process gets them, with headers, as sums or as
//! differences.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use common::{Bench, PATIENCE};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What a collector hears, with the value of one header.
type Heard = (Vec<Metric>, Option<String>);

struct Collector(mpsc::UnboundedSender<Heard>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let token = request.metadata().get("token").map(|text| text.to_str().unwrap().to_owned());
        let resources = request.into_inner().resource_metrics.into_iter();
        let metrics = resources.flat_map(|resource| resource.scope_metrics);
        let metrics = metrics.flat_map(|scope| scope.metrics).collect();
        // The test may have ended.
        let _ = self.0.send((metrics, token));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Starts a collector; what it hears comes out of the channel.
async fn collector() -> (String, mpsc::UnboundedReceiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::unbounded_channel();
    let server = Server::builder().add_service(MetricsServiceServer::new(Collector(heard)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (target, hears)
}

fn metric<'m>(metrics: &'m [Metric], name: &str) -> &'m metric::Data {
    let found = metrics.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("no {name}")).data.as_ref().unwrap()
}

fn has(attributes: &[KeyValue], name: &str, value: &str) -> bool {
    attributes.iter().any(|pair| {
        let text = pair.value.as_ref().and_then(|value| value.value.as_ref());
        pair.key == name && text == Some(&any_value::Value::StringValue(value.to_owned()))
    })
}

fn int(point: &NumberDataPoint) -> i64 {
    match point.value.as_ref().unwrap() {
        number_data_point::Value::AsInt(value) => *value,
        other @ number_data_point::Value::AsDouble(_) => panic!("{other:?}"),
    }
}

async fn next(hears: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(PATIENCE, hears.recv()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_sums_with_the_labels_and_headers_of_the_settings() {
    let (target, mut hears) = collector().await;
    let root = tempfile::tempdir().unwrap();
    let settings = format!(
        "metricsExporterType=OTLP_GRPC\nmetricsGrpcExporterTarget={target}\n\
         metricsGrpcExporterHeader=Token:s3cret\nmetricsLabel=region:north\n\
         metricGrpcExporterIntervalInMills=100\n"
    );
    let bench = Bench::with(root.path(), &settings).await;
    assert_eq!(bench.running.metrics(), None);
    for _ in 0..3 {
        bench.put("T", 0, "", b"1234").await;
    }
    let (metrics, token) = loop {
        let heard = next(&mut hears).await;
        if heard.0.iter().any(|metric| metric.name == "rocketmq_messages_in_total") {
            break heard;
        }
    };
    assert_eq!(token.as_deref(), Some("s3cret"));
    let metric::Data::Sum(sum) = metric(&metrics, "rocketmq_messages_in_total") else { panic!() };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let of_topic = sum.data_points.iter().find(|point| has(&point.attributes, "topic", "T"));
    let point = of_topic.unwrap();
    assert_eq!(int(point), 3);
    for (name, value) in [("node_id", "b"), ("region", "north"), ("message_type", "normal")] {
        assert!(has(&point.attributes, name, value), "{name} {point:?}");
    }
    let metric::Data::Histogram(sizes) = metric(&metrics, "rocketmq_message_size") else {
        panic!()
    };
    let sizes = &sizes.data_points[0];
    assert_eq!((sizes.count, sizes.bucket_counts[0], sizes.explicit_bounds[0]), (3, 3, 1024.0));
    let metric::Data::Gauge(_) = metric(&metrics, "rocketmq_topic_number") else { panic!() };
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_add_up_and_the_stop_sends_the_last() {
    let (target, mut hears) = collector().await;
    let root = tempfile::tempdir().unwrap();
    let settings = format!(
        "metricsExporterType=1\nmetricsGrpcExporterTarget={target}\nmetricsInDelta=true\n\
         metricGrpcExporterIntervalInMills=100\n"
    );
    let bench = Bench::with(root.path(), &settings).await;
    let mut sum = 0;
    let mut add = |(metrics, _): Heard| {
        let found = metrics.iter().find(|metric| metric.name == "rocketmq_messages_in_total");
        let Some(metric::Data::Sum(data)) = found.and_then(|metric| metric.data.clone()) else {
            return;
        };
        assert_eq!(data.aggregation_temporality(), AggregationTemporality::Delta);
        for point in data.data_points.iter().filter(|point| has(&point.attributes, "topic", "T")) {
            assert!(has(&point.attributes, "aggregation", "delta"), "{point:?}");
            sum += int(point);
        }
    };
    for _ in 0..5 {
        bench.put("T", 0, "", b"1234").await;
        add(next(&mut hears).await);
    }
    bench.put("T", 0, "", b"last").await;
    bench.stop().await;
    while let Ok(heard) = hears.try_recv() {
        add(heard);
    }
    assert_eq!(sum, 6);
}

#[tokio::test]
async fn a_collector_that_is_not_there_does_not_matter() {
    let root = tempfile::tempdir().unwrap();
    for target in ["http://127.0.0.1:1", "https://127.0.0.1:1", "127.0.0.1:1", "", "http://"] {
        let settings = format!(
            "metricsExporterType=OTLP_GRPC\nmetricsGrpcExporterTarget={target}\n\
             metricGrpcExporterIntervalInMills=10\nmetricGrpcExporterTimeOutInMills=20\n"
        );
        let bench = Bench::with(root.path(), &settings).await;
        bench.put("T", 0, "", b"1234").await;
        bench.stop().await;
    }
}
