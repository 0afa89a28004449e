//! Producers are asked about what they left open.

use std::collections::BTreeSet;

use remoting::protocol::code::RequestCode;
use remoting::protocol::header::ResumeCheckHalfMessageRequestHeader;

use super::*;

#[tokio::test]
async fn an_open_half_is_asked_about_until_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), curious).await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "open", "").await;
    let first = p.question().await;
    assert_eq!((first.body.as_str(), first.topic.as_str(), first.queue_id), ("open", "T", 1));
    assert_eq!(first.half.unique_key, half.unique_key);
    assert!(first.half.queue_offset > half.queue_offset);
    assert!(first.properties.contains("TRANSACTION_CHECK_TIMES\u{1}1\u{2}"));
    assert_eq!(first.broker_name.as_deref(), Some("b"));
    p.answer(&first, UNKNOWN).await;
    let second = p.question().await;
    assert!(second.properties.contains("TRANSACTION_CHECK_TIMES\u{1}2\u{2}"));
    // Every answer to any question, and the end of the sender that comes late.
    for question in [&second, &first, &second] {
        p.answer(question, COMMIT).await;
    }
    p.end(&half, COMMIT).await;
    p.end(&half, ROLLBACK).await;
    assert_eq!(bodies(&a, "T", 1).await, ["open"]);
    // It is asked about no more: another one is, several times.
    p.half("T", "other", "").await;
    let mut asked = 0;
    while asked < 3 {
        let question = p.question().await;
        // Asked before the answer was there.
        let before = question.body == "open" && asked == 0;
        assert!(before || question.body == "other", "{question:?}");
        asked += usize::from(question.body == "other");
    }
    kit.stop().await;
}

#[tokio::test]
async fn an_end_by_the_first_record_ends_what_was_parked_again() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), curious).await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "slow", "").await;
    let question = p.question().await;
    p.end(&half, COMMIT).await;
    p.answer(&question, COMMIT).await;
    wait_end(&a, "T", 1, 1).await;
    // The op message names the record that stood for it, so that Java would know, too.
    let end = end_of(&a, HALF_TOPIC, 0).await;
    let named = async {
        loop {
            let ops = bodies(&a, OP_TOPIC, 0).await.concat();
            let ended = ops.split(',').filter_map(|offset| offset.parse::<i64>().ok()).max();
            if let Some(ended) = ended {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let named = tokio::time::timeout(PATIENCE, named).await.unwrap();
    assert_eq!(named, end - 1);
    kit.stop().await;
    let text = std::fs::read_to_string(dir.path().join("config/consumerOffset.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let progress = |topic| json["offsetTable"][format!("{topic}@CID_RMQ_SYS_TRANS")]["0"].as_i64();
    assert_eq!((progress(HALF_TOPIC), progress(OP_TOPIC)), (Some(end), Some(1)));
}

#[tokio::test]
async fn producers_are_asked_in_turn_and_those_that_left_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), curious).await;
    let mut p = Producer::start(&kit, "p").await;
    let mut q = Producer::start(&kit, "p").await;
    let mut other = Producer::start(&kit, "other").await;
    p.half("T", "open", "").await;
    let (of_p, of_q) = (p.question().await, q.question().await);
    assert_eq!(of_p.half.unique_key, of_q.half.unique_key);
    p.client.close();
    for _ in 0..3 {
        q.question().await;
    }
    assert!(other.questions.try_recv().is_err());
    kit.stop().await;
}

#[tokio::test]
async fn many_are_asked_about_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        curious(settings);
        settings.live.transaction_check_interval = 400;
    })
    .await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let mut expected = Vec::new();
    for number in 0..1_200 {
        let body = format!("{number:04}");
        p.half("T", &body, "").await;
        expected.push(body);
    }
    let mut order: Vec<String> = Vec::new();
    let mut committed = BTreeSet::new();
    while committed.len() < expected.len() {
        let question = p.question().await;
        if committed.insert(question.body.clone()) {
            order.push(question.body.clone());
        }
        p.answer(&question, COMMIT).await;
    }
    assert_eq!(order, expected);
    wait_end(&a, "T", 1, 1_200).await;
    let visible: BTreeSet<String> = bodies(&a, "T", 1).await.into_iter().collect();
    assert_eq!(visible, committed);
    kit.stop().await;
}

#[tokio::test]
async fn one_with_more_time_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), curious).await;
    let mut p = Producer::start(&kit, "p").await;
    let immune = "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}3600\u{2}";
    p.half("T", "immune", immune).await;
    p.half("T", "open", "").await;
    for _ in 0..3 {
        assert_eq!(p.question().await.body, "open");
    }
    // It was not parked again either.
    with_records(&kit.client(), HALF_TOPIC, 0, |records| {
        let immune = records.iter().filter(|record| record.body == b"immune").count();
        assert_eq!(immune, 1);
    })
    .await;
    kit.stop().await;
}

#[tokio::test]
async fn one_that_nobody_answers_is_given_up_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        curious(settings);
        settings.live.transaction_check_max = 3;
    })
    .await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "given up", "KEYS\u{1}k\u{2}").await;
    for checks in 1..=3 {
        let question = p.question().await;
        let times = format!("TRANSACTION_CHECK_TIMES\u{1}{checks}\u{2}");
        assert!(question.properties.contains(&times), "{question:?}");
    }
    wait_end(&a, CHECKED_OUT_TOPIC, 0, 1).await;
    let id = with_records(&a, CHECKED_OUT_TOPIC, 0, |records| {
        let record = &records[0];
        assert_eq!((record.body, record.flag), (b"given up".as_slice(), 7));
        assert_eq!(record.properties().get("REAL_TOPIC"), Some("T"));
        assert_eq!(record.properties().get("TRANSACTION_CHECK_TIMES"), Some("3"));
        let store_host = record.store_host;
        OffsetMessageId { store_host, physical_offset: record.physical_offset }.to_string()
    })
    .await;
    assert!(p.questions.try_recv().is_err());
    let resume = ResumeCheckHalfMessageRequestHeader { msg_id: Some(id), topic: None };
    a.ok(RequestCode::ResumeCheckHalfMessage, &resume, &[]).await;
    let question = p.question().await;
    assert!(question.properties.contains("TRANSACTION_CHECK_TIMES\u{1}1\u{2}"));
    p.answer(&question, COMMIT).await;
    wait_end(&a, "T", 1, 1).await;
    // Neither the end that is late nor another resumption brings it back.
    p.end(&half, COMMIT).await;
    let code = remoting::protocol::code::ResponseCode::SystemError;
    a.refused(code, RequestCode::ResumeCheckHalfMessage, &resume, &[]).await;
    assert_eq!(end_of(&a, "T", 1).await, 1);
    kit.stop().await;
}

#[tokio::test]
async fn a_commit_after_giving_up_is_visible_once() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        curious(settings);
        settings.live.transaction_check_max = 1;
    })
    .await;
    let (a, mut p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "late", "").await;
    let question = p.question().await;
    wait_end(&a, CHECKED_OUT_TOPIC, 0, 1).await;
    p.end(&half, COMMIT).await;
    p.end(&half, COMMIT).await;
    p.end(&question.half, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["late"]);
    kit.stop().await;
}
