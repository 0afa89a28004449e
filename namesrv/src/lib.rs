//! The name server: brokers register their topics, clients ask for routes.
//!
//! [`NameServer`] is a [`Service`](remoting::net::Service); `mqnamesrv` runs it alone, and
//! `mqserver` beside a broker. Absent on purpose: agreement between name servers (each knows what
//! brokers told it), and authentication, as in Java.

mod admin;
mod brokers;
mod check;
mod config;
mod dispatch;
mod health;
mod kv;
mod name_server;
mod networks;
mod route_table;
mod start_error;
mod topic;

pub use check::check as check_config;
pub use config::{NamesrvConfig, Ports, Settings};
pub use kv::KvError;
pub use name_server::NameServer;
pub use start_error::StartError;
