//! A directory of queues and the log they are views of.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::consume_queue::{Queue, Queues, QueuesConfig};
use crate::dispatch::{Dispatch, DispatchRequest};
use crate::{OpenError, QueueKind};

/// A record of the imagined log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub topic: String,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub size: i32,
    pub batch_size: i16,
}

impl LogRecord {
    pub fn request(&self) -> DispatchRequest<'_> {
        DispatchRequest {
            topic: &self.topic,
            queue_id: self.queue_id,
            physical_offset: self.physical_offset,
            size: self.size,
            tags_code: self.physical_offset % 7 - 3,
            store_timestamp: 1000 + self.physical_offset / 1000,
            queue_offset: self.queue_offset,
            sys_flag: 0,
            properties: "",
            batch_size: self.batch_size,
        }
    }
}

pub struct Fixture {
    dir: tempfile::TempDir,
    pub kind: QueueKind,
    file_size: i64,
    many: usize,
    pub queues: Queues,
    pub log: Vec<LogRecord>,
    pub log_end: i64,
    /// Offset of the next record of each queue.
    pub next: HashMap<(String, i32), i64>,
}

impl Fixture {
    pub fn new(kind: QueueKind, file_size: i64) -> Fixture {
        Fixture::with_many(kind, file_size, 1000)
    }

    /// More queues than `many` are loaded when they are used first.
    pub fn with_many(kind: QueueKind, file_size: i64, many: usize) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let queues = open(&dir, kind, file_size, many, true).unwrap();
        let (log, next) = (Vec::new(), HashMap::new());
        Fixture { dir, kind, file_size, many, queues, log, log_end: 0, next }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn files(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn queue(&self, topic: &str, id: i32) -> Arc<Queue> {
        self.queues.find(topic, id).unwrap()
    }

    pub fn try_open(&self, clean: bool) -> Result<Queues, OpenError> {
        open(&self.dir, self.kind, self.file_size, self.many, clean)
    }

    pub fn reopen(&mut self, clean: bool) {
        self.queues = self.try_open(clean).unwrap();
    }

    pub fn record_len(&self, queue_offset: i64) -> i32 {
        100 + (queue_offset % 5) as i32
    }

    /// Logs and dispatches so many records of a queue.
    pub fn append(&mut self, topic: &str, queue_id: i32, records: usize) {
        for _ in 0..records {
            let next = self.next.entry((topic.to_owned(), queue_id)).or_default();
            let queue_offset = *next;
            let batch_size = match self.kind {
                QueueKind::Simple => 1,
                QueueKind::Batch => 1 + (queue_offset % 3) as i16,
            };
            // In batch queues the test of torn units wants one message per unit.
            let batch_size = if topic == "T" { 1 } else { batch_size };
            *next += i64::from(batch_size);
            let record = LogRecord {
                topic: topic.to_owned(),
                queue_id,
                queue_offset,
                physical_offset: self.log_end,
                size: self.record_len(queue_offset),
                batch_size,
            };
            self.queues.dispatch(&record.request()).unwrap();
            self.log_end += i64::from(record.size);
            self.log.push(record);
        }
    }

    /// A request of a record that is not in the log.
    pub fn request(
        &self,
        topic: &'static str,
        queue_id: i32,
        queue_offset: i64,
        physical_offset: i64,
    ) -> DispatchRequest<'static> {
        DispatchRequest {
            topic,
            queue_id,
            physical_offset,
            size: 100,
            tags_code: 1,
            store_timestamp: 1,
            queue_offset,
            sys_flag: 0,
            properties: "",
            batch_size: 1,
        }
    }
}

fn open(
    dir: &tempfile::TempDir,
    kind: QueueKind,
    file_size: i64,
    many: usize,
    clean: bool,
) -> Result<Queues, OpenError> {
    let (simple_file_size, batch_file_size) = match kind {
        QueueKind::Simple => (file_size, 920),
        QueueKind::Batch => (920, file_size),
    };
    let config = QueuesConfig {
        root: dir.path().to_owned(),
        simple_file_size,
        batch_file_size,
        open_files_max: 4,
        many,
        light: false,
    };
    Queues::open(config, Box::new(move |_| kind), clean)
}

/// The bytes of a unit of a simple queue.
pub fn entry(physical_offset: i64, size: i32, queue_offset: i64) -> [u8; 20] {
    assert_eq!(queue_offset, 0, "the tags code below is that of the first record");
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&physical_offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&size.to_be_bytes());
    bytes[12..].copy_from_slice(&(physical_offset % 7 - 3).to_be_bytes());
    bytes
}
