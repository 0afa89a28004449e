//! Reading a queue: scan its units, filter, hand out slices of the log.

use smallvec::SmallVec;

use crate::consume_queue::Queue;
use crate::dispatch::ViewError;
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

/// How much one get may take, by Java's settings.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Bytes of units looked at (`maxFilterMessageSize`).
    pub units_bytes_max: i64,
    /// Messages from memory (`maxTransferCountOnMessageInMemory`).
    pub count_in_memory: i32,
    /// Bytes from memory (`maxTransferBytesOnMessageInMemory`).
    pub bytes_in_memory: i64,
    /// Messages from disk (`maxTransferCountOnMessageInDisk`).
    pub count_on_disk: i32,
    /// Bytes from disk (`maxTransferBytesOnMessageInDisk`).
    pub bytes_on_disk: i64,
    /// Records so far from the end of the log count as in memory.
    pub memory_bytes: i64,
}

impl Default for ScanLimits {
    fn default() -> ScanLimits {
        ScanLimits {
            units_bytes_max: 16_000,
            count_in_memory: 32,
            bytes_in_memory: 262_144,
            count_on_disk: 8,
            bytes_on_disk: 65_536,
            memory_bytes: i64::MAX,
        }
    }
}

/// The bounds of the log at the time of a scan.
#[derive(Clone, Copy, Debug)]
pub struct LogBounds {
    /// First log position.
    pub min: i64,
    /// Log position after the last record.
    pub max: i64,
}

/// A run of neighbouring records in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it starts in the log.
    pub physical_offset: i64,
    /// Its bytes.
    pub len: usize,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Outcome.
    pub status: GetStatus,
    /// Where to go on.
    pub next_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Offset after the last of the queue.
    pub max_offset: i64,
    /// The records, neighbours joined.
    pub runs: SmallVec<[Run; 4]>,
    /// Number of messages.
    pub count: i32,
    /// Their bytes.
    pub bytes: usize,
    /// Whether the last unit looked at is further back than memory holds.
    pub from_disk: bool,
}

/// Looks through a queue (`None`: there is no such queue) from the offset asked for.
#[allow(unused_variables, clippy::todo)]
pub fn scan(
    queue: Option<&Queue>,
    request: &GetRequest<'_>,
    limits: &ScanLimits,
    log: LogBounds,
    filter: &dyn Fn(i64) -> bool,
) -> Result<Scanned, ViewError> {
    todo!()
}
