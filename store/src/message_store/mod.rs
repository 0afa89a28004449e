//! The store: open, put, get, read, query, stop.
//!
//! A put is ordered by the append lock of the log: queue offset, log position, store time, the
//! bytes, and the unit of the queue come about under it. The index follows in its own thread.

mod group;
mod indexing;
mod numbered;
mod put;
mod read;
mod runtime;
mod services;

pub use group::{GROUP_LEN, Puts};
pub use read::Wanted;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tracing::{error, info, warn};

use crate::checkpoint::Checkpoint;
use crate::commit_log::CommitLog;
use crate::consume_queue::{Queues, QueuesConfig};
use crate::disk::raise_open_files;
use crate::disk_file::create_durable_directories;
use crate::dispatch::{DelayLevels, Dispatch};
use crate::get::ScanLimits;
use crate::index::{Index, IndexConfig, Noted, Notes};
use crate::lock_file::{AbortMarker, LockFile};
use crate::recovery::Recovery;
use crate::timer::Timer;
use crate::watermark::Signal;
use crate::{
    Arrival, FlushDiskType, OpenError, QueueKind, StopError, StoreConfig, WaitError, foreign,
};

/// A stop goes on writing queues for so long; what is left then is in the log.
const QUEUES_STOP_MAX: Duration = Duration::from_secs(1);

/// Told after each message became visible, on the thread that stored it.
pub type ArrivalListener = Box<dyn Fn(&Arrival<'_>) + Send + Sync>;

/// Kind of the queues of a topic, from the topic's attributes.
pub type QueueKinds = Box<dyn Fn(&str) -> QueueKind + Send + Sync>;

/// Topics with a time of their own, in milliseconds.
pub type TopicTimes = Box<dyn Fn() -> Vec<(String, i64)> + Send + Sync>;

/// The log, its views and their files.
pub struct MessageStore {
    config: ArcSwap<StoreConfig>,
    log: Arc<CommitLog>,
    queues: Queues,
    index: Option<Index>,
    timer: Option<Timer>,
    checkpoint: Checkpoint,
    /// Held while the checkpoint moves: it never goes back.
    saving: Mutex<()>,
    /// Those who wait for a checkpoint.
    awaited_saves: AtomicUsize,
    delays: DelayLevels,
    limits: ArcSwap<ScanLimits>,
    /// End of the log when the store was opened.
    opened_at: i64,
    arrivals: ArrivalListener,
    abort: AbortMarker,
    lock: Mutex<Option<LockFile>>,
    /// Log position up to which the index has seen the records.
    indexed: AtomicI64,
    /// What the index is adding; held while it does.
    indexing: Mutex<Noted>,
    /// Keys of what was stored since.
    notes: Notes,
    /// Many are noted.
    index_signal: Signal,
    /// The index could not be written; it is tried again.
    index_stuck: AtomicBool,
    disk_full: AtomicBool,
    /// First log position when the views were cleaned last; -1 before. Held while files of views
    /// are deleted: the service and requests do so.
    views_min: Mutex<i64>,
    topic_times: OnceLock<TopicTimes>,
    /// Start of the log file that was last said to be kept for a topic; -1 before.
    kept_file: AtomicI64,
    /// Rounds of cleaning that are to come at any hour.
    pub(crate) manual_rounds: AtomicU32,
    stopped: AtomicBool,
}

impl MessageStore {
    /// Opens the store: lock, load, recover. `start` then adds the background work.
    pub fn open(
        config: StoreConfig,
        queue_kinds: QueueKinds,
        arrivals: ArrivalListener,
    ) -> Result<MessageStore, OpenError> {
        let lock = MessageStore::lock(&config)?;
        MessageStore::open_locked(lock, config, queue_kinds, arrivals)
    }

    /// Takes the lock on the directory of a store, so that what stands beside the store can be
    /// loaded before it; refuses a directory of another kind of store without a touch.
    pub fn lock(config: &StoreConfig) -> Result<LockFile, OpenError> {
        config.validate()?;
        let root = config.root();
        foreign::refuse(root)?;
        create_durable_directories(root).map_err(|error| OpenError::io(root, "create", error))?;
        LockFile::take(root)
    }

    /// Says why an open would fail, as far as the names and lengths of files tell and whoever has
    /// the lock; changes nothing.
    pub fn look(config: &StoreConfig) -> Result<(), OpenError> {
        config.validate()?;
        foreign::refuse(config.root())?;
        LockFile::look(config.root())?;
        CommitLog::look(config)
    }

    /// Opens a store whose lock was taken before.
    pub fn open_locked(
        lock: LockFile,
        config: StoreConfig,
        queue_kinds: QueueKinds,
        arrivals: ArrivalListener,
    ) -> Result<MessageStore, OpenError> {
        config.validate()?;
        let delays = DelayLevels::parse(&config.message_delay_level).map_err(|_| {
            let value = config.message_delay_level.clone();
            let reason = "expected delays like 1s 5m 2h, separated by blanks";
            OpenError::Unsupported { key: "messageDelayLevel", value, reason }
        })?;
        let root = config.root();
        raise_open_files();
        let abort = AbortMarker::of(root);
        let clean = !abort.present();
        let log = CommitLog::open(&config)?;
        let queues = Queues::open(QueuesConfig::of(&config), queue_kinds, clean)?;
        let checkpoint = Checkpoint::open(root)?;
        let index = match config.message_index_enable {
            true => Some(Index::open(IndexConfig::of(&config), clean)?),
            false => None,
        };
        // From here on files change: a crash in the middle must be known next time.
        abort.set().map_err(|error| OpenError::io(abort.path(), "write", error))?;
        let recovery = Recovery {
            config: &config,
            log: &log,
            queues: &queues,
            index: index.as_ref(),
            checkpoint: &checkpoint,
            delays: &delays,
            clean,
        };
        let timer = recovery.run().and_then(|()| match config.timer_wheel_enable {
            true => Timer::open(&config, &log, &queues).map(Some),
            false => Ok(None),
        });
        let timer = timer.or_else(|error| {
            // A start that is refused changes nothing: were the marker left, the next one would
            // take the damage for the torn tail of a crash, and cut it off.
            if clean {
                abort.clear().map_err(|error| OpenError::io(abort.path(), "remove", error))?;
            }
            Err(error)
        })?;
        let indexed = index.as_ref().map_or(log.end(), |index| index.position().max(log.min()));
        Ok(MessageStore {
            limits: ArcSwap::from_pointee(scan_limits(&config)),
            opened_at: log.end(),
            config: ArcSwap::from_pointee(config),
            log: Arc::new(log),
            queues,
            index,
            timer,
            checkpoint,
            saving: Mutex::new(()),
            awaited_saves: AtomicUsize::new(0),
            delays,
            arrivals,
            abort,
            lock: Mutex::new(Some(lock)),
            indexed: AtomicI64::new(indexed),
            indexing: Mutex::default(),
            notes: Notes::default(),
            index_signal: Signal::default(),
            index_stuck: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            views_min: Mutex::new(-1),
            topic_times: OnceLock::new(),
            kept_file: AtomicI64::new(-1),
            manual_rounds: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
        })
    }

    /// Settings as they are now.
    pub fn config(&self) -> Guard<Arc<StoreConfig>> {
        self.config.load()
    }

    /// Takes over the settings that may change while the store is open.
    ///
    /// The caller sees to it that the others are as they were, and that all are valid.
    pub fn reconfigure(&self, config: StoreConfig) {
        self.limits.store(Arc::new(scan_limits(&config)));
        self.config.store(Arc::new(config));
    }

    /// Delays of the delay levels.
    pub fn delay_levels(&self) -> &DelayLevels {
        &self.delays
    }

    /// The log.
    pub fn log(&self) -> &CommitLog {
        &self.log
    }

    /// The queues.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The timer, if it is enabled.
    pub fn timer(&self) -> Option<&Timer> {
        self.timer.as_ref()
    }

    /// Says where to ask for topics with a time of their own; without, and for all others, the
    /// time of the log files counts. The first call counts.
    pub fn ask_for_topic_times(&self, times: TopicTimes) {
        let _ = self.topic_times.set(times);
    }

    pub(crate) fn topic_times(&self) -> Vec<(String, i64)> {
        self.topic_times.get().map_or_else(Vec::new, |times| times())
    }

    /// Whether it has not been said yet that the log file that starts here is kept.
    pub(crate) fn note_kept(&self, base: i64) -> bool {
        self.kept_file.swap(base, Ordering::Relaxed) != base
    }

    /// Whether messages are accepted.
    pub fn writable(&self) -> bool {
        !self.stopped.load(Ordering::Acquire) && !self.disk_full() && !self.log.poisoned()
    }

    /// Whether messages are refused for want of room: the disk is above its level, or a view
    /// could not be written.
    pub fn disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Acquire) || self.queues.starved()
    }

    /// Says whether the disk is too full for messages; logs the change.
    pub fn set_disk_full(&self, full: bool) {
        let before = self.disk_full.swap(full, Ordering::AcqRel);
        if full && !before {
            error!("the disk is full: no messages are accepted");
            self.queues.wants_room().give();
        } else if before && !full {
            info!("the disk has room again: messages are accepted");
        }
    }

    /// Whether a put that ended at `end` needs no wait under the configured flush policy.
    pub fn durable(&self, end: i64) -> bool {
        match self.config().flush_disk_type {
            FlushDiskType::SyncFlush => self.log.flushed().position() >= end,
            FlushDiskType::AsyncFlush => !self.log.poisoned(),
        }
    }

    /// Waits until the log is on disk up to `end` (at once with asynchronous flush).
    pub async fn wait_durable(&self, end: i64, timeout: Duration) -> Result<(), WaitError> {
        if self.durable(end) {
            return Ok(());
        }
        self.log.flush_soon();
        let wait = self.log.flushed().wait_for(end);
        tokio::time::timeout(timeout, wait).await.unwrap_or(Err(WaitError::TimedOut))
    }

    /// First log position.
    pub fn min_physical_offset(&self) -> i64 {
        self.log.min()
    }

    /// Log position after the last record.
    pub fn max_physical_offset(&self) -> i64 {
        self.log.end()
    }

    /// Log position up to which everything is on disk.
    pub fn flushed_offset(&self) -> i64 {
        self.log.flushed().position()
    }

    /// Puts everything written so far on disk; blocks.
    ///
    /// # Errors
    /// Returns what the disk said; the store accepts nothing from then on.
    pub fn flush(&self) -> io::Result<()> {
        self.log.flush().map(|_| ())
    }

    /// Bytes of the log the index has not seen yet.
    pub fn dispatch_behind_bytes(&self) -> i64 {
        match self.index {
            Some(_) => (self.log.end() - self.indexed.load(Ordering::Acquire)).max(0),
            None => 0,
        }
    }

    /// Deletes the queues of a topic.
    pub fn delete_topic(&self, topic: &str) -> io::Result<()> {
        self.log.paused(|| self.queues.detach_topic(topic)).remove()?;
        // A replay after a crash must not start before this moment: the records of the topic are
        // still in the log, and would bring its queues back.
        self.save_checkpoint()
    }

    /// Deletes the queues whose messages are all gone and that `kept` (asked topic and queue)
    /// does not keep. Their offsets start at 0 again. Returns how many.
    ///
    /// # Errors
    /// Returns what the disk said; some may be deleted.
    pub fn delete_dead_queues(&self, kept: &dyn Fn(&str, i32) -> bool) -> io::Result<usize> {
        let min = self.log.min();
        let dead = self.queues.dead(min).map_err(|error| io::Error::other(error.to_string()))?;
        let mut count = 0;
        for (topic, mut ids) in dead {
            ids.retain(|id| !kept(&topic, *id));
            if !ids.is_empty() {
                let doomed = self.log.paused(|| self.queues.detach_dead(&topic, &ids, min));
                count += doomed.remove()?;
                info!(%topic, queues = ?ids, "deleted queues whose messages are gone");
            }
        }
        // As with a topic; after a power cut the log may have files again that were deleted.
        self.save_checkpoint()?;
        Ok(count)
    }

    /// Deletes the oldest file of the log, never the one that is written to. Returns its path.
    pub fn delete_oldest_file(&self) -> io::Result<Option<PathBuf>> {
        let segments = self.log.segments();
        let saved = self.checkpoint.marks().position.unwrap_or(0);
        // The queues count on from their units: those of the file must be on disk before the
        // records are gone, from which they could be built again.
        if segments.len() > 1 && segments[0].limit() > saved {
            self.save_checkpoint()?;
        }
        self.log.delete_oldest()
    }

    /// Deletes expired files of the views and moves the first offsets of the queues, if the log
    /// starts later than last time.
    pub fn delete_expired_views(&self) {
        let mut cleaned = self.views_min.lock().unwrap_or_else(PoisonError::into_inner);
        let min = self.log.min();
        if *cleaned == min {
            return;
        }
        let mut done = true;
        if let Err(error) = self.queues.delete_expired(min) {
            warn!(%error, "cannot delete expired queue files");
            done = false;
        }
        if let Some(timer) = &self.timer {
            timer.delete_expired(min);
        }
        if let Some(index) = &self.index
            && let Err(error) = index.delete_expired(min)
        {
            warn!(%error, "cannot delete expired index files");
            done = false;
        }
        if done {
            *cleaned = min;
        }
    }

    /// Flushes everything, writes the checkpoint, removes the abort marker and the lock. Call it
    /// after the services have stopped. After an error, or when so many queues are not on disk
    /// that it would take long, the marker stays: the next start recovers.
    pub fn stop(&self) -> Result<(), StopError> {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let stopped = self.flush_for_good();
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        stopped
    }

    fn flush_for_good(&self) -> Result<(), StopError> {
        let io = |action| move |source| StopError::Io { action, source };
        let view = |action| {
            move |error: crate::dispatch::ViewError| StopError::Io {
                action,
                source: std::io::Error::other(error.to_string()),
            }
        };
        self.log.close().map_err(io("delete the spare log file"))?;
        if self.log.poisoned() {
            return Err(StopError::Poisoned);
        }
        self.log.flush().map_err(io("flush the log"))?;
        if let Some(timer) = &self.timer {
            timer.close(self).map_err(io("save the timer"))?;
        }
        let behind = self.catch_up_index();
        if let Some(index) = &self.index {
            index.flush().map_err(view("flush the index"))?;
        }
        let until = Instant::now() + QUEUES_STOP_MAX;
        let saved = self.save_checkpoint_unless(&|| Instant::now() >= until, &|| {});
        if !saved.map_err(io("write the checkpoint"))? {
            let position = self.checkpoint.marks().position;
            warn!(
                from = position.unwrap_or_else(|| self.log.min()),
                end = self.log.end(),
                "queues are left unwritten: the next start builds them from the log, which is on \
                 disk"
            );
            return Ok(());
        }
        if behind > 0 {
            return Err(StopError::Behind { behind });
        }
        self.abort.clear().map_err(io("remove the abort marker"))
    }
}

/// Limits of a get, from the settings and the memory of the machine.
fn scan_limits(config: &StoreConfig) -> ScanLimits {
    let info = rustix::system::sysinfo();
    let memory = info.totalram.saturating_mul(u64::from(info.mem_unit)) / 100;
    let percent = config.access_message_in_memory_max_ratio.clamp(0, 100) as u64;
    ScanLimits {
        units_bytes_max: i64::from(config.max_filter_message_size),
        count_in_memory: config.max_transfer_count_on_message_in_memory,
        bytes_in_memory: i64::from(config.max_transfer_bytes_on_message_in_memory),
        count_on_disk: config.max_transfer_count_on_message_in_disk,
        bytes_on_disk: i64::from(config.max_transfer_bytes_on_message_in_disk),
        memory_bytes: memory.saturating_mul(percent).try_into().unwrap_or(i64::MAX),
    }
}
