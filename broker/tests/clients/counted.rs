//! What statistics count of what flows, and what not, as Java's do.

use std::path::Path;

use remoting::protocol::body::{Body, KVTable};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    ConsumerSendMsgBackRequestHeader, NoHeader, PeekMessageRequestHeader, PopMessageRequestHeader,
    ViewBrokerStatsDataRequestHeader,
};
use runtime::clock::now_ms;

use crate::kit::{Kit, PATIENCE, TestClient, consumer};

/// Messages that users stored and got, as the runtime table has them.
async fn by_users(client: &TestClient) -> (u64, u64) {
    let answer = client.ok(RequestCode::GetBrokerRuntimeInfo, &NoHeader, &[]).await;
    let table = KVTable::decode(answer.body()).unwrap().table;
    let value = |key: &str| table[key].parse().unwrap();
    (value("msgPutTotalTodayNow"), value("msgGetTotalTodayNow"))
}

/// Whether anything was counted under a name and a key.
async fn counts(client: &TestClient, name: &str, key: &str) -> bool {
    let header =
        ViewBrokerStatsDataRequestHeader { stats_name: name.to_owned(), stats_key: key.to_owned() };
    client.call(RequestCode::ViewBrokerStatsData, &header, &[]).await.code() == 0
}

async fn until_counts(client: &TestClient, name: &str, key: &str) {
    let counted = async {
        while !counts(client, name, key).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{name} {key}"));
}

async fn start(dir: &Path) -> (Kit, TestClient) {
    let kit = Kit::start_with(dir, |settings| {
        settings.store.message_delay_level = "1s 1s 1s 1s 1s".to_owned();
        settings.live.transaction_check_interval = 100;
        settings.live.transaction_time_out = 0;
    })
    .await;
    let client = kit.client();
    (kit, client)
}

#[tokio::test]
async fn what_waits_for_its_time_counts_where_it_comes_to() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    a.send("T", 0, "timed", &format!("TIMER_DELIVER_MS\u{1}{}\u{2}", now_ms() + 300)).await;
    a.send("U", 0, "delayed", "DELAY\u{1}1\u{2}").await;
    assert_eq!(by_users(&a).await, (0, 0), "in topics of the system");
    assert!(counts(&a, "TOPIC_PUT_NUMS", "rmq_sys_wheel_timer").await);
    for topic in ["T", "U"] {
        until_counts(&a, "TOPIC_PUT_NUMS", topic).await;
    }
    assert_eq!(by_users(&a).await, (2, 0));
    assert!(counts(&a, "GROUP_GET_SIZE", "SCHEDULE_TOPIC_XXXX@SCHEDULE_CONSUMER").await);
    assert!(!counts(&a, "BROKER_GET_NUMS", "DefaultCluster").await);
    kit.stop().await;
}

#[tokio::test]
async fn a_peek_counts_as_a_get() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    for body in ["a", "b"] {
        a.send("T", 0, body, "").await;
    }
    let peek = PeekMessageRequestHeader {
        topic: "T".to_owned(),
        queue_id: 0,
        max_msg_nums: 32,
        consumer_group: "g".to_owned(),
    };
    a.ok(RequestCode::PeekMessage, &peek, &[]).await;
    assert_eq!(by_users(&a).await, (2, 2));
    for name in ["GROUP_GET_NUMS", "GROUP_GET_SIZE"] {
        assert!(counts(&a, name, "T@g").await, "{name}");
    }
    kit.stop().await;
}

#[tokio::test]
async fn what_hides_popped_messages_counts_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    a.send("T", 0, "x", "").await;
    let pop = |invisible_time| PopMessageRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: 0,
        max_msg_nums: 32,
        invisible_time,
        ..PopMessageRequestHeader::default()
    };
    a.ok(RequestCode::PopMessage, &pop(60_000), &[]).await;
    assert_eq!(by_users(&a).await, (1, 1));
    let revive = "rmq_sys_REVIVE_LOG_DefaultCluster";
    for topic in ["rmq_sys_wheel_timer", revive] {
        assert!(!counts(&a, "TOPIC_PUT_NUMS", topic).await, "{topic}");
    }
    a.send("T", 0, "y", "").await;
    a.ok(RequestCode::PopMessage, &pop(1_500), &[]).await;
    until_counts(&a, "TOPIC_PUT_NUMS", revive).await;
    until_counts(&a, "GROUP_GET_NUMS", &format!("{revive}@CID_RMQ_SYS_REVIVE_GROUP")).await;
    kit.stop().await;
}

#[tokio::test]
async fn a_message_that_is_sent_back_counts_for_its_delay_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.send("T", 0, "x", "").await;
    let message = a.pull_all("T", 0, 1).await.remove(0);
    let back = |delay_level| ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "g".to_owned(),
        delay_level,
        origin_topic: Some("T".to_owned()),
        ..ConsumerSendMsgBackRequestHeader::default()
    };
    a.ok(RequestCode::ConsumerSendMsgBack, &back(-1), &[]).await;
    a.pull_all("%DLQ%g", 0, 1).await;
    assert!(!counts(&a, "TOPIC_PUT_NUMS", "%DLQ%g").await);
    a.ok(RequestCode::ConsumerSendMsgBack, &back(1), &[]).await;
    assert!(counts(&a, "TOPIC_PUT_NUMS", "SCHEDULE_TOPIC_XXXX").await);
    a.pull_all("%RETRY%g", 0, 1).await;
    assert_eq!(by_users(&a).await.0, 2, "sent, and delivered behind its delay");
    kit.stop().await;
}

#[tokio::test]
async fn looks_at_open_transactions_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    let half = "RMQ_SYS_TRANS_HALF_TOPIC";
    a.send("T", 0, "x", "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}UNIQ_KEY\u{1}k\u{2}").await;
    assert!(counts(&a, "TOPIC_PUT_NUMS", half).await);
    until_counts(&a, "GROUP_GET_NUMS", &format!("{half}@CID_RMQ_SYS_TRANS")).await;
    assert!(counts(&a, "BROKER_GET_NUMS", "DefaultCluster").await);
    assert_eq!(by_users(&a).await, (0, 0));
    kit.stop().await;
}
