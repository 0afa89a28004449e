//! `mqadmin` against a name server and a broker of ours.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod bars;
mod commands;
mod forms;
mod offsets;
mod own;
mod site;
mod tables;
