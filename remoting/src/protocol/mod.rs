//! What the bytes on the wire mean; pure: no I/O, no clock, no tasks.

pub mod body;
pub mod message;
