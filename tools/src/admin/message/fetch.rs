//! Asking brokers for messages.

use std::time::Duration;

use anyhow::{Result, bail};
use remoting::protocol::body::{MessageQueue, TopicRouteData};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    GetMinOffsetRequestHeader, GetMinOffsetResponseHeader, PullMessageRequestHeader,
    PullMessageResponseHeader, QueryMessageRequestHeader, ViewMessageRequestHeader,
};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::property;

use super::Message;
use crate::admin::client::{Admin, TIMEOUT, refuse, selected};

/// The group in whose name messages are pulled.
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// How long a broker may search its index.
const QUERY_TIMEOUT: Duration = Duration::from_secs(18);
/// The pull carries its own subscription.
const WITH_SUBSCRIPTION: i32 = 4;
/// How far back a message is looked for by its unique id.
const DAYS_3_MS: i64 = 3 * 24 * 3_600_000;

/// How a pull came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Messages came.
    Found,
    /// There are none behind the offset.
    NoNewMessage,
    /// None matched; there may be more further on.
    NoMatchedMessage,
    /// The offset is outside of the queue.
    OffsetIllegal,
}

impl Status {
    /// Java's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoNewMessage => "NO_NEW_MSG",
            Self::NoMatchedMessage => "NO_MATCHED_MSG",
            Self::OffsetIllegal => "OFFSET_ILLEGAL",
        }
    }
}

/// What a pull brought.
#[derive(Debug)]
pub struct Pulled {
    /// How it came out.
    pub status: Status,
    /// Where to go on.
    pub next: i64,
    /// The messages whose tags match.
    pub messages: Vec<Message>,
}

/// Which messages of a topic are meant by a key.
pub struct Query<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, or a unique id.
    pub key: &'a str,
    /// Whether it is a unique id.
    pub unique: bool,
    /// Most messages of each broker.
    pub max: i32,
    /// Stored since, in ms.
    pub begin_ms: i64,
    /// Stored until, in ms.
    pub end_ms: i64,
    /// A cluster to look in, or the topic that a light queue belongs to.
    pub cluster: Option<&'a str>,
}

impl Admin {
    /// Pulls from one queue.
    pub async fn pull(
        &self,
        address: &str,
        queue: &MessageQueue,
        expression: &str,
        offset: i64,
        max: i32,
    ) -> Result<Pulled> {
        let header = PullMessageRequestHeader {
            consumer_group: TOOLS_GROUP,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            queue_offset: offset,
            max_msg_nums: max,
            sys_flag: WITH_SUBSCRIPTION,
            suspend_timeout_millis: 20_000,
            subscription: Some(expression),
            expression_type: Some("TAG"),
            ..PullMessageRequestHeader::default()
        };
        let frame =
            self.call(address, RequestCode::PullMessage, &header, &[], &[], TIMEOUT).await?;
        let status = match ResponseCode::from_i32(frame.code()) {
            Some(ResponseCode::Success) => Status::Found,
            Some(ResponseCode::PullNotFound) => Status::NoNewMessage,
            Some(ResponseCode::PullRetryImmediately) => Status::NoMatchedMessage,
            Some(ResponseCode::PullOffsetMoved) => Status::OffsetIllegal,
            _ => return Err(refuse(frame.code(), frame.remark().unwrap_or("null"))),
        };
        let bounds: PullMessageResponseHeader = frame.header()?;
        let mut messages = match status {
            Status::Found => Message::all(frame.body())?,
            _ => Vec::new(),
        };
        messages.retain(|message| matches(expression, message.tags()));
        for message in &mut messages {
            message.broker_name = Some(queue.broker_name.clone());
            message.properties.push((property::MIN_OFFSET.into(), bounds.min_offset.to_string()));
            message.properties.push((property::MAX_OFFSET.into(), bounds.max_offset.to_string()));
        }
        Ok(Pulled { status, next: bounds.next_begin_offset, messages })
    }

    /// The offset of the first message of a queue.
    pub async fn min_offset(&self, address: &str, queue: &MessageQueue) -> Result<i64> {
        let header =
            GetMinOffsetRequestHeader { topic: queue.topic.clone(), queue_id: queue.queue_id };
        let frame = self.ask(address, RequestCode::GetMinOffset, &header, &[]).await?;
        Ok(frame.header::<GetMinOffsetResponseHeader>()?.offset)
    }

    /// The message at a place in a commit log.
    pub async fn view(&self, address: &str, topic: &str, offset: i64) -> Result<Message> {
        let header = ViewMessageRequestHeader { offset, topic: Some(topic.to_owned()) };
        let frame = self.ask(address, RequestCode::ViewMessageById, &header, &[]).await?;
        match Message::all(frame.body())?.pop() {
            Some(message) => Ok(message),
            None => bail!("{address} answered without a message"),
        }
    }

    /// The message of an id: the place that the id names, or else the unique id of the last days.
    pub async fn message(&self, topic: &str, id: &str, cluster: Option<&str>) -> Result<Message> {
        if let Some(OffsetMessageId { store_host, physical_offset }) = OffsetMessageId::parse(id) {
            // A unique id mostly names a port that cannot be, or a broker that is none.
            let address = store_host.to_string();
            if let Ok(message) = self.view(&address, topic, physical_offset).await {
                return Ok(message);
            }
        }
        let now = runtime::clock::now_ms();
        let query = Query {
            topic,
            key: id,
            unique: true,
            max: 32,
            begin_ms: now - DAYS_3_MS,
            end_ms: i64::MAX,
            cluster,
        };
        let mut found = self.query(&query).await?;
        found.sort_by_key(|message| std::cmp::Reverse(message.store_timestamp));
        found.pop().ok_or_else(nothing)
    }

    /// The messages of a key on every broker of the topic. A broker that fails is left out as long
    /// as others find something.
    pub async fn query(&self, query: &Query<'_>) -> Result<Vec<Message>> {
        let route = self.route_for(query.topic, query.cluster).await?;
        let brokers = self.queried(&route, query);
        if brokers.is_empty() {
            let remark = format!("The topic[{}] not matched route info", query.topic);
            return Err(refuse(ResponseCode::TopicNotExist, remark));
        }
        let header = QueryMessageRequestHeader {
            topic: query.topic.to_owned(),
            key: query.key.to_owned(),
            max_num: query.max,
            begin_timestamp: query.begin_ms,
            end_timestamp: query.end_ms,
            ..QueryMessageRequestHeader::default()
        };
        let unique = [("_UNIQUE_KEY_QUERY", if query.unique { "true" } else { "false" })];
        let mut found = Vec::new();
        let mut failure = None;
        for address in brokers {
            let code = RequestCode::QueryMessage;
            match self.call(&address, code, &header, &unique, &[], QUERY_TIMEOUT).await {
                Ok(frame) if frame.code() == 0 => found.extend(Message::all(frame.body())?),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        found.retain(|message| query.means(message));
        match (found.is_empty(), failure) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(nothing()),
            (false, _) => Ok(found),
        }
    }

    fn queried(&self, route: &TopicRouteData, query: &Query<'_>) -> Vec<String> {
        let light = query.topic.starts_with("%LMQ%");
        let brokers = route.broker_datas.iter();
        let meant = brokers.filter(|broker| {
            light || query.cluster.is_none_or(|cluster| cluster == broker.cluster)
        });
        meant.filter_map(selected).map(str::to_owned).collect()
    }
}

/// A search that found nothing.
fn nothing() -> anyhow::Error {
    refuse(ResponseCode::NoMessage, "query message by key finished, but no message.")
}

impl Query<'_> {
    /// Whether a message is meant; brokers compare hashes only.
    fn means(&self, message: &Message) -> bool {
        if self.unique {
            return message.id() == self.key;
        }
        let keys = message.keys().unwrap_or_default();
        message.topic == self.topic && keys.split_whitespace().any(|key| key == self.key)
    }
}

/// Whether a tag is one of `A || B`; brokers compare hashes only.
fn matches(expression: &str, tag: Option<&str>) -> bool {
    let mut tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).peekable();
    let all = tags.peek().is_none() || expression.trim() == "*";
    all || tags.any(|one| Some(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn tags_are_compared_whole() {
        assert!(matches("*", None) && matches("", Some("A")) && matches("A || B", Some("B")));
        assert!(!matches("A || B", Some("C")) && !matches("A", None) && !matches("AB", Some("A")));
    }
}
