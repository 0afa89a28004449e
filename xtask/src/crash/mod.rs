//! `cargo xtask crash`: what becomes of acknowledged messages when things break.
//!
//! `--kind` says what is going on, `--fault` what breaks under sends: the process, the power, the
//! room, the disk, single calls. The instants are random; the seed is printed and can be given
//! again. Each module says what must hold. What the machine lacks for a mode is named, and the mode
//! left out.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::compat::{Client, Toolchain};
use crate::workspace;

mod audit;
mod calls;
mod cuts;
mod disk;
mod full;
mod kills;
mod load;
mod points;
mod pop;
mod producers;
mod senders;
mod server;
mod slow;
mod start;
mod timer;
mod transaction;

use disk::{Disk, FileSystem, SMALL};
use producers::Ack;

/// What `power`, `full` and `read-only` run on unless told otherwise.
const DISKS: [FileSystem; 2] = [FileSystem::Ext4, FileSystem::Xfs];
const TOPIC: &str = "CrashTest";
const RESTART_MAX: Duration = Duration::from_millis(500);
/// Response code of a broker that cannot store.
const SERVICE_NOT_AVAILABLE: i32 = 14;
/// Lost messages of one audit that are printed.
const PRINTED_MAX: usize = 5;

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
    /// Sends to very many queues; then a start on a very long log
    Start,
}

/// What breaks under sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    /// The process: kill -9
    Kill,
    /// The power: a file system in an image file is shut down, and mounted again
    Power,
    /// The room: a small disk is filled up and freed again
    Full,
    /// The disk: ext4 finds an error and becomes read only
    ReadOnly,
    /// Each of the first calls to the disk in turn; needs a server with the feature `faults`
    Calls,
    /// The process, at named moments of the store's life; needs a server with the feature `faults`
    Point,
    /// The disk: single calls take seconds; needs a server with the feature `faults`
    Slow,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LoadKind {
    /// Real Java producers
    Java,
    /// Our own: more messages, and more kills in the same time
    Own,
}

impl LoadKind {
    /// Random time of load before something breaks.
    fn after_ms(self, random: &mut Random) -> u64 {
        match self {
            LoadKind::Java => 300 + random.below(900),
            LoadKind::Own => 50 + random.below(450),
        }
    }
}

/// Options of `cargo xtask crash`.
#[derive(clap::Args)]
pub struct Args {
    /// What is going on when the server is killed
    #[arg(long, value_enum, default_value_t = Kind::Send)]
    kind: Kind,
    /// What breaks under sends
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// Who sends when the server is killed; the other faults are run with our own producers
    #[arg(long, value_enum, default_value_t = LoadKind::Java)]
    load: LoadKind,
    /// Moments that `point` kills at; all without one
    #[arg(long, value_delimiter = ',')]
    point: Vec<String>,
    /// Prints the moments that `point` knows
    #[arg(long)]
    list: bool,
    /// File systems to run `power`, `full` and `read-only` on
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = DISKS)]
    file_system: Vec<FileSystem>,
    /// Number of kills or other faults, for each flush mode and file system
    #[arg(long, default_value_t = 20)]
    cycles: u32,
    /// How many of the first calls of each kind `calls` lets fail
    #[arg(long, default_value_t = 200)]
    first: u64,
    /// Producers, each sending one message after the other
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
    if args.list {
        points::list();
        return Ok(true);
    }
    match args.kind {
        Kind::Send => sends(args),
        Kind::Start => start::run(&server::binary(args.server_bin.as_deref())?),
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

/// Breaks things under sends; true if everything held.
fn sends(args: &Args) -> Result<bool> {
    let java = match (args.fault, args.load) {
        (Fault::Kill, LoadKind::Java) => match java()? {
            Some(java) => java,
            None => return Ok(true),
        },
        _ => Vec::new(),
    };
    let disks = disks(args);
    if disks.as_ref().is_some_and(Vec::is_empty) {
        return Ok(true);
    }
    let folder = args.server_bin.as_deref();
    let binary = match args.fault {
        Fault::Calls | Fault::Point | Fault::Slow => server::faulty_binary(folder)?,
        _ => server::binary(folder)?,
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut random = Random(args.seed.unwrap_or(clock.as_nanos() as u64) | 1);
    println!("seed {}", random.0);
    let mut held = true;
    for flush in &args.flush {
        match args.fault {
            Fault::Kill => held &= kills::run(args, flush, &binary, &java, &mut random)?,
            Fault::Calls => held &= calls::run(args.first, flush, &binary)?,
            Fault::Slow => held &= slow::run(args, flush, &binary)?,
            Fault::Point => held &= points::run(args, flush, &binary, &mut random)?,
            Fault::Power | Fault::ReadOnly | Fault::Full => {}
        }
        for file_system in disks.iter().flatten() {
            held &= match args.fault {
                Fault::Full => full::run(args, *file_system, flush, &binary)?,
                _ => cuts::run(args, *file_system, flush, &binary, &mut random)?,
            };
        }
    }
    Ok(held)
}

/// The disks to run on, without those this machine cannot make; `None` for a fault without disk.
fn disks(args: &Args) -> Option<Vec<FileSystem>> {
    let shutdown = match args.fault {
        Fault::Kill | Fault::Calls | Fault::Point | Fault::Slow => return None,
        Fault::Power => true,
        Fault::Full | Fault::ReadOnly => false,
    };
    let possible = |file_system: &FileSystem| {
        let missing = match (args.fault, file_system) {
            (Fault::Power, FileSystem::Tmpfs) => Some("memory outlives no power cut".to_owned()),
            (Fault::ReadOnly, FileSystem::Xfs | FileSystem::Tmpfs) => {
                Some("only ext4 can be told to find an error".to_owned())
            }
            _ => file_system.missing(shutdown).or_else(|| {
                Disk::make(*file_system, SMALL)
                    .err()
                    .map(|error| format!("no such disk here: {error:#}"))
            }),
        };
        if let Some(missing) = &missing {
            println!("left out: {:?} on {}: {missing}", args.fault, file_system.name());
        }
        missing.is_none()
    };
    Some(args.file_system.iter().copied().filter(possible).collect())
}

/// Prints the first of what was lost; returns how many there are.
fn print_lost(lost: &[&Ack]) -> usize {
    for ack in lost.iter().take(PRINTED_MAX) {
        println!("lost: queue {} offset {} id {}", ack.queue_id, ack.queue_offset, ack.unique_key);
    }
    lost.len()
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
