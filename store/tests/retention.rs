//! What goes with time and on request, and that nobody who reads or stores is hurt by it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use common::{config, message, open, read_all, scratch};
use remoting::protocol::message::Record;
use remoting::protocol::message::record::records;
use runtime::clock::now_ms;
use store::{GetRequest, GetStatus, MessageStore, Put, StoreConfig, retention};

/// Settings with which age alone decides, at no hour.
fn aging(root: &Path) -> StoreConfig {
    StoreConfig {
        file_reserved_time: 72,
        clean_file_forcibly_enable: false,
        disk_max_used_space_ratio: 95,
        delete_when: String::new(),
        os_page_cache_busy_time_out_mills: 600_000,
        ..config(root)
    }
}

/// Puts messages of a topic that is only there to fill files, until there are so many.
fn fill(store: &MessageStore, segments: usize) {
    while store.log().segments().len() < segments {
        store.put(&message("filler", 0, &[b'f'; 4000])).unwrap();
    }
}

fn age(store: &MessageStore, segments: usize, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    for segment in &store.log().segments()[..segments] {
        File::options().write(true).open(segment.path()).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn queues_that_lead_to_nothing_go_on_request() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for topic in ["gone", "kept", "long"] {
        let count = if topic == "long" { 250 } else { 5 };
        (0..count).for_each(|_| _ = store.put(&message(topic, 1, b"x")).unwrap());
    }
    fill(&store, 4);
    store.put(&message("live", 0, b"x")).unwrap();
    let nothing_kept = |_: &str, _: i32| false;
    assert_eq!(store.delete_dead_queues(&nothing_kept).unwrap(), 0);
    store.delete_oldest_file().unwrap();
    store.delete_oldest_file().unwrap();
    // A message that is still there keeps its queue, however many are gone.
    store.put(&message("long", 1, b"new")).unwrap();
    store.delete_expired_views();
    let kept = |topic: &str, queue_id: i32| (topic, queue_id) == ("kept", 1);
    assert_eq!(store.delete_dead_queues(&kept).unwrap(), 1);
    assert_eq!(store.delete_dead_queues(&kept).unwrap(), 0);
    let there = |path: &str| directory.path().join("consumequeue").join(path).exists();
    assert!(there("gone") && !there("gone/1") && there("kept/1") && there("live/0"));
    assert_eq!((store.min_offset("gone", 1), store.max_offset("gone", 1)), (-1, 0));
    assert_eq!((store.min_offset("kept", 1), store.max_offset("kept", 1)), (5, 5));
    assert_eq!((store.min_offset("long", 1), store.max_offset("long", 1)), (250, 251));
    assert_eq!(store.put(&message("gone", 1, b"anew")).unwrap().queue_offset, 0);
    assert_eq!(store.put(&message("kept", 1, b"on")).unwrap().queue_offset, 5);
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(read_all(&store, "gone", 1)[0].body, b"anew");
    assert_eq!(read_all(&store, "kept", 1)[0].queue_offset, 5);
    assert_eq!(read_all(&store, "long", 1)[0].queue_offset, 250);
}

#[test]
fn a_request_deletes_expired_files_at_any_hour_in_several_rounds() {
    let directory = scratch();
    let store = open(StoreConfig { delete_file_batch_max: 2, ..aging(directory.path()) }).unwrap();
    fill(&store, 8);
    age(&store, 5, 73);
    assert_eq!(retention::clean(&store, now_ms()).files, 0);
    assert_eq!(retention::clean_on_request(&store, now_ms()).files, 2);
    let later = [(); 3].map(|()| retention::clean(&store, now_ms()).files);
    assert_eq!(later, [2, 1, 0]);
    // The request lasts for 20 rounds, in Java's way, and no longer.
    age(&store, 1, 73);
    assert_eq!(retention::clean(&store, now_ms()).files, 1);
    (0..20).for_each(|_| _ = retention::clean(&store, now_ms()));
    age(&store, 1, 73);
    assert_eq!(retention::clean(&store, now_ms()).files, 0);
}

const HOUR_MS: i64 = 3_600_000;

/// Puts five messages and returns a time that they are older than and all later ones are not.
fn put_five(store: &MessageStore, topic: &str) -> i64 {
    for _ in 0..5 {
        store.put(&message(topic, 0, b"x")).unwrap();
    }
    std::thread::sleep(Duration::from_millis(3));
    let between = now_ms();
    std::thread::sleep(Duration::from_millis(3));
    between
}

#[test]
fn a_topic_with_a_shorter_time_passes_over_what_is_older() {
    let directory = scratch();
    let store = open(aging(directory.path())).unwrap();
    store.ask_for_topic_times(Box::new(|| vec![("T".to_owned(), HOUR_MS)]));
    let between = put_five(&store, "T");
    put_five(&store, "other");
    let last = put_five(&store, "T");
    retention::clean(&store, between);
    assert_eq!(store.min_offset("T", 0), 0);
    retention::clean(&store, between + HOUR_MS);
    let bounds = |store: &MessageStore| (store.min_offset("T", 0), store.max_offset("T", 0));
    assert_eq!(bounds(&store), (5, 10));
    assert_eq!(store.min_offset("other", 0), 0);
    assert_eq!(store.offset_by_time("T", 0, 0, store::Boundary::Lower), 5);
    assert!(store.earliest_store_time("T", 0) > between);
    let request =
        GetRequest { topic: "T", queue_id: 0, queue_offset: 2, count_max: 32, bytes_max: 1 << 20 };
    let got = store.get(&request, &|_| true);
    assert_eq!((got.status, got.next_offset), (GetStatus::OffsetTooSmall, 5));
    assert_eq!(read_all(&store, "T", 0).len(), 5);
    // A clock that is set back brings nothing back; what all of is too old leaves the end.
    retention::clean(&store, between);
    assert_eq!(bounds(&store), (5, 10));
    retention::clean(&store, last + HOUR_MS);
    assert_eq!(bounds(&store), (10, 10));
    assert_eq!(store.put(&message("T", 0, b"on")).unwrap().queue_offset, 10);
    assert_eq!(bounds(&store), (10, 11));
    // Nothing of it is on disk.
    store.stop().unwrap();
    drop(store);
    let store = open(aging(directory.path())).unwrap();
    assert_eq!(bounds(&store), (0, 11));
    store.ask_for_topic_times(Box::new(|| vec![("T".to_owned(), HOUR_MS)]));
    retention::pass_over(&store, last + HOUR_MS);
    assert_eq!(bounds(&store), (10, 11));
}

#[test]
fn batch_queues_have_a_time_too() {
    let directory = scratch();
    let kind = Box::new(|_: &str| store::QueueKind::Batch);
    let store = MessageStore::open(aging(directory.path()), kind, Box::new(|_| {})).unwrap();
    store.ask_for_topic_times(Box::new(|| vec![("T".to_owned(), HOUR_MS)]));
    let between = put_five(&store, "T");
    let last = put_five(&store, "T");
    retention::clean(&store, between + HOUR_MS);
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (5, 10));
    retention::clean(&store, last + HOUR_MS);
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (10, 10));
}

#[test]
fn a_topic_with_a_longer_time_keeps_log_files_from_age_but_not_from_a_full_disk() {
    let directory = scratch();
    let every_hour = (0..24).map(|hour| hour.to_string()).collect::<Vec<_>>().join(";");
    let config = StoreConfig { delete_when: every_hour, ..aging(directory.path()) };
    let full = StoreConfig { disk_space_expire_free_bytes: i64::MAX, ..config.clone() };
    let store = open(config).unwrap();
    let times = || vec![("T".to_owned(), 100 * HOUR_MS), ("short".to_owned(), HOUR_MS)];
    store.ask_for_topic_times(Box::new(times));
    put_five(&store, "short");
    fill(&store, 3);
    let stored = put_five(&store, "T");
    fill(&store, 6);
    let now = stored + 80 * HOUR_MS;
    // All but the last file are over their time: those before the topic's first message go.
    assert_eq!(retention::clean(&store, now).files, 2);
    assert_eq!(retention::clean(&store, now).files, 0);
    assert_eq!(retention::clean_on_request(&store, now).files, 0);
    assert_eq!(read_all(&store, "T", 0).len(), 5);
    // Others in the same files stay visible.
    assert!(store.min_offset("filler", 0) < store.max_offset("filler", 0));
    assert_eq!(retention::clean(&store, stored + 100 * HOUR_MS).files, 3);
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (5, 5));
    drop(store);
    let store = open(full).unwrap();
    store.ask_for_topic_times(Box::new(times));
    let stored = put_five(&store, "T");
    fill(&store, 4);
    assert_eq!(retention::clean(&store, stored + 80 * HOUR_MS).files, 3);
}

/// A message whose queue is deleted between the look for it and the append is acknowledged: it must
/// be visible all the same.
#[test]
fn a_send_that_waits_while_its_queue_is_deleted_is_not_lost() {
    let directory = scratch();
    let store = open(aging(directory.path())).unwrap();
    store.put(&message("T", 0, b"old")).unwrap();
    let put = std::thread::scope(|scope| {
        let waiting = store.log().paused(|| {
            let waiting = scope.spawn(|| store.put(&message("T", 0, b"new")).unwrap());
            // Until it waits for the log; there is nothing to see of that.
            std::thread::sleep(Duration::from_millis(50));
            store.queues().delete_topic("T").unwrap();
            waiting
        });
        waiting.join().unwrap()
    });
    let all = read_all(&store, "T", 0);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].queue_offset, all[0].physical_offset), (0, put.physical_offset));
}

/// What the threads of the storm share.
struct Storm<'a> {
    store: &'a MessageStore,
    done: AtomicBool,
    /// What was stored, by topic number.
    puts: Mutex<Vec<(usize, Put)>>,
    read: AtomicUsize,
}

/// Topics of the storm: one is deleted again and again, one is rarely sent to, so that its queue
/// is dead at times, one is only read and sent to.
const TOPICS: [&str; 3] = ["deleted", "rare", "steady"];

impl Storm<'_> {
    fn puts(&self) -> MutexGuard<'_, Vec<(usize, Put)>> {
        self.puts.lock().unwrap()
    }

    fn send(&self) {
        for round in 0.. {
            if self.done.load(Ordering::Relaxed) {
                break;
            }
            for (number, topic) in TOPICS.iter().enumerate() {
                if *topic != "rare" || round % 60 == 0 {
                    let put = self.store.put(&message(topic, 0, &[b'b'; 700])).unwrap();
                    self.puts().push((number, put));
                }
            }
        }
    }

    /// Pulls from the first offset on, again and again: whole messages, or another offset.
    fn pull(&self, topic: &str) {
        let mut queue_offset = 0;
        while !self.done.load(Ordering::Relaxed) {
            let request =
                GetRequest { topic, queue_id: 0, queue_offset, count_max: 32, bytes_max: 1 << 20 };
            let got = self.store.get(&request, &|_| true);
            let held: Vec<Vec<u8>> = got.slices.iter().map(|s| s.as_ref().to_vec()).collect();
            for slice in &got.slices {
                for record in records(slice.as_ref()) {
                    self.check(&record.unwrap(), topic, queue_offset);
                }
            }
            assert!((got.status == GetStatus::Found) == (got.count > 0), "{:?}", got.status);
            for (slice, bytes) in got.slices.iter().zip(&held) {
                assert!(slice.as_ref() == bytes, "a slice changed under its reader");
            }
            queue_offset = match got.status {
                GetStatus::Found => got.next_offset,
                // Old offsets are what is asked for: back to where files go.
                _ => self.store.min_offset(topic, 0).max(0),
            };
        }
    }

    fn check(&self, record: &Record<'_>, topic: &str, from: i64) {
        record.verify_crc().unwrap();
        assert_eq!(record.topic, topic);
        assert!(record.queue_offset >= from, "{topic}: {} < {from}", record.queue_offset);
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Every way to delete, in turn, as requests and the service do it at the same time.
    fn delete(&self, seed: usize) {
        for round in seed.. {
            if self.done.load(Ordering::Relaxed) {
                break;
            }
            match round % 4 {
                0 => _ = retention::clean_on_request(self.store, now_ms() + 73 * 3_600_000),
                1 => _ = self.store.delete_dead_queues(&|topic, _| topic == "steady").unwrap(),
                2 => self.store.delete_topic("deleted").unwrap(),
                _ => self.store.delete_expired_views(),
            }
        }
    }

    /// What was stored and is in the log is in its queue; of the topic that was deleted, what was
    /// stored at or behind a log position.
    fn verify(&self, store: &MessageStore, deleted_until: i64) -> [usize; TOPICS.len()] {
        let all = TOPICS.map(|topic| read_all(store, topic, 0));
        let mut checked = [0; TOPICS.len()];
        for (topic, put) in self.puts().iter() {
            let from = if *topic == 0 { deleted_until } else { 0 };
            if put.physical_offset < from.max(store.min_physical_offset()) {
                continue;
            }
            let at = |stored: &&common::Stored| stored.queue_offset == put.queue_offset;
            let stored = all[*topic].iter().find(at);
            let position = stored.map(|stored| stored.physical_offset);
            assert_eq!(position, Some(put.physical_offset), "{} {put:?}", TOPICS[*topic]);
            checked[*topic] += 1;
        }
        checked
    }
}

/// Requests 215, 306, 316 and 329 and the service delete while others send and read: Apache
/// RocketMQ's issues 8405 and 10288 are deaths of the process by that.
#[test]
fn deleting_hurts_nobody_who_reads_or_stores() {
    let directory = scratch();
    let store = open(StoreConfig { delete_file_batch_max: 1, ..aging(directory.path()) }).unwrap();
    let storm = Storm {
        store: &store,
        done: AtomicBool::new(false),
        puts: Mutex::default(),
        read: AtomicUsize::new(0),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| storm.send());
        scope.spawn(|| storm.send());
        let _ = TOPICS.map(|topic| scope.spawn(|| storm.pull(topic)));
        let storm = &storm;
        (0..2).for_each(|seed| _ = scope.spawn(move || storm.delete(seed)));
        scope.spawn(|| {
            while !storm.done.load(Ordering::Relaxed) {
                store.queues().write_tails().unwrap();
                store.save_checkpoint().unwrap();
            }
        });
        let deadline = std::time::Instant::now() + Duration::from_secs(4);
        while std::time::Instant::now() < deadline && store.writable() {
            std::thread::sleep(Duration::from_millis(20));
        }
        storm.done.store(true, Ordering::Relaxed);
    });
    assert!(store.writable());
    assert!(store.min_physical_offset() > 0 && storm.read.load(Ordering::Relaxed) > 0);
    // The last deletion of the topic is over.
    let end = store.max_physical_offset();
    for (number, topic) in TOPICS.iter().enumerate() {
        let put = store.put(&message(topic, 0, b"after")).unwrap();
        storm.puts().push((number, put));
    }
    let checked = storm.verify(&store, end);
    assert!(checked[0] == 1 && checked[1] > 0 && checked[2] > 1, "{checked:?}");
    let killed = scratch();
    let root = killed.path().join("store");
    common::copy(directory.path(), &root);
    let again = open(aging(&root)).unwrap();
    assert_eq!(storm.verify(&again, end), checked);
}
