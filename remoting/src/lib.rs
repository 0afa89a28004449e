//! The wire of RaptorMQ: what the bytes mean (`protocol`), and the sockets that carry them (`net`).

pub mod net;
pub mod protocol;
