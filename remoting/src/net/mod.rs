//! The sockets that carry the wire: one driver per connection, for both ends of it.
//!
//! ```text
//! Server: accepts ──┐
//!                   ├─ Connection: read ▸ decode every frame ▸ Service::call ▸ one write
//! Client: connects ─┘        ▲
//!                            └─ Peer: what the rest of the process holds of a connection
//! ```
//!
//! A request is read, handled and answered on the task of its connection, or, where several have
//! come that are better handled together (`gathered`), handled by the first of their tasks that is
//! polled again: no task, channel or allocation per request. Absent on purpose: TLS (a TLS hello
//! closes the connection).

mod client;
mod connection;
mod connections;
mod gathered;
mod held;
mod name_servers;
mod output;
mod peer;
mod proxy_protocol;
mod server;
mod service;
mod turn;

pub use client::{Client, ClientOptions};
pub use connections::{Counts, Limits};
pub use gathered::{Answers, Waited};
pub use name_servers::NameServers;
pub use peer::{CallError, Peer};
pub use server::{Server, ServerConfig};
pub use service::{NoService, Outcome, Service};
pub use turn::{begin_turn, ends_wait};
