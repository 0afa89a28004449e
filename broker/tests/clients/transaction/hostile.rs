//! Ends of transactions there are none of: Java's code, and nothing changes.

use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::ResumeCheckHalfMessageRequestHeader;

use super::*;

#[tokio::test]
async fn an_end_must_fit_its_half() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "half", "").await;
    let properties = "PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1\u{2}";
    let plain = a.send("T", 0, "plain", properties).await;
    let place = with_records(&a, "T", 0, |records| records[0].physical_offset).await;
    let good = p.ending(&half, COMMIT);
    let with = |table: i64, log: i64| EndTransactionRequestHeader {
        tran_state_table_offset: table,
        commit_log_offset: log,
        ..good.clone()
    };
    let (table, log) = (half.queue_offset, half.physical_offset);
    let wrong = [
        EndTransactionRequestHeader { producer_group: "other", ..good.clone() },
        EndTransactionRequestHeader { producer_group: "", ..good.clone() },
        with(table + 1, log),
        with(-1, log),
        with(table, -1),
        with(table, i64::MIN),
        with(table, i64::MAX),
        with(table, log + 1),
        with(table, log + 100_000),
        with(plain, place),
    ];
    for header in &wrong {
        for commit_or_rollback in [COMMIT, ROLLBACK] {
            let header = EndTransactionRequestHeader { commit_or_rollback, ..header.clone() };
            let answer = p.try_end(&header).await;
            assert_eq!(answer.code(), i32::from(ResponseCode::SystemError), "{header:?}");
        }
    }
    for commit_or_rollback in [1, -1, 4, i32::MAX] {
        let header = EndTransactionRequestHeader { commit_or_rollback, ..good.clone() };
        assert_eq!(p.try_end(&header).await.code(), i32::from(ResponseCode::SystemError));
    }
    assert_eq!(end_of(&a, "T", 1).await, 0);
    p.end(&half, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["half"]);
    assert_eq!(bodies(&a, "T", 0).await, ["plain"]);
    kit.stop().await;
}

#[tokio::test]
async fn what_never_waited_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let properties = "PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1\u{2}";
    a.send("T", 0, "plain", properties).await;
    let ended = p.half("T", "ended", "").await;
    p.end(&ended, ROLLBACK).await;
    let host = kit.address.parse().unwrap();
    let id = |physical_offset| OffsetMessageId { store_host: host, physical_offset }.to_string();
    let ids = [id(0), id(-1), id(i64::MAX), id(ended.physical_offset), "x".to_owned()];
    for msg_id in ids.into_iter().map(Some).chain([None]) {
        let header = ResumeCheckHalfMessageRequestHeader { msg_id, topic: None };
        a.refused(ResponseCode::SystemError, RequestCode::ResumeCheckHalfMessage, &header, &[])
            .await;
    }
    assert_eq!(end_of(&a, HALF_TOPIC, 0).await, 1);
    kit.stop().await;
}

#[tokio::test]
async fn a_sender_cannot_pretend_to_be_checked_or_parked() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), curious).await;
    let mut p = Producer::start(&kit, "p").await;
    let forged = "REAL_TOPIC\u{1}X\u{2}REAL_QID\u{1}9\u{2}TRAN_PREPARED_QUEUE_OFFSET\u{1}0\u{2}\
                  TRANSACTION_CHECK_TIMES\u{1}nonsense\u{2}";
    p.half("T", "forged", forged).await;
    let question = p.question().await;
    assert_eq!((question.topic.as_str(), question.queue_id), ("T", 1));
    assert!(question.properties.contains("TRANSACTION_CHECK_TIMES\u{1}0\u{2}"));
    kit.stop().await;
}
