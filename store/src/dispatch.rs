//! From a record to its views: the request every view understands.
//!
//! The log is the only truth. A view can be rebuilt from it: it ignores what it already has, so
//! dispatching a record twice is harmless.

use std::io;
use std::path::{Path, PathBuf};

use remoting::protocol::message::Record;

/// Topic of delayed messages; the tags code of its units is the time of delivery.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// What a view needs to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct DispatchRequest<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Where the record starts in the log.
    pub physical_offset: i64,
    /// Its length.
    pub size: i32,
    /// Tags code of its unit.
    pub tags_code: i64,
    /// Its store time.
    pub store_timestamp: i64,
    /// Its offset in the queue.
    pub queue_offset: i64,
    /// System flag.
    pub sys_flag: i32,
    /// Raw properties.
    pub properties: &'a str,
    /// Messages in an inner batch, else 1.
    pub batch_size: i16,
}

impl<'a> DispatchRequest<'a> {
    /// The request of a stored record.
    pub fn of(_record: &Record<'a>, _delays: &DelayLevels) -> DispatchRequest<'a> {
        todo!()
    }
}

/// Tags code of a unit: hash of the tags, or the time of delivery in the schedule topic.
pub fn tags_code(
    _topic: &str,
    _properties: &str,
    _store_timestamp: i64,
    _delays: &DelayLevels,
) -> i64 {
    todo!()
}

/// The delay of each level, from the setting `messageDelayLevel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels {}

impl DelayLevels {
    /// Parses `1s 5s 10m 2h 1d`; the error is the part that is none of it.
    pub fn parse(_text: &str) -> Result<DelayLevels, String> {
        todo!()
    }

    /// The highest level.
    pub fn max(&self) -> i32 {
        todo!()
    }

    /// Delay of a level (from 1) in milliseconds; levels above the highest count as it.
    pub fn delay_ms(&self, _level: i32) -> Option<i64> {
        todo!()
    }

    /// Time of delivery of a message of `level` stored at `store_timestamp`.
    pub fn deliver_at(&self, _level: i32, _store_timestamp: i64) -> i64 {
        todo!()
    }
}

/// A view of the log.
pub trait Dispatch {
    /// Adds a record to the view, or ignores it if the view has it.
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError>;
    /// Log position up to which the view is complete.
    fn position(&self) -> i64;
    /// Forgets everything at and behind a log position, durably.
    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError>;
}

/// Why a view does not take a record. After any of them the store must stop acknowledging.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The system refused an operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A write failed before.
    #[error("{topic}/{queue_id}: the queue takes no units after a failed write")]
    Poisoned {
        /// Topic of the queue.
        topic: String,
        /// Queue of the topic.
        queue_id: i32,
    },
    /// The record's queue offset is far beyond the end of the queue.
    #[error("{topic}/{queue_id}: expected queue offset {expected}, got {got}")]
    Gap {
        /// Topic of the queue.
        topic: String,
        /// Queue of the topic.
        queue_id: i32,
        /// Next offset of the queue.
        expected: i64,
        /// Offset of the record.
        got: i64,
    },
    /// The topic can be no directory name.
    #[error("topic {topic:?} cannot name a directory")]
    IllegalTopic {
        /// The topic.
        topic: String,
    },
}

impl ViewError {
    /// Wraps an I/O error of `action` on `path`.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> ViewError {
        ViewError::Io { path: path.to_owned(), action, source }
    }
}
