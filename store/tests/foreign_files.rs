//! Every kind of file of a store, made unreadable or foreign: the start is refused with one line
//! that names file, offset and expectation, twice, and not a byte changes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{config, message, open, read_all, scratch};
use store::GetRequest;

const FIRST_LOG: &str = "commitlog/00000000000000000000";
const FIRST_UNITS: &str = "consumequeue/T/0/00000000000000000000";

/// A cleanly stopped store, in `store` of a directory, with several files of log and queues.
fn stopped() -> tempfile::TempDir {
    let directory = scratch();
    let store = open(config(&directory.path().join("store"))).unwrap();
    let body = vec![b'x'; 600];
    for n in 0..500 {
        store.put(&message("T", n % 2, &body)).unwrap();
    }
    store.stop().unwrap();
    directory
}

/// All files below a directory, and the directories with nothing.
fn contents(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let content = if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            None
        } else {
            Some(fs::read(&path).unwrap())
        };
        all.insert(path, content);
    }
    all
}

/// Opens twice, after a clean stop and after a kill, and returns what the clean start said.
fn refused(root: &Path, what: &str) -> String {
    let before = contents(root);
    let mut lines = Vec::new();
    for abort in [false, false, true] {
        if abort {
            fs::write(root.join("abort"), "1").unwrap();
        }
        let error = open(config(root)).err().unwrap_or_else(|| panic!("{what}: it starts"));
        lines.push(error.to_string());
        if abort {
            fs::remove_file(root.join("abort")).unwrap();
        }
        assert!(contents(root) == before, "{error}: something changed");
    }
    let line = lines[0].clone();
    assert!(!line.contains('\n'), "{line}");
    assert_eq!(line, lines[1], "the second start says the same");
    assert!(line.starts_with(root.to_str().unwrap()), "{line}");
    line
}

/// Makes one change to a sound store, and undoes it: the store opens as before.
fn check(root: &Path, what: &str, change: impl FnOnce(&Path), expected: &str) {
    let sound = root.with_extension("sound");
    common::copy(root, &sound);
    change(root);
    let line = refused(root, what);
    assert!(line.contains(expected), "{what}: {line}");
    fs::remove_dir_all(root).unwrap();
    fs::rename(&sound, root).unwrap();
}

/// Replaces a file by a directory, which nobody can read as a file, not even the superuser.
fn shut(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

fn resize(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn files_of_the_log() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let file = FIRST_LOG;
    check(
        root,
        "shorter",
        |root| resize(&root.join(file), 65_535),
        "00000000000000000000 at 65535: expected a file of 65536 bytes",
    );
    check(
        root,
        "longer",
        |root| resize(&root.join(file), 65_537),
        "00000000000000000000 at 65536: expected a file of 65536 bytes",
    );
    check(
        root,
        "empty but not the last",
        |root| resize(&root.join(file), 0),
        "00000000000000000000 at 0: expected a file of 65536 bytes",
    );
    for name in
        ["notes.txt", "0000000000000000000", "00000000000000000000.bak", "-0000000000000000001"]
    {
        check(
            root,
            name,
            |root| fs::write(root.join("commitlog").join(name), b"x").unwrap(),
            &format!("{name} at 0: expected a log file"),
        );
    }
    check(
        root,
        "a start that is none",
        |root| fs::write(root.join("commitlog/00000000000000000001"), [1; 65_536]).unwrap(),
        "00000000000000000001 at 0: expected the log file that starts at 65536",
    );
    check(root, "unreadable", |root| shut(&root.join(file)), "00000000000000000000");
    assert_eq!(read_all(&open(config(root)).unwrap(), "T", 0).len(), 250);
}

#[test]
fn files_of_queues() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let file = FIRST_UNITS;
    for len in [1, 1_999, 2_001, 4_000] {
        check(
            root,
            "another size",
            |root| resize(&root.join(file), len),
            &format!("{file} at {len}: expected a file of 2000 bytes"),
        );
    }
    for name in ["notes.txt", "00000000000000000001", "0", "00000000000000002000.tmp"] {
        check(
            root,
            name,
            |root| fs::write(root.join("consumequeue/T/1").join(name), [0; 2_000]).unwrap(),
            &format!("consumequeue/T/1/{name} at 0: expected a file name of 20 digits"),
        );
    }
    check(root, "unreadable", |root| shut(&root.join(file)), file);
    let whole_queue = |root: &Path| {
        fs::remove_dir_all(root.join("consumequeue/T/0")).unwrap();
        fs::write(root.join("consumequeue/T/0"), b"x").unwrap();
    };
    check(root, "a queue that is a file", whole_queue, "consumequeue/T/0");
    let whole_topic = |root: &Path| {
        fs::remove_dir_all(root.join("consumequeue/T")).unwrap();
        fs::write(root.join("consumequeue/T"), b"x").unwrap();
    };
    check(root, "a topic that is a file", whole_topic, "consumequeue/T");
    let all = |root: &Path| {
        fs::remove_dir_all(root.join("consumequeue")).unwrap();
        fs::write(root.join("consumequeue"), b"x").unwrap();
    };
    check(root, "queues that are a file", all, "consumequeue");
    assert_eq!(read_all(&open(config(root)).unwrap(), "T", 0).len(), 250);
}

#[test]
fn files_of_the_index() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let name = fs::read_dir(root.join("index")).unwrap().next().unwrap().unwrap().file_name();
    let name = name.to_str().unwrap();
    let file = &format!("index/{name}");
    let len = fs::metadata(root.join(file)).unwrap().len();
    for len in [1, len - 1, len + 1] {
        check(
            root,
            "another size",
            |root| resize(&root.join(file), len),
            &format!("{file} at {len}: expected an index file of "),
        );
    }
    for name in ["notes.txt", "2026112415215152x", "-1", "20261124152151527.tmp"] {
        check(
            root,
            name,
            |root| fs::write(root.join("index").join(name), b"x").unwrap(),
            &format!("index/{name} at 0: expected an index file"),
        );
    }
    check(
        root,
        "something else of the same length",
        |root| fs::write(root.join(file), vec![0xff; len as usize]).unwrap(),
        &format!("{file} at 36: expected at most 2000 entries"),
    );
    check(root, "unreadable", |root| shut(&root.join(file)), file);
    let all = |root: &Path| {
        fs::remove_dir_all(root.join("index")).unwrap();
        fs::write(root.join("index"), b"x").unwrap();
    };
    check(root, "an index that is a file", all, "index");
    let store = open(config(root)).unwrap();
    assert_eq!(store.query("T", "k", 64, 0, i64::MAX).len(), 64);
}

#[test]
fn checkpoint_lock_and_marker() {
    let directory = stopped();
    let root = &directory.path().join("store");
    for (what, content, expected) in [
        ("too long", vec![0; 4_097], "checkpoint at 4096: expected a checkpoint of 4096 bytes"),
        ("noise", vec![0xa5; 4_096], "checkpoint at 0: expected a time"),
        ("text", b"hello, world".to_vec(), "checkpoint at 0: expected a time"),
        (
            "text behind",
            [vec![0; 100], b"x".to_vec()].concat(),
            "checkpoint at 100: expected zeros",
        ),
    ] {
        let change = |root: &Path| fs::write(root.join("checkpoint"), content).unwrap();
        check(root, what, change, expected);
    }
    check(root, "unreadable", |root| shut(&root.join("checkpoint")), "checkpoint");
    check(root, "unreadable", |root| shut(&root.join("lock")), "lock");
    let marker = |root: &Path| fs::create_dir(root.join("abort")).unwrap();
    let sound = contents(root);
    marker(root);
    let line = open(config(root)).err().unwrap().to_string();
    assert!(line.contains("abort: cannot write") && !line.contains('\n'), "{line}");
    fs::remove_dir(root.join("abort")).unwrap();
    assert!(contents(root) == sound, "something changed");
    assert_eq!(read_all(&open(config(root)).unwrap(), "T", 1).len(), 250);
}

#[test]
fn stores_of_another_kind() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let alone = &directory.path().join("alone");
    for (file, expected) in [
        ("consumequeue/CURRENT", "storeType=defaultRocksDB or rocksdbCQDoubleWriteEnable=true"),
        ("consumequeue_rocksdb/CURRENT", "useSeparateStorePathForRocksdbCQ=true"),
        ("config/topics/CURRENT", "storeType=defaultRocksDB"),
        ("config/subscriptionGroups/CURRENT", "storeType=defaultRocksDB"),
        ("config/consumerOffsets/CURRENT", "storeType=defaultRocksDB"),
        ("config/rdb/CURRENT", "configManagerVersion=v2"),
        ("kvStore/CURRENT", "popConsumerKVServiceInit=true"),
        ("dledger-n0/data/00000000000000000000", "enableDLegerCommitLog=true; it is not read"),
    ] {
        let place = |root: &Path| {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), b"MANIFEST-000005\n").unwrap();
        };
        check(root, file, place, expected);
        // Nothing of ours appears, not even the lock.
        place(alone);
        let line = refused(alone, file);
        assert!(line.contains(expected), "{line}");
        fs::remove_dir_all(alone).unwrap();
    }
    let place = |root: &Path| {
        fs::create_dir_all(root.join("rocksdbstore")).unwrap();
        fs::write(root.join("rocksdbstore/CURRENT"), b"MANIFEST-000005\n").unwrap();
    };
    place(root);
    assert_eq!(read_all(&open(config(root)).unwrap(), "T", 0).len(), 250);
}

/// With `enableConsumeQueueExt` Java puts the address of an extension where the tags code was.
#[test]
fn units_with_an_extension_are_filtered_by_their_records() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let queue = root.join("consumequeue/T/0/00000000000000000000");
    let mut units = fs::read(&queue).unwrap();
    for (number, unit) in units.chunks_exact_mut(20).take(3).enumerate() {
        unit[12..].copy_from_slice(&(i64::MIN + 20 * number as i64).to_be_bytes());
    }
    fs::write(&queue, units).unwrap();
    fs::create_dir_all(root.join("consumequeue_ext/T/0")).unwrap();
    fs::write(root.join("consumequeue_ext/T/0/00000000000000000000"), [1; 60]).unwrap();
    let store = open(config(root)).unwrap();
    let matching = |tags_code: i64| {
        let (topic, queue_id, queue_offset) = ("T", 0, 0);
        let request =
            GetRequest { topic, queue_id, queue_offset, count_max: 32, bytes_max: 1 << 20 };
        store.get(&request, &|code| code == tags_code).count
    };
    // Of the tag `t`, and of no tag.
    assert_eq!((matching(116), matching(0)), (32, 0));
    assert_eq!(read_all(&store, "T", 0).len(), 250);
}

/// The way out of damaged queues or indexes: without their directory they are built again.
#[test]
fn views_whose_directory_is_gone_are_built_again() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let sound = [0, 1].map(|queue_id| read_all(&open(config(root)).unwrap(), "T", queue_id));
    for abort in [false, true] {
        open(config(root)).unwrap().stop().unwrap();
        fs::remove_dir_all(root.join("consumequeue")).unwrap();
        fs::remove_dir_all(root.join("index")).unwrap();
        if abort {
            fs::write(root.join("abort"), "1").unwrap();
        }
        let store = open(config(root)).unwrap();
        assert_eq!([0, 1].map(|queue_id| read_all(&store, "T", queue_id)), sound);
        assert_eq!(store.query("T", "k", 64, 0, i64::MAX).len(), 64);
    }
}

#[test]
fn topics_that_were_deleted_stay_so() {
    for written in [true, false] {
        for stop in [true, false] {
            let directory = scratch();
            let store = open(config(directory.path())).unwrap();
            for n in 0..3 {
                store.put(&message("T", n, b"x")).unwrap();
            }
            if written {
                store.queues().write_tails().unwrap();
            }
            store.delete_topic("T").unwrap();
            if stop {
                store.stop().unwrap();
            }
            drop(store);
            let store = open(config(directory.path())).unwrap();
            assert_eq!(store.max_offset("T", 0), 0, "written {written}, stop {stop}");
            assert_eq!(store.put(&message("T", 0, b"y")).unwrap().queue_offset, 0);
        }
    }
}

/// A kill in the middle of building leaves some files, an abort marker, and the checkpoint that
/// was taken back.
#[test]
fn building_queues_goes_on_after_a_kill() {
    let directory = stopped();
    let root = &directory.path().join("store");
    let sound = [0, 1].map(|queue_id| read_all(&open(config(root)).unwrap(), "T", queue_id));
    fs::remove_dir_all(root.join("consumequeue")).unwrap();
    drop(open(config(root)).unwrap());
    // As far as the building itself had come: neither queue is whole.
    let half = root.join(FIRST_UNITS);
    assert!(half.exists());
    for entry in fs::read_dir(root.join("consumequeue/T/0")).unwrap() {
        let path = entry.unwrap().path();
        if path != half {
            fs::remove_file(path).unwrap();
        }
    }
    fs::remove_dir_all(root.join("consumequeue/T/1")).unwrap();
    let checkpoint = root.join("checkpoint");
    let mut bytes = fs::read(&checkpoint).unwrap();
    bytes[..16].fill(0);
    bytes[64..80].fill(0);
    fs::write(&checkpoint, bytes).unwrap();
    let store = open(config(root)).unwrap();
    assert_eq!([0, 1].map(|queue_id| read_all(&store, "T", queue_id)), sound);
}
