//! Requests of the special kinds of messages and consumption that make no sense: each is answered
//! with Java's code or a clear one, and neither log nor tables are what they were not before.

use remoting::protocol::code::{RequestCode as Code, ResponseCode};

use crate::kit::{Raw, Servers, TOPIC, pull_fields, send_fields, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_transactions_that_are_none() {
    let servers = Servers::start().await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    // A half message of somebody, and the place of its record.
    let half = "PGROUP\u{1}p\u{2}TRAN_MSG\u{1}true\u{2}";
    let fields = with(&with(&send_fields(TOPIC, "0"), "properties", half), "sysFlag", "4");
    let sent = raw.call(Code::SendMessage.into(), &fields, b"half").await;
    assert_eq!(sent.code(), 0, "{:?}", sent.remark());
    let place = i64::from_str_radix(&sent.field("msgId").unwrap()[16..], 16).unwrap();
    let (place, inside, end) = (place, place + 8, place + (1 << 19));
    let before = servers.state().await;
    let end_of = |group: &'static str, log: i64, table: i64, how: &'static str| {
        vec![
            ("topic", TOPIC.to_owned()),
            ("producerGroup", group.to_owned()),
            ("tranStateTableOffset", table.to_string()),
            ("commitLogOffset", log.to_string()),
            ("commitOrRollback", how.to_owned()),
            ("fromTransactionCheck", "false".to_owned()),
            ("msgId", "0".to_owned()),
            ("transactionId", "0".to_owned()),
        ]
    };
    for how in ["8", "12"] {
        for (group, log, table) in [
            // The first record of the log is no half message.
            ("p", 0, 0),
            ("p", inside, 0),
            ("p", end, 0),
            ("p", -1, 0),
            ("p", i64::MIN, 0),
            ("p", i64::MAX, 0),
            ("p", place, 1),
            ("p", place, -1),
            ("p", place, i64::MAX),
            ("another", place, 0),
            ("", place, 0),
        ] {
            let fields = end_of(group, log, table, how);
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            raw.refused(ResponseCode::SystemError, Code::EndTransaction, &fields, b"").await;
        }
    }
    for id in ["", "x", "7F00000100002A9F0000000000000000", "7F00000100002A9FFFFFFFFFFFFFFFFF"] {
        let fields = [("msgId", id)];
        raw.refused(ResponseCode::SystemError, Code::ResumeCheckHalfMessage, &fields, b"").await;
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_beyond_any_calendar() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let before = servers.state().await;
    // The year 300000000 is more milliseconds away than 64 bits hold.
    for (name, value) in [
        ("TIMER_DELIVER_MS", "9467019801600000000"),
        ("TIMER_DELIVER_MS", "9223372036854775807"),
        ("TIMER_DELIVER_MS", "4102444800000"),
        ("TIMER_DELIVER_MS", "-9223372036854775809"),
        ("TIMER_DELIVER_MS", "1e18"),
        ("TIMER_DELIVER_MS", " 1"),
        ("TIMER_DELIVER_MS", "tomorrow"),
        ("TIMER_DELAY_MS", "9223372036854775807"),
        ("TIMER_DELAY_MS", "9467019801600000000"),
        ("TIMER_DELAY_MS", "259200001"),
        ("TIMER_DELAY_SEC", "9223372036854775807"),
        ("TIMER_DELAY_SEC", "9223372036854776"),
        ("TIMER_DELAY_SEC", "9467019801600000"),
        ("TIMER_DELAY_SEC", "259201"),
        ("TIMER_DELAY_SEC", "x"),
    ] {
        let properties = format!("{name}\u{1}{value}\u{2}");
        let fields = with(&send_fields(TOPIC, "0"), "properties", &properties);
        raw.refused(ResponseCode::MessageIllegal, Code::SendMessage, &fields, b"x").await;
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_below_zero() {
    let servers = Servers::start().await;
    servers.fill(3).await;
    let mut raw = Raw::connect(&servers.broker).await;
    raw.call(Code::PullMessage.into(), &pull_fields("g", TOPIC), b"").await;
    let before = servers.state().await;
    for offset in ["-1", "-9223372036854775808"] {
        let pull = with(&pull_fields("g", TOPIC), "queueOffset", offset);
        raw.refused(ResponseCode::PullOffsetMoved, Code::PullMessage, &pull, b"").await;
        let view = [("offset", offset), ("topic", TOPIC)];
        raw.refused(ResponseCode::SystemError, Code::ViewMessageById, &view, b"").await;
        let back =
            [("offset", offset), ("group", "g"), ("delayLevel", "0"), ("originTopic", TOPIC)];
        raw.refused(ResponseCode::SystemError, Code::ConsumerSendMsgBack, &back, b"").await;
    }
    let reset = |offset: &'static str, queue_id: &'static str| {
        [
            ("topic", TOPIC),
            ("group", "g"),
            ("timestamp", "0"),
            ("isForce", "true"),
            ("queueId", queue_id),
            ("offset", offset),
        ]
    };
    let code = Code::InvokeBrokerToResetOffset;
    for offset in ["-2", "-9223372036854775808", "5", "9223372036854775807"] {
        raw.refused(ResponseCode::SystemError, code, &reset(offset, "0"), b"").await;
    }
    // The retry topic of the send-back is made before its message is looked for, as in Java.
    let mut after = servers.state().await;
    assert!(after["topics"].contains("%RETRY%g"));
    after.insert("topics", before["topics"].clone());
    assert_eq!(after, before);
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assignments_of_nobody_to_nothing() {
    let servers = Servers::start().await;
    servers.fill(1).await;
    let mut raw = Raw::connect(&servers.broker).await;
    let before = servers.state().await;
    let huge = format!("{{\"topic\":\"{}\"}}", "x".repeat(1 << 20));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for code in [Code::QueryAssignment, Code::SetMessageRequestMode] {
        for body in ["", "null", "[]", "{}", "{\"topic\":null}", "{\"topic\":\"\"}", &deep] {
            raw.refused(ResponseCode::SystemError, code, &[], body.as_bytes()).await;
        }
    }
    raw.refused(ResponseCode::SystemError, Code::QueryAssignment, &[], huge.as_bytes()).await;
    raw.refused(ResponseCode::TopicNotExist, Code::SetMessageRequestMode, &[], huge.as_bytes())
        .await;
    let mode = |topic: &str, group: &str, share: &str| {
        format!(
            "{{\"topic\":\"{topic}\",\"consumerGroup\":\"{group}\",\"mode\":\"POP\",\
             \"popShareQueueNum\":{share}}}"
        )
    };
    for (topic, group, share, code) in [
        ("../evil", "g", "0", ResponseCode::TopicNotExist),
        (TOPIC, "../evil", "0", ResponseCode::SubscriptionGroupNotExist),
        (TOPIC, "", "0", ResponseCode::SubscriptionGroupNotExist),
        (TOPIC, "g", "1e400", ResponseCode::SystemError),
        (TOPIC, "g", "\"x\"", ResponseCode::SystemError),
        ("%RETRY%g", "g", "0", ResponseCode::NoPermission),
    ] {
        let body = mode(topic, group, share);
        raw.refused(code, Code::SetMessageRequestMode, &[], body.as_bytes()).await;
    }
    // A group without members and topics nobody has: success, and no assignments.
    for topic in [TOPIC, "absent", "../evil", "%RETRY%x", "\\u0000"] {
        let body = format!(
            "{{\"topic\":\"{topic}\",\"consumerGroup\":\"g\",\"clientId\":\"c\",\
             \"messageModel\":\"CLUSTERING\",\"strategyName\":\"AVG\"}}"
        );
        let answer = raw.call(Code::QueryAssignment.into(), &[], body.as_bytes()).await;
        assert_eq!((answer.code(), answer.body()), (0, b"{}".as_slice()), "{topic}");
    }
    assert_eq!(servers.state().await, before);
    servers.stop().await;
}
