//! What the files of `config/` hold of topics and groups: whoever takes a directory over keeps it,
//! also what it does not know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use remoting::protocol::lenient_json::to_standard;
use serde_json::Value;

/// Files and the table that is to be kept of each.
const TABLES: [(&str, &str); 4] = [
    ("topics.json", "topicConfigTable"),
    ("subscriptionGroup.json", "subscriptionGroupTable"),
    ("subscriptionGroup.json", "forbiddenTable"),
    ("messageRequestMode.json", "messageRequestModeMap"),
];

/// Every value of the tables, by file and path.
pub struct Configs(BTreeMap<(PathBuf, String), Value>);

impl Configs {
    /// Reads what there is.
    pub fn read(store: &Path) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (file, table) in TABLES {
            let path = store.join("config").join(file);
            if !path.exists() {
                continue;
            }
            let bytes = fs::read(&path)?;
            let value: Value = serde_json::from_slice(&to_standard(&bytes))
                .with_context(|| path.display().to_string())?;
            if let Some(value) = value.get(table) {
                collect(&path, table, value, &mut all);
            }
        }
        Ok(Self(all))
    }

    /// Fails unless each is there as it was.
    pub fn check(&self, store: &Path) -> Result<()> {
        let now = Self::read(store)?;
        for (place, value) in &self.0 {
            let (file, path) = place;
            let got = now.0.get(place);
            ensure!(got == Some(value), "{}: {path} is {got:?}, was {value}", file.display());
        }
        Ok(())
    }
}

fn collect(file: &Path, path: &str, value: &Value, all: &mut BTreeMap<(PathBuf, String), Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(file, &format!("{path}.{name}"), value, all);
            }
        }
        value => drop(all.insert((file.to_owned(), path.to_owned()), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_gone_is_named() {
        let store = tempfile::tempdir().unwrap();
        let file = store.path().join("config/topics.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let write = |text: &str| fs::write(&file, text).unwrap();
        write(r#"{"dataVersion":{"counter":1},"topicConfigTable":{"T":{"perm":6,"new":{"a":1}}}}"#);
        let configs = Configs::read(store.path()).unwrap();
        configs.check(store.path()).unwrap();
        write(
            r#"{"dataVersion":{"counter":2},"topicConfigTable":{"T":{"perm":6,"new":{"a":1},"b":2}}}"#,
        );
        configs.check(store.path()).unwrap();
        write(r#"{"topicConfigTable":{"T":{"perm":6}}}"#);
        let error = configs.check(store.path()).unwrap_err().to_string();
        assert!(error.ends_with("topicConfigTable.T.new.a is None, was 1"), "{error}");
    }
}
