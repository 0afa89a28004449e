//! Errors of open, put, wait and stop: each variant says what the caller can do.

use std::io;
use std::path::{Path, PathBuf};

use remoting::protocol::message::batch::BatchError;

use crate::dispatch::ViewError;

/// Why the store does not open. One line each; nothing on disk is replaced.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the store.
    #[error("{path}: the store is in use by another process")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A setting asks for something this store does not do.
    #[error("{key}={value}: {reason}")]
    Unsupported {
        /// Key of the setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A file is damaged or not of this store.
    #[error("{path} at {offset}: expected {expected}, got {got}")]
    Damaged {
        /// The file or directory entry.
        path: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The system refused an operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl OpenError {
    /// Wraps an I/O error of `action` on `path`.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> OpenError {
        OpenError::Io { path: path.to_owned(), action, source }
    }

    /// A directory in the place of a file.
    pub(crate) fn directory(path: PathBuf) -> OpenError {
        let (expected, got) = ("a file".to_owned(), "a directory".to_owned());
        OpenError::Damaged { path, offset: 0, expected, got }
    }

    /// A view that does not take a record of the log while it is rebuilt.
    pub fn view(root: &Path, error: ViewError) -> OpenError {
        let queue = |topic: &str, id: i32| root.join("consumequeue").join(format!("{topic}/{id}"));
        match error {
            ViewError::Io { path, action, source } => OpenError::Io { path, action, source },
            ViewError::Open(error) => *error,
            ViewError::Gap { topic, queue_id, expected, got } => OpenError::Damaged {
                path: queue(&topic, queue_id),
                offset: expected.max(0) as u64,
                expected: format!("a record of queue offset {expected}"),
                got: format!("one of queue offset {got}"),
            },
            ViewError::Poisoned { topic, queue_id } => OpenError::Damaged {
                path: queue(&topic, queue_id),
                offset: 0,
                expected: "a queue that can be written".to_owned(),
                got: "a failed write".to_owned(),
            },
            ViewError::IllegalTopic { topic } => OpenError::Damaged {
                path: root.join("commitlog"),
                offset: 0,
                expected: "records of topics that can name a directory".to_owned(),
                got: format!("{topic:?}"),
            },
        }
    }
}

/// Why a message was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The message breaks a limit; sending it again is of no use.
    #[error("{0}")]
    MessageIllegal(&'static str),
    /// Properties longer than 32,767 bytes.
    #[error("the properties are {len} bytes, the limit is {max}")]
    PropertiesSizeExceeded {
        /// Their length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A batch that cannot be taken apart.
    #[error(transparent)]
    Malformed(#[from] BatchError),
    /// The store has been stopped.
    #[error("the store has been stopped")]
    Stopped,
    /// A write or a sync failed; nothing is acknowledged until a restart.
    #[error("the store does not accept messages after a failed write")]
    Poisoned,
    /// There are as many light queues as `maxLmqConsumeQueueNum` allows.
    #[error("[LMQ_CONSUME_QUEUE_NUM_EXCEEDED] there are {max} light queues, the most there may be")]
    LightQueuesExceeded {
        /// The limit.
        max: usize,
    },
    /// Writes to the disk take too long; try again later.
    #[error("[PC_SYNCHRONIZED]broker busy, start flow control for a while")]
    Busy,
    /// The disk is full or over the warning level.
    #[error("the disk of the store is full")]
    DiskFull,
    /// No new log file could be made.
    #[error("no new log file could be created")]
    CreateSegmentFailed,
    /// The queue could not be opened or written.
    #[error("the queue could not be opened")]
    QueueUnavailable,
}

/// Why a wait for durability ended without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Not flushed in time; the message is stored.
    #[error("not flushed in time")]
    TimedOut,
    /// A sync failed: it will never be known durable.
    #[error("a sync failed")]
    Poisoned,
}

/// Why a stop was not clean; the abort marker stays.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The store is poisoned.
    #[error("a write or sync had failed before")]
    Poisoned,
    /// A view has not caught up with the log.
    #[error("{behind} bytes of the log are not indexed yet")]
    Behind {
        /// How far it lags.
        behind: i64,
    },
    /// The last flush failed.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}
