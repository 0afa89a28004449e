//! Clients of a broker through real sockets: groups, offsets, locks, delays, retries, tools.

mod admin;
mod delay;
mod files;
mod kit;
mod membership;
mod offsets;
mod retry;
