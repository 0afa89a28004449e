//! `mqadmin dlq`: messages that groups gave up.
//!
//! They lie in `%DLQ%GROUP`. How far they have been replayed is the offset of this tool's group in
//! that topic, so a second replay goes on where the first ended.

use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use remoting::protocol::body::MessageQueue;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    QueryConsumerOffsetRequestHeader, QueryConsumerOffsetResponseHeader,
};
use remoting::protocol::message::properties::property;
use serde::Serialize;

use super::changes::Changes;
use super::client::{Admin, selected};
use super::java;
use super::message::{Message, NewMessage, Status};
use super::output::Out;
use super::progress;
use super::table::table;

/// The group whose offsets tell how far dead letters are replayed.
const REPLAYER: &str = "TOOLS_CONSUMER";
/// Messages pulled at once.
const BATCH: i32 = 32;

/// Lists, replays and deletes messages that groups gave up.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Shows which groups gave up how many messages, or those of one group.
    List(List),
    /// Gives a group the messages that it gave up once more; goes on behind the last replay.
    Replay(Replay),
    /// Deletes the messages that a group gave up.
    Purge(Purge),
}

/// Which dead letters to show.
#[derive(Args, Debug)]
pub struct List {
    /// Name of the group; all without it.
    group: Option<String>,
    /// Most messages.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Which dead letters to give once more, and to whom.
#[derive(Args, Debug)]
pub struct Replay {
    /// Name of the group.
    group: String,
    /// Only the message with this id.
    #[arg(long)]
    id: Option<String>,
    /// Sends to the topic that the messages came from, for all its groups, not to this group only.
    #[arg(long)]
    to_topic: bool,
    /// Begins with the first, also if it was replayed before.
    #[arg(long)]
    from_start: bool,
}

/// Whose dead letters to delete.
#[derive(Args, Debug)]
pub struct Purge {
    /// Name of the group.
    group: String,
}

impl DlqCommand {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        match self {
            Self::List(List { group: None, .. }) => out.print(&groups(admin).await?),
            Self::List(List { group: Some(group), limit }) => {
                let mut letters = Vec::new();
                for place in places(admin, group).await? {
                    let mut at = place.min;
                    while at < place.max && letters.len() < *limit {
                        let (next, messages) = place.read(admin, at).await?;
                        at = next;
                        letters.extend(messages.iter().map(Letter::of));
                    }
                }
                letters.truncate(*limit);
                out.print(&Letters(letters))
            }
            Self::Replay(replay) => replay.run(admin, out).await,
            Self::Purge(Purge { group }) => purge(admin, out, group).await,
        }
    }
}

/// A queue of dead letters.
struct Place {
    queue: MessageQueue,
    address: String,
    min: i64,
    max: i64,
}

impl Place {
    /// The messages from an offset on, and where to go on.
    async fn read(&self, admin: &Admin, offset: i64) -> Result<(i64, Vec<Message>)> {
        let pulled = admin.pull(&self.address, &self.queue, "*", offset, BATCH).await?;
        match pulled.status {
            Status::Found | Status::NoMatchedMessage => Ok((pulled.next, pulled.messages)),
            Status::OffsetIllegal if pulled.next > offset => Ok((pulled.next, Vec::new())),
            Status::NoNewMessage | Status::OffsetIllegal => Ok((self.max, Vec::new())),
        }
    }

    /// How far the queue has been replayed.
    async fn replayed(&self, admin: &Admin) -> Result<i64> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: REPLAYER,
            topic: &self.queue.topic,
            queue_id: self.queue.queue_id,
            set_zero_if_not_found: Some(false),
        };
        let code = RequestCode::QueryConsumerOffset;
        let frame =
            admin.call(&self.address, code, &header, &[], &[], super::client::TIMEOUT).await?;
        // Any other answer says that there is no offset yet.
        let known = match frame.code() {
            0 => frame.header::<QueryConsumerOffsetResponseHeader>()?.offset,
            _ => self.min,
        };
        Ok(known.max(self.min))
    }
}

async fn places(admin: &Admin, group: &str) -> Result<Vec<Place>> {
    let name = format!("%DLQ%{group}");
    let route = admin.route(&name).await?;
    let stats = admin.topic_stats(&name, &route).await?;
    let mut places = Vec::new();
    // A queue that clients cannot read holds dead letters all the same.
    for (queue, bounds) in stats.offset_table {
        let broker =
            route.broker_datas.iter().find(|broker| broker.broker_name == queue.broker_name);
        let Some(address) = broker.and_then(selected) else { continue };
        let (min, max) = (bounds.min_offset, bounds.max_offset);
        places.push(Place { queue, address: address.to_owned(), min, max });
    }
    Ok(places)
}

/// A group and what it gave up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group: String,
    messages: i64,
    not_replayed: i64,
    last_ms: i64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Groups(Vec<Group>);

async fn groups(admin: &Admin) -> Result<Groups> {
    let mut all = Vec::new();
    for name in admin.topic_names().await? {
        let Some(group) = name.strip_prefix("%DLQ%") else { continue };
        let route = admin.route(&name).await?;
        let stats = admin.topic_stats(&name, &route).await?;
        let last = stats.offset_table.values().map(|bounds| bounds.last_update_timestamp).max();
        let (mut messages, mut not_replayed) = (0, 0);
        for place in places(admin, group).await? {
            messages += place.max - place.min;
            not_replayed += place.max - place.replayed(admin).await?;
        }
        let (group, last_ms) = (group.to_owned(), last.unwrap_or_default());
        all.push(Group { group, messages, not_replayed, last_ms });
    }
    all.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(Groups(all))
}

impl Display for Groups {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|group| {
            let last = if group.last_ms > 0 { java::date(group.last_ms) } else { String::new() };
            let counts = [group.messages.to_string(), group.not_replayed.to_string()];
            let [messages, not_replayed] = counts;
            [group.group.clone(), messages, not_replayed, last]
        });
        f.write_str(&table(&["Group", "Messages", "Not replayed", "Last"], rows))
    }
}

/// A message that a group gave up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    id: String,
    broker: String,
    queue_id: i32,
    queue_offset: i64,
    topic: String,
    tags: Option<String>,
    keys: Option<String>,
    tries: i32,
    stored_ms: i64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Letters(Vec<Letter>);

impl Letter {
    fn of(message: &Message) -> Self {
        Self {
            id: message.id(),
            broker: message.broker_name.clone().unwrap_or_default(),
            queue_id: message.queue_id,
            queue_offset: message.queue_offset,
            topic: origin(message).unwrap_or_default().to_owned(),
            tags: message.tags().map(str::to_owned),
            keys: message.keys().map(str::to_owned),
            tries: message.reconsume_times,
            stored_ms: message.store_timestamp,
        }
    }
}

/// The topic that a dead letter came from.
fn origin(message: &Message) -> Option<&str> {
    let names = [property::DLQ_ORIGIN_TOPIC, property::RETRY_TOPIC];
    names.iter().find_map(|name| message.property(name))
}

impl Display for Letters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|letter| {
            [
                letter.id.clone(),
                format!("{}/{}/{}", letter.broker, letter.queue_id, letter.queue_offset),
                letter.topic.clone(),
                letter.tags.clone().unwrap_or_default(),
                letter.keys.clone().unwrap_or_default(),
                letter.tries.to_string(),
                java::date(letter.stored_ms),
            ]
        });
        let heads = ["Message", "Place", "From topic", "Tag", "Keys", "Tries", "Stored"];
        f.write_str(&table(&heads, rows))
    }
}

/// What a replay has come to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    dry_run: bool,
    sent: u64,
    to: String,
}

impl Display for Replayed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mark = if self.dry_run { "dry run: " } else { "" };
        writeln!(f, "{mark}{} messages sent to {}", self.sent, self.to)
    }
}

impl Replay {
    async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let places = places(admin, &self.group).await?;
        let to = match self.to_topic {
            true => "the topics they came from".to_owned(),
            false => format!("%RETRY%{}", self.group),
        };
        out.confirm(&format!("Send what {} gave up to {to}", self.group))?;
        let total: i64 = places.iter().map(|place| place.max - place.min).sum();
        let bar = progress::steps(u64::try_from(total).unwrap_or_default());
        let mut sent = 0;
        for place in &places {
            let whole = self.from_start || self.id.is_some();
            let mut at = if whole { place.min } else { place.replayed(admin).await? };
            while at < place.max {
                let (next, messages) = place.read(admin, at).await?;
                for message in messages.iter().filter(|message| self.means(message)) {
                    if !out.dry_run {
                        admin.send(&self.letter(message)?, None).await?;
                    }
                    sent += 1;
                    bar.inc(1);
                }
                at = next;
                if self.id.is_none() && !out.dry_run {
                    // What was sent is not sent again if a later one fails.
                    admin.commit(&place.address, REPLAYER, &place.queue, at).await?;
                }
            }
        }
        bar.finish_and_clear();
        if let (0, Some(id)) = (sent, &self.id) {
            bail!("{id} is none of what {} gave up", self.group);
        }
        out.print(&Replayed { dry_run: out.dry_run, sent, to })
    }

    fn means(&self, message: &Message) -> bool {
        self.id.as_ref().is_none_or(|id| *id == message.id() || *id == message.offset_id())
    }

    /// The message as its group, or the topic that it came from, gets it once more. Its tries
    /// count from the start.
    fn letter(&self, message: &Message) -> Result<NewMessage> {
        let Some(topic) = origin(message) else {
            bail!("{} does not tell the topic it came from", message.id());
        };
        let mut letter = NewMessage::again("DLQ_REPLAY", message);
        for name in [
            property::DELAY,
            property::REAL_TOPIC,
            property::REAL_QUEUE_ID,
            property::MIN_OFFSET,
            property::MAX_OFFSET,
            property::RECONSUME_TIME,
            property::MAX_RECONSUME_TIMES,
            property::RETRY_TOPIC,
        ] {
            letter.remove(name);
        }
        if self.to_topic {
            return Ok(letter.topic(topic));
        }
        // Clients give the listener the topic that this names.
        letter.set(property::RETRY_TOPIC, topic);
        Ok(letter.topic(&format!("%RETRY%{}", self.group)))
    }
}

/// Deletes the topic of dead letters; the broker makes it again with the next one.
async fn purge(admin: &Admin, out: &Out, group: &str) -> Result<()> {
    let name = format!("%DLQ%{group}");
    let route = admin.route(&name).await?;
    out.confirm(&format!("Delete what group {group} gave up"))?;
    let mut changes = Changes::new(out);
    for broker in &route.broker_datas {
        for address in broker.broker_addrs.values() {
            let text = format!("deleted {name} from {address}");
            changes.make(address, text, admin.delete_topic(address, &name)).await;
        }
    }
    let text = format!("deleted {name} from the name servers");
    changes.make("name servers", text, admin.forget_topic(&name, None)).await;
    changes.print(out)
}
