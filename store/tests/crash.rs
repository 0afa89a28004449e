//! Crashes: whatever a kill or a power cut leaves, acknowledged messages are there afterwards and
//! the store goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use common::{Stored, config, copy, message, open, read_all, scratch};
use store::faults::{Action, Faults};
use store::{FlushDiskType, MessageStore, NewMessage, StoreConfig};

fn queues(store: &MessageStore) -> [Vec<Stored>; 2] {
    [read_all(store, "T", 0), read_all(store, "T", 1)]
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn a_kill_loses_nothing_the_system_has() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    let body = vec![b'x'; 500];
    for n in 0..1000 {
        store.put(&message("T", n % 2, &body)).unwrap();
        if n == 400 {
            store.queues().write_tails().unwrap();
        }
    }
    store.log().prepare().unwrap();
    let before = queues(&store);
    let killed = directory.path().join("killed");
    copy(&root, &killed);
    for _ in 0..2 {
        let store = open(config(&killed)).unwrap();
        assert_eq!(queues(&store), before);
        let again = directory.path().join("again");
        copy(&killed, &again);
        drop(store);
        std::fs::remove_dir_all(&killed).unwrap();
        std::fs::rename(&again, &killed).unwrap();
    }
    let store = open(config(&killed)).unwrap();
    let put = store.put(&message("T", 0, b"on")).unwrap();
    assert_eq!((put.queue_offset, put.physical_offset), (500, before_end(&before)));
    store.stop().unwrap();
}

fn before_end(queues: &[Vec<Stored>; 2]) -> i64 {
    let ends = queues.iter().flatten();
    ends.map(|stored| stored.physical_offset + i64::from(stored.size)).max().unwrap()
}

/// The last record cut at each byte, the one before at some: zeros from there on, as a lost page
/// leaves them.
#[test]
fn a_log_cut_at_any_byte_ends_before_the_torn_record() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    let puts: Vec<_> = (0..6)
        .map(|n| store.put(&message("T", n % 2, format!("body {n}").as_bytes())).unwrap())
        .collect();
    let whole = queues(&store);
    let log = |root: &Path| root.join("commitlog/00000000000000000000");
    let from = puts[4].physical_offset as usize;
    let end = puts[5].end as usize;
    let killed = directory.path().join("killed");
    let last = puts[5].physical_offset as usize;
    for cut in (from..last).step_by(19).chain(last..=end) {
        copy(&root, &killed);
        overwrite(&log(&killed), cut as u64, &vec![0; end - cut]);
        let store = open(config(&killed)).unwrap();
        let left = puts[4..].iter().filter(|put| cut as i64 >= put.end).count();
        assert_eq!(store.max_physical_offset(), puts[3 + left].end, "cut at {cut}");
        let expected = [whole[0][..2 + left.min(1)].to_vec(), whole[1][..2 + left / 2].to_vec()];
        assert_eq!(queues(&store), expected, "cut at {cut}");
        let put = store.put(&message("T", 1, b"after")).unwrap();
        assert_eq!(put.queue_offset, 2 + left as i64 / 2);
        assert_eq!(put.physical_offset, puts[3 + left].end);
        store.stop().unwrap();
        drop(store);
        assert_eq!(
            read_all(&open(config(&killed)).unwrap(), "T", 1).last().unwrap().body,
            b"after"
        );
        std::fs::remove_dir_all(&killed).unwrap();
    }
}

/// Valid records behind the end must not come back once the end has moved past a gap.
#[test]
fn a_cut_tail_stays_away() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let puts: Vec<_> =
        (0..5).map(|_| store.put(&message("T", 0, b"0123456789")).unwrap()).collect();
    drop(store);
    let log = directory.path().join("commitlog/00000000000000000000");
    overwrite(&log, puts[1].physical_offset as u64 + 90, b"#");
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_offset("T", 0), 1);
    // As long as the damaged one: the next old record would follow directly.
    assert_eq!(store.put(&message("T", 0, b"abcdefghij")).unwrap().end, puts[1].end);
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_physical_offset(), puts[1].end);
    assert_eq!(read_all(&store, "T", 0).len(), 2);
}

/// Units on disk whose records a power cut took.
#[test]
fn queues_ahead_of_the_log_are_cut_back() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let puts: Vec<_> = (0..500).map(|_| store.put(&message("T", 0, b"x")).unwrap()).collect();
    store.queues().flush().unwrap();
    drop(store);
    let log = directory.path().join("commitlog/00000000000000000000");
    let at = puts[100].physical_offset as usize;
    overwrite(&log, at as u64, &vec![0; 65_536 - at]);
    let second = directory.path().join("commitlog/00000000000000065536");
    if second.exists() {
        std::fs::write(&second, vec![0; 65_536]).unwrap();
    }
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_offset("T", 0), 100);
    assert_eq!(store.put(&message("T", 0, b"y")).unwrap().queue_offset, 100);
    assert_eq!(read_all(&store, "T", 0).len(), 101);
}

/// Files copied one after the other while eight threads write: what was acknowledged before the
/// copy began must be in it.
#[test]
fn a_copy_taken_under_load_holds_what_was_acknowledged() {
    let directory = scratch();
    let root = directory.path().join("store");
    // On a machine with other work a thread may hold the lock for long.
    let patient = StoreConfig { os_page_cache_busy_time_out_mills: 600_000, ..config(&root) };
    let store = Arc::new(open(patient).unwrap());
    let done = AtomicBool::new(false);
    let killed = directory.path().join("killed");
    let acknowledged = std::thread::scope(|scope| {
        for queue in 0..8 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    store.put(&message("T", queue, &[b'x'; 300])).unwrap();
                }
            });
        }
        while store.max_physical_offset() < 1 << 20 {
            std::thread::yield_now();
        }
        let acknowledged: Vec<_> = (0..8).map(|queue| store.max_offset("T", queue)).collect();
        copy(&root, &killed);
        done.store(true, Ordering::Relaxed);
        acknowledged
    });
    let copied = open(config(&killed)).unwrap();
    for (queue, least) in (0..8).zip(acknowledged) {
        let all = read_all(&copied, "T", queue);
        assert!(all.len() as i64 >= least, "queue {queue}");
        assert!(all.iter().zip(0..).all(|(stored, offset)| stored.queue_offset == offset));
    }
}

#[test]
fn the_log_is_on_disk_before_sync_flush_says_so() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.flush_disk_type = FlushDiskType::SyncFlush;
    let store = open(config).unwrap();
    let put = store.put(&message("T", 0, b"x")).unwrap();
    assert!(!store.durable(put.end));
    assert!(store.log().flush().unwrap());
    assert!(store.durable(put.end));
    assert_eq!(store.flushed_offset(), put.end);
    assert!(!store.log().flush().unwrap(), "nothing left");
}

fn zero_sector(path: &Path, number: u64) {
    overwrite(path, number * 512, &[0; 512]);
}

#[test]
fn the_directory_of_a_new_store_is_durable() {
    let directory = scratch();
    let (root, above) = (directory.path().join("store"), directory.path().to_owned());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (seen, made) = (Arc::clone(&calls), root.clone());
    let watch = Faults::observe(directory.path(), move |operation| match operation.action {
        Action::CreateDirectory if operation.path == made => seen.lock().unwrap().push("made"),
        Action::SyncDirectory if operation.path == above => seen.lock().unwrap().push("synced"),
        _ => {}
    });
    drop(open(config(&root)).unwrap());
    drop(watch);
    assert_eq!(*calls.lock().unwrap(), ["made", "synced"]);
}

/// Pages reach the disk in any order: the first of a file may be missing although later files have
/// all of theirs.
#[test]
fn a_log_file_without_its_head_ends_the_log_before_it() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let ends: Vec<_> =
        (0..300).map(|_| store.put(&message("T", 0, &[7; 500])).unwrap().end).collect();
    assert!(store.log().segments().len() > 2);
    drop(store);
    let before = ends.iter().filter(|end| **end <= 64 << 10).count();
    zero_sector(&directory.path().join("commitlog/00000000000000065536"), 0);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(read_all(&store, "T", 0).len(), before);
    assert_eq!(store.put(&message("T", 0, b"on")).unwrap().queue_offset, before as i64);
}

#[test]
fn a_record_without_a_part_of_its_properties_ends_the_log() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let properties = format!("KEYS\u{1}{}\u{2}", "k".repeat(2000));
    for _ in 0..3 {
        let message = NewMessage { properties: &properties, ..message("T", 0, b"") };
        store.put(&message).unwrap();
    }
    drop(store);
    // In the middle of the second one, with all of the third behind it.
    zero_sector(&directory.path().join("commitlog/00000000000000000000"), 6);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(read_all(&store, "T", 0).len(), 1);
}

#[test]
fn properties_that_look_like_a_lost_sector_are_refused() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for (zeros, stored) in [(511, true), (512, false)] {
        let properties = format!("A\u{1}{}b\u{2}", "\0".repeat(zeros));
        let message = NewMessage { properties: &properties, ..message("T", 0, b"") };
        assert_eq!(store.put(&message).is_ok(), stored, "{zeros}");
    }
}

/// Names and lengths of a queue's files reach the disk in any order, too.
#[test]
fn a_queue_is_built_again_from_its_first_lost_file_on() {
    for lost in ["length", "name"] {
        let directory = scratch();
        let store = open(config(directory.path())).unwrap();
        (0..250).for_each(|_| _ = store.put(&message("T", 0, b"x")).unwrap());
        store.queues().write_tails().unwrap();
        drop(store);
        let first = directory.path().join("consumequeue/T/0/00000000000000000000");
        match lost {
            "length" => std::fs::write(&first, b"").unwrap(),
            _ => std::fs::remove_file(&first).unwrap(),
        }
        let store = open(config(directory.path())).unwrap();
        assert_eq!(read_all(&store, "T", 0).len(), 250, "{lost}");
        assert_eq!(store.put(&message("T", 0, b"on")).unwrap().queue_offset, 250);
    }
}

/// A power cut takes names in any order: a start would find a gap between files, and cut the queue
/// there.
#[test]
fn files_of_a_queue_are_deleted_one_after_the_other() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    (0..200).for_each(|_| _ = store.put(&message("T", 0, &[1; 100])).unwrap());
    (0..4).for_each(|_| _ = store.put(&message("U", 0, &[1; 9000])).unwrap());
    store.save_checkpoint().unwrap();
    store.put(&message("T", 0, b"x")).unwrap();
    store.queues().write_tails().unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let queue = directory.path().join("consumequeue/T/0");
    let _watch = Faults::observe(&queue, move |operation| {
        let name = operation.path.file_name().unwrap().to_str().unwrap();
        match operation.action {
            Action::Sync => seen.lock().unwrap().push(format!("sync {name}")),
            Action::SyncDirectory => seen.lock().unwrap().push("sync names".to_owned()),
            Action::Remove => seen.lock().unwrap().push(format!("delete {name}")),
            _ => {}
        }
    });
    store.delete_oldest_file().unwrap().unwrap();
    store.delete_expired_views();
    let expected = [
        "sync 00000000000000004000",
        "sync names",
        "delete 00000000000000000000",
        "sync 00000000000000004000",
        "sync names",
        "delete 00000000000000002000",
    ];
    assert_eq!(*calls.lock().unwrap(), expected);
}

/// The header of an index file counts entries whose pages a power cut took.
#[test]
fn index_entries_that_were_lost_are_made_again() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for n in 0..200 {
        let properties = format!("KEYS\u{1}k{n}\u{2}");
        store.put(&NewMessage { properties: &properties, ..message("T", 0, b"x") }).unwrap();
    }
    while store.build_index() {}
    drop(store);
    let file = std::fs::read_dir(directory.path().join("index")).unwrap().next().unwrap().unwrap();
    // 40 bytes of header, 500 slots: the entries are in the sectors from the 4th on.
    zero_sector(&file.path(), 6);
    let store = open(config(directory.path())).unwrap();
    for n in 0..200 {
        assert_eq!(store.query("T", &format!("k{n}"), 32, 0, i64::MAX).len(), 1, "k{n}");
    }
}

/// A deleted topic has older records in the log: building its queues again would put them in the
/// place of newer ones.
#[test]
fn a_deletion_that_was_cut_short_leaves_other_topics_alone() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for topic in ["A", "B"] {
        (0..150).for_each(|_| _ = store.put(&message(topic, 0, b"old")).unwrap());
    }
    store.delete_topic("A").unwrap();
    store.put(&message("A", 0, b"new")).unwrap();
    store.save_checkpoint().unwrap();
    store.put(&message("B", 0, b"last")).unwrap();
    drop(store);
    // In the middle of deleting B.
    let second = directory.path().join("consumequeue/B/0/00000000000000002000");
    std::fs::remove_file(second).unwrap();
    let store = open(config(directory.path())).unwrap();
    assert_eq!(read_all(&store, "B", 0).len(), 151);
    let bodies = read_all(&store, "A", 0).into_iter().map(|stored| stored.body);
    assert_eq!(bodies.collect::<Vec<_>>(), [b"new"]);
}

#[test]
fn queues_built_again_leave_out_what_was_deleted_before() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    (0..150).for_each(|_| _ = store.put(&message("A", 0, b"old")).unwrap());
    store.delete_topic("A").unwrap();
    (0..3).for_each(|_| _ = store.put(&message("A", 0, b"new")).unwrap());
    store.stop().unwrap();
    drop(store);
    std::fs::remove_dir_all(directory.path().join("consumequeue")).unwrap();
    let store = open(config(directory.path())).unwrap();
    let all = read_all(&store, "A", 0);
    assert!(all.len() == 3 && all.iter().all(|stored| stored.body == b"new"));
}

#[test]
fn an_index_file_that_lost_its_length_does_not_stop_the_start() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for n in 0..4000 {
        let properties = format!("KEYS\u{1}k{n}\u{2}");
        store.put(&NewMessage { properties: &properties, ..message("T", 0, b"x") }).unwrap();
    }
    while store.build_index() {}
    drop(store);
    let index = std::fs::read_dir(directory.path().join("index")).unwrap();
    let mut files: Vec<_> = index.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 2);
    std::fs::write(&files[1], b"").unwrap();
    let store = open(config(directory.path())).unwrap();
    for n in [0, 2500, 3999] {
        assert_eq!(store.query("T", &format!("k{n}"), 32, 0, i64::MAX).len(), 1, "k{n}");
    }
}

#[test]
fn what_a_start_cuts_off_the_index_is_cut_on_disk_before_anything_takes_its_place() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    let puts: Vec<_> = (0..3).map(|_| store.put(&message("T", 0, b"x")).unwrap()).collect();
    while store.build_index() {}
    drop(store);
    let lost = vec![0; (puts[2].end - puts[1].physical_offset) as usize];
    let log = root.join("commitlog/00000000000000000000");
    overwrite(&log, puts[1].physical_offset as u64, &lost);

    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let _faults = Faults::observe(&root.join("index"), move |operation| {
        if matches!(operation.action, Action::Sync) {
            seen.lock().unwrap().push(std::fs::read(operation.path).unwrap()[..40].to_owned());
        }
    });
    let store = open(config(&root)).unwrap();
    assert_eq!(store.max_physical_offset(), puts[1].physical_offset);
    let headers = synced.lock().unwrap();
    let end = headers.last().map(|header| i64::from_be_bytes(header[24..32].try_into().unwrap()));
    assert_eq!(end, Some(puts[0].physical_offset));
}

#[test]
fn a_queue_that_lost_more_files_than_are_always_looked_through_keeps_its_first_ones() {
    const PER_FILE: usize = 100;
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    for n in 0..750 {
        store.put(&message("T", 0, format!("{n}").as_bytes())).unwrap();
        if n == 250 {
            store.save_checkpoint().unwrap();
        }
    }
    store.queues().write_tails().unwrap();
    let before = read_all(&store, "T", 0);
    let cut = directory.path().join("cut");
    copy(&root, &cut);
    for file in 2..8 {
        let from = if file == 2 { 251 % PER_FILE * 20 } else { 0 };
        let path = cut.join(format!("consumequeue/T/0/{:020}", file * PER_FILE * 20));
        overwrite(&path, from as u64, &vec![0; PER_FILE * 20 - from]);
    }
    let store = open(config(&cut)).unwrap();
    assert_eq!(store.min_offset("T", 0), 0);
    assert_eq!(read_all(&store, "T", 0), before);
}

/// Java 4.9.7 looks for the message of a time in the first queue file that was modified then or
/// later: files that were all modified at the start would send it to the first one.
#[test]
fn queue_files_that_are_built_again_keep_their_times() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    for n in 0..350 {
        store.put(&message("T", 0, b"body")).unwrap();
        if n % 100 == 99 {
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
    }
    let last_times = [99, 199, 299].map(|at| read_all(&store, "T", 0)[at].store_timestamp);
    store.queues().write_tails().unwrap();
    let killed = directory.path().join("killed");
    copy(&root, &killed);
    let store = open(config(&killed)).unwrap();
    let modified = |file: i64| {
        let path = killed.join(format!("consumequeue/T/0/{:020}", file * 2000));
        let time = std::fs::metadata(path).unwrap().modified().unwrap();
        time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
    };
    assert_eq!([0, 1, 2].map(modified), last_times);
    store.stop().unwrap();
}
