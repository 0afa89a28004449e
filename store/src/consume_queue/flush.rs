//! Writing and syncing the queues: all of them at a time, or in rounds when there are very many.
//!
//! A sync of the file system cannot be interrupted and takes as long as what it has to write. So
//! that a stop need not wait for 200,000 files, no more than a round of them is written before
//! the next sync. The first write of a queue makes a directory and a file, which costs as much
//! time as some sends; whoever flushes may let others go first behind each.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::Queues;
use crate::disk_file::sync_file_system;
use crate::dispatch::ViewError;
use crate::watermark::Signal;

/// From so many queues on, one sync of the whole file system is cheaper than one per file.
const SYNC_ONE_BY_ONE_MAX: usize = 64;

impl Queues {
    /// Writes the tail buffers that hold anything (to the system, not to disk) and frees those of
    /// idle queues. Meant for every second; with very many buffers they wait for the next flush.
    /// Returns whether anything was written.
    pub fn write_tails(&self) -> Result<bool, ViewError> {
        let _writing = self.writing();
        if self.many_active() && !self.starved() {
            return Ok(false);
        }
        self.write_first(self.pending.active_len(), false, &|| {})
    }

    /// Whether so many queues hold what is not written that they wait for a flush.
    pub fn many_active(&self) -> bool {
        self.pending.active_len() > self.many
    }

    /// Writes and syncs everything; fails for ever once a queue could not be written or synced.
    pub fn flush(&self) -> Result<(), ViewError> {
        self.flush_unless(&|| false, &|| {}).map(drop)
    }

    /// Writes and syncs everything, or ends after any round that `stop` is true behind: then it
    /// returns false. `between` is called behind each queue, which is not locked then.
    pub fn flush_unless(
        &self,
        stop: &dyn Fn() -> bool,
        between: &dyn Fn(),
    ) -> Result<bool, ViewError> {
        let _writing = self.writing();
        // Those that become active meanwhile are behind these.
        let mut left = self.pending.active_len();
        let in_rounds = left > self.many;
        loop {
            let round = left.min(self.many);
            self.write_first(round, in_rounds, between)?;
            self.sync()?;
            left -= round;
            if left == 0 {
                return Ok(true);
            }
            if stop() {
                return Ok(false);
            }
        }
    }

    /// Writes the buffers of the first queues of the list, as many as `count`; with `rest` it frees
    /// them at once.
    fn write_first(&self, count: usize, rest: bool, between: &dyn Fn()) -> Result<bool, ViewError> {
        let (mut result, mut written) = (Ok(()), false);
        let mut queues = self.pending.take_active(count);
        queues.retain(|queue| {
            let wrote = queue.load().and_then(|()| queue.write_tail(rest));
            between();
            match wrote {
                Ok(wrote) => {
                    written |= wrote;
                    wrote && !rest
                }
                Err(error) => {
                    result = Err(error);
                    true
                }
            }
        });
        self.pending.keep_active(queues);
        match &result {
            Ok(()) => self.pending.feed(),
            Err(error) if error.passes() => self.pending.starve(error),
            Err(_) => {}
        }
        result.map(|()| written)
    }

    fn sync(&self) -> Result<(), ViewError> {
        let queues = self.pending.take_unsynced();
        let one_by_one = queues.len() <= SYNC_ONE_BY_ONE_MAX;
        let mut synced = Ok(());
        for queue in &queues {
            // Each is asked, also after an error: whoever is not stays unsynced unnoticed.
            synced = synced.and(queue.sync(!one_by_one));
        }
        if !one_by_one {
            synced = sync_file_system(&self.root).map_err(|source| {
                self.pending.poison();
                ViewError::io(&self.root, "sync", source)
            });
        }
        synced?;
        if self.poisoned() {
            // Its queue is pending no more, and says nothing.
            let failed = io::Error::other("a write or sync had failed before");
            return Err(ViewError::io(&self.root, "sync", failed));
        }
        Ok(())
    }

    /// Whether a write failed that is to be tried again: [`Queues::write_tails`] does.
    pub fn starved(&self) -> bool {
        self.pending.starved()
    }

    /// Given when room begins to be wanted: by a write that failed, or by who looks at the disk.
    pub(crate) fn wants_room(&self) -> &Signal {
        &self.pending.wants_room
    }

    /// Whether a write or sync failed for good.
    pub fn poisoned(&self) -> bool {
        self.pending.poisoned()
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
