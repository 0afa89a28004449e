//! Settings of the store, under Java's names and with Java's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::config::{BadText, Properties, PropertyValue};

use crate::OpenError;

/// When a put counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushDiskType {
    /// Before it is acknowledged.
    SyncFlush,
    /// Some time later.
    #[default]
    AsyncFlush,
}

impl PropertyValue for FlushDiskType {
    const KIND: &'static str = "String";

    // Java leaves ASYNC_FLUSH where it does not know the name, and whoever wrote it believes to
    // have SYNC_FLUSH.
    fn parse(text: &str) -> Result<FlushDiskType, BadText> {
        match text.trim() {
            "SYNC_FLUSH" => Ok(FlushDiskType::SyncFlush),
            "ASYNC_FLUSH" => Ok(FlushDiskType::AsyncFlush),
            "" => Err(BadText::NoValue),
            _ => Err(BadText::Outside("SYNC_FLUSH or ASYNC_FLUSH".to_owned())),
        }
    }

    fn show(&self) -> String {
        match self {
            FlushDiskType::SyncFlush => "SYNC_FLUSH".to_owned(),
            FlushDiskType::AsyncFlush => "ASYNC_FLUSH".to_owned(),
        }
    }
}

/// Settings of the store.
#[derive(Properties, Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Directory of the store.
    #[property(default = "data", fixed)]
    pub store_path_root_dir: String,
    /// Directories of the log, comma separated; empty means `ROOT/commitlog`.
    #[property(default = "", fixed)]
    pub store_path_commit_log: String,
    /// Further directories of the log that get no new files, comma separated.
    #[property(default = "", fixed)]
    pub read_only_commit_log_store_paths: String,
    /// Size of one log file in bytes; must be what the files on disk have.
    #[property(default = 1 << 30, restart)]
    pub mapped_file_size_commit_log: i32,
    /// Size of one ConsumeQueue file in bytes, rounded up to whole units.
    #[property(default = 6_000_000, restart)]
    pub mapped_file_size_consume_queue: i32,
    /// Size of one batch ConsumeQueue file in bytes.
    #[property(default = 13_800_000, restart)]
    pub mapper_file_size_batch_consume_queue: i32,
    /// Whether there are light queues, with `enableMultiDispatch`; also which offset file is used.
    #[property(default = false, restart)]
    pub enable_lmq: bool,
    /// Whether messages stand in the light queues they name.
    #[property(default = false, restart)]
    pub enable_multi_dispatch: bool,
    /// Light queues at most.
    #[property(default = 20_000, restart)]
    pub max_lmq_consume_queue_num: i32,
    /// Hash slots of one index file.
    #[property(default = 5_000_000, restart)]
    pub max_hash_slot_num: i32,
    /// Entries of one index file.
    #[property(default = 20_000_000, restart)]
    pub max_index_num: i32,
    /// Whether messages are found by key.
    #[property(default = true, restart)]
    pub message_index_enable: bool,
    /// SYNC_FLUSH acknowledges what is on disk, ASYNC_FLUSH what is written.
    #[property(default = FlushDiskType::AsyncFlush, restart)]
    pub flush_disk_type: FlushDiskType,
    /// Milliseconds between flushes of the log with ASYNC_FLUSH.
    #[property(default = 500, restart)]
    pub flush_interval_commit_log: i32,
    /// Whether ASYNC_FLUSH keeps to its interval, but for 1 MiB; otherwise a put wakes it.
    #[property(default = true, restart)]
    pub flush_commit_log_timed: bool,
    /// Dirty 4 KiB pages below which an asynchronous flush is left out.
    #[property(default = 4, restart)]
    pub flush_commit_log_least_pages: i32,
    /// Milliseconds after which a flush is never left out.
    #[property(default = 10_000, restart)]
    pub flush_commit_log_thorough_interval: i32,
    /// Milliseconds between writes of the queues' tails.
    #[property(default = 1000, restart)]
    pub flush_interval_consume_queue: i32,
    /// Milliseconds after which the queues are synced.
    #[property(default = 60_000, restart)]
    pub flush_consume_queue_thorough_interval: i32,
    /// Queues from which on a start after a crash loads each when it is used first, and a flush
    /// writes and syncs so many at a time.
    #[property(default = 1000, restart)]
    pub many_queues: i32,
    /// Milliseconds a SYNC_FLUSH put waits before it answers FLUSH_DISK_TIMEOUT.
    #[property(default = 5000, range = 1..=3_600_000)]
    pub sync_flush_timeout: i32,
    /// How long one write to the log may take, in ms, before sends are refused as busy.
    #[property(default = 1000, restart)]
    pub os_page_cache_busy_time_out_mills: i64,
    /// Longest body in bytes.
    #[property(default = 4 << 20)]
    pub max_message_size: i32,
    /// Bytes of queue units a pull looks through at most.
    #[property(default = 16_000, range = 20..=1 << 30)]
    pub max_filter_message_size: i32,
    /// Bytes of a pull answer when the messages are recent.
    #[property(default = 262_144, range = 1..=1 << 30)]
    pub max_transfer_bytes_on_message_in_memory: i32,
    /// Messages of a pull answer when the messages are recent.
    #[property(default = 32, range = 1..=1 << 20)]
    pub max_transfer_count_on_message_in_memory: i32,
    /// Bytes of a pull answer when the messages are old.
    #[property(default = 65_536, range = 1..=1 << 30)]
    pub max_transfer_bytes_on_message_in_disk: i32,
    /// Messages of a pull answer when the messages are old.
    #[property(default = 8, range = 1..=1 << 20)]
    pub max_transfer_count_on_message_in_disk: i32,
    /// Percent of the memory that counts as holding recent messages.
    #[property(default = 40, range = 0..=100)]
    pub access_message_in_memory_max_ratio: i32,
    /// Messages a query by unique key returns at most.
    #[property(default = 32, range = 1..=1 << 16)]
    pub default_query_max_num: i32,
    /// Messages a query by key returns at most.
    #[property(default = 64, range = 1..=1 << 16)]
    pub max_msgs_num_batch: i32,
    /// Whether recovery compares bodies with their checksums.
    #[property(default = true, name = "checkCRCOnRecover", restart)]
    pub check_crc_on_recover: bool,
    /// Hours of the day at which expired files are deleted, separated by `;`.
    #[property(default = "04")]
    pub delete_when: String,
    /// Hours a log file is kept after its last write.
    #[property(default = 72, range = 0..=876_000)]
    pub file_reserved_time: i32,
    /// Percent of the disk above which expired files are deleted at any hour.
    #[property(default = 75, range = 0..=100)]
    pub disk_max_used_space_ratio: i32,
    /// Percent of the disk above which messages are refused.
    #[property(default = 90, range = 0..=100)]
    pub disk_space_warning_level_ratio: i32,
    /// Percent of the disk above which files are deleted before they expire.
    #[property(default = 85, range = 0..=100)]
    pub disk_space_clean_forcibly_ratio: i32,
    /// Free bytes below which expired files are deleted at any hour; 0 asks the ratio only, as
    /// Java does. The same for the next two.
    #[property(default = 0, range = 0..=i64::MAX)]
    pub disk_space_expire_free_bytes: i64,
    /// Free bytes below which files are deleted before they expire.
    #[property(default = 0, range = 0..=i64::MAX)]
    pub disk_space_clean_forcibly_free_bytes: i64,
    /// Free bytes below which messages are refused.
    #[property(default = 0, range = 0..=i64::MAX)]
    pub disk_space_warning_level_free_bytes: i64,
    /// Whether a full disk may delete files before they expire.
    #[property(default = true)]
    pub clean_file_forcibly_enable: bool,
    /// Milliseconds between looks at disk and expired files.
    #[property(default = 10_000, restart)]
    pub clean_resource_interval: i32,
    /// Log files deleted in one round at most.
    #[property(default = 10, range = 1..=1 << 20)]
    pub delete_file_batch_max: i32,
    /// Delays of the delay levels.
    #[property(default = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h", restart)]
    pub message_delay_level: String,
    /// Whether messages can be timed to any millisecond; POP needs it.
    #[property(default = true, restart)]
    pub timer_wheel_enable: bool,
    /// How far ahead a message can be timed, in seconds.
    #[property(default = 259_200)]
    pub timer_max_delay_sec: i32,
    /// Milliseconds of a slot of the timer wheel: 100, 200, 500 or 1000. Delivery is exact to the
    /// millisecond with any of them; a wheel written with another one cannot be read.
    #[property(default = 1000, restart)]
    pub timer_precision_ms: i32,
    /// Slots a timer message waits at most before it is stored anew for the rest.
    #[property(default = 172_800, restart)]
    pub timer_roll_window_slot: i32,
    /// Messages of one slot from which on further ones are refused: some, and all from twice on.
    #[property(default = i32::MAX, range = 1..=i32::MAX)]
    pub timer_congest_num_each_slot: i32,
    /// Size of one file of the timer log in bytes.
    #[property(default = 104_857_600, restart)]
    pub mapped_file_size_timer_log: i32,
    /// Milliseconds between saves of the timer's state.
    #[property(default = 1000, restart)]
    pub timer_flush_interval_ms: i32,
    /// Leaves new timer messages where they are.
    #[property(default = false)]
    pub timer_stop_enqueue: bool,
}

/// A log file must hold the longest record and the blank that ends the file.
const SEGMENT_SIZE_MIN: i32 = 4096;

/// A file of the timer log holds some units and the blank that ends it.
const TIMER_LOG_SIZE_MIN: i32 = 4096;

/// The furthest horizon of timer messages.
const TIMER_DAYS_MAX: i32 = 366;

impl StoreConfig {
    /// Directory of the store.
    pub fn root(&self) -> &Path {
        Path::new(&self.store_path_root_dir)
    }

    /// Whether messages stand in the light queues they name.
    pub fn light_queues(&self) -> bool {
        self.enable_lmq && self.enable_multi_dispatch
    }

    /// Directories that get new log files, in the order Java deals them out: sorted.
    pub fn commit_log_paths(&self) -> Vec<PathBuf> {
        let mut paths = split_paths(&self.store_path_commit_log);
        if paths.is_empty() {
            paths.push(self.root().join("commitlog"));
        }
        let read_only = self.read_only_paths();
        paths.retain(|path| !read_only.contains(path));
        paths.sort();
        paths
    }

    /// Directories whose log files are read but that get no new ones.
    pub fn read_only_paths(&self) -> Vec<PathBuf> {
        split_paths(&self.read_only_commit_log_store_paths)
    }

    /// How long the append lock may be held.
    pub fn busy_after(&self) -> Duration {
        let millis = self.os_page_cache_busy_time_out_mills;
        Duration::from_millis(millis.clamp(1, 3_600_000).unsigned_abs())
    }

    /// Size of one log file.
    pub fn segment_size(&self) -> usize {
        self.mapped_file_size_commit_log.max(0) as usize
    }

    /// Refuses sizes nothing can be stored with, and values that contradict each other.
    pub fn validate(&self) -> Result<(), OpenError> {
        let refuse = |key, value: String, reason| OpenError::Unsupported { key, value, reason };
        let precision = self.timer_precision_ms;
        if !matches!(precision, 100 | 200 | 500 | 1000) {
            let reason = "expected 100, 200, 500 or 1000";
            return Err(refuse("timerPrecisionMs", precision.to_string(), reason));
        }
        let hours = |item: &str| item.trim().parse::<u8>().is_ok_and(|hour| hour < 24);
        if !self.delete_when.split(';').all(|item| item.is_empty() || hours(item)) {
            let reason = "expected hours from 0 to 23, separated by ;";
            return Err(refuse("deleteWhen", self.delete_when.clone(), reason));
        }
        let days_max = TIMER_DAYS_MAX;
        if !(0..=days_max * 86_400).contains(&self.timer_max_delay_sec) {
            let reason = "expected no more than 366 days";
            return Err(refuse("timerMaxDelaySec", self.timer_max_delay_sec.to_string(), reason));
        }
        for (key, value, min) in [
            ("mappedFileSizeTimerLog", self.mapped_file_size_timer_log, TIMER_LOG_SIZE_MIN),
            ("mappedFileSizeCommitLog", self.mapped_file_size_commit_log, SEGMENT_SIZE_MIN),
            ("mappedFileSizeConsumeQueue", self.mapped_file_size_consume_queue, 20),
            ("mapperFileSizeBatchConsumeQueue", self.mapper_file_size_batch_consume_queue, 46),
            ("maxHashSlotNum", self.max_hash_slot_num, 1),
            ("maxIndexNum", self.max_index_num, 2),
            ("maxMessageSize", self.max_message_size, 1),
            ("manyQueues", self.many_queues, 1),
        ] {
            if value < min {
                return Err(refuse(key, value.to_string(), "too small"));
            }
        }
        if self.mapper_file_size_batch_consume_queue % 46 != 0 {
            let value = self.mapper_file_size_batch_consume_queue.to_string();
            let reason = "must be a multiple of the 46 bytes of a unit";
            return Err(refuse("mapperFileSizeBatchConsumeQueue", value, reason));
        }
        if self.commit_log_paths().is_empty() {
            let value = self.store_path_commit_log.clone();
            return Err(refuse("storePathCommitLog", value, "no directory left to write to"));
        }
        Ok(())
    }
}

fn split_paths(list: &str) -> Vec<PathBuf> {
    list.split(',').map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use runtime::config::Applied;

    use super::*;

    #[test]
    fn keys_are_javas() {
        let mut config = StoreConfig::default();
        for (key, value) in [
            ("mappedFileSizeCommitLog", "1048576"),
            ("flushDiskType", "SYNC_FLUSH"),
            ("checkCRCOnRecover", "false"),
            ("messageDelayLevel", "1s 2s"),
        ] {
            assert_eq!(config.apply(key, value), Applied::Applied, "{key}");
        }
        assert_eq!(config.segment_size(), 1 << 20);
        assert_eq!(config.flush_disk_type, FlushDiskType::SyncFlush);
        let expected = "SYNC_FLUSH or ASYNC_FLUSH".to_owned();
        assert_eq!(config.apply("flushDiskType", "sometimes"), Applied::Outside { expected });
        assert_eq!(config.apply("flushDiskType", ""), Applied::Unparsable { kind: "String" });
        for (key, _) in config.entries() {
            let ours = key.ends_with("FreeBytes") || key == "manyQueues";
            assert_eq!(runtime::config::java_key(key).is_none(), ours, "{key} is a key of Java");
        }
        config.validate().unwrap();
    }

    #[test]
    fn paths_are_sorted_and_read_only_ones_left_out() {
        let config = StoreConfig { store_path_root_dir: "/s".into(), ..StoreConfig::default() };
        assert_eq!(config.commit_log_paths(), [PathBuf::from("/s/commitlog")]);
        let config = StoreConfig {
            store_path_commit_log: "/c, /a,/b".into(),
            read_only_commit_log_store_paths: "/b".into(),
            ..config
        };
        assert_eq!(config.commit_log_paths(), [PathBuf::from("/a"), PathBuf::from("/c")]);
        assert_eq!(config.read_only_paths(), [PathBuf::from("/b")]);
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        for (key, value, message) in [
            ("deleteWhen", "04:00", "hours from 0 to 23"),
            ("mappedFileSizeCommitLog", "100", "too small"),
            ("mapperFileSizeBatchConsumeQueue", "100", "multiple of the 46"),
            ("readOnlyCommitLogStorePaths", "data/commitlog", "no directory left"),
        ] {
            let mut config = StoreConfig::default();
            assert_eq!(config.apply(key, value), Applied::Applied);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(message), "{key}={value}: {error}");
        }
    }
}
