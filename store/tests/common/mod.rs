//! What the tests of the store share: small settings, a message, reading a queue to its end.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remoting::protocol::message::Record;
use remoting::protocol::message::properties::property;
use store::{GetRequest, GetStatus, MessageStore, NewMessage, OpenError, QueueKind, StoreConfig};

/// A directory in memory where there is one: these tests sync thousands of times.
pub fn scratch() -> tempfile::TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a temporary directory")
}

/// Settings with small files, so that a test has many of them.
pub fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        store_path_root_dir: root.to_str().expect("a path of letters").to_owned(),
        mapped_file_size_commit_log: 64 << 10,
        mapped_file_size_consume_queue: 20 * 100,
        max_hash_slot_num: 500,
        max_index_num: 2000,
        // Unpacked fixtures keep the times of their files, and test disks are full at times.
        file_reserved_time: 24 * 365 * 10,
        ..StoreConfig::default()
    }
}

/// Opens a store that tells nobody and has simple queues only.
pub fn open(config: StoreConfig) -> Result<MessageStore, OpenError> {
    MessageStore::open(config, Box::new(|_| QueueKind::Simple), Box::new(|_| {}))
}

/// A message to store.
pub fn message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewMessage<'a> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    NewMessage {
        topic,
        queue_id,
        flag: 7,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: "TAGS\u{1}t\u{2}KEYS\u{1}k\u{2}",
    }
}

/// What a test remembers of a message it reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub store_timestamp: i64,
    pub sys_flag: i32,
    pub size: u32,
    pub body: Vec<u8>,
    pub properties: String,
}

/// Every message of a queue, its place and checksum verified.
pub fn read_all(store: &MessageStore, topic: &str, queue_id: i32) -> Vec<Stored> {
    let mut all = Vec::new();
    let mut queue_offset = store.min_offset(topic, queue_id).max(0);
    loop {
        let request =
            GetRequest { topic, queue_id, queue_offset, count_max: 32, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        if got.status != GetStatus::Found {
            let at_end = got.status == GetStatus::OffsetOverflowOne
                || got.status == GetStatus::NoMessageInQueue
                || got.status == GetStatus::NoMatchedLogicQueue;
            assert!(at_end, "{topic}/{queue_id} at {queue_offset}: {:?}", got.status);
            assert_eq!(queue_offset.max(0), store.max_offset(topic, queue_id));
            return all;
        }
        let mut count = 0;
        for slice in &got.slices {
            let mut position = slice.physical_offset();
            for record in remoting::protocol::message::record::records(slice.as_ref()) {
                let record = record.expect("whole records");
                check_record(&record, topic, queue_id, position);
                position += i64::from(record.total_size);
                count += messages_in(&record);
                all.push(stored(&record));
            }
        }
        assert_eq!(count, i64::from(got.count));
        queue_offset = got.next_offset;
    }
}

fn check_record(record: &Record<'_>, topic: &str, queue_id: i32, position: i64) {
    record.verify_crc().expect("the body of its checksum");
    assert_eq!((record.topic, record.queue_id), (topic, queue_id));
    assert_eq!(record.physical_offset, position);
}

/// How many messages a record holds: more than one if it is an inner batch.
pub fn messages_in(record: &Record<'_>) -> i64 {
    let count = record.properties().get(property::INNER_NUM);
    count.map_or(1, |count| count.parse().expect("a number"))
}

pub fn stored(record: &Record<'_>) -> Stored {
    Stored {
        queue_offset: record.queue_offset,
        physical_offset: record.physical_offset,
        store_timestamp: record.store_timestamp,
        sys_flag: record.sys_flag,
        size: record.total_size,
        body: record.body.to_vec(),
        properties: record.properties.to_owned(),
    }
}

/// Copies a directory as a kill would leave it: what the system has of the files, holes kept.
pub fn copy(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status()
        .expect("cp");
    assert!(done.success());
}

/// Unpacks a fixture; the directory holds `store/`.
pub fn unpack(name: &str) -> tempfile::TempDir {
    let directory = scratch();
    let archive = fixtures().join(format!("store-{name}.tar.gz"));
    let done = std::process::Command::new("tar")
        .arg("-xSzf")
        .arg(&archive)
        .arg("-C")
        .arg(directory.path())
        .status()
        .expect("tar");
    assert!(done.success(), "{}", archive.display());
    directory
}

/// Where the fixtures are.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-tests/fixtures")
}

/// Settings of the fixtures.
pub fn fixture_config(root: &Path) -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log: 1_048_576,
        mapped_file_size_consume_queue: 6000,
        ..config(root)
    }
}
