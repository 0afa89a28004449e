//! Appending: one lock, one place for the next record, roll when it does not fit.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use remoting::protocol::message::record::{BLANK_HEAD_LEN, blank_head};
use tracing::warn;

use super::CommitLog;
use crate::PutError;
use crate::disk::is_full;
use crate::faults::{self, Point};
use crate::segment::{RESERVE_STEP, Segment};

/// How often whoever waits for the append lock lets others run before it sleeps.
const LOCK_TRIES: usize = 100;

/// What the append lock protects.
#[derive(Debug, Default)]
pub struct Appender {
    /// File that is written to; none before the first record.
    pub segment: Option<Arc<Segment>>,
    /// Store time of the newest record.
    pub store_timestamp: i64,
}

/// The append lock, held.
pub struct Append<'a> {
    log: &'a CommitLog,
    appender: Locked<'a>,
}

/// What the append lock protects, while it is held.
pub(super) struct Locked<'a> {
    pub log: &'a CommitLog,
    pub appender: parking_lot::MutexGuard<'a, Appender>,
}

impl Deref for Locked<'_> {
    type Target = Appender;

    fn deref(&self) -> &Appender {
        &self.appender
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Appender {
        &mut self.appender
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A panic under this lock may have left half a record behind the end: no more appends.
        if std::thread::panicking() {
            self.log.poison(Path::new("commitlog"), "go on", &"an append panicked");
        }
        if self.log.stalled.load(Ordering::Relaxed) {
            self.log.stalled.store(false, Ordering::Relaxed);
        }
    }
}

impl CommitLog {
    /// Takes the append lock. Whoever finds it held for too long is refused, and so is everybody
    /// after, at once, while it is held: their threads have other work than to wait for a disk.
    pub fn lock(&self) -> Result<Append<'_>, PutError> {
        let patience = self.busy_after;
        let appender = match self.stalled.load(Ordering::Relaxed) {
            true => self.appender.try_lock(),
            false => self.soon_locked().or_else(|| self.appender.try_lock_for(patience)),
        };
        let Some(appender) = appender else {
            if !self.stalled.swap(true, Ordering::Relaxed) {
                warn!(waited = ?patience, "a write to the log takes long: sends are refused");
            }
            return Err(PutError::Busy);
        };
        let appender = Locked { log: self, appender };
        if self.poisoned() {
            return Err(PutError::Poisoned);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(PutError::Stopped);
        }
        Ok(Append { log: self, appender })
    }

    /// The append lock, unless it is held for longer than a group of records takes: to sleep and to
    /// be woken takes a virtual processor as long.
    fn soon_locked(&self) -> Option<parking_lot::MutexGuard<'_, Appender>> {
        for _ in 0..LOCK_TRIES {
            if let Some(appender) = self.appender.try_lock() {
                return Some(appender);
            }
            std::thread::yield_now();
        }
        None
    }

    /// Whether a write has been taking longer than a healthy disk takes.
    pub fn is_busy(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) && self.appender.is_locked()
    }

    /// End of the log and store time of its newest record, consistent with each other and with
    /// every view that is fed under the append lock.
    pub fn mark(&self) -> (i64, i64) {
        let appender = self.lock_appender();
        (self.end(), appender.store_timestamp)
    }

    /// Does something short while nobody appends.
    pub fn paused<T>(&self, work: impl FnOnce() -> T) -> T {
        let _appender = self.lock_appender();
        work()
    }

    /// Longest record, or batch of records, that fits into a file.
    pub fn record_len_max(&self) -> usize {
        self.segment_size - BLANK_HEAD_LEN
    }
}

impl Append<'_> {
    /// Log position where the next `len` bytes will stand; rolls to the next file if needed.
    pub fn place(&mut self, len: usize) -> Result<i64, PutError> {
        let end = self.log.end();
        let fits = |segment: &Segment| {
            segment.written() < segment.size()
                && len + BLANK_HEAD_LEN <= segment.size() - segment.written()
        };
        if self.appender.segment.as_deref().is_some_and(fits) {
            return Ok(end);
        }
        let base = match self.appender.segment.as_deref() {
            Some(segment) => segment.limit(),
            None => end - end % self.log.segment_size as i64,
        };
        // The next file comes first: when there is no room for it, nothing has changed.
        let next = self.log.add_segment(base)?;
        faults::pass(Point::SegmentAdded);
        if let Some(full) = self.appender.segment.clone() {
            self.fill(&full)?;
        }
        faults::pass(Point::SegmentFilled);
        self.log.end.store(base, Ordering::Release);
        self.appender.segment = Some(next);
        self.log.prepare_signal.give();
        Ok(base)
    }

    /// How many bytes of records the file of the place given before still takes.
    pub fn room(&self) -> usize {
        let segment = self.appender.segment.as_deref();
        segment.map_or(0, |segment| segment.size() - segment.written() - BLANK_HEAD_LEN)
    }

    /// Ends a file with a blank record, which covers it to its last byte.
    fn fill(&mut self, segment: &Segment) -> Result<(), PutError> {
        let left = segment.size() - segment.written();
        if left == 0 {
            return Ok(());
        }
        let head = blank_head(left as i32);
        self.write_at(segment, &head[..left.min(BLANK_HEAD_LEN)])?;
        segment.publish(segment.size());
        Ok(())
    }

    /// Writes at the place given before and makes it readable.
    pub fn write(&mut self, bytes: &[u8], store_timestamp: i64) -> Result<(), PutError> {
        // Invariant: `place` has chosen the file.
        let segment = self.appender.segment.clone().ok_or(PutError::CreateSegmentFailed)?;
        self.write_at(&segment, bytes)?;
        segment.publish(segment.written() + bytes.len());
        self.appender.store_timestamp = store_timestamp;
        self.log.end.store(segment.end(), Ordering::Release);
        if segment.end() - self.log.flushed.position() >= self.log.flush_at {
            self.log.flush_signal.give();
        }
        if segment.reserved_ahead() < RESERVE_STEP / 2 && !segment.reserved_whole() {
            self.log.prepare_signal.give();
        }
        Ok(())
    }

    fn write_at(&mut self, segment: &Segment, bytes: &[u8]) -> Result<(), PutError> {
        let at = segment.written();
        let Err(error) = segment.write(at, bytes) else { return Ok(()) };
        // Whatever part of the record has reached the file must not look like a record when a
        // crash comes before the next append.
        let erased = segment.erase(at);
        if is_full(&error) && erased.is_ok() {
            return Err(PutError::DiskFull);
        }
        self.log.poison(segment.path(), "write", &error);
        Err(PutError::Poisoned)
    }
}

impl CommitLog {
    /// Adds the file that starts at `base` to the list: the spare one if it is ready.
    fn add_segment(&self, base: i64) -> Result<Arc<Segment>, PutError> {
        // Held until the file is in the list: a file there is no longer made as a spare.
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(added) = self.segments.load().last().filter(|last| last.base() == base) {
            // Ending the former file failed after this one had been added.
            return Ok(Arc::clone(added));
        }
        let segment = match spare.take_if(|segment| segment.base() == base) {
            Some(segment) => segment,
            None => self.create_segment(base).map_err(|error| {
                warn!(%error, base, "cannot create a log file");
                if is_full(&error) { PutError::DiskFull } else { PutError::CreateSegmentFailed }
            })?,
        };
        self.add(&segment);
        Ok(segment)
    }

    /// Creates the file that starts at `base`, of zeros.
    pub(super) fn create_segment(&self, base: i64) -> io::Result<Arc<Segment>> {
        let path = self.paths.place(base, self.segment_size);
        Segment::create(&path, base, self.segment_size).map(Arc::new)
    }
}
