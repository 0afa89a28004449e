//! Connections over real sockets: what a server and a client do with frames, limits and each other.

mod client;
mod gathered;
mod limits;
mod server;
mod support;
