//! The store: open, put, get, read, query, stop.

use std::time::Duration;

use crate::{
    Arrival, Boundary, GetRequest, Got, LogSlice, NewBatch, NewMessage, OpenError, Put, PutError,
    QueueKind, StopError, StoreConfig, WaitError,
};

/// Told after each message became visible, on the thread that stored it.
pub type ArrivalListener = Box<dyn Fn(&Arrival<'_>) + Send + Sync>;

/// Kind of the queues of a topic, from the topic's attributes.
pub type QueueKinds = Box<dyn Fn(&str) -> QueueKind + Send + Sync>;

/// The log, its views and their files.
pub struct MessageStore {}

#[allow(unused_variables, clippy::todo)]
impl MessageStore {
    /// Opens the store: lock, load, recover. Takes no messages before `start`.
    pub fn open(
        config: StoreConfig,
        queue_kinds: QueueKinds,
        arrivals: ArrivalListener,
    ) -> Result<MessageStore, OpenError> {
        todo!()
    }
    /// Settings the store was opened with.
    pub fn config(&self) -> &StoreConfig {
        todo!()
    }
    /// Flushes everything, writes the checkpoint, removes the abort marker and the lock. Call it
    /// after the services have stopped.
    pub fn stop(&self) -> Result<(), StopError> {
        todo!()
    }
    /// Stores one message; it is visible when this returns.
    pub fn put(&self, message: &NewMessage<'_>) -> Result<Put, PutError> {
        todo!()
    }
    /// Stores the messages of a batch one after the other, all or none.
    pub fn put_batch(&self, batch: &NewBatch<'_>) -> Result<Put, PutError> {
        todo!()
    }
    /// Whether a put that ended at `end` needs no wait under the configured flush policy.
    pub fn durable(&self, end: i64) -> bool {
        todo!()
    }
    /// Waits until the log is on disk up to `end` (at once with asynchronous flush).
    pub async fn wait_durable(&self, end: i64, timeout: Duration) -> Result<(), WaitError> {
        todo!()
    }
    /// Reads messages of a queue; the filter sees the tags code of each unit.
    pub fn get(&self, request: &GetRequest<'_>, filter: &dyn Fn(i64) -> bool) -> Got {
        todo!()
    }
    /// Reads the record that starts at a log position.
    pub fn read(&self, physical_offset: i64) -> Option<LogSlice> {
        todo!()
    }
    /// Records whose key hashes alike, stored within the given times.
    pub fn query(&self, topic: &str, key: &str, max: usize, begin: i64, end: i64) -> Vec<LogSlice> {
        todo!()
    }
    /// First offset of a queue; -1 when there is no such queue.
    pub fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        todo!()
    }
    /// Offset after the last message of a queue; 0 when there is no such queue.
    pub fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        todo!()
    }
    /// Offset of the message stored at a time.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp: i64,
        boundary: Boundary,
    ) -> i64 {
        todo!()
    }
    /// Store time of a message; -1 when it is not there.
    pub fn store_time(&self, topic: &str, queue_id: i32, queue_offset: i64) -> i64 {
        todo!()
    }
    /// Store time of the first message of a queue; -1 when it is empty.
    pub fn earliest_store_time(&self, topic: &str, queue_id: i32) -> i64 {
        todo!()
    }
    /// Store time of the first record of the log; -1 when it is empty.
    pub fn earliest_log_time(&self) -> i64 {
        todo!()
    }
    /// Deletes the queues of a topic.
    pub fn delete_topic(&self, topic: &str) -> std::io::Result<()> {
        todo!()
    }
    /// First log position.
    pub fn min_physical_offset(&self) -> i64 {
        todo!()
    }
    /// Log position after the last record.
    pub fn max_physical_offset(&self) -> i64 {
        todo!()
    }
    /// Log position up to which everything is on disk.
    pub fn flushed_offset(&self) -> i64 {
        todo!()
    }
    /// Bytes of the log the index has not seen yet.
    pub fn dispatch_behind_bytes(&self) -> i64 {
        todo!()
    }
    /// Lines of the broker's runtime information that the store knows: key and value.
    pub fn runtime(&self) -> Vec<(&'static str, String)> {
        todo!()
    }
    /// Whether messages are accepted.
    pub fn writable(&self) -> bool {
        todo!()
    }
}
