//! What the store holds: topics, groups, offsets, messages of many sizes, batches and delays.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use futures_util::future::try_join_all;
use remoting::protocol::body::{
    Body, ExponentialRetryPolicy, GroupRetryPolicy, GroupRetryPolicyType, SubscriptionGroupConfig,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    CreateTopicRequestHeader, NoHeader, SendMessageRequestHeader, Short,
    UpdateConsumerOffsetRequestHeader,
};
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::{Properties, PropertiesBuf};

use super::link::{Link, number};
use super::release::Release;
use super::snapshot::Snapshot;

/// Topic where the delayed messages go.
pub const DELAYED: &str = "TakeoverDelayed";
/// Topics and their numbers of queues.
pub const TOPICS: &[(&str, i32)] =
    &[("TakeoverPlain", 3), ("TakeoverOrdered", 2), ("TakeoverAutomatic", 4), (DELAYED, 2)];
/// Consumer groups.
pub const GROUPS: &[&str] = &["takeover-plain", "takeover-strict"];

/// End of the key of a broadcasting consumer's offsets.
pub const BROADCAST: &str = "@broadcast";
/// Offsets as 5.x brokers keep them of broadcasting consumers behind a proxy.
const BROADCAST_OFFSETS: &str =
    r#"{"offsetTable":{"TakeoverPlain@takeover-plain@broadcast":{0:7,2:11}}}"#;

/// Topic where the messages of the timer wait.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// In the body of a message that waits in the timer.
pub const TIMED: &str = "timer";

const BATCH_LEN: usize = 5;
const BODY_LENS: &[usize] = &[1, 17, 200, 1000, 90, 3000, 9000];
const BODY_LEN_LARGE: usize = 300_000;

/// One send: a message, or a batch of several.
struct Planned {
    topic: &'static str,
    queue_id: i32,
    messages: Vec<(PropertiesBuf, Vec<u8>)>,
}

/// What the broker said about one message.
pub struct Ack {
    topic: &'static str,
    queue_id: i32,
    /// Place in the queue.
    pub queue_offset: i64,
    /// Place in the log.
    pub physical_offset: i64,
    properties: PropertiesBuf,
    body: Vec<u8>,
}

impl Ack {
    /// Topic and queue.
    pub fn queue(&self) -> (&'static str, i32) {
        (self.topic, self.queue_id)
    }

    /// The last of its keys.
    pub fn key(&self) -> Option<&str> {
        Properties::new(self.properties.as_str()).get("KEYS")?.rsplit(' ').next()
    }

    /// Fails unless the record is what was acknowledged.
    pub fn check(&self, record: &Record<'_>) -> Result<()> {
        let place = format!("offset {}", self.queue_offset);
        let is_there = record.physical_offset == self.physical_offset;
        ensure!(is_there, "{place}: its id says {}", self.physical_offset);
        ensure!(record.body == self.body && record.flag == 3, "{place}: another body or flag");
        ensure!(record.verify_crc().is_ok(), "{place}: bad CRC");
        let stored = record.properties();
        // Java 4.9.7 does not store that a sender waits, as 5.x does.
        let sent = Properties::new(self.properties.as_str())
            .into_iter()
            .filter(|(name, _)| *name != "WAIT");
        for (name, value) in sent {
            ensure!(stored.get(name) == Some(value), "{place}: property {name}");
        }
        Ok(())
    }
}

/// How long something may take that is not late yet, on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Writes the offsets that no request sets, into the directory of a broker that has not started.
pub fn write_broadcast_offsets(store: &Path) -> Result<()> {
    let config = store.join("config");
    fs::create_dir_all(&config)?;
    for file in ["consumerOffset.json", "lmqConsumerOffset.json"] {
        fs::write(config.join(file), BROADCAST_OFFSETS)?;
    }
    Ok(())
}

/// Creates topics and groups with settings of their own, some of which 4.x does not know.
pub async fn create(link: &Link, group_attributes: bool) -> Result<()> {
    for (topic, queues) in TOPICS {
        let is_ordered = *topic == "TakeoverOrdered";
        let attributes = is_ordered.then_some("+message.type=NORMAL");
        if *topic != "TakeoverAutomatic" {
            create_topic(link, topic, *queues, attributes).await?;
        }
    }
    for group in GROUPS {
        let mut config = SubscriptionGroupConfig::new(group);
        if *group == "takeover-strict" {
            config.retry_max_times = 3;
            config.consume_broadcast_enable = false;
            if group_attributes {
                config.attributes.insert("+priority.factor".to_owned(), "7".to_owned());
            }
            config.consume_message_orderly = true;
            config.group_retry_policy = GroupRetryPolicy {
                policy_type: Some(GroupRetryPolicyType::Exponential),
                exponential_retry_policy: Some(ExponentialRetryPolicy {
                    initial: 7_000,
                    max: 70_000,
                    multiplier: 3,
                }),
                ..GroupRetryPolicy::default()
            };
        }
        let body = config.encode();
        link.ok(RequestCode::UpdateAndCreateSubscriptiongroup, &NoHeader, &body).await?;
    }
    Ok(())
}

/// Creates a topic; one with attributes is in order and has one queue more to read than to write.
pub async fn create_topic(
    link: &Link,
    topic: &str,
    queues: i32,
    attributes: Option<&str>,
) -> Result<()> {
    let special = attributes.is_some();
    let header = CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        read_queue_nums: queues + i32::from(special),
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".to_owned(),
        topic_sys_flag: Some(0),
        order: special,
        attributes: attributes.map(str::to_owned),
        force: false,
    };
    link.ok(RequestCode::UpdateAndCreateTopic, &header, &[]).await.map(|_| ())
}

/// Commits an offset of each group for each queue.
pub async fn commit(link: &Link, step: i64) -> Result<()> {
    for (group, topic, queue_id, offset) in committed(step) {
        commit_one(link, group, (topic, queue_id), offset).await?;
    }
    Ok(())
}

/// Commits an offset.
pub async fn commit_one(
    link: &Link,
    consumer_group: &str,
    (topic, queue_id): (&str, i32),
    offset: i64,
) -> Result<()> {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group,
        topic,
        queue_id: Some(queue_id),
        commit_offset: Some(offset),
    };
    link.ok(RequestCode::UpdateConsumerOffset, &header, &[]).await.map(|_| ())
}

/// The offsets of commit `step`: group, topic, queue and offset, different everywhere.
pub fn committed(step: i64) -> impl Iterator<Item = (&'static str, &'static str, i32, i64)> {
    GROUPS.iter().zip(0..).flat_map(move |(group, at)| {
        queues().map(move |(topic, queue_id)| {
            (*group, topic, queue_id, step + at * 10 + i64::from(queue_id))
        })
    })
}

/// Every queue of the topics.
pub fn queues() -> impl Iterator<Item = (&'static str, i32)> {
    TOPICS.iter().flat_map(|(topic, queues)| (0..*queues).map(move |queue| (*topic, queue)))
}

/// Sends `count` messages and batches, those of one queue in order; returns when all are visible.
pub async fn send(link: &Link, word: &str, count: usize) -> Result<Vec<Ack>> {
    let mut lanes: BTreeMap<(&str, i32), Vec<Planned>> = BTreeMap::new();
    let targets: Vec<_> = queues().filter(|(topic, _)| *topic != DELAYED).collect();
    for number in 0..count {
        // Half of everything goes to one queue, so that it has several files.
        let at = if number % 2 == 0 { 0 } else { number / 2 % targets.len() };
        let (topic, queue_id) = targets[at];
        let planned = plan(topic, queue_id, word, number);
        lanes.entry((topic, queue_id)).or_default().push(planned);
    }
    let lanes = lanes.into_values().map(|lane| async move {
        let mut acks: Vec<Ack> = Vec::new();
        for planned in lane {
            acks.extend(send_one(link, planned).await?);
        }
        if let Some(last) = acks.last() {
            link.await_max(last.topic, last.queue_id, last.queue_offset + 1).await?;
        }
        anyhow::Ok(acks)
    });
    Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
}

/// Sends messages that are delayed by `level`, every other one by the timer for as long; returns
/// their bodies.
pub async fn send_delayed(
    link: &Link,
    word: &str,
    count: usize,
    (level, delay): (i32, Duration),
    release: Release,
) -> Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    for number in 0..count {
        let (mut properties, _) = message(word, number);
        let how = if number.is_multiple_of(2) || !release.is_5() {
            properties.set("DELAY", &level.to_string());
            "level"
        } else {
            let due_ms = now_ms()? + delay.as_millis() as i64;
            properties.set("TIMER_DELIVER_MS", &due_ms.to_string());
            TIMED
        };
        let body = format!("{word} {number} by {how}").into_bytes();
        let queue_id = (number / 2 % 2) as i32;
        send_one(
            link,
            Planned { topic: DELAYED, queue_id, messages: vec![(properties, body.clone())] },
        )
        .await?;
        bodies.push(body);
    }
    Ok(bodies)
}

/// Sends a message without properties of its own.
pub async fn send_body(link: &Link, topic: &'static str, queue_id: i32, body: &[u8]) -> Result<()> {
    send_with(link, topic, queue_id, &PropertiesBuf::new(), body).await.map(|_| ())
}

/// Sends a message with these properties.
pub async fn send_with(
    link: &Link,
    topic: &'static str,
    queue_id: i32,
    properties: &PropertiesBuf,
    body: &[u8],
) -> Result<Vec<Ack>> {
    send_all(link, topic, queue_id, vec![(properties.clone(), body.to_vec())]).await
}

/// Sends messages with their properties, several as a batch.
pub async fn send_all(
    link: &Link,
    topic: &'static str,
    queue_id: i32,
    messages: Vec<(PropertiesBuf, Vec<u8>)>,
) -> Result<Vec<Ack>> {
    send_one(link, Planned { topic, queue_id, messages }).await
}

/// The time.
pub fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}

fn plan(topic: &'static str, queue_id: i32, word: &str, number: usize) -> Planned {
    let len = if number % 20 == 7 { BATCH_LEN } else { 1 };
    let messages = (0..len).map(|at| message(word, number * BATCH_LEN + at)).collect();
    Planned { topic, queue_id, messages }
}

fn message(word: &str, number: usize) -> (PropertiesBuf, Vec<u8>) {
    let mut properties = PropertiesBuf::new();
    properties.push("KEYS", &format!("{word}-{number} {word}-{}", number % 100));
    if !number.is_multiple_of(3) {
        properties.push("TAGS", ["TagA", "TagB", "標籤"][number % 3]);
    }
    // A message without unique key gets one from the broker.
    if !number.is_multiple_of(11) {
        let word: u32 = word.bytes().fold(7, |sum, byte| sum * 31 % 65_521 + u32::from(byte));
        properties.push("UNIQ_KEY", &format!("7F0000010001{word:08X}{number:012X}"));
    }
    properties.push("ключ", "value with spaces, 값");
    properties.push("WAIT", "true");
    let len = match number {
        777 => BODY_LEN_LARGE,
        _ => BODY_LENS[number % BODY_LENS.len()],
    };
    let body = word.bytes().chain((0..len).map(|at| (at * 31 + number) as u8)).collect();
    (properties, body)
}

async fn send_one(link: &Link, planned: Planned) -> Result<Vec<Ack>> {
    let Planned { topic, queue_id, messages } = planned;
    let is_batch = messages.len() > 1;
    let mut body = BytesMut::new();
    for (properties, message) in &messages {
        if is_batch {
            let properties = properties.as_str();
            BatchMessage { flag: 3, body: message, properties }.encode(&mut body)?;
        } else {
            body.extend_from_slice(message);
        }
    }
    let header = SendMessageRequestHeader {
        producer_group: "takeover",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        born_timestamp: 1_700_000_000_000,
        flag: 3,
        properties: Some(if is_batch { "WAIT\u{1}true\u{2}" } else { messages[0].0.as_str() }),
        reconsume_times: Some(0),
        batch: is_batch,
        ..SendMessageRequestHeader::default()
    };
    let code = if is_batch { RequestCode::SendBatchMessage } else { RequestCode::SendMessageV2 };
    let answer = link.ok(code, &Short(header), &body).await?;
    let first = number(&answer, "queueOffset")?;
    let ids: Vec<_> =
        answer.field("msgId").unwrap_or_default().split(',').map(OffsetMessageId::parse).collect();
    ensure!(ids.len() == messages.len(), "{} ids for {} messages", ids.len(), messages.len());
    let acks = messages.into_iter().zip(ids).zip(first..).map(|((message, id), queue_offset)| {
        let Some(id) = id else { anyhow::bail!("an answer with a bad message id") };
        let (properties, body) = message;
        let physical_offset = id.physical_offset;
        Ok(Ack { topic, queue_id, queue_offset, physical_offset, properties, body })
    });
    acks.collect()
}

/// Compares what was acknowledged with what the broker holds.
pub fn check_acks(acks: &[Ack], snapshot: &Snapshot) -> Result<()> {
    for ack in acks {
        let record = snapshot.record(ack.topic, ack.queue_id, ack.queue_offset)?;
        ack.check(&record).with_context(|| format!("{}-{}", ack.topic, ack.queue_id))?;
    }
    Ok(())
}
