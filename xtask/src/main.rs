//! Development commands of the workspace, run as `cargo xtask COMMAND`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod compare;
mod compat;
mod container;
mod crash;
mod docs;
mod gate;
mod idle;
mod instructions;
mod mqadmin;
mod takeover;
mod tidy;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development commands of the workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures the floor, our broker and the Java broker in one run
    Bench(bench::Args),
    /// Compares answers and files with those of the Java broker, message by message
    Compare(compare::Args),
    /// Runs the scenarios of compat-tests with real Java and Go clients
    Compat(compat::Args),
    /// Runs what packaging/ makes without an image builder and without systemd
    Container(container::Args),
    /// Kills the server under the load of Java producers and looks for losses
    Crash(crash::Args),
    /// Writes docs/configuration.md from the declared settings
    Docs,
    /// Measures what a server costs while Java consumers wait and nothing is sent
    Idle(idle::Args),
    /// Counts the instructions of a request on the hot paths and holds them against a table
    Instructions(instructions::Args),
    /// Compares what Java's mqadmin says of our servers with what it says of Java's
    Mqadmin(mqadmin::Args),
    /// Hands store directories from ours to the Java broker and back
    Takeover(takeover::Args),
    /// Runs everything that must hold: the gate of every change
    Test,
    /// Checks the house rules that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Compat(args) => compat::run(&args),
        Command::Container(args) => container::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Docs => docs::run(workspace::root()),
        Command::Idle(args) => idle::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Mqadmin(args) => mqadmin::run(&args),
        Command::Takeover(args) => takeover::run(&args),
        Command::Test => gate::run(workspace::root()),
        Command::Tidy => tidy::run(workspace::root()),
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
