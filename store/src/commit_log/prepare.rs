//! Making room ahead of the appender: blocks of the current file, and the next file.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use runtime::services::Stop;
use tracing::warn;

use super::CommitLog;
use crate::FlushDiskType;
use crate::segment::{RESERVE_STEP, Reserve, Segment};

/// Looks even without a signal, so that a lost one costs time only; sooner after a failure.
const PERIOD: Duration = Duration::from_secs(10);
const PERIOD_AFTER_FAILURE: Duration = Duration::from_millis(500);

impl CommitLog {
    /// Keeps room ahead of the appender until told to stop.
    pub fn prepare_until(self: &Arc<Self>, stop: &Stop) {
        let log = Arc::clone(self);
        stop.on_trigger(move || log.prepare_signal.give());
        let mut complained = false;
        while !stop.stopped() {
            match self.prepare() {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    // The append itself reports a full disk to its caller.
                    warn!(%error, "cannot make room for the log");
                    complained = true;
                }
                Err(_) => {}
            }
            self.prepare_signal.take(if complained { PERIOD_AFTER_FAILURE } else { PERIOD });
        }
    }

    /// Makes room once: in the file that is written to, then the next file.
    pub fn prepare(&self) -> io::Result<()> {
        if self.poisoned() {
            return Ok(());
        }
        let current = self.lock_appender().segment.clone();
        let Some(current) = current else { return self.make_spare(0).map(drop) };
        self.reserve(&current)?;
        let left = current.size() - current.written();
        if left <= (2 * RESERVE_STEP).min(current.size() / 2) {
            let spare = self.make_spare(current.limit())?;
            if let Some(spare) = spare {
                self.reserve(&spare)?;
            }
        }
        Ok(())
    }

    fn reserve(&self, segment: &Segment) -> io::Result<()> {
        let how = match self.flush_type {
            FlushDiskType::SyncFlush => Reserve::Zeroed,
            FlushDiskType::AsyncFlush => Reserve::Allocated,
        };
        while segment.reserved_ahead() < RESERVE_STEP && !segment.reserved_whole() {
            let step = RESERVE_STEP - segment.reserved_ahead() % RESERVE_STEP;
            segment.reserve(step, how).inspect_err(|error| {
                if segment.sync_failed() {
                    self.poison(segment.path(), "sync", error);
                }
            })?;
        }
        Ok(())
    }

    fn make_spare(&self, base: i64) -> io::Result<Option<Arc<Segment>>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.as_ref().is_some_and(|segment| segment.base() == base) {
            return Ok(spare.clone());
        }
        // The appender may have rolled, or the log may have been closed, meanwhile.
        let wanted = self.segments.load().last().map_or(0, |segment| segment.limit());
        if self.closed.load(Ordering::Acquire) || wanted != base {
            return Ok(None);
        }
        *spare = Some(self.create_segment(base)?);
        Ok(spare.clone())
    }
}
