//! Any bytes as each file of `config/`, loaded as the broker does: an unreadable file is named in
//! one line and stays as it is.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use remoting::protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, KVConfigSerializeWrapper,
    SubscriptionGroupWrapper, TopicConfigSerializeWrapper,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::json_file::JsonFile;

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = PathBuf::from("/dev/shm").join(format!("fuzz-config-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory in memory");
    directory
});

fn check<T: Serialize + DeserializeOwned>(name: &str, data: &[u8]) {
    let path = DIRECTORY.join(name);
    fs::write(&path, data).expect("written");
    match JsonFile::load::<T>(&path) {
        Ok(Some(value)) => {
            // What cannot be kept, as a constant of no meaning, is lost in the first save only.
            let saved = saved(&path, &value);
            assert_eq!(json(&self::saved(&path, &saved)), json(&saved));
            fs::remove_file(DIRECTORY.join(format!("{name}.bak"))).expect("the former generation");
        }
        Ok(None) => assert!(data.is_empty()),
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains(name) && !line.contains('\n'), "{line}");
            assert_eq!(fs::read(&path).expect("still there"), data);
        }
    }
}

/// The value as it is after a save and a load.
fn saved<T: Serialize + DeserializeOwned>(path: &Path, value: &T) -> T {
    JsonFile::save(path, value).expect("saved");
    JsonFile::load(path).expect("what was saved").expect("a value")
}

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("JSON")
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 5 {
        0 => check::<TopicConfigSerializeWrapper>("topics.json", data),
        1 => check::<SubscriptionGroupWrapper>("subscriptionGroup.json", data),
        2 => check::<ConsumerOffsetSerializeWrapper>("consumerOffset.json", data),
        3 => check::<DelayOffsetSerializeWrapper>("delayOffset.json", data),
        _ => check::<KVConfigSerializeWrapper>("kvConfig.json", data),
    }
});
