//! `mqadmin store check` on stores that Java brokers wrote, sound and damaged.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use remoting::protocol::message::sys_flag;
use serde_json::Value;
use store::{MessageStore, NewMessage, QueueKind, StoreConfig};

const SOUND: [&str; 5] =
    ["4.9.7-clean", "5.1.4-clean", "5.3.3-clean", "5.5.0-clean", "5.3.3-killed"];

struct Store(tempfile::TempDir);

impl Store {
    fn unpack(name: &str) -> Store {
        let directory = tempfile::tempdir().unwrap();
        let archive = fixtures().join(format!("store-{name}.tar.gz"));
        let mut tar = Command::new("tar");
        let done = tar.arg("-xSzf").arg(&archive).arg("-C").arg(directory.path()).status().unwrap();
        assert!(done.success(), "{}", archive.display());
        Store(directory)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// The first file below a directory of the store.
    fn file(&self, below: &str) -> PathBuf {
        let mut path = self.root().join(below);
        while path.is_dir() {
            let mut entries: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            path = entries.remove(0);
        }
        path
    }

    /// Inverts a byte of a file.
    fn damage(&self, path: &Path, at: u64) {
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
    }

    /// Exit code and lines.
    fn check(&self, more: &[&str]) -> (i32, String) {
        check(&self.root(), more)
    }

    /// Checks a damaged store: its line has these parts, and nothing is changed.
    fn expect(&self, code: i32, parts: &[&str]) {
        let before = state(&self.root());
        let (got, text) = self.check(&[]);
        let mut lines = text.lines();
        let line = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        assert!(line.is_some(), "{parts:?} in no line of\n{text}");
        assert_eq!(got, code, "{text}");
        assert_eq!(state(&self.root()), before);
    }
}

fn check(root: &Path, more: &[&str]) -> (i32, String) {
    let mut mqadmin = Command::new(env!("CARGO_BIN_EXE_mqadmin"));
    let output = mqadmin.args(["store", "check"]).arg(root).args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat-tests/fixtures")
}

fn manifest(name: &str) -> Value {
    let path = fixtures().join(format!("store-{name}.manifest.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Every name below a directory, with time of change and content.
fn state(root: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::metadata(&path).unwrap();
        // The wheel and its log are large and sparse.
        let content = (meta.is_file() && meta.len() <= 40 << 20).then(|| fs::read(&path).unwrap());
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.insert(path, (meta.modified().unwrap(), content));
    }
    all
}

/// The line of a topic's count in the part that a line begins with.
fn count_in<'a>(text: &'a str, part: &str, topic: &str) -> Option<&'a str> {
    let after = text.lines().skip_while(|line| !line.starts_with(part)).skip(1);
    let mut within = after.take_while(|line| line.starts_with("  "));
    within.find_map(|line| line.trim().strip_prefix(topic)?.strip_prefix(": "))
}

#[test]
fn java_stores_are_sound_and_have_what_their_manifests_say() {
    for name in SOUND {
        let (store, manifest) = (Store::unpack(name), manifest(name));
        let before = state(&store.root());
        let (code, text) = store.check(&[]);
        assert_eq!(code, 0, "{name}: {text}");
        assert!(text.ends_with("sound; Java would recover the same\n"), "{name}: {text}");
        assert_eq!(state(&store.root()), before, "{name}");

        for (topic, expected) in manifest["topics"].as_object().unwrap() {
            let max = expected["max"].as_array().unwrap();
            for (id, (max, min)) in max.iter().zip(expected["min"].as_array().unwrap()).enumerate()
            {
                let id = id as i64;
                let stored = expected["messages"].as_array().unwrap();
                let count = stored.iter().filter(|message| message["q"] == id).count();
                let line = format!("  {topic}/{id}: {min} to {max}, {count} messages");
                let there = text.lines().any(|found| found.starts_with(&line));
                assert!(there || max == 0, "{name}: {line} in\n{text}");
            }
        }
        let pending = &manifest["pending"];
        for (part, topic, waiting) in [
            ("delayed", &pending["delayTopic"], &pending["delayed"]),
            ("timers", &pending["timerTopic"], &pending["timers"]),
        ] {
            let waiting = waiting.as_array().map_or(0, Vec::len);
            let found = count_in(&text, part, topic.as_str().unwrap_or("none"));
            assert_eq!(found.unwrap_or("0"), waiting.to_string(), "{name}: {part}: {text}");
        }
        let halves = pending["half"].as_array().unwrap();
        assert!(text.contains(&format!("halves     {} open", halves.len())), "{name}: {text}");
        for half in halves {
            assert!(text.contains(half["id"].as_str().unwrap()), "{name}: {half}");
        }
    }
}

#[test]
fn what_java_left_behind_a_cut_is_a_difference() {
    let store = Store::unpack("5.3.3-stale-units");
    store.expect(1, &["difference", "_pop/0: 3 units at the end lead to foreign records"]);
    store.expect(1, &["note", "RMQ_SYS_TRANS_HALF_TOPIC/0: both brokers cut"]);
    store.expect(1, &["result", "not damaged, but Java would recover something else"]);
}

#[test]
fn a_damaged_record_is_named() {
    let store = Store::unpack("5.3.3-clean");
    let first = store.file("commitlog");
    // The body of the first record, which recovery does not look at.
    store.damage(&first, 90);
    store.expect(1, &["damage", "00000000000000000000 at 0: expected a body of its checksum"]);
    store.damage(&first, 90);
    store.damage(&first, 5);
    store.expect(1, &["damage", "00000000000000000000 at 0: expected a record, got magic"]);
    store.damage(&first, 5);
    store.expect(0, &["result", "sound"]);
}

#[test]
fn where_java_cuts_and_this_broker_refuses_is_a_difference() {
    let store = Store::unpack("5.3.3-clean");
    let last = store.root().join("commitlog/00000000000001048576");
    let bytes = fs::read(&last).unwrap();
    let second = i32::from_be_bytes(*bytes.first_chunk().unwrap()) as u64;
    store.damage(&last, second + 4);
    let place = format!("00000000000001048576 at {second}: expected a record");
    store.expect(1, &["damage", &place]);
    let end = 1_048_576 + second;
    store.expect(1, &["difference", &format!("refused, with Java the log ends at {end}")]);
}

#[test]
fn damage_of_the_views_is_named() {
    let store = Store::unpack("5.3.3-clean");
    for (below, at, expected) in [
        ("consumequeue/SV_roll/0", 25, "20: expected the unit of SV_roll/0 at 1"),
        ("consumequeue/SV_roll/0", 20, "20: expected the unit of SV_roll/0 at 1"),
        ("batchconsumequeue/SV_bcq/0", 70, "46: expected a unit of SV_bcq/0"),
        ("index", 40 + 2000 + 20 + 4, "expected an entry of a record"),
        ("index", 40 + 2000 + 20 + 10, "expected the position of a record"),
        ("index", 30, "24: expected the position of the last entry"),
        ("checkpoint", 1, "0: expected a time"),
        ("checkpoint", 2000, "2000: expected zeros"),
        ("config/topics.json", 0, "expected JSON"),
        ("config/timercheck", 8, "8: expected a time or a position"),
    ] {
        let path = store.file(below);
        store.damage(&path, at);
        store.expect(1, &["damage", path.to_str().unwrap(), expected]);
        store.damage(&path, at);
    }
    store.expect(0, &["result", "sound"]);
}

#[test]
fn a_lost_unit_is_missed() {
    let store = Store::unpack("5.3.3-clean");
    let path = store.file("consumequeue/SV_roll/0");
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[0; 20], 40).unwrap();
    store.expect(1, &["damage", "at 40: expected the unit of SV_roll/0 at 2"]);
    store.expect(1, &["damage", "SV_roll/0: 1 records of the log have no unit"]);
}

#[test]
fn foreign_files_are_named() {
    let store = Store::unpack("5.3.3-clean");
    let notes = store.root().join("commitlog/notes.txt");
    fs::write(&notes, b"hello").unwrap();
    store.expect(1, &["damage", "notes.txt at 0: expected a log file"]);
    fs::remove_file(&notes).unwrap();
    fs::remove_file(store.root().join("commitlog/00000000000000000000")).unwrap();
    let (code, text) = store.check(&[]);
    assert_eq!(code, 0, "the oldest files may be gone: {text}");
}

#[test]
fn the_log_may_be_elsewhere() {
    let store = Store::unpack("5.3.3-clean");
    let (_, before) = store.check(&[]);
    for (name, base) in [("one", "00000000000000000000"), ("two", "00000000000001048576")] {
        let directory = store.0.path().join(name);
        fs::create_dir(&directory).unwrap();
        fs::rename(store.root().join("commitlog").join(base), directory.join(base)).unwrap();
    }
    store.expect(1, &["damage", "expected log files up to position"]);
    let paths = format!("{0}/one,{0}/two", store.0.path().display());
    let (code, text) = store.check(&["--commit-log", &paths]);
    assert_eq!(code, 0, "{text}");
    let rest = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&text), rest(&before));
}

#[test]
fn what_is_no_store_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (code, text) = check(directory.path(), &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no store here"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// The lock is held by this process, the look is taken by another. A file of the store that is
/// closed here gives the lock back.
#[test]
fn a_running_broker_is_seen() {
    let store = Store::unpack("5.3.3-clean");
    let lock = store::lock_file::LockFile::take(&store.root()).unwrap();
    let (code, text) = store.check(&[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("process {} runs on it", std::process::id())), "{text}");
    drop(lock);
    assert!(!store.check(&[]).1.contains("runs on it"));
}

/// Stores of this broker: stopped, and as a kill leaves them, with what waits in buffers missing.
#[test]
fn our_stores_are_sound_stopped_and_killed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    fs::create_dir_all(root.join("config")).unwrap();
    let topics = r#"{"topicConfigTable":{"B":{"attributes":{"queue.type":"BatchCQ"}},"T":{}}}"#;
    fs::write(root.join("config/topics.json"), topics).unwrap();
    let config = StoreConfig {
        store_path_root_dir: root.to_str().unwrap().to_owned(),
        mapped_file_size_commit_log: 64 << 10,
        mapped_file_size_consume_queue: 800,
        mapper_file_size_batch_consume_queue: 460,
        max_hash_slot_num: 500,
        max_index_num: 2000,
        enable_lmq: true,
        enable_multi_dispatch: true,
        ..StoreConfig::default()
    };
    let kind = |topic: &str| if topic == "B" { QueueKind::Batch } else { QueueKind::Simple };
    let store = MessageStore::open(config, Box::new(kind), Box::new(|_| {})).unwrap();
    let host = "127.0.0.1:10911".parse().unwrap();
    let (mut last_half, body) = (0, [b'x'; 200]);
    for n in 0..900 {
        let light = "INNER_MULTI_DISPATCH\u{1}%LMQ%a,%LMQ%b\u{2}KEYS\u{1}k\u{2}";
        let inner = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
        let (topic, sys_flag, properties) = match n % 3 {
            0 => ("T", 0, light),
            1 => ("B", inner, "INNER_NUM\u{1}3\u{2}"),
            _ => ("T", 0, "TAGS\u{1}t\u{2}"),
        };
        let message = NewMessage {
            topic,
            queue_id: 0,
            flag: 0,
            sys_flag,
            born_timestamp: 1_700_000_000_000,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties,
        };
        store.put(&message).unwrap();
        if n == 500 {
            store.save_checkpoint().unwrap();
            while store.build_index() {}
        }
        if n % 100 == 0 {
            let topic = "RMQ_SYS_TRANS_HALF_TOPIC";
            let half = NewMessage { topic, sys_flag: 0, properties: "", ..message };
            last_half = store.put(&half).unwrap().queue_offset;
        }
    }
    let killed = directory.path().join("killed");
    let mut copy = Command::new("cp");
    let copied = copy.args(["-a", "--sparse=always"]).arg(&root).arg(&killed).status().unwrap();
    assert!(copied.success());
    store.delete_oldest_file().unwrap().unwrap();
    store.delete_expired_views();
    store.stop().unwrap();
    drop(store);
    for (root, spans) in [
        (&root, ["T/0: ", "B/0: ", "%LMQ%a/0: "]),
        (&killed, ["T/0: 0 to ", "B/0: 0 to ", "%LMQ%a/0: 0 to "]),
    ] {
        let before = state(root);
        let (code, text) = check(root, &[]);
        assert_eq!(code, 0, "{text}");
        assert!(spans.iter().all(|span| text.contains(span)), "{text}");
        assert_eq!(state(root), before);
    }
    let (_, text) = check(&killed, &[]);
    assert!(text.contains(&format!("halves     {} open", last_half + 1)), "{text}");
}
