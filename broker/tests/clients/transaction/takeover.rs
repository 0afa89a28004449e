//! Directories of Java brokers hold open transactions; we go on with them.

use std::collections::BTreeSet;

use super::*;
use crate::files::unpack;

/// Opens a fixture, ends what is open and looks whether everything is visible once.
async fn go_on(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../compat-tests/fixtures/store-{version}.manifest.json"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let pending = &manifest["pending"];
    let (topic, group) =
        (pending["halfTopic"].as_str().unwrap(), pending["halfGroup"].as_str().unwrap());
    let keys: BTreeSet<&str> = pending["half"]
        .as_array()
        .unwrap()
        .iter()
        .map(|half| half["id"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), 5);
    let root = unpack(version, dir.path());
    let kit = Kit::start_with(&root, |settings| {
        curious(settings);
        settings.broker.broker_cluster_name = "KitCluster".to_owned();
        settings.broker.broker_name = "kit-a".to_owned();
        settings.store.mapped_file_size_consume_queue = 6_000;
        settings.store.file_reserved_time = 1_000_000;
    })
    .await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, group).await);
    let done = topic.replace("_half", "_txdone");
    let committed = [end_of(&a, &done, 0).await, end_of(&a, &done, 1).await];
    assert_eq!(committed.iter().sum::<i64>(), 6, "{version}");
    let mut answered = BTreeSet::new();
    while answered.len() < keys.len() {
        let question = p.question().await;
        assert_eq!(question.topic, topic);
        assert!(keys.contains(question.half.unique_key.as_str()), "{question:?}");
        answered.insert(question.half.unique_key.clone());
        p.answer(&question, COMMIT).await;
    }
    // The first records of all transactions, as their producers knew them.
    for half in first_records(&a, group).await {
        p.end(&half, COMMIT).await;
    }
    let mut visible = [bodies(&a, topic, 0).await, bodies(&a, topic, 1).await];
    // The producer may have come in the middle of a round: then the first halves are asked about
    // last, and are visible last. Their client has sent to one queue after the other.
    visible.iter_mut().for_each(|bodies| bodies.sort());
    visible.sort();
    assert_eq!(visible[0], ["half 0", "half 2", "half 4"], "{version}");
    assert_eq!(visible[1], ["half 1", "half 3"], "{version}");
    let now = [end_of(&a, &done, 0).await, end_of(&a, &done, 1).await];
    assert_eq!(now, committed, "{version}");
    kit.stop().await;
}

async fn first_records(client: &TestClient, group: &str) -> Vec<Half> {
    let mut halves = Vec::new();
    let mut seen = BTreeSet::new();
    with_records(client, HALF_TOPIC, 0, |records| {
        for record in records {
            let properties = record.properties();
            let key = properties.get("UNIQ_KEY").unwrap().to_owned();
            if properties.get("PGROUP") == Some(group) && seen.insert(key.clone()) {
                halves.push(Half {
                    queue_offset: record.queue_offset,
                    physical_offset: record.physical_offset,
                    unique_key: key,
                });
            }
        }
    })
    .await;
    halves
}

#[tokio::test]
async fn we_go_on_with_4_9_7() {
    go_on("4.9.7-clean").await;
}

#[tokio::test]
async fn we_go_on_with_5_1_4() {
    go_on("5.1.4-clean").await;
}

#[tokio::test]
async fn we_go_on_with_5_3_3() {
    go_on("5.3.3-clean").await;
}

#[tokio::test]
async fn we_go_on_with_5_3_3_after_a_kill() {
    go_on("5.3.3-killed").await;
}

#[tokio::test]
async fn we_go_on_with_5_5_0() {
    go_on("5.5.0-clean").await;
}
