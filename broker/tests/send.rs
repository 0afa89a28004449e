//! Sends: what is stored, what is answered, and every refusal of the tables.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use bytes::BytesMut;
use common::{Bench, PATIENCE, batch, bodies, code, from, messages, properties, sent, to};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, RequestHead, encode_request, frame_len};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{PullMessageRequestHeader, SendMessageRequestHeader, Short};
use remoting::protocol::message::Properties;
use remoting::protocol::message::id::OffsetMessageId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

type Header<'a> = SendMessageRequestHeader<'a>;

async fn refused(bench: &Bench, header: Header<'_>, body: &[u8]) -> ResponseCode {
    let answer = bench.send(header, body).await;
    let code = code(&answer);
    // Java quirk: every refusal says the region, but not what stands for an exception.
    let region = answer.field("MSG_REGION").is_some();
    assert!(answer.remark().is_some());
    assert_eq!(region, answer.field("TRACE_ON").is_some());
    code
}

#[tokio::test]
async fn a_topic_is_saved_before_its_first_message_is_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let file = root.path().join("config/topics.json");
    for number in 0..20 {
        let topic = format!("T{number}");
        let answer = bench.send(to(&topic), b"body").await;
        assert_eq!(code(&answer), ResponseCode::Success);
        let saved = std::fs::read_to_string(&file).unwrap();
        assert!(saved.contains(&format!("\"{topic}\"")), "{topic}");
    }
}

#[tokio::test]
async fn a_message_is_stored_with_what_the_broker_adds() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let sent_properties = properties(&[
        ("TAGS", "a"),
        ("UNIQ_KEY", "0A0B"),
        ("CLUSTER", "forged"),
        ("POP_CK", "forged"),
        ("empty", ""),
    ]);
    let header = Header { queue_id: 3, flag: 7, properties: Some(&sent_properties), ..to("T") };
    let answer = bench.send(header, b"body").await;
    assert_eq!(code(&answer), ResponseCode::Success);
    assert_eq!(answer.field("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(answer.field("TRACE_ON"), Some("true"));
    let header = sent(&answer);
    assert_eq!((header.queue_id, header.queue_offset), (3, 0));
    assert_eq!(header.transaction_id, Some("0A0B"));
    let id = OffsetMessageId::parse(header.msg_id).unwrap();
    assert_eq!(id.store_host, bench.running.address().0);

    let pull = PullMessageRequestHeader { queue_id: 3, ..from("T", 0) };
    let answer = bench.pull(pull).await;
    let found = messages(&answer);
    assert_eq!(found.len(), 1);
    let record = &found[0];
    assert_eq!((record.body, record.flag, record.topic), (&b"body"[..], 7, "T"));
    assert_eq!(record.physical_offset, id.physical_offset);
    assert_eq!(record.store_host, id.store_host);
    let stored = Properties::new(record.properties);
    assert_eq!(stored.get("TAGS"), Some("a"));
    assert_eq!(stored.get("UNIQ_KEY"), Some("0A0B"));
    assert_eq!(stored.get("CLUSTER"), Some("DefaultCluster"));
    assert_eq!(stored.get("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(stored.get("TRACE_ON"), Some("true"));
    assert!(!stored.contains("POP_CK") && !stored.contains("empty"));
    bench.stop().await;
}

#[tokio::test]
async fn all_three_codes_store() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let answer = bench.call(RequestCode::SendMessage, &to("T"), b"long names").await;
    assert_eq!(sent(&answer).queue_offset, 0);
    assert_eq!(sent(&answer).transaction_id.map(str::len), Some(32));
    let answer = bench.call(RequestCode::SendMessageV2, &Short(to("T")), b"short names").await;
    assert_eq!(sent(&answer).queue_offset, 1);
    // Whether it is a batch says the header, not the code.
    let answer = bench.call(RequestCode::SendBatchMessage, &Short(to("T")), b"no batch").await;
    assert_eq!(sent(&answer).queue_offset, 2);
    let pulled = bench.pull(from("T", 0)).await;
    assert_eq!(bodies(&pulled), ["long names", "short names", "no batch"]);
    bench.stop().await;
}

#[tokio::test]
async fn a_batch_becomes_one_record_per_message() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let (a, b) = (properties(&[("UNIQ_KEY", "A")]), properties(&[("UNIQ_KEY", "B")]));
    let body = batch(&[(&a, b"1"), (&b, b"2"), ("", b"3")]);
    bench.put("T", 0, "", b"0").await;
    let header = Header { batch: true, properties: Some("WAIT\u{1}true\u{2}"), ..to("T") };
    let answer = bench.call(RequestCode::SendBatchMessage, &Short(header), &body).await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(sent(&answer).queue_offset, 1);
    let ids: Vec<_> = sent(&answer).msg_id.split(',').collect();
    assert_eq!(ids.len(), 3);

    let answer = bench.pull(from("T", 1)).await;
    let found = messages(&answer);
    assert_eq!(bodies(&answer), ["1", "2", "3"]);
    for (at, record) in found.iter().enumerate() {
        assert_eq!(record.queue_offset, 1 + at as i64);
        let id = OffsetMessageId::parse(ids[at]).unwrap();
        assert_eq!(record.physical_offset, id.physical_offset);
        let stored = Properties::new(record.properties);
        assert_eq!(stored.get("CLUSTER"), Some("DefaultCluster"));
        assert_eq!(stored.get("UNIQ_KEY"), [Some("A"), Some("B"), None][at]);
    }
    bench.stop().await;
}

#[tokio::test]
async fn refusals_have_javas_codes() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"x").await;
    let long = "x".repeat(128);
    let cases = [
        (to("../x"), ResponseCode::InvalidParameter),
        (to(" "), ResponseCode::InvalidParameter),
        (to(&long), ResponseCode::InvalidParameter),
        (to("SCHEDULE_TOPIC_XXXX"), ResponseCode::NoPermission),
        (to("TRANS_CHECK_MAX_TIME_TOPIC"), ResponseCode::NoPermission),
        (Header { default_topic: "none", ..to("New") }, ResponseCode::TopicNotExist),
        (Header { queue_id: 4, ..to("T") }, ResponseCode::InvalidParameter),
        (Header { properties: Some("DELAY\u{1}x\u{2}"), ..to("T") }, ResponseCode::SystemError),
        (
            Header { properties: Some("TIMER_DELAY_SEC\u{1}x\u{2}"), ..to("T") },
            ResponseCode::MessageIllegal,
        ),
        (Header { batch: true, ..to("T") }, ResponseCode::SystemError),
        (Header { batch: true, ..to("%RETRY%cg") }, ResponseCode::MessageIllegal),
        (to("%RETRY%no such group"), ResponseCode::InvalidParameter),
    ];
    for (header, expected) in cases {
        let topic = header.topic.to_owned();
        assert_eq!(refused(&bench, header, b"x").await, expected, "{topic}");
    }
    let delayed = properties(&[("DELAY", "3")]);
    let header = Header { batch: true, properties: Some(&delayed), ..to("T") };
    assert_eq!(refused(&bench, header, &batch(&[("", b"1")])).await, ResponseCode::MessageIllegal);
    let large = vec![0; (4 << 20) + 1];
    assert_eq!(refused(&bench, to("T"), &large).await, ResponseCode::MessageIllegal);
    let wide = properties(&[("p", &"v".repeat(32_700))]);
    let header = Header { properties: Some(&wide), ..to("T") };
    assert_eq!(refused(&bench, header, b"x").await, ResponseCode::MessageIllegal);
    // Only the first message came through.
    assert_eq!(bodies(&bench.pull(from("T", 0)).await), ["x"]);
    bench.stop().await;
}

#[tokio::test]
async fn an_exception_has_no_fields() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for (header, body) in [
        (to("../x"), &b""[..]),
        (Header { properties: Some("DELAY\u{1}x\u{2}"), ..to("T") }, b"x"),
        (Header { batch: true, ..to("T") }, b"no batch"),
    ] {
        let answer = bench.send(header, body).await;
        assert_eq!(code(&answer), ResponseCode::SystemError);
        assert_eq!(answer.fields().count(), 0);
    }
    bench.stop().await;
}

#[tokio::test]
async fn topics_are_created_as_the_settings_permit() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), "autoCreateTopicEnable=false").await;
    let answer = bench.send(to("T"), b"x").await;
    assert_eq!(code(&answer), ResponseCode::TopicNotExist);
    assert_eq!(answer.remark(), Some("topic[T] not exist, apply first please!"));
    bench.stop().await;

    let bench = Bench::start(root.path()).await;
    bench.put("T", 3, "", b"x").await;
    let header = Header { queue_id: 4, ..to("T") };
    assert_eq!(refused(&bench, header, b"x").await, ResponseCode::InvalidParameter);
    bench.stop().await;
    // The topic and its message are there after a restart.
    let bench = Bench::with(root.path(), "autoCreateTopicEnable=false").await;
    assert_eq!(bench.put("T", 3, "", b"y").await, 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_negative_queue_lets_the_broker_choose() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let mut used = [false; 4];
    for _ in 0..8 {
        let answer = bench.send(Header { queue_id: -1, ..to("T") }, b"x").await;
        used[usize::try_from(sent(&answer).queue_id).unwrap()] = true;
    }
    assert_eq!(used, [true; 4]);
    bench.stop().await;
}

#[tokio::test]
async fn a_delayed_message_is_parked_and_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), "messageDelayLevel=1s 1h").await;
    let delayed = properties(&[("DELAY", "1"), ("TIMER_DELAY_SEC", "9")]);
    let header = Header { queue_id: 2, properties: Some(&delayed), ..to("T") };
    let answer = bench.send(header, b"late").await;
    assert_eq!(code(&answer), ResponseCode::Success, "{:?}", answer.remark());
    assert_eq!(sent(&answer).queue_id, 2);
    let pull = PullMessageRequestHeader {
        queue_id: 2,
        sys_flag: 6,
        suspend_timeout_millis: 9_000,
        ..from("T", 0)
    };
    let answer = bench.pull(pull).await;
    assert_eq!(bodies(&answer), ["late"]);
    let found = messages(&answer);
    let stored = Properties::new(found[0].properties);
    assert_eq!(stored.get("REAL_TOPIC"), Some("T"));
    assert_eq!(stored.get("REAL_QID"), Some("2"));
    assert!(!stored.contains("TIMER_DELAY_SEC"));
    bench.stop().await;
}

#[tokio::test]
async fn a_retry_tried_too_often_is_a_dead_letter() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let delayed = properties(&[("DELAY", "5")]);
    let retry = |times, limit| Header {
        reconsume_times: Some(times),
        max_reconsume_times: Some(limit),
        properties: (times > limit).then_some(&delayed),
        ..to("%RETRY%cg")
    };
    assert_eq!(code(&bench.send(retry(3, 3), b"again").await), ResponseCode::Success);
    assert_eq!(code(&bench.send(retry(4, 3), b"dead").await), ResponseCode::Success);
    assert_eq!(bodies(&bench.pull(from("%RETRY%cg", 0)).await), ["again"]);
    let dead = bench.pull(from("%DLQ%cg", 0)).await;
    assert_eq!(bodies(&dead), ["dead"]);
    assert_eq!(Properties::new(messages(&dead)[0].properties).get("DELAY"), Some("-1"));
    bench.stop().await;
}

#[tokio::test]
async fn an_acknowledged_message_is_on_disk_with_synchronous_flush() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), "flushDiskType=SYNC_FLUSH").await;
    let sends = (0..16).map(|_| bench.put("T", 0, "", b"x"));
    let mut offsets = futures_util::future::join_all(sends).await;
    offsets.sort_unstable();
    assert_eq!(offsets, (0..16).collect::<Vec<i64>>());
    assert_eq!(bench.put("T", 0, "WAIT\u{1}false\u{2}", b"x").await, 16);
    bench.stop().await;
}

#[tokio::test]
async fn a_oneway_send_is_stored_and_not_answered() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let address = bench.address().to_owned();
    let header = Short(to("T"));
    let sent = bench.client.oneway(&address, RequestCode::SendMessageV2, &header, &[], b"x").await;
    sent.unwrap();
    // The next request of the same connection is handled after it.
    assert_eq!(bench.put("T", 0, "", b"y").await, 1);
    bench.stop().await;
}

/// Sends everything with one write; the answers by opaque, which is the place in `requests`.
async fn together(address: &str, requests: &[BytesMut]) -> Vec<Frame> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&requests.concat()).await.unwrap();
    let mut answers: Vec<Option<Frame>> = requests.iter().map(|_| None).collect();
    let mut input = BytesMut::new();
    while answers.iter().any(Option::is_none) {
        match frame_len(&input).unwrap() {
            Some(len) if len <= input.len() => {
                let frame = Frame::decode(input.split_to(len)).unwrap();
                let place = frame.tag().opaque as usize;
                assert!(answers[place].replace(frame).is_none(), "a second answer to {place}");
            }
            _ => {
                let read = timeout(PATIENCE, stream.read_buf(&mut input)).await.unwrap().unwrap();
                assert!(read > 0, "the connection ends early");
            }
        }
    }
    answers.into_iter().flatten().collect()
}

#[tokio::test]
async fn sends_that_came_together_are_answered_one_by_one() {
    let metrics = "metricsExporterType=PROM\nmetricsPromExporterHost=127.0.0.1\n\
        metricsPromExporterPort=0\n";
    let flushed = "flushDiskType=SYNC_FLUSH\n";
    for settings in ["", flushed, metrics, &format!("{flushed}{metrics}")] {
        let root = tempfile::tempdir().unwrap();
        let bench = Bench::with(root.path(), settings).await;
        bench.put("T", 0, "", b"first").await;
        let delayed = properties(&[("DELAY", "1")]);
        let requests: Vec<BytesMut> = (0..100)
            .map(|place| {
                let (queue_id, properties, body) = match place % 10 {
                    3 => (0, None, String::new()),
                    5 => (0, Some(delayed.as_str()), "later".to_owned()),
                    7 => (99, None, "nowhere".to_owned()),
                    _ => (place % 2, None, format!("body {place}")),
                };
                let header = SendMessageRequestHeader { queue_id, properties, ..to("T") };
                let code = RequestCode::SendMessageV2.into();
                let head =
                    RequestHead { code, opaque: place, oneway: false, encoding: Encoding::Json };
                let mut out = BytesMut::new();
                encode_request(&mut out, head, &Short(header), &[], body.as_bytes()).unwrap();
                out
            })
            .collect();
        let answers = together(bench.address(), &requests).await;
        let mut stored = [vec!["first".to_owned()], Vec::new()];
        for (place, answer) in answers.iter().enumerate() {
            let expected = match place % 10 {
                3 => ResponseCode::SystemError,
                7 => ResponseCode::InvalidParameter,
                _ => ResponseCode::Success,
            };
            assert_eq!(code(answer), expected, "{place}: {:?}", answer.remark());
            if expected == ResponseCode::Success && place % 10 != 5 {
                let queue = &mut stored[place % 2];
                assert_eq!(sent(answer).queue_offset, queue.len() as i64, "{place}");
                queue.push(format!("body {place}"));
            }
        }
        for (queue_id, expected) in (0..).zip(&stored) {
            let mut got = Vec::new();
            while got.len() < expected.len() {
                let header = PullMessageRequestHeader { queue_id, ..from("T", got.len() as i64) };
                let answer = bench.pull(header).await;
                assert_eq!(code(&answer), ResponseCode::Success);
                got.extend(bodies(&answer));
            }
            assert_eq!(&got, expected, "queue {queue_id}");
        }
        bench.stop().await;
    }
}
