//! Pops and acknowledgements by clients that made up their receipts, or have them from elsewhere.

use remoting::protocol::code::{RequestCode as Code, ResponseCode};
use remoting::protocol::message::Properties;
use remoting::protocol::message::record::Record;

use crate::kit::{Raw, Servers, TOPIC, with};

/// Queue, offset and receipt as 200051 and 200053 have them.
fn ack<'a>(queue_id: &'a str, offset: &'a str, receipt: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("consumerGroup", "g"),
        ("topic", TOPIC),
        ("queueId", queue_id),
        ("offset", offset),
        ("extraInfo", receipt),
        ("invisibleTime", "10000"),
    ]
}

/// Fields of a pop of queue 0 that waits for nothing.
fn pop_fields(invisible_time: &str) -> Vec<(&str, &str)> {
    vec![
        ("consumerGroup", "g"),
        ("topic", TOPIC),
        ("queueId", "0"),
        ("maxMsgNums", "1"),
        ("invisibleTime", invisible_time),
        ("pollTime", "0"),
        ("bornTime", "0"),
        ("initMode", "0"),
        ("exp", "*"),
        ("expType", "TAG"),
        ("order", "false"),
    ]
}

/// Pops one message of queue 0 and returns its receipt.
async fn pop(raw: &mut Raw) -> String {
    let answer = raw.call(Code::PopMessage.into(), &pop_fields("60000"), b"").await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    let record = Record::decode(answer.body()).unwrap();
    match Properties::new(record.properties).get("POP_CK") {
        Some(receipt) => receipt.to_owned(),
        None => {
            let field = |name| answer.field(name).unwrap();
            let (time, hidden, queue) =
                (field("popTime"), field("invisibleTime"), field("reviveQid"));
            let offset = record.queue_offset;
            format!("{offset} {time} {hidden} {queue} 0 DefaultBroker 0 {offset}")
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_cannot_be_read() {
    let servers = Servers::start().await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let good = pop(&mut raw).await;
    let long = "9 ".repeat(500_000);
    let items: Vec<&str> = good.split(' ').collect();
    let mut bad: Vec<String> =
        ["", " ", "x", "0", "0 1 2", "0 1 2 3 4", "\0", "a b c d e f g h", &long]
            .map(str::to_owned)
            .to_vec();
    // Each number of a good one replaced by what is none, or leads out of every bound.
    for at in [0, 1, 2, 3] {
        for value in ["x", "", "1.5", "9223372036854775808", "-9223372036854775809"] {
            let mut changed = items.clone();
            changed[at] = value;
            bad.push(changed.join(" "));
        }
    }
    for (at, value) in [
        (1, "9223372036854775807"),
        (2, "9223372036854775807"),
        (3, "-1"),
        (3, "8"),
        (3, "998"),
        (3, "2147483647"),
        (3, "2147483648"),
    ] {
        let mut changed = items.clone();
        changed[at] = value;
        bad.push(changed.join(" "));
    }
    let before = servers.state().await;
    for receipt in &bad {
        for code in [Code::AckMessage, Code::ChangeMessageInvisibletime] {
            let answer = raw.call(code.into(), &ack("0", "0", receipt), b"").await;
            let shown = receipt.get(..80).unwrap_or(receipt);
            assert_ne!(answer.code(), 0, "{code:?} {shown:?}");
            assert!(answer.remark().is_some_and(|remark| !remark.is_empty()), "{shown:?}");
        }
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_for_messages_that_are_not_there() {
    let servers = Servers::start().await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let good = pop(&mut raw).await;
    let before = servers.state().await;
    for code in [Code::AckMessage, Code::ChangeMessageInvisibletime] {
        for offset in ["-1", "-9223372036854775808", "4", "9223372036854775807"] {
            raw.refused(ResponseCode::NoMessage, code, &ack("0", offset, &good), b"").await;
        }
        for queue_id in ["-1", "4", "-2147483648", "2147483647"] {
            let fields = ack(queue_id, "0", &good);
            raw.refused(ResponseCode::MessageIllegal, code, &fields, b"").await;
        }
        for topic in ["absent", "../evil", "%RETRY%g_absent", ""] {
            let fields = with(&ack("0", "0", &good), "topic", topic);
            let answer = raw.call(code.into(), &fields, b"").await;
            let refusals = [ResponseCode::TopicNotExist, ResponseCode::SystemError];
            assert!(refusals.map(i32::from).contains(&answer.code()), "{topic}");
        }
    }
    for body in
        ["", "{}", "[]", "null", "{\"acks\":[]}", "{\"acks\":[{}]}", "{\"acks\":[{\"b\":\"?\"}]}"]
    {
        raw.call(Code::BatchAckMessage.into(), &[], body.as_bytes()).await;
        servers.answer_others().await;
    }
    // More bits than any pop has messages.
    let bits = "/".repeat(4 << 20);
    let body = format!(
        "{{\"brokerName\":\"b\",\"acks\":[{{\"c\":\"g\",\"t\":\"{TOPIC}\",\"r\":\"0\",\"so\":0,\
         \"q\":0,\"rq\":0,\"pt\":1,\"it\":1,\"b\":\"{bits}\"}}]}}"
    );
    let code = Code::BatchAckMessage;
    raw.refused(ResponseCode::SystemError, code, &[], body.as_bytes()).await;
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_of_other_brokers_and_times_end_no_pop() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    // Hidden for a second only; what is acknowledged within it never comes back.
    let answer = raw.call(Code::PopMessage.into(), &pop_fields("1000"), b"").await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    let time: i64 = answer.field("popTime").unwrap().parse().unwrap();
    let queue: i32 = answer.field("reviveQid").unwrap().parse().unwrap();
    let before = servers.state().await;
    let (soon, later) = (time + 1, time - 1);
    for receipt in [
        format!("0 {soon} 1000 {queue} 0 another 0 0"),
        format!("0 {later} 1000 {queue} 0 DefaultBroker 0 0"),
        format!("0 {time} 1000 {} 0 another 0 0", (queue + 1) % 8),
        format!("1 {time} 1000 {queue} 0 another 0 1"),
    ] {
        let answer = raw.call(Code::AckMessage.into(), &ack("0", "0", &receipt), b"").await;
        assert_eq!(answer.code(), 0, "as in Java: {:?}", answer.remark());
    }
    let mut after = servers.state().await;
    // What was acknowledged is written down, and stands for nothing.
    after.insert("log", before["log"].clone());
    assert_eq!(after, before);
    // The message comes back to the group, as nobody has consumed it.
    let again = async {
        loop {
            let answer = raw.call(Code::PopMessage.into(), &pop_fields("60000"), b"").await;
            if answer.code() == 0 {
                return Record::decode(answer.body()).unwrap().body.to_vec();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    assert_eq!(tokio::time::timeout(crate::kit::PATIENCE, again).await.unwrap(), b"x");
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_pops_that_make_no_sense() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    // The group is there before.
    raw.call(Code::PullMessage.into(), &crate::kit::pull_fields("g", TOPIC), b"").await;
    let before = servers.state().await;
    let fields = pop_fields("60000");
    for (name, value, code) in [
        ("queueId", "4", ResponseCode::InvalidParameter),
        ("queueId", "2147483647", ResponseCode::InvalidParameter),
        ("maxMsgNums", "33", ResponseCode::InvalidParameter),
        ("maxMsgNums", "2147483647", ResponseCode::InvalidParameter),
        ("maxMsgNums", "-1", ResponseCode::SystemError),
        ("maxMsgNums", "-2147483648", ResponseCode::SystemError),
        ("topic", "absent", ResponseCode::TopicNotExist),
        ("topic", "../evil", ResponseCode::TopicNotExist),
        ("consumerGroup", "../evil", ResponseCode::SubscriptionGroupNotExist),
        ("bornTime", "1", ResponseCode::PollingTimeout),
        ("bornTime", "-9223372036854775808", ResponseCode::PollingTimeout),
    ] {
        raw.refused(code, Code::PopMessage, &with(&fields, name, value), b"").await;
    }
    for expression in ["(".repeat(10_000), "x".repeat(1 << 20), "a = 1 OR ".repeat(116_508)] {
        let fields = with(&with(&fields, "exp", &expression), "expType", "SQL92");
        let code = ResponseCode::SubscriptionParseFailed;
        raw.refused(code, Code::PopMessage, &fields, b"").await;
        servers.answer_others().await;
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_nothing_comes_back_from() {
    let servers = Servers::start().await;
    servers.fill(2).await;
    let mut raw = Raw::connect(&servers.broker).await;
    // The group comes to be, and begins to pop.
    pop(&mut raw).await;
    let before = servers.state().await;
    // Further away than the timer reaches: nothing may be hidden that could not come back.
    for hidden in ["9223372036854775807", "259300000"] {
        let fields = pop_fields(hidden);
        raw.refused(ResponseCode::MessageIllegal, Code::PopMessage, &fields, b"").await;
    }
    let mut fields = pop_fields("60000");
    let long = "x".repeat(1 << 20);
    fields.push(("attemptId", &long));
    raw.refused(ResponseCode::InvalidParameter, Code::PopMessage, &fields, b"").await;
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_acks_for_nothing() {
    let servers = Servers::start().await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let before = servers.state().await;
    let one = |bits: &str, retry: &str, revive_queue: i64, start: i64| {
        format!(
            "{{\"brokerName\":\"b\",\"acks\":[{{\"b\":\"{bits}\",\"c\":\"g\",\"it\":1000,\
             \"pt\":1,\"q\":0,\"r\":\"{retry}\",\"rq\":{revive_queue},\"so\":{start},\
             \"t\":\"{TOPIC}\"}}]}}"
        )
    };
    let deep = format!("{{\"acks\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, code) in [
        (String::new(), ResponseCode::NoMessage),
        ("{}".to_owned(), ResponseCode::NoMessage),
        ("{\"acks\":[]}".to_owned(), ResponseCode::NoMessage),
        ("{\"acks\":[{}]}".to_owned(), ResponseCode::SystemError),
        ("[".to_owned(), ResponseCode::SystemError),
        (deep, ResponseCode::SystemError),
        (one("?", "0", 0, 0), ResponseCode::SystemError),
        (one("AQ==", "3", 0, 0), ResponseCode::SystemError),
        (one("AQ==", "", 0, 0), ResponseCode::SystemError),
        (one("AQ==", "0", 8, 0), ResponseCode::SystemError),
        (one("AQ==", "0", -1, 0), ResponseCode::SystemError),
        (one(&"/".repeat(1 << 20), "0", 0, 0), ResponseCode::SystemError),
    ] {
        raw.refused(code, Code::BatchAckMessage, &[], body.as_bytes()).await;
    }
    // Offsets that are not there, and retry topics nobody has: nothing to do.
    for body in [
        one("AQ==", "0", 0, i64::MAX),
        one("AQ==", "0", 0, i64::MIN),
        one("AQ==", "1", 0, 0),
        one("", "0", 0, 0),
    ] {
        let answer = raw.call(Code::BatchAckMessage.into(), &[], body.as_bytes()).await;
        assert_eq!(answer.code(), 0, "{body}");
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}
