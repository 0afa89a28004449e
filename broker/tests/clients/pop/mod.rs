//! Popping through a socket: take, acknowledge, prolong; waiting and order in files of their own.

mod order;
mod retried;
mod revived;
mod wait;

use std::path::Path;

use remoting::protocol::body::{
    BatchAck, BatchAckMessageRequestBody, Body, SubscriptionGroupConfig,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, NoHeader, NotificationRequestHeader,
    PeekMessageRequestHeader, PollingInfoRequestHeader, PopMessageRequestHeader,
    PopMessageResponseHeader,
};
use remoting::protocol::message::record::records;

use crate::kit::{Kit, TestClient};

/// A pop of any queue by group `g`, from the first message on, that does not wait.
fn any<'a>(topic: &'a str) -> PopMessageRequestHeader<'a> {
    PopMessageRequestHeader {
        consumer_group: "g",
        topic,
        queue_id: -1,
        max_msg_nums: 32,
        invisible_time: 60_000,
        ..PopMessageRequestHeader::default()
    }
}

/// One message as a consumer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Popped {
    body: String,
    topic: String,
    queue_id: i32,
    offset: i64,
    reconsume_times: i32,
    receipt: String,
}

impl Popped {
    /// The topic an acknowledgement names.
    fn real_topic(&self) -> String {
        match self.receipt.split(' ').nth(4) {
            Some("1") => format!("%RETRY%g_{}", self.topic),
            Some("2") => format!("%RETRY%g+{}", self.topic),
            _ => self.topic.clone(),
        }
    }
}

/// The messages of an answer; receipts are made as Java's client makes them.
fn messages(answer: &Frame) -> Vec<Popped> {
    let header: PopMessageResponseHeader<'_> = answer.header().unwrap();
    let starts = header.start_offset_info.unwrap_or_default();
    let start_of = |queue_id: i32| {
        let key = format!("0 {queue_id} ");
        starts.split(';').find_map(|place| place.strip_prefix(&key))
    };
    let records = records(answer.body()).map(Result::unwrap);
    let popped = records.map(|record| {
        let (queue_id, offset) = (record.queue_id, record.queue_offset);
        let made = || {
            let start = start_of(queue_id).unwrap();
            let PopMessageResponseHeader { pop_time, invisible_time, revive_qid, .. } = header;
            format!("{start} {pop_time} {invisible_time} {revive_qid} 0 b {queue_id} {offset}")
        };
        let receipt = record.properties().get("POP_CK").map(str::to_owned);
        Popped {
            body: String::from_utf8(record.body.to_vec()).unwrap(),
            topic: record.topic.to_owned(),
            queue_id,
            offset,
            reconsume_times: record.reconsume_times,
            receipt: receipt.unwrap_or_else(made),
        }
    });
    popped.collect()
}

fn bodies(popped: &[Popped]) -> Vec<&str> {
    popped.iter().map(|message| message.body.as_str()).collect()
}

async fn pop(client: &TestClient, header: &PopMessageRequestHeader<'_>) -> Vec<Popped> {
    let answer = client.call(RequestCode::PopMessage, header, &[]).await;
    match answer.code() {
        0 => messages(&answer),
        code => {
            assert_eq!(code, i32::from(ResponseCode::PollingTimeout), "{:?}", answer.remark());
            Vec::new()
        }
    }
}

async fn ack(client: &TestClient, message: &Popped) -> Frame {
    let topic = message.real_topic();
    let header = AckMessageRequestHeader {
        consumer_group: "g",
        topic: &topic,
        queue_id: message.queue_id,
        extra_info: &message.receipt,
        offset: message.offset,
        lite_topic: None,
    };
    client.call(RequestCode::AckMessage, &header, &[]).await
}

async fn change(client: &TestClient, message: &Popped, invisible_time: i64) -> Frame {
    let topic = message.real_topic();
    let header = ChangeInvisibleTimeRequestHeader {
        consumer_group: "g",
        topic: &topic,
        queue_id: message.queue_id,
        extra_info: &message.receipt,
        offset: message.offset,
        invisible_time,
        lite_topic: None,
        suspend: false,
    };
    client.call(RequestCode::ChangeMessageInvisibletime, &header, &[]).await
}

/// A broker and a client that has sent these to queues 0, 1, 0, 1, ... of `T`.
async fn start(dir: &Path, sent: &[&str]) -> (Kit, TestClient) {
    let kit = Kit::start(dir).await;
    let client = kit.client();
    for (index, body) in sent.iter().enumerate() {
        client.send("T", index as i32 % 2, body, "").await;
    }
    (kit, client)
}

#[tokio::test]
async fn popped_messages_are_hidden_and_an_ack_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "b", "c"]).await;
    let answer = client.ok(RequestCode::PopMessage, &any("T"), &[]).await;
    assert_eq!(answer.remark(), Some("FOUND"));
    assert_eq!(answer.field("restNum"), Some("0"));
    assert_eq!(answer.field("invisibleTime"), Some("60000"));
    let mut popped = messages(&answer);
    popped.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(bodies(&popped), ["a", "b", "c"]);
    assert_eq!((popped[2].queue_id, popped[2].offset), (0, 1));
    let offsets: Vec<&str> = answer.field("msgOffsetInfo").unwrap().split(';').collect();
    assert!(offsets.contains(&"0 0 0,1") && offsets.contains(&"0 1 0"), "{offsets:?}");
    assert!(pop(&client, &any("T")).await.is_empty());
    for message in &popped {
        let acked = ack(&client, message).await;
        assert_eq!((acked.code(), acked.remark()), (0, None));
    }
    // Again, with a foreign receipt, and one offset further than there is: no effect, no error.
    assert_eq!(ack(&client, &popped[0]).await.code(), 0);
    let stale = Popped { receipt: "7 1 1000 0 0 other 0 0".to_owned(), ..popped[0].clone() };
    assert_eq!(ack(&client, &stale).await.code(), 0);
    assert_eq!(ack(&client, &Popped { offset: 2, ..popped[0].clone() }).await.code(), 0);
    kit.stop().await;
}

#[tokio::test]
async fn no_more_than_asked_for_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "b", "c"]).await;
    let two = PopMessageRequestHeader { max_msg_nums: 2, ..any("T") };
    let answer = client.ok(RequestCode::PopMessage, &two, &[]).await;
    assert_eq!((messages(&answer).len(), answer.field("restNum")), (2, Some("1")));
    let of_queue = PopMessageRequestHeader { queue_id: 1, ..any("T") };
    let answer = client.call(RequestCode::PopMessage, &of_queue, &[]).await;
    let left = messages(&answer).len() + pop(&client, &any("T")).await.len();
    assert_eq!(left, 1);
    let none = PopMessageRequestHeader { max_msg_nums: 0, ..any("T") };
    client.refused(ResponseCode::PollingTimeout, RequestCode::PopMessage, &none, &[]).await;
    kit.stop().await;
}

#[tokio::test]
async fn messages_of_a_group_are_not_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a"]).await;
    assert_eq!(pop(&client, &any("T")).await.len(), 1);
    let other = PopMessageRequestHeader { consumer_group: "h", ..any("T") };
    assert_eq!(pop(&client, &other).await.len(), 1);
    kit.stop().await;
}

#[tokio::test]
async fn pops_are_checked_in_javas_order() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a"]).await;
    let disabled =
        SubscriptionGroupConfig { consume_enable: false, ..SubscriptionGroupConfig::new("off") };
    let update = RequestCode::UpdateAndCreateSubscriptiongroup;
    client.ok(update, &NoHeader, &disabled.encode()).await;
    let cases = [
        (Code::PollingTimeout, PopMessageRequestHeader { born_time: 1, ..any("none") }),
        (Code::InvalidParameter, PopMessageRequestHeader { max_msg_nums: 33, ..any("none") }),
        (Code::TopicNotExist, PopMessageRequestHeader { queue_id: 99, ..any("none") }),
        (
            Code::InvalidParameter,
            PopMessageRequestHeader { queue_id: 4, consumer_group: "no such name", ..any("T") },
        ),
        (
            Code::SubscriptionGroupNotExist,
            PopMessageRequestHeader { consumer_group: "no such name", ..any("T") },
        ),
        (
            Code::NoPermission,
            PopMessageRequestHeader { consumer_group: "off", exp: Some("||"), ..any("T") },
        ),
        (
            Code::SubscriptionParseFailed,
            PopMessageRequestHeader { exp: Some("||"), max_msg_nums: -1, ..any("T") },
        ),
        (
            Code::SubscriptionParseFailed,
            PopMessageRequestHeader { exp_type: Some("SQL92"), exp: Some("a >"), ..any("T") },
        ),
        (
            Code::SubscriptionParseFailed,
            PopMessageRequestHeader { exp_type: Some("ODD"), exp: Some("a"), ..any("T") },
        ),
    ];
    for (code, header) in cases {
        let answer = client.refused(code, RequestCode::PopMessage, &header, &[]).await;
        for field in ["popTime", "invisibleTime", "reviveQid", "restNum"] {
            assert_eq!(answer.field(field), Some("0"), "{header:?}");
        }
        assert_eq!(answer.field("startOffsetInfo"), None);
    }
    let negative = PopMessageRequestHeader { max_msg_nums: -1, ..any("T") };
    let thrown = client.refused(Code::SystemError, RequestCode::PopMessage, &negative, &[]).await;
    assert_eq!(thrown.fields().count(), 0);
    assert_eq!(pop(&client, &any("T")).await.len(), 1, "nothing was taken");
    kit.stop().await;
}

#[tokio::test]
async fn acks_are_checked() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a"]).await;
    let popped = pop(&client, &any("T")).await.remove(0);
    let cases = [
        (Code::TopicNotExist, Popped { topic: "none".to_owned(), ..popped.clone() }),
        (Code::MessageIllegal, Popped { queue_id: 4, ..popped.clone() }),
        (Code::MessageIllegal, Popped { queue_id: -1, ..popped.clone() }),
        (Code::NoMessage, Popped { offset: -1, ..popped.clone() }),
        (Code::NoMessage, Popped { offset: 2, ..popped.clone() }),
        (Code::SystemError, Popped { receipt: "what is this".to_owned(), ..popped.clone() }),
        (Code::SystemError, Popped { receipt: "0 1 2 77 0 b 0 0".to_owned(), ..popped.clone() }),
    ];
    for (code, message) in cases {
        let answer = ack(&client, &message).await;
        assert_eq!(answer.code(), i32::from(code), "{message:?} {:?}", answer.remark());
        let answer = change(&client, &message, 1_000).await;
        assert_eq!(answer.code(), i32::from(code), "{message:?} {:?}", answer.remark());
        if code != Code::SystemError {
            assert_eq!(answer.field("popTime"), Some("0"));
        }
    }
    // Behind the last message: an ack is taken, a change is not.
    let behind = Popped { offset: 1, ..popped.clone() };
    assert_eq!(ack(&client, &behind).await.code(), 0);
    assert_eq!(change(&client, &behind, 1_000).await.code(), i32::from(Code::NoMessage));
    kit.stop().await;
}

#[tokio::test]
async fn a_batch_of_acks_is_taken_as_a_whole() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "b", "c", "d"]).await;
    let answer = client.ok(RequestCode::PopMessage, &any("T"), &[]).await;
    let header: PopMessageResponseHeader<'_> = answer.header().unwrap();
    let batch = |queue_id, retry: &str| {
        let mut ack = BatchAck {
            consumer_group: "g".to_owned(),
            topic: "T".to_owned(),
            queue_id,
            retry: retry.to_owned(),
            start_offset: 0,
            pop_time: header.pop_time,
            invisible_time: header.invisible_time,
            revive_queue_id: header.revive_qid,
            ..BatchAck::default()
        };
        ack.set_distances(&[0, 1, 9]);
        ack
    };
    let body = |acks| BatchAckMessageRequestBody { acks, broker_name: "b".to_owned() }.encode();
    let code = RequestCode::BatchAckMessage;
    client.ok(code, &NoHeader, &body(vec![batch(0, "0"), batch(1, "0")])).await;
    // Unknown queues and topics are passed over.
    client.ok(code, &NoHeader, &body(vec![batch(99, "0"), batch(0, "2")])).await;
    client.refused(Code::NoMessage, code, &NoHeader, &[]).await;
    client.refused(Code::NoMessage, code, &NoHeader, b"{}").await;
    client.refused(Code::SystemError, code, &NoHeader, b"[").await;
    client.refused(Code::SystemError, code, &NoHeader, &body(vec![batch(0, "9")])).await;
    let illegible = BatchAck { bits: "?".to_owned(), ..batch(0, "0") };
    client.refused(Code::SystemError, code, &NoHeader, &body(vec![illegible])).await;
    let endless = BatchAck { bits: "A".repeat(1 << 20), ..batch(0, "0") };
    client.refused(Code::SystemError, code, &NoHeader, &body(vec![endless])).await;
    kit.stop().await;
}

#[tokio::test]
async fn a_change_makes_a_new_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a"]).await;
    let popped = pop(&client, &any("T")).await.remove(0);
    let times: Vec<i64> =
        popped.receipt.split(' ').skip(1).take(1).map(|time| time.parse().unwrap()).collect();
    let changed = change(&client, &popped, 5_000).await;
    // Java quirk: the remark of a success.
    assert_eq!((changed.code(), changed.remark()), (0, Some("not set any response code")));
    assert_eq!(changed.field("invisibleTime"), Some("5000"));
    assert!(changed.field("popTime").unwrap().parse::<i64>().unwrap() > times[0]);
    let revive_queue = popped.receipt.split(' ').nth(3);
    assert_eq!(changed.field("reviveQid"), revive_queue);
    kit.stop().await;
}

#[tokio::test]
async fn successes_have_javas_remark() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a"]).await;
    let asked = NotificationRequestHeader {
        consumer_group: "g",
        topic: "T",
        queue_id: -1,
        ..NotificationRequestHeader::default()
    };
    let answer = client.ok(RequestCode::Notification, &asked, &[]).await;
    assert_eq!(answer.remark(), Some("not set any response code"));
    assert_eq!(
        (answer.field("hasMsg"), answer.field("pollingFull")),
        (Some("true"), Some("false"))
    );
    let asked = PollingInfoRequestHeader {
        consumer_group: "g".to_owned(),
        topic: "T".to_owned(),
        queue_id: -1,
    };
    let answer = client.ok(RequestCode::PollingInfo, &asked, &[]).await;
    assert_eq!(answer.remark(), Some("not set any response code"));
    assert_eq!(answer.field("pollingNum"), Some("0"));
    for code in [RequestCode::Notification, RequestCode::PollingInfo] {
        let asked = PollingInfoRequestHeader { topic: "none".to_owned(), ..asked.clone() };
        client.refused(ResponseCode::TopicNotExist, code, &asked, &[]).await;
        let asked = PollingInfoRequestHeader { topic: "T".to_owned(), queue_id: 4, ..asked };
        client.refused(ResponseCode::InvalidParameter, code, &asked, &[]).await;
    }
    kit.stop().await;
}

#[tokio::test]
async fn a_peek_leaves_messages_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &["a", "b", "c"]).await;
    let peek = |max_msg_nums| PeekMessageRequestHeader {
        topic: "T".to_owned(),
        queue_id: -1,
        max_msg_nums,
        consumer_group: "g".to_owned(),
    };
    for _ in 0..2 {
        let answer = client.ok(RequestCode::PeekMessage, &peek(32), &[]).await;
        assert_eq!(records(answer.body()).count(), 3);
        assert_eq!((answer.field("restNum"), answer.field("popTime")), (Some("3"), Some("0")));
    }
    let answer = client.ok(RequestCode::PeekMessage, &peek(1), &[]).await;
    assert_eq!((records(answer.body()).count(), answer.field("restNum")), (1, Some("3")));
    assert_eq!(pop(&client, &any("T")).await.len(), 3);
    let nothing = ResponseCode::PullNotFound;
    let answer = client.refused(nothing, RequestCode::PeekMessage, &peek(1), &[]).await;
    assert_eq!(answer.remark(), Some("NO_MESSAGE_IN_QUEUE"));
    let negative = ResponseCode::SystemError;
    client.refused(negative, RequestCode::PeekMessage, &peek(-1), &[]).await;
    kit.stop().await;
}

#[tokio::test]
async fn a_filter_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (kit, client) = start(dir.path(), &[]).await;
    for (body, properties) in [("a", "TAGS\u{1}x\u{2}"), ("b", "TAGS\u{1}y\u{2}price\u{1}7\u{2}")] {
        client.send("T", 0, body, properties).await;
    }
    let tagged = PopMessageRequestHeader { exp: Some("y || z"), exp_type: Some("TAG"), ..any("T") };
    let sql = PopMessageRequestHeader {
        consumer_group: "h",
        exp: Some("price > 5"),
        exp_type: Some("SQL92"),
        ..any("T")
    };
    for header in [tagged, sql] {
        let answer = client.ok(RequestCode::PopMessage, &header, &[]).await;
        assert_eq!(bodies(&messages(&answer)), ["b"]);
        // The check point begins where the pop looked first.
        assert_eq!(answer.field("startOffsetInfo"), Some("0 0 0"));
        assert_eq!(answer.field("msgOffsetInfo"), Some("0 0 1"));
        assert!(pop(&client, &header).await.is_empty());
    }
    kit.stop().await;
}

#[tokio::test]
async fn from_the_end_means_from_the_last_message() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.init_pop_offset_by_check_msg_in_mem = false;
    })
    .await;
    let client = kit.client();
    for body in ["a", "b", "c"] {
        client.send("T", 0, body, "").await;
    }
    let from_end = PopMessageRequestHeader { init_mode: 1, ..any("T") };
    assert_eq!(bodies(&pop(&client, &from_end).await), ["c"]);
    kit.stop().await;
}
