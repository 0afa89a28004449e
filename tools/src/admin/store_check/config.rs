//! The files of `config/` that hold text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use store::json_file::{JsonFile, JsonFileError};

use super::report::Report;

/// Each file, and the table in it that a broker needs.
const FILES: [(&str, &str); 11] = [
    ("topics.json", "topicConfigTable"),
    ("subscriptionGroup.json", "subscriptionGroupTable"),
    ("consumerOffset.json", "offsetTable"),
    ("lmqConsumerOffset.json", "offsetTable"),
    ("delayOffset.json", "offsetTable"),
    ("topicQueueMapping.json", "topicQueueMappingInfoMap"),
    ("consumerFilter.json", "filterDataByTopic"),
    ("consumerOrderInfo.json", "table"),
    ("messageRequestMode.json", "messageRequestModeMap"),
    ("timermetrics", "timingCount"),
    ("transactionMetrics", "transactionCount"),
];

/// The tables, by file.
#[derive(Debug, Default)]
pub(super) struct Configs(BTreeMap<&'static str, Value>);

impl Configs {
    /// Reads the files as a broker does: the former generation where one is missing or damaged.
    pub(super) fn read(root: &Path, report: &mut Report) -> anyhow::Result<Configs> {
        let mut configs = Configs::default();
        for (name, table) in FILES {
            let path = root.join("config").join(name);
            let mut found = table_of(&path, table, report)?;
            if found.is_none() {
                let former = path.with_file_name(format!("{name}.bak"));
                found = table_of(&former, table, report)?;
                if found.is_some() {
                    report.notes.push(format!("config/{name} is read from its .bak"));
                }
            }
            if let Some(found) = found {
                report.configs.push((name, found.as_object().map_or(0, |table| table.len())));
                configs.0.insert(name, found);
            }
        }
        Ok(configs)
    }

    /// Topics whose queues hold batches.
    pub(super) fn batch_topics(&self) -> BTreeSet<String> {
        let topics = self.0.get("topics.json").and_then(Value::as_object);
        let batch = |topic: &Value| topic["attributes"]["queue.type"] == "BatchCQ";
        let topics = topics.into_iter().flatten().filter(|(_, topic)| batch(topic));
        topics.map(|(name, _)| name.clone()).collect()
    }

    /// What a group has consumed of a queue.
    pub(super) fn offset(&self, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
        let key = format!("{topic}@{group}");
        ["consumerOffset.json", "lmqConsumerOffset.json"]
            .iter()
            .find_map(|file| self.0.get(file)?.get(&key)?.get(queue_id.to_string())?.as_i64())
    }

    /// What has been delivered of a delay level.
    pub(super) fn delivered(&self, level: i32) -> Option<i64> {
        self.0.get("delayOffset.json")?.get(level.to_string())?.as_i64()
    }
}

/// The table of a file; `None` where it is missing, empty or damaged.
fn table_of(path: &Path, table: &str, report: &mut Report) -> anyhow::Result<Option<Value>> {
    match JsonFile::look::<Value>(path) {
        Ok(None) => Ok(None),
        Ok(Some(mut value)) => {
            let found = value.get_mut(table).map(Value::take).filter(Value::is_object);
            if found.is_none() {
                report.damaged(path, 0, &format!("an object {table}"), &"none");
            }
            Ok(found)
        }
        Err(error @ JsonFileError::Damaged { .. }) => {
            report.damage.push(error.to_string());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
