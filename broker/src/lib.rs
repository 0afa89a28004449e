//! The broker: requests in, store operations out.
//!
//! `broker.rs` holds the struct and the list of services, `dispatch.rs` the page of requests,
//! `processor/` one file per request family, `reject.rs` the only map from errors to wire codes.
//! Programs: `mqbroker`, and `mqserver`, which runs a name server in the same process.

mod address;
mod address_server;
mod admission;
mod allocation;
mod arrivals;
mod attributes;
mod broker;
mod call;
mod clients;
mod cold_reads;
mod config;
mod dispatch;
mod filter;
mod groups;
mod locks;
mod meter;
mod metrics;
mod offsets;
mod peers;
mod pop;
mod processor;
pub mod program;
mod put;
mod quotas;
mod refusals;
mod reject;
mod request_modes;
mod routes;
mod schedule;
mod start_error;
mod stats;
mod topics;
mod traffic;
mod transaction;

pub use address::Address;
pub use broker::{Broker, Running};
pub use config::check::check as check_config;
pub use config::docs::configuration_page;
pub use config::{BrokerConfig, ConfigError, LiveConfig, NetworkConfig, Settings};
pub use filter::{Sql, SqlError};
pub use quotas::Rates;
pub use request_modes::RequestMode;
pub use start_error::StartError;
