//! `cargo xtask crash`: kill -9 in the middle of the work.
//!
//! With `--kind send`, the default, real Java producers send, and the server is killed again and
//! again. Every message that a producer was told to be stored must be readable at the queue offset
//! it was told, with its own id and body, after each restart. Segments are small, so that rolls
//! fall into the cycles. The instant of each kill is random; the seed is printed and can be
//! given again. The other kinds say in their module what must hold.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::compat::{Client, Toolchain};
use crate::workspace;

mod audit;
mod pop;
mod producers;
mod server;
mod timer;
mod transaction;

use producers::Producers;
use server::Server;

const TOPIC: &str = "CrashTest";
const RESTART_MAX: Duration = Duration::from_millis(500);

/// What is going on when the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Sends of Java producers
    Send,
    /// Transactions of a producer, committed, rolled back and left to the check
    Transaction,
    /// Timer messages that wait and come due
    Timer,
    /// Java consumers that pop; they are killed, not the server
    Pop,
}

/// Options of `cargo xtask crash`.
#[derive(clap::Args)]
pub struct Args {
    /// What is going on when the server is killed
    #[arg(long, value_enum, default_value_t = Kind::Send)]
    kind: Kind,
    /// Number of kills for each flush mode
    #[arg(long, default_value_t = 20)]
    cycles: u32,
    /// Java producers, each sending one message after the other
    #[arg(long, default_value_t = 8)]
    producers: u32,
    /// Flush modes to run
    #[arg(long, value_delimiter = ',', default_values_t = ["ASYNC_FLUSH".to_owned(), "SYNC_FLUSH".to_owned()])]
    flush: Vec<String>,
    /// Seed of the instants
    #[arg(long)]
    seed: Option<u64>,
    /// Folder that holds mqserver; without it a release build is made
    #[arg(long)]
    server_bin: Option<PathBuf>,
}

/// Runs one kind; true if everything held.
pub fn run(args: &Args) -> Result<bool> {
    match args.kind {
        Kind::Send => sends(args),
        Kind::Timer => timer::run(&server::binary(args.server_bin.as_deref())?),
        Kind::Transaction => transaction::run(&server::binary(args.server_bin.as_deref())?),
        Kind::Pop => match java()? {
            Some(java) => pop::run(&server::binary(args.server_bin.as_deref())?, &java),
            None => Ok(true),
        },
    }
}

/// What starts the Java program; nothing where there is no Java.
fn java() -> Result<Option<Vec<String>>> {
    let client = Client::Java("5.3.3");
    let tools = Toolchain::find();
    if let Some((_, tool)) = tools.missing(false, &[client]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: kill -9 under Java clients, because {tool} is not installed");
        return Ok(None);
    }
    Ok(Some(tools.prepare(client)?.argv))
}

/// Runs the cycles; true if nothing was lost and every restart was quick.
fn sends(args: &Args) -> Result<bool> {
    let Some(java) = java()? else { return Ok(true) };
    let binary = server::binary(args.server_bin.as_deref())?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut random = Random(args.seed.unwrap_or(clock.as_nanos() as u64) | 1);
    println!("seed {}", random.0);
    let mut held = true;
    for flush in &args.flush {
        let mut server = Server::prepare(&binary, flush, "")?;
        server.start()?;
        held &= cycles(args, flush, &mut server, &java, &mut random)?;
    }
    Ok(held)
}

fn cycles(
    args: &Args,
    flush: &str,
    server: &mut Server,
    java: &[String],
    random: &mut Random,
) -> Result<bool> {
    let mut producers = Producers::start(java, &server.name_server(), TOPIC, args.producers)?;
    producers.wait_first()?;
    let mut restarts = Vec::new();
    let (mut acknowledged, mut lost) = (0, 0);
    for _ in 0..args.cycles {
        let load = Duration::from_millis(300 + random.below(900));
        producers.collect(load)?;
        server.kill()?;
        let start = Instant::now();
        server.start()?;
        restarts.push(start.elapsed());
        let acks = producers.taken();
        acknowledged += acks.len();
        lost += audit::lost(&server.broker(), TOPIC, &acks)?;
        producers.wait_first()?;
    }
    drop(producers);
    let clean = server.stop()?;
    restarts.sort();
    let slowest = restarts.last().copied().unwrap_or_default();
    let median = restarts.get(restarts.len() / 2).copied().unwrap_or_default();
    println!(
        "{flush}: {} kills, {acknowledged} acknowledged, {lost} lost; restart median {median:.0?}, \
         slowest {slowest:.0?}; clean stop {clean:.0?}",
        args.cycles
    );
    let enough = acknowledged > args.cycles as usize;
    if !enough {
        println!("{flush}: too few acknowledgements to say anything");
    }
    if slowest > RESTART_MAX {
        println!("{flush}: a restart took longer than {RESTART_MAX:?}");
    }
    Ok(lost == 0 && enough && slowest <= RESTART_MAX)
}

/// Numbers that look random and follow from the seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
