//! `sendMessage`, `checkMsgSendRT` and `sendMsgStatus`.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use remoting::protocol::body::{MessageQueue, TopicRouteData};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{SendMessageRequestHeader, SendMessageResponseHeader, Short};
use remoting::protocol::message::id::UniqueKeys;
use remoting::protocol::message::properties::{PropertiesBuf, property};
use serde::Serialize;

use super::Message;
use crate::admin::client::{Admin, TIMEOUT, code_of, master, refuse};
use crate::admin::java;
use crate::admin::output::Out;

/// Template of topics that do not exist yet, and its queues.
const TEMPLATE: (&str, i32) = ("TBW102", 4);

/// A message to send.
pub struct NewMessage {
    producer_group: String,
    topic: String,
    flag: i32,
    properties: PropertiesBuf,
    body: Vec<u8>,
}

impl NewMessage {
    /// A message of a group; groups need no registration.
    pub fn new(producer_group: &str, topic: &str, body: Vec<u8>) -> Self {
        let mut properties = PropertiesBuf::new();
        properties.push(property::WAIT, "true");
        let (producer_group, topic) = (producer_group.to_owned(), topic.to_owned());
        Self { producer_group, topic, flag: 0, properties, body }
    }

    /// A stored message once more, under the id that it had.
    pub fn again(producer_group: &str, message: &Message) -> Self {
        let mut new = Self::new(producer_group, &message.topic, message.body.clone());
        new.flag = message.flag;
        new.properties = PropertiesBuf::new();
        for (name, value) in &message.properties {
            new.properties.set(name, value);
        }
        new
    }

    /// Sends it to another topic.
    pub fn topic(mut self, topic: &str) -> Self {
        topic.clone_into(&mut self.topic);
        self
    }

    /// Sets a property.
    pub fn set(&mut self, name: &str, value: &str) {
        self.properties.set(name, value);
    }

    /// Removes a property.
    pub fn remove(&mut self, name: &str) {
        self.properties.remove(name);
    }
}

/// Where a message went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Java's name of how it came out.
    pub status: &'static str,
    /// The id that the sender gave it.
    pub msg_id: String,
    /// The id that tells where it is.
    pub offset_msg_id: String,
    /// Its queue.
    pub queue: MessageQueue,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// What takes a message for later back.
    pub recall_handle: Option<String>,
}

impl Display for Sent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let MessageQueue { topic, broker_name, queue_id } = &self.queue;
        write!(
            f,
            "SendResult [sendStatus={}, msgId={}, offsetMsgId={}, messageQueue=MessageQueue \
             [topic={topic}, brokerName={broker_name}, queueId={queue_id}], queueOffset={}, \
             recallHandle={}]",
            self.status,
            self.msg_id,
            self.offset_msg_id,
            self.queue_offset,
            self.recall_handle.as_deref().unwrap_or("null"),
        )
    }
}

impl Admin {
    /// Sends a message to a queue, or to one that can be written to.
    pub async fn send(&self, message: &NewMessage, queue: Option<&MessageQueue>) -> Result<Sent> {
        let (route, queues) = self.writable(&message.topic).await?;
        let queue = match queue {
            Some(queue) => queue.clone(),
            None => {
                let turn = runtime::clock::now_ms().unsigned_abs() as usize;
                let at = turn.checked_rem(queues.len());
                at.map(|at| queues[at].clone())
                    .with_context(|| format!("no queue of {} can be written to", message.topic))?
            }
        };
        let name = &queue.broker_name;
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == *name);
        let address = broker.and_then(master);
        let address = address.with_context(|| format!("The broker[{name}] not exist"))?.to_owned();
        self.send_to(&address, message, queue).await
    }

    /// The route of a topic, or of the template if it does not exist yet, and its queues that can
    /// be written to.
    pub async fn writable(&self, topic: &str) -> Result<(TopicRouteData, Vec<MessageQueue>)> {
        let (route, most) = match self.route(topic).await {
            Ok(route) => (route, i32::MAX),
            Err(error) if code_of(&error) == Some(ResponseCode::TopicNotExist.into()) => {
                (self.route(TEMPLATE.0).await.map_err(|_| error)?, TEMPLATE.1)
            }
            Err(error) => return Err(error),
        };
        let mut queues = Vec::new();
        let mut brokers: Vec<_> =
            route.queue_datas.iter().filter(|queues| queues.perm & 2 != 0).collect();
        brokers.sort_by_key(|queues| &queues.broker_name);
        for data in brokers {
            queues.extend((0..data.write_queue_nums.min(most)).map(|queue_id| MessageQueue {
                broker_name: data.broker_name.clone(),
                queue_id,
                topic: topic.to_owned(),
            }));
        }
        Ok((route, queues))
    }

    async fn send_to(
        &self,
        address: &str,
        message: &NewMessage,
        queue: MessageQueue,
    ) -> Result<Sent> {
        let now_ms = runtime::clock::now_ms();
        let mut properties = PropertiesBuf::from_raw(message.properties.as_str());
        if !properties.view().contains(property::UNIQ_KEY) {
            properties.push(property::UNIQ_KEY, &unique_key(now_ms));
        }
        let header = SendMessageRequestHeader {
            producer_group: &message.producer_group,
            topic: &message.topic,
            default_topic: TEMPLATE.0,
            default_topic_queue_nums: TEMPLATE.1,
            queue_id: queue.queue_id,
            born_timestamp: now_ms,
            flag: message.flag,
            properties: Some(properties.as_str()),
            reconsume_times: Some(0),
            broker_name: Some(&queue.broker_name),
            ..SendMessageRequestHeader::default()
        };
        let code = RequestCode::SendMessageV2;
        let frame = self.call(address, code, &Short(header), &[], &message.body, TIMEOUT).await?;
        let status = match ResponseCode::from_i32(frame.code()) {
            Some(ResponseCode::Success) => "SEND_OK",
            Some(ResponseCode::FlushDiskTimeout) => "FLUSH_DISK_TIMEOUT",
            Some(ResponseCode::FlushSlaveTimeout) => "FLUSH_SLAVE_TIMEOUT",
            Some(ResponseCode::SlaveNotAvailable) => "SLAVE_NOT_AVAILABLE",
            _ => return Err(refuse(frame.code(), frame.remark().unwrap_or("null"))),
        };
        let answer: SendMessageResponseHeader<'_> = frame.header()?;
        Ok(Sent {
            status,
            msg_id: properties.view().get(property::UNIQ_KEY).unwrap_or_default().to_owned(),
            offset_msg_id: answer.msg_id.to_owned(),
            queue: MessageQueue { queue_id: answer.queue_id, ..queue },
            queue_offset: answer.queue_offset,
            recall_handle: answer.recall_handle.map(str::to_owned),
        })
    }
}

/// A new id, told apart from those of others by the process and the time.
fn unique_key(now_ms: i64) -> String {
    static KEYS: std::sync::OnceLock<UniqueKeys> = std::sync::OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let hash = now_ms as i32 ^ std::process::id().cast_signed();
        UniqueKeys::new(IpAddr::V4(Ipv4Addr::LOCALHOST), std::process::id(), hash)
    });
    let mut key = String::new();
    keys.append_next(now_ms, &mut key);
    key
}

/// Sends a message.
#[derive(Args, Debug)]
pub struct SendMessage {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// The body.
    #[arg(short = 'p', long)]
    body: String,
    /// Keys, blanks between.
    #[arg(short, long)]
    key: Option<String>,
    /// Tag.
    #[arg(short = 'c', long)]
    tags: Option<String>,
    /// Name of the broker; counts with -i only.
    #[arg(short, long)]
    broker: Option<String>,
    /// Id of the queue.
    #[arg(short = 'i', long = "qid")]
    queue_id: Option<i32>,
    /// Whether it is traced (true or false); this tool sends no traces.
    #[arg(short = 'm', long = "msgTraceEnable", value_parser = java::truth)]
    trace: Option<bool>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct SentRow(Sent);

impl SendMessage {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if self.queue_id.is_some() && self.broker.is_none() {
            bail!("Broker name must be set if the queue is chosen!");
        }
        if self.trace == Some(true) {
            bail!("msgTraceEnable: this tool sends no traces");
        }
        let group = runtime::clock::now_ms().to_string();
        let mut message = NewMessage::new(&group, &self.topic, self.body.clone().into_bytes());
        if let Some(key) = &self.key {
            message.set(property::KEYS, key);
        }
        if let Some(tags) = &self.tags {
            message.set(property::TAGS, tags);
        }
        let queue = match (&self.broker, self.queue_id) {
            (Some(broker), Some(queue_id)) if queue_id > -1 => Some(MessageQueue {
                broker_name: broker.clone(),
                queue_id,
                topic: self.topic.clone(),
            }),
            _ => None,
        };
        if out.dry_run {
            let (_, queues) = admin.writable(&self.topic).await?;
            return out.text(&format!("dry run: {} queues can be written to\n", queues.len()));
        }
        out.print(&SentRow(admin.send(&message, queue.as_ref()).await?))
    }
}

impl Display for SentRow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(sent) = self;
        let [broker, id, result, key] = ["#Broker Name", "#QID", "#Send Result", "#MsgId"];
        writeln!(f, "{broker:<32}  {id:<4}  {result:<20}    {key}")?;
        let MessageQueue { broker_name, queue_id, .. } = &sent.queue;
        writeln!(f, "{broker_name:<32}  {queue_id:<4}  {:<20}    {}", sent.status, sent.msg_id)
    }
}

/// Sends messages to a topic and shows how long each took.
#[derive(Args, Debug)]
pub struct CheckMsgSendRt {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Number of messages.
    #[arg(short, long, default_value_t = 100)]
    amount: usize,
    /// Bytes of each.
    #[arg(short, long, default_value_t = 128)]
    size: usize,
}

/// How long a send took.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timed {
    broker_name: String,
    queue_id: i32,
    sent: bool,
    ms: u128,
}

impl Display for Timed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { broker_name, queue_id, sent, ms } = self;
        writeln!(f, "{broker_name:<32}  {queue_id:<4}  {:<20}    {ms}", sent.to_string())
    }
}

impl CheckMsgSendRt {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let (_, queues) = admin.writable(&self.topic).await?;
        if queues.is_empty() {
            bail!("no queue of {} can be written to", self.topic);
        }
        let group = runtime::clock::now_ms().to_string();
        let message = NewMessage::new(&group, &self.topic, vec![b'a'; self.size]);
        let [broker, id, result, rt] = ["#Broker Name", "#QID", "#Send Result", "#RT"];
        out.text(&format!("{broker:<32}  {id:<4}  {result:<20}    {rt}\n"))?;
        let mut total = 0;
        for turn in 0..self.amount {
            let queue = &queues[turn % queues.len()];
            let start = Instant::now();
            let sent = admin.send(&message, Some(queue)).await.is_ok();
            let ms = start.elapsed().as_millis();
            // The first one connects.
            total += if turn == 0 { 0 } else { ms };
            let (broker_name, queue_id) = (queue.broker_name.clone(), queue.queue_id);
            out.item(&Timed { broker_name, queue_id, sent, ms })?;
        }
        let average = total as f64 / (self.amount as f64 - 1.0);
        out.text(&format!("Avg RT: {}\n", java::fixed(average, 2)))
    }
}

/// Sends messages to the topic of a broker and shows how long each took.
#[derive(Args, Debug)]
pub struct SendMsgStatus {
    /// Name of the broker, which is also the name of its topic.
    #[arg(short, long = "brokerName")]
    broker: String,
    /// Bytes of each message.
    #[arg(short = 's', long = "messageSize", default_value_t = 128)]
    size: usize,
    /// Number of messages.
    #[arg(short, long, default_value_t = 50)]
    count: usize,
}

#[derive(Serialize)]
struct TimedSend {
    ms: u128,
    #[serde(flatten)]
    sent: Sent,
}

impl Display for TimedSend {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "rt={}ms, SendResult={}", self.ms, self.sent)
    }
}

impl SendMsgStatus {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let message = |size| NewMessage::new("PID_SMSC", &self.broker, vec![b'a'; size]);
        admin.send(&message(16), None).await?;
        for _ in 0..self.count {
            let start = Instant::now();
            let sent = admin.send(&message(self.size), None).await?;
            out.item(&TimedSend { ms: start.elapsed().as_millis(), sent })?;
        }
        Ok(())
    }
}
