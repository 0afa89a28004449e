//! The page of metrics: Java's series with Java's labels, and values that follow the traffic.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::collections::BTreeSet;

use common::{Bench, code, from, properties, to};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    NoHeader, SendMessageRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SETTINGS: &str = "metricsExporterType=PROM\nmetricsPromExporterHost=127.0.0.1\n\
    metricsPromExporterPort=0\nmetricsLabel=region:north,broken\nbrokerName=b1\n";

async fn get(bench: &Bench, path: &str) -> String {
    fetch(bench, path, "").await
}

async fn fetch(bench: &Bench, path: &str, headers: &str) -> String {
    let address = bench.running.metrics().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
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
    let pulled =
        ["request_code=\"pull_message\"", "response_code=\"success\"", "result=\"success\""];
    assert_eq!(value(&page, "rocketmq_rpc_latency_milliseconds_count", &pulled), 1.0);
    assert!(page.contains("\r\ncontent-type: text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("# TYPE rocketmq_messages_in_total counter"), "{page}");
    let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain\r\n";
    let page = fetch(&bench, "/metrics", accept).await;
    assert!(page.contains("\r\ncontent-type: application/openmetrics-text"), "{page}");
    assert!(page.trim_end().ends_with("# EOF"), "{page}");
    bench.stop().await;
}

#[tokio::test]
async fn how_far_groups_are_is_told_by_topic_and_by_queue_on_request() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    for _ in 0..3 {
        bench.put("T", 1, "", b"1234").await;
    }
    let heartbeat = r#"{"clientID":"c@1","producerDataSet":[],"consumerDataSet":[{"groupName":"cg",
        "consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","unitMode":false,
        "consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"topic":"T",
        "subString":"*","subVersion":1,"expressionType":"TAG","classFilterMode":false}]}]}"#;
    bench.call(RequestCode::HeartBeat, &NoHeader, heartbeat.as_bytes()).await;
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: "cg",
        topic: "T",
        queue_id: Some(1),
        commit_offset: Some(1),
    };
    bench.call(RequestCode::UpdateConsumerOffset, &header, &[]).await;
    let page = get(&bench, "/metrics").await;
    let group = ["consumer_group=\"cg\"", "topic=\"T\"", "is_retry=\"false\""];
    assert_eq!(value(&page, "rocketmq_consumer_lag_messages", &group), 2.0);
    assert!(value(&page, "rocketmq_consumer_lag_latency_milliseconds", &group) >= 0.0);
    let push = ["consumer_group=\"cg\"", "consume_mode=\"push\"", "version=\"v5_3_3\""];
    assert_eq!(value(&page, "rocketmq_consumer_connections", &push), 1.0);
    assert!(!page.contains("raptormq_consumer_queue_lag_messages"), "{page}");
    let page = get(&bench, "/metrics?queues=1").await;
    let queue = ["consumer_group=\"cg\"", "topic=\"T\"", "queue_id=\"1\""];
    assert_eq!(value(&page, "raptormq_consumer_queue_lag_messages", &queue), 2.0);
    bench.stop().await;
}

#[tokio::test]
async fn the_names_of_the_exporter_are_there_on_request() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    bench.put("T", 0, "", b"1234").await;
    assert!(!get(&bench, "/metrics").await.contains("rocketmq_producer_offset"));
    let page = get(&bench, "/metrics?classic=1").await;
    let topic = ["cluster=\"DefaultCluster\"", "broker=\"b1\"", "topic=\"T\""];
    assert_eq!(value(&page, "rocketmq_producer_offset", &topic), 1.0);
    let runtime = ["brokerHost=\"b1\"", "des=\"V5_3_3\"", "broker_version=\"479\""];
    assert_eq!(value(&page, "rocketmq_brokeruntime_putmessage_times_total", &runtime), 1.0);
    assert!(value(&page, "rocketmq_brokeruntime_commitlog_maxoffset", &runtime) > 0.0);
    assert!(value(&page, "rocketmq_broker_tps", &["brokerIP=\"127.0.0.1"]) >= 0.0);
    bench.stop().await;
}

#[tokio::test]
async fn families_that_nobody_wants_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    let settings = format!("{SETTINGS}enableLagAndDlqMetrics=false\nenablePopMetrics=false\n");
    let bench = Bench::with(root.path(), &settings).await;
    let page = get(&bench, "/metrics").await;
    assert!(page.contains("# TYPE rocketmq_half_messages"), "{page}");
    assert!(!page.contains("consumer_lag") && !page.contains("_pop_"), "{page}");
    bench.stop().await;
}

/// Every name of a metric in the queries of the board is one that the page has.
#[tokio::test]
async fn the_board_asks_for_what_there_is() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    let page = get(&bench, "/metrics").await;
    let mut names = BTreeSet::new();
    for words in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = words.split_once(' ').unwrap();
        match kind {
            "histogram" => {
                names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
            }
            _ => drop(names.insert(name.to_owned())),
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana/broker.json");
    let board: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut asked = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            asked.extend(metrics_of(target["expr"].as_str().unwrap()));
        }
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        asked.extend(metrics_of(variable["definition"].as_str().unwrap_or_default()));
    }
    assert!(asked.len() > 40, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&names).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    bench.stop().await;
}

/// The names of metrics in a query.
fn metrics_of(query: &str) -> impl Iterator<Item = String> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = |word: &&str| word.starts_with("rocketmq_") || word.starts_with("raptormq_");
    words.filter(ours).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[tokio::test]
async fn series_beyond_the_limit_are_counted_and_left_out() {
    let root = tempfile::tempdir().unwrap();
    // Others have more than two series from the start.
    let without = ["enableStatsMetrics", "enablePopMetrics", "enableMessageStoreMetrics"];
    let without = without.map(|key| format!("{key}=false\n")).concat();
    let settings = format!("{SETTINGS}{without}metricsOtelCardinalityLimit=2\n");
    let bench = Bench::with(root.path(), &settings).await;
    for topic in ["T1", "T2", "T3"] {
        bench.put(topic, 0, "", b"1234").await;
    }
    let page = get(&bench, "/anything").await;
    let series = page.lines().filter(|line| line.starts_with("rocketmq_messages_in_total{"));
    assert_eq!(series.count(), 2);
    // Messages, bytes and sizes: one left out of each.
    assert_eq!(value(&page, "raptormq_metrics_dropped_series_total", &[]), 3.0);
    let page = get(&bench, "/anything").await;
    assert_eq!(value(&page, "raptormq_metrics_dropped_series_total", &[]), 6.0);
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
