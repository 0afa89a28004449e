//! A disk that is filled up and freed again, under sends.
//!
//! While it is full every send is refused with the protocol's code and everything stored can be
//! read; within a second of the room coming back messages are accepted, without a restart, and
//! nothing acknowledged is lost, before and after a clean restart.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::disk::{Disk, FileSystem, SMALL};
use super::load::Load;
use super::producers::Ack;
use super::server::Server;
use super::{Args, SERVICE_NOT_AVAILABLE, TOPIC, audit, print_lost};

/// A directory is given up after so many cycles, so that it does not fill the disk by itself.
const RENEW: u32 = 5;
const RESUME_MAX: Duration = Duration::from_secs(1);
/// How long the server has room, and none.
const PHASE: Duration = Duration::from_millis(300);
/// The store must not make room by itself, and the index must leave some.
const SETTINGS: &str = "cleanFileForciblyEnable=false\nfileReservedTime=10000\nmaxHashSlotNum=5000\n\
                        maxIndexNum=20000\n";

/// How the server learns that there is no room.
#[derive(Clone, Copy, Debug)]
enum Notice {
    /// By failing writes: the disk is not looked at.
    Writes,
    /// By looking at the disk.
    Level,
}

/// Runs the cycles of one file system and flush mode; true if it held.
pub fn run(args: &Args, file_system: FileSystem, flush: &str, binary: &Path) -> Result<bool> {
    let mut held = true;
    for notice in [Notice::Writes, Notice::Level] {
        held &= cycles(args, file_system, flush, binary, notice)?;
    }
    Ok(held)
}

fn cycles(
    args: &Args,
    file_system: FileSystem,
    flush: &str,
    binary: &Path,
    notice: Notice,
) -> Result<bool> {
    let disk = Disk::make(file_system, SMALL)?;
    let interval_ms = match notice {
        Notice::Writes => 600_000,
        Notice::Level => 100,
    };
    let settings = format!("{SETTINGS}cleanResourceInterval={interval_ms}\n");
    let mut server = Server::prepare_on(Some(&disk.path()), binary, flush, &settings)?;
    server.start()?;
    let mut load = Load::own(&server.broker(), TOPIC, args.producers)?;
    let mut kept: Vec<Ack> = Vec::new();
    let (mut acknowledged, mut lost, mut refused, mut wrong) = (0, 0, 0, 0);
    let mut slowest = Duration::ZERO;
    for cycle in 1..=args.cycles {
        load.resume();
        load.wait_first()?;
        load.collect(PHASE)?;
        let ballast = fill(&disk)?;
        load.wait_refused()?;
        load.collect(PHASE)?;
        load.pause();
        for answer in load.answers() {
            match (answer.code, answer.ack) {
                (_, Some(ack)) => kept.push(ack),
                (SERVICE_NOT_AVAILABLE, _) => refused += 1,
                (code, _) => {
                    println!("a send to a full disk: code {code}");
                    wrong += 1;
                }
            }
        }
        lost += print_lost(&audit::lost(&server.broker(), TOPIC, &kept)?);
        load.resume();
        load.collect(PHASE)?;
        fs::remove_file(&ballast)?;
        let freed = Instant::now();
        while load.wait_first()? < freed {}
        slowest = slowest.max(freed.elapsed());
        load.pause();
        kept.extend(load.acks());
        if cycle % RENEW == 0 || cycle == args.cycles {
            server.stop()?;
            server.start()?;
            lost += print_lost(&audit::lost(&server.broker(), TOPIC, &kept)?);
            acknowledged += kept.len();
            kept.clear();
            server.stop()?;
            server.clear()?;
            server.start()?;
        }
    }
    drop(load);
    server.stop()?;
    println!(
        "{flush} on {}: full disk noticed by {notice:?}, {} cycles, {acknowledged} acknowledged, \
         {lost} lost, {refused} refused with {SERVICE_NOT_AVAILABLE}, {wrong} otherwise; resumed \
         within {slowest:.0?}",
        file_system.name(),
        args.cycles
    );
    Ok(lost == 0 && wrong == 0 && refused >= args.cycles as usize && slowest <= RESUME_MAX)
}

/// Takes all room there is by one file.
fn fill(disk: &Disk) -> Result<std::path::PathBuf> {
    let path = disk.path().join("ballast");
    let mut free = Command::new("df");
    free.args(["--output=avail", "--block-size=1"]).arg(disk.path());
    let free = String::from_utf8(free.output()?.stdout)?;
    let free = free.split_whitespace().last().context("df says nothing")?;
    // Most of it at once, where the file system can; the rest is written.
    let _ = Command::new("fallocate").args(["--length", free]).arg(&path).output()?;
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    for len in [1 << 20, 4096, 512] {
        loop {
            match file.write_all(&vec![1; len]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => bail!("the disk does not fill up: {error}"),
            }
        }
    }
    Ok(path)
}
