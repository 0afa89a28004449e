//! The topics of this broker, `config/topics.json`.
//!
//! A lookup on the hot path copies a few numbers (`Facts`) out of a sharded map and allocates
//! nothing. Creating a topic is one insertion: a service writes the file at once for all that are
//! new, sends to a topic that is `unsaved` are answered when it has, and name servers are told by
//! `peers`, which asks for `changes_since`.
//! A damaged file stops the start; nothing here replaces it by an empty one.

mod names;
mod system;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use remoting::protocol::body::{DataVersion, TopicConfig, TopicFilterType};
use remoting::protocol::message::sys_flag;
use runtime::clock::now_ms;
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};
use store::light::is_light;
use store::watermark::Watermark;
use store::{QueueKind, WaitError};
use tokio::sync::watch;

use crate::attributes;
use crate::config::BrokerConfig;

pub(crate) use names::{
    CHECKED_OUT_TOPIC, DLQ_PREFIX, HALF_TOPIC, OP_TOPIC, PopRetry, RETRY_PREFIX, SCHEDULE_TOPIC,
    TIMER_TOPIC, dead_letter_topic, group_of_retry_topic, is_retry_topic, never_sent_to,
    pop_retry_of, pop_retry_topic, pop_retry_topics, retry_topic, revive_topic, validate_topic,
};

/// Permission bits of topics and brokers.
pub(crate) mod perm {
    /// New topics may be made after this one.
    pub(crate) const INHERIT: i32 = 1;
    /// Messages may be sent.
    pub(crate) const WRITE: i32 = 2;
    /// Messages may be pulled.
    pub(crate) const READ: i32 = 4;
    /// Both.
    pub(crate) const READ_WRITE: i32 = READ | WRITE;

    /// Whether reading is permitted.
    pub(crate) fn readable(perm: i32) -> bool {
        perm & READ != 0
    }

    /// Whether writing is permitted.
    pub(crate) fn writable(perm: i32) -> bool {
        perm & WRITE != 0
    }
}

/// Name of the file below `config/`.
const FILE_NAME: &str = "topics.json";

/// What is known of a light queue as a topic.
const LIGHT: Facts = Facts {
    perm: perm::READ_WRITE,
    read_queues: 1,
    write_queues: 1,
    sys_flag: 0,
    order: false,
    compacted: false,
    kind: QueueKind::Simple,
    multi_tags: false,
    sendable: true,
};

/// Queues of a topic at most: whoever asks for all of them gets an answer of that length.
pub(crate) const QUEUES_MAX: i32 = 65_535;

/// Changes remembered for name servers; one that is further behind registers everything.
const RECENT_MAX: usize = 1024;

/// What a send or a pull needs to know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Permission bits.
    pub perm: i32,
    /// Queues that are read.
    pub read_queues: i32,
    /// Queues that are written.
    pub write_queues: i32,
    /// Flag bits told to consumers.
    pub sys_flag: i32,
    /// Whether the order of its messages matters more than their acceptance.
    pub order: bool,
    /// Whether only the last message of a key is kept.
    pub compacted: bool,
    /// Kind of its queues.
    pub kind: QueueKind,
    /// Whether the TAGS of a message may be several.
    pub multi_tags: bool,
    /// Whether clients may send to it at all.
    pub sendable: bool,
}

impl Facts {
    /// Flag bits that every message of the topic gets.
    pub(crate) fn message_sys_flag(&self) -> i32 {
        if self.multi_tags { sys_flag::MULTI_TAGS } else { 0 }
    }
}

struct Known {
    config: Arc<TopicConfig>,
    facts: Facts,
}

impl Known {
    fn new(config: TopicConfig) -> Self {
        let attribute = |key: &str| config.attributes.get(key).map(String::as_str);
        let facts = Facts {
            perm: config.perm,
            read_queues: config.read_queue_nums,
            write_queues: config.write_queue_nums,
            sys_flag: config.topic_sys_flag,
            order: config.order,
            compacted: attribute("cleanup.policy") == Some("COMPACTION"),
            kind: match attribute("queue.type") {
                Some("BatchCQ") => QueueKind::Batch,
                _ => QueueKind::Simple,
            },
            multi_tags: config.topic_filter_type == Some(TopicFilterType::MultiTag),
            sendable: !never_sent_to(&config.topic_name),
        };
        Known { config: Arc::new(config), facts }
    }
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct TopicFile {
    #[serde(default)]
    data_version: DataVersion,
    /// Required: a JSON object without it is another file.
    topic_config_table: BTreeMap<String, TopicConfig>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

/// All topics of the broker.
pub(crate) struct Topics {
    table: DashMap<Box<str>, Known>,
    version: Mutex<DataVersion>,
    recent: Mutex<Recent>,
    /// Number of changes so far; saving and registering follow it.
    changes: watch::Sender<u64>,
    /// Changes up to this one are in the file.
    saved: Watermark,
    saving: Mutex<()>,
    path: PathBuf,
    unknown: serde_json::Map<String, serde_json::Value>,
    system: system::SystemTopics,
    auto_create: AtomicBool,
    /// Whether light queues are topics that no table knows.
    light: bool,
}

#[derive(Default)]
struct Recent {
    list: VecDeque<(u64, Box<str>)>,
    /// Changes up to this one are no longer listed.
    forgotten: u64,
}

/// What changed since a position.
pub(crate) enum Changes {
    /// These topics were created or changed.
    Topics(Vec<Arc<TopicConfig>>),
    /// Too much to list.
    Everything,
}

/// A new topic was wanted and its template does not permit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchTopic;

/// How a send describes the topic it would create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template<'a> {
    /// Topic whose permission and filter type are taken over.
    pub name: &'a str,
    /// Queues the sender wants.
    pub queues: i32,
    /// Flag bits of the new topic.
    pub sys_flag: i32,
}

impl Topics {
    /// Says why a load would fail; changes nothing.
    pub(crate) fn loadable(root: &Path) -> Result<(), JsonFileError> {
        JsonFile::loadable::<TopicFile>(&root.join("config").join(FILE_NAME))
    }

    /// Loads the topics of a store and adds those every broker has.
    ///
    /// # Errors
    /// Fails when neither the file nor its copy can be read.
    pub(crate) fn load(
        root: &Path,
        config: &BrokerConfig,
        auto_create: bool,
    ) -> Result<Topics, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: TopicFile = JsonFile::load(&path)?.unwrap_or_default();
        let table = DashMap::new();
        for (name, mut topic) in file.topic_config_table {
            topic.topic_name.clone_from(&name);
            table.insert(name.into_boxed_str(), Known::new(topic));
        }
        let topics = Topics {
            table,
            version: Mutex::new(file.data_version),
            recent: Mutex::default(),
            changes: watch::Sender::new(0),
            saved: Watermark::new(0),
            saving: Mutex::new(()),
            path,
            unknown: file.unknown,
            system: system::SystemTopics::new(config),
            auto_create: AtomicBool::new(auto_create),
            light: false,
        };
        for wanted in topics.system.wanted(config, auto_create) {
            if !topics.table.contains_key(wanted.topic_name.as_str()) {
                topics.set(wanted);
            }
        }
        Ok(topics)
    }

    /// The same topics and, with light queues, every one of those.
    pub(crate) fn with_light(self, light: bool) -> Topics {
        Topics { light, ..self }
    }

    fn is_light(&self, topic: &str) -> bool {
        self.light && is_light(topic)
    }

    /// What the hot path needs to know of a topic.
    pub(crate) fn look(&self, topic: &str) -> Option<Facts> {
        if self.is_light(topic) {
            return Some(LIGHT);
        }
        self.table.get(topic).map(|known| known.facts)
    }

    /// The whole configuration of a topic.
    pub(crate) fn find(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        if self.is_light(topic) {
            return Some(Arc::new(plain(topic, 1, perm::READ_WRITE, 0)));
        }
        self.table.get(topic).map(|known| Arc::clone(&known.config))
    }

    /// Kind of the queues of a topic; simple for an unknown one, as in Java.
    pub(crate) fn queue_kind(&self, topic: &str) -> QueueKind {
        self.look(topic).map_or(QueueKind::Simple, |facts| facts.kind)
    }

    /// The topic of a send, created after its template if the template permits.
    pub(crate) fn find_or_create(
        &self,
        topic: &str,
        template: Template<'_>,
    ) -> Result<Facts, NoSuchTopic> {
        if let Some(facts) = self.look(topic) {
            return Ok(facts);
        }
        let config = self.after_template(topic, template).ok_or(NoSuchTopic)?;
        Ok(self.add(config))
    }

    fn after_template(&self, topic: &str, template: Template<'_>) -> Option<TopicConfig> {
        let pattern = self.find(template.name);
        if let Some(pattern) = pattern.filter(|pattern| self.inherits(pattern)) {
            let queues = template.queues.min(pattern.write_queue_nums).max(0);
            return Some(TopicConfig {
                topic_name: topic.to_owned(),
                read_queue_nums: queues,
                write_queue_nums: queues,
                perm: pattern.perm & !perm::INHERIT,
                topic_sys_flag: template.sys_flag,
                topic_filter_type: pattern.topic_filter_type,
                ..TopicConfig::default()
            });
        }
        // Retry topics come into being with their group, whatever the template says.
        is_retry_topic(topic).then(|| plain(topic, 1, perm::READ_WRITE, template.sys_flag))
    }

    fn inherits(&self, pattern: &TopicConfig) -> bool {
        let withdrawn = pattern.topic_name == system::TEMPLATE_TOPIC
            && !self.auto_create.load(Ordering::Relaxed);
        pattern.perm & perm::INHERIT != 0 && !withdrawn
    }

    /// A topic the broker makes for its own use: retry, dead letter.
    pub(crate) fn find_or_create_plain(
        &self,
        topic: &str,
        queues: i32,
        perm: i32,
        sys_flag: i32,
        order: bool,
    ) -> Facts {
        match self.look(topic) {
            Some(facts) => facts,
            None => self.add(TopicConfig { order, ..plain(topic, queues, perm, sys_flag) }),
        }
    }

    /// Adds a topic, or returns the one that another request added meanwhile.
    fn add(&self, config: TopicConfig) -> Facts {
        let mut recent = self.recent_lock();
        if let Some(facts) = self.look(&config.topic_name) {
            return facts;
        }
        // Counted first, under the lock: whoever finds the topic finds it unsaved.
        self.count(&mut recent, &config.topic_name);
        match self.table.entry(config.topic_name.as_str().into()) {
            Entry::Occupied(known) => known.get().facts,
            Entry::Vacant(place) => place.insert(Known::new(config)).facts,
        }
    }

    /// Stores a configuration as it is; returns whether anything changed.
    pub(crate) fn set(&self, config: TopicConfig) -> bool {
        if self.is_light(&config.topic_name) {
            return false;
        }
        let name = config.topic_name.clone();
        match self.table.entry(name.as_str().into()) {
            Entry::Occupied(known) if *known.get().config == config => return false,
            Entry::Occupied(mut known) => {
                known.insert(Known::new(config));
            }
            Entry::Vacant(place) => {
                place.insert(Known::new(config));
            }
        }
        self.changed(&name);
        true
    }

    /// Marks known topics as ones whose order matters more than their acceptance.
    pub(crate) fn keep_in_order<'t>(&self, topics: impl Iterator<Item = &'t str>) {
        for topic in topics {
            let Some(mut known) = self.table.get_mut(topic) else { continue };
            if known.config.order {
                continue;
            }
            let config = TopicConfig { order: true, ..known.config.as_ref().clone() };
            *known = Known::new(config);
            drop(known);
            tracing::info!(topic, "topic is kept in order from now on");
            self.changed(topic);
        }
    }

    /// Forgets a topic; returns whether it was known.
    pub(crate) fn remove(&self, topic: &str) -> bool {
        let known = self.table.remove(topic).is_some();
        if known {
            self.changed(topic);
        }
        known
    }

    fn changed(&self, topic: &str) {
        self.count(&mut self.recent_lock(), topic);
    }

    fn count(&self, recent: &mut Recent, topic: &str) {
        self.next_version();
        // Invariant: the number is taken under the lock of the list, so the list is in order.
        let mut number = 0;
        self.changes.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        recent.list.push_back((number, topic.into()));
        if recent.list.len() > RECENT_MAX
            && let Some((oldest, _)) = recent.list.pop_front()
        {
            recent.forgotten = oldest;
        }
    }

    /// Has every topic registered again, as something about all of them changed.
    pub(crate) fn all_changed(&self) {
        let mut recent = self.recent_lock();
        self.next_version();
        self.changes.send_modify(|changes| {
            *changes += 1;
            recent.forgotten = *changes;
        });
        recent.list.clear();
    }

    /// Gives or withdraws the template of topics that sends create.
    pub(crate) fn permit_auto_create(&self, permitted: bool, config: &BrokerConfig) {
        self.auto_create.store(permitted, Ordering::Relaxed);
        let wanted = self.system.wanted(config, permitted).into_iter();
        for template in wanted.filter(|topic| topic.topic_name == system::TEMPLATE_TOPIC) {
            if self.look(&template.topic_name).is_none() {
                self.set(template);
            }
        }
    }

    /// Moves the version of the table on.
    pub(crate) fn next_version(&self) {
        let mut version = self.version_lock();
        version.counter += 1;
        version.timestamp = now_ms();
    }

    /// The version of the table.
    pub(crate) fn version(&self) -> DataVersion {
        self.version_lock().clone()
    }

    fn version_lock(&self) -> MutexGuard<'_, DataVersion> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of changes so far.
    pub(crate) fn change_count(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Follows the number of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Lists the topics created or changed after the given number of changes.
    pub(crate) fn changes_since(&self, number: u64) -> Changes {
        let recent = self.recent_lock();
        if number < recent.forgotten {
            return Changes::Everything;
        }
        let newer = recent.list.iter().filter(|(at, _)| *at > number);
        let mut names: Vec<&str> = newer.map(|(_, name)| name.as_ref()).collect();
        names.sort_unstable();
        names.dedup();
        // A deleted topic is not found and not told: name servers forget it by request 216.
        Changes::Topics(names.into_iter().filter_map(|name| self.find(name)).collect())
    }

    /// Every topic, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<TopicConfig>> {
        self.table.iter().map(|known| Arc::clone(&known.config)).collect()
    }

    /// Topics that say how long they keep their messages, in milliseconds. The system's may not:
    /// theirs are in use, whatever their age.
    pub(crate) fn times(&self) -> Vec<(String, i64)> {
        let times = self.table.iter().filter_map(|known| {
            let config = &known.config;
            let time_ms = attributes::reserve_ms(&config.attributes)?;
            Some((config.topic_name.clone(), time_ms))
        });
        times.filter(|(topic, _)| !self.is_system(topic)).collect()
    }

    /// Whether the name belongs to the system and is closed to administration.
    pub(crate) fn is_system(&self, topic: &str) -> bool {
        self.system.contains(topic)
    }

    /// The names that belong to the system.
    pub(crate) fn system_names(&self) -> impl Iterator<Item = &str> {
        self.system.names()
    }

    /// Writes the file if something changed since it was written.
    ///
    /// # Errors
    /// Returns what the disk said; the next call tries again.
    pub(crate) fn save(&self) -> Result<(), JsonFileError> {
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the table, when what was counted is in it: a later one is for the next call.
        let recent = self.recent_lock();
        let changes = self.change_count();
        drop(recent);
        if self.saved_to() == changes {
            return Ok(());
        }
        let all = self.all();
        let file = TopicFileRef {
            data_version: self.version(),
            topic_config_table: all.iter().map(|t| (t.topic_name.as_str(), t.as_ref())).collect(),
            unknown: &self.unknown,
        };
        JsonFile::save(&self.path, &file)?;
        self.saved.advance(i64::try_from(changes).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The last change of a topic that the file does not have yet.
    pub(crate) fn unsaved(&self, topic: &str) -> Option<u64> {
        let saved = self.saved_to();
        if saved == self.change_count() {
            return None;
        }
        let recent = self.recent_lock();
        let unsaved = recent.list.iter().rev().take_while(|(change, _)| *change > saved);
        let change = unsaved.into_iter().find(|(_, name)| **name == *topic);
        let forgotten = (recent.forgotten > saved).then_some(recent.forgotten);
        change.map(|(change, _)| *change).or(forgotten)
    }

    /// Waits until a change is in the file.
    ///
    /// # Errors
    /// The disk did not take it in time.
    pub(crate) async fn wait_saved(
        &self,
        change: u64,
        patience: Duration,
    ) -> Result<(), WaitError> {
        let end = i64::try_from(change).unwrap_or(i64::MAX);
        let waited = tokio::time::timeout(patience, self.saved.wait_for(end)).await;
        waited.unwrap_or(Err(WaitError::TimedOut))
    }

    fn saved_to(&self) -> u64 {
        self.saved.position().unsigned_abs()
    }

    fn recent_lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicFileRef<'a> {
    data_version: DataVersion,
    topic_config_table: BTreeMap<&'a str, &'a TopicConfig>,
    #[serde(flatten)]
    unknown: &'a serde_json::Map<String, serde_json::Value>,
}

/// A topic with equally many queues for both directions.
fn plain(topic: &str, queues: i32, perm: i32, sys_flag: i32) -> TopicConfig {
    TopicConfig {
        topic_name: topic.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        topic_sys_flag: sys_flag,
        ..TopicConfig::default()
    }
}

#[cfg(test)]
mod tests;
