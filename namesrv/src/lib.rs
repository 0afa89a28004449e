//! The name server: brokers register their topics, clients ask for routes.
//!
//! [`NameServer`] is a [`Service`](remoting::net::Service); `mqnamesrv` runs it alone, and
//! `mqserver` beside a broker. Absent on purpose: agreement between name servers (each knows what
//! brokers told it), and authentication, as in Java.

mod admin;
mod brokers;
mod config;
mod dispatch;
mod kv;
mod name_server;
mod route_table;

pub use config::{NamesrvConfig, Settings};
pub use kv::KvError;
pub use name_server::NameServer;
