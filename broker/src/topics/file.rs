//! The file of the topics: loaded, added to, written as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remoting::protocol::body::{DataVersion, TopicConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::json_file::JsonFileError;
use store::json_file::growing::GrowingFile;

/// Name of the file below `config/`.
pub(super) const FILE_NAME: &str = "topics.json";

/// The topics of a file.
pub(super) type Table = BTreeMap<String, TopicConfig>;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    data_version: DataVersion,
    /// Required: a JSON object without it is another file.
    topic_config_table: Table,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// What stands before and in the table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(flatten)]
    unknown: &'a Map<String, Value>,
    topic_config_table: BTreeMap<&'a str, &'a TopicConfig>,
}

/// What stands behind the table, as it changes with each addition.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tail<'a> {
    data_version: &'a DataVersion,
}

/// The open file.
pub(super) struct TopicFile {
    growing: GrowingFile,
    unknown: Map<String, Value>,
    /// Whether this process has written it.
    written: bool,
}

impl TopicFile {
    /// Says why a load would fail; changes nothing.
    pub fn loadable(root: &Path) -> Result<(), JsonFileError> {
        GrowingFile::loadable::<Content>(&path(root))
    }

    /// Loads topics and their version.
    pub fn load(root: &Path) -> Result<(TopicFile, Table, DataVersion), JsonFileError> {
        let path = path(root);
        let content: Content = GrowingFile::load(&path)?.unwrap_or_default();
        let growing = GrowingFile::new(&path);
        let file = TopicFile { growing, unknown: content.unknown, written: false };
        Ok((file, content.topic_config_table, content.data_version))
    }

    /// Whether it has room for topics.
    pub fn has_room(&self) -> bool {
        self.growing.has_room()
    }

    /// Adds topics that it does not have; false if it must be written as a whole for that.
    pub fn add(
        &mut self,
        topics: &[Arc<TopicConfig>],
        version: &DataVersion,
    ) -> Result<bool, JsonFileError> {
        let entries = topics.iter().map(|topic| (topic.topic_name.as_str(), topic.as_ref()));
        self.growing.add(entries, &Tail { data_version: version })
    }

    /// Writes all topics; `growing` leaves room for more, if it is not the first time: many
    /// brokers make no topic, or one, and their file is short.
    pub fn write(
        &mut self,
        topics: &[Arc<TopicConfig>],
        version: &DataVersion,
        growing: bool,
    ) -> Result<(), JsonFileError> {
        let table = topics.iter().map(|topic| (topic.topic_name.as_str(), topic.as_ref()));
        let head = Head { unknown: &self.unknown, topic_config_table: table.collect() };
        let room = growing && self.written;
        self.growing.save(&head, &Tail { data_version: version }, room)?;
        self.written = true;
        Ok(())
    }
}

fn path(root: &Path) -> PathBuf {
    root.join("config").join(FILE_NAME)
}
