//! One queue: its units, its bounds.

use std::sync::Arc;

use crate::QueueKind;
use crate::dispatch::{DispatchRequest, ViewError};
use crate::get::Boundary;

/// One unit of a queue, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset of its (first) message in the queue.
    pub queue_offset: i64,
    /// Where its record starts in the log.
    pub physical_offset: i64,
    /// Length of the record.
    pub size: i32,
    /// Hash of the tags, or time of delivery in the schedule topic.
    pub tags_code: i64,
    /// Number of messages; 1 in a simple queue.
    pub batch_size: i16,
    /// Store time; known in batch queues only.
    pub store_timestamp: Option<i64>,
}

/// One queue of a topic.
#[derive(Debug)]
pub struct Queue {}

#[allow(unused_variables, clippy::todo)]
impl Queue {
    /// Topic of the queue.
    pub fn topic(&self) -> &Arc<str> {
        todo!()
    }
    /// Queue of the topic.
    pub fn id(&self) -> i32 {
        todo!()
    }
    /// How its units look.
    pub fn kind(&self) -> QueueKind {
        todo!()
    }
    /// First offset that can be read.
    pub fn min_offset(&self) -> i64 {
        todo!()
    }
    /// Offset after the last message: what the next append must carry.
    pub fn next_offset(&self) -> i64 {
        todo!()
    }
    /// Log position behind the last record it knows; -1 when it knows none.
    pub fn max_physical_offset(&self) -> i64 {
        todo!()
    }
    /// Appends the unit of a record; ignores a record it already has. Called under the append lock
    /// of the log (or by the one thread of recovery); syncs nothing.
    pub fn append(self: &Arc<Self>, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        todo!()
    }
    /// The unit that holds a queue offset.
    pub fn unit(&self, queue_offset: i64) -> Result<Option<Unit>, ViewError> {
        todo!()
    }
    /// Offset of the message stored at `timestamp`, within the bounds of the queue. `time_of`
    /// reads the store time of the record at a log position.
    pub fn offset_by_time(
        &self,
        timestamp: i64,
        boundary: Boundary,
        min_physical_offset: i64,
        time_of: &dyn Fn(i64, i32) -> Option<i64>,
    ) -> Result<i64, ViewError> {
        todo!()
    }
}
