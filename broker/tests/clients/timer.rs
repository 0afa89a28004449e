//! Timer messages: the exact time, what is refused, taking back, what replicas ask.

use remoting::protocol::body::{Body, TimerMetricsSerializeWrapper};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{NoHeader, RecallMessageRequestHeader, SendMessageRequestHeader};
use remoting::protocol::message::recall::RecallHandle;
use runtime::clock::now_ms;
use store::FlushDiskType;

use crate::kit::{Kit, TestClient};

/// More than a busy machine takes to deliver.
const SLACK_MS: i64 = 2000;

fn at(ms: i64) -> String {
    format!("TIMER_DELIVER_MS\u{1}{ms}\u{2}TAGS\u{1}a\u{2}")
}

async fn send(client: &TestClient, topic: &str, properties: &str) -> Frame {
    client.try_send(topic, 0, "body", properties, 0).await
}

#[tokio::test]
async fn timed_messages_come_at_their_time_and_never_before() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let begun = now_ms();
    let times = [900, 300, 650, 301];
    for after in times {
        a.send("T", 1, &after.to_string(), &at(begun + after)).await;
    }
    a.send("T", 1, "400", "TIMER_DELAY_MS\u{1}400\u{2}").await;
    a.send("T", 1, "1000", "TIMER_DELAY_SEC\u{1}1\u{2}TIMER_DELAY_MS\u{1}9\u{2}").await;
    a.send("T", 1, "past", &at(begun - 1)).await;
    a.send("T", 1, "level", &format!("DELAY\u{1}1\u{2}{}", at(begun + 100))).await;

    let messages = a.pull_all("T", 1, 8).await;
    assert_eq!(messages[0].body, "past");
    assert_eq!(messages[0].get("TIMER_OUT_MS"), None);
    for message in &messages[1..] {
        let late = match message.body.parse::<i64>() {
            Ok(after) => message.store_timestamp - begun - after,
            Err(_) => {
                assert_eq!(message.get("TIMER_DELIVER_MS"), None, "a level beats the timer");
                message.store_timestamp - begun - 1000
            }
        };
        assert!((0..SLACK_MS).contains(&late), "{} is {late} ms late", message.body);
    }
    let timed = messages.iter().find(|message| message.body == "650").unwrap();
    assert_eq!(timed.get("REAL_TOPIC"), Some("T"));
    assert_eq!(timed.get("REAL_QID"), Some("1"));
    let out: i64 = timed.get("TIMER_OUT_MS").unwrap().parse().unwrap();
    assert_eq!(out, (begun + 649) / 1000 * 1000);
    assert!(timed.get("TIMER_ENQUEUE_MS").is_some() && timed.get("TIMER_DEQUEUE_MS").is_some());
    assert_eq!(timed.flag, 7);
    kit.stop().await;
}

#[tokio::test]
async fn times_out_of_bounds_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let year = 300_000_000_i64 * 31_556_952;
    let cases = [
        "TIMER_DELAY_SEC\u{1}x\u{2}".to_owned(),
        "TIMER_DELIVER_MS\u{1}99999999999999999999\u{2}".to_owned(),
        format!("TIMER_DELAY_SEC\u{1}{}\u{2}", i64::MAX),
        format!("TIMER_DELAY_MS\u{1}{}\u{2}", i64::MAX),
        at(i64::MAX),
        at(year),
        at(now_ms() + 4 * 86_400_000),
        format!("TIMER_DEL_UNIQKEY\u{1}T+k\u{2}{}", at(1)),
    ];
    for properties in &cases {
        let answer = send(&a, "T", properties).await;
        assert_eq!(answer.code(), i32::from(ResponseCode::MessageIllegal), "{properties:?}");
    }
    let direct = send(&a, "rmq_sys_wheel_timer", "").await;
    assert_eq!(direct.code(), i32::from(ResponseCode::NoPermission));
    assert_eq!(a.send("T", 0, "first", "").await, 0, "nothing was stored");
    a.send("T", 0, "timed", &at(now_ms() + 50)).await;
    assert_eq!(a.pull_all("T", 0, 2).await[1].body, "timed");
    kit.stop().await;

    let kit = Kit::start_with(dir.path(), |settings| {
        settings.store.timer_wheel_enable = false;
    })
    .await;
    let answer = send(&kit.client(), "T", &at(now_ms() + 50)).await;
    assert_eq!(answer.code(), i32::from(ResponseCode::SystemError));
    kit.stop().await;
}

#[tokio::test]
async fn a_horizon_beyond_javas_integers_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.store.timer_max_delay_sec = 366 * 86_400;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "far", &at(now_ms() + 365 * 86_400_000)).await;
    a.send("T", 0, "near", &at(now_ms() + 100)).await;
    assert_eq!(a.pull_all("T", 0, 1).await[0].body, "near");
    let far = &a.pull_all("rmq_sys_wheel_timer", 0, 2).await[0];
    let out: i64 = far.get("TIMER_OUT_MS").unwrap().parse().unwrap();
    assert!(out > now_ms() + 364 * 86_400_000);
    let refused = send(&a, "T", &at(now_ms() + 367 * 86_400_000)).await;
    assert_eq!(refused.code(), i32::from(ResponseCode::MessageIllegal));
    kit.stop().await;
}

async fn recall(client: &TestClient, topic: &str, handle: &str) -> Frame {
    let header = RecallMessageRequestHeader {
        producer_group: Some("p".to_owned()),
        topic: topic.to_owned(),
        recall_handle: handle.to_owned(),
    };
    client.call(RequestCode::RecallMessage, &header, &[]).await
}

#[tokio::test]
async fn a_timed_message_is_taken_back_by_its_handle() {
    for flush in [FlushDiskType::AsyncFlush, FlushDiskType::SyncFlush] {
        take_back(flush).await;
    }
}

async fn take_back(flush: FlushDiskType) {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.recall_message_enable = true;
        settings.store.flush_disk_type = flush;
    })
    .await;
    let a = kit.client();
    let due = now_ms() + 1500;
    let sent = send(&a, "T", &at(due)).await;
    let handle = sent.field("recallHandle").unwrap().to_owned();
    let read = RecallHandle::decode(&handle).unwrap();
    assert_eq!((&*read.topic, &*read.broker_name), ("T", "b"));
    assert_eq!(read.timestamp, (due - 1) / 1000 * 1000 + 1);
    let key = sent.field("transactionId").unwrap().to_owned();
    assert_eq!(read.unique_key, key);
    a.send("T", 0, "stays", &at(due)).await;
    let answer = recall(&a, "T", &handle).await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    assert_eq!(answer.field("msgId"), Some(&*key));
    assert_eq!(answer.field("MSG_REGION"), Some("DefaultRegion"));
    a.send("T", 0, "last", &at(due + 1)).await;
    let bodies: Vec<_> =
        a.pull_all("T", 0, 2).await.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["stays", "last"]);
    kit.stop().await;
}

#[tokio::test]
async fn foreign_handles_get_javas_codes() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let off = recall(&kit.client(), "T", "x").await;
    assert_eq!(off.code(), i32::from(ResponseCode::NoPermission));
    assert_eq!(off.field("MSG_REGION"), Some("DefaultRegion"));
    kit.stop().await;

    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.recall_message_enable = true;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let handle = |topic: &str, broker: &str, after: i64, key: &str| {
        let mut text = String::new();
        RecallHandle::append(topic, broker, now_ms() + after, key, &mut text);
        text
    };
    let illegal = ResponseCode::IllegalOperation;
    let cases = [
        ("none", handle("none", "b", 5000, "k"), ResponseCode::TopicNotExist),
        ("T", "djE".to_owned(), illegal),
        ("T", "no base 64".to_owned(), illegal),
        ("T", handle("U", "b", 5000, "k"), illegal),
        ("T", handle("T", "c", 5000, "k"), illegal),
        ("T", handle("T", "b", -5000, "k"), illegal),
        ("T", handle("T", "b", 4 * 86_400_000, "k"), illegal),
        ("T", handle("T", "b", i64::MAX / 2, "k"), illegal),
        ("T", handle("T", "b", 5000, "k\u{2}DELAY\u{1}1"), illegal),
    ];
    for (topic, handle, code) in &cases {
        assert_eq!(recall(&a, topic, handle).await.code(), i32::from(*code), "{handle}");
    }
    assert_eq!(a.pull_all("T", 0, 1).await.len(), 1);
    kit.stop().await;
}

#[tokio::test]
async fn replicas_are_told_how_far_the_timer_is() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "later", &at(now_ms() + 100_000)).await;
    a.send("T", 0, "soon", &at(now_ms() + 50)).await;
    a.pull_all("T", 0, 1).await;
    let metrics = a.ok(RequestCode::GetTimerMetrics, &NoHeader, &[]).await;
    let metrics = TimerMetricsSerializeWrapper::decode(metrics.body()).unwrap();
    assert_eq!(metrics.timing_count["T"].count, 1);
    // Saved once a second.
    loop {
        let check = a.ok(RequestCode::GetTimerCheckPoint, &NoHeader, &[]).await;
        let field = |at: usize| i64::from_be_bytes(check.body()[at..at + 8].try_into().unwrap());
        assert_eq!(check.body().len(), 56);
        if field(16) == 2 {
            assert_eq!(field(24), 2);
            assert!((now_ms() - field(0)).abs() < 60_000);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    kit.stop().await;
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats_timed_messages() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let due = now_ms() + 1000;
    for number in 0..50 {
        a.send("T", 0, &number.to_string(), &at(due + number * 20)).await;
    }
    a.pull_until("T", 0, 5).await;
    kit.stop().await;
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "end", &at(due + 1500)).await;
    let messages = a.pull_all("T", 0, 51).await;
    let bodies: Vec<_> = messages.iter().map(|message| message.body.clone()).collect();
    let mut expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    expected.push("end".to_owned());
    assert_eq!(bodies, expected);
    kit.stop().await;
}

#[tokio::test]
async fn a_batch_with_a_time_of_its_own_waits_for_it() {
    use remoting::protocol::message::batch::BatchMessage;

    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let due = now_ms() + 400;
    let mut body = bytes::BytesMut::new();
    for text in ["one", "two"] {
        let message = BatchMessage { flag: 0, body: text.as_bytes(), properties: "" };
        message.encode(&mut body).unwrap();
    }
    let properties = at(due);
    let header = SendMessageRequestHeader {
        producer_group: "p",
        topic: "T",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        batch: true,
        properties: Some(&properties),
        ..SendMessageRequestHeader::default()
    };
    let sent = a.ok(RequestCode::SendMessage, &header, &body).await;
    assert_eq!(sent.field("recallHandle"), None);
    let messages = a.pull_all("T", 0, 2).await;
    assert_eq!([&*messages[0].body, &*messages[1].body], ["one", "two"]);
    assert!(messages.iter().all(|message| message.store_timestamp >= due));
    kit.stop().await;
}
