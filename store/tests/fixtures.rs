//! Stores that real Java brokers wrote, opened: every message of their manifests is there, at its
//! offset and log position, and new ones follow on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Stored, fixture_config, fixtures, message, read_all, unpack};
use remoting::protocol::message::compression::Compression;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, sys_flag};
use runtime::services::Services;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::{MessageStore, QueueKind};
use tokio::runtime::Handle;

const CLEAN: [&str; 4] = ["4.9.7-clean", "5.1.4-clean", "5.3.3-clean", "5.5.0-clean"];

#[derive(Deserialize)]
struct Manifest {
    topics: BTreeMap<String, Topic>,
    keys: BTreeMap<String, usize>,
    pending: Pending,
}

#[derive(Deserialize)]
struct Pending {
    #[serde(rename = "timerTopic")]
    timer_topic: Option<String>,
    #[serde(default)]
    timers: Vec<Timer>,
}

/// A timer message that was still to come.
#[derive(Deserialize)]
struct Timer {
    due: i64,
    id: String,
    q: i32,
}

#[derive(Deserialize)]
struct Topic {
    min: Vec<i64>,
    max: Vec<i64>,
    messages: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    q: i32,
    off: i64,
    sha: String,
    stored: i64,
    phys: i64,
    size: u32,
    #[serde(rename = "sysFlag")]
    sys_flag: i32,
    props: BTreeMap<String, String>,
}

fn manifest(name: &str) -> Manifest {
    let path = fixtures().join(format!("store-{name}.manifest.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn open(directory: &Path) -> MessageStore {
    let kinds = |topic: &str| if topic == "SV_bcq" { QueueKind::Batch } else { QueueKind::Simple };
    let config = fixture_config(&directory.join("store"));
    MessageStore::open(config, Box::new(kinds), Box::new(|_| {})).unwrap()
}

fn check(store: &MessageStore, manifest: &Manifest) {
    for (name, topic) in &manifest.topics {
        for (queue_id, (&min, &max)) in (0..).zip(topic.min.iter().zip(&topic.max)) {
            assert_eq!(store.max_offset(name, queue_id), max, "{name}/{queue_id}");
            assert_eq!(store.min_offset(name, queue_id).max(0), min, "{name}/{queue_id}");
            let stored = read_all(store, name, queue_id);
            let expected: Vec<_> =
                topic.messages.iter().filter(|expected| expected.q == queue_id).collect();
            assert_eq!(stored.len(), expected.len(), "{name}/{queue_id}");
            for (stored, expected) in stored.iter().zip(expected) {
                check_message(stored, expected);
            }
        }
    }
}

fn check_message(stored: &Stored, expected: &Expected) {
    assert_eq!(stored.queue_offset, expected.off);
    assert_eq!(stored.physical_offset, expected.phys);
    assert_eq!(stored.store_timestamp, expected.stored);
    assert_eq!(stored.size, expected.size);
    // A consumer sees an unpacked body and may drop the flag that says it was packed.
    let visible = !(sys_flag::COMPRESSED | sys_flag::COMPRESSION_MASK);
    assert_eq!(stored.sys_flag & visible, expected.sys_flag & visible);
    let body = match Compression::from_sys_flag(stored.sys_flag).unwrap() {
        Some(compression) => compression.inflate(&stored.body, 1 << 20).unwrap(),
        None => stored.body.clone(),
    };
    let sha = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(sha, expected.sha);
    let properties = Properties::new(&stored.properties);
    for (name, value) in &expected.props {
        if name != property::WAIT {
            assert_eq!(properties.get(name), Some(value.as_str()), "{name}");
        }
    }
}

#[test]
fn every_version_opens_and_nothing_is_lost_or_renumbered() {
    for name in CLEAN {
        let directory = unpack(name);
        let manifest = manifest(name);
        let store = open(directory.path());
        check(&store, &manifest);
        let roll = if name.starts_with("4.9") { 883 } else { 887 };
        assert_eq!(read_all(&store, "SV_roll", 0).len(), roll, "{name}");
        if !name.starts_with("4.9") {
            assert_eq!((store.max_offset("SV_bcq", 0), store.max_offset("SV_bcq", 1)), (10, 12));
        }
        let end = store.max_physical_offset();
        store.stop().unwrap();
        drop(store);

        let store = open(directory.path());
        check(&store, &manifest);
        assert_eq!(store.max_physical_offset(), end, "{name}");
        let put = store.put(&message("SV_roll", 0, b"one more")).unwrap();
        assert_eq!((put.queue_offset, put.physical_offset), (roll as i64, end));
        store.stop().unwrap();
    }
}

#[test]
fn opening_a_clean_store_changes_no_byte_of_log_and_queues() {
    for name in CLEAN {
        let directory = unpack(name);
        let before = contents(&directory.path().join("store"));
        open(directory.path()).stop().unwrap();
        assert_eq!(contents(&directory.path().join("store")), before, "{name}");
    }
}

/// What waited in the timer of a Java broker is delivered, and once only, whenever that is.
#[tokio::test(flavor = "multi_thread")]
async fn timers_of_every_version_are_delivered_once() {
    for name in ["5.1.4-clean", "5.3.3-clean", "5.3.3-killed", "5.5.0-clean"] {
        let directory = unpack(name);
        let pending = manifest(name).pending;
        let topic = pending.timer_topic.unwrap();
        assert_eq!(pending.timers.len(), 6, "{name}");
        let count = |store: &MessageStore| -> i64 {
            (0..2).map(|queue_id| store.max_offset(&topic, queue_id)).sum()
        };
        let before = count(&open(directory.path()));
        let deliveries = before + pending.timers.len() as i64;
        // A second start finds nothing more to deliver.
        for _ in 0..2 {
            let store = Arc::new(open(directory.path()));
            let mut services = Services::new(Handle::current());
            MessageStore::start(&store, &mut services);
            let begun = Instant::now();
            while count(&store) < deliveries {
                assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {}", count(&store));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            services.stop(Duration::from_secs(10)).await;
            assert_eq!(count(&store), deliveries, "{name}");
            store.stop().unwrap();
        }
        let store = open(directory.path());
        for timer in &pending.timers {
            let found: Vec<_> = read_all(&store, &topic, timer.q)
                .into_iter()
                .filter(|stored| {
                    let key = Properties::new(&stored.properties).get(property::UNIQ_KEY);
                    key == Some(timer.id.as_str())
                })
                .collect();
            assert_eq!(found.len(), 1, "{name}: {}", timer.id);
            assert!(found[0].store_timestamp >= timer.due);
        }
    }
}

/// Every file of the log and of the queues.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open: Vec<PathBuf> =
        ["commitlog", "consumequeue"].iter().map(|name| root.join(name)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

#[test]
fn a_killed_store_is_recovered() {
    let name = "5.3.3-killed";
    let directory = unpack(name);
    assert!(directory.path().join("store/abort").exists());
    let manifest = manifest(name);
    let store = open(directory.path());
    check(&store, &manifest);
    assert_eq!(read_all(&store, "SV_roll", 0).len(), 887);
    assert_eq!((store.max_offset("SV_bcq", 0), store.max_offset("SV_bcq", 1)), (10, 12));
    store.stop().unwrap();
    drop(store);
    assert!(!directory.path().join("store/abort").exists());
    check(&open(directory.path()), &manifest);
}

/// Java 5.5.0 keeps in its checkpoint how far the queues are on disk, once it has run for a minute,
/// and with `enableAcceleratedRecovery` wants to find it there.
#[test]
fn the_sixth_field_of_a_checkpoint_of_java_5_5_is_taken_and_kept_up() {
    for is_killed in [false, true] {
        let directory = unpack("5.5.0-clean");
        let root = directory.path().join("store");
        let checkpoint = root.join("checkpoint");
        let mut bytes = fs::read(&checkpoint).unwrap();
        bytes[40..48].copy_from_slice(&38_098_i64.to_be_bytes());
        fs::write(&checkpoint, bytes).unwrap();
        if is_killed {
            fs::write(root.join("abort"), "1").unwrap();
        }
        let store = open(directory.path());
        check(&store, &manifest("5.5.0-clean"));
        let put = store.put(&message("SV_roll", 0, b"one more")).unwrap();
        let end = store.max_physical_offset();
        assert!(end > put.physical_offset);
        store.stop().unwrap();
        let bytes = fs::read(&checkpoint).unwrap();
        assert_eq!(bytes[40..48], end.to_be_bytes());
    }
}

#[test]
fn units_behind_a_truncation_by_java_are_cut() {
    let directory = unpack("5.3.3-stale-units");
    let store = open(directory.path());
    let queues = directory.path().join("store/consumequeue");
    let topic = fs::read_dir(queues)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|topic| topic.starts_with("KS") && topic.ends_with("_pop"))
        .unwrap();
    assert_eq!(store.max_offset(&topic, 0), 3);
    assert_eq!(read_all(&store, &topic, 0).len(), 3);
    assert_eq!(store.put(&message(&topic, 0, b"fourth")).unwrap().queue_offset, 3);
    store.stop().unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(read_all(&store, &topic, 0).len(), 4);
    assert!(!read_all(&store, "SV_roll", 0).is_empty());
}

#[test]
fn keys_are_found() {
    for name in CLEAN.into_iter().chain(["5.3.3-killed"]) {
        let directory = unpack(name);
        let store = open(directory.path());
        for (of, count) in &manifest(name).keys {
            let (topic, key) = of.split_once(' ').unwrap();
            let found = store.query(topic, key, 64, 0, i64::MAX);
            assert_eq!(found.len(), *count, "{name}: {of}");
        }
    }
}
