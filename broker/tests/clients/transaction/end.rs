//! Commit and rollback.

use remoting::net::CallError;
use remoting::protocol::code::{RequestCode, ResponseCode};
use store::FlushDiskType;

use super::*;

#[tokio::test]
async fn a_commit_is_visible_once_and_a_rollback_never() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let committed = p.half("T", "committed", "KEYS\u{1}k\u{2}").await;
    let rolled_back = p.half("T", "rolled back", "").await;
    assert_eq!(end_of(&a, "T", 1).await, 0);
    p.end(&committed, COMMIT).await;
    let answer = p.try_end(&p.ending(&rolled_back, ROLLBACK)).await;
    assert_eq!(answer.remark(), Some("not set any response code"));
    // Again, and the other way round.
    for how in [COMMIT, ROLLBACK, COMMIT] {
        p.end(&committed, how).await;
        p.end(&rolled_back, how).await;
    }
    assert_eq!(bodies(&a, "T", 1).await, ["committed"]);
    with_records(&a, "T", 1, |records| {
        let record = &records[0];
        assert_eq!((record.sys_flag, record.flag), (8, 7));
        assert_eq!(record.prepared_transaction_offset, committed.physical_offset);
        let property = |name| record.properties().get(name);
        assert_eq!(property("TRAN_MSG"), Some("true"));
        assert_eq!(property("REAL_TOPIC"), Some("T"));
        assert_eq!(property("REAL_QID"), Some("1"));
        assert_eq!(property("__transactionId__"), Some(committed.unique_key.as_str()));
        assert_eq!(property("UNIQ_KEY"), Some(committed.unique_key.as_str()));
    })
    .await;
    with_records(&a, HALF_TOPIC, 0, |records| {
        assert_eq!(records[0].sys_flag, 0);
        assert_eq!(records[0].queue_offset, committed.queue_offset);
        assert_eq!(records[0].physical_offset, committed.physical_offset);
    })
    .await;
    // The rollback is written at once, with what waited.
    assert_eq!(bodies(&a, OP_TOPIC, 0).await, ["0,1,"]);
    with_records(&a, OP_TOPIC, 0, |records| {
        assert_eq!(records[0].tags(), Some("d"));
        assert_eq!(records[0].properties().get("UNIQ_KEY"), None);
        assert_eq!(records[0].born_host, records[0].store_host);
    })
    .await;
    kit.stop().await;
}

#[tokio::test]
async fn an_undecided_end_is_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "undecided", "").await;
    let header = p.ending(&half, UNKNOWN);
    let code = RequestCode::EndTransaction;
    let patience = Duration::from_millis(200);
    let answer = p.client.call(&p.address, code, &header, &[], &[], patience).await;
    assert!(matches!(answer, Err(CallError::Timeout(_))), "{answer:?}");
    assert_eq!(end_of(&a, "T", 1).await, 0);
    p.end(&half, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["undecided"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_delay_takes_effect_at_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        quiet(settings);
        settings.store.message_delay_level = "1s 2s".to_owned();
    })
    .await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "later", "DELAY\u{1}1\u{2}").await;
    assert_eq!(end_of(&a, HALF_TOPIC, 0).await, 1);
    p.end(&half, COMMIT).await;
    p.end(&half, COMMIT).await;
    assert_eq!(end_of(&a, "SCHEDULE_TOPIC_XXXX", 0).await, 1);
    let messages = a.pull_all("T", 1, 1).await;
    assert_eq!((messages[0].body.as_str(), messages[0].get("TRAN_MSG")), ("later", None));
    kit.stop().await;
}

#[tokio::test]
async fn a_late_end_of_an_immune_half_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        quiet(settings);
        settings.live.transaction_time_out = 50;
    })
    .await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let immune = p.half("T", "immune", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}0\u{2}").await;
    let plain = p.half("T", "plain", "").await;
    let sent = runtime::clock::now_ms();
    // Its age is told by the clock, so nothing else can be waited for.
    while runtime::clock::now_ms() <= sent + 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for how in [COMMIT, ROLLBACK] {
        let answer = p.try_end(&p.ending(&immune, how)).await;
        assert_eq!(answer.code(), i32::from(ResponseCode::IllegalOperation));
    }
    p.end(&plain, COMMIT).await;
    let header =
        EndTransactionRequestHeader { from_transaction_check: true, ..p.ending(&immune, COMMIT) };
    assert_eq!(p.try_end(&header).await.code(), 0);
    assert_eq!(bodies(&a, "T", 1).await, ["plain", "immune"]);
    kit.stop().await;
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        quiet(settings);
        settings.store.flush_disk_type = FlushDiskType::SyncFlush;
    })
    .await;
    let (a, p) = (kit.client(), Producer::start(&kit, "p").await);
    let half = p.half("T", "safe", "").await;
    p.end(&half, COMMIT).await;
    p.end(&half, COMMIT).await;
    assert_eq!(bodies(&a, "T", 1).await, ["safe"]);
    kit.stop().await;
}

#[tokio::test]
async fn transactions_can_be_forbidden() {
    let dir = tempfile::tempdir().unwrap();
    let kit =
        Kit::start_with(dir.path(), |settings| settings.live.reject_transaction_message = true)
            .await;
    let p = Producer::start(&kit, "p").await;
    let answer = p.try_half("T", "half", "").await;
    assert_eq!(answer.code(), i32::from(ResponseCode::NoPermission));
    assert_eq!(answer.field("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(end_of(&kit.client(), HALF_TOPIC, 0).await, 0);
    kit.stop().await;
}

#[tokio::test]
async fn a_retry_with_a_delay_is_no_half() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), quiet).await;
    let a = kit.client();
    let properties = "TRAN_MSG\u{1}true\u{2}DELAY\u{1}1\u{2}";
    assert_eq!(a.try_send("T", 0, "again", properties, 1).await.code(), 0);
    assert_eq!(end_of(&a, HALF_TOPIC, 0).await, 0);
    assert_eq!(end_of(&a, "SCHEDULE_TOPIC_XXXX", 0).await, 1);
    kit.stop().await;
}
