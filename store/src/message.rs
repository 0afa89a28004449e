//! What goes into the store and what comes back from a put.

use std::net::SocketAddr;

use remoting::protocol::message::Record;
use smallvec::SmallVec;

/// One message to store; the store adds offsets, store time and checksum.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Producer's flag, opaque.
    pub flag: i32,
    /// System flag bits; the two IPv6 bits are set by the store from the hosts.
    pub sys_flag: i32,
    /// Time the client made the message.
    pub born_timestamp: i64,
    /// Address of the client.
    pub born_host: SocketAddr,
    /// Advertised address of this broker.
    pub store_host: SocketAddr,
    /// How often the message was consumed in vain.
    pub reconsume_times: i32,
    /// Physical offset of the half message a commit belongs to, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as sent.
    pub body: &'a [u8],
    /// Encoded properties (`name 0x01 value 0x02`).
    pub properties: &'a str,
}

impl<'a> NewMessage<'a> {
    /// A stored message once more, at another place and with these properties.
    ///
    /// It names no half message; flags, hosts and counts stay.
    pub fn copy_of<'r: 'a>(
        record: &Record<'r>,
        topic: &'a str,
        queue_id: i32,
        properties: &'a str,
    ) -> NewMessage<'a> {
        NewMessage {
            topic,
            queue_id,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: 0,
            body: record.body,
            properties,
        }
    }
}

/// A batch send: `message.body` holds the repeated sub-messages, `message.properties` the
/// request's own properties, which are appended to those of every sub-message.
#[derive(Clone, Debug)]
pub struct NewBatch<'a> {
    /// Everything the sub-messages share.
    pub message: NewMessage<'a>,
}

/// A message, or several that are stored or refused as one.
#[derive(Clone, Debug)]
pub enum NewSend<'a> {
    /// One message.
    Message(NewMessage<'a>),
    /// A batch.
    Batch(NewBatch<'a>),
}

impl<'a> NewSend<'a> {
    /// The message, or what those of the batch share.
    pub fn message(&self) -> &NewMessage<'a> {
        match self {
            NewSend::Message(message) | NewSend::Batch(NewBatch { message }) => message,
        }
    }
}

/// Where a put went. It is durable once the log is flushed to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Offset of the (first) record in the log.
    pub physical_offset: i64,
    /// Offset of the (first) message in its queue.
    pub queue_offset: i64,
    /// Store time given to the records.
    pub store_timestamp: i64,
    /// Log position behind the last record: what to wait for.
    pub end: i64,
    /// Physical offsets of the records of a batch; empty after a single put.
    pub ids: SmallVec<[i64; 1]>,
}

/// Told to the listener after a unit became visible; a listener stores nothing itself.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Topic of the queue.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Offset of the new message.
    pub queue_offset: i64,
    /// Tags code of its unit.
    pub tags_code: i64,
    /// Its store time.
    pub store_timestamp: i64,
    /// Its raw properties, which are UTF-8.
    pub properties: &'a [u8],
}
