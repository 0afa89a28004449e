//! Command-line tools: `mqadmin`, and `mqbench`, the load generator.

pub mod admin;
pub mod bench;
