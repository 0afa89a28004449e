//! The RocketMQ remoting protocol as values: frames, headers, bodies, messages.
//!
//! Pure: no I/O, no clock, no runtime. Every decoder is total: it ends with a value or an error on
//! any input, and takes memory in proportion to the input.

pub mod advertised;
pub mod body;
pub mod code;
pub mod command;
pub mod encoding;
pub mod ext_fields;
pub mod header;
pub mod lenient_json;
pub mod message;
mod short_text;
