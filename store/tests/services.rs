//! The store with its background work: group commit, the checkpoint, the index, retention, stop.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::{config, message, open, read_all, scratch};
use runtime::clock::now_ms;
use runtime::services::Services;
use store::faults::Faults;
use store::{FlushDiskType, MessageStore, PutError, StoreConfig, retention};
use tokio::runtime::Handle;

const LONG: Duration = Duration::from_secs(30);

fn started(config: StoreConfig) -> (Arc<MessageStore>, Services) {
    let store = Arc::new(open(config).unwrap());
    let mut services = Services::new(Handle::current());
    store.start(&mut services);
    (store, services)
}

async fn stopped(store: Arc<MessageStore>, services: Services) {
    assert!(services.stop(LONG).await.is_empty());
    store.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_all_who_wait() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.flush_disk_type = FlushDiskType::SyncFlush;
    // The interval alone would take for ever.
    config.flush_interval_commit_log = 600_000;
    let (store, services) = started(config);
    let before = store.log().sync_count();
    let mut waits = Vec::new();
    for n in 0..200 {
        let put = store.put(&message("T", n % 4, b"x")).unwrap();
        let store = Arc::clone(&store);
        waits.push(async move { store.wait_durable(put.end, LONG).await });
    }
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(store.flushed_offset(), store.max_physical_offset());
    assert!(store.log().sync_count() - before < 100, "one sync per message");
    stopped(store, services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_put_needs_no_wait_and_is_flushed_later() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.flush_interval_commit_log = 1;
    config.flush_commit_log_least_pages = 0;
    let (store, services) = started(config);
    let put = store.put(&message("T", 0, b"x")).unwrap();
    assert!(store.durable(put.end));
    store.wait_durable(put.end, Duration::ZERO).await.unwrap();
    tokio::time::timeout(LONG, store.log().flushed().wait_for(put.end)).await.unwrap().unwrap();
    stopped(store, services).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_nobody_waits_for_ever() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.flush_disk_type = FlushDiskType::SyncFlush;
    let store = open(config).unwrap();
    let put = store.put(&message("T", 0, b"x")).unwrap();
    let late = store.wait_durable(put.end, Duration::from_millis(1)).await;
    assert_eq!(late, Err(store::WaitError::TimedOut));
    store.log().poison(directory.path(), "sync", &"a test");
    assert_eq!(store.wait_durable(put.end, LONG).await, Err(store::WaitError::Poisoned));
    assert!(!store.writable());
    assert_eq!(store.put(&message("T", 0, b"y")).unwrap_err(), PutError::Poisoned);
    assert!(matches!(store.stop(), Err(store::StopError::Poisoned)));
    assert!(directory.path().join("abort").exists(), "the next start recovers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_what_java_expects() {
    let directory = scratch();
    let (store, services) = started(config(directory.path()));
    for n in 0..500 {
        store.put(&message("T", n % 4, &[b'x'; 500])).unwrap();
    }
    let (end, last) = store.log().mark();
    stopped(store, services).await;
    let root = directory.path();
    assert!(!root.join("abort").exists());
    let checkpoint = fs::read(root.join("checkpoint")).unwrap();
    let field = |at: usize| i64::from_be_bytes(checkpoint[at..at + 8].try_into().unwrap());
    assert_eq!((field(0), field(8), field(72)), (last, last, end));
    let logs = fs::read_dir(root.join("commitlog")).unwrap().count() as i64;
    assert_eq!(logs, end / 65_536 + 1, "no spare file");
    for queue in 0..4 {
        let path = root.join(format!("consumequeue/T/{queue}"));
        for entry in fs::read_dir(path).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert_eq!(bytes.len(), 2000);
            assert_ne!(bytes[8..12], [0; 4], "a file without a unit");
        }
    }
    let again = open(config(root)).unwrap();
    assert_eq!(read_all(&again, "T", 0).len(), 125);
    assert_eq!(again.query("T", "k", 64, 0, i64::MAX).len(), 64);
}

#[test]
fn the_index_follows_and_a_query_waits_for_it() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for _ in 0..10 {
        store.put(&message("T", 0, b"x")).unwrap();
    }
    assert_eq!(store.dispatch_behind_bytes(), store.max_physical_offset());
    assert_eq!(store.query("T", "k", 64, 0, i64::MAX).len(), 10);
    assert_eq!(store.dispatch_behind_bytes(), 0);
    assert!(store.query("T", "other", 64, 0, i64::MAX).is_empty());
    let last = store.put(&message("T", 0, b"y")).unwrap();
    assert_eq!(store.query("T", "k", 64, 0, i64::MAX).len(), 11);
    assert_eq!(store.index_position(), (last.store_timestamp, last.physical_offset));
}

#[test]
fn expired_files_go_and_queues_follow() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.file_reserved_time = 72;
    // Whatever the disk of this machine says, only age counts here, and at every hour.
    config.clean_file_forcibly_enable = false;
    config.delete_when = (0..24).map(|hour| hour.to_string()).collect::<Vec<_>>().join(";");
    let store = open(config).unwrap();
    while store.log().segments().len() < 5 {
        store.put(&message("T", 0, &[b'x'; 1000])).unwrap();
    }
    let now = now_ms();
    assert_eq!(retention::clean(&store, now).files, 0);
    let old = SystemTime::now() - Duration::from_secs(72 * 3600 + 60);
    for segment in &store.log().segments()[..2] {
        File::options().write(true).open(segment.path()).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(retention::clean(&store, now).files, 2);
    assert_eq!(store.min_physical_offset(), 2 * 65_536);
    let min = store.min_offset("T", 0);
    let all = read_all(&store, "T", 0);
    assert!(min > 0);
    assert_eq!(all[0].queue_offset, min);
    assert!(all[0].physical_offset >= 2 * 65_536);
    // Much later everything but the last file is old.
    assert_eq!(retention::clean(&store, now + 100 * 3_600_000).files, 2);
    assert_eq!(store.log().segments().len(), 1);
    let max = store.max_offset("T", 0);
    store.stop().unwrap();
    drop(store);
    let store = open(common::config(directory.path())).unwrap();
    assert_eq!(store.max_offset("T", 0), max);
    assert_eq!(store.put(&message("T", 0, b"on")).unwrap().queue_offset, max);
}

#[test]
fn a_full_disk_refuses_messages_until_it_has_room() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    store.set_disk_full(true);
    assert!(!store.writable());
    assert_eq!(store.put(&message("T", 0, b"x")).unwrap_err(), store::PutError::DiskFull);
    store.set_disk_full(false);
    store.put(&message("T", 0, b"x")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_looked_for_from_the_moment_there_is_none() {
    let directory = scratch();
    let (store, services) = started(config(directory.path()));
    for _ in 0..2 {
        store.set_disk_full(true);
        let begun = Instant::now();
        while !store.writable() {
            assert!(begun.elapsed() < LONG, "nobody looks");
            tokio::task::yield_now().await;
        }
    }
    stopped(store, services).await;
}

#[test]
fn a_deleted_topic_does_not_come_back_after_a_crash() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for _ in 0..10 {
        store.put(&message("old", 0, b"x")).unwrap();
        store.put(&message("kept", 0, b"x")).unwrap();
    }
    store.delete_topic("old").unwrap();
    store.put(&message("kept", 0, b"x")).unwrap();
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.min_offset("old", 0), -1);
    assert_eq!(read_all(&store, "kept", 0).len(), 11);
    assert_eq!(store.put(&message("old", 0, b"new")).unwrap().queue_offset, 0);
}

#[test]
fn the_runtime_lines_are_there() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let end = store.put(&message("T", 0, b"x")).unwrap().end;
    let lines = store.runtime();
    let line = |key| lines.iter().find(|line| line.0 == key).unwrap().1.clone();
    assert_eq!(line("commitLogMaxOffset"), end.to_string());
    assert_eq!(line("remainHowManyDataToFlush"), end.to_string());
    assert!((0.0..=1.0).contains(&line("commitLogDiskRatio").parse::<f64>().unwrap()));
}

#[test]
fn nothing_is_accepted_from_the_moment_a_queue_could_not_be_synced() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for queue_id in 0..2 {
        store.put(&message("T", queue_id, b"one")).unwrap();
    }
    let faults = Faults::on(directory.path());
    faults.set("fdatasync:1:EIO:queue/T/0/, fdatasync:1:slow=1000:queue/T/1/").unwrap();
    std::thread::scope(|scope| {
        let saved = scope.spawn(|| store.save_checkpoint());
        while faults.hits() < 2 {
            assert!(!saved.is_finished(), "both queues are synced");
            std::thread::yield_now();
        }
        let refused = store.put(&message("T", 1, b"two"));
        assert!(matches!(refused, Err(PutError::Poisoned)) && !saved.is_finished());
        assert!(saved.join().unwrap().is_err());
    });
}

#[test]
fn a_queue_that_could_not_be_written_is_in_no_later_checkpoint() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let faults = Faults::on(directory.path());
    faults.set("open:1:EIO:consumequeue").unwrap();
    store.put(&message("T", 0, b"one")).unwrap();
    assert!(store.queues().write_tails().is_err());
    assert!(store.save_checkpoint().is_err());
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(read_all(&store, "T", 0).len(), 1);
}

#[test]
fn a_checkpoint_waits_for_who_writes_or_syncs_the_queues() {
    for slow in ["pwrite:1:slow=500:consumequeue", "fdatasync:1:slow=500:consumequeue"] {
        let directory = scratch();
        let store = open(config(directory.path())).unwrap();
        store.put(&message("T", 0, b"one")).unwrap();
        let faults = Faults::on(directory.path());
        faults.set(slow).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| match slow.starts_with("pwrite") {
                true => drop(store.queues().write_tails().unwrap()),
                false => store.save_checkpoint().unwrap(),
            });
            while faults.hits() == 0 {
                assert!(!first.is_finished());
                std::thread::yield_now();
            }
            let begun = Instant::now();
            store.save_checkpoint().unwrap();
            assert!(begun.elapsed() > Duration::from_millis(300), "{slow}: it did not wait");
        });
    }
}
