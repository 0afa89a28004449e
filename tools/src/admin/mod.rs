//! `mqadmin`: Java's commands with its names, options and tables, and some of its own.
//!
//! ```text
//! words ▸ args (Java's shapes) ▸ command (clap) ▸ one noun a file ▸ facts ▸ output
//!                                                     ▼
//!                                          client (routes, requests, signatures)
//! ```
//!
//! A command gathers facts into a struct that can be serialized and whose `Display` is Java's text.
//! What changes something goes through [`changes::Changes`], which also makes a dry run of it.

mod args;
mod broker;
mod changes;
mod client;
mod cluster;
mod command;
mod dlq;
mod doctor;
mod export;
mod group;
mod java;
mod java_json;
mod message;
mod namesrv;
mod offsets;
mod output;
mod progress;
mod queue;
mod stats;
mod store;
mod store_check;
mod table;
mod top;
mod topic;

use std::process::ExitCode;

use clap::{Command as Clap, CommandFactory, FromArgMatches};

use args::UnknownCommand;
use client::{Admin, Credentials};
use command::Line;
use output::Out;

/// How `mqadmin` ends. With `--java-exit` a failure ends with 0, as in Java; wrong usage with 1.
mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// The command line is wrong.
    pub const USAGE: u8 = 1;
    /// The command failed, at least in part.
    pub const FAILED: u8 = 2;
    /// The doctor has findings.
    pub const FINDINGS: u8 = 3;
}

/// Carries out a command line without the program's name.
pub fn run(words: &[String]) -> ExitCode {
    runtime::clock::note_zone();
    let mut root = Line::command();
    root.build();
    if words.is_empty() {
        print!("{}", overview(&root));
        return ExitCode::from(exit::DONE);
    }
    let words = match args::to_clap(words, &root) {
        Ok(words) => words,
        Err(UnknownCommand(name)) => {
            // Java's text, on its stream.
            println!("The sub command {name} not exist.");
            let java = words.iter().any(|word| word == "--java-exit");
            return ExitCode::from(if java { exit::DONE } else { exit::USAGE });
        }
    };
    let program = std::iter::once("mqadmin".to_owned());
    let line = root
        .try_get_matches_from(program.chain(words))
        .and_then(|matches| Line::from_arg_matches(&matches));
    match line {
        Ok(line) => carry_out(&line),
        Err(error) => {
            // Nobody is left to be told if this fails.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE })
        }
    }
}

fn carry_out(line: &Line) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let name_servers = line.name_servers();
            let admin = Admin::new(&name_servers, Credentials::from_home());
            let Line { output, yes, dry_run, .. } = line;
            let named = line.namesrv.is_some();
            let out = Out { format: *output, yes: *yes, dry_run: *dry_run, named };
            line.command.run(&admin, &out).await
        })
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(if line.java_exit { exit::DONE } else { exit::FAILED })
        }
    }
}

/// What Java prints without a command.
fn overview(root: &Clap) -> String {
    let mut text = "The most commonly used mqadmin commands are:\n".to_owned();
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("   {:<35} {about}\n", command.get_name()));
    }
    text + "\nSee 'mqadmin help <command>' for more information on a specific command.\n"
}
