//! Reading what a store no longer has in memory, while a producer goes on at its tail.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, fadvise};

use super::args::ColdArgs;
use super::ballast;
use super::beside::Beside;
use super::driver::{Sample, drive};
use super::process;
use super::pull::Pull;
use super::report::Outcome;
use super::send::Send;
use super::setup;
use super::tally::{Counts, Tally};
use super::template::{Extra, SendBody, Template};

const READ_LEN: usize = 1 << 20;
/// Bytes of the messages sent meanwhile, and how many of them may wait for their answers.
const SIZE: usize = 1024;
const WINDOW: usize = 256;
/// Of what is pulled, the least that must have come from the disk.
const COLD_SHARE: f64 = 0.8;

/// Pulls a topic from its beginning to its end; the latency is that of the sends meanwhile, to
/// another topic.
pub fn measure(args: &ColdArgs) -> Result<Outcome> {
    let pull = &args.pull;
    let common = &pull.common;
    let address = setup::broker_address(common)?;
    let tail = format!("{}-tail", common.topic);
    setup::create_topic(&address, &tail, common.queues)?;
    let body = SendBody::single(SIZE);
    let send =
        |queue| Template::send(&tail, queue, &body, Extra::default(), common.encoding.encoding());
    let sends = (0..common.queues).map(send).collect::<Result<_>>()?;
    let links = pull.connections;
    let mut load = Beside {
        load: &mut Pull::new(pull, Counts::MESSAGES)?,
        links,
        sends: Send::new(1, WINDOW, sends).at_rate(args.beside).beside(links, Counts::LATENCY),
    };
    forget(&args.store, args.ballast.as_deref())?;
    let before = common.pid.map(process::read_bytes).transpose()?;
    let outcome = drive(common, &address, links + 1, &mut load)?;
    let after = common.pid.map(process::read_bytes).transpose()?;
    if let Some((before, after)) = before.zip(after) {
        let pulled = outcome.mib_per_second * outcome.seconds * f64::from(1 << 20);
        let share = (after - before) as f64 / pulled.max(1.0);
        ensure!(share >= COLD_SHARE, "only {share:.2} of what was pulled came from the disk");
    }
    Ok(outcome)
}

/// Reads the log of a store in order, as fast as the disk gives it.
pub fn read(store: &Path, ballast: Option<&Path>) -> Result<Outcome> {
    forget(store, ballast)?;
    let mut tally = Tally::new()?;
    let mut buffer = vec![0; READ_LEN];
    let began = Sample::take(None, Duration::ZERO)?;
    for file in files(&store.join("commitlog"))? {
        let mut log = File::open(&file)?;
        loop {
            let before = Instant::now();
            let count = log.read(&mut buffer).with_context(|| file.display().to_string())?;
            if count == 0 {
                break;
            }
            tally.add(0, count as u64);
            tally.took(before.elapsed().as_nanos() as u64);
        }
    }
    ensure!(tally.bytes > 0, "{}: no log", store.display());
    Ok(Outcome::new(&tally, &began, &Sample::take(None, Duration::ZERO)?, 0))
}

/// Takes the files of a store out of the page cache, but for what a process has mapped; ballast
/// takes their place.
fn forget(store: &Path, ballast: Option<&Path>) -> Result<()> {
    for file in files(store)? {
        let file = File::open(file)?;
        // Only what is on the disk is let go.
        file.sync_data()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    ballast.map_or(Ok(()), ballast::fill)
}

/// All files below a folder, those of one folder by their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
