//! Who is connected: producers and consumers by group, as their heartbeats say.
//!
//! A client belongs to the connection that carried its heartbeat. It leaves when it says so, when
//! the connection closes, or when no heartbeat came for 120 s.

mod consumers;
mod producers;

use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::body::Connection;
use remoting::protocol::code::LanguageCode;

pub(crate) use consumers::{ConsumerGroup, Consumers, Notify};
pub(crate) use producers::Producers;

/// A client without a heartbeat for this long is gone.
const EXPIRY_MS: i64 = 120_000;

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

    fn expired(&self, now_ms: i64) -> bool {
        now_ms - self.last_seen > EXPIRY_MS
    }
}
