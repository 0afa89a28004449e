//! The messages of the comparison: every kind, every shape of properties.

use bytes::BytesMut;
use remoting::protocol::message::batch::BatchMessage;

use super::request::Request;

/// Topics that exist beforehand, with the attributes they are created with.
pub const TOPICS: &[(&str, i32, &str)] = &[
    ("ComparePlain", 4, ""),
    ("CompareOrder", 2, ""),
    ("CompareFifo", 2, "+message.type=FIFO"),
    ("CompareDelay", 2, "+message.type=DELAY"),
    ("CompareTransaction", 2, "+message.type=TRANSACTION"),
    ("CompareBatch", 2, "+queue.type=BatchCQ"),
    ("CompareKeys", 1, "+cleanup.policy=DELETE"),
    ("CompareReadOnly", 1, ""),
];

/// Groups that exist beforehand.
pub const GROUPS: &[&str] = &["compare-group", "compare-strict"];

/// Messages of the script.
pub const COUNT: usize = 2000;

/// One step of the script.
pub enum Step {
    /// A request that stands for itself.
    Ask(Request),
    /// END_TRANSACTION for the half message of an earlier step.
    End {
        /// Number of that step.
        of: usize,
        /// 8 commits, 12 rolls back.
        kind: i32,
    },
    /// CONSUMER_SEND_MSG_BACK of the message of an earlier step.
    Back {
        /// Number of that step.
        of: usize,
        /// Level of the delay.
        level: i32,
    },
}

/// A value for each shape of the properties that a sender may write.
fn shapes(number: usize, soon: i64) -> Vec<(&'static str, String)> {
    let key = format!("7F0000010001{:08X}{number:012X}", 0);
    let unique = format!("UNIQ_KEY\u{1}{key}\u{2}");
    let with = |text: &str| format!("{unique}{text}");
    vec![
        ("empty", String::new()),
        ("keyed", with("KEYS\u{1}a b c\u{2}TAGS\u{1}TagA\u{2}WAIT\u{1}true\u{2}")),
        ("unended", with("KEYS\u{1}x\u{2}TAGS\u{1}TagB")),
        ("repeated", with("KEYS\u{1}x\u{2}a\u{1}1\u{2}a\u{1}2\u{2}TAGS\u{1}T\u{2}")),
        ("empty value", with("KEYS\u{1}\u{2}a\u{1}\u{2}TAGS\u{1}\u{2}")),
        ("empty name", with("\u{1}value\u{2}b\u{1}2\u{2}")),
        ("unicode", with("KEYS\u{1}ключ 鍵\u{2}TAGS\u{1}標籤\u{2}имя\u{1}значение 🦖\u{2}")),
        ("long", with(&format!("a\u{1}{}\u{2}TAGS\u{1}T\u{2}", "v".repeat(20_000)))),
        ("longest", with(&format!("a\u{1}{}\u{2}", "v".repeat(32_600)))),
        ("too long", with(&format!("a\u{1}{}\u{2}", "v".repeat(33_000)))),
        ("no wait", with("WAIT\u{1}false\u{2}TAGS\u{1}T\u{2}")),
        ("of the broker", with("MSG_REGION\u{1}r\u{2}TRACE_ON\u{1}x\u{2}CLUSTER\u{1}c\u{2}")),
        ("receipt", with("POP_CK\u{1}0 1 2 3 0 b 0 1\u{2}TAGS\u{1}T\u{2}")),
        ("no separators", "garbage".to_owned()),
        ("bare end", with("\u{2}\u{2}a\u{1}1\u{2}")),
        ("many keys", with("KEYS\u{1}  k1   k2 k1  \u{2}")),
        ("sharding", with("__SHARDINGKEY\u{1}order-7\u{2}TAGS\u{1}T\u{2}")),
        ("real topic", with("REAL_TOPIC\u{1}Other\u{2}REAL_QID\u{1}9\u{2}")),
        ("level 0", with("DELAY\u{1}0\u{2}")),
        ("level -1", with("DELAY\u{1}-1\u{2}TAGS\u{1}T\u{2}")),
        ("level 16", with("DELAY\u{1}16\u{2}TAGS\u{1}T\u{2}KEYS\u{1}k\u{2}")),
        ("level 99", with("DELAY\u{1}99\u{2}")),
        ("level text", with("DELAY\u{1}x\u{2}")),
        ("retry", with("RETRY_TOPIC\u{1}ComparePlain\u{2}ORIGIN_MESSAGE_ID\u{1}id\u{2}")),
        ("inner", with("INNER_NUM\u{1}3\u{2}")),
        (
            "timed already",
            with(&format!("TIMER_OUT_MS\u{1}{soon}\u{2}TIMER_DELIVER_MS\u{1}{soon}\u{2}")),
        ),
        (
            "timer at",
            with(&format!("TIMER_DELIVER_MS\u{1}{soon}\u{2}TAGS\u{1}T\u{2}KEYS\u{1}t\u{2}")),
        ),
        ("timer exact", with(&format!("TIMER_DELIVER_MS\u{1}{}\u{2}", soon / 1000 * 1000))),
        ("timer past", with("TIMER_DELIVER_MS\u{1}1600000000000\u{2}TAGS\u{1}T\u{2}")),
        ("timer far", with("TIMER_DELIVER_MS\u{1}300000000000000\u{2}")),
        ("timer 4 days", with("TIMER_DELAY_SEC\u{1}345600\u{2}")),
        ("timer seconds", with("TIMER_DELAY_SEC\u{1}7200\u{2}")),
        ("timer millis", with("TIMER_DELAY_MS\u{1}7200123\u{2}")),
        ("timer text", with("TIMER_DELAY_SEC\u{1}x\u{2}")),
        ("timer negative", with("TIMER_DELAY_MS\u{1}-5\u{2}")),
        ("timer and level", with("DELAY\u{1}15\u{2}TIMER_DELAY_SEC\u{1}60\u{2}")),
        (
            "timer deletes",
            with(&format!("TIMER_DELIVER_MS\u{1}{soon}\u{2}TIMER_DEL_UNIQKEY\u{1}x+y\u{2}")),
        ),
        ("request", with("CORRELATION_ID\u{1}c\u{2}REPLY_TO_CLIENT\u{1}r\u{2}TTL\u{1}3000\u{2}")),
        ("buyer", with("BUYER_ID\u{1}b\u{2}INSTANCE_ID\u{1}i\u{2}DUP_INFO\u{1}1_2\u{2}")),
        ("transaction false", with("TRAN_MSG\u{1}false\u{2}PGROUP\u{1}g\u{2}")),
        ("light queues", with("INNER_MULTI_DISPATCH\u{1}%LMQ%one,%LMQ%two\u{2}")),
    ]
}

/// The steps in their order; `soon` is a time within the horizon of the timer.
pub fn script(soon: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut halves = Vec::new();
    let mut plain = Vec::new();
    while steps.len() < COUNT {
        let number = steps.len();
        match number % 16 {
            5 => steps.push(Step::Ask(batch(number, "ComparePlain"))),
            6 => steps.push(Step::Ask(batch(number, "CompareBatch"))),
            7 => {
                halves.push(number);
                steps.push(Step::Ask(half(number)));
            }
            8 if halves.len() > 2 => {
                let of = halves.remove(0);
                steps.push(Step::End { of, kind: if number % 32 == 8 { 8 } else { 12 } });
            }
            9 if plain.len() > 3 => {
                let level = [0, 14, -1, 99][number / 16 % 4];
                steps.push(Step::Back { of: plain.remove(0), level });
            }
            10 => steps.push(Step::Ask(retry(number))),
            11 => steps.push(Step::Ask(reply(number))),
            12 => steps.push(Step::Ask(old_header(number, soon))),
            _ => {
                let send = single(number, soon);
                if send.1 && plain.len() < 40 {
                    plain.push(number);
                }
                steps.push(Step::Ask(send.0));
            }
        }
    }
    steps
}

/// A send with the one-letter header.
fn send(name: &str, topic: &str, queue_id: i32, properties: &str, body: &[u8]) -> Request {
    let mut request = Request::new(name, 310)
        .with("a", "compare-producer")
        .with("b", topic)
        .with("c", "TBW102")
        .with("d", "4")
        .with("e", queue_id)
        .with("f", "0")
        .with("g", "1700000000123")
        .with("h", "0")
        .with("j", "0")
        .with("k", "false")
        .with("m", "false");
    if !properties.is_empty() {
        request = request.with("i", properties);
    }
    request.body = body.to_vec();
    request
}

/// A body whose length and bytes depend on the number.
fn body(number: usize) -> Vec<u8> {
    let len = [1, 17, 200, 1000, 90, 3000, 9000][number % 7];
    let bytes = (0..len).map(|at| (at * 31 + number) as u8);
    // Another body for each number.
    bytes.chain((number as u32).to_be_bytes()).collect()
}

/// A single message, and whether it can be sent back.
fn single(number: usize, soon: i64) -> (Request, bool) {
    let shapes = shapes(number, soon);
    let (shape, properties) = &shapes[number / 3 % shapes.len()];
    let topics = [
        ("ComparePlain", 4),
        ("CompareOrder", 2),
        ("CompareFifo", 2),
        ("CompareDelay", 2),
        ("CompareAutomatic", 4),
        ("CompareKeys", 1),
        ("CompareBatch", 2),
    ];
    let (topic, queues) = topics[number % topics.len()];
    let queue_id = (number / topics.len() % queues) as i32;
    let name = format!("send {shape} to {topic}");
    let mut request = send(&name, topic, queue_id, properties, &body(number));
    request = match number % 23 {
        1 => request.with("h", "-7"),
        // Compressed, says the flag: the broker does not look.
        3 => request.with("f", "769"),
        4 => request.with("j", "3"),
        5 => request.with("g", "0"),
        6 => request.with("k", "true"),
        _ => request,
    };
    (request, topic == "ComparePlain" && *shape == "keyed")
}

fn old_header(number: usize, soon: i64) -> Request {
    let shapes = shapes(number, soon);
    let (shape, properties) = &shapes[number / 16 % shapes.len()];
    let mut request = Request::new(&format!("old send {shape}"), 10)
        .with("producerGroup", "compare-producer")
        .with("topic", "ComparePlain")
        .with("defaultTopic", "TBW102")
        .with("defaultTopicQueueNums", "4")
        .with("queueId", "3")
        .with("sysFlag", "0")
        .with("bornTimestamp", "1700000000456")
        .with("flag", "5")
        .with("reconsumeTimes", "0")
        .with("unitMode", "false")
        .with("batch", "false")
        .with("properties", properties);
    request.body = body(number);
    request
}

fn batch(number: usize, topic: &str) -> Request {
    let mut parts = BytesMut::new();
    for part in 0..1 + number % 5 {
        let key = format!("7F0000010001{:08X}{:012X}", 0, 100_000 + number * 10 + part);
        let own = match part {
            0 => String::new(),
            1 => format!("UNIQ_KEY\u{1}{key}\u{2}TAGS\u{1}TagA\u{2}KEYS\u{1}k{number}\u{2}"),
            2 => format!("UNIQ_KEY\u{1}{key}\u{2}TAGS\u{1}TagB"),
            _ => format!("UNIQ_KEY\u{1}{key}\u{2}a\u{1}1\u{2}"),
        };
        let content = body(number + part);
        let part = BatchMessage { flag: part as i32, body: &content, properties: &own };
        // Invariant: short properties and bodies always fit.
        let _ = part.encode(&mut parts);
    }
    let shell = match number / 16 % 3 {
        0 => "WAIT\u{1}true\u{2}".to_owned(),
        1 => format!("UNIQ_KEY\u{1}7F0000010001{:08X}{number:012X}\u{2}WAIT\u{1}true\u{2}", 0),
        _ => String::new(),
    };
    let name = format!("batch of shell {} to {topic}", number / 16 % 3);
    let mut request = send(&name, topic, 1, &shell, &parts).with("m", "true");
    request.code = 320;
    request
}

fn half(number: usize) -> Request {
    let key = format!("7F0000010001{:08X}{number:012X}", 0);
    let more = match number / 16 % 3 {
        0 => String::new(),
        1 => "TAGS\u{1}T\u{2}KEYS\u{1}half\u{2}".to_owned(),
        _ => "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}3600\u{2}".to_owned(),
    };
    let properties = format!(
        "UNIQ_KEY\u{1}{key}\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}compare-producer\u{2}{more}"
    );
    let topic = ["CompareTransaction", "ComparePlain"][number / 16 % 2];
    let name = format!("half {} to {topic}", number / 16 % 3);
    send(&name, topic, 1, &properties, &body(number)).with("f", "4")
}

fn retry(number: usize) -> Request {
    let times = number / 16 % 20;
    let key = format!("7F0000010001{:08X}{number:012X}", 0);
    let properties = format!(
        "UNIQ_KEY\u{1}{key}\u{2}RETRY_TOPIC\u{1}ComparePlain\u{2}RECONSUME_TIME\u{1}{times}\u{2}\
         DELAY\u{1}16\u{2}ORIGIN_MESSAGE_ID\u{1}x\u{2}"
    );
    let name = format!("retry {times} times");
    let request = send(&name, "%RETRY%compare-group", 0, &properties, &body(number));
    let request = request.with("j", times);
    if (number / 16).is_multiple_of(3) { request.with("l", "5") } else { request }
}

fn reply(number: usize) -> Request {
    let key = format!("7F0000010001{:08X}{number:012X}", 0);
    let to = ["nobody@1", ""][number / 16 % 2];
    let mut properties =
        format!("UNIQ_KEY\u{1}{key}\u{2}MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}c\u{2}");
    if !to.is_empty() {
        properties.push_str(&format!("REPLY_TO_CLIENT\u{1}{to}\u{2}TTL\u{1}3000\u{2}"));
    }
    let name = format!("reply to {to:?}");
    let topic = "DefaultCluster_REPLY_TOPIC";
    let mut request = send(&name, topic, 0, &properties, &body(number));
    request.code = 325;
    request
}
