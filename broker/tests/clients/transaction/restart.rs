//! Transactions outlive stops and kills.

use super::*;

/// Nothing about commits is written before a kill.
fn lazy(settings: &mut Settings) {
    quiet(settings);
    settings.broker.transaction_op_batch_interval = 3_600_000;
}

#[tokio::test]
async fn a_stop_keeps_what_is_open_and_what_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let p = Producer::start(&kit, "p").await;
    let open = p.half("T", "open", "").await;
    let committed = p.half("T", "committed", "").await;
    let rolled_back = p.half("T", "rolled back", "").await;
    p.end(&rolled_back, ROLLBACK).await;
    p.end(&committed, COMMIT).await;
    kit.stop().await;

    let metrics = std::fs::read_to_string(dir.path().join("config/transactionMetrics")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(json["transactionCount"]["T"]["count"], 1);
    let kit = Kit::start_with(dir.path(), quiet).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    // The stop wrote what waited to be written.
    assert_eq!(bodies(&a, OP_TOPIC, 0).await, ["2,", "1,"]);
    p.end(&committed, COMMIT).await;
    p.end(&rolled_back, COMMIT).await;
    p.end(&open, COMMIT).await;
    p.end(&open, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["committed", "open"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_kill_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let kit = Kit::start_with(&root, lazy).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let rolled_back = p.half("T", "rolled back", "").await;
    let open = p.half("T", "open", "").await;
    let mut halves = Vec::new();
    for number in 0..50 {
        let half = p.half("T", &format!("committed {number}"), "").await;
        halves.push(half);
    }
    let delayed = p.half("T", "delayed", "DELAY\u{1}18\u{2}").await;
    p.end(&rolled_back, ROLLBACK).await;
    p.end(&delayed, COMMIT).await;
    for half in &halves {
        p.end(half, COMMIT).await;
    }
    assert_eq!(bodies(&a, OP_TOPIC, 0).await, ["0,"]);
    let after = killed(&root, &dir.path().join("after"));
    kit.stop().await;

    let kit = Kit::start_with(&after, curious).await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    for half in halves.iter().chain([&rolled_back, &delayed]) {
        p.end(half, COMMIT).await;
    }
    for _ in 0..5 {
        assert_eq!(p.question().await.body, "open");
    }
    p.end(&open, COMMIT).await;
    assert_eq!(end_of(&a, "T", 1).await, 51);
    assert_eq!(end_of(&a, "SCHEDULE_TOPIC_XXXX", 17).await, 1);
    let ops = bodies(&a, OP_TOPIC, 0).await.concat();
    let mut named: Vec<i64> = ops.split(',').filter_map(|number| number.parse().ok()).collect();
    named.sort_unstable();
    assert_eq!(named[..52], *[0].iter().copied().chain(2..53).collect::<Vec<i64>>());
    kit.stop().await;
}

#[tokio::test]
async fn a_kill_does_not_bring_back_the_first_record_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let kit = Kit::start_with(&root, lazy).await;
    let p = Producer::start(&kit, "p").await;
    let half = p.half("T", "once", "").await;
    assert_eq!(half.physical_offset, 0);
    p.end(&half, COMMIT).await;
    let after = killed(&root, &dir.path().join("after"));
    kit.stop().await;

    let kit = Kit::start_with(&after, lazy).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    p.end(&half, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["once"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_kill_between_questions_does_not_double_a_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let kit = Kit::start_with(&root, |settings| {
        curious(settings);
        settings.broker.flush_consumer_offset_interval = 3_600_000;
    })
    .await;
    let mut p = Producer::start(&kit, "p").await;
    let half = p.half("T", "once", "").await;
    p.question().await;
    let question = p.question().await;
    // The progress in the file is still before all records of the transaction.
    let after = killed(&root, &dir.path().join("after"));
    assert!(!after.join("config/consumerOffset.json").exists());
    kit.stop().await;

    let kit = Kit::start_with(&after, curious).await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let again = p.question().await;
    let times = |question: &Question| {
        let properties = remoting::protocol::message::Properties::new(&question.properties);
        properties.get("TRANSACTION_CHECK_TIMES").unwrap().parse::<i32>().unwrap()
    };
    assert!(times(&again) > times(&question), "only the newest copy is asked about");
    p.answer(&again, COMMIT).await;
    p.end(&half, COMMIT).await;
    p.end(&question.half, COMMIT).await;
    wait_end(&a, "T", 1, 1).await;
    kit.stop().await;
}

#[tokio::test]
async fn what_was_given_up_stays_given_up_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let kit = Kit::start_with(&root, |settings| {
        curious(settings);
        settings.live.transaction_check_max = 1;
        settings.broker.transaction_op_batch_interval = 3_600_000;
        settings.broker.flush_consumer_offset_interval = 3_600_000;
    })
    .await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    p.half("T", "given up", "").await;
    wait_end(&a, CHECKED_OUT_TOPIC, 0, 1).await;
    let after = killed(&root, &dir.path().join("after"));
    kit.stop().await;

    let kit = Kit::start_with(&after, curious).await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    p.half("T", "next", "").await;
    for _ in 0..3 {
        assert_eq!(p.question().await.body, "next");
    }
    assert_eq!(end_of(&a, CHECKED_OUT_TOPIC, 0).await, 1);
    kit.stop().await;
}
