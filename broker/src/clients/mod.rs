//! Who is connected: producers and consumers by group, as their heartbeats say.
//!
//! A client belongs to the connection that carried its heartbeat. It leaves when it says so, when
//! the connection closes, or when no heartbeat came for `channelExpiredTimeout`.

mod assumed;
mod consumers;
mod producers;
mod wishes;

use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::body::Connection;
use remoting::protocol::code::LanguageCode;

pub(crate) use consumers::{ConsumerGroup, Consumers, Notify};
pub(crate) use producers::Producers;

/// One client on one connection.
#[derive(Clone)]
pub(crate) struct Client {
    /// The connection.
    pub peer: Arc<Peer>,
    /// Name the client gives itself.
    pub client_id: String,
    /// Language of its frames.
    pub language: LanguageCode,
    /// Version of its frames.
    pub version: i32,
    /// Time of the last heartbeat.
    pub last_seen: i64,
}

impl Client {
    /// Returns the client as administrators see it.
    pub(crate) fn connection(&self) -> Connection {
        Connection {
            client_addr: self.peer.announced().to_string(),
            client_id: self.client_id.clone(),
            language: Some(self.language),
            version: self.version,
        }
    }

    /// Whether the client has been silent for longer than that.
    fn silent_for(&self, timeout_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_seen) > timeout_ms
    }
}
