//! Clients of a broker through real sockets: groups, offsets, locks, delays, retries, tools.

#![allow(clippy::unwrap_used)] // Helpers stand outside of test functions.

mod admin;
mod assignment;
mod config;
mod conflicts;
mod counted;
mod delay;
mod files;
mod filters;
mod groups;
mod kit;
mod membership;
#[path = "../common/name_server.rs"]
mod name_server;
mod namespaces;
mod offsets;
mod overload;
mod pop;
mod questions;
mod quotas;
mod reply;
mod retry;
mod revive;
mod timer;
mod transaction;
