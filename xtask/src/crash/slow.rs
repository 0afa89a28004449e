//! A disk that takes seconds for a call, under sends: a few writes of the log, then a few syncs.
//!
//! Meanwhile sends are answered with the protocol's code, or wait, and everything stored can be
//! read; once the disk is quick again messages are accepted without a restart, and after a kill
//! nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::Load;
use super::server::Server;
use super::{Args, TOPIC, audit, disk, print_lost};

/// Response codes of a broker that does not wait for its disk.
const SYSTEM_BUSY: i32 = 2;
const FLUSH_DISK_TIMEOUT: i32 = 10;
/// So many calls in a row are slow.
const CALLS: u64 = 4;
const DELAY: Duration = Duration::from_millis(1500);
/// Messages that are read over and over while calls take their time.
const READ: usize = 32;
/// The longest such read: it may wait for a call, and for who waits for the same.
const READ_MAX: Duration = Duration::from_millis(2500);
const RESUME_MAX: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
const SETTINGS: &str = "osPageCacheBusyTimeOutMills=500\nsyncFlushTimeout=500\n";

/// Runs the cycles of one flush mode; true if it held.
pub fn run(args: &Args, flush: &str, binary: &Path) -> Result<bool> {
    let mut held = true;
    for (call, code) in [("pwrite", SYSTEM_BUSY), ("fdatasync", FLUSH_DISK_TIMEOUT)] {
        // Nobody waits for a sync that no answer depends on.
        let code = Some(code).filter(|_| call == "pwrite" || flush == "SYNC_FLUSH");
        held &= cycles(args, flush, binary, call, code)?;
    }
    Ok(held)
}

fn cycles(args: &Args, flush: &str, binary: &Path, call: &str, code: Option<i32>) -> Result<bool> {
    let (mut acknowledged, mut lost) = (0, 0);
    let mut codes: BTreeMap<i32, usize> = BTreeMap::new();
    let (mut read, mut resumed) = (Duration::ZERO, Duration::ZERO);
    for cycle in 0..u64::from(args.cycles) {
        let memory = disk::memory()?;
        let mut server = Server::prepare_on(Some(memory.path()), binary, flush, SETTINGS)?;
        let first = if call == "pwrite" { 200 } else { 3 } + cycle;
        let last = first + CALLS - 1;
        server.faults = format!("{call}:{first}-{last}:slow={}:commitlog/", DELAY.as_millis());
        server.start()?;
        let mut load = Load::own(&server.broker(), TOPIC, args.producers)?;
        let mut kept = Vec::new();
        let begun = wait_for_hits(&server, 1, &mut load)?;
        kept.extend(take(&mut load, &mut codes));
        // All this time the first slow calls are being made.
        while begun.elapsed() < 2 * DELAY {
            let reading = Instant::now();
            let some = &kept[..kept.len().min(READ)];
            lost += print_lost(&audit::lost(&server.broker(), TOPIC, some)?);
            read = read.max(reading.elapsed());
            load.collect(Duration::from_millis(100))?;
        }
        wait_for_hits(&server, CALLS as usize, &mut load)?;
        load.collect(DELAY)?;
        let quick = Instant::now();
        while load.wait_first()? < quick {}
        resumed = resumed.max(quick.elapsed());
        load.pause();
        kept.extend(take(&mut load, &mut codes));
        drop(load);
        server.kill()?;
        server.faults.clear();
        server.start()?;
        lost += print_lost(&audit::lost(&server.broker(), TOPIC, &kept)?);
        acknowledged += kept.len();
    }
    let seen = |code: i32| codes.get(&code).copied().unwrap_or(0);
    // The sync of a new log file holds up who needs the file.
    let right = [0, SYSTEM_BUSY, FLUSH_DISK_TIMEOUT].map(seen).iter().sum::<usize>();
    let wrong = codes.values().sum::<usize>() - right;
    let expected = code.map_or(0, seen);
    println!(
        "{flush}: {CALLS} calls of {call} take {DELAY:?} longer, {} cycles, {acknowledged} \
         acknowledged, {lost} lost; answers by code {codes:?}; slowest read {read:.0?}; resumed within {resumed:.0?}",
        args.cycles
    );
    let noticed = code.is_none() || expected >= args.cycles as usize;
    Ok(lost == 0 && wrong == 0 && noticed && read <= READ_MAX && resumed <= RESUME_MAX)
}

/// Waits until so many calls have been slow, or are just now; returns when.
fn wait_for_hits(server: &Server, count: usize, load: &mut Load) -> Result<Instant> {
    let end = Instant::now() + PATIENCE;
    loop {
        let hits = fs::read_to_string(server.hits()).unwrap_or_default();
        if hits.lines().count() >= count {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < end, "call {count} is not made\n{}", server.said());
        load.collect(Duration::from_millis(5))?;
    }
}

/// Counts the answers by code; returns what was acknowledged.
fn take(load: &mut Load, codes: &mut BTreeMap<i32, usize>) -> Vec<super::Ack> {
    let answers = load.answers().into_iter();
    let counted = answers.inspect(|answer| *codes.entry(answer.code).or_default() += 1);
    counted.filter_map(|answer| answer.ack).collect()
}
