//! Settings of the store, under Java's names.

/// When a put counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushDiskType {
    /// Before it is acknowledged.
    SyncFlush,
    /// Some time later.
    #[default]
    AsyncFlush,
}

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Directory of the store.
    pub store_path_root_dir: String,
    /// Directories of the log, comma separated; empty means `ROOT/commitlog`.
    pub store_path_commit_log: String,
    /// Size of one log file.
    pub mapped_file_size_commit_log: i32,
    /// Size of one ConsumeQueue file, rounded up to whole units.
    pub mapped_file_size_consume_queue: i32,
    /// Size of one batch ConsumeQueue file.
    pub mapper_file_size_batch_consume_queue: i32,
    /// Hash slots of an index file.
    pub max_hash_slot_num: i32,
    /// Entries of an index file.
    pub max_index_num: i32,
    /// When a put counts as durable.
    pub flush_disk_type: FlushDiskType,
    /// Longest body.
    pub max_message_size: i32,
    /// Delays of the delay levels.
    pub message_delay_level: String,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            store_path_root_dir: "data".into(),
            store_path_commit_log: String::new(),
            mapped_file_size_commit_log: 1 << 30,
            mapped_file_size_consume_queue: 6_000_000,
            mapper_file_size_batch_consume_queue: 13_800_000,
            max_hash_slot_num: 5_000_000,
            max_index_num: 20_000_000,
            flush_disk_type: FlushDiskType::AsyncFlush,
            max_message_size: 4 << 20,
            message_delay_level: "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"
                .into(),
        }
    }
}
