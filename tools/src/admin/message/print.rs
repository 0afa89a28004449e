//! `printMsg`, `printMsgByQueue` and `consumeMessage`: reading queues from one offset to another.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use indicatif::ProgressBar;
use remoting::protocol::body::MessageQueue;
use serde::Serialize;

use super::{Message, Status, decode};
use crate::admin::client::{Admin, selected};
use crate::admin::output::Out;
use crate::admin::{java, progress, topic};

/// Messages pulled at once.
const BATCH: i32 = 32;
/// Asks for the end of a queue.
const END: i64 = -1;

/// A message and its body as text.
#[derive(Serialize)]
struct Printed<'a> {
    id: String,
    #[serde(flatten)]
    message: &'a Message,
    #[serde(skip)]
    body_text: String,
}

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = self.message.java_text();
        writeln!(f, "MSGID: {} {text} BODY: {}", self.id, self.body_text)
    }
}

/// How messages are printed.
struct Printer<'a> {
    out: &'a Out,
    charset: &'a str,
    bodies: bool,
}

impl Printer<'_> {
    fn print(&self, message: &Message) -> Result<()> {
        let body_text = match self.bodies {
            true => decode(&message.body, self.charset)?,
            false => "NOT PRINT BODY".to_owned(),
        };
        self.out.item(&Printed { id: message.id(), message, body_text })
    }
}

fn queue_text(queue: &MessageQueue) -> String {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    format!("MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]")
}

/// A bar of so many messages.
fn bar(out: &Out, len: i64) -> ProgressBar {
    match out.colours() {
        // On a terminal the messages themselves are the progress.
        true => ProgressBar::hidden(),
        false => progress::steps(u64::try_from(len).unwrap_or_default()),
    }
}

/// A queue and the address of its broker.
async fn queues(
    admin: &Admin,
    topic: &str,
    parent: Option<&str>,
) -> Result<Vec<(MessageQueue, String)>> {
    let route = admin.route(parent.unwrap_or(topic)).await?;
    let mut queues = topic::readable(topic, &route);
    java::queue_order(&mut queues, |queue| queue);
    let address = |name: &str| {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == name)?;
        selected(broker).map(str::to_owned)
    };
    let with_address = |queue: MessageQueue| {
        let address = address(&queue.broker_name).with_context(|| {
            format!("the route of {topic} has no address of {}", queue.broker_name)
        })?;
        Ok((queue, address))
    };
    queues.into_iter().map(with_address).collect()
}

/// The part of a queue between two times; a time that is not given is the end of the queue.
async fn span(
    admin: &Admin,
    address: &str,
    queue: &MessageQueue,
    [begin, end]: [Option<i64>; 2],
) -> Result<(i64, i64)> {
    let min = match begin {
        Some(time) => admin.offset_at(address, &queue.topic, queue.queue_id, time).await?,
        None => admin.min_offset(address, queue).await?,
    };
    let time = end.unwrap_or(END);
    let max = admin.offset_at(address, &queue.topic, queue.queue_id, time).await?;
    Ok((min, max))
}

fn time(text: Option<&str>) -> Result<Option<i64>> {
    let now_ms = runtime::clock::now_ms();
    let read = |text| java::parse_time(text, now_ms).with_context(|| format!("time `{text}`"));
    text.map(read).transpose()
}

/// Which messages, and how their bodies are read.
#[derive(Args, Debug)]
struct Choice {
    /// Charset of the bodies.
    #[arg(short, long = "charsetName", default_value = "UTF-8")]
    charset: String,
    /// Tags, `||` between.
    #[arg(short = 's', long = "subExpression", default_value = "*")]
    expression: String,
    /// Stored since: ms, or `yyyy-MM-dd#HH:mm:ss:SSS`.
    #[arg(short, long = "beginTimestamp")]
    begin: Option<String>,
    /// Stored until.
    #[arg(short, long = "endTimestamp")]
    end: Option<String>,
}

impl Choice {
    fn times(&self) -> Result<[Option<i64>; 2]> {
        Ok([time(self.begin.as_deref())?, time(self.end.as_deref())?])
    }
}

/// Prints the messages of a topic.
#[derive(Args, Debug)]
pub struct PrintMsg {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    #[command(flatten)]
    choice: Choice,
    /// With bodies (true or false).
    #[arg(short = 'd', long = "printBody", action = ArgAction::Set, value_parser = java::truth, default_value = "true")]
    bodies: bool,
    /// The topic that a light queue belongs to.
    #[arg(short, long = "lmqParentTopic")]
    lmq_parent: Option<String>,
}

impl PrintMsg {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let times = self.choice.times()?;
        let printer = Printer { out, charset: &self.choice.charset, bodies: self.bodies };
        for (queue, address) in queues(admin, &self.topic, self.lmq_parent.as_deref()).await? {
            let (min, max) = span(admin, &address, &queue, times).await?;
            let name = queue_text(&queue);
            out.text(&format!("minOffset={min}, maxOffset={max}, {name}\n"))?;
            let bar = bar(out, max - min);
            let mut offset = min;
            while offset < max {
                let pulled =
                    admin.pull(&address, &queue, &self.choice.expression, offset, BATCH).await?;
                offset = pulled.next;
                bar.set_position(u64::try_from(offset - min).unwrap_or_default());
                let (status, at) = (pulled.status.name(), offset);
                match pulled.status {
                    Status::Found => pulled.messages.iter().try_for_each(|m| printer.print(m))?,
                    Status::NoMatchedMessage => {
                        let text = format!("{name} no matched msg. status={status}, offset={at}\n");
                        out.text(&text)?;
                    }
                    Status::NoNewMessage | Status::OffsetIllegal => {
                        out.text(&finished(&name, pulled.status, at))?;
                        break;
                    }
                }
            }
            bar.finish_and_clear();
            out.text(&format!("{}\n", "-".repeat(56)))?;
        }
        Ok(())
    }
}

fn finished(queue: &str, status: Status, offset: i64) -> String {
    format!("{queue} print msg finished. status={}, offset={offset}\n", status.name())
}

/// Prints or counts the messages of a queue.
#[derive(Args, Debug)]
pub struct PrintMsgByQueue {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Name of the broker.
    #[arg(short = 'a', long = "brokerName")]
    broker: String,
    /// Id of the queue.
    #[arg(short = 'i', long = "queueId")]
    queue_id: i32,
    #[command(flatten)]
    choice: Choice,
    /// Prints the messages (true or false).
    #[arg(short, long = "print", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    print: bool,
    /// With bodies (true or false).
    #[arg(short = 'd', long = "printBody", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    bodies: bool,
    /// Counts the messages by tag (true or false).
    #[arg(short = 'f', long = "calculate", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    count: bool,
}

#[derive(Serialize)]
struct Counts {
    tags: Vec<(String, u64)>,
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.tags.iter().try_for_each(|(tag, count)| writeln!(f, "Tag: {tag:<30} Count: {count}"))
    }
}

impl PrintMsgByQueue {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let times = self.choice.times()?;
        let printer = Printer { out, charset: &self.choice.charset, bodies: self.bodies };
        let address = admin.broker_of(&self.topic, &self.broker).await?;
        let queue = MessageQueue {
            broker_name: self.broker.clone(),
            queue_id: self.queue_id,
            topic: self.topic.clone(),
        };
        let (min, max) = span(admin, &address, &queue, times).await?;
        let bar = bar(out, max - min);
        let mut tags: BTreeMap<String, u64> = BTreeMap::new();
        let mut offset = min;
        while offset < max {
            let pulled =
                admin.pull(&address, &queue, &self.choice.expression, offset, BATCH).await?;
            offset = pulled.next;
            bar.set_position(u64::try_from(offset - min).unwrap_or_default());
            if pulled.status != Status::Found {
                break;
            }
            for message in &pulled.messages {
                if let Some(tag) = message.tags() {
                    *tags.entry(tag.to_owned()).or_default() += 1;
                }
                if self.print {
                    printer.print(message)?;
                }
            }
        }
        bar.finish_and_clear();
        if !self.count {
            return Ok(());
        }
        let mut tags: Vec<_> = tags.into_iter().collect();
        tags.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        out.item(&Counts { tags })
    }
}

/// Prints some of the oldest messages of a topic or a queue; no offset is committed.
#[derive(Args, Debug)]
pub struct ConsumeMessage {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Name of the broker.
    #[arg(short, long = "brokerName")]
    broker: Option<String>,
    /// Id of the queue.
    #[arg(short = 'i', long = "queueId", requires = "broker")]
    queue_id: Option<i32>,
    /// Offset to begin with.
    #[arg(short, long, requires = "queue_id")]
    offset: Option<i64>,
    /// Taken and not looked at: messages are pulled without a group's offsets.
    #[arg(short = 'g', long = "consumerGroup")]
    group: Option<String>,
    /// Stored since: ms, or `yyyy-MM-dd#HH:mm:ss:SSS`.
    #[arg(short = 's', long = "beginTimestamp")]
    begin: Option<String>,
    /// Stored until.
    #[arg(short, long = "endTimestamp")]
    end: Option<String>,
    /// Most messages.
    #[arg(short = 'c', long = "MessageNumber", default_value_t = 128)]
    count: i64,
}

impl ConsumeMessage {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if self.count <= 0 {
            bail!("Please input a positive messageNumber!");
        }
        let times = self.times()?;
        match (&self.broker, self.queue_id) {
            (Some(broker), Some(queue_id)) => {
                let topic = self.topic.clone();
                let queue = MessageQueue { broker_name: broker.clone(), queue_id, topic };
                self.one_queue(admin, out, &queue, times).await
            }
            _ => self.all_queues(admin, out, times).await,
        }
    }

    fn times(&self) -> Result<[Option<i64>; 2]> {
        let now_ms = runtime::clock::now_ms();
        let [begin, end] = [time(self.begin.as_deref())?, time(self.end.as_deref())?];
        if begin.is_some_and(|at| at > now_ms) {
            bail!("Please set the beginTimestamp before now!");
        }
        if end.is_some_and(|at| at > now_ms) {
            bail!("Please set the endTimestamp before now!");
        }
        if begin.zip(end).is_some_and(|(begin, end)| begin > end) {
            bail!(
                "Please make sure that the beginTimestamp is less than or equal to the endTimestamp"
            );
        }
        Ok([begin, end])
    }

    async fn one_queue(
        &self,
        admin: &Admin,
        out: &Out,
        queue: &MessageQueue,
        times: [Option<i64>; 2],
    ) -> Result<()> {
        let address = admin.broker_of(&queue.topic, &queue.broker_name).await?;
        let (min, mut max) = span(admin, &address, queue, times).await?;
        let offset = self.offset.unwrap_or_default();
        if offset > max {
            return out.text(&format!("{} no matched msg, offset={offset}\n", queue_text(queue)));
        }
        let min = min.max(offset);
        if max - min > self.count {
            out.text(&format!("The oldler {} message will be provided\n", self.count))?;
            max = min + self.count - 1;
        }
        print(admin, out, &address, queue, (min, max)).await
    }

    async fn all_queues(&self, admin: &Admin, out: &Out, times: [Option<i64>; 2]) -> Result<()> {
        let mut left = self.count;
        for (queue, address) in queues(admin, &self.topic, None).await? {
            if left <= 0 {
                return Ok(());
            }
            let (min, mut max) = span(admin, &address, &queue, times).await?;
            if max - min > left {
                let id = queue.queue_id;
                out.text(&format!(
                    "The older {left} message of the {id} queue will be provided\n"
                ))?;
                max = min + left - 1;
                left = 0;
            } else {
                // Java quirk: an empty queue counts as one message.
                left -= max - min + 1;
            }
            print(admin, out, &address, &queue, (min, max)).await?;
        }
        Ok(())
    }
}

/// Prints the messages from one offset to another, that included.
async fn print(
    admin: &Admin,
    out: &Out,
    address: &str,
    queue: &MessageQueue,
    (min, max): (i64, i64),
) -> Result<()> {
    let printer = Printer { out, charset: "UTF-8", bodies: true };
    let name = queue_text(queue);
    let mut offset = min;
    while offset <= max {
        let count = i32::try_from(max - offset + 1).unwrap_or(i32::MAX);
        let pulled = admin.pull(address, queue, "*", offset, count).await?;
        offset = pulled.next;
        match pulled.status {
            Status::Found => {
                out.text("Consume ok\n")?;
                pulled.messages.iter().try_for_each(|message| printer.print(message))?;
            }
            Status::NoMatchedMessage => {
                let status = pulled.status.name();
                out.text(&format!("{name} no matched msg. status={status}, offset={offset}\n"))?;
            }
            Status::NoNewMessage | Status::OffsetIllegal => {
                return out.text(&finished(&name, pulled.status, offset));
            }
        }
    }
    Ok(())
}
