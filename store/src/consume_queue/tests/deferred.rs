//! Queues that are loaded when they are used, and flushed in rounds.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::fixture::Fixture;
use crate::QueueKind;
use crate::dispatch::{Dispatch, ViewError};
use crate::faults::{Action, Faults};

const KINDS: [(QueueKind, i64); 2] = [(QueueKind::Simple, 400), (QueueKind::Batch, 920)];

/// Five queues: what is before the returned log position is synced, what is behind is written.
fn written(kind: QueueKind, file_size: i64) -> (Fixture, i64) {
    let mut fixture = Fixture::with_many(kind, file_size, 2);
    for id in 0..5 {
        fixture.append("T", id, 15);
    }
    fixture.queues.flush().unwrap();
    let from = fixture.log_end;
    for id in 0..5 {
        fixture.append("T", id, 10);
    }
    fixture.queues.flush().unwrap();
    (fixture, from)
}

/// What a start does after a kill.
fn replay(fixture: &Fixture, from: i64) -> Result<(), ViewError> {
    fixture.queues.truncate_to(from)?;
    let behind = |physical_offset: &i64| *physical_offset >= from;
    for record in fixture.log.iter().filter(|record| behind(&record.physical_offset)) {
        fixture.queues.dispatch(&record.request())?;
    }
    fixture.queues.correct_min_offsets(0)
}

fn check(fixture: &Fixture) {
    for id in 0..5 {
        let queue = fixture.queue("T", id);
        let records: Vec<_> = fixture.log.iter().filter(|record| record.queue_id == id).collect();
        let units: Vec<_> = queue.units_from(0).unwrap().map(Result::unwrap).collect();
        assert_eq!(units.len(), records.len());
        for (unit, record) in units.iter().zip(records) {
            assert!(unit.describes(("T", id), &record.request()), "{unit:?} {record:?}");
        }
        assert_eq!(queue.next_offset(), fixture.next[&("T".to_owned(), id)]);
    }
}

#[test]
fn what_a_kill_left_as_the_log_says_is_synced_and_not_written_again() {
    for (kind, file_size) in KINDS {
        let (mut fixture, from) = written(kind, file_size);
        let (changes, syncs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (changed, synced) = (Arc::clone(&changes), Arc::clone(&syncs));
        let _watch = Faults::observe(&fixture.path(""), move |operation| {
            match operation.action {
                Action::Open { .. } | Action::Map => {}
                Action::Sync => _ = synced.fetch_add(1, Ordering::Relaxed),
                Action::SyncDirectory => {}
                _ => _ = changed.fetch_add(1, Ordering::Relaxed),
            };
        });
        fixture.reopen(false);
        replay(&fixture, from).unwrap();
        check(&fixture);
        fixture.queues.flush().unwrap();
        assert_eq!(changes.load(Ordering::Relaxed), 0, "nothing is written or deleted");
        assert!(syncs.load(Ordering::Relaxed) >= 5, "nobody knows that it is on disk");
    }
}

#[test]
fn what_the_log_does_not_say_is_cut_before_the_next_checkpoint() {
    for (kind, file_size) in KINDS {
        let (mut fixture, from) = written(kind, file_size);
        // A power cut took the end of the log, not that of the queues; other records came.
        fixture.log.retain(|record| record.physical_offset < from + 500);
        fixture.next.clear();
        for record in &fixture.log {
            let next = record.queue_offset + i64::from(record.batch_size);
            fixture.next.insert((record.topic.clone(), record.queue_id), next);
        }
        fixture.log_end = fixture.log.last().unwrap().request().physical_end();
        fixture.reopen(false);
        replay(&fixture, from).unwrap();
        assert!(!fixture.queues.write_tails().unwrap(), "there are too many for a tick");
        fixture.append("T", 3, 1);
        fixture.queues.flush().unwrap();
        // From here on everything before the end of the log counts as right.
        fixture.reopen(false);
        fixture.queues.truncate_to(fixture.log_end).unwrap();
        check(&fixture);
        fixture.reopen(true);
        check(&fixture);
    }
}

#[test]
fn a_unit_torn_by_a_kill_is_written_again() {
    let (mut fixture, from) = written(QueueKind::Simple, 400);
    let path = fixture.path("consumequeue/T/4/00000000000000000400");
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.clone();
    // The tags code of the last unit.
    bytes[92..].fill(0);
    assert_ne!(bytes, whole);
    fs::write(&path, &bytes).unwrap();
    fixture.reopen(false);
    replay(&fixture, from).unwrap();
    check(&fixture);
    fixture.queues.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_queue_that_lacks_units_says_so_once_and_can_be_built_again() {
    let (mut fixture, from) = written(QueueKind::Simple, 400);
    let path = fixture.path("consumequeue/T/1/00000000000000000000");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0);
    fs::write(&path, &bytes).unwrap();
    fixture.reopen(false);
    replay(&fixture, from).unwrap();
    let lacking = fixture.queues.load_all().unwrap_err();
    assert!(matches!(lacking, ViewError::Gap { expected: 5, got: 15, .. }), "{lacking}");
    fixture.queues.truncate_topic("T", 0).unwrap();
    replay(&fixture, 0).unwrap();
    check(&fixture);
}

#[test]
fn a_queue_that_cannot_be_loaded_is_missing_and_its_file_named() {
    let (mut fixture, from) = written(QueueKind::Simple, 400);
    fs::write(fixture.path("consumequeue/T/2/hello"), "").unwrap();
    fixture.reopen(false);
    replay(&fixture, from).unwrap();
    assert!(fixture.queues.find("T", 2).is_none());
    let error = fixture.queues.flush().unwrap_err().to_string();
    assert!(error.contains("T/2/hello at 0: expected a file name"), "{error}");
    fs::remove_file(fixture.path("consumequeue/T/2/hello")).unwrap();
    fixture.queues.flush().unwrap();
    check(&fixture);
}

#[test]
fn a_flush_can_be_ended_between_two_rounds() {
    let mut fixture = Fixture::with_many(QueueKind::Simple, 400, 10);
    for id in 0..35 {
        fixture.append("T", id, 1);
    }
    assert!(!fixture.queues.write_tails().unwrap(), "too many buffers wait for the flush");
    let on_disk = |fixture: &Fixture| fs::read_dir(fixture.path("consumequeue/T")).unwrap().count();
    let left = Mutex::new(2);
    let stop = || {
        let mut left = left.lock().unwrap();
        *left -= 1;
        *left == 0
    };
    let written = Mutex::new(0);
    let between = || {
        let mut written = written.lock().unwrap();
        // Nobody who goes first is kept waiting: the queue is not locked.
        assert!(fixture.queue("T", *written).lock().files.tail.is_empty());
        *written += 1;
    };
    assert!(!fixture.queues.flush_unless(&stop, &between).unwrap());
    assert_eq!((on_disk(&fixture), *written.lock().unwrap()), (20, 20));
    assert!(fixture.queues.flush_unless(&|| false, &|| {}).unwrap());
    assert_eq!(on_disk(&fixture), 35);
    fixture.append("T", 3, 1);
    assert!(fixture.queues.write_tails().unwrap(), "their buffers were given back");
}
