//! From the page cache to the disk: group commit, or a tick.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use runtime::services::Stop;

use super::CommitLog;
use crate::{FlushDiskType, StoreConfig};

const PAGE: i64 = 4096;
/// Between the begins of two asynchronous flushes at least.
const FLUSH_GAP: Duration = Duration::from_millis(20);

/// When an asynchronous flush happens.
#[derive(Clone, Copy, Debug)]
pub struct FlushTimes {
    interval: Duration,
    thorough: Duration,
    least_bytes: i64,
}

impl FlushTimes {
    /// The part of the settings.
    pub fn of(config: &StoreConfig) -> FlushTimes {
        let ms = |value: i32| Duration::from_millis(value.max(1) as u64);
        FlushTimes {
            interval: ms(config.flush_interval_commit_log),
            thorough: ms(config.flush_commit_log_thorough_interval),
            least_bytes: i64::from(config.flush_commit_log_least_pages.max(0)) * PAGE,
        }
    }
}

/// How many bytes do not wait for the next asynchronous flush. What is written back in one go keeps
/// a processor for as long, so it is not left to grow.
pub(super) fn flush_at(config: &StoreConfig) -> i64 {
    match config.flush_disk_type {
        FlushDiskType::SyncFlush => i64::MAX,
        FlushDiskType::AsyncFlush if config.flush_commit_log_timed => 1 << 20,
        FlushDiskType::AsyncFlush => FlushTimes::of(config).least_bytes.max(1),
    }
}

impl CommitLog {
    /// Flushes as the settings say until told to stop, and once more then.
    pub fn flush_until(self: &Arc<Self>, stop: &Stop, times: FlushTimes) {
        let log = Arc::clone(self);
        stop.on_trigger(move || log.flush_signal.give());
        match self.flush_type {
            FlushDiskType::SyncFlush => self.group_commit_until(stop, times),
            FlushDiskType::AsyncFlush => self.flush_by_time_until(stop, times),
        }
        // A failure has been logged by the flush itself.
        let _ = self.flush();
    }

    /// One sync after the other while anyone waits; each covers all that was written before it.
    ///
    /// Threads that share the processor go first each time: what they have at hand is in the sync
    /// then. A third as many syncs serve 256 senders on one processor, and none waits for two.
    fn group_commit_until(&self, stop: &Stop, times: FlushTimes) {
        while !stop.stopped() && !self.poisoned() {
            self.flush_signal.take(times.interval);
            loop {
                std::thread::yield_now();
                if !self.flush().is_ok_and(|moved| moved) || !self.flushed.awaited() {
                    break;
                }
            }
        }
    }

    /// The interval counts from one flush's begin to the next one's end, as long as the last sync
    /// took: so much a power cut can lose.
    fn flush_by_time_until(&self, stop: &Stop, times: FlushTimes) {
        let mut last = Instant::now();
        let mut begun = last;
        let mut took = Duration::ZERO;
        while !stop.stopped() && !self.poisoned() {
            let rest = times.interval.saturating_sub(begun.elapsed() + took);
            if self.flush_signal.take(rest)
                && stop.wait_timeout(FLUSH_GAP.saturating_sub(begun.elapsed()))
            {
                return;
            }
            begun = Instant::now();
            took = Duration::ZERO;
            let dirty = self.end() - self.flushed.position();
            if dirty >= times.least_bytes.max(1) || (dirty > 0 && last.elapsed() >= times.thorough)
            {
                let _ = self.flush();
                last = begun;
                took = begun.elapsed();
            }
        }
    }

    /// Asks the flush thread for a sync.
    pub fn flush_soon(&self) {
        self.flush_signal.give();
    }

    /// Syncs everything written so far; false when there was nothing. A failure poisons the log.
    pub fn flush(&self) -> io::Result<bool> {
        let _flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned() {
            return Err(io::Error::other("a write or sync had failed before"));
        }
        let (end, store_timestamp) = self.mark();
        let from = self.flushed.position();
        if from >= end {
            return Ok(false);
        }
        for segment in self.segments().iter() {
            if segment.limit() <= from || segment.base() >= end {
                continue;
            }
            self.sync_count.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = segment.sync() {
                self.poison(segment.path(), "sync", &error);
                return Err(error);
            }
        }
        self.flushed_timestamp.store(store_timestamp, Ordering::Release);
        self.flushed.advance(end);
        Ok(true)
    }
}
