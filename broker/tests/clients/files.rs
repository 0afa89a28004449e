//! The files of `config/` outlive the broker, and Java's are taken over whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use remoting::protocol::body::{
    Body, ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, SubscriptionGroupConfig,
    SubscriptionGroupWrapper,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    CreateTopicRequestHeader, GetTopicConfigRequestHeader, NoHeader,
    UpdateConsumerOffsetRequestHeader,
};

use crate::kit::{Kit, TestClient, consumer};

async fn offsets(client: &TestClient) -> BTreeMap<String, BTreeMap<i32, i64>> {
    let answer = client.ok(RequestCode::GetAllConsumerOffset, &NoHeader, &[]).await;
    ConsumerOffsetSerializeWrapper::decode(answer.body()).unwrap().offset_table
}

async fn groups(client: &TestClient) -> SubscriptionGroupWrapper {
    let answer = client.ok(RequestCode::GetAllSubscriptiongroupConfig, &NoHeader, &[]).await;
    SubscriptionGroupWrapper::decode(answer.body()).unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let topic = CreateTopicRequestHeader {
        topic: "T".to_owned(),
        default_topic: "TBW102".to_owned(),
        read_queue_nums: 5,
        write_queue_nums: 5,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".to_owned(),
        ..CreateTopicRequestHeader::default()
    };
    a.ok(RequestCode::UpdateAndCreateTopic, &topic, &[]).await;
    let config =
        SubscriptionGroupConfig { retry_max_times: 3, ..SubscriptionGroupConfig::new("g") };
    a.ok(RequestCode::UpdateAndCreateSubscriptiongroup, &NoHeader, &config.encode()).await;
    a.heartbeat(&consumer("a", "made_by_heartbeat", &["T"])).await;
    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: Some(2),
        commit_offset: Some(17),
    };
    a.ok(RequestCode::UpdateConsumerOffset, &commit, &[]).await;
    let version = groups(&a).await.data_version;
    kit.stop().await;

    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let retry = GetTopicConfigRequestHeader { topic: "%RETRY%made_by_heartbeat".to_owned() };
    a.ok(RequestCode::GetTopicConfig, &retry, &[]).await;
    let all = groups(&a).await;
    assert_eq!(all.data_version, version);
    assert_eq!(all.subscription_group_table["g"], config);
    assert!(all.subscription_group_table.contains_key("made_by_heartbeat"));
    let expected = BTreeMap::from([("T@g".to_owned(), BTreeMap::from([(2, 17)]))]);
    assert_eq!(offsets(&a).await, expected);
    kit.stop().await;
}

/// Unpacks a store that a Java broker left behind.
pub fn unpack(version: &str, into: &Path) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../compat-tests/fixtures/store-{version}.tar.gz"));
    let status = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(into).status().unwrap();
    assert!(status.success(), "{}", archive.display());
    into.join("store")
}

async fn java_store(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let root = unpack(&format!("{version}-clean"), dir.path());
    let read = |name: &str| std::fs::read(root.join("config").join(name)).unwrap();
    let java_offsets =
        ConsumerOffsetSerializeWrapper::decode(&read("consumerOffset.json")).unwrap().offset_table;
    let java_groups = SubscriptionGroupWrapper::decode(&read("subscriptionGroup.json")).unwrap();
    let java_delays = DelayOffsetSerializeWrapper::decode(&read("delayOffset.json")).unwrap();
    assert!(!java_offsets.is_empty() && java_groups.subscription_group_table.len() > 8);
    let kit = Kit::start_with(&root, |settings| {
        settings.broker.broker_cluster_name = "KitCluster".to_owned();
        settings.broker.broker_name = "kit-a".to_owned();
        settings.store.mapped_file_size_consume_queue = 6_000;
        settings.store.file_reserved_time = 1_000_000;
    })
    .await;
    let a = kit.client();
    let ours = offsets(&a).await;
    // What was popped comes back in the meantime, which adds offsets of its own.
    for (key, queues) in &java_offsets {
        assert_eq!(ours.get(key), Some(queues), "{version} {key}");
    }
    let ours = groups(&a).await.subscription_group_table;
    for (name, group) in &java_groups.subscription_group_table {
        assert_eq!(ours.get(name), Some(group), "{version} {name}");
    }
    let answer = a.ok(RequestCode::GetAllDelayOffset, &NoHeader, &[]).await;
    let delays = DelayOffsetSerializeWrapper::decode(answer.body()).unwrap().offset_table;
    for (level, offset) in &java_delays.offset_table {
        // What was pending is overdue and may be delivered by now.
        assert!(delays[level] >= *offset, "{version} level {level}");
    }
    kit.stop().await;
}

#[tokio::test]
async fn a_store_of_4_9_7_is_taken_over() {
    java_store("4.9.7").await;
}

#[tokio::test]
async fn a_store_of_5_1_4_is_taken_over() {
    java_store("5.1.4").await;
}

#[tokio::test]
async fn a_store_of_5_3_3_is_taken_over() {
    java_store("5.3.3").await;
}

#[tokio::test]
async fn a_store_of_5_5_0_is_taken_over() {
    java_store("5.5.0").await;
}
