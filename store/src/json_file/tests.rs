//! Tests of loading and saving.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::*;
use crate::faults::{Action, Faults};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offsets {
    data_version: BTreeMap<String, i64>,
    group_topic_map: BTreeMap<String, Vec<String>>,
    offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

const JAVA: &str = "{\n\t\"dataVersion\":{\n\t\t\"counter\":3\n\t},\n\t\"groupTopicMap\":{\n\
    \t\t\"GroupB\":[\"TopicA\"]\n\t},\n\t\"offsetTable\":{\n\t\t\"TopicA@GroupB\":{0:5,1:6\n\
    \t\t}\n\t}\n}";

fn offsets(first: i64) -> Offsets {
    Offsets {
        data_version: BTreeMap::from([("counter".into(), 3)]),
        group_topic_map: BTreeMap::from([("GroupB".into(), vec!["TopicA".into()])]),
        offset_table: BTreeMap::from([(
            "TopicA@GroupB".into(),
            BTreeMap::from([(0, first), (1, 6)]),
        )]),
    }
}

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("config/offsets.json")
    }
    fn write(&self, suffix: &str, text: &str) {
        fs::create_dir_all(self.0.path().join("config")).unwrap();
        fs::write(with_suffix(&self.path(), suffix), text).unwrap();
    }
    fn text(&self, suffix: &str) -> Option<String> {
        fs::read_to_string(with_suffix(&self.path(), suffix)).ok()
    }
    fn load(&self) -> Result<Option<Offsets>, JsonFileError> {
        JsonFile::load(&self.path())
    }
}

#[test]
fn reads_what_java_writes_and_writes_it_the_same_but_for_quoted_keys() {
    let dir = Dir::new();
    dir.write("", JAVA);
    assert_eq!(dir.load().unwrap(), Some(offsets(5)));
    JsonFile::save(&dir.path(), &offsets(5)).unwrap();
    let ours = JAVA.replace("{0:5,1:6\n", "{\n\t\t\t\"0\":5,\n\t\t\t\"1\":6\n");
    assert_eq!(dir.text("").unwrap(), ours);
    assert_eq!(dir.text(".bak").unwrap(), JAVA, "the former generation stays");
    assert_eq!(dir.text(".tmp"), None);
}

#[test]
fn the_name_of_a_new_directory_is_on_disk_with_its_first_file() {
    let dir = Dir::new();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let _faults = Faults::observe(dir.0.path(), move |operation| {
        if matches!(operation.action, Action::SyncDirectory) {
            seen.lock().unwrap().push(operation.path.to_owned());
        }
    });
    JsonFile::save(&dir.path(), &offsets(5)).unwrap();
    let config = dir.path().parent().unwrap().to_owned();
    assert_eq!(*synced.lock().unwrap(), [dir.0.path().to_owned(), config]);
}

#[test]
fn nothing_there_is_no_error_and_empty_maps_stay_on_one_line() {
    let dir = Dir::new();
    assert_eq!(dir.load().unwrap(), None);
    JsonFile::save(&dir.path(), &BTreeMap::<String, i32>::new()).unwrap();
    assert_eq!(dir.text("").unwrap(), "{}");
}

#[test]
fn a_missing_or_empty_file_is_replaced_by_the_former_generation() {
    for text in [None, Some("")] {
        let dir = Dir::new();
        dir.write(".bak", JAVA);
        if let Some(text) = text {
            dir.write("", text);
        }
        assert_eq!(dir.load().unwrap(), Some(offsets(5)));
        assert_eq!(dir.text("").unwrap(), JAVA);
        assert_eq!(dir.text(".bak").unwrap(), JAVA);
    }
}

#[test]
fn a_file_cut_anywhere_is_moved_aside_and_never_costs_the_former_generation() {
    for len in 1..JAVA.len() {
        let dir = Dir::new();
        dir.write("", &JAVA[..len]);
        dir.write(".bak", JAVA);
        assert_eq!(dir.load().unwrap(), Some(offsets(5)), "cut at {len}");
        assert_eq!(dir.text(".damaged").unwrap(), JAVA[..len]);
        JsonFile::save(&dir.path(), &offsets(7)).unwrap();
        assert_eq!(dir.text(".bak").unwrap(), JAVA, "cut at {len}");
        assert_eq!(dir.load().unwrap(), Some(offsets(7)));
    }
}

#[test]
fn two_damaged_generations_stop_the_start_and_stay() {
    let dir = Dir::new();
    dir.write("", "{\"dataVersion\":{},\n\"oops\"");
    dir.write(".bak", "{]");
    let error = dir.load().unwrap_err().to_string();
    assert!(error.contains("offsets.json.bak at 1: expected JSON"), "{error}");
    assert_eq!(dir.text(".bak").unwrap(), "{]");
    assert!(dir.text("").unwrap().contains("oops"));
}

#[test]
fn a_damaged_file_without_a_former_generation_stops_the_start() {
    let dir = Dir::new();
    dir.write("", "{\"dataVersion\":{},\n\"oops\"");
    let error = dir.load().unwrap_err().to_string();
    assert!(error.contains("offsets.json at 2"), "{error}");
    assert!(!error.contains(".bak"), "{error}");
    assert_eq!(dir.text(".damaged"), None);
}
