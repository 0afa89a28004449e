//! Development commands of the workspace, run as `cargo xtask COMMAND`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod compat;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of the workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the scenarios of compat-tests with real Java and Go clients
    Compat(compat::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Compat(args) => compat::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
