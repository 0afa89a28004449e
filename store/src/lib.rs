//! The log and its views: the CommitLog, the ConsumeQueues and the Index, in Java's bytes.
//!
//! Knows no request code and no client. Lock order: append lock before queue lock, never the
//! other way round. A record is visible to readers once its ConsumeQueue unit exists, and that
//! unit is appended before `put` returns.

pub mod checkpoint;
pub mod commit_log;
pub mod config;
pub mod consume_queue;
pub mod disk;
pub mod disk_file;
pub mod dispatch;
pub mod error;
pub mod faults;
pub mod foreign;
pub mod get;
pub mod index;
pub mod json_file;
pub mod light;
pub mod lock_file;
pub mod lookup;
pub mod message;
pub mod message_store;
pub mod properties;
pub mod recovery;
pub mod retention;
pub mod segment;
pub mod timer;
pub mod watermark;

pub use config::{FlushDiskType, StoreConfig};
pub use consume_queue::QueueKind;
pub use error::{OpenError, PutError, StopError, WaitError};
pub use get::{Boundary, GetRequest, GetStatus, Got, Reused, has_tag};
pub use message::{Arrival, NewBatch, NewMessage, NewSend, Put};
pub use message_store::{
    ArrivalListener, GROUP_LEN, MessageStore, Puts, QueueKinds, TopicTimes, Wanted,
};
pub use segment::{LogSlice, Segment};
