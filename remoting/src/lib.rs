//! The wire: what the bytes mean, and the sockets that carry them.

pub mod protocol;
