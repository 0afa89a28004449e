//! What clients of bad will send: the connection concerned gets its error or is closed, others
//! are answered as before, nothing panics and nothing appears outside the store.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bodies;
mod expressions;
mod fields;
mod frames;
mod kinds;
mod kit;
mod lights;
mod names;
mod operators;
mod pops;
mod replies;
mod timers;
