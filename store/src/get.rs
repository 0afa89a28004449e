//! Reading a queue: scan its units, filter, hand out slices of the log.

use smallvec::SmallVec;

use crate::segment::LogSlice;

/// Asks one queue for messages.
#[derive(Clone, Copy, Debug)]
pub struct GetRequest<'a> {
    /// Topic of the queue.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// First offset wanted.
    pub queue_offset: i64,
    /// At most so many messages.
    pub count_max: i32,
    /// At most so many bytes, but one message always.
    pub bytes_max: i32,
}

/// Java's outcomes of a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GetStatus {
    Found,
    NoMatchedMessage,
    MessageWasRemoving,
    OffsetFoundNull,
    OffsetOverflowBadly,
    OffsetOverflowOne,
    OffsetTooSmall,
    NoMatchedLogicQueue,
    NoMessageInQueue,
}

/// What a get found.
#[derive(Debug)]
pub struct Got {
    /// Outcome.
    pub status: GetStatus,
    /// Where to go on.
    pub next_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Offset after the last of the queue.
    pub max_offset: i64,
    /// The records, neighbours joined.
    pub slices: SmallVec<[LogSlice; 4]>,
    /// Number of records.
    pub count: i32,
    /// Their bytes.
    pub bytes: usize,
    /// Whether the data is further back than memory holds.
    pub from_disk: bool,
}

/// Which of several equal times a search by time means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first.
    #[default]
    Lower,
    /// The last.
    Upper,
}
