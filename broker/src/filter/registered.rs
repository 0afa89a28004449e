//! The SQL subscriptions of consumer groups: `config/consumerFilter.json`.
//!
//! A heartbeat registers the expressions of a group; pulls find them here, compiled. A group that
//! has gone leaves its expressions behind as dead, for a while, so that they are there when it
//! comes back. Positions in Java's bloom filter are written for a Java broker that takes the file
//! over. An expression of the file that does not compile is dropped: its group registers it again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use remoting::protocol::body::SubscriptionData;
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};

use super::bloom::Bloom;
use super::{Sql, is_tag_type};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "consumerFilter.json";

/// What is loaded as alive counts as having died so long ago, in ms.
const DEAD_BEFORE_LOAD: i64 = 30_000;

/// The expressions of all groups.
#[derive(Debug)]
pub(crate) struct ConsumerFilters {
    path: PathBuf,
    bloom: Bloom,
    /// By group, then by topic.
    groups: RwLock<HashMap<String, BTreeMap<String, Registered>>>,
    changed: AtomicBool,
    /// Held while a snapshot is taken and written, so that an older one never replaces a newer.
    saving: Mutex<()>,
}

/// The expression of one subscription.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    /// Compiled.
    pub sql: Arc<Sql>,
    /// Version that the client gave it.
    pub client_version: i64,
    born_time: i64,
    /// When the group went, or 0.
    dead_time: i64,
}

/// Disk: the file, by topic, then by group; members in the order Java writes them.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct FilterFile {
    filter_data_by_topic: BTreeMap<String, TopicFilters>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TopicFilters {
    group_filter_data: BTreeMap<String, FilterData>,
    topic: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FilterData {
    bloom_filter_data: Option<BloomData>,
    born_time: i64,
    client_version: i64,
    consumer_group: String,
    /// Written only: it follows from the times.
    dead: bool,
    dead_time: i64,
    expression: String,
    expression_type: String,
    topic: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BloomData {
    bit_num: i32,
    bit_pos: Vec<i32>,
}

impl Registered {
    fn is_dead(&self) -> bool {
        self.dead_time >= self.born_time
    }
}

impl ConsumerFilters {
    /// Loads the expressions of the store below `root`.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub(crate) fn load(
        root: &Path,
        error_rate: i32,
        expected: i32,
        now_ms: i64,
    ) -> Result<ConsumerFilters, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: FilterFile = JsonFile::load(&path)?.unwrap_or_default();
        let mut groups: HashMap<String, BTreeMap<String, Registered>> = HashMap::new();
        for (topic, filters) in file.filter_data_by_topic {
            for (group, data) in filters.group_filter_data {
                let sql = match Sql::compile(&data.expression) {
                    Ok(sql) => Arc::new(sql),
                    Err(error) => {
                        tracing::warn!(group, topic, %error, "expression dropped");
                        continue;
                    }
                };
                let died = (now_ms - DEAD_BEFORE_LOAD).max(data.born_time);
                let dead_time = if data.dead_time == 0 { died } else { data.dead_time };
                let registered = Registered {
                    sql,
                    client_version: data.client_version,
                    born_time: data.born_time,
                    dead_time,
                };
                groups.entry(group).or_default().insert(topic.clone(), registered);
            }
        }
        Ok(ConsumerFilters {
            path,
            bloom: Bloom::new(error_rate, expected),
            groups: RwLock::new(groups),
            changed: AtomicBool::new(false),
            saving: Mutex::new(()),
        })
    }

    /// Bits of Java's bloom filter of subscriptions.
    pub(crate) fn bloom_bits(&self) -> i32 {
        self.bloom.bits()
    }

    /// Returns what a group wants of a topic; also of a group that has gone.
    pub(crate) fn find(&self, group: &str, topic: &str) -> Option<Registered> {
        self.read().get(group)?.get(topic).cloned()
    }

    /// Takes over the subscriptions of a group as a heartbeat brings them.
    pub(crate) fn register(&self, group: &str, subscriptions: &[SubscriptionData], now_ms: i64) {
        let is_sql = |data: &&SubscriptionData| !is_tag_type(Some(&data.expression_type));
        let any = subscriptions.iter().any(|data| is_sql(&data));
        if !any && !self.read().contains_key(group) {
            return;
        }
        let mut groups = self.write();
        let topics = groups.entry(group.to_owned()).or_default();
        let mut changed = false;
        for data in subscriptions.iter().filter(is_sql) {
            changed |= register(topics, group, data, now_ms);
        }
        for (topic, registered) in topics.iter_mut() {
            if !registered.is_dead() && !subscriptions.iter().any(|data| data.topic == *topic) {
                registered.dead_time = now_ms;
                changed = true;
            }
        }
        if topics.is_empty() {
            groups.remove(group);
        }
        self.changed.fetch_or(changed, Ordering::AcqRel);
    }

    /// Lets the expressions of groups die that are gone, and forgets those dead for too long.
    pub(crate) fn tend(&self, now_ms: i64, forget_after_ms: i64, lives: impl Fn(&str) -> bool) {
        let mut changed = false;
        let mut groups = self.write();
        groups.retain(|group, topics| {
            let lives = lives(group);
            topics.retain(|topic, registered| {
                if !lives && !registered.is_dead() {
                    registered.dead_time = now_ms;
                    changed = true;
                }
                let dead_for = now_ms.saturating_sub(registered.dead_time);
                let forgotten = registered.is_dead() && dead_for >= forget_after_ms;
                if forgotten {
                    tracing::info!(group, topic, "expression forgotten");
                    changed = true;
                }
                !forgotten
            });
            !topics.is_empty()
        });
        self.changed.fetch_or(changed, Ordering::AcqRel);
    }

    /// Writes the file when something changed since the last time.
    pub(crate) fn persist(&self) -> Result<(), JsonFileError> {
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        JsonFile::save(&self.path, &self.snapshot()).inspect_err(|_| {
            self.changed.store(true, Ordering::Release);
        })
    }

    /// What a group wants of a topic as the file has it, and `null` for none, as fastjson says it.
    pub(crate) fn describe(&self, group: &str, topic: &str) -> String {
        let data = self.find(group, topic).map(|registered| self.data(group, topic, &registered));
        // Text and numbers alone: this cannot fail.
        serde_json::to_string_pretty(&data).unwrap_or_default()
    }

    fn data(&self, group: &str, topic: &str, registered: &Registered) -> FilterData {
        FilterData {
            bloom_filter_data: Some(BloomData {
                bit_num: self.bloom.bits(),
                bit_pos: self.bloom.positions(group, topic),
            }),
            born_time: registered.born_time,
            client_version: registered.client_version,
            consumer_group: group.to_owned(),
            dead: registered.is_dead(),
            dead_time: registered.dead_time,
            expression: registered.sql.text().to_owned(),
            expression_type: "SQL92".to_owned(),
            topic: topic.to_owned(),
        }
    }

    fn snapshot(&self) -> FilterFile {
        let mut file = FilterFile::default();
        for (group, topics) in self.read().iter() {
            for (topic, registered) in topics {
                let data = self.data(group, topic, registered);
                let filters = file.filter_data_by_topic.entry(topic.clone()).or_default();
                filters.topic.clone_from(topic);
                filters.group_filter_data.insert(group.clone(), data);
            }
        }
        file
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, BTreeMap<String, Registered>>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, BTreeMap<String, Registered>>> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers one subscription; true when something changed.
fn register(
    topics: &mut BTreeMap<String, Registered>,
    group: &str,
    data: &SubscriptionData,
    now_ms: i64,
) -> bool {
    let (topic, client_version) = (&data.topic, data.sub_version);
    if let Some(known) = topics.get_mut(topic) {
        if client_version < known.client_version {
            return false;
        }
        // Java quirk: another text of the same version is not taken.
        let same = known.sql.text() == data.sub_string;
        if client_version == known.client_version || same {
            let changed = known.is_dead() || client_version != known.client_version;
            known.client_version = client_version;
            known.dead_time = 0;
            return changed;
        }
    }
    let compiled = match data.expression_type.as_str() {
        "SQL92" => Sql::compile(&data.sub_string).map_err(|error| error.to_string()),
        other => Err(format!("unknown expression type {other}")),
    };
    match compiled {
        Ok(sql) => {
            let sql = Arc::new(sql);
            let registered = Registered { sql, client_version, born_time: now_ms, dead_time: 0 };
            topics.insert(topic.clone(), registered);
            true
        }
        // Without the old one either, pulls tell the client that its expression may be wrong.
        Err(error) => {
            tracing::warn!(group, topic, error, "expression does not compile");
            topics.remove(topic).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_548_900_000;
    const DAY: i64 = 86_400_000;
    /// As `ConsumerFilterManager` of Java 5.3.3 wrote it.
    const JAVA: &str = include_str!("../../tests/data/consumerFilter.json");

    fn load(root: &Path) -> ConsumerFilters {
        ConsumerFilters::load(root, 20, 32, NOW).unwrap()
    }

    fn subscription(topic: &str, text: &str, sub_version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: topic.to_owned(),
            sub_string: text.to_owned(),
            sub_version,
            expression_type: "SQL92".to_owned(),
            ..SubscriptionData::default()
        }
    }

    fn text(filters: &ConsumerFilters, group: &str, topic: &str) -> Option<String> {
        filters.find(group, topic).map(|registered| registered.sql.text().to_owned())
    }

    #[test]
    fn a_file_of_java_comes_back_as_it_was_but_dead() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config").join(FILE_NAME);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, JAVA).unwrap();
        let filters = load(root.path());
        assert_eq!(text(&filters, "GroupB", "TopicA").as_deref(), Some("a > 1 AND b = 'x'"));
        assert_eq!(filters.find("GroupB", "TopicA").unwrap().client_version, 1_700_000_000_001);
        assert_eq!(text(&filters, "GroupC", "TopicA").as_deref(), Some("a IS NULL"));
        filters.changed.store(true, Ordering::Release);
        filters.persist().unwrap();
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let mut expected = value(JAVA);
        for (topic, group) in [("TopicA", "GroupB"), ("TopicB", "GroupB")] {
            let data = &mut expected["filterDataByTopic"][topic]["groupFilterData"][group];
            data["dead"] = true.into();
            data["deadTime"] = (NOW - DEAD_BEFORE_LOAD).into();
        }
        assert_eq!(value(&std::fs::read_to_string(&path).unwrap()), expected);
    }

    #[test]
    fn versions_decide_which_expression_counts() {
        let root = tempfile::tempdir().unwrap();
        let filters = load(root.path());
        let heartbeat = |text, version| {
            filters.register("g", &[subscription("T", text, version)], NOW);
            self::text(&filters, "g", "T")
        };
        assert_eq!(heartbeat("a = 1", 5).as_deref(), Some("a = 1"));
        assert_eq!(heartbeat("a = 2", 4).as_deref(), Some("a = 1"));
        assert_eq!(heartbeat("a = 2", 5).as_deref(), Some("a = 1"));
        assert_eq!(heartbeat("a = 2", 6).as_deref(), Some("a = 2"));
        assert_eq!(heartbeat("a = 2", 7).as_deref(), Some("a = 2"));
        assert_eq!(filters.find("g", "T").unwrap().client_version, 7);
        assert_eq!(heartbeat("a =", 8), None);
        assert_eq!(heartbeat("a = 3", 9).as_deref(), Some("a = 3"));
        let unknown =
            SubscriptionData { expression_type: "XQ".to_owned(), ..subscription("U", "a", 1) };
        filters.register("g", &[unknown], NOW);
        assert!(filters.find("g", "U").is_none());
    }

    #[test]
    fn the_gone_die_come_back_and_are_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let filters = load(root.path());
        let dead = |topic| filters.find("g", topic).unwrap().is_dead();
        let both = [subscription("T", "a = 1", 1), subscription("U", "a = 2", 1)];
        filters.register("g", &both, NOW);
        filters.register("g", &both[..1], NOW + 1);
        assert!(!dead("T") && dead("U"), "a topic no longer subscribed to");
        filters.tend(NOW + 2, DAY, |_| false);
        assert!(dead("T"));
        filters.register("g", &both, NOW + 3);
        assert!(!dead("T") && !dead("U"));
        filters.tend(NOW + 4, DAY, |group| group == "g");
        assert!(!dead("T"));
        filters.tend(NOW + 5, DAY, |_| false);
        filters.persist().unwrap();
        filters.tend(NOW + 5 + DAY - 1, DAY, |_| false);
        assert!(filters.find("g", "T").is_some());
        filters.tend(NOW + 5 + DAY, DAY, |_| false);
        assert!(filters.find("g", "T").is_none());
        filters.persist().unwrap();
        assert!(load(root.path()).find("g", "T").is_none());
    }

    #[test]
    fn tag_subscriptions_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let filters = load(root.path());
        filters.register("g", &[SubscriptionData::default()], NOW);
        assert!(filters.read().is_empty());
        filters.persist().unwrap();
        assert!(!root.path().join("config").join(FILE_NAME).exists());
    }
}
