//! `mqbench`: measures any RocketMQ remoting broker, and is the floor to measure it against.

use clap::Parser;
use tools::bench::{Command, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    run(Command::parse())
}
