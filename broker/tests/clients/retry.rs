//! Failed messages: sent back, retried, given up.

use remoting::protocol::body::{Body, LockBatchRequestBody, MessageQueue, SubscriptionGroupConfig};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{ConsumerSendMsgBackRequestHeader, NoHeader};

use crate::kit::{Kit, Message, TestClient, consumer};

fn back(message: &Message, delay_level: i32) -> ConsumerSendMsgBackRequestHeader {
    ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: "g".to_owned(),
        delay_level,
        origin_msg_id: Some("id".to_owned()),
        origin_topic: Some("T".to_owned()),
        unit_mode: false,
        max_reconsume_times: Some(2),
    }
}

async fn start(dir: &std::path::Path) -> (Kit, TestClient) {
    let kit = Kit::start_with(dir, |settings| {
        settings.store.message_delay_level = "1s 1s 1s 1s 1s".to_owned();
    })
    .await;
    let client = kit.client();
    client.heartbeat(&consumer("a", "g", &["T"])).await;
    (kit, client)
}

#[tokio::test]
async fn a_message_is_retried_and_then_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    a.send("T", 0, "x", "TAGS\u{1}a\u{2}").await;
    let first = a.pull_all("T", 0, 1).await.remove(0);
    a.ok(RequestCode::ConsumerSendMsgBack, &back(&first, 0), &[]).await;
    let second = a.pull_all("%RETRY%g", 0, 1).await.remove(0);
    assert_eq!((second.body.as_str(), second.reconsume_times, second.flag), ("x", 1, 7));
    assert_eq!(second.get("RETRY_TOPIC"), Some("T"));
    assert_eq!(second.get("DELAY"), Some("3"));
    assert_eq!(second.get("TAGS"), Some("a"));
    let origin = second.get("ORIGIN_MESSAGE_ID").unwrap().to_owned();
    assert!(origin.ends_with(&format!("{:016X}", first.physical_offset)), "{origin}");

    a.ok(RequestCode::ConsumerSendMsgBack, &back(&second, 0), &[]).await;
    let third = a.pull_all("%RETRY%g", 0, 2).await.remove(1);
    assert_eq!((third.reconsume_times, third.get("DELAY")), (2, Some("4")));
    assert_eq!(third.get("ORIGIN_MESSAGE_ID"), Some(origin.as_str()));

    a.ok(RequestCode::ConsumerSendMsgBack, &back(&third, 0), &[]).await;
    let dead = a.pull_all("%DLQ%g", 0, 1).await.remove(0);
    assert_eq!((dead.reconsume_times, dead.get("DELAY")), (3, Some("0")));
    assert_eq!(dead.get("REAL_TOPIC"), Some("%RETRY%g"));
    assert_eq!(dead.get("RETRY_TOPIC"), Some("T"));
    kit.stop().await;
}

#[tokio::test]
async fn send_backs_are_checked() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    a.send("T", 0, "x", "").await;
    let message = a.pull_all("T", 0, 1).await.remove(0);
    let code = RequestCode::ConsumerSendMsgBack;
    let illegal =
        ConsumerSendMsgBackRequestHeader { group: "no such name".to_owned(), ..back(&message, 0) };
    a.refused(Code::SubscriptionGroupNotExist, code, &illegal, &[]).await;
    let inside = ConsumerSendMsgBackRequestHeader { offset: 1, ..back(&message, 0) };
    a.refused(Code::SystemError, code, &inside, &[]).await;
    // At once to the dead letters.
    a.ok(code, &back(&message, -1), &[]).await;
    assert_eq!(a.pull_all("%DLQ%g", 0, 1).await[0].body, "x");
    // A group that wants no retries: success, nothing stored.
    let config =
        SubscriptionGroupConfig { retry_queue_nums: 0, ..SubscriptionGroupConfig::new("g") };
    let update = RequestCode::UpdateAndCreateSubscriptiongroup;
    a.ok(update, &NoHeader, &config.encode()).await;
    a.ok(code, &back(&message, -1), &[]).await;
    let pulled = a.pull("g", "%DLQ%g", 0, 2).await;
    assert_eq!(pulled.0.code(), i32::from(Code::PullOffsetMoved), "one dead letter only");
    kit.stop().await;
}

#[tokio::test]
async fn sends_to_a_retry_topic_are_given_up_when_tried_too_often() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    let config =
        SubscriptionGroupConfig { retry_max_times: 2, ..SubscriptionGroupConfig::new("g") };
    let update = RequestCode::UpdateAndCreateSubscriptiongroup;
    a.ok(update, &NoHeader, &config.encode()).await;
    assert_eq!(a.try_send("%RETRY%g", 0, "again", "DELAY\u{1}1\u{2}", 2).await.code(), 0);
    assert_eq!(a.try_send("%RETRY%g", 0, "over", "DELAY\u{1}1\u{2}", 3).await.code(), 0);
    let dead = a.pull_all("%DLQ%g", 0, 1).await.remove(0);
    assert_eq!((dead.body.as_str(), dead.get("DELAY")), ("over", Some("-1")));
    assert_eq!(a.pull_all("%RETRY%g", 0, 1).await[0].body, "again");
    kit.stop().await;
}

#[tokio::test]
async fn an_orderly_group_gives_up_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, a) = start(dir.path()).await;
    let queue = MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id: 0 };
    let lock = LockBatchRequestBody {
        client_id: "a".to_owned(),
        consumer_group: "g".to_owned(),
        mq_set: vec![queue],
        only_this_broker: false,
    };
    a.ok(RequestCode::LockBatchMq, &NoHeader, &lock.encode()).await;
    assert_eq!(a.try_send("%RETRY%g", 0, "x", "DELAY\u{1}1\u{2}", 0).await.code(), 0);
    assert_eq!(a.pull_all("%DLQ%g", 0, 1).await[0].body, "x");
    kit.stop().await;
}
