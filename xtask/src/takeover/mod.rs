//! `cargo xtask takeover`: a store directory goes from our broker to Java's and back, and from
//! Java's to ours and back, after a clean stop and after kill -9.
//!
//! In each round one broker writes the content; the other takes the directory over, must show
//! all of it byte for byte and writes more; then the first gets it back. With `--control`,
//! Java's broker stands on both sides: a check that fails there is wrong.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::compat::{Client, Servers, Toolchain};
use crate::workspace;

mod content;
pub mod link;
mod round;
mod saved;
pub mod site;
mod snapshot;
mod transactions;

use round::{Round, Side};
use site::{End, NameServer};

/// Options of `cargo xtask takeover`.
#[derive(clap::Args)]
pub struct Args {
    /// Put the released Java 5.3.3 broker on both sides
    #[arg(long)]
    control: bool,
    /// Folder that holds mqnamesrv and mqbroker; without it they are built
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// Keep the directory of a round that failed
    #[arg(long)]
    keep: bool,
}

/// Runs the rounds; true if every check held.
pub fn run(args: &Args) -> Result<bool> {
    let tools = Toolchain::find();
    if let Some((_, tool)) = tools.missing(true, &[Client::Java("5.3.3")]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: stores to Java and back, because {tool} is not installed");
        return Ok(true);
    }
    let start = Instant::now();
    let java = Side { word: "Java", servers: &Servers::control(&tools)? };
    let servers = Servers::ours(args.server_bin.as_deref())?;
    let name_server = NameServer::start(&servers)?;
    let ours = if args.control { java } else { Side { word: "ours", servers: &servers } };
    // A round has one broker at a time, so two lanes are two JVMs at most.
    let lanes = [
        [("a", ours, java, End::Kill), ("b", java, ours, End::Clean)],
        [("c", java, ours, End::Kill), ("d", ours, java, End::Clean)],
    ];
    let held = thread::scope(|scope| {
        let lanes = lanes.map(|lane| {
            let name_server = &name_server;
            scope.spawn(move || {
                let mut held = true;
                for (word, first, second, end) in lane {
                    held &= round(word, first, second, end, name_server, args.keep)?;
                }
                anyhow::Ok(held)
            })
        });
        let mut held = true;
        for lane in lanes {
            held &= lane.join().ok().context("a lane panicked")??;
        }
        anyhow::Ok(held)
    })?;
    println!("{} in {:.0?}", if held { "all held" } else { "FAILED" }, rounded(start.elapsed()));
    Ok(held)
}

fn round(
    word: &str,
    first: Side<'_>,
    second: Side<'_>,
    end: End,
    name_server: &NameServer,
    keep: bool,
) -> Result<bool> {
    let mut round = Round::prepare(word, first, second, end, name_server)?;
    let Err(error) = round.run() else { return Ok(true) };
    println!("{}: FAILED: {error:#}", round.leg());
    if keep {
        println!("the directory is kept: {}", round.keep()?.display());
    }
    Ok(false)
}

fn rounded(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
