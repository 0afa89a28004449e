//! A disk that is cut off, or becomes read only, under sends.
//!
//! After a power cut and a restart, SYNC_FLUSH has lost nothing that was acknowledged. ASYNC_FLUSH
//! may have lost what was acknowledged in the last flush interval and 100 ms, and of the log
//! nothing but its end. On a disk that is read only, sends are refused and reads go on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::disk::{Disk, FileSystem, LARGE};
use super::load::Load;
use super::producers::Ack;
use super::server::Server;
use super::{Args, Fault, Random, SERVICE_NOT_AVAILABLE, TOPIC, audit, print_lost};

/// In so many cycles once, messages are read of a disk that has been cut off.
const COLD: u32 = 5;
/// A directory is given up after so many cycles, so that it does not fill the disk.
const RENEW: u32 = 20;
/// Flush interval and 100 ms.
const UNFLUSHED_MAX: Duration = Duration::from_millis(600);
/// How long sends to a broken disk are watched.
const BROKEN: Duration = Duration::from_millis(300);

/// What the cycles have shown.
#[derive(Default)]
struct Seen {
    acknowledged: usize,
    lost: usize,
    violations: usize,
    oldest_lost: Duration,
    /// Not read while the disk was cut off.
    unreadable: usize,
    restarts: Vec<Duration>,
}

/// Runs the cycles of one file system and flush mode; true if it held.
pub fn run(
    args: &Args,
    file_system: FileSystem,
    flush: &str,
    binary: &Path,
    random: &mut Random,
) -> Result<bool> {
    let mut disk = Disk::make(file_system, LARGE)?;
    let mut server = Server::prepare_on(Some(&disk.path()), binary, flush, "")?;
    server.start()?;
    let mut load = Load::own(&server.broker(), TOPIC, args.producers)?;
    let mut seen = Seen::default();
    let mut kept: Vec<Ack> = Vec::new();
    for cycle in 1..=args.cycles {
        load.resume();
        load.wait_first()?;
        // Long enough for some of it to have been flushed.
        let before_ms = if flush == "SYNC_FLUSH" { 50 } else { 300 };
        load.collect(Duration::from_millis(before_ms + random.below(3 * before_ms)))?;
        let cut = Instant::now();
        let mut fresh = match args.fault {
            Fault::ReadOnly => seen.become_read_only(&disk, &server, &mut load)?,
            _ => {
                if cycle % COLD == 0 {
                    seen.read_cold(&disk, &mut server, &load, &kept)?;
                } else {
                    disk.shut_down()?;
                }
                Vec::new()
            }
        };
        load.pause();
        fresh.extend(load.acks());
        server.kill()?;
        disk.remount()?;
        let start = Instant::now();
        server.start()?;
        seen.restarts.push(start.elapsed());
        kept.extend(seen.judge(flush, cut, fresh, &server)?);
        if cycle % RENEW == 0 || cycle == args.cycles {
            let before = seen.violations;
            seen.lose(&audit::lost(&server.broker(), TOPIC, &kept)?);
            if seen.violations > before {
                println!("the server since its last start:\n{}", server.said());
            }
            kept.clear();
            println!("{cycle} cycles, {} acknowledged, {} lost", seen.acknowledged, seen.lost);
            server.stop()?;
            server.clear()?;
            server.start()?;
        }
    }
    drop(load);
    server.stop()?;
    Ok(seen.report(args, file_system, flush))
}

impl Seen {
    /// What was lost although it must not be.
    fn lose(&mut self, lost: &[&Ack]) {
        self.violations += print_lost(lost);
    }

    /// Breaks the disk and looks at what the server still does; returns what it acknowledged.
    fn become_read_only(
        &mut self,
        disk: &Disk,
        server: &Server,
        load: &mut Load,
    ) -> Result<Vec<Ack>> {
        load.pause();
        let acks = load.acks();
        disk.make_read_only()?;
        load.resume();
        load.collect(BROKEN)?;
        load.pause();
        let mut refused = 0;
        let mut late = Vec::new();
        for answer in load.answers() {
            match (answer.code, answer.ack) {
                (_, Some(ack)) => late.push(ack),
                (SERVICE_NOT_AVAILABLE, _) => refused += 1,
                (code, _) => {
                    println!("a send to a disk that is read only: code {code}");
                    self.violations += 1;
                }
            }
        }
        ensure!(refused > 0, "no send was refused on a disk that is read only");
        self.lose(&audit::lost(&server.broker(), TOPIC, &acks)?);
        Ok(acks.into_iter().chain(late).collect())
    }

    /// Cuts the disk off while none of it is in memory: reads fail, and must not kill the server.
    fn read_cold(
        &mut self,
        disk: &Disk,
        server: &mut Server,
        load: &Load,
        kept: &[Ack],
    ) -> Result<()> {
        load.pause();
        server.stop()?;
        server.start()?;
        disk.forget(&["commitlog", "consumequeue"])?;
        disk.shut_down()?;
        let unreadable = audit::lost(&server.broker(), TOPIC, kept);
        self.unreadable += unreadable.with_context(|| server.said())?.len();
        Ok(())
    }

    /// Takes what was acknowledged apart; returns what is there.
    fn judge(
        &mut self,
        flush: &str,
        cut: Instant,
        acks: Vec<Ack>,
        server: &Server,
    ) -> Result<Vec<Ack>> {
        self.acknowledged += acks.len();
        let lost = audit::lost(&server.broker(), TOPIC, &acks)?;
        if flush == "SYNC_FLUSH" {
            self.lose(&lost);
        }
        self.lost += lost.len();
        let gone: BTreeSet<i64> = lost.iter().map(|ack| ack.physical_offset).collect();
        for ack in &lost {
            self.oldest_lost = self.oldest_lost.max(cut.saturating_duration_since(ack.at));
        }
        let (lost, there): (Vec<_>, Vec<_>) =
            acks.into_iter().partition(|ack| gone.contains(&ack.physical_offset));
        let first_lost = lost.iter().map(|ack| ack.physical_offset).min();
        let last_there = there.iter().map(|ack| ack.physical_offset).max();
        if first_lost.is_some_and(|first| Some(first) < last_there) {
            println!("a hole: {first_lost:?} is lost, {last_there:?} is there");
            self.violations += 1;
        }
        Ok(there)
    }

    fn report(&mut self, args: &Args, file_system: FileSystem, flush: &str) -> bool {
        self.restarts.sort();
        let slowest = self.restarts.last().copied().unwrap_or_default();
        let median = self.restarts.get(self.restarts.len() / 2).copied().unwrap_or_default();
        let name = if args.fault == Fault::ReadOnly { "read only" } else { "power cut" };
        println!(
            "{flush} on {}: {name}, {} cycles, {} acknowledged, {} lost, the oldest acknowledged \
             {:.0?} before; {} violations; {} not read of a disk cut off; restart median {median:.0?}, slowest {slowest:.0?}",
            file_system.name(),
            args.cycles,
            self.acknowledged,
            self.lost,
            self.oldest_lost,
            self.violations,
            self.unreadable
        );
        if self.oldest_lost > UNFLUSHED_MAX {
            println!("{flush}: lost what was older than {UNFLUSHED_MAX:?}");
        }
        self.violations == 0
            && self.oldest_lost <= UNFLUSHED_MAX
            && self.acknowledged > args.cycles as usize
    }
}
