//! Consumer offsets: what each group has consumed of each queue, `config/consumerOffset.json`.
//!
//! The table is keyed like the file, by `topic@group`; keys of another shape (broadcast progress
//! of 5.x clients is `topic@group@broadcast`) are kept and written back untouched, as are members
//! this version does not know. A commit of a known queue allocates nothing. The file is written
//! every 5 s when something changed, and at the stop; a damaged file stops the start.
//!
//! With light queues there is another file, `config/lmqConsumerOffset.json`, where groups that are
//! named like light queues have one offset per topic.
//!
//! Reset offsets (request 222) live in memory: they hide the stored offset and block commits until
//! a pull has taken them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use remoting::protocol::body::{ConsumerOffsetSerializeWrapper, DataVersion};
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};
use store::light;
use store::lookup::Lookup;

/// Offsets of one topic and group by queue.
pub(crate) type QueueOffsets = BTreeMap<i32, i64>;

type Table = Lookup<String, QueueOffsets>;

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "consumerOffset.json";

/// Name of the file when there are light queues.
pub(crate) const LIGHT_FILE_NAME: &str = "lmqConsumerOffset.json";

const SEPARATOR: char = '@';

/// The committed, pulled and reset offsets of all groups.
pub(crate) struct ConsumerOffsets {
    path: PathBuf,
    /// Whether there are light queues.
    light: bool,
    committed: Table,
    pulled: Table,
    resets: Table,
    /// No fewer than there are resets: pulls ask for one each time, and seldom is there any.
    resets_max: AtomicUsize,
    version: Mutex<DataVersion>,
    unknown: serde_json::Map<String, serde_json::Value>,
    commits: AtomicU64,
    version_step: u64,
    changed: AtomicBool,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct OffsetFile {
    #[serde(default)]
    data_version: DataVersion,
    #[serde(default)]
    group_topic_map: BTreeMap<String, BTreeSet<String>>,
    /// Required: a JSON object without it is another file.
    offset_table: BTreeMap<String, QueueOffsets>,
    /// Of groups that are named like light queues, without a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lmq_offset_table: Option<BTreeMap<String, i64>>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

impl ConsumerOffsets {
    /// Says why a load would fail; changes nothing.
    pub(crate) fn loadable(root: &Path, light: bool) -> Result<(), JsonFileError> {
        let name = if light { LIGHT_FILE_NAME } else { FILE_NAME };
        JsonFile::loadable::<OffsetFile>(&root.join("config").join(name))
    }

    /// Loads the offsets of the store below `root`; a missing file means none yet.
    pub(crate) fn load(
        root: &Path,
        version_step: u64,
        light: bool,
    ) -> Result<ConsumerOffsets, JsonFileError> {
        let path = root.join("config").join(if light { LIGHT_FILE_NAME } else { FILE_NAME });
        let file: OffsetFile = JsonFile::load(&path)?.unwrap_or_default();
        let of_light = file.lmq_offset_table.unwrap_or_default().into_iter();
        let of_light =
            of_light.map(|(key, offset)| (key, QueueOffsets::from([(light::QUEUE_ID, offset)])));
        Ok(ConsumerOffsets {
            path,
            light,
            committed: file.offset_table.into_iter().chain(of_light).collect(),
            pulled: Table::default(),
            resets: Table::default(),
            resets_max: AtomicUsize::new(0),
            version: Mutex::new(file.data_version),
            unknown: file.unknown,
            commits: AtomicU64::new(0),
            version_step: version_step.max(1),
            changed: AtomicBool::new(false),
        })
    }

    /// Stores what a group has consumed of a queue; any offset is taken as it is.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64, now_ms: i64) {
        // Clients repeat the same offset every few seconds: that is no reason to write the file.
        let queue_id = self.queue_of(group, queue_id);
        if put(&self.committed, topic, group, queue_id, offset) != Some(offset) {
            self.changed.store(true, Ordering::Release);
        }
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if commits.is_multiple_of(self.version_step) {
            let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
            version.bump(now_ms, 0);
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Java quirk: a group that is named like a light queue has one offset whatever the queue.
    /// Pinned by `light_groups_have_one_offset_per_topic`.
    fn queue_of(&self, group: &str, queue_id: i32) -> i32 {
        if self.is_light(group) { light::QUEUE_ID } else { queue_id }
    }

    fn is_light(&self, group: &str) -> bool {
        self.light && light::is_light(group)
    }

    /// Remembers how far a group has pulled a queue; not written to disk.
    pub(crate) fn commit_pull(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        put(&self.pulled, topic, group, queue_id, offset);
    }

    /// Returns the offset a group goes on from: a pending reset, else the committed one.
    pub(crate) fn query(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.reset_of(group, topic, queue_id)
            .or_else(|| find(&self.committed, topic, group, self.queue_of(group, queue_id)))
    }

    /// Returns how far a group has pulled, else what it goes on from.
    pub(crate) fn query_pull(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        find(&self.pulled, topic, group, queue_id).or_else(|| self.query(group, topic, queue_id))
    }

    /// Returns the committed offsets of a group on a topic.
    pub(crate) fn of(&self, group: &str, topic: &str) -> Option<QueueOffsets> {
        with_key(topic, group, |key| self.committed.get(key).map(|queues| queues.clone()))
    }

    /// Lists the topics a group has offsets on.
    pub(crate) fn topics_of(&self, group: &str) -> BTreeSet<String> {
        self.pairs(|topic, of_group| (of_group == group).then(|| topic.to_owned()))
    }

    /// Lists the groups that have offsets on a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        self.pairs(|of_topic, group| (of_topic == topic).then(|| group.to_owned()))
    }

    /// The queues that a group, or one consumer of it, has an offset in, other than 0.
    pub(crate) fn places(&self) -> BTreeSet<(String, i32)> {
        let mut places = BTreeSet::new();
        for entry in &self.committed {
            let topic = entry.key().split(SEPARATOR).next().unwrap_or_default();
            let queues = entry.value().iter().filter(|(_, offset)| **offset > 0);
            places.extend(queues.map(|(queue_id, _)| (topic.to_owned(), *queue_id)));
        }
        places
    }

    fn pairs(&self, pick: impl Fn(&str, &str) -> Option<String>) -> BTreeSet<String> {
        let keys = self.committed.iter();
        keys.filter_map(|entry| split_key(entry.key()).and_then(|(t, g)| pick(t, g))).collect()
    }

    /// Forgets all offsets on a topic.
    pub(crate) fn remove_topic(&self, topic: &str) {
        self.remove(&self.committed, |of_topic, _| of_topic == topic);
    }

    /// Forgets all offsets of a group, pulled and reset ones too.
    pub(crate) fn remove_group(&self, group: &str) {
        for table in [&self.committed, &self.pulled] {
            self.remove(table, |_, of_group| of_group == group);
        }
        self.resets.retain(|key, queues| {
            let stays = split_key(key).is_none_or(|(_, of_group)| of_group != group);
            if !stays {
                self.resets_max.fetch_sub(queues.len(), Ordering::SeqCst);
            }
            stays
        });
    }

    fn remove(&self, table: &Table, matches: impl Fn(&str, &str) -> bool) {
        table.retain(|key, _| !split_key(key).is_some_and(|(topic, group)| matches(topic, group)));
        self.changed.store(true, Ordering::Release);
    }

    /// Copies the offsets of one group on a topic to another group.
    pub(crate) fn clone_group(&self, from: &str, to: &str, topic: &str) {
        let Some(offsets) = self.of(from, topic) else { return };
        with_key(topic, to, |key| self.committed.insert(key.to_owned(), offsets));
        self.changed.store(true, Ordering::Release);
    }

    /// Returns the smallest offset of any group per queue of a topic, leaving out offsets below
    /// the queue's first message. Java quirk: the filtered groups lose all their offsets.
    pub(crate) fn min_of_all_groups(
        &self,
        topic: &str,
        filter_groups: &str,
        min_offset: impl Fn(i32) -> i64,
    ) -> QueueOffsets {
        for group in filter_groups.split(',').filter(|group| !group.trim().is_empty()) {
            self.remove(&self.committed, |_, of_group| of_group == group);
        }
        let mut smallest = QueueOffsets::new();
        for entry in &self.committed {
            if entry.key().split(SEPARATOR).next() != Some(topic) {
                continue;
            }
            for (&queue_id, &offset) in entry.value() {
                if offset >= min_offset(queue_id) {
                    let least = smallest.entry(queue_id).or_insert(offset);
                    *least = offset.min(*least);
                }
            }
        }
        smallest
    }

    /// Sets the offset a group must go on from; the next pull of the queue delivers it.
    pub(crate) fn assign_reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        if topic.is_empty() || group.is_empty() || queue_id < 0 || offset < 0 {
            return;
        }
        self.resets_max.fetch_add(1, Ordering::SeqCst);
        if put(&self.resets, topic, group, queue_id, offset).is_some() {
            self.resets_max.fetch_sub(1, Ordering::SeqCst);
        }
        put(&self.committed, topic, group, self.queue_of(group, queue_id), offset);
        self.changed.store(true, Ordering::Release);
    }

    /// Whether a reset of the queue waits to be delivered.
    pub(crate) fn has_reset(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        self.reset_of(group, topic, queue_id).is_some()
    }

    fn reset_of(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        match self.resets_max.load(Ordering::SeqCst) {
            0 => None,
            _ => find(&self.resets, topic, group, queue_id),
        }
    }

    /// Takes the pending reset of a queue.
    pub(crate) fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if self.resets_max.load(Ordering::SeqCst) == 0 {
            return None;
        }
        with_key(topic, group, |key| {
            let taken = self.resets.get_mut(key)?.remove(&queue_id)?;
            self.resets_max.fetch_sub(1, Ordering::SeqCst);
            self.resets.remove_if(key, |_, queues| queues.is_empty());
            Some(taken)
        })
    }

    /// Writes the file when something changed since the last time. `flush_log` runs in between:
    /// an offset must not survive a power cut that takes the messages before it, as others would
    /// come in their places, and the group would pass over them.
    pub(crate) fn persist(
        &self,
        flush_log: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), JsonFileError> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let file = self.snapshot();
        let flushed = flush_log().map_err(|source| JsonFileError::Io {
            path: self.path.clone(),
            action: "flush the log before writing",
            source,
        });
        flushed.and_then(|()| JsonFile::save(&self.path, &file)).inspect_err(|_| {
            self.changed.store(true, Ordering::Release);
        })
    }

    /// Returns the table as tools and replicas get it (43).
    pub(crate) fn wrapper(&self) -> ConsumerOffsetSerializeWrapper {
        let OffsetFile { data_version, offset_table, .. } = self.snapshot();
        ConsumerOffsetSerializeWrapper { data_version: Some(data_version), offset_table }
    }

    fn snapshot(&self) -> OffsetFile {
        let mut offset_table = BTreeMap::new();
        let mut of_light = BTreeMap::new();
        for entry in &self.committed {
            let (key, offsets) = (entry.key(), entry.value());
            let single = offsets.get(&light::QUEUE_ID).copied();
            match split_key(key).and(single) {
                Some(offset) if split_key(key).is_some_and(|(_, group)| self.is_light(group)) => {
                    of_light.insert(key.clone(), offset);
                }
                _ => {
                    offset_table.insert(key.clone(), offsets.clone());
                }
            }
        }
        let mut group_topic_map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (topic, group) in offset_table.keys().filter_map(|key| split_key(key)) {
            group_topic_map.entry(group.to_owned()).or_default().insert(topic.to_owned());
        }
        let data_version = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lmq_offset_table = self.light.then_some(of_light);
        let unknown = self.unknown.clone();
        OffsetFile { data_version, group_topic_map, offset_table, lmq_offset_table, unknown }
    }
}

/// Splits `topic@group`; keys with more or fewer parts are nobody's.
fn split_key(key: &str) -> Option<(&str, &str)> {
    let (topic, group) = key.trim_end_matches(SEPARATOR).split_once(SEPARATOR)?;
    (!group.contains(SEPARATOR)).then_some((topic, group))
}

/// Calls `f` with `topic@group`, built in a buffer of the thread.
fn with_key<R>(topic: &str, group: &str, f: impl FnOnce(&str) -> R) -> R {
    thread_local! {
        static KEY: RefCell<String> = const { RefCell::new(String::new()) };
    }
    // The buffer is taken out, so that a nested call finds an empty one instead of a borrowed one.
    let mut key = KEY.take();
    key.clear();
    key.push_str(topic);
    key.push(SEPARATOR);
    key.push_str(group);
    let result = f(&key);
    KEY.set(key);
    result
}

fn find(table: &Table, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
    with_key(topic, group, |key| table.get(key)?.get(&queue_id).copied())
}

/// Puts an offset into a table; returns the one before.
fn put(table: &Table, topic: &str, group: &str, queue_id: i32, offset: i64) -> Option<i64> {
    with_key(topic, group, |key| match table.get_mut(key) {
        Some(mut queues) => queues.insert(queue_id, offset),
        None => table.entry(key.to_owned()).or_default().insert(queue_id, offset),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty(root: &Path) -> ConsumerOffsets {
        ConsumerOffsets::load(root, 2, false).unwrap()
    }

    #[test]
    fn commits_survive_a_restart_and_bump_the_version_by_steps() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        offsets.commit("g", "T", 0, 5, 11);
        offsets.commit("g", "T", 1, -3, 12);
        offsets.commit("g", "T", 1, 7, 13);
        offsets.persist(|| Ok(())).unwrap();
        let again = empty(dir.path());
        assert_eq!(again.of("g", "T"), Some(QueueOffsets::from([(0, 5), (1, 7)])));
        let version = again.version.lock().unwrap();
        assert_eq!((version.counter, version.timestamp), (1, 12));
    }

    #[test]
    fn the_same_offset_again_is_no_reason_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        let writes = |expected: bool| {
            let mut written = false;
            let flush = || {
                written = true;
                Ok(())
            };
            offsets.persist(flush).unwrap();
            assert_eq!(written, expected);
        };
        offsets.commit("g", "T", 0, 5, 1);
        writes(true);
        // The version goes on with every second commit, and is written.
        offsets.commit("g", "T", 0, 5, 2);
        writes(true);
        offsets.commit("g", "T", 0, 5, 3);
        writes(false);
        offsets.commit("g", "T", 1, 5, 4);
        writes(true);
    }

    /// Issue 4771 of Apache RocketMQ: the log was truncated and the offsets were not. New messages
    /// took the places before the offsets, and the groups never saw them.
    #[test]
    fn issue_4771_offsets_on_disk_are_not_ahead_of_the_log_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        offsets.commit("g", "T", 0, 5, 1);
        assert!(offsets.persist(|| Err(io::Error::other("no sync"))).is_err());
        assert_eq!(empty(dir.path()).query("g", "T", 0), None);
        let commit_meanwhile = || {
            offsets.commit("g", "T", 0, 6, 2);
            Ok(())
        };
        offsets.persist(commit_meanwhile).unwrap();
        assert_eq!(empty(dir.path()).query("g", "T", 0), Some(5));
        offsets.persist(|| Ok(())).unwrap();
        assert_eq!(empty(dir.path()).query("g", "T", 0), Some(6));
    }

    #[test]
    fn keys_and_members_of_others_are_written_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        let java = "{\"later\":[1],\n\t\"offsetTable\":{\n\t\t\"T@g@broadcast\":{0:65\n\t\t}}}";
        std::fs::write(&path, java).unwrap();
        let offsets = empty(dir.path());
        assert!(offsets.groups_of("T").is_empty());
        offsets.commit("g", "T", 3, 9, 1);
        offsets.persist(|| Ok(())).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["offsetTable"]["T@g@broadcast"]["0"], 65);
        assert_eq!(json["later"][0], 1);
        assert_eq!(json["groupTopicMap"]["g"][0], "T");
        assert_eq!(empty(dir.path()).query("g", "T", 3), Some(9));
    }

    #[test]
    fn a_damaged_file_without_a_backup_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        std::fs::write(&path, "{\"offsetTable\":{\"T@g\":{0:").unwrap();
        assert!(ConsumerOffsets::load(dir.path(), 500, false).is_err());
    }

    #[test]
    fn a_reset_hides_the_commit_until_it_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        offsets.commit("g", "T", 0, 5, 1);
        offsets.assign_reset("g", "T", 0, 2);
        offsets.assign_reset("g", "T", -1, 2);
        offsets.assign_reset("g", "T", 1, -1);
        assert!(offsets.has_reset("g", "T", 0) && !offsets.has_reset("g", "T", 1));
        offsets.commit("g", "T", 0, 6, 1);
        assert_eq!(offsets.query("g", "T", 0), Some(2));
        assert_eq!(offsets.take_reset("g", "T", 0), Some(2));
        assert_eq!(offsets.take_reset("g", "T", 0), None);
        assert!(offsets.resets.is_empty());
        assert_eq!(offsets.query("g", "T", 0), Some(6));
        for _ in 0..2 {
            offsets.assign_reset("g", "T", 1, 3);
        }
        assert_eq!(offsets.resets_max.load(Ordering::SeqCst), 1);
        offsets.remove_group("g");
        assert_eq!(offsets.resets_max.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn pulled_offsets_fall_back_to_committed_ones() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        assert_eq!(offsets.query_pull("g", "T", 0), None);
        offsets.commit("g", "T", 0, 5, 1);
        assert_eq!(offsets.query_pull("g", "T", 0), Some(5));
        offsets.commit_pull("g", "T", 0, 8);
        assert_eq!(offsets.query_pull("g", "T", 0), Some(8));
        assert_eq!(offsets.query("g", "T", 0), Some(5));
    }

    #[test]
    fn removal_takes_whole_names_only() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        for (group, topic) in [("g", "T"), ("g", "T2"), ("g2", "T")] {
            offsets.commit(group, topic, 0, 1, 1);
        }
        offsets.remove_topic("T2");
        assert_eq!(offsets.topics_of("g"), BTreeSet::from(["T".to_owned()]));
        offsets.remove_group("g");
        assert_eq!(offsets.groups_of("T"), BTreeSet::from(["g2".to_owned()]));
    }

    #[test]
    fn smallest_offsets_leave_out_what_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        offsets.commit("a", "T", 0, 5, 1);
        offsets.commit("b", "T", 0, 3, 1);
        offsets.commit("c", "T", 0, 1, 1);
        offsets.commit("d", "T", 1, 9, 1);
        let least = offsets.min_of_all_groups("T", "", |_| 2);
        assert_eq!(least, QueueOffsets::from([(0, 3), (1, 9)]));
        let least = offsets.min_of_all_groups("T", "b,d", |_| 2);
        assert_eq!(least, QueueOffsets::from([(0, 5)]));
    }

    #[test]
    fn light_groups_have_one_offset_per_topic() {
        let dir = tempfile::tempdir().unwrap();
        empty(dir.path()).persist(|| Ok(())).unwrap();
        let offsets = ConsumerOffsets::load(dir.path(), 2, true).unwrap();
        offsets.commit("%LMQ%g", "%LMQ%a", 0, 5, 1);
        offsets.commit("%LMQ%g", "%LMQ%a", 3, 6, 1);
        offsets.commit("g", "%LMQ%a", 0, 7, 1);
        assert_eq!(offsets.query("%LMQ%g", "%LMQ%a", 9), Some(6));
        assert_eq!(offsets.of("%LMQ%g", "%LMQ%a"), Some(QueueOffsets::from([(0, 6)])));
        offsets.persist(|| Ok(())).unwrap();
        let text = std::fs::read_to_string(dir.path().join("config").join(LIGHT_FILE_NAME));
        let json: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(json["lmqOffsetTable"], serde_json::json!({"%LMQ%a@%LMQ%g": 6}));
        assert_eq!(json["offsetTable"], serde_json::json!({"%LMQ%a@g": {"0": 7}}));

        let again = ConsumerOffsets::load(dir.path(), 2, true).unwrap();
        assert_eq!(again.query("%LMQ%g", "%LMQ%a", 0), Some(6));
        assert_eq!(again.query("g", "%LMQ%a", 0), Some(7));
        again.remove_group("%LMQ%g");
        assert_eq!(again.query("%LMQ%g", "%LMQ%a", 0), None);
        // The other file knows nothing of it.
        assert_eq!(empty(dir.path()).query("g", "%LMQ%a", 0), None);
    }

    #[test]
    fn clones_replace_the_destination() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = empty(dir.path());
        offsets.commit("a", "T", 0, 5, 1);
        offsets.commit("b", "T", 1, 3, 1);
        offsets.clone_group("a", "b", "T");
        offsets.clone_group("nobody", "a", "T");
        assert_eq!(offsets.of("b", "T"), Some(QueueOffsets::from([(0, 5)])));
        assert_eq!(offsets.of("a", "T"), Some(QueueOffsets::from([(0, 5)])));
    }
}
