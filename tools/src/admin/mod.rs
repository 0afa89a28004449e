//! `mqadmin`: one noun a file, its verbs below it.

mod store;
mod store_check;

use std::process::ExitCode;

use clap::Parser;

/// Looks at stores and servers.
#[derive(Debug, Parser)]
#[command(name = "mqadmin", version)]
pub enum Command {
    /// A store directory that no broker runs on.
    #[command(subcommand)]
    Store(store::StoreCommand),
}

/// Carries out a command line; says on stderr why it cannot.
pub fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Store(command) => store::run(command),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(2)
    })
}
