//! `mqadmin`: looks at stores and servers.

use std::process::ExitCode;

use clap::Parser;
use tools::admin::{Command, run};

fn main() -> ExitCode {
    run(&Command::parse())
}
