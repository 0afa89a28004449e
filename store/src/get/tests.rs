//! Scans of small queues.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;
use crate::consume_queue::{Queues, QueuesConfig};
use crate::dispatch::{Dispatch, DispatchRequest};

/// A queue of records of 100 bytes, each directly behind the other, tags code = offset % 3.
struct Fixture {
    _dir: tempfile::TempDir,
    queues: Queues,
    kind: QueueKind,
    log: LogBounds,
}

impl Fixture {
    fn new(kind: QueueKind, records: i64) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let config = QueuesConfig {
            root: dir.path().to_owned(),
            simple_file_size: 200,
            batch_file_size: 460,
            open_files_max: 4,
            many: 1000,
            light: false,
        };
        let queues = Queues::open(config, Box::new(move |_| kind), true).unwrap();
        let mut fixture = Fixture { _dir: dir, queues, kind, log: LogBounds { min: 0, max: 0 } };
        (0..records).for_each(|_| fixture.append(100));
        fixture
    }

    fn append(&mut self, size: i32) {
        self.dispatch(size);
        self.log.max += i64::from(size);
    }

    /// Appends the unit of a record that stands where the log ended.
    fn dispatch(&self, size: i32) {
        let queue_offset = self.queues.find("T", 0).map_or(0, |queue| queue.next_offset());
        self.queues
            .dispatch(&DispatchRequest {
                topic: "T",
                queue_id: 0,
                physical_offset: self.log.max,
                size,
                tags_code: queue_offset % 3,
                store_timestamp: 1,
                queue_offset,
                sys_flag: 0,
                properties: "",
                batch_size: if self.kind == QueueKind::Batch { 4 } else { 1 },
            })
            .unwrap();
    }

    fn scan(&self, queue_offset: i64, count_max: i32, filter: &dyn Fn(i64) -> bool) -> Scanned {
        self.scan_bytes(queue_offset, count_max, i32::MAX, filter)
    }

    fn scan_bytes(
        &self,
        queue_offset: i64,
        count_max: i32,
        bytes_max: i32,
        filter: &dyn Fn(i64) -> bool,
    ) -> Scanned {
        let request = GetRequest { topic: "T", queue_id: 0, queue_offset, count_max, bytes_max };
        let queue = self.queues.find("T", 0);
        let limits = ScanLimits { memory_bytes: 5000, ..ScanLimits::default() };
        let bounds = || self.log;
        scan(
            queue.as_deref(),
            &request,
            &limits,
            bounds,
            By::Units,
            |unit| filter(unit.tags_code),
            &KNOWN,
        )
        .unwrap()
    }
}

/// Nothing has to be looked at.
const KNOWN: Look<'_> =
    Look { at_once: false, known: &|_, _| true, intact: &|_, _| true, touch: &|_, _, _| true };

fn all(_: i64) -> bool {
    true
}

fn status_and_next(scanned: &Scanned) -> (GetStatus, i64) {
    (scanned.status, scanned.next_offset)
}

#[test]
fn what_arrives_during_a_scan_is_left_for_the_next() {
    let fixture = Fixture::new(QueueKind::Simple, 10);
    let queue = fixture.queues.find("T", 0);
    let request =
        GetRequest { topic: "T", queue_id: 0, queue_offset: 4, count_max: 32, bytes_max: i32::MAX };
    // The log is not read anew for the record that came: its unit must not count as gone.
    let arrives = || {
        fixture.dispatch(100);
        fixture.log
    };
    let limits = ScanLimits::default();
    let scanned =
        scan(queue.as_deref(), &request, &limits, arrives, By::Units, |_| true, &KNOWN).unwrap();
    assert_eq!(status_and_next(&scanned), (GetStatus::Found, 10));
    assert_eq!((scanned.count, scanned.max_offset), (6, 10));
}

#[test]
fn the_bounds_decide_before_anything_is_read() {
    let fixture = Fixture::new(QueueKind::Simple, 10);
    fixture.queues.correct_min_offsets(300).unwrap();
    for (offset, status, next) in [
        (-1, GetStatus::OffsetTooSmall, 3),
        (2, GetStatus::OffsetTooSmall, 3),
        (10, GetStatus::OffsetOverflowOne, 10),
        (11, GetStatus::OffsetOverflowBadly, 10),
        (i64::MAX, GetStatus::OffsetOverflowBadly, 10),
    ] {
        let scanned = fixture.scan(offset, 32, &all);
        assert_eq!(status_and_next(&scanned), (status, next), "{offset}");
        assert_eq!((scanned.min_offset, scanned.max_offset), (3, 10));
        assert!(scanned.runs.is_empty());
    }
    let empty = Fixture::new(QueueKind::Simple, 0);
    let scanned = empty.scan(5, 32, &all);
    assert_eq!(status_and_next(&scanned), (GetStatus::NoMessageInQueue, 0));
}

#[test]
fn neighbours_are_one_run_and_a_pull_has_at_most_32_recent_or_8_old_messages() {
    let fixture = Fixture::new(QueueKind::Simple, 200);
    // The last 50 records are within the 5,000 bytes that count as memory.
    let recent = fixture.scan(160, 100, &all);
    assert_eq!(status_and_next(&recent), (GetStatus::Found, 192));
    assert_eq!(recent.runs[..], [Run { physical_offset: 16_000, len: 3200 }]);
    assert_eq!((recent.count, recent.bytes, recent.from_disk), (32, 3200, false));
    let old = fixture.scan(0, 100, &all);
    assert_eq!((old.count, old.next_offset, old.from_disk), (8, 8, true));
    let few = fixture.scan(160, 5, &all);
    assert_eq!((few.count, few.next_offset), (5, 165));
}

#[test]
fn bytes_are_bounded_but_one_message_always_comes() {
    let mut fixture = Fixture::new(QueueKind::Simple, 0);
    for size in [150, 150, 4000, 100] {
        fixture.append(size);
    }
    let scanned = fixture.scan_bytes(0, 32, 299, &all);
    assert_eq!((scanned.count, scanned.next_offset), (1, 1));
    let scanned = fixture.scan_bytes(0, 32, 300, &all);
    assert_eq!((scanned.count, scanned.bytes), (2, 300));
    let large = fixture.scan_bytes(2, 32, 1, &all);
    assert_eq!((large.count, large.bytes, large.next_offset), (1, 4000, 3));
}

#[test]
fn a_filter_makes_progress_over_800_units() {
    let fixture = Fixture::new(QueueKind::Simple, 2000);
    let none = fixture.scan(100, 32, &|_| false);
    assert_eq!(status_and_next(&none), (GetStatus::NoMatchedMessage, 900));
    let thirds = fixture.scan(1960, 32, &|tags| tags == 0);
    assert_eq!((thirds.count, thirds.next_offset), (13, 2000));
    assert_eq!(thirds.runs.len(), 13);
    assert_eq!(thirds.runs[0], Run { physical_offset: 196_200, len: 100 });
}

#[test]
fn records_gone_from_the_log_are_passed_over() {
    let mut fixture = Fixture::new(QueueKind::Simple, 20);
    fixture.log.min = 1000;
    let scanned = fixture.scan(4, 32, &all);
    assert_eq!((scanned.count, scanned.next_offset), (10, 20));
    fixture.log.min = 2000;
    let scanned = fixture.scan(4, 32, &all);
    assert_eq!(status_and_next(&scanned), (GetStatus::MessageWasRemoving, 20));
}

#[test]
fn a_missing_file_sends_the_reader_to_the_next_one() {
    let fixture = Fixture::new(QueueKind::Simple, 30);
    fixture.queues.flush().unwrap();
    let root = fixture._dir.path();
    std::fs::remove_file(root.join("consumequeue/T/0/00000000000000000200")).unwrap();
    let config = QueuesConfig {
        root: root.to_owned(),
        simple_file_size: 200,
        batch_file_size: 460,
        open_files_max: 4,
        many: 1000,
        light: false,
    };
    let queues = Queues::open(config, Box::new(|_| QueueKind::Simple), true).unwrap();
    let fixture = Fixture { queues, ..fixture };
    let scanned = fixture.scan(13, 32, &all);
    assert_eq!(status_and_next(&scanned), (GetStatus::OffsetFoundNull, 20));
    assert_eq!(fixture.scan(20, 32, &all).count, 10);
}

#[test]
fn batches_count_their_messages_and_come_whole() {
    let fixture = Fixture::new(QueueKind::Batch, 20);
    let scanned = fixture.scan(6, 10, &all);
    assert_eq!((scanned.count, scanned.next_offset), (8, 12));
    assert_eq!(scanned.runs[..], [Run { physical_offset: 100, len: 200 }]);
    let one = fixture.scan(6, 1, &all);
    assert_eq!((one.count, one.next_offset), (4, 8), "one batch comes however large it is");
}

/// Units that no record of the queue has: fillers, those of an extension, damaged ones.
fn foreign_unit() -> impl Strategy<Value = (i64, i32, i64)> {
    let position = prop::sample::select(vec![-1, 0, 100, 5000, i64::MAX]);
    let size = prop::sample::select(vec![i32::MIN, -1, 0, 100, 3000, i32::MAX]);
    let tags_code = prop::sample::select(vec![i64::MIN, -1, 0, 1, 1 << 32]);
    prop_oneof![Just((0, i32::MAX, 0)), Just((100, 100, i64::MIN)), (position, size, tags_code)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the limits: every matching message once, in order, and an end.
    #[test]
    fn following_the_next_offset_finds_everything(
        records in 1..300_i64,
        count_max in -1..50_i32,
        bytes_max in 0..2000_i32,
        tags in 0..4_i64,
    ) {
        let fixture = Fixture::new(QueueKind::Simple, records);
        let mut offset = 0;
        let mut found = Vec::new();
        while offset < records {
            let scanned = fixture.scan_bytes(offset, count_max, bytes_max, &|code| code == tags);
            prop_assert!(scanned.next_offset > offset);
            offset = scanned.next_offset;
            for run in &scanned.runs {
                let last = run.physical_offset + run.len as i64;
                found.extend((run.physical_offset..last).step_by(100).map(|at| at / 100));
            }
        }
        let wanted: Vec<i64> = (0..records).filter(|offset| offset % 3 == tags).collect();
        prop_assert_eq!(found, wanted);
    }

    /// What is passed over by tag is what a look at every unit passes over, whatever the units are.
    #[test]
    fn tags_passed_over_are_tags_turned_down(
        records in 1..120_i64,
        foreign in prop::collection::vec((0..120_i64, foreign_unit()), 0..60),
        (queue_offset, count_max, bytes_max) in (0..120_i64, 1..40_i32, 0..4000_i32),
        hashes in prop::collection::vec(0..4_i32, 0..3),
        (units_max, memory_bytes) in (1..150_i64, 0..12_000_i64),
        (log_min, long) in (prop_oneof![Just(0), 0..6000_i64], any::<bool>()),
    ) {
        let mut fixture = Fixture::new(QueueKind::Simple, records);
        fixture.queues.flush().unwrap();
        for (index, (position, size, tags_code)) in foreign.iter().filter(|(at, _)| *at < records) {
            let (position, size) = (position.to_be_bytes(), size.to_be_bytes());
            let unit = [&position[..], &size, &tags_code.to_be_bytes()].concat();
            let (path, at) = fixture.queues.find("T", 0).unwrap().place_of(*index);
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&unit, at).unwrap();
        }
        fixture.log.min = log_min;
        if long {
            fixture.log.max = 1 << 40;
        }
        let request = GetRequest { topic: "T", queue_id: 0, queue_offset, count_max, bytes_max };
        let units_bytes_max = units_max * 20;
        let limits = ScanLimits { units_bytes_max, memory_bytes, ..ScanLimits::default() };
        let queue = fixture.queues.find("T", 0);
        let scanned = |by| {
            // An extension says that the tag is 1.
            let tags_code = |unit: &Unit| if unit.is_extended() { 1 } else { unit.tags_code };
            let filter = |unit: &Unit| has_tag(&hashes, tags_code(unit));
            let log = || fixture.log;
            let queue = queue.as_deref();
            scan(queue, &request, &limits, log, by, filter, &KNOWN).unwrap()
        };
        prop_assert_eq!(scanned(By::Tags(&hashes)), scanned(By::Units));
        prop_assert_eq!(scanned(By::Records), scanned(By::Units));
    }
}
