//! All queues by topic and id.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Queue, Unit};
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::{OpenError, QueueKinds, StoreConfig};

/// What the queues need to know of the settings.
#[derive(Clone, Debug)]
pub struct QueuesConfig {
    /// Directory of the store.
    pub root: PathBuf,
    /// Size of a file of a simple queue; rounded up to whole units.
    pub simple_file_size: i64,
    /// Size of a file of a batch queue.
    pub batch_file_size: i64,
    /// At most so many open files.
    pub open_files_max: usize,
    /// `enableConsumeQueueExt`; refused.
    pub ext: bool,
}

impl QueuesConfig {
    /// The part of the store's settings.
    pub fn of(_config: &StoreConfig) -> QueuesConfig {
        todo!()
    }
}

/// The queues of a store.
pub struct Queues {}

#[allow(unused_variables, clippy::todo)]
impl Queues {
    /// Loads what is on disk. After an unclean exit (`clean` false) the last files are looked
    /// through unit by unit; after a clean one the end is searched for.
    pub fn open(config: QueuesConfig, kinds: QueueKinds, clean: bool) -> Result<Queues, OpenError> {
        todo!()
    }
    /// The queue, made if it is not there.
    pub fn queue(&self, topic: &str, id: i32) -> Result<Arc<Queue>, ViewError> {
        todo!()
    }
    /// The queue, if it is there.
    pub fn find(&self, topic: &str, id: i32) -> Option<Arc<Queue>> {
        todo!()
    }
    /// Every queue, in no order.
    pub fn all(&self) -> Vec<Arc<Queue>> {
        todo!()
    }
    /// Number of queues.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is no queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The largest log position any queue knows the end of a record at; -1 when none does.
    pub fn max_physical_offset(&self) -> i64 {
        todo!()
    }
    /// Cuts units at the end of queues whose records are not theirs (`belongs` is asked topic, id
    /// and unit from the last unit backwards until it says yes). Java leaves such units behind a
    /// truncation. Returns the number cut.
    pub fn cut_foreign(
        &self,
        belongs: &dyn Fn(&str, i32, &Unit) -> bool,
    ) -> Result<usize, ViewError> {
        todo!()
    }
    /// Moves the first offset of every queue past records before `min_physical_offset`.
    pub fn correct_min_offsets(&self, min_physical_offset: i64) -> Result<(), ViewError> {
        todo!()
    }
    /// Deletes files whose records are all before `min_physical_offset`, never the last one, and
    /// corrects the first offsets. Returns the number of files.
    pub fn delete_expired(&self, min_physical_offset: i64) -> Result<usize, ViewError> {
        todo!()
    }
    /// Deletes the queues of a topic and their directories.
    pub fn delete_topic(&self, topic: &str) -> io::Result<()> {
        todo!()
    }
    /// Writes the tail buffers that hold anything (to the system, not to disk) and frees those of
    /// idle queues. Meant for every second. Returns whether anything was written.
    pub fn write_tails(&self) -> Result<bool, ViewError> {
        todo!()
    }
    /// Writes and syncs everything.
    pub fn flush(&self) -> Result<(), ViewError> {
        todo!()
    }
    /// Whether a write or sync failed.
    pub fn poisoned(&self) -> bool {
        todo!()
    }
    /// Deletes every queue (there is no log left).
    pub fn destroy(&self) -> io::Result<()> {
        todo!()
    }
}

#[allow(unused_variables, clippy::todo)]
impl Dispatch for Queues {
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        todo!()
    }
    fn position(&self) -> i64 {
        self.max_physical_offset()
    }
    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError> {
        todo!()
    }
}
