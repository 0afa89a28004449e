//! The page of metrics: Java's series with Java's labels, and values that follow the traffic.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use common::{Bench, code, from, properties, to};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::header::SendMessageRequestHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SETTINGS: &str = "metricsExporterType=PROM\nmetricsPromExporterHost=127.0.0.1\n\
    metricsPromExporterPort=0\nmetricsLabel=region:north,broken\nbrokerName=b1\n";

async fn get(bench: &Bench, path: &str) -> String {
    let address = bench.running.metrics().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The value of the only series of this name that has all these labels.
fn value(page: &str, name: &str, labels: &[&str]) -> f64 {
    let matches = |line: &&str| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    };
    let found: Vec<&str> = page.lines().filter(matches).collect();
    let [line] = found[..] else { panic!("{name} {labels:?}: {found:?} in {page}") };
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_flows_is_on_the_page() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    bench.put("T", 0, "", b"1234").await;
    let ordered = properties(&[("__SHARDINGKEY", "k")]);
    bench.put("T", 0, &ordered, &[7; 2000]).await;
    let delayed = properties(&[("DELAY", "3")]);
    let header = SendMessageRequestHeader { properties: Some(&delayed), ..to("T") };
    assert_eq!(code(&bench.send(header, b"later").await), ResponseCode::Success);
    let half = properties(&[("TRAN_MSG", "true"), ("PGROUP", "g")]);
    let header = SendMessageRequestHeader { properties: Some(&half), ..to("T") };
    assert_eq!(code(&bench.send(header, b"half").await), ResponseCode::Success);
    assert_eq!(code(&bench.pull(from("T", 0)).await), ResponseCode::Success);

    let page = get(&bench, "/metrics").await;
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    let constant = [
        "cluster=\"DefaultCluster\"",
        "node_type=\"broker\"",
        "node_id=\"b1\"",
        "region=\"north\"",
    ];
    let sent = |topic: &str, kind: &str, system: bool| {
        let mut labels: Vec<String> = constant.iter().map(|label| (*label).to_owned()).collect();
        labels.push(format!("topic=\"{topic}\""));
        labels.push(format!("message_type=\"{kind}\""));
        labels.push(format!("is_system=\"{system}\""));
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        (
            value(&page, "rocketmq_messages_in_total", &labels),
            value(&page, "rocketmq_throughput_in_total", &labels),
        )
    };
    assert_eq!(sent("T", "normal", false).0, 1.0);
    let (messages, bytes) = sent("T", "fifo", false);
    assert!(messages == 1.0 && bytes > 2000.0, "{messages} {bytes}");
    assert_eq!(sent("SCHEDULE_TOPIC_XXXX", "delay", true).0, 1.0);
    assert_eq!(sent("RMQ_SYS_TRANS_HALF_TOPIC", "transaction", true).0, 1.0);
    let small = ["topic=\"T\"", "message_type=\"fifo\"", "le=\"1024.0\""];
    assert_eq!(value(&page, "rocketmq_message_size_bucket", &small), 0.0);
    let all = ["topic=\"T\"", "message_type=\"fifo\"", "le=\"+Inf\""];
    assert_eq!(value(&page, "rocketmq_message_size_bucket", &all), 1.0);

    let group = format!("consumer_group=\"{}\"", from("T", 0).consumer_group);
    let got = ["topic=\"T\"", &group, "is_system=\"false\""];
    assert_eq!(value(&page, "rocketmq_messages_out_total", &got), 2.0);
    assert_eq!(value(&page, "rocketmq_half_messages", &["topic=\"T\""]), 1.0);
    assert_eq!(value(&page, "rocketmq_broker_permission", &constant), 6.0);
    let disk = ["storage_type=\"local\"", "storage_medium=\"disk\""];
    assert!(value(&page, "rocketmq_storage_flush_behind_bytes", &disk) >= 0.0);
    assert!(value(&page, "rocketmq_storage_size_bytes", &disk) > 0.0);
    assert_eq!(value(&page, "raptormq_metrics_dropped_series_total", &constant), 0.0);
    assert!(page.trim_end().ends_with("# EOF"), "{page}");
    bench.stop().await;
}

#[tokio::test]
async fn series_beyond_the_limit_are_counted_and_left_out() {
    let root = tempfile::tempdir().unwrap();
    let settings = format!("{SETTINGS}metricsOtelCardinalityLimit=2\n");
    let bench = Bench::with(root.path(), &settings).await;
    for topic in ["T1", "T2", "T3"] {
        bench.put(topic, 0, "", b"1234").await;
    }
    let page = get(&bench, "/anything").await;
    let series = page.lines().filter(|line| line.starts_with("rocketmq_messages_in_total{"));
    assert_eq!(series.count(), 2);
    // Messages, bytes and sizes: one left out of each.
    assert_eq!(value(&page, "raptormq_metrics_dropped_series_total", &[]), 3.0);
    bench.stop().await;
}

#[tokio::test]
async fn health_is_told_and_nothing_is_served_unless_wanted() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    assert!(get(&bench, "/health/live").await.starts_with("HTTP/1.1 200 OK"));
    assert!(get(&bench, "/health/ready").await.ends_with("ready\n"));
    bench.stop().await;
    let bench = Bench::start(root.path()).await;
    assert_eq!(bench.running.metrics(), None);
    bench.stop().await;
}
