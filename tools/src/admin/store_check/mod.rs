//! `mqadmin store check`: walks every file of a store with the readers of the store itself.
//!
//! ```text
//! mod ─ what is looked at, in order      log ─ records        queues ─ units
//!       java ─ where Java's recovery ends                      index, pending ─ what waits
//!       config ─ config/*.json            report ─ what is printed
//! ```
//!
//! Nothing is written, locked or created. Files are as long as the first of their kind.

mod config;
mod index;
mod java;
mod log;
mod pending;
mod queues;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use store::checkpoint::Checkpoint;
use store::commit_log::CommitLog;
use store::consume_queue::{Queues, QueuesConfig};
use store::dispatch::DelayLevels;
use store::recovery::Recovery;
use store::{OpenError, QueueKind, StoreConfig, foreign};

use config::Configs;
pub use report::Report;

/// What to look at.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Directory of the store (storePathRootDir).
    pub directory: PathBuf,
    /// Directories of the log, where they are elsewhere (storePathCommitLog and
    /// readOnlyCommitLogStorePaths).
    #[arg(long, value_name = "PATH[,PATH]", value_delimiter = ',')]
    pub commit_log: Vec<PathBuf>,
    /// Length of a slot of the timer wheel (timerPrecisionMs).
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..))]
    pub timer_precision_ms: i64,
}

/// A store, opened for looking.
struct Store {
    root: PathBuf,
    log: CommitLog,
    queues: Queues,
    checkpoint: Checkpoint,
    delays: DelayLevels,
    settings: StoreConfig,
    clean: bool,
    configs: Configs,
}

/// Looks at everything.
///
/// # Errors
/// What cannot be read.
pub fn check(args: &CheckArgs) -> anyhow::Result<Report> {
    let root = &args.directory;
    if !root.join("config").is_dir() && !root.join("checkpoint").is_file() {
        bail!("{}: no store here: neither config/ nor checkpoint", root.display());
    }
    let mut report = Report {
        root: root.clone(),
        clean: !root.join("abort").exists(),
        running: holder(root)?,
        files: files(root, &args.commit_log)?,
        ..Report::default()
    };
    let configs = Configs::read(root, &mut report)?;
    let store = match Store::open(args, configs) {
        Ok(store) => store,
        // What no broker would start with.
        Err(error @ OpenError::Damaged { .. }) => {
            report.damage(error);
            return Ok(report);
        }
        Err(error) => return Err(error.into()),
    };
    report.marks = store.checkpoint.marks();
    store.recover(&mut report);
    log::walk(&store, &mut report);
    queues::walk(&store, &mut report)?;
    index::walk(&store, &mut report)?;
    pending::walk(&store, args.timer_precision_ms, &mut report)?;
    Ok(report)
}

impl Store {
    fn open(args: &CheckArgs, configs: Configs) -> Result<Store, OpenError> {
        let root = args.directory.clone();
        foreign::refuse(&root)?;
        let mut directories = args.commit_log.clone();
        if directories.is_empty() {
            directories.push(root.join("commitlog"));
            directories.retain(|directory| directory.is_dir());
        }
        let log = CommitLog::view(&directories)?;
        let length = |kind: &str, default: i64| first_length(&root.join(kind)).unwrap_or(default);
        let queues = QueuesConfig {
            root: root.clone(),
            simple_file_size: length("consumequeue", 6_000_000),
            batch_file_size: length("batchconsumequeue", 13_800_000),
            open_files_max: 256,
            many: usize::MAX,
            light: true,
        };
        let batch = configs.batch_topics();
        let kind = move |topic: &str| match batch.contains(topic) {
            true => QueueKind::Batch,
            false => QueueKind::Simple,
        };
        let queues = Queues::view(queues, Box::new(kind))?;
        let settings = StoreConfig::default();
        let levels = &settings.message_delay_level;
        Ok(Store {
            log,
            queues,
            checkpoint: Checkpoint::view(&root)?,
            delays: DelayLevels::parse(levels).unwrap_or_else(|part| unreachable!("{part}")),
            clean: !root.join("abort").exists(),
            settings,
            configs,
            root,
        })
    }

    /// Where both brokers would end the log.
    fn recover(&self, report: &mut Report) {
        let recovery = Recovery {
            config: &self.settings,
            log: &self.log,
            queues: &self.queues,
            index: None,
            checkpoint: &self.checkpoint,
            delays: &self.delays,
            clean: self.clean,
        };
        let java = java::recovery(self);
        report.java = (java.from, java.end);
        match recovery.preview() {
            Ok((from, end)) => {
                report.ours = Some((from, end));
                if end != java.end {
                    let text = format!("the log ends at {end} here, at {} with Java", java.end);
                    report.differences.push(text);
                }
            }
            Err(error) => {
                let text =
                    format!("here the start is refused, with Java the log ends at {}", java.end);
                report.differences.push(text);
                report.damage(error);
            }
        }
    }

    /// The file of a log position, and the offset in it.
    fn place(&self, position: i64) -> (PathBuf, u64) {
        self.log.segment_at(position).map_or_else(
            || (self.root.join("commitlog"), position.unsigned_abs()),
            |segment| (segment.path().to_owned(), (position - segment.base()).unsigned_abs()),
        )
    }
}

/// The process that holds the lock of the store, if any does.
fn holder(root: &Path) -> anyhow::Result<Option<i32>> {
    let path = root.join("lock");
    let Ok(file) = fs::File::open(&path) else { return Ok(None) };
    let lock = Flock { length: 1, ..Flock::from(FlockType::WriteLock) };
    let held = fcntl_getlk(&file, &lock).with_context(|| path.display().to_string())?;
    Ok(held.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

/// Number and length of the files below the directories.
fn files(root: &Path, others: &[PathBuf]) -> anyhow::Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    let mut open: Vec<PathBuf> = others.to_vec();
    open.push(root.to_owned());
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                (count, bytes) = (count + 1, bytes + meta.len());
            }
        }
    }
    Ok((count, bytes))
}

/// Length of the first queue file below a directory of topics.
fn first_length(directory: &Path) -> Option<i64> {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    below(directory.to_owned())
        .flat_map(|topic| below(topic.path()))
        .flat_map(|queue| below(queue.path()))
        .filter_map(|file| file.metadata().ok())
        .find(|meta| meta.is_file() && meta.len() > 0)
        .and_then(|meta| i64::try_from(meta.len()).ok())
}
