//! Every request code with every field at its extremes, and the numbers of sends and pulls.

use std::collections::{BTreeMap, BTreeSet};

use remoting::protocol::code::{RequestCode as Code, ResponseCode};
use remoting::protocol::encoding::Encoding;

use crate::kit::{Raw, Servers, TOPIC, pull_fields, request_in, send_fields, with};

const CODES: &str = include_str!("../../facts/request-codes.tsv");
const HEADERS: &str = include_str!("../../facts/headers.tsv");

const EXTREMES: [&str; 14] = [
    "-9223372036854775808",
    "-2147483648",
    "-1",
    "0",
    "1",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "",
    " ",
    "NaN",
    "true",
    "../evil\u{0}\u{1}\u{2}\u{fffd}",
];

/// Pulls, pops and the wait for something to pop are held; the end of a transaction that its
/// producer has not decided is not answered, as in Java.
const LATER_OR_NEVER: [i32; 5] = [11, 361, 200_050, 200_054, 37];

/// Fields of each header: name and whether it is a number.
fn headers() -> BTreeMap<&'static str, BTreeSet<(&'static str, bool)>> {
    let mut headers: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for row in HEADERS.lines().skip(1) {
        let columns: Vec<_> = row.split('\t').collect();
        let number = ["Integer", "int", "Long", "long"].contains(&columns[3]);
        headers.entry(columns[0]).or_default().insert((columns[2], number));
    }
    headers
}

/// Codes of both servers that have a header, with its fields.
fn requests() -> Vec<(i32, Vec<(&'static str, bool)>)> {
    let headers = headers();
    let rows = CODES.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.map(|columns| {
        let fields = headers.get(columns[6]).into_iter().flatten().copied().collect();
        (columns[0].parse().unwrap(), fields)
    })
    .collect()
}

/// A value that is legal where the field's name tells what it is.
fn plausible(name: &str, number: bool) -> &'static str {
    match name {
        _ if number => "1",
        "topic" => TOPIC,
        "consumerGroup" | "group" | "groupName" => "g",
        _ => "text",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_every_request_at_its_extremes() {
    let servers = Servers::start().await;
    servers.fill(5).await;
    servers.ask(Code::PullMessage, &pull_fields("g", TOPIC), b"").await;
    let requests = requests();
    assert!(requests.len() > 150);
    for address in servers.addresses() {
        for (code, fields) in &requests {
            let mut raw = Raw::connect(address).await;
            let base: Vec<(&str, &str)> =
                fields.iter().map(|&(name, number)| (name, plausible(name, number))).collect();
            let mut asked = vec![Vec::new(), base.clone()];
            for &(name, _) in fields {
                asked.extend(EXTREMES.map(|value| with(&base, name, value)));
            }
            // All numbers of a request at the same extreme.
            asked.extend(EXTREMES.map(|value| {
                let pick = |&(name, number): &(&'static str, bool)| {
                    (name, if number { value } else { plausible(name, false) })
                };
                fields.iter().map(pick).collect()
            }));
            for (n, fields) in asked.iter().enumerate() {
                let encoding = if n % 2 == 0 { Encoding::Json } else { Encoding::Rocketmq };
                raw.send(&request_in(encoding, *code, n as i32, fields, b"")).await;
            }
            raw.send(&request_in(Encoding::Json, 9_999_999, -1, &[], b"")).await;
            // Held requests are answered later, everything else now, in any order.
            let held = LATER_OR_NEVER.contains(code);
            let (mut answers, mut last) = (0, false);
            while !last || !held && answers < asked.len() + 1 {
                last |= raw.answer().await.opaque() == -1;
                answers += 1;
            }
        }
        servers.answer_others().await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_pulls_that_make_no_sense() {
    let servers = Servers::start().await;
    servers.fill(5).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let pull = pull_fields("g", TOPIC);
    for queue_id in ["-1", "-2147483648", "4", "2147483647"] {
        let fields = with(&pull, "queueId", queue_id);
        raw.refused(ResponseCode::InvalidParameter, Code::PullMessage, &fields, b"").await;
    }
    for offset in ["-1", "-9223372036854775808", "6", "9223372036854775807", "4611686018427387904"]
    {
        let fields = with(&pull, "queueOffset", offset);
        raw.refused(ResponseCode::PullOffsetMoved, Code::PullMessage, &fields, b"").await;
    }
    // As in Java, a count of nothing or less delivers one message.
    for (count, expected) in [("-1", 1), ("0", 1), ("-2147483648", 1), ("2147483647", 5)] {
        let answer =
            raw.call(Code::PullMessage.into(), &with(&pull, "maxMsgNums", count), b"").await;
        assert_eq!(answer.field("nextBeginOffset"), Some(&*expected.to_string()), "{count}");
    }
    for sys_flag in ["-1", "-2147483648", "2147483647", "8", "1024"] {
        let fields = with(&pull, "sysFlag", sys_flag);
        let answer = raw.call(Code::PullMessage.into(), &fields, b"").await;
        // Some of these bits ask for the subscription of a heartbeat that never came.
        assert!([0, 24].contains(&answer.code()), "{sys_flag}: {:?}", answer.remark());
    }
    // Held at most as long as a pull may be, not shorter than nothing.
    for millis in ["-1", "-9223372036854775808", "0"] {
        let fields = with(&with(&pull, "queueOffset", "5"), "sysFlag", "6");
        let fields = with(&fields, "suspendTimeoutMillis", millis);
        raw.refused(ResponseCode::PullNotFound, Code::PullMessage, &fields, b"").await;
    }
    let fields = with(&with(&pull, "queueOffset", "5"), "sysFlag", "6");
    let fields = with(&fields, "suspendTimeoutMillis", "9223372036854775807");
    let mut patient = Raw::connect(&servers.broker).await;
    patient.send(&request_in(Encoding::Json, Code::PullMessage.into(), 8, &fields, b"")).await;
    servers.ask(Code::SendMessage, &send_fields(TOPIC, "0"), b"x").await;
    assert_eq!(patient.answer().await.code(), 0);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_sends_and_topics_that_make_no_sense() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let send = send_fields(TOPIC, "0");
    for queue_id in ["4", "2147483647"] {
        let fields = with(&send, "queueId", queue_id);
        raw.refused(ResponseCode::InvalidParameter, Code::SendMessage, &fields, b"x").await;
    }
    for (name, value) in [
        ("queueId", "-1"),
        ("queueId", "-2147483648"),
        ("bornTimestamp", "-9223372036854775808"),
        ("bornTimestamp", "9223372036854775807"),
        ("flag", "-2147483648"),
        ("defaultTopicQueueNums", "-2147483648"),
        ("defaultTopicQueueNums", "2147483647"),
        ("reconsumeTimes", "-2147483648"),
        ("reconsumeTimes", "2147483647"),
    ] {
        let answer = raw.call(Code::SendMessage.into(), &with(&send, name, value), b"x").await;
        assert_eq!(answer.code(), 0, "{name}={value}: {:?}", answer.remark());
    }
    for properties in ["DELAY\u{1}-1\u{2}", "DELAY\u{1}2147483647\u{2}", "DELAY\u{1}x\u{2}"] {
        let fields = with(&send, "properties", properties);
        let answer = raw.call(Code::SendMessage.into(), &fields, b"x").await;
        assert!([0, 1, 13].contains(&answer.code()), "{properties}: {:?}", answer.remark());
    }
    // A topic of two thousand million queues would make every list of them a bomb.
    let create = [
        ("topic", "Wide"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "8"),
        ("writeQueueNums", "8"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    for name in ["readQueueNums", "writeQueueNums"] {
        for value in ["-1", "-2147483648", "65536", "2147483647"] {
            let fields = with(&create, name, value);
            let code = Code::UpdateAndCreateTopic;
            raw.refused(ResponseCode::InvalidParameter, code, &fields, b"").await;
        }
    }
    let group = br#"{"groupName":"wide","retryQueueNums":2147483647}"#;
    let code = Code::UpdateAndCreateSubscriptiongroup;
    raw.refused(ResponseCode::InvalidParameter, code, &[], group).await;
    servers.stop().await;
}
