//! The topics of this broker, `config/topics.json`.
//!
//! A lookup on the hot path copies a few numbers (`Facts`) out of a sharded map and allocates
//! nothing. Creating a topic is one insertion: a service adds all that are new to the file with one
//! sync, whoever made or uses a topic that is `unsaved` is answered when it has, and name servers
//! are told by `peers`, which asks for `changes_since`.
//! A damaged file stops the start; nothing here replaces it by an empty one.
//! Lock order: file, recent changes, table.

mod facts;
mod file;
mod names;
pub(crate) mod perm;
mod recent;
mod saving;
mod system;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::{DataVersion, TopicConfig};
use runtime::clock::now_ms;
use store::QueueKind;
use store::json_file::JsonFileError;
use store::light::is_light;
use store::lookup::Lookup;
use store::watermark::Watermark;
use tokio::sync::watch;

use crate::attributes;
use crate::config::BrokerConfig;

use facts::{Known, LIGHT};
use file::TopicFile;
use recent::Recent;
use saving::Failure;

pub(crate) use facts::Facts;
pub(crate) use names::{
    CHECKED_OUT_TOPIC, DLQ_PREFIX, HALF_TOPIC, OP_TOPIC, PopRetry, RETRY_PREFIX, SCHEDULE_TOPIC,
    TIMER_TOPIC, dead_letter_topic, group_of_retry_topic, is_retry_topic, never_sent_to,
    pop_retry_of, pop_retry_topic, pop_retry_topics, retry_topic, revive_topic, validate_topic,
};

/// Queues of a topic at most: whoever asks for all of them gets an answer of that length.
pub(crate) const QUEUES_MAX: i32 = 65_535;

/// All topics of the broker.
pub(crate) struct Topics {
    table: Lookup<Box<str>, Known>,
    version: Mutex<DataVersion>,
    recent: Mutex<Recent>,
    /// Number of changes so far; saving and registering follow it.
    changes: watch::Sender<u64>,
    /// Changes up to this one are in the file.
    saved: Watermark,
    /// The last attempt to save that has failed.
    failure: watch::Sender<Failure>,
    file: Mutex<TopicFile>,
    system: system::SystemTopics,
    auto_create: AtomicBool,
    /// Whether light queues are topics that no table knows.
    light: bool,
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
        TopicFile::loadable(root)
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
        let (file, loaded, version) = TopicFile::load(root)?;
        let table = Lookup::default();
        for (name, mut topic) in loaded {
            topic.topic_name.clone_from(&name);
            table.insert(name.into_boxed_str(), Known::new(topic, 0));
        }
        let topics = Topics {
            table,
            version: Mutex::new(version),
            recent: Mutex::default(),
            changes: watch::Sender::new(0),
            saved: Watermark::new(0),
            failure: watch::Sender::default(),
            file: Mutex::new(file),
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
        match self.look(&config.topic_name) {
            Some(facts) => facts,
            None => self.put(&mut recent, config, None),
        }
    }

    /// Stores a configuration as it is; returns whether anything changed.
    pub(crate) fn set(&self, config: TopicConfig) -> bool {
        if self.is_light(&config.topic_name) {
            return false;
        }
        let mut recent = self.recent_lock();
        let known = self.table.get(config.topic_name.as_str());
        let known = known.map(|known| (*known.config == config, known.made));
        if matches!(known, Some((true, _))) {
            return false;
        }
        self.put(&mut recent, config, known.map(|(_, made)| made));
        true
    }

    /// Puts a topic into the table: a new one, or one that was made by an earlier change.
    fn put(&self, recent: &mut Recent, config: TopicConfig, made: Option<u64>) -> Facts {
        // Counted first, under the lock: whoever finds the topic finds it unsaved.
        let change = self.count(recent, &config.topic_name, made.is_none());
        let name = config.topic_name.as_str().into();
        let known = Known::new(config, made.unwrap_or(change));
        let facts = known.facts;
        self.table.insert(name, known);
        facts
    }

    /// Marks known topics as ones whose order matters more than their acceptance.
    pub(crate) fn keep_in_order<'t>(&self, topics: impl Iterator<Item = &'t str>) {
        for topic in topics {
            let mut recent = self.recent_lock();
            let known = self.table.get(topic).filter(|known| !known.config.order);
            let Some((config, made)) = known.map(|known| (Arc::clone(&known.config), known.made))
            else {
                continue;
            };
            let config = TopicConfig { order: true, ..config.as_ref().clone() };
            self.put(&mut recent, config, Some(made));
            drop(recent);
            tracing::info!(topic, "topic is kept in order from now on");
        }
    }

    /// Forgets a topic; returns whether it was known.
    pub(crate) fn remove(&self, topic: &str) -> bool {
        let mut recent = self.recent_lock();
        let known = self.table.remove(topic).is_some();
        if known {
            self.count(&mut recent, topic, false);
        }
        known
    }

    /// Counts a change, of which `new` makes a topic, and returns its number.
    fn count(&self, recent: &mut Recent, topic: &str, new: bool) -> u64 {
        self.next_version();
        // Invariant: the number is taken under the lock of the list, so the list is in order.
        let mut number = 0;
        self.changes.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        recent.push(number, topic, new, || self.table.len());
        number
    }

    /// Has every topic registered again, as something about all of them changed.
    pub(crate) fn all_changed(&self) {
        let mut recent = self.recent_lock();
        self.next_version();
        self.changes.send_modify(|changes| {
            *changes += 1;
            recent.forget(*changes);
        });
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
        let Some(since) = recent.since(number) else { return Changes::Everything };
        let mut names: Vec<&str> = since.map(|change| change.topic.as_ref()).collect();
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

    fn recent_lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
