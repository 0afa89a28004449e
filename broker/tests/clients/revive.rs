//! Popped messages that nobody acknowledges come back. The check points and acknowledgements here
//! are written straight into the revive topic, as brokers do and as anybody can.

use std::time::{SystemTime, UNIX_EPOCH};

use remoting::protocol::body::{Body, SubscriptionGroupConfig};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    DeleteTopicRequestHeader, NoHeader, QueryConsumerOffsetRequestHeader,
};

use crate::files::unpack;
use crate::kit::{Kit, Message, PATIENCE, TestClient};

const REVIVE_TOPIC: &str = "rmq_sys_REVIVE_LOG_DefaultCluster";
const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";
const RETRY_TOPIC: &str = "%RETRY%g_T";

/// Time in which an acknowledgement can still be sent.
const HIDDEN_MS: i64 = 900;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn tag(tag: &str) -> String {
    format!("TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}k\u{2}")
}

/// A check point of this many messages from the first on.
fn check_point(topic: &str, count: i64, pop_time: i64) -> String {
    let distances: Vec<i64> = (0..count).collect();
    let times = format!(r#""it":{HIDDEN_MS},"n":{count},"pt":{pop_time},"reviveTime":0"#);
    format!(
        r#"{{"bm":0,"bn":"b","c":"g","d":{distances:?},"q":0,"ro":0,"so":0,"t":"{topic}",{times}}}"#
    )
}

fn ack(offset: i64, pop_time: i64) -> String {
    format!(r#"{{"ao":{offset},"bn":"b","c":"g","pt":{pop_time},"q":0,"so":0,"t":"T"}}"#)
}

/// A client of a broker that has the group, and these messages in the topic.
async fn prepared(kit: &Kit, bodies: &[&str]) -> TestClient {
    let client = kit.client();
    let group = SubscriptionGroupConfig::new("g").encode();
    client.ok(RequestCode::UpdateAndCreateSubscriptiongroup, &NoHeader, &group).await;
    for body in bodies {
        client.send("T", 0, body, "TAGS\u{1}a\u{2}KEYS\u{1}k\u{2}").await;
    }
    client
}

/// The messages of a topic that comes into being.
async fn appeared(client: &TestClient, topic: &str, count: usize) -> Vec<Message> {
    tokio::time::timeout(PATIENCE, async {
        while client.pull("reader", topic, 0, 0).await.0.code() == 17 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        client.pull_all(topic, 0, count).await
    })
    .await
    .unwrap()
}

async fn offset(client: &TestClient, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
    let header = QueryConsumerOffsetRequestHeader {
        consumer_group: group,
        topic,
        queue_id,
        set_zero_if_not_found: Some(false),
    };
    let answer = client.call(RequestCode::QueryConsumerOffset, &header, &[]).await;
    answer.field("offset").map(|offset| offset.parse().unwrap())
}

/// Waits until a revive queue is done with up to an offset.
async fn done(client: &TestClient, queue_id: i32, until: i64) {
    tokio::time::timeout(PATIENCE, async {
        while offset(client, REVIVE_GROUP, REVIVE_TOPIC, queue_id).await != Some(until) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body.as_str()).collect()
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0", "1", "2", "3"]).await;
    let popped = now();
    a.send(REVIVE_TOPIC, 2, &check_point("T", 4, popped), &tag("ck")).await;
    a.send(REVIVE_TOPIC, 2, &ack(1, popped), &tag("ack")).await;
    let batch =
        format!(r#"{{"ao":-1,"aol":[3,9],"bn":"b","c":"g","pt":{popped},"q":0,"so":0,"t":"T"}}"#);
    a.send(REVIVE_TOPIC, 2, &batch, &tag("bAck")).await;
    // Of another pop: means nothing.
    a.send(REVIVE_TOPIC, 2, &ack(2, popped + 1), &tag("ack")).await;
    let back = appeared(&a, RETRY_TOPIC, 2).await;
    assert_eq!(bodies(&back), ["0", "2"]);
    for message in &back {
        let waited = message.store_timestamp - popped;
        assert!((HIDDEN_MS..HIDDEN_MS + 2000).contains(&waited), "after {waited} ms");
        assert_eq!((message.reconsume_times, message.flag), (1, 7));
        assert_eq!(message.get("1ST_POP_TIME"), Some(popped.to_string().as_str()));
        assert_eq!((message.get("TAGS"), message.get("KEYS")), (Some("a"), Some("k")));
        assert_eq!(message.get("POP_CK"), None);
    }
    assert_eq!(offset(&a, "g", RETRY_TOPIC, 0).await, Some(0));
    done(&a, 2, 3).await;

    // Popped again and not acknowledged again: same topic, the first time stays.
    let again = now();
    a.send(REVIVE_TOPIC, 0, &check_point(RETRY_TOPIC, 1, again), &tag("ck")).await;
    let back = a.pull_all(RETRY_TOPIC, 0, 3).await;
    assert_eq!((back[2].body.as_str(), back[2].reconsume_times), ("0", 2));
    assert_eq!(back[2].get("1ST_POP_TIME"), Some(popped.to_string().as_str()));
    kit.stop().await;
}

#[tokio::test]
async fn records_nobody_can_read_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0", "1"]).await;
    let popped = now();
    let huge = "x".repeat(200_000);
    let deep = "[".repeat(50_000);
    for (kind, body) in [
        ("ck", "no json"),
        ("ck", "{}"),
        ("ck", &deep),
        ("ck", &huge),
        ("ack", r#"{"ao":{}}"#),
        ("bAck", r#"{"c":"g","t":"T","aol":[9e99]}"#),
        ("other", "{}"),
        ("ck", r#"{"c":"g","t":"T","n":33,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"g","t":"T","n":-1,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"g","t":"T","n":2,"d":[5],"pt":1,"it":1}"#),
        ("ck", r#"{"c":"g","t":"T","n":2,"bm":-1,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"g","t":"T","n":9,"so":-4,"q":-7,"pt":1,"it":1,"d":[1,-9,0,2,3,4,5,6,7]}"#),
        ("ck", r#"{"c":"g","t":"T","n":9,"so":9223372036854775807,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"g","t":"T","n":1,"pt":-9223372036854775807,"it":-5}"#),
        ("ck", r#"{"c":"g","t":"%RETRY%g","n":1,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"","t":"","n":1,"pt":1,"it":1}"#),
        ("ck", r#"{"c":"nobody","t":"T","n":1,"pt":1,"it":1}"#),
    ] {
        a.send(REVIVE_TOPIC, 1, body, &tag(kind)).await;
    }
    let last = a.send(REVIVE_TOPIC, 1, &check_point("T", 2, popped), &tag("ck")).await;
    assert_eq!(bodies(&appeared(&a, RETRY_TOPIC, 2).await), ["0", "1"]);
    done(&a, 1, last).await;
    kit.stop().await;
}

#[tokio::test]
async fn what_belongs_to_a_topic_that_is_gone_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0"]).await;
    a.send(REVIVE_TOPIC, 0, &check_point("T", 1, now()), &tag("ck")).await;
    let gone = DeleteTopicRequestHeader { topic: "T".to_owned() };
    a.ok(RequestCode::DeleteTopicInBroker, &gone, &[]).await;
    done(&a, 0, 0).await;
    assert_eq!(a.pull("reader", RETRY_TOPIC, 0, 0).await.0.code(), 17);
    kit.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0", "1"]).await;
    let popped = now();
    a.send(REVIVE_TOPIC, 5, &check_point("T", 1, popped - 5000), &tag("ck")).await;
    assert_eq!(bodies(&appeared(&a, RETRY_TOPIC, 1).await), ["0"]);
    a.send(REVIVE_TOPIC, 5, &check_point("T", 2, popped + 1000), &tag("ck")).await;
    kit.stop().await;

    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send(REVIVE_TOPIC, 5, &ack(0, popped + 1000), &tag("ack")).await;
    let back = a.pull_all(RETRY_TOPIC, 0, 2).await;
    assert_eq!(bodies(&back), ["0", "1"]);
    done(&a, 5, 2).await;
    kit.stop().await;
}

#[tokio::test]
async fn retry_topics_are_named_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.broker.enable_retry_topic_v2 = true;
    })
    .await;
    let a = prepared(&kit, &["0"]).await;
    a.send(REVIVE_TOPIC, 0, &check_point("T", 1, now() - 5000), &tag("ck")).await;
    assert_eq!(bodies(&appeared(&a, "%RETRY%g+T", 1).await), ["0"]);
    kit.stop().await;
}

#[tokio::test]
async fn what_another_broker_has_is_tried_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0", "1"]).await;
    let foreign = check_point("T", 2, now() - 5000).replace(r#""bn":"b""#, r#""bn":"other""#);
    a.send(REVIVE_TOPIC, 3, &foreign, &tag("ck")).await;
    done(&a, 3, 0).await;
    let parked = a.pull_all("rmq_sys_wheel_timer", 0, 2).await;
    for (offset, message) in parked.iter().enumerate() {
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(
            (&body["rp"], &body["n"], &body["bn"]),
            (&"1".into(), &1.into(), &"other".into())
        );
        assert_eq!(body["so"], offset);
        assert_eq!(body["it"], HIDDEN_MS + 10_000);
        assert_eq!((message.get("TAGS"), message.get("REAL_QID")), (Some("ck"), Some("3")));
    }
    assert_eq!(a.pull("reader", RETRY_TOPIC, 0, 0).await.0.code(), 17);
    kit.stop().await;
}

#[tokio::test]
async fn a_check_point_long_before_its_time_goes_back_to_the_timer() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = prepared(&kit, &["0"]).await;
    a.send(REVIVE_TOPIC, 0, &check_point("T", 1, i64::MAX - HIDDEN_MS), &tag("ck")).await;
    a.send(REVIVE_TOPIC, 0, &check_point("T", 1, now() - 5000), &tag("ck")).await;
    assert_eq!(bodies(&appeared(&a, RETRY_TOPIC, 1).await), ["0"]);
    done(&a, 0, 1).await;
    let parked = a.pull_all("rmq_sys_wheel_timer", 0, 1).await;
    assert!(parked[0].body.contains(r#""reviveTime":9223372036854775807"#), "{parked:?}");
    kit.stop().await;
}

/// Six messages were popped when these brokers ended, three of them acknowledged; check point and
/// acknowledgements wait in Java's timer.
async fn go_on(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../compat-tests/fixtures/store-{version}.manifest.json"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let pending = &manifest["pending"];
    let (topic, group) =
        (pending["popTopic"].as_str().unwrap(), pending["popGroup"].as_str().unwrap());
    let root = unpack(version, dir.path());
    let kit = Kit::start_with(&root, |settings| {
        settings.broker.broker_cluster_name = "KitCluster".to_owned();
        settings.broker.broker_name = "kit-a".to_owned();
        settings.store.mapped_file_size_consume_queue = 6_000;
        settings.store.file_reserved_time = 1_000_000;
    })
    .await;
    let a = kit.client();
    let sent = a.pull_all(topic, 0, 6).await;
    let retry = format!("%RETRY%{group}_{topic}");
    let back = appeared(&a, &retry, 3).await;
    assert_eq!(bodies(&back), bodies(&sent[3..]), "{version}");
    for message in &back {
        assert_eq!(message.reconsume_times, 1);
        assert!(message.get("1ST_POP_TIME").is_some() && message.get("POP_CK").is_none());
    }
    kit.stop().await;
    // Done with for good, and a Java broker would know.
    let offsets = std::fs::read_to_string(root.join("config/consumerOffset.json")).unwrap();
    let offsets: serde_json::Value = serde_json::from_str(&offsets).unwrap();
    let done = &offsets["offsetTable"]["rmq_sys_REVIVE_LOG_KitCluster@CID_RMQ_SYS_REVIVE_GROUP"];
    assert!(done.as_object().unwrap().values().any(|offset| offset.as_i64() >= Some(3)), "{done}");
}

#[tokio::test]
async fn java_directories_go_on() {
    for version in ["5.1.4-clean", "5.3.3-clean", "5.3.3-killed", "5.5.0-clean"] {
        go_on(version).await;
    }
}
