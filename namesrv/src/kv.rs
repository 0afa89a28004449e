//! The key-value configuration: namespaces of texts, kept in `kvConfig.json`.
//!
//! The file is replaced as a whole at each change: written beside, synced, renamed, and the
//! directory synced. A file that cannot be read stops the start; it is never replaced by an empty
//! one. Changes are rare and made by administrators, so they are written where they are asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::body::{Body, KVConfigSerializeWrapper};
use runtime::files;

/// Namespace of the queues that order topics have on their brokers.
pub(crate) const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// Namespace → key → text.
type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The file cannot be read, written or replaced.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this module writes.
    #[error("{path}: expected {{\"configTable\":{{...}}}}: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        problem: String,
    },
}

/// The configuration in memory and on disk.
#[derive(Debug)]
pub(crate) struct Kv {
    path: PathBuf,
    namespaces: Mutex<Namespaces>,
}

impl Kv {
    /// Reads the file; a missing one is an empty configuration.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KvError> {
        let path = path.into();
        let namespaces = match fs::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(|problem| {
                let path = path.clone();
                KvError::Damaged { path, problem }
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Namespaces::new(),
            Err(source) => return Err(KvError::File { path, source }),
        };
        Ok(Kv { path, namespaces: Mutex::new(namespaces) })
    }

    /// Sets a key, or takes its value away, and writes the file.
    pub fn put(&self, namespace: &str, key: &str, value: Option<&str>) -> Result<(), KvError> {
        self.change(|namespaces| {
            let keys = namespaces.entry(namespace.to_owned()).or_default();
            match value {
                Some(value) => keys.insert(key.to_owned(), value.to_owned()),
                None => keys.remove(key),
            };
        })
    }

    /// Deletes a key and writes the file; the namespace stays.
    pub fn delete(&self, namespace: &str, key: &str) -> Result<(), KvError> {
        self.change(|namespaces| {
            if let Some(keys) = namespaces.get_mut(namespace) {
                keys.remove(key);
            }
        })
    }

    /// Returns the text of a key.
    pub fn value(&self, namespace: &str, key: &str) -> Option<String> {
        self.lock().get(namespace)?.get(key).cloned()
    }

    /// Returns the keys of a namespace that was ever used.
    pub fn list(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.lock().get(namespace).cloned()
    }

    /// Changes a copy, writes it, and only then lets it count.
    fn change(&self, change: impl FnOnce(&mut Namespaces)) -> Result<(), KvError> {
        let mut namespaces = self.lock();
        let mut changed = namespaces.clone();
        change(&mut changed);
        if changed != *namespaces {
            self.write(&changed)?;
            *namespaces = changed;
        }
        Ok(())
    }

    fn write(&self, namespaces: &Namespaces) -> Result<(), KvError> {
        let wrapper = KVConfigSerializeWrapper { config_table: namespaces.clone() };
        files::replace(&self.path, &wrapper.encode())
            .map_err(|source| KvError::File { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Namespaces> {
        // A change that panics has not touched the table: it works on a copy.
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &[u8]) -> Result<Namespaces, String> {
    // Java writes nothing else at the top, and a file cut short is no JSON.
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if !value.as_object().is_some_and(|members| members.contains_key("configTable")) {
        return Err("no member configTable".to_owned());
    }
    let wrapper = KVConfigSerializeWrapper::decode(bytes).map_err(|error| error.to_string())?;
    Ok(wrapper.config_table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("namesrv/kvConfig.json");
        let kv = Kv::open(&path).unwrap();
        kv.put("N", "k", Some("v")).unwrap();
        kv.put("N", "gone", Some("v")).unwrap();
        kv.delete("N", "gone").unwrap();
        kv.put("M", "k", Some("v")).unwrap();
        kv.put("M", "k", None).unwrap();
        let kv = Kv::open(&path).unwrap();
        assert_eq!(kv.value("N", "k").as_deref(), Some("v"));
        assert_eq!(kv.value("N", "gone"), None);
        assert_eq!(kv.list("M"), Some(BTreeMap::new()));
        assert_eq!(kv.list("other"), None);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, r#"{"configTable":{"M":{},"N":{"k":"v"}}}"#);
    }

    #[test]
    fn the_pretty_form_of_java_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kvConfig.json");
        let text = "{\n\t\"configTable\":{\"ORDER_TOPIC_CONFIG\":{\n\t\t\"T\":\"b:8\"\n\t}\n\t}\n}";
        fs::write(&path, text).unwrap();
        let kv = Kv::open(&path).unwrap();
        assert_eq!(kv.value(ORDER_TOPIC_CONFIG, "T").as_deref(), Some("b:8"));
    }

    #[test]
    fn a_damaged_file_stops_the_start_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kvConfig.json");
        for damaged in ["", "{\"configTable\":{\"N\":", "[]", "{}", "{\"configTable\":7}"] {
            fs::write(&path, damaged).unwrap();
            let error = Kv::open(&path).unwrap_err().to_string();
            assert!(error.contains("kvConfig.json"), "{error}");
            assert!(!error.contains('\n'), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_change_that_cannot_be_written_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file/kvConfig.json");
        fs::write(directory.path().join("file"), "no directory").unwrap();
        // The path leads through a file, so there is nothing to read, and nothing to write.
        let Err(KvError::File { .. }) = Kv::open(&path) else {
            panic!("a path through a file is an error");
        };
        let missing = directory.path().join("kv.json");
        let kv = Kv::open(&missing).unwrap();
        fs::create_dir_all(missing.join("in the way")).unwrap();
        assert!(kv.put("N", "k", Some("v")).is_err());
        assert_eq!(kv.value("N", "k"), None);
    }
}
