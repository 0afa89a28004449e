//! Bugs of Apache RocketMQ's store that its issue list records, each as a test that fails with
//! the bug.
//!
//! Not here, as they need replicas:
//! - issues 1155 and 3349: a slave reports an offset ahead of the master's; nobody reports one.
//! - issue 5663: acknowledged by a replica set that the elected master was not in.
//! - issue 6662: two masters after a partition.
//! - issue 9689: the epoch file lacks an epoch; there is none.
//!
//! Issue 4771, consumer offsets ahead of a truncated log, is tested where offsets are:
//! `broker/src/offsets.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::{config, copy, message, open, read_all, scratch};
use remoting::protocol::message::Record;
use store::commit_log::Found;
use store::faults::{Action, Faults};
use store::json_file::JsonFile;
use store::{GetRequest, GetStatus, MessageStore, PutError, StoreConfig};

const LOG: &str = "commitlog/00000000000000000000";

fn overwrite(path: &Path, at: i64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

/// Puts `count` messages into four queues in turn and returns where each starts.
fn fill(store: &MessageStore, count: i32) -> Vec<i64> {
    let put = |n| store.put(&message("T", n % 4, format!("message {n}").as_bytes()));
    (0..count).map(|n| put(n).unwrap().physical_offset).collect()
}

/// Recovery ended the log at the confirmed offset but left the queues' units behind it. New
/// messages took the queue offsets of units that were still there, and consumers never saw them.
#[test]
fn issue_7689_new_messages_do_not_share_offsets_with_units_of_a_cut_log() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    let starts = fill(&store, 200);
    store.queues().flush().unwrap();
    drop(store);
    for kept in [0, 1, 3, 97, 150, 199] {
        let cut = directory.path().join("cut");
        copy(&root, &cut);
        let lost = vec![0; (64 << 10) - starts[kept] as usize];
        overwrite(&cut.join(LOG), starts[kept], &lost);
        let store = open(config(&cut)).unwrap();
        for queue in 0..4 {
            let left = (0..kept as i32).filter(|n| n % 4 == queue).count() as i64;
            assert_eq!(store.max_offset("T", queue), left, "queue {queue} of {kept}");
            let put = store.put(&message("T", queue, b"new")).unwrap();
            assert_eq!(put.queue_offset, left, "queue {queue} of {kept}");
            let all = read_all(&store, "T", queue);
            assert_eq!(all.len() as i64, left + 1);
            assert!(all.iter().zip(0..).all(|(stored, offset)| stored.queue_offset == offset));
            assert_eq!(all[left as usize].body, b"new");
        }
        drop(store);
        std::fs::remove_dir_all(&cut).unwrap();
    }
}

/// At a restart queues were built past the offset where recovery had ended the log, from records
/// that were cut afterwards.
#[test]
fn issue_6609_queues_are_not_built_beyond_the_end_of_the_log() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let starts = fill(&store, 40);
    drop(store);
    // The records behind the torn one are whole, and no queue has any unit on disk.
    overwrite(&directory.path().join(LOG), starts[10], b"torn");
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_physical_offset(), starts[10]);
    for queue in store.queues().all() {
        assert!(queue.max_physical_offset() <= starts[10], "queue {}", queue.id());
    }
    let counts: Vec<_> = (0..4).map(|queue| store.max_offset("T", queue)).collect();
    assert_eq!(counts, [3, 3, 2, 2]);
}

/// A truncation changed positions in memory only: the records behind it stayed valid on disk, and
/// came back after the next crash. The zeros must be on disk before the first new append.
#[test]
fn issue_10666_what_was_cut_is_gone_from_the_disk_before_the_first_append() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let starts = fill(&store, 40);
    drop(store);
    let log = directory.path().join(LOG);
    overwrite(&log, starts[10], b"torn");
    let changes = Arc::new(Mutex::new(Vec::new()));
    let (seen, watched) = (Arc::clone(&changes), log.clone());
    let watch = Faults::observe(directory.path(), move |operation| {
        if operation.path != watched {
            return;
        }
        match operation.action {
            Action::Write { .. } | Action::PunchHole { .. } => seen.lock().unwrap().push("change"),
            Action::Sync => seen.lock().unwrap().push("sync"),
            _ => {}
        }
    });
    let store = open(config(directory.path())).unwrap();
    drop(watch);
    let changes = changes.lock().unwrap();
    assert!(changes.contains(&"change"), "{changes:?}");
    assert_eq!(changes.last(), Some(&"sync"), "{changes:?}");
    let bytes = std::fs::read(&log).unwrap();
    assert!(bytes[starts[10] as usize..].iter().all(|&byte| byte == 0));
    // A crash right now, and one after an append as long as what was torn.
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_physical_offset(), starts[10]);
    let put = store.put(&message("T", 2, b"message 10")).unwrap();
    assert_eq!(put.end, starts[11]);
    drop(store);
    assert_eq!(open(config(directory.path())).unwrap().max_physical_offset(), starts[11]);
}

/// A full disk under a mapping ended the process with SIGBUS. It must be an answer, leave what is
/// stored readable, and end with the want of room.
#[test]
fn issue_3511_a_full_disk_is_an_answer_and_no_signal() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    fill(&store, 8);
    let faults = Faults::on(directory.path());
    faults.set("fallocate:1+:ENOSPC,ftruncate:1+:ENOSPC,pwrite:1+:ENOSPC").unwrap();
    let body = vec![b'x'; 30_000];
    let refused = (0..4).find_map(|_| store.put(&message("T", 0, &body)).err());
    assert_eq!(refused, Some(PutError::DiskFull));
    for queue in 0..4 {
        let request = GetRequest {
            topic: "T",
            queue_id: queue,
            queue_offset: 0,
            count_max: 32,
            bytes_max: 1 << 20,
        };
        assert_eq!(store.get(&request, &|_| true).status, GetStatus::Found);
    }
    faults.set("").unwrap();
    let put = store.put(&message("T", 1, b"on")).unwrap();
    assert_eq!(put.queue_offset, 2);
    assert_eq!(read_all(&store, "T", 1).len(), 3);
}

/// Queue files were unmapped while a writer, a reader or the cleaner was at them: SIGSEGV. What
/// a reader holds must stay readable, and writers go on.
#[test]
fn issue_10288_deleting_files_under_writers_and_readers_hurts_nobody() {
    let directory = scratch();
    let patient =
        StoreConfig { os_page_cache_busy_time_out_mills: 600_000, ..config(directory.path()) };
    let store = open(patient).unwrap();
    let done = AtomicBool::new(false);
    let body = [b'b'; 700];
    let hold = |queue_offset| {
        let request =
            GetRequest { topic: "T", queue_id: 0, queue_offset, count_max: 32, bytes_max: 1 << 20 };
        store.get(&request, &|_| true)
    };
    std::thread::scope(|scope| {
        for queue in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    store.put(&message("T", queue, &body)).unwrap();
                    store.put(&message("U", queue, &body)).unwrap();
                }
            });
        }
        let mut deleted = 0;
        while deleted < 20 {
            let held = hold(store.min_offset("T", 0));
            let before: Vec<_> = held.slices.iter().map(|slice| slice.as_ref().to_vec()).collect();
            deleted += usize::from(store.delete_oldest_file().unwrap().is_some());
            store.delete_expired_views();
            store.delete_topic("U").unwrap();
            for (slice, bytes) in held.slices.iter().zip(&before) {
                assert!(slice.as_ref() == bytes, "a slice changed under its reader");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(store.writable());
    // A writer may have stored nothing since the file with its last message went.
    for queue in 0..2 {
        let mut there = Vec::new();
        let mut records = store.log().records(store.min_physical_offset());
        while let Found::Record(slice) = records.advance() {
            let record = Record::decode(slice.as_ref()).unwrap();
            if (record.topic, record.queue_id) == ("T", queue) {
                there.push(record.queue_offset);
            }
        }
        let read: Vec<_> =
            read_all(&store, "T", queue).iter().map(|stored| stored.queue_offset).collect();
        assert_eq!(read, there);
        let min = there.first().copied().unwrap_or(store.max_offset("T", queue));
        assert_eq!(store.min_offset("T", queue), min);
    }
    assert!(store.min_physical_offset() > 0);
}

type Offsets = BTreeMap<String, i64>;

/// A power cut left garbage in `delayOffset.json` and `consumerOffset.json`: written in place and
/// not synced. The broker did not start, and without the files all offsets were lost.
#[test]
fn issue_3401_garbage_in_a_settings_file_costs_one_generation_at_most() {
    let directory = scratch();
    let path = directory.path().join("config/consumerOffset.json");
    for offset in [5, 6] {
        JsonFile::save(&path, &Offsets::from([("T@G".to_owned(), offset)])).unwrap();
    }
    for garbage in [&[0; 64][..], &[0xff; 64], b"\x7b\x00\x9c\xe4", b"{\"T@G\":7"] {
        std::fs::write(&path, garbage).unwrap();
        let loaded: Option<Offsets> = JsonFile::load(&path).unwrap();
        assert_eq!(loaded.unwrap()["T@G"], 5, "{garbage:?}");
        assert_eq!(std::fs::read(path.with_extension("json.damaged")).unwrap(), garbage);
    }
}

/// The same file was damaged because it was overwritten in place, and its copy with it. A new
/// generation must be whole and on disk before it takes the name, whatever fails on the way.
#[test]
fn issue_6096_a_save_that_fails_anywhere_leaves_a_whole_generation() {
    let directory = scratch();
    let path = directory.path().join("config/delayOffset.json");
    JsonFile::save(&path, &Offsets::from([("T".to_owned(), 0)])).unwrap();
    let faults = Faults::on(directory.path());
    let mut former = 0;
    let mut failed = 0;
    for call in ["open", "pwrite", "fdatasync", "rename"] {
        for number in 1..=3 {
            let next = former + 1;
            faults.set(&format!("{call}:{number}:EIO")).unwrap();
            let saved = JsonFile::save(&path, &Offsets::from([("T".to_owned(), next)]));
            failed += usize::from(saved.is_err());
            faults.set("").unwrap();
            let found = JsonFile::load::<Offsets>(&path).unwrap().unwrap()["T"];
            assert!(found == next || found == former && saved.is_err(), "{call} {number}");
            former = found;
        }
    }
    assert!(failed >= 4, "{failed}");
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let watch = Faults::observe(directory.path(), move |operation| match operation.action {
        Action::Sync => seen.lock().unwrap().push("sync"),
        Action::Rename { .. } => seen.lock().unwrap().push("rename"),
        Action::SyncDirectory => seen.lock().unwrap().push("sync names"),
        _ => {}
    });
    JsonFile::save(&path, &Offsets::new()).unwrap();
    drop(watch);
    assert_eq!(*order.lock().unwrap(), ["sync", "rename", "rename", "sync names"]);
}
