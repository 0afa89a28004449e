//! Consumer groups: their settings and read bans, `config/subscriptionGroup.json`.
//!
//! A group unknown to the broker is made by its first heartbeat, pull or query when
//! `autoCreateSubscriptionGroup` is on and its name is legal. Such a group is written within a
//! second, as losing it in a crash costs nothing; what an administrator changes is on disk before
//! the answer. A damaged file stops the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::mapref::entry::Entry;
use remoting::protocol::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};
use store::lookup::Lookup;

use crate::attributes::{self, AttributeError};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "subscriptionGroup.json";

/// Longest group name, in UTF-16 units as Java counts.
const NAME_LEN_MAX: usize = 255;

/// Bit of the forbidden mask that bans reading.
const FORBIDDEN_READ: i32 = 1 << 2;

/// Groups every broker has.
const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// Further groups of Java's tools that pull without a heartbeat.
const UNANNOUNCED_GROUPS: [&str; 3] =
    ["DEFAULT_CONSUMER", "SCHEDULE_CONSUMER", "__MONITOR_CONSUMER"];

/// What the names of groups of the system begin with.
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// The groups of this broker.
pub(crate) struct Groups {
    path: PathBuf,
    /// Whether groups that are named like light queues are known without having been made.
    light: bool,
    table: Lookup<String, Arc<SubscriptionGroupConfig>>,
    meta: Mutex<Meta>,
    /// Held while a snapshot is taken and written, so that an older one never replaces a newer.
    saving: Mutex<()>,
    changed: AtomicBool,
}

struct Meta {
    version: DataVersion,
    forbidden: ForbiddenTable,
    unknown: serde_json::Map<String, serde_json::Value>,
}

type ForbiddenTable = BTreeMap<String, BTreeMap<String, i32>>;

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct GroupFile {
    #[serde(default)]
    data_version: DataVersion,
    #[serde(default)]
    forbidden_table: ForbiddenTable,
    /// Required: a JSON object without it is another file.
    subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

impl Groups {
    /// Says why a load would fail; changes nothing.
    pub(crate) fn loadable(root: &Path) -> Result<(), JsonFileError> {
        JsonFile::loadable::<GroupFile>(&root.join("config").join(FILE_NAME))
    }

    /// Loads the groups of the store below `root` and adds the system groups.
    pub(crate) fn load(root: &Path) -> Result<Groups, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: GroupFile = JsonFile::load(&path)?.unwrap_or_default();
        let mut table = Lookup::default();
        for name in SYSTEM_GROUPS {
            table.insert(name.to_owned(), Arc::new(SubscriptionGroupConfig::new(name)));
        }
        let loaded = file.subscription_group_table.into_iter();
        table.extend(loaded.map(|(name, group)| (name, Arc::new(group))));
        let meta = Meta {
            version: file.data_version,
            forbidden: file.forbidden_table,
            unknown: file.unknown,
        };
        Ok(Groups {
            path,
            light: false,
            table,
            meta: Mutex::new(meta),
            saving: Mutex::new(()),
            changed: AtomicBool::new(false),
        })
    }

    /// The same groups and, with light queues, every group that is named like one.
    pub(crate) fn with_light(self, light: bool) -> Groups {
        Groups { light, ..self }
    }

    fn is_light(&self, group: &str) -> bool {
        self.light && store::light::is_light(group)
    }

    /// Returns a known group.
    pub(crate) fn find(&self, group: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if self.is_light(group) {
            return Some(Arc::new(SubscriptionGroupConfig::new(group)));
        }
        self.table.get(group).map(|config| Arc::clone(&config))
    }

    /// Lists all groups, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.table.iter().map(|entry| entry.key().clone()).collect();
        names.sort_unstable();
        names
    }

    /// Whether the group is known.
    pub(crate) fn contains(&self, group: &str) -> bool {
        self.is_light(group) || self.table.contains_key(group)
    }

    /// Returns a group, making it when `auto_create` allows and the name is legal.
    pub(crate) fn find_or_create(
        &self,
        group: &str,
        auto_create: bool,
        now_ms: i64,
    ) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(config) = self.find(group) {
            return Some(config);
        }
        if !auto_create || !legal_name(group) {
            return None;
        }
        match self.table.entry(group.to_owned()) {
            Entry::Occupied(entry) => Some(Arc::clone(entry.get())),
            Entry::Vacant(entry) => {
                let config =
                    Arc::clone(&entry.insert(Arc::new(SubscriptionGroupConfig::new(group))));
                self.bump(now_ms);
                tracing::info!(group, "consumer group created");
                Some(config)
            }
        }
    }

    /// Creates or replaces groups, all or none; the caller saves.
    pub(crate) fn update(
        &self,
        configs: Vec<SubscriptionGroupConfig>,
        now_ms: i64,
    ) -> Result<(), AttributeError> {
        let mut ready = Vec::with_capacity(configs.len());
        for mut config in configs {
            let current = self.find(&config.group_name);
            let known = current.as_ref().map(|current| &current.attributes);
            config.attributes = attributes::alter(&[], known, &config.attributes)?;
            ready.push(config);
        }
        for config in ready {
            if self.is_light(&config.group_name) {
                // Java quirk: a success that changes nothing.
                continue;
            }
            tracing::info!(group = config.group_name, "consumer group updated");
            self.table.insert(config.group_name.clone(), Arc::new(config));
            self.bump(now_ms);
        }
        Ok(())
    }

    /// Deletes a group with its read bans; the caller saves.
    pub(crate) fn delete(&self, group: &str, now_ms: i64) {
        let banned = self.meta().forbidden.remove(group).is_some();
        let known = self.table.remove(group).is_some();
        if known || banned {
            self.bump(now_ms);
        }
    }

    /// Whether the group may not read the topic.
    pub(crate) fn read_forbidden(&self, group: &str, topic: &str) -> bool {
        let meta = self.meta();
        if meta.forbidden.is_empty() {
            return false;
        }
        let mask = meta.forbidden.get(group).and_then(|topics| topics.get(topic));
        mask.is_some_and(|mask| *mask > 0 && mask & FORBIDDEN_READ != 0)
    }

    /// Sets or lifts the read ban of a group on a topic; the caller saves.
    pub(crate) fn set_read_forbidden(
        &self,
        group: &str,
        topic: &str,
        forbidden: bool,
        now_ms: i64,
    ) {
        {
            let mut meta = self.meta();
            let topics = meta.forbidden.entry(group.to_owned()).or_default();
            let old = topics.get(topic).copied().unwrap_or(0).max(0);
            let new = if forbidden { old | FORBIDDEN_READ } else { old & !FORBIDDEN_READ };
            if new == 0 {
                topics.remove(topic);
            } else {
                topics.insert(topic.to_owned(), new);
            }
            if topics.is_empty() {
                meta.forbidden.remove(group);
            }
        }
        self.bump(now_ms);
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

    /// Returns all groups as tools and replicas get them (201).
    pub(crate) fn wrapper(&self) -> SubscriptionGroupWrapper {
        let file = self.snapshot();
        SubscriptionGroupWrapper {
            data_version: file.data_version,
            forbidden_table: file.forbidden_table,
            subscription_group_table: file.subscription_group_table,
        }
    }

    fn snapshot(&self) -> GroupFile {
        let subscription_group_table = self
            .table
            .iter()
            .map(|entry| (entry.key().clone(), SubscriptionGroupConfig::clone(entry.value())))
            .collect();
        let meta = self.meta();
        GroupFile {
            data_version: meta.version.clone(),
            forbidden_table: meta.forbidden.clone(),
            subscription_group_table,
            unknown: meta.unknown.clone(),
        }
    }

    fn bump(&self, now_ms: i64) {
        let mut meta = self.meta();
        meta.version.bump(now_ms, 0);
        self.changed.store(true, Ordering::Release);
    }

    fn meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the group belongs to the system, by its name.
pub(crate) fn is_system_name(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX)
}

/// Whether the group may pull without a heartbeat where others may not.
pub(crate) fn pulls_unannounced(group: &str) -> bool {
    is_system_name(group) || SYSTEM_GROUPS.contains(&group) || UNANNOUNCED_GROUPS.contains(&group)
}

/// Whether a group of that name may be made on use.
pub(crate) fn legal_name(group: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'%' | b'|' | b'-' | b'_');
    // Legal names are ASCII, so bytes are UTF-16 units.
    !group.is_empty() && group.len() <= NAME_LEN_MAX && group.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(dir: &Path) -> Groups {
        Groups::load(dir).unwrap()
    }

    #[test]
    fn system_groups_are_there_and_strangers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let groups = groups(dir.path());
        assert!(groups.contains("TOOLS_CONSUMER") && groups.contains("CID_RMQ_SYS_TRANS"));
        assert!(groups.find_or_create("g", false, 1).is_none());
        assert!(!groups.contains("g"));
    }

    #[test]
    fn first_use_makes_a_group_of_legal_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = groups(dir.path());
        assert_eq!(made.find_or_create("g", true, 7).unwrap().retry_max_times, 16);
        made.persist().unwrap();
        for illegal in ["", " ", "a b", "../x", &"g".repeat(256)] {
            assert!(made.find_or_create(illegal, true, 7).is_none(), "{illegal:?}");
        }
        let again = groups(dir.path());
        assert!(again.contains("g"));
        let version = again.meta().version.clone();
        assert_eq!((version.counter, version.timestamp), (1, 7));
    }

    #[test]
    fn updates_and_deletions_are_saved() {
        let dir = tempfile::tempdir().unwrap();
        let changed = groups(dir.path());
        let config =
            SubscriptionGroupConfig { retry_max_times: 3, ..SubscriptionGroupConfig::new("g") };
        changed.update(vec![config, SubscriptionGroupConfig::new("h")], 1).unwrap();
        changed.delete("h", 2);
        changed.delete("never", 3);
        changed.persist().unwrap();
        let again = groups(dir.path());
        assert_eq!(again.find("g").unwrap().retry_max_times, 3);
        assert!(!again.contains("h"));
        assert_eq!(again.meta().version.counter, 3);
    }

    #[test]
    fn an_unknown_attribute_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let groups = groups(dir.path());
        let mut bad = SubscriptionGroupConfig::new("bad");
        bad.attributes.insert("+colour".to_owned(), "red".to_owned());
        assert!(groups.update(vec![SubscriptionGroupConfig::new("good"), bad], 1).is_err());
        assert!(!groups.contains("good") && !groups.contains("bad"));
    }

    #[test]
    fn read_bans_are_kept_and_lifted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let banned = groups(dir.path());
        banned.set_read_forbidden("g", "T", true, 1);
        banned.set_read_forbidden("g", "U", true, 1);
        banned.set_read_forbidden("g", "U", false, 1);
        banned.persist().unwrap();
        let again = groups(dir.path());
        assert!(again.read_forbidden("g", "T"));
        assert!(!again.read_forbidden("g", "U") && !again.read_forbidden("h", "T"));
        again.delete("g", 2);
        assert!(!again.read_forbidden("g", "T"));
    }

    #[test]
    fn a_damaged_file_without_a_backup_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config").join(FILE_NAME), "{\"forb").unwrap();
        assert!(Groups::load(dir.path()).is_err());
    }
}
