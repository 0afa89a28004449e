//! Kinds of messages and topics: batches in one record, light queues, message types, order, trace.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;
#[path = "common/name_server.rs"]
mod name_server;

use std::os::unix::fs::FileExt;
use std::time::Duration;

use common::{
    Bench, PATIENCE, batch, bodies, code, from, messages, new_topic, properties, pulled, sent, to,
};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::body::{Body, TopicConfig};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    CreateTopicRequestHeader, GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader,
    GetTopicConfigRequestHeader, PullMessageRequestHeader, PutKVConfigRequestHeader,
    QueryConsumerOffsetRequestHeader, QueryMessageRequestHeader, SearchOffsetRequestHeader,
    SendMessageRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::sys_flag::{INNER_BATCH, MULTI_TAGS, NEED_UNWRAP};

type Header<'a> = SendMessageRequestHeader<'a>;

async fn create(bench: &Bench, topic: &str, filter_type: &str, attributes: &str) -> Frame {
    let header = CreateTopicRequestHeader {
        topic_filter_type: filter_type.to_owned(),
        attributes: Some(attributes.to_owned()),
        ..new_topic(topic, 2)
    };
    bench.call(RequestCode::UpdateAndCreateTopic, &header, &[]).await
}

async fn created(bench: &Bench, topic: &str, filter_type: &str, attributes: &str) {
    let answer = create(bench, topic, filter_type, attributes).await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
}

async fn bounds(bench: &Bench, topic: &str) -> (String, String) {
    let topic = topic.to_owned();
    let min = GetMinOffsetRequestHeader { topic: topic.clone(), ..Default::default() };
    let min = bench.call(RequestCode::GetMinOffset, &min, &[]).await;
    let max = GetMaxOffsetRequestHeader { topic, ..Default::default() };
    let max = bench.call(RequestCode::GetMaxOffset, &max, &[]).await;
    let offset = |answer: &Frame| answer.field("offset").unwrap().to_owned();
    (offset(&min), offset(&max))
}

fn keyed<'a>(topic: &'a str, properties: &'a str) -> Header<'a> {
    Header { batch: true, properties: Some(properties), ..to(topic) }
}

#[tokio::test]
async fn a_batch_of_a_batch_topic_is_one_record() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    created(&bench, "B", "SINGLE_TAG", "+queue.type=BatchCQ").await;
    let held =
        PullMessageRequestHeader { sys_flag: 6, suspend_timeout_millis: 15_000, ..from("B", 0) };
    let shell = properties(&[("UNIQ_KEY", "SHELL"), ("WAIT", "true"), ("INNER_BASE", "99")]);
    let body = batch(&[("UNIQ_KEY\u{1}A\u{2}", b"1"), ("TAGS\u{1}t\u{2}", b"2"), ("", b"3")]);
    // Whether the pull or the batch comes first, the pull gets it.
    let (found, answer) = tokio::join!(bench.pull(held), bench.send(keyed("B", &shell), &body));
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(sent(&answer).batch_uniq_id, Some("SHELL"));
    assert_eq!(sent(&answer).transaction_id, Some("SHELL"));
    assert_eq!((sent(&answer).msg_id.len(), sent(&answer).queue_offset), (32, 0));
    assert_eq!((messages(&found).len(), pulled(&found).next_begin_offset), (1, 3));

    // The next one counts on from the messages, single or not.
    assert_eq!(bench.put("B", 0, "", b"single").await, 3);
    let answer = bench.send(keyed("B", &shell), &body).await;
    assert_eq!(sent(&answer).queue_offset, 4);
    assert_eq!(bounds(&bench, "B").await, ("0".to_owned(), "7".to_owned()));

    let found = bench.pull(from("B", 5)).await;
    assert_eq!((pulled(&found).next_begin_offset, pulled(&found).max_offset), (7, 7));
    let records = messages(&found);
    let record = &records[0];
    assert_eq!((records.len(), record.queue_offset), (1, 4));
    assert_eq!(record.sys_flag & (INNER_BATCH | NEED_UNWRAP), INNER_BATCH | NEED_UNWRAP);
    let stored = record.properties();
    assert_eq!((stored.get("INNER_NUM"), stored.get("INNER_BASE")), (Some("3"), Some("4")));
    assert_eq!(stored.get("CLUSTER"), Some("DefaultCluster"));
    assert_eq!((stored.get("UNIQ_KEY"), stored.get("WAIT")), (Some("SHELL"), Some("true")));
    let inner: Vec<_> = BatchMessages::new(record.body).map(Result::unwrap).collect();
    assert_eq!(inner.iter().map(|message| message.body).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert_eq!(inner[0].properties, "UNIQ_KEY\u{1}A\u{2}", "as the sender wrote them");

    let asked = SearchOffsetRequestHeader {
        topic: "B".to_owned(),
        timestamp: record.store_timestamp + 1_000,
        ..SearchOffsetRequestHeader::default()
    };
    let answer = bench.call(RequestCode::SearchOffsetByTimestamp, &asked, &[]).await;
    assert_eq!(answer.field("offset"), Some("4"), "the last batch");
    bench.stop().await;
}

#[tokio::test]
async fn a_batch_without_a_key_becomes_single_records() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    created(&bench, "B", "SINGLE_TAG", "+queue.type=BatchCQ").await;
    let body = batch(&[("", b"1"), ("", b"2")]);
    let answer = bench.send(keyed("B", ""), &body).await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(sent(&answer).batch_uniq_id, None);
    assert_eq!(sent(&answer).msg_id.split(',').count(), 2);
    let found = bench.pull(from("B", 0)).await;
    assert_eq!(bodies(&found), ["1", "2"]);
    assert_eq!(messages(&found)[1].sys_flag & INNER_BATCH, 0);
    assert_eq!(bounds(&bench, "B").await.1, "2");
    bench.stop().await;
}

#[tokio::test]
async fn nobody_stores_a_batch_that_lies_about_itself() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    created(&bench, "B", "SINGLE_TAG", "+queue.type=BatchCQ").await;
    bench.put("T", 0, "", b"x").await;
    let shell = properties(&[("UNIQ_KEY", "SHELL")]);
    let delayed = properties(&[("UNIQ_KEY", "SHELL"), ("DELAY", "3")]);
    let timed = properties(&[("UNIQ_KEY", "SHELL"), ("TIMER_DELAY_SEC", "9")]);
    let numbered = properties(&[("UNIQ_KEY", "SHELL"), ("INNER_NUM", "2")]);
    let absurd = properties(&[("INNER_NUM", "32767")]);
    let none = properties(&[("INNER_NUM", "-1")]);
    let two = batch(&[("", b"1"), ("", b"2")]);
    let many = batch(&vec![("", &b""[..]); 32_768]);
    let flagged =
        |header: Header<'static>| Header { sys_flag: INNER_BATCH | NEED_UNWRAP, ..header };
    let single = |topic, properties| Header { properties: Some(properties), ..to(topic) };
    let illegal = ResponseCode::MessageIllegal;
    let cases: [(Header<'_>, &[u8], ResponseCode); 11] = [
        (keyed("B", &shell), b"no batch", ResponseCode::SystemError),
        (keyed("B", &shell), &many, ResponseCode::SystemError),
        (keyed("B", &delayed), &two, illegal),
        (keyed("B", &timed), &two, illegal),
        (keyed("B", &numbered), &two, illegal),
        (keyed("T", &numbered), &two, illegal),
        (Header { properties: Some(&absurd), ..flagged(to("B")) }, &two, illegal),
        (Header { properties: Some(&none), ..flagged(to("B")) }, &two, illegal),
        (flagged(to("B")), b"x", illegal),
        (Header { batch: true, ..flagged(to("T")) }, &two, illegal),
        (single("T", &absurd), b"x", illegal),
    ];
    for (at, (header, body, expected)) in cases.into_iter().enumerate() {
        let answer = bench.send(header, body).await;
        assert_eq!(code(&answer), expected, "{at}: {:?}", answer.remark());
    }
    assert_eq!(bounds(&bench, "B").await.1, "0");
    assert_eq!(bounds(&bench, "T").await.1, "1");
    // One that tells the truth may be sent ready-made.
    let honest = properties(&[("INNER_NUM", "2")]);
    let answer = bench.send(Header { properties: Some(&honest), ..flagged(to("B")) }, &two).await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(bounds(&bench, "B").await.1, "2");
    bench.stop().await;
}

const LIGHT: &str = "enableLmq=true\nenableMultiDispatch=true\n";

#[tokio::test]
async fn light_queues_are_pulled_like_topics() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), LIGHT).await;
    let names = properties(&[("INNER_MULTI_DISPATCH", "%LMQ%a,%LMQ%b"), ("TAGS", "t")]);
    let held = PullMessageRequestHeader {
        consumer_group: "%LMQ%g",
        sys_flag: 6,
        suspend_timeout_millis: 15_000,
        ..from("%LMQ%a", 0)
    };
    let (found, _) = tokio::join!(bench.pull(held), bench.put("T", 3, &names, b"1"));
    assert_eq!(bodies(&found), ["1"]);
    let record = &messages(&found)[0];
    assert_eq!((record.topic, record.queue_id), ("T", 3));
    assert_eq!(record.properties().get("INNER_MULTI_QUEUE_OFFSET"), Some("0,0"));
    bench.put("T", 0, &names, b"2").await;
    bench.put("T", 0, "", b"3").await;
    assert_eq!(bodies(&bench.pull(from("%LMQ%b", 1)).await), ["2"]);
    assert_eq!(bounds(&bench, "%LMQ%a").await, ("0".to_owned(), "2".to_owned()));
    // Nobody makes such a topic or such a group.
    created(&bench, "%LMQ%a", "SINGLE_TAG", "").await;
    let answer = bench.pull(PullMessageRequestHeader { queue_id: 1, ..from("%LMQ%a", 0) }).await;
    assert_eq!(code(&answer), ResponseCode::InvalidParameter);
    assert_eq!(bench.put("%LMQ%b", 0, "", b"straight").await, 2);

    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: "%LMQ%g",
        topic: "%LMQ%a",
        queue_id: Some(0),
        commit_offset: Some(2),
    };
    bench.call(RequestCode::UpdateConsumerOffset, &commit, &[]).await;
    bench.stop().await;
    assert!(!root.path().join("config/consumerOffset.json").exists());

    let bench = Bench::with(root.path(), LIGHT).await;
    let query = QueryConsumerOffsetRequestHeader {
        consumer_group: "%LMQ%g",
        topic: "%LMQ%a",
        ..QueryConsumerOffsetRequestHeader::default()
    };
    let answer = bench.call(RequestCode::QueryConsumerOffset, &query, &[]).await;
    assert_eq!(answer.field("offset"), Some("2"));
    assert_eq!(bodies(&bench.pull(from("%LMQ%b", 0)).await), ["1", "2", "straight"]);
    // An administrator's cleaning does not take them for leftovers.
    bench.call(RequestCode::CleanUnusedTopic, &remoting::protocol::header::NoHeader, &[]).await;
    assert_eq!(bounds(&bench, "%LMQ%a").await.1, "2");
    bench.stop().await;

    // Without light queues the name is that of any unknown topic.
    let bench = Bench::start(root.path()).await;
    let answer = bench.pull(from("%LMQ%a", 0)).await;
    assert_eq!(code(&answer), ResponseCode::TopicNotExist);
    bench.put("T", 0, &names, b"4").await;
    assert_eq!(bounds(&bench, "%LMQ%a").await.1, "2");
    bench.stop().await;
}

#[tokio::test]
async fn light_queues_have_limits() {
    let root = tempfile::tempdir().unwrap();
    let settings = format!("{LIGHT}maxLmqConsumeQueueNum=1\n");
    let bench = Bench::with(root.path(), &settings).await;
    let send = |names: &str| properties(&[("INNER_MULTI_DISPATCH", names)]);
    bench.put("T", 0, &send("%LMQ%a,%LMQ%/../../b,other"), b"1").await;
    let names = send("%LMQ%a,%LMQ%c");
    let answer = bench.send(Header { properties: Some(&names), ..to("T") }, b"2").await;
    assert_eq!(code(&answer), ResponseCode::SystemError);
    assert!(answer.remark().unwrap().starts_with("[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]"));
    let names = send(&format!("%LMQ%{}", "x".repeat(300)));
    let answer = bench.send(Header { properties: Some(&names), ..to("T") }, b"2").await;
    assert_eq!(code(&answer), ResponseCode::MessageIllegal);
    assert_eq!(bounds(&bench, "%LMQ%a").await.1, "1");
    assert_eq!(bounds(&bench, "T").await.1, "1");
    bench.stop().await;
}

#[tokio::test]
async fn a_topic_of_one_type_takes_every_message() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let kinds = ["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION"];
    for kind in kinds {
        created(&bench, kind, "SINGLE_TAG", &format!("+message.type={kind}")).await;
        // Java quirk: the type is there for proxies, a broker checks no message against it.
        let ordered = properties(&[("__SHARDINGKEY", "k"), ("TAGS", "a || b")]);
        assert_eq!(bench.put(kind, 0, &ordered, b"ordered").await, 0);
        assert_eq!(bench.put(kind, 0, "", b"plain").await, 1);
        let found = bench.pull(from(kind, 0)).await;
        assert_eq!(messages(&found)[0].properties().get("__SHARDINGKEY"), Some("k"));
    }
    let answer = create(&bench, "M", "SINGLE_TAG", "+message.type=MIXED").await;
    assert_eq!(code(&answer), ResponseCode::InvalidParameter);
    let answer = create(&bench, "M", "SINGLE_TAG", "+message.type=normal").await;
    assert_eq!(code(&answer), ResponseCode::SystemError);
    bench.stop().await;
    let bench = Bench::with(root.path(), "enableMixedMessageType=true").await;
    created(&bench, "M", "SINGLE_TAG", "+message.type=MIXED").await;
    bench.stop().await;
}

#[tokio::test]
async fn messages_of_a_multi_tag_topic_say_so() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    created(&bench, "M", "MULTI_TAG", "").await;
    bench.put("M", 0, "TAGS\u{1}a || b\u{2}", b"1").await;
    let answer = bench.send(Header { batch: true, ..to("M") }, &batch(&[("", b"2")])).await;
    assert_eq!(code(&answer), ResponseCode::Success);
    bench.put("T", 0, "", b"3").await;
    let flags = |frame: &Frame| -> Vec<i32> {
        messages(frame).iter().map(|record| record.sys_flag & MULTI_TAGS).collect()
    };
    assert_eq!(flags(&bench.pull(from("M", 0)).await), [MULTI_TAGS, MULTI_TAGS]);
    assert_eq!(flags(&bench.pull(from("T", 0)).await), [0]);
    bench.stop().await;
}

#[tokio::test]
async fn traces_are_switched_kept_and_found() {
    let root = tempfile::tempdir().unwrap();
    let settings = "traceOn=false\ntraceTopicEnable=true\nmsgTraceTopicName=Traces\n\
                    autoCreateTopicEnable=false\nregionId=Here\n";
    let bench = Bench::with(root.path(), settings).await;
    // Both topics of traces: the broker's own, and the one of clients that name none.
    let keys = properties(&[("KEYS", "0A0B key-1"), ("UNIQ_KEY", "0C0D")]);
    let answer = bench.send(Header { properties: Some(&keys), ..to("Traces") }, b"trace").await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(
        (answer.field("TRACE_ON"), answer.field("MSG_REGION")),
        (Some("false"), Some("Here"))
    );
    let found = bench.pull(from("Traces", 0)).await;
    let record = &messages(&found)[0];
    assert_eq!(record.properties().get("TRACE_ON"), Some("false"));
    assert_eq!(record.properties().get("MSG_REGION"), Some("Here"));
    let answer = bench.send(to("RMQ_SYS_TRACE_TOPIC"), b"trace").await;
    assert_eq!(code(&answer), ResponseCode::TopicNotExist);
    assert_eq!(answer.field("TRACE_ON"), Some("false"));
    for key in ["0A0B", "key-1"] {
        let query = QueryMessageRequestHeader {
            topic: "Traces".to_owned(),
            key: key.to_owned(),
            max_num: 32,
            end_timestamp: i64::MAX,
            ..QueryMessageRequestHeader::default()
        };
        let found = bench.call(RequestCode::QueryMessage, &query, &[]).await;
        assert_eq!(bodies(&found), ["trace"], "{key}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn the_name_server_says_which_topics_are_kept_in_order() {
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (name_server, services) = name_server::start(roots[0].path(), 0);
    let address = name_server.to_string();
    let client = Client::new(ClientOptions::default());
    let order = PutKVConfigRequestHeader {
        namespace: "ORDER_TOPIC_CONFIG".to_owned(),
        key: "T".to_owned(),
        value: "b:2".to_owned(),
    };
    let code_ = RequestCode::PutKvConfig;
    let answer = client.call(&address, code_, &order, &[], &[], PATIENCE).await.unwrap();
    assert_eq!(code(&answer), ResponseCode::Success);

    let bench = Bench::with(roots[1].path(), &format!("namesrvAddr={address}")).await;
    bench.put("T", 0, "", b"x").await;
    bench.put("U", 0, "", b"x").await;
    let ordered = async |topic: &str| {
        let header = GetTopicConfigRequestHeader { topic: topic.to_owned() };
        let answer = bench.call(RequestCode::GetTopicConfig, &header, &[]).await;
        TopicConfig::decode(answer.body()).unwrap().order
    };
    let told = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !ordered("T").await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(!ordered("U").await);
    bench.stop().await;

    // Its order matters more than its acceptance: 16 where another topic goes on.
    let settings = format!("namesrvAddr={address}\nbrokerPermission=4");
    let bench = Bench::with(roots[1].path(), &settings).await;
    assert_eq!(code(&bench.send(to("T"), b"x").await), ResponseCode::NoPermission);
    assert_eq!(code(&bench.send(to("U"), b"x").await), ResponseCode::Success);
    bench.stop().await;
    client.close();
    services.stop(PATIENCE).await;
}

/// Where the store time of a record stands in it.
const STORE_TIME: u64 = 56;

#[tokio::test]
async fn a_topic_keeps_its_messages_for_its_own_time() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    created(&bench, "Short", "SINGLE_TAG", "+reserve.time=1").await;
    created(&bench, "Plain", "SINGLE_TAG", "").await;
    let mut places = Vec::new();
    for topic in ["Short", "Plain", "Short"] {
        bench.put(topic, 0, "", b"x").await;
        let pulled = bench.pull(from(topic, 0)).await;
        places.extend(messages(&pulled).last().map(|record| record.physical_offset));
    }
    bench.stop().await;
    // The first two were stored two hours ago.
    let log = root.path().join("commitlog/00000000000000000000");
    let log = std::fs::File::options().write(true).open(log).unwrap();
    let time = runtime::clock::now_ms() - 2 * 3_600_000;
    for place in &places[..2] {
        log.write_all_at(&time.to_be_bytes(), place.unsigned_abs() + STORE_TIME).unwrap();
    }
    let bench = Bench::start(root.path()).await;
    assert_eq!(bounds(&bench, "Short").await, ("1".to_owned(), "2".to_owned()));
    assert_eq!(bounds(&bench, "Plain").await, ("0".to_owned(), "1".to_owned()));
    let moved = bench.pull(from("Short", 0)).await;
    assert_eq!(code(&moved), ResponseCode::PullOffsetMoved);
    assert_eq!(pulled(&moved).next_begin_offset, 1);
    let refused = create(&bench, "Short", "SINGLE_TAG", "+reserve.time=-2").await;
    assert_eq!(refused.remark(), Some("value is not in range(-1, 9223372036854775807)"));
    bench.stop().await;
}

#[tokio::test]
async fn a_queue_that_a_group_has_an_offset_in_outlives_the_cleaning() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for topic in ["Kept", "Gone"] {
        bench.put(topic, 0, "", b"x").await;
    }
    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: "g",
        topic: "Kept",
        queue_id: Some(0),
        commit_offset: Some(1),
    };
    let none = remoting::protocol::header::NoHeader;
    let group = br#"{"groupName":"g"}"#;
    let made = bench.call(RequestCode::UpdateAndCreateSubscriptiongroup, &none, group).await;
    let committed = bench.call(RequestCode::UpdateConsumerOffset, &commit, &[]).await;
    assert_eq!([code(&made), code(&committed)], [ResponseCode::Success; 2]);
    for _ in 0..12 {
        bench.put("filler", 0, "", &[b'f'; 100_000]).await;
    }
    let log = root.path().join("commitlog/00000000000000000000");
    let log = std::fs::File::options().write(true).open(log).unwrap();
    log.set_modified(std::time::UNIX_EPOCH).unwrap();
    for request in [RequestCode::DeleteExpiredCommitlog, RequestCode::CleanExpiredConsumequeue] {
        assert_eq!(code(&bench.call(request, &none, &[]).await), ResponseCode::Success);
    }
    assert_eq!(bounds(&bench, "Kept").await, ("1".to_owned(), "1".to_owned()));
    assert_eq!(bounds(&bench, "Gone").await, ("0".to_owned(), "0".to_owned()));
    bench.stop().await;
}
