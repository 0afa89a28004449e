//! `cargo xtask compare --metrics`: the same requests go to a Java broker and to ours at the same
//! time, and the pages of both are compared: series, labels, counted values.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use remoting::protocol::command::Frame;
use remoting::protocol::header::NoHeader;

use super::request::Request;
use super::scrape::Page;
use super::{Differences, ask};
use crate::compat::{Servers, free_port, loopback};
use crate::takeover::link::Link;
use crate::takeover::site::{End, NameServer, Site, Special};

/// For what a Java broker shows after it has answered.
const VISIBLE: Duration = Duration::from_millis(500);
/// Messages of the first delay level and of the timer are delivered, what was popped for two
/// seconds is stored again.
const SETTLE: Duration = Duration::from_secs(14);

const GROUP: &str = "metrics-group";
const POP_GROUP: &str = "metrics-pop";
const PRODUCER: &str = "metrics-producer";
/// Topics and their queues.
const TOPICS: [(&str, i32); 6] = [
    ("MetricsPlain", 1),
    ("MetricsFifo", 1),
    ("MetricsDelay", 1),
    ("MetricsTimer", 1),
    ("MetricsTransaction", 1),
    ("MetricsPop", 1),
];

/// What the requests must bring about: names and a label of samples.
const EXERCISED: [&str; 17] = [
    "rocketmq_messages_in_total message_type=fifo",
    "rocketmq_messages_in_total message_type=delay",
    "rocketmq_messages_in_total message_type=transaction",
    "rocketmq_messages_out_total consumer_group=metrics-group",
    "rocketmq_messages_out_total is_retry=false",
    "rocketmq_messages_out_total is_retry=true",
    "rocketmq_send_to_dlq_messages_total consumer_group=metrics-group",
    "rocketmq_commit_messages_total topic=MetricsTransaction",
    "rocketmq_rollback_messages_total topic=MetricsTransaction",
    "rocketmq_pop_revive_in_message_total revive_message_type=ACK",
    "rocketmq_pop_revive_out_message_total revive_message_type=CK",
    "rocketmq_pop_revive_retry_messages_total put_status=PUT_OK",
    "rocketmq_timer_dequeue_total topic=MetricsTimer",
    "rocketmq_rpc_latency_milliseconds_count is_long_polling=true",
    "rocketmq_rpc_latency_milliseconds_count result=oneway",
    "rocketmq_topic_create_execution_time_milliseconds_count invocation_status=failure",
    "rocketmq_consumer_lag_messages consumer_group=metrics-pop",
];

/// Fills `out` with what differs; returns how many samples were compared.
pub fn compare(java: &Servers, ours: &Servers, out: &mut Differences) -> Result<usize> {
    let name_server = NameServer::start(ours)?;
    let side = |name: &'static str, servers: &Servers| {
        take(name, &name_server, servers).with_context(|| name.to_owned())
    };
    let (java, ours) = thread::scope(|scope| {
        let java = scope.spawn(|| side("metrics-java", java));
        (java.join(), side("metrics-ours", ours))
    });
    let java = java.map_err(|panic| anyhow::anyhow!("the Java side panicked: {panic:?}"))??;
    let ours = ours?;
    for sample in EXERCISED {
        ensure!(java.has(sample), "the requests have not made {sample} on the Java broker");
    }
    for difference in ours.differences(&java) {
        out.add(format!("metrics {difference}"));
    }
    Ok(java.len())
}

/// Starts a broker on an empty store, sends everything, and fetches its page.
fn take(name: &str, name_server: &NameServer, servers: &Servers) -> Result<Page> {
    let metrics = loopback(free_port()?);
    let mut site = Site::prepare(name, name_server, Special::default(), &settings(metrics))?;
    site.start(servers)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let link = Link::new(site.broker);
    runtime.block_on(load(&link, name))?;
    let page = Page::fetch(metrics)?;
    site.end(End::Clean)?;
    Ok(page)
}

fn settings(metrics: SocketAddr) -> Vec<(&'static str, String)> {
    vec![
        ("metricsExporterType", "PROM".to_owned()),
        ("metricsPromExporterHost", metrics.ip().to_string()),
        ("metricsPromExporterPort", metrics.port().to_string()),
        ("metricsLabel", "region:north".to_owned()),
        // Half messages stay as they are.
        ("transactionCheckInterval", "3600000".to_owned()),
        ("transactionTimeOut", "3600000".to_owned()),
    ]
}

/// Sends every request once, in one order.
async fn load(link: &Link, broker_name: &str) -> Result<()> {
    for request in preparation() {
        ask(link, &request).await?;
    }
    let first = ask(link, &send("MetricsPlain", "TAGS\u{1}a\u{2}KEYS\u{1}k\u{2}", 100)).await?;
    for request in sends()? {
        ask(link, &request).await?;
    }
    transactions(link).await?;
    tokio::time::sleep(VISIBLE).await;
    pops(link, broker_name).await?;
    for request in reads(first.position.unwrap_or(-1)) {
        ask(link, &request).await?;
    }
    link.tell(
        15,
        &[
            ("consumerGroup", GROUP),
            ("topic", "MetricsPlain"),
            ("queueId", "0"),
            ("commitOffset", "5"),
        ],
    )
    .await?;
    tokio::time::sleep(SETTLE).await;
    // What came back to the retry topic.
    ask(link, &pop(32, 60_000)).await?;
    tokio::time::sleep(VISIBLE).await;
    Ok(())
}

fn preparation() -> Vec<Request> {
    let mut all: Vec<Request> =
        TOPICS.iter().map(|(name, queues)| Request::topic(name, *queues, "")).collect();
    // Refused: no name, and one of the system.
    all.extend(["no name", "TBW102"].map(|name| Request::topic(name, 1, "")));
    for group in [GROUP, POP_GROUP] {
        let body = format!(r#"{{"groupName":"{group}","retryMaxTimes":3}}"#);
        all.push(Request::new("group", 200).carrying(body));
    }
    let heartbeat = format!(
        r#"{{"clientID":"metrics@1","producerDataSet":[{{"groupName":"{PRODUCER}"}}],"consumerDataSet":[{},{}]}}"#,
        consumer(GROUP, "CONSUME_PASSIVELY", "MetricsPlain"),
        consumer(POP_GROUP, "CONSUME_POP", "MetricsPop"),
    );
    all.push(Request::new("heartbeat", 34).carrying(heartbeat));
    all
}

fn consumer(group: &str, kind: &str, topic: &str) -> String {
    format!(
        r#"{{"groupName":"{group}","consumeType":"{kind}","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","subscriptionDataSet":[{{"topic":"{topic}","subString":"*","subVersion":1,"tagsSet":[],"codeSet":[],"expressionType":"TAG","classFilterMode":false}}],"unitMode":false}}"#
    )
}

fn now_ms() -> Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
}

/// A message of so many bytes that is born now.
fn send(topic: &str, properties: &str, len: usize) -> Request {
    Request::send("send")
        .with("a", PRODUCER)
        .with("b", topic)
        .with("d", 1)
        .with("g", now_ms().unwrap_or(1))
        .with("i", properties)
        .carrying(vec![b'x'; len])
}

fn sends() -> Result<Vec<Request>> {
    let mut all: Vec<Request> = [1, 900, 3000, 5000, 600_000]
        .map(|len| send("MetricsPlain", "TAGS\u{1}a\u{2}", len))
        .into();
    for len in [10, 20, 30] {
        all.push(send("MetricsFifo", "__SHARDINGKEY\u{1}k\u{2}", len));
    }
    all.push(send("MetricsDelay", "DELAY\u{1}1\u{2}", 10));
    let key = "UNIQ_KEY\u{1}7F0000010001000000000000000000AA\u{2}";
    all.push(send("MetricsTimer", &format!("{key}TIMER_DELAY_MS\u{1}1500\u{2}"), 10));
    all.push(send("MetricsTimer", &format!("{key}TIMER_DELAY_SEC\u{1}7200\u{2}"), 10));
    for number in 0..4 {
        all.push(send("MetricsPop", "TAGS\u{1}p\u{2}", 10 + number));
    }
    // To a topic that nobody has, and with a body too large.
    all.push(send("MetricsNone", "", 10).with("c", "no-such-topic"));
    all.push(send("MetricsPlain", "", 5 << 20));
    all.push(Request::new("unknown", 9999));
    Ok(all)
}

/// One half message is committed, one dropped, one left.
async fn transactions(link: &Link) -> Result<()> {
    for kind in [8, 12, 0] {
        let key = format!("7F00000100010000{kind:016X}");
        let properties =
            format!("UNIQ_KEY\u{1}{key}\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{PRODUCER}\u{2}");
        let half = ask(link, &send("MetricsTransaction", &properties, 10).with("f", 4)).await?;
        if kind == 0 {
            continue;
        }
        // A Java broker shows a message after it has acknowledged it.
        tokio::time::sleep(VISIBLE).await;
        let end = Request::new("end", 37)
            .with("topic", "MetricsTransaction")
            .with("producerGroup", PRODUCER)
            .with("tranStateTableOffset", half.number("queueOffset").unwrap_or(-1))
            .with("commitLogOffset", half.position.unwrap_or(-1))
            .with("commitOrRollback", kind)
            .with("fromTransactionCheck", false)
            .with("msgId", key);
        ask(link, &end).await?;
    }
    Ok(())
}

fn pop(count: i32, invisible_ms: i64) -> Request {
    Request::new("pop", 200_050)
        .with("consumerGroup", POP_GROUP)
        .with("topic", "MetricsPop")
        .with("queueId", -1)
        .with("maxMsgNums", count)
        .with("invisibleTime", invisible_ms)
        .with("pollTime", 0)
        .with("bornTime", now_ms().unwrap_or(0))
        .with("initMode", 0)
        .with("expType", "TAG")
        .with("exp", "*")
        .with("order", false)
}

/// Of four messages one is acknowledged, one hidden for a shorter time, two are left.
async fn pops(link: &Link, broker_name: &str) -> Result<()> {
    for (number, invisible_ms) in [60_000, 60_000, 2000, 60_000].into_iter().enumerate() {
        let request = pop(1, invisible_ms);
        let fields: Vec<(&str, &str)> =
            request.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let popped = link.ask_raw(request.code, &NoHeader, &fields, &[]).await?;
        // Java answers a moment before it gives the queue back.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let receipt = receipt(&popped, broker_name, number);
        let about = |name: &str, code: i32| {
            Request::new(name, code)
                .with("consumerGroup", POP_GROUP)
                .with("topic", "MetricsPop")
                .with("queueId", 0)
                .with("extraInfo", &receipt)
                .with("offset", number)
        };
        match number {
            0 => drop(ask(link, &about("ack", 200_051)).await?),
            1 => {
                let change = about("change", 200_053).with("invisibleTime", 2000);
                drop(ask(link, &change).await?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// What names a popped message: its pop's first offset, time, and queue of the check point.
fn receipt(popped: &Frame, broker_name: &str, offset: usize) -> String {
    let field = |name| popped.field(name).unwrap_or("0");
    let (time, invisible, revive) = (field("popTime"), field("invisibleTime"), field("reviveQid"));
    format!("{offset} {time} {invisible} {revive} 0 {broker_name} 0 {offset}")
}

fn reads(position: i64) -> Vec<Request> {
    let pull = |offset: i64, flag: i32| {
        Request::new("pull", 11)
            .with("consumerGroup", GROUP)
            .with("topic", "MetricsPlain")
            .with("queueId", 0)
            .with("queueOffset", offset)
            .with("maxMsgNums", 32)
            .with("sysFlag", flag)
            .with("commitOffset", 0)
            .with("suspendTimeoutMillis", 300)
            .with("subscription", "*")
            .with("subVersion", 1)
            .with("expressionType", "TAG")
    };
    let back = Request::new("send back", 36)
        .with("offset", position)
        .with("group", GROUP)
        .with("delayLevel", -1)
        .with("originMsgId", "x")
        .with("originTopic", "MetricsPlain");
    let query = Request::new("query", 12)
        .with("topic", "MetricsPlain")
        .with("key", "k")
        .with("maxNum", 32)
        .with("beginTimestamp", 0)
        .with("endTimestamp", i64::MAX);
    vec![
        pull(0, 4),
        // Nothing there: at once, and after a wait.
        pull(6, 4),
        pull(6, 4 | 2),
        back.clone(),
        back.with("delayLevel", 0),
        query.clone(),
        query.with("key", "none"),
        Request::new("view", 33).with("offset", position),
        Request::new("topic stats", 202).with("topic", "MetricsPlain"),
        Request::new("consume stats", 208).with("consumerGroup", GROUP),
        Request::new("max offset", 30).with("topic", "MetricsPlain").with("queueId", 0),
        Request::new("consumers", 203).with("consumerGroup", "metrics-nobody"),
    ]
}
