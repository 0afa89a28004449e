//! Measures the floor, our broker and the Java broker in one run: the same rows in turns, the
//! servers on core 0, the load on core 1, those that are not measured stopped (SIGSTOP).
//!
//! Figures are the medians of the rounds; shares are of the same round's floor, because hosts
//! drift. With `--record` they go to `docs/benchmarks.md`, with a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::compat::{self, Toolchain};
use crate::workspace;

mod bars;
mod candidate;
mod pace;
mod page;
mod picture;
mod results;
mod start;

use candidate::{Candidate, Server};
use pace::Pace;
use results::{Results, Run};

/// Above this others use the machine.
const LOAD_MAX: f64 = 0.5;
/// Above this others use its host: loops without memory take so many times as long as others.
const SPREAD_MAX: f64 = 1.5;
/// A JVM compiles what it runs often.
const JAVA_WARMUP_SECONDS: &str = "10";
const JAVA_VERSION: &str = "5.3.3";
/// The set whose servers and load take the cores they get.
const FREE: &str = "free";
/// More than the connections of the set `crowd`.
const CROWD_FILES: usize = 12_000;
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Sets of rows, each with servers of its own
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "start,plain,sync,wide,free,create,crowd,cold,routes"
    )]
    sets: Vec<String>,
    /// Of these, the rows whose name contains this
    #[arg(long, default_value = "")]
    rows: String,
    /// Rounds; each runs every row against every server
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds before each measurement
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// Leave the Java broker out
    #[arg(long)]
    without_java: bool,
    /// Write docs/benchmarks.md; refused on a busy machine
    #[arg(long)]
    record: bool,
    /// Folder that holds mqnamesrv, mqbroker and mqbench; without it they are built
    #[arg(long)]
    server_bin: Option<PathBuf>,
}

/// Runs the rows; true if all were measured.
pub fn run(args: &Args) -> Result<bool> {
    let before = load_average()?;
    ensure!(
        !args.record || before <= LOAD_MAX,
        "the machine is busy (load {before:.2} > {LOAD_MAX}): nothing that it says is worth a record"
    );
    let mut pace = Pace::default();
    pace.take();
    ensure!(
        !args.record || pace.spread() <= SPREAD_MAX,
        "the machine's host is busy (the same loop takes {pace}): nothing that it says is worth a \
         record"
    );
    let binaries = binaries(args.server_bin.as_deref())?;
    let java = match args.without_java {
        true => None,
        false => Some(Toolchain::find().server_class_path(JAVA_VERSION)?),
    };
    let mut servers = vec![Server::Floor(&binaries), Server::Ours(&binaries)];
    servers.extend(java.as_deref().map(Server::Java));
    fs::create_dir_all(compat::cache())?;
    // Empty, should it have been left by a run that was killed.
    fs::File::create(ballast())?;
    let mut results = Results { load: before, pace, rounds: args.rounds, runs: Vec::new() };
    for set in &args.sets {
        results.runs.extend(match set.as_str() {
            // The floor takes nothing but sends, and keeps nothing that it would have to open.
            "start" => start::measure(&servers[1..], args.rounds)?,
            "cold" => measure_cold(args, &binaries, &servers[1..])?,
            "wide" => measure_anew(args, set, &binaries, &servers)?,
            "routes" | "crowd" => measure(args, set, &binaries, &servers[1..])?,
            _ => measure(args, set, &binaries, &servers)?,
        });
        results.pace.take();
    }
    fs::remove_file(ballast())?;
    print!("{}", page::table(&results));
    println!("\nthe same loop took {}", results.pace);
    for Run { row, target, round, failure, .. } in results.failed() {
        let why = failure.as_deref().unwrap_or("not measured");
        eprintln!("round {}: {row}: {target}: {why}", round + 1);
    }
    if args.record {
        let docs = workspace::root().join("docs");
        fs::write(docs.join("benchmarks.md"), page::write(&results, args))?;
        fs::write(docs.join("benchmarks.svg"), picture::draw(&results))?;
    }
    Ok(results.complete())
}

fn binaries(folder: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return Ok(folder.to_owned());
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace::root()).args(["build", "--release", "--bins"]);
    workspace::run(cargo.args(["-p", "namesrv", "-p", "broker", "-p", "tools"]))
        .context("the servers do not build")?;
    Ok(workspace::target().join("release"))
}

/// The sparse file whose page cache fills the memory before each row, from set to set.
fn ballast() -> PathBuf {
    compat::cache().join("bench-ballast")
}

/// Runs a set of rows against fresh servers.
fn measure(args: &Args, set: &str, binaries: &Path, servers: &[Server<'_>]) -> Result<Vec<Run>> {
    let home = TempDir::with_prefix_in("bench-", compat::cache())?;
    let candidates = start(set, binaries, servers, home.path())?;
    let mut runs = compare(args, set, binaries, &candidates, args.rounds)?;
    if set == "plain" {
        runs.extend(start::full_load(&runs));
    }
    Ok(runs)
}

/// Runs every round against fresh servers: Java has a file open for each queue, and accepts no
/// connection when it may open no more.
fn measure_anew(
    args: &Args,
    set: &str,
    binaries: &Path,
    servers: &[Server<'_>],
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    // Kept to the end: where very many files have just been deleted, making others takes longer.
    let mut homes = Vec::new();
    for round in 0..args.rounds {
        let home = TempDir::with_prefix_in("bench-", compat::cache())?;
        let candidates = start(set, binaries, servers, home.path())?;
        runs.extend(compare_once(args, set, binaries, &candidates, round)?);
        homes.push(home);
    }
    Ok(runs)
}

/// Fills the stores once; then every round reads them with servers that were started anew, which
/// have nothing of them in memory.
fn measure_cold(args: &Args, binaries: &Path, servers: &[Server<'_>]) -> Result<Vec<Run>> {
    let home = TempDir::with_prefix_in("bench-", compat::cache())?;
    let mut candidates = start("fill", binaries, servers, home.path())?;
    let mut runs = compare_once(args, "fill", binaries, &candidates, 0)?;
    for round in 0..args.rounds {
        candidates.into_iter().try_for_each(Candidate::stop)?;
        candidates = start("cold", binaries, servers, home.path())?;
        runs.extend(compare_once(args, "cold", binaries, &candidates, round)?);
    }
    Ok(runs)
}

/// Starts servers for a set of rows, and makes them ready for it.
fn start(
    set: &str,
    binaries: &Path,
    servers: &[Server<'_>],
    home: &Path,
) -> Result<Vec<Candidate>> {
    let start = |server: &Server<'_>| server.start(home, set);
    let candidates = servers.iter().map(start).collect::<Result<Vec<Candidate>>>()?;
    let java = candidates.iter().filter(|candidate| candidate.name == "java");
    if set != FREE {
        // The others were confined when they started.
        java.clone().try_for_each(|candidate| candidate.pin(SERVER_CORE))?;
    }
    if set == "crowd" {
        candidates.iter().try_for_each(|candidate| candidate.allow_files(CROWD_FILES))?;
    }
    for java in java {
        let mut warm_up = mqbench(set, binaries);
        match set {
            "routes" => warm_up.args(["routes", "--namesrv", &java.address]),
            _ => warm_up.args(["send", "--broker", &java.address]),
        };
        warm_up.args(["--topic", "warm-up", "--json"]);
        warm_up.args(["--warmup", "0", "--duration", JAVA_WARMUP_SECONDS]);
        warm_up.stdout(Stdio::null());
        workspace::run(&mut warm_up).context("warming Java up")?;
    }
    Ok(candidates)
}

/// Runs the rows of a set once, for a round.
fn compare_once(
    args: &Args,
    set: &str,
    binaries: &Path,
    candidates: &[Candidate],
    round: usize,
) -> Result<Vec<Run>> {
    let runs = compare(args, set, binaries, candidates, 1)?;
    Ok(runs.into_iter().map(|run| Run { round, ..run }).collect())
}

/// Runs the rows of a set in turns.
fn compare(
    args: &Args,
    set: &str,
    binaries: &Path,
    candidates: &[Candidate],
    rounds: usize,
) -> Result<Vec<Run>> {
    let mut compare = mqbench(set, binaries);
    compare.args(["compare", "--freeze", "--json", "--set", set, "--rows", &args.rows]);
    compare.args(["--rounds", &rounds.to_string()]).arg("--ballast").arg(ballast());
    compare.args(["--warmup", &args.warmup.to_string(), "--duration", &args.duration.to_string()]);
    for candidate in candidates {
        compare.args(["--target", &candidate.target()]);
    }
    let output = compare.stderr(Stdio::inherit()).output().context("mqbench compare")?;
    ensure!(output.status.success(), "mqbench compare: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The load generator, on the core that the servers leave to it.
fn mqbench(set: &str, binaries: &Path) -> Command {
    let program = binaries.join("mqbench");
    if set == FREE {
        return Command::new(program);
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", LOAD_CORE]).arg(program);
    pinned
}

/// Processes that ran or waited to, over the last minute.
fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split_whitespace().next().context("an empty /proc/loadavg")?;
    Ok(first.parse()?)
}
