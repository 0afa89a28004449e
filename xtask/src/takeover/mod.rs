//! `cargo xtask takeover`: a store directory goes from our broker to Java's and back, and from
//! Java's to ours and back, after a clean stop and after kill -9.
//!
//! In each round one broker writes the content; the other takes the directory over, must show
//! all of it byte for byte and writes more; then the oldest file of the log is deleted, and the
//! first gets the rest back. With `--control`, Java's broker stands on both sides: a check that
//! fails there is wrong.

use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::compat::{Client, Servers, Toolchain};
use crate::workspace;

mod configs;
mod consumers;
mod content;
mod generated;
mod light;
pub mod link;
mod pops;
mod refusals;
mod release;
mod round;
mod saved;
mod segments;
pub mod site;
mod snapshot;
mod topics;
mod transactions;

use generated::Tally;
use release::Release;
use round::{Round, Side};
use site::{End, NameServer, Special};

/// Options of `cargo xtask takeover`.
#[derive(clap::Args)]
pub struct Args {
    /// Put the Java broker on both sides
    #[arg(long)]
    control: bool,
    /// Java release of the other broker, or `all`; without it, 5.3.3 for the rounds, and all for
    /// generated stores
    #[arg(long)]
    version: Option<String>,
    /// Take so many generated stores each way, instead of the rounds
    #[arg(long)]
    generated: Option<u64>,
    /// Write stores that are refused, instead of the rounds
    #[arg(long, conflicts_with = "generated")]
    refused: bool,
    /// Seed of the first generated store
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder that holds mqnamesrv and mqbroker; without it they are built
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// Keep the directory of a round that failed
    #[arg(long)]
    keep: bool,
}

/// Runs the rounds; true if every check held.
pub fn run(args: &Args) -> Result<bool> {
    let default = if args.generated.is_some() { release::ALL } else { release::DEFAULT };
    let version = args.version.as_deref().unwrap_or(default);
    let releases = Release::named(version).context("no such Java release")?;
    let tools = Toolchain::find();
    if let Some((_, tool)) = tools.missing(true, &[Client::Java(release::DEFAULT)]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: stores to Java and back, because {tool} is not installed");
        return Ok(true);
    }
    let start = Instant::now();
    let servers = Servers::ours(args.server_bin.as_deref())?;
    let name_server = NameServer::start(&servers)?;
    if let Some(count) = args.generated {
        let seeds = args.seed..args.seed + count;
        let mut java = Vec::new();
        for release in releases {
            java.push((release, Servers::java(&tools, release.0)?));
        }
        let held = generate(seeds, &servers, &java, &name_server, args)?;
        println!(
            "{} in {:.0?}",
            if held { "all held" } else { "FAILED" },
            rounded(start.elapsed())
        );
        return Ok(held);
    }
    let mut held = true;
    for release in releases {
        let lacks = release.lacks().map(|lacks| format!(", without {lacks}"));
        println!("Java {release}{}", lacks.unwrap_or_default());
        let java = Side { word: "Java", servers: &Servers::java(&tools, release.0)? };
        let ours = if args.control { java } else { Side { word: "ours", servers: &servers } };
        if !args.refused {
            held &= rounds(ours, java, release, &name_server, args.keep)?;
        }
        if args.refused || version == release::ALL {
            held &= refusals::run(release, java.servers, &servers, &name_server)?;
        }
    }
    println!("{} in {:.0?}", if held { "all held" } else { "FAILED" }, rounded(start.elapsed()));
    Ok(held)
}

/// The four rounds with one release.
fn rounds(
    ours: Side<'_>,
    java: Side<'_>,
    release: Release,
    name_server: &NameServer,
    keep: bool,
) -> Result<bool> {
    let plain = Special::default();
    let two_logs = Special { two_logs: true, ..plain };
    // After a kill ours makes units anew, without extensions.
    let light = Special { light: true, extended: true, ..plain };
    let v6 = Special { v6: true, ..plain };
    let extended = Special { extended: true, ..two_logs };
    // A round has one broker at a time, so two lanes are two JVMs at most.
    let lanes = [
        [("a", ours, java, End::Kill, two_logs), ("b", java, ours, End::Clean, light)],
        [("c", java, ours, End::Kill, v6), ("d", ours, java, End::Clean, extended)],
    ];
    thread::scope(|scope| {
        let lanes = lanes.map(|lane| {
            scope.spawn(move || {
                let mut held = true;
                for (word, first, second, end, special) in lane {
                    let name = format!("{}-{word}", release.0);
                    let sides = (first, second, end);
                    let round = Round::prepare(&name, sides, release, special, name_server)?;
                    held &= went(round, keep)?;
                }
                anyhow::Ok(held)
            })
        });
        let mut held = true;
        for lane in lanes {
            held &= lane.join().ok().context("a lane panicked")??;
        }
        anyhow::Ok(held)
    })
}

/// Generated stores of these seeds, each way; the releases take turns.
fn generate(
    seeds: Range<u64>,
    ours: &Servers,
    java: &[(Release, Servers)],
    name_server: &NameServer,
    args: &Args,
) -> Result<bool> {
    let one_way = |from_java: bool| {
        let mut tally = Tally::default();
        for seed in seeds.clone() {
            let (release, servers) = &java[seed as usize % java.len()];
            let java = Side { word: "Java", servers };
            let ours = if args.control { java } else { Side { word: "ours", servers: ours } };
            let sides = if from_java { (java, ours) } else { (ours, java) };
            tally.add(seed, *release, sides, name_server, args.keep);
        }
        tally.report(if from_java { "Java → ours" } else { "ours → Java" })
    };
    if args.control {
        return Ok(one_way(true));
    }
    thread::scope(|scope| {
        let there = scope.spawn(|| one_way(false));
        let back = one_way(true);
        Ok(there.join().ok().context("a lane panicked")? && back)
    })
}

fn went(mut round: Round<'_>, keep: bool) -> Result<bool> {
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
