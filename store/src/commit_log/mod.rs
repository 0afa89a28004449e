//! The CommitLog: the only truth; everything else is derived from it.
//!
//! ```text
//! 00000000000000000000   00000000001073741824   00000000002147483648
//! record record .. blank record record .. end   spare: created ahead, all zeros
//! ```
//!
//! One lock orders all records; the lock order is append, spare, editing. Who waits for it longer
//! than a healthy disk takes gives up, and everybody is refused until it is free again. The list of
//! files is read without a lock; only the appender, when it rolls, and retention, when it deletes,
//! replace it. After a failed write or sync the log is poisoned: nothing is appended or
//! acknowledged until a restart has recovered.

mod append;
mod blocks;
mod flush;
mod lately;
mod loaded;
mod paths;
mod prepare;
mod read;
mod read_ahead;
mod window;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{error, info};

pub use append::Append;
pub use flush::FlushTimes;
pub use read::{Damage, Found, Records};
pub use window::Window;

use crate::faults::{self, Point};
use crate::segment::Segment;
use crate::watermark::{Signal, Watermark};
use crate::{FlushDiskType, OpenError, StoreConfig};
use append::{Appender, Locked};
use blocks::Blocks;
use lately::LatelyRead;
use paths::Paths;
pub(crate) use paths::{load_segments, view_segments};
use read_ahead::ReadAhead;

/// The files of the log and the positions in them.
#[derive(Debug)]
pub struct CommitLog {
    paths: Paths,
    segment_size: usize,
    flush_type: FlushDiskType,
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// Held while the list is replaced.
    editing: Mutex<()>,
    appender: parking_lot::Mutex<Appender>,
    /// How long the append lock may be held.
    busy_after: Duration,
    /// Somebody has given up waiting for the append lock; meaningless while it is free.
    stalled: AtomicBool,
    end: AtomicI64,
    flushed: Watermark,
    flushed_timestamp: AtomicI64,
    flushing: Mutex<()>,
    flush_signal: Signal,
    /// So many bytes that are not on disk are flushed soon.
    flush_at: i64,
    spare: Mutex<Option<Arc<Segment>>>,
    prepare_signal: Signal,
    read_ahead: ReadAhead,
    lately_read: LatelyRead,
    blocks: Blocks,
    closed: AtomicBool,
    poisoned: AtomicBool,
    sync_count: AtomicU64,
}

impl CommitLog {
    /// Says which file an open would refuse by its name or length; changes nothing.
    pub fn look(config: &StoreConfig) -> Result<(), OpenError> {
        paths::look(config)
    }

    /// Opens the files that are there; recovery then finds the end.
    pub fn open(config: &StoreConfig) -> Result<CommitLog, OpenError> {
        let paths = Paths::of(config)?;
        let segments = paths.load(config.segment_size())?;
        Ok(CommitLog::with(config, paths, segments))
    }

    /// Opens the files in these directories for reading only.
    pub fn view(directories: &[PathBuf]) -> Result<CommitLog, OpenError> {
        let segments = paths::view_segments(directories)?;
        let size = segments.first().map_or(0, |segment| segment.size());
        let config = StoreConfig {
            mapped_file_size_commit_log: size.try_into().unwrap_or(i32::MAX),
            ..StoreConfig::default()
        };
        Ok(CommitLog::with(&config, Paths::default(), segments))
    }

    fn with(config: &StoreConfig, paths: Paths, segments: Vec<Arc<Segment>>) -> CommitLog {
        let end = segments.last().map_or(0, |segment| segment.limit());
        CommitLog {
            paths,
            segment_size: config.segment_size(),
            flush_type: config.flush_disk_type,
            segments: ArcSwap::from_pointee(segments),
            editing: Mutex::new(()),
            appender: parking_lot::Mutex::new(Appender::default()),
            busy_after: config.busy_after(),
            stalled: AtomicBool::new(false),
            end: AtomicI64::new(end),
            flushed: Watermark::new(0),
            flushed_timestamp: AtomicI64::new(0),
            flushing: Mutex::new(()),
            flush_signal: Signal::default(),
            flush_at: flush::flush_at(config),
            spare: Mutex::new(None),
            prepare_signal: Signal::default(),
            read_ahead: ReadAhead::default(),
            lately_read: LatelyRead::default(),
            blocks: Blocks::default(),
            closed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            sync_count: AtomicU64::new(0),
        }
    }

    /// Size of one file.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// The files, oldest first.
    pub fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// First log position.
    pub fn min(&self) -> i64 {
        self.segments.load().first().map_or(0, |segment| segment.base())
    }

    /// Log position after the last record.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Position up to which the log is on disk.
    pub fn flushed(&self) -> &Watermark {
        &self.flushed
    }

    /// Store time of the newest record known to be on disk.
    pub fn flushed_timestamp(&self) -> i64 {
        self.flushed_timestamp.load(Ordering::Acquire)
    }

    /// Directories that get new files.
    pub fn directories(&self) -> &[PathBuf] {
        self.paths.writable()
    }

    /// Number of syncs made.
    pub fn sync_count(&self) -> u64 {
        self.sync_count.load(Ordering::Relaxed)
    }

    /// Whether a write or sync has failed.
    pub fn poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Ends acknowledging for good; the first caller's reason is logged.
    pub fn poison(&self, path: &Path, action: &str, cause: &dyn std::fmt::Display) {
        if !self.poisoned.swap(true, Ordering::AcqRel) {
            let path = path.display();
            error!(%path, %cause, "cannot {action}: no message is accepted until a restart");
        }
        self.flushed.fail();
        self.flush_signal.give();
    }

    /// Makes `end` the end of the log: later files are deleted, the tail becomes durable zeros.
    ///
    /// What recovery has read from `from` on is synced too: the page cache alone may hold it.
    /// Only for recovery: nobody else may use the log yet.
    pub fn cut(&self, from: i64, end: i64, last_timestamp: i64) -> Result<(), OpenError> {
        let segments = self.segments();
        let (kept, dropped): (Vec<_>, Vec<_>) =
            segments.iter().cloned().partition(|segment| segment.base() <= end);
        self.segments.store(Arc::new(kept.clone()));
        // Newest first, so that a crash in between leaves no gap.
        for segment in dropped.iter().rev() {
            segment.remove().map_err(|error| OpenError::io(segment.path(), "delete", error))?;
        }
        if let Some(last) = kept.last() {
            let written = (end - last.base()).clamp(0, last.size() as i64) as usize;
            last.cut(written).map_err(|error| OpenError::io(last.path(), "clear", error))?;
        }
        for segment in kept.iter().filter(|segment| segment.limit() > from) {
            segment.sync().map_err(|error| OpenError::io(segment.path(), "sync", error))?;
        }
        let mut appender = self.lock_appender();
        appender.segment = kept.last().cloned();
        appender.store_timestamp = last_timestamp;
        self.end.store(end, Ordering::Release);
        self.flushed.advance(end);
        self.flushed_timestamp.store(last_timestamp, Ordering::Release);
        Ok(())
    }

    /// Deletes the oldest file, never the one that is written to. Returns its path.
    pub fn delete_oldest(&self) -> io::Result<Option<PathBuf>> {
        let _editing = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let segments = self.segments();
        let Some((oldest, rest)) = segments.split_first().filter(|(_, rest)| !rest.is_empty())
        else {
            return Ok(None);
        };
        oldest.remove()?;
        faults::pass(Point::LogFileDeleted);
        self.segments.store(Arc::new(rest.to_vec()));
        Ok(Some(oldest.path().to_owned()))
    }

    /// Takes no more records and deletes files nobody has written to.
    pub fn close(&self) -> io::Result<()> {
        {
            // Under the lock: whoever holds it now is the last to append.
            let _appender = self.lock_appender();
            self.closed.store(true, Ordering::Release);
        }
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(spare) = spare {
            spare.remove()?;
            info!(path = %spare.path().display(), "deleted the spare log file");
        }
        Ok(())
    }

    fn add(&self, segment: &Arc<Segment>) {
        let _editing = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut segments = self.segments().to_vec();
        segments.push(Arc::clone(segment));
        self.segments.store(Arc::new(segments));
    }

    fn lock_appender(&self) -> Locked<'_> {
        Locked { log: self, appender: self.appender.lock() }
    }
}

#[cfg(test)]
mod tests;
