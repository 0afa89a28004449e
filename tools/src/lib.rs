//! Command-line tools: `mqbench`, the load generator.

pub mod bench;
