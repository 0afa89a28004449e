//! How many half messages of each topic are open: `config/transactionMetrics`, as Java keeps it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::DataVersion;
use serde::{Deserialize, Serialize};
use store::json_file::{JsonFile, JsonFileError};

/// Name of the file below `config/`.
pub(crate) const FILE_NAME: &str = "transactionMetrics";

/// The counts by topic.
pub(crate) struct Metrics {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: MetricsFile,
    changed: bool,
}

#[derive(Clone, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct MetricsFile {
    #[serde(default)]
    data_version: DataVersion,
    /// Required: a JSON object without it is another file.
    transaction_count: BTreeMap<String, Count>,
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Serialize, Deserialize, Default, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Count {
    count: i64,
    time_stamp: i64,
}

impl Metrics {
    /// Loads the counts below `root`; a missing file means none yet.
    pub(crate) fn load(root: &Path) -> Result<Metrics, JsonFileError> {
        let path = root.join("config").join(FILE_NAME);
        let file: MetricsFile = JsonFile::load(&path)?.unwrap_or_default();
        Ok(Metrics { path, state: Mutex::new(State { file, changed: false }) })
    }

    /// Sets all counts to what was found in the half topic.
    pub(super) fn correct(&self, open: &BTreeMap<String, i64>, now_ms: i64) {
        let mut state = self.state();
        let State { file, changed } = &mut *state;
        for (topic, count) in &mut file.transaction_count {
            let found = open.get(topic).copied().unwrap_or(0);
            if count.count != found {
                *count = Count { count: found, time_stamp: now_ms };
                *changed = true;
            }
        }
        for (topic, found) in open {
            file.transaction_count.entry(topic.clone()).or_insert_with(|| {
                *changed = true;
                Count { count: *found, time_stamp: now_ms }
            });
        }
    }

    /// Counts half messages of a topic that came or, with a negative number, went.
    pub(super) fn add(&self, topic: &str, number: i64, now_ms: i64) {
        let mut state = self.state();
        state.changed = true;
        state.file.data_version.bump(now_ms, 0);
        let counts = &mut state.file.transaction_count;
        let count = match counts.get_mut(topic) {
            Some(count) => count,
            None => counts.entry(topic.to_owned()).or_default(),
        };
        count.count += number;
        count.time_stamp = now_ms;
    }

    /// Open half messages by topic.
    pub(super) fn counts(&self) -> Vec<(String, i64)> {
        let state = self.state();
        let counts = state.file.transaction_count.iter();
        counts.map(|(topic, count)| (topic.clone(), count.count)).collect()
    }

    /// Writes the file when something changed since the last time.
    pub(crate) fn persist(&self) -> Result<(), JsonFileError> {
        let mut state = self.state();
        if !std::mem::take(&mut state.changed) {
            return Ok(());
        }
        let file = state.file.clone();
        drop(state);
        JsonFile::save(&self.path, &file).inspect_err(|_| self.state().changed = true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_file_is_read_corrected_and_written_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        let java = "{\"dataVersion\":{\"counter\":23,\"stateVersion\":0,\"timestamp\":5},\
                    \"transactionCount\":{\"a\":{\"count\":5,\"timeStamp\":3},\
                    \"b\":{\"count\":2,\"timeStamp\":4}}}";
        std::fs::write(&path, java).unwrap();
        let metrics = Metrics::load(dir.path()).unwrap();
        metrics.persist().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), java, "nothing changed");
        metrics.correct(&BTreeMap::from([("a".to_owned(), 5), ("c".to_owned(), 1)]), 9);
        metrics.add("c", 1, 10);
        metrics.add("a", -1, 11);
        metrics.persist().unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["transactionCount"]["a"], serde_json::json!({"count":4,"timeStamp":11}));
        assert_eq!(json["transactionCount"]["b"], serde_json::json!({"count":0,"timeStamp":9}));
        assert_eq!(json["transactionCount"]["c"], serde_json::json!({"count":2,"timeStamp":10}));
        assert_eq!(json["dataVersion"]["counter"], 25);
    }

    #[test]
    fn a_foreign_file_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = dir.path().join("config").join(FILE_NAME);
        std::fs::write(&path, "{\"offsetTable\":{}}").unwrap();
        assert!(Metrics::load(dir.path()).is_err());
    }
}
