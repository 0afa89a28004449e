//! `mqadmin store`.

use std::process::ExitCode;

use clap::Subcommand;

use super::store_check::{self, CheckArgs};

/// What can be done with a store directory.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Says what a broker would find, and what is damaged. Changes nothing.
    ///
    /// Ends with 0 when the store is sound, with 1 when something is damaged or a Java broker would
    /// go on with other messages than this one, with 2 when it cannot be read.
    Check(CheckArgs),
}

/// Carries out a command.
pub fn run(command: &StoreCommand) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Check(args) => {
            let report = store_check::check(args)?;
            print!("{report}");
            Ok(ExitCode::from(u8::from(!report.sound())))
        }
    }
}
