//! `queryMsgById`, `queryMsgByKey`, `queryMsgByUniqueKey` and `queryMsgByOffset`.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use remoting::protocol::body::{Body, ConsumeMessageDirectlyResult, MessageQueue};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::ConsumeMessageDirectlyResultRequestHeader;
use serde::Serialize;

use super::fetch::Query;
use super::track::Track;
use super::{Message, NewMessage, Status, decode};
use crate::admin::client::Admin;
use crate::admin::java;
use crate::admin::output::Out;

/// Where bodies are written to.
const BODIES: &str = "/tmp/rocketmq/msgbodys";
/// How long a client may take to consume a message, through its broker.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(15);

/// A message with what became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    offset_id: String,
    #[serde(flatten)]
    message: Message,
    body_path: String,
    tracks: Vec<Track>,
    /// Java prints the id that tells the place in most commands.
    #[serde(skip)]
    with_offset_id: bool,
    #[serde(skip)]
    body_text: Option<String>,
    /// What stands behind each track.
    #[serde(skip)]
    end: &'static str,
}

impl Detail {
    async fn of(admin: &Admin, message: Message, body_file: &str) -> Result<Self> {
        fs::create_dir_all(BODIES).context(BODIES)?;
        let path = Path::new(BODIES).join(body_file);
        fs::write(&path, &message.body).with_context(|| path.display().to_string())?;
        let tracks = admin.tracks(&message).await.unwrap_or_else(|error| {
            eprintln!("{error:#}");
            Vec::new()
        });
        Ok(Self {
            offset_id: message.offset_id(),
            message,
            body_path: path.display().to_string(),
            tracks,
            with_offset_id: true,
            body_text: None,
            end: "\n",
        })
    }
}

impl Display for Detail {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let m = &self.message;
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "{name:<20} {value}");
        if self.with_offset_id {
            line("OffsetID:", &self.offset_id)?;
        }
        line("Topic:", &m.topic)?;
        line("Tags:", &format_args!("[{}]", m.tags().unwrap_or("null")))?;
        line("Keys:", &format_args!("[{}]", m.keys().unwrap_or("null")))?;
        line("Queue ID:", &m.queue_id)?;
        line("Queue Offset:", &m.queue_offset)?;
        line("CommitLog Offset:", &m.commit_log_offset)?;
        line("Reconsume Times:", &m.reconsume_times)?;
        line("Born Timestamp:", &java::date_ms(m.born_timestamp))?;
        line("Store Timestamp:", &java::date_ms(m.store_timestamp))?;
        line("Born Host:", &m.born_host)?;
        line("Store Host:", &m.store_host)?;
        line("System Flag:", &m.sys_flag)?;
        line("Properties:", &m.properties_text())?;
        line("Message Body Path:", &self.body_path)?;
        if let Some(text) = &self.body_text {
            line("Message Body:", text)?;
        }
        if self.tracks.is_empty() {
            return write!(f, "\n\nWARN: No Consumer");
        }
        write!(f, "\n\n")?;
        self.tracks.iter().try_for_each(|track| write!(f, "{}{}", track.java_text(), self.end))
    }
}

/// Finds messages by their ids.
#[derive(Args, Debug)]
pub struct QueryMsgById {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Ids, commas between.
    #[arg(short = 'i', long = "msgId")]
    ids: String,
    /// Lets a member of this group consume the messages.
    #[arg(short = 'g', long = "consumerGroup")]
    group: Option<String>,
    /// The member that is to consume them.
    #[arg(short = 'd', long = "clientId")]
    client: Option<String>,
    /// Sends the messages once more (true or false).
    #[arg(short, long = "sendMessage", value_parser = java::truth)]
    send: Option<bool>,
    /// Taken and not looked at.
    #[arg(short, long = "unitName")]
    unit: Option<String>,
    /// Prints bodies as text of this charset.
    #[arg(short = 'f', long = "bodyFormat")]
    charset: Option<String>,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl QueryMsgById {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let cluster = self.cluster.as_deref();
        for id in self.ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            match (&self.group, &self.client, self.send) {
                (Some(group), Some(client), _) => {
                    let push = Push { topic: &self.topic, id, group, client, cluster };
                    push.run(admin, out).await?;
                }
                (_, _, Some(true)) => self.resend(admin, out, id).await?,
                (_, _, Some(false)) => {}
                (_, _, None) => {
                    let message = admin.message(&self.topic, id, cluster).await?;
                    let id = message.id();
                    let mut detail = Detail::of(admin, message, &id).await?;
                    let charset = self.charset.as_deref();
                    detail.body_text =
                        charset.map(|name| decode(&detail.message.body, name)).transpose()?;
                    out.item(&detail)?;
                }
            }
        }
        Ok(())
    }

    async fn resend(&self, admin: &Admin, out: &Out, id: &str) -> Result<()> {
        let message = admin.message(&self.topic, id, self.cluster.as_deref()).await?;
        out.text(&format!("prepare resend msg. originalMsgId={id}"))?;
        if out.dry_run {
            return Ok(());
        }
        let new = NewMessage::again("ReSendMsgById", &message);
        out.item(&admin.send(&new, None).await?)
    }
}

/// A message that a member of a group is to consume now.
struct Push<'a> {
    topic: &'a str,
    id: &'a str,
    group: &'a str,
    client: &'a str,
    cluster: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Consumed(ConsumeMessageDirectlyResult);

impl Push<'_> {
    async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let info = admin.running_info(self.group, self.client, false).await?;
        let kind = info.properties.get("PROP_CONSUME_TYPE").map(String::as_str);
        if kind != Some("CONSUME_PASSIVELY") {
            bail!("this {} client is not push consumer ,not support direct push", self.client);
        }
        let message = admin.message(self.topic, self.id, self.cluster).await?;
        let header = ConsumeMessageDirectlyResultRequestHeader {
            consumer_group: self.group.to_owned(),
            client_id: Some(self.client.to_owned()),
            msg_id: Some(message.offset_id()),
            topic: Some(self.topic.to_owned()),
            ..Default::default()
        };
        if out.dry_run {
            return out.text("dry run: the message is there and the member is online\n");
        }
        let address = message.store_host.to_string();
        let code = RequestCode::ConsumeMessageDirectly;
        let frame = admin.ask_within(&address, code, &header, &[], CONSUME_TIMEOUT).await?;
        out.item(&Consumed(ConsumeMessageDirectlyResult::decode(frame.body())?))
    }
}

impl Display for Consumed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let result = &self.0;
        write!(
            f,
            "ConsumeMessageDirectlyResult [order={}, autoCommit={}, consumeResult={}, remark={}, \
             spentTimeMills={}]",
            result.order,
            result.auto_commit,
            result.consume_result.map_or("null", |result| result.name()),
            result.remark.as_deref().unwrap_or("null"),
            result.spent_time_mills,
        )
    }
}

/// Finds messages by a key.
#[derive(Args, Debug)]
pub struct QueryMsgByKey {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// The key.
    #[arg(short = 'k', long = "msgKey")]
    key: String,
    /// Stored since, in ms.
    #[arg(short, long = "beginTimestamp", default_value_t = 0)]
    begin: i64,
    /// Stored until, in ms.
    #[arg(short, long = "endTimestamp", default_value_t = i64::MAX, hide_default_value = true)]
    end: i64,
    /// Most messages of each broker.
    #[arg(short, long = "maxNum", default_value_t = 64)]
    max: i32,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Found(Vec<Message>);

impl QueryMsgByKey {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let query = Query {
            topic: &self.topic,
            key: &self.key,
            unique: false,
            max: self.max,
            begin_ms: self.begin,
            end_ms: self.end,
            cluster: self.cluster.as_deref(),
        };
        out.print(&Found(admin.query(&query).await?))
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<50} {:>4} {:>40}", "#Message ID", "#QID", "#Offset")?;
        self.0.iter().try_for_each(|message| {
            let (queue, offset) = (message.queue_id, message.queue_offset);
            writeln!(f, "{:<50} {queue:>4} {offset:>40}", message.id())
        })
    }
}

/// Finds messages by the unique id that their sender gave them.
#[derive(Args, Debug)]
pub struct QueryMsgByUniqueKey {
    /// The id.
    #[arg(short = 'i', long = "msgId")]
    id: String,
    /// Lets a member of this group consume the message.
    #[arg(short = 'g', long = "consumerGroup")]
    group: Option<String>,
    /// The member that is to consume it.
    #[arg(short = 'd', long = "clientId")]
    client: Option<String>,
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Not only the one that was stored first.
    #[arg(short = 'a', long = "showAll")]
    all: bool,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl QueryMsgByUniqueKey {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let cluster = self.cluster.as_deref();
        if let (Some(group), Some(client)) = (&self.group, &self.client) {
            let push = Push { topic: &self.topic, id: &self.id, group, client, cluster };
            return push.run(admin, out).await;
        }
        let query = Query {
            topic: &self.topic,
            key: &self.id,
            unique: true,
            max: 32,
            begin_ms: 0,
            end_ms: i64::MAX,
            cluster,
        };
        let mut found = admin.query(&query).await?;
        found.sort_by_key(|message| message.store_timestamp);
        found.truncate(if self.all { found.len() } else { 1 });
        for (at, message) in found.into_iter().enumerate() {
            let id = message.id();
            let file = if at == 0 { id } else { format!("{id}_{at}") };
            let mut detail = Detail::of(admin, message, &file).await?;
            detail.with_offset_id = false;
            detail.end = "";
            out.item(&detail)?;
        }
        Ok(())
    }
}

/// Finds the message at an offset of a queue.
#[derive(Args, Debug)]
pub struct QueryMsgByOffset {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Name of the broker.
    #[arg(short, long = "brokerName")]
    broker: String,
    /// Id of the queue.
    #[arg(short = 'i', long = "queueId")]
    queue_id: i32,
    /// The offset.
    #[arg(short, long)]
    offset: i64,
    /// Prints the body as text of this charset.
    #[arg(short = 'f', long = "bodyFormat")]
    charset: Option<String>,
}

impl QueryMsgByOffset {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let queue = MessageQueue {
            broker_name: self.broker.clone(),
            queue_id: self.queue_id,
            topic: self.topic.clone(),
        };
        let address = admin.broker_of(&self.topic, &self.broker).await?;
        let pulled = admin.pull(&address, &queue, "*", self.offset, 1).await?;
        if pulled.status != Status::Found {
            return Ok(());
        }
        for message in pulled.messages.into_iter().take(1) {
            let id = message.id();
            let mut detail = Detail::of(admin, message, &id).await?;
            let charset = self.charset.as_deref();
            detail.body_text =
                charset.map(|name| decode(&detail.message.body, name)).transpose()?;
            out.print(&detail)?;
        }
        Ok(())
    }
}
