//! Messages: finding, printing, sending.

mod fetch;
mod print;
mod query;
mod round_trip;
mod send;
mod trace;
mod track;

use std::net::SocketAddr;

use anyhow::{Result, bail};
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::compression::{Compression, INFLATED_LEN_MAX};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::{Properties, property};
use remoting::protocol::message::record::{Record, records};
use remoting::protocol::message::sys_flag;
use serde::Serialize;

pub use fetch::Status;
pub use print::{ConsumeMessage, PrintMsg, PrintMsgByQueue};
pub use query::{QueryMsgById, QueryMsgByKey, QueryMsgByOffset, QueryMsgByUniqueKey};
pub use round_trip::ClusterRt;
pub use send::{CheckMsgSendRt, NewMessage, SendMessage, SendMsgStatus};
pub use trace::QueryMsgTraceById;

use super::java;

/// A message that is several to clients.
const BATCH: i32 = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
/// The capacity of the table in which Java reads the properties of a message.
const PROPERTIES_CAPACITY: usize = 128;

/// A stored message as it came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The broker it was pulled from.
    pub broker_name: Option<String>,
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue_id: i32,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// Its place in the commit log.
    pub commit_log_offset: i64,
    /// Its size in the commit log.
    pub store_size: u32,
    /// The sender's own flag.
    pub flag: i32,
    /// Bits of compression, transactions and addresses.
    pub sys_flag: i32,
    /// When it was sent, in ms.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When it was stored, in ms.
    pub store_timestamp: i64,
    /// Who stored it.
    pub store_host: SocketAddr,
    /// How often it was tried again.
    pub reconsume_times: i32,
    /// Where the half message of a transaction is.
    pub prepared_transaction_offset: i64,
    /// Checksum of the stored body.
    pub body_crc: u32,
    /// Names and values in the order of the record.
    pub properties: Vec<(String, String)>,
    /// Whether it was stored with others as one.
    #[serde(skip)]
    is_inner: bool,
    /// The body, inflated.
    #[serde(serialize_with = "text")]
    pub body: Vec<u8>,
}

/// Names and values.
fn pairs(properties: Properties<'_>) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A body that is text as text, another as its bytes.
fn text<S: serde::Serializer>(body: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.collect_seq(body),
    }
}

impl Message {
    /// Reads the messages of an answer.
    pub fn all(bytes: &[u8]) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for record in records(bytes) {
            let message = Self::of(&record?)?;
            if message.sys_flag & BATCH == BATCH {
                message.unwrap_into(&mut all)?;
            } else {
                all.push(message);
            }
        }
        Ok(all)
    }

    /// The messages that were stored as one; of each alone there is no place and no size.
    fn unwrap_into(&self, all: &mut Vec<Self>) -> Result<()> {
        for (inner, offset) in BatchMessages::new(&self.body).zip(self.queue_offset..) {
            let inner = inner?;
            let properties = inner.properties();
            all.push(Self {
                is_inner: true,
                queue_offset: offset,
                store_size: 0,
                body_crc: 0,
                flag: inner.flag,
                properties: pairs(properties),
                body: inner.body.to_vec(),
                ..self.clone()
            });
        }
        Ok(())
    }

    fn of(record: &Record<'_>) -> Result<Self> {
        let body = match Compression::from_sys_flag(record.sys_flag)? {
            Some(kind) => kind.inflate(record.body, INFLATED_LEN_MAX)?,
            None => record.body.to_vec(),
        };
        Ok(Self {
            broker_name: None,
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            commit_log_offset: record.physical_offset,
            store_size: record.total_size,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host,
            store_timestamp: record.store_timestamp,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            body_crc: record.body_crc,
            properties: pairs(record.properties()),
            is_inner: false,
            body,
        })
    }

    /// A property; of equal names the last one counts.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut found = self.properties.iter().rev().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The id that tells where it is; none tells where in a batch.
    pub fn offset_id(&self) -> String {
        if self.is_inner {
            return "null".to_owned();
        }
        let (store_host, physical_offset) = (self.store_host, self.commit_log_offset);
        OffsetMessageId { store_host, physical_offset }.to_string()
    }

    /// The id that its sender gave it, or else the one that tells where it is.
    pub fn id(&self) -> String {
        self.property(property::UNIQ_KEY).map_or_else(|| self.offset_id(), str::to_owned)
    }

    /// Its tag.
    pub fn tags(&self) -> Option<&str> {
        self.property(property::TAGS)
    }

    /// Its keys, blanks between.
    pub fn keys(&self) -> Option<&str> {
        self.property(property::KEYS)
    }

    /// Its properties as Java prints them.
    pub fn properties_text(&self) -> String {
        let mut pairs: Vec<&(String, String)> = Vec::with_capacity(self.properties.len());
        for pair in &self.properties {
            match pairs.iter_mut().find(|known| known.0 == pair.0) {
                Some(known) => *known = pair,
                None => pairs.push(pair),
            }
        }
        java::hash_order(&mut pairs, PROPERTIES_CAPACITY, |pair| &pair.0);
        java::map(pairs.iter().map(|(key, value)| (key, value)))
    }

    /// All of it as Java prints it.
    pub fn java_text(&self) -> String {
        let prepared = self.property(property::TRANSACTION_PREPARED) == Some("true");
        let transaction = if prepared { self.property(property::UNIQ_KEY) } else { None };
        let host = |host: SocketAddr| format!("/{host}");
        let body = self.body.iter().map(|byte| byte.cast_signed().to_string());
        format!(
            "MessageExt [brokerName={}, queueId={}, storeSize={}, queueOffset={}, sysFlag={}, \
             bornTimestamp={}, bornHost={}, storeTimestamp={}, storeHost={}, msgId={}, \
             commitLogOffset={}, bodyCRC={}, reconsumeTimes={}, preparedTransactionOffset={}, \
             toString()=Message{{topic='{}', flag={}, properties={}, body={}, \
             transactionId='{}'}}]",
            self.broker_name.as_deref().unwrap_or("null"),
            self.queue_id,
            self.store_size,
            self.queue_offset,
            self.sys_flag,
            self.born_timestamp,
            host(self.born_host),
            self.store_timestamp,
            host(self.store_host),
            self.offset_id(),
            self.commit_log_offset,
            self.body_crc,
            self.reconsume_times,
            self.prepared_transaction_offset,
            self.topic,
            self.flag,
            self.properties_text(),
            java::list(body),
            transaction.unwrap_or("null"),
        )
    }
}

/// Bytes as text of a charset; those that are none are shown as the replacement character.
pub fn decode(bytes: &[u8], charset: &str) -> Result<String> {
    match encoding_rs::Encoding::for_label(charset.trim().as_bytes()) {
        Some(encoding) => Ok(encoding.decode_without_bom_handling(bytes).0.into_owned()),
        None => bail!("charset {charset} is not known"),
    }
}
