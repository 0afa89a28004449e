//! Queues against a model, and their files byte by byte.

mod deferred;
mod fixture;
mod model;

use std::fs;
use std::os::unix::fs::FileExt;

use self::fixture::{Fixture, entry};
use super::Unit;
use crate::QueueKind;
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::faults::Faults;
use crate::get::Boundary;

#[test]
fn units_are_written_in_javas_bytes() {
    let golden = include_str!("../../../../compat-tests/facts/golden-records.tsv");
    let mut rows = 0;
    for line in golden.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells[0] != "consume-queue-entry" {
            continue;
        }
        rows += 1;
        let facts: serde_json::Value = serde_json::from_str(cells[2]).unwrap();
        let unit = Unit {
            queue_offset: 3,
            physical_offset: facts["physicalOffset"].as_i64().unwrap(),
            size: facts["size"].as_i64().unwrap() as i32,
            tags_code: facts["tagsCode"].as_i64().unwrap(),
            batch_size: 1,
            store_timestamp: None,
        };
        let mut bytes = [0; 46];
        QueueKind::Simple.encode(&unit, &mut bytes);
        let hex: String = bytes[..20].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, cells[3], "{}", cells[1]);
        assert_eq!(QueueKind::Simple.decode(&bytes[..20], 3), Some(unit), "{}", cells[1]);
        assert_eq!(unit.is_filler(), cells[1] == "pre-blank");
    }
    assert_eq!(rows, 10);
}

#[test]
fn a_file_comes_with_its_first_unit_and_has_its_full_length() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 3);
    let path = fixture.path("consumequeue/T/0/00000000000000000000");
    assert!(!path.exists(), "nothing is written before the tick");
    assert!(fixture.queues.write_tails().unwrap());
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 200);
    assert_eq!(bytes[..20], entry(0, fixture.record_len(0), 0));
    assert!(bytes[60..].iter().all(|byte| *byte == 0));
    assert!(!fixture.queues.write_tails().unwrap(), "and nothing twice");
    fixture.append("T", 0, 9);
    fixture.queues.flush().unwrap();
    let names: Vec<_> = fixture.files("consumequeue/T/0");
    assert_eq!(names, ["00000000000000000000", "00000000000000000200"]);
}

#[test]
fn full_tails_are_written_without_a_tick() {
    let mut fixture = Fixture::new(QueueKind::Simple, 6_000_000);
    fixture.append("T", 0, 500);
    let path = fixture.path("consumequeue/T/0/00000000000000000000");
    let bytes = fs::read(path).unwrap();
    let written = bytes.chunks_exact(20).take_while(|unit| unit[8..12] != [0; 4]).count();
    assert_eq!(written, 408, "two buffers of 204 units");
    assert_eq!(fixture.queue("T", 0).units_from(0).unwrap().count(), 500);
}

#[test]
fn a_queue_that_starts_elsewhere_is_filled_up() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.next.insert(("T".into(), 0), 25);
    fixture.append("T", 0, 2);
    let queue = fixture.queue("T", 0);
    assert_eq!((queue.min_offset(), queue.next_offset()), (25, 27));
    assert!(queue.unit(24).unwrap().is_none());
    assert_eq!(queue.unit(25).unwrap().unwrap().physical_offset, 0);
    drop(queue);
    for clean in [true, false] {
        fixture.queues.flush().unwrap();
        fixture.reopen(clean);
        assert_eq!(fixture.files("consumequeue/T/0"), ["00000000000000000400"]);
        let queue = fixture.queue("T", 0);
        assert_eq!((queue.min_offset(), queue.next_offset()), (25, 27));
    }
    let bytes = fs::read(fixture.path("consumequeue/T/0/00000000000000000400")).unwrap();
    assert_eq!(bytes[..20], super::simple::FILLER);
    assert_eq!(bytes[80..100], super::simple::FILLER);
}

#[test]
fn a_record_beyond_the_end_is_a_gap_unless_gaps_are_to_be_filled() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 2);
    let beyond = fixture.request("T", 0, 4, 5000);
    let gap = fixture.queues.dispatch(&beyond).unwrap_err();
    assert!(matches!(gap, ViewError::Gap { expected: 2, got: 4, .. }), "{gap}");
    fixture.queues.fill_gaps(true);
    fixture.queues.dispatch(&beyond).unwrap();
    let queue = fixture.queue("T", 0);
    assert_eq!(queue.next_offset(), 5);
    assert!(queue.unit(3).unwrap().is_none());
    assert_eq!(queue.unit(4).unwrap().unwrap().physical_offset, 5000);
    let far = fixture.request("T", 0, 50, 6000);
    assert!(matches!(fixture.queues.dispatch(&far), Err(ViewError::Gap { .. })));
    assert!(!fixture.queues.poisoned(), "a refused record leaves the queue sound");
}

#[test]
fn a_unit_torn_at_any_byte_is_cut_and_can_be_dispatched_again() {
    for kind in [QueueKind::Simple, QueueKind::Batch] {
        let unit_len = kind.unit_len();
        for written in 0..unit_len {
            let mut fixture = Fixture::new(kind, 10 * unit_len as i64);
            fixture.append("T", 0, 3);
            fixture.queues.flush().unwrap();
            let path = fixture.path(&format!("{}/T/0/{:020}", kind.dir_name(), 0));
            let file = fs::File::options().write(true).open(&path).unwrap();
            let from = (2 * unit_len + written) as u64;
            file.write_all_at(&vec![0; unit_len - written], from).unwrap();
            fixture.reopen(false);
            let log = fixture.log.clone();
            let belongs = |topic: &str, id: i32, unit: &Unit| {
                let at = log.iter().find(|record| record.physical_offset == unit.physical_offset);
                at.is_some_and(|record| unit.describes((topic, id), &record.request()))
            };
            fixture.queues.cut_foreign(&belongs).unwrap();
            for record in &log {
                fixture.queues.dispatch(&record.request()).unwrap();
            }
            let queue = fixture.queue("T", 0);
            let units: Vec<Unit> = queue.units_from(0).unwrap().map(Result::unwrap).collect();
            let all = units.iter().zip(&log);
            assert_eq!((units.len(), queue.next_offset()), (3, 3), "{kind:?} {written}");
            assert!(
                all.into_iter()
                    .all(|(unit, record)| { unit.describes(("T", 0), &record.request()) })
            );
        }
    }
}

#[test]
fn what_is_behind_a_hole_is_zeroed_after_a_kill() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 25);
    fixture.queues.flush().unwrap();
    let path = fixture.path("consumequeue/T/0/00000000000000000200");
    fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0; 20], 60).unwrap();
    fixture.reopen(false);
    assert_eq!(fixture.queue("T", 0).next_offset(), 13);
    assert_eq!(fixture.files("consumequeue/T/0").len(), 2, "the file behind is gone");
    assert!(fs::read(path).unwrap()[60..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_made_but_not_written_is_no_unit() {
    for clean in [true, false] {
        let mut fixture = Fixture::new(QueueKind::Simple, 200);
        fixture.append("T", 0, 10);
        fixture.queues.flush().unwrap();
        fs::write(fixture.path("consumequeue/T/0/00000000000000000200"), [0; 200]).unwrap();
        fs::create_dir_all(fixture.path("consumequeue/T/1")).unwrap();
        fs::write(fixture.path("consumequeue/T/1/00000000000000000000"), [0; 200]).unwrap();
        fs::create_dir_all(fixture.path("consumequeue/T/2")).unwrap();
        fs::write(fixture.path("consumequeue/T/2/00000000000000000000"), []).unwrap();
        fixture.reopen(clean);
        assert_eq!(fixture.queue("T", 0).next_offset(), 10);
        assert_eq!(fixture.files("consumequeue/T/0"), ["00000000000000000000"]);
        for empty in [1, 2] {
            assert_eq!(fixture.queue("T", empty).next_offset(), 0);
            assert!(fixture.files(&format!("consumequeue/T/{empty}")).is_empty());
        }
    }
}

#[test]
fn the_end_of_a_long_file_is_found() {
    for kind in [QueueKind::Simple, QueueKind::Batch] {
        for units in [1000, 2999, 3000, 3001] {
            let mut fixture = Fixture::new(kind, 3000 * kind.unit_len() as i64);
            fixture.append("T", 7, units);
            fixture.queues.write_tails().unwrap();
            for clean in [true, false] {
                fixture.reopen(clean);
                let queue = fixture.queue("T", 7);
                assert_eq!((queue.min_offset(), queue.next_offset()), (0, units as i64));
                assert_eq!(queue.max_physical_offset(), fixture.log_end);
            }
        }
    }
}

#[test]
fn foreign_files_and_sizes_stop_the_start_with_their_name() {
    for (name, len, expected) in [
        ("consumequeue/T/0/00000000000000000000.tmp", 200, "a file name of 20 digits"),
        ("consumequeue/T/0/00000000000000000100", 200, "a multiple of 200"),
        ("consumequeue/T/0/00000000000000000200", 199, "a file of 200 bytes"),
    ] {
        let mut fixture = Fixture::new(QueueKind::Simple, 200);
        fixture.append("T", 0, 3);
        fixture.queues.flush().unwrap();
        fs::write(fixture.path(name), vec![0; len]).unwrap();
        let error = fixture.try_open(true).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
        assert_eq!(fs::read(fixture.path(name)).unwrap().len(), len, "it is left alone");
    }
}

#[test]
fn queues_of_the_wrong_kind_stop_the_start() {
    let mut fixture = Fixture::new(QueueKind::Simple, 920);
    fixture.append("T", 0, 3);
    fixture.queues.flush().unwrap();
    fixture.kind = QueueKind::Batch;
    let error = fixture.try_open(true).unwrap_err().to_string();
    assert!(error.contains("consumequeue/T") && error.contains("batchconsumequeue"), "{error}");
}

#[test]
fn a_topic_cannot_lead_out_of_the_directory() {
    let fixture = Fixture::new(QueueKind::Simple, 200);
    fs::write(fixture.path("precious"), "x").unwrap();
    for topic in ["", ".", "..", "../x", "a/b", "a\0b"] {
        let refused = fixture.queues.queue(topic, 0);
        assert!(matches!(refused, Err(ViewError::IllegalTopic { .. })), "{topic:?}");
        fixture.queues.delete_topic(topic).unwrap();
    }
    assert!(fixture.path("precious").exists());
}

#[test]
fn a_deleted_topic_is_gone_from_disk_and_starts_at_zero() {
    for kind in [QueueKind::Simple, QueueKind::Batch] {
        let mut fixture = Fixture::new(kind, 10 * kind.unit_len() as i64);
        fixture.append("T", 0, 12);
        fixture.append("U", 0, 1);
        fixture.queues.flush().unwrap();
        let held = fixture.queue("T", 0);
        fixture.queues.delete_topic("T").unwrap();
        assert!(!fixture.path(&format!("{}/T", kind.dir_name())).exists());
        assert!(fixture.queues.find("T", 0).is_none());
        assert_eq!((held.next_offset(), held.units_from(0).unwrap().count()), (0, 0));
        held.append(&fixture.request("T", 0, 0, 9_000_000)).unwrap();
        fixture.queues.flush().unwrap();
        fixture.reopen(true);
        assert!(fixture.queues.find("T", 0).is_none(), "a late append does not bring it back");
        assert_eq!(fixture.queue("U", 0).next_offset(), 1);
        fixture.next.clear();
        fixture.append("T", 0, 1);
        assert_eq!(fixture.queue("T", 0).next_offset(), 1);
    }
}

#[test]
fn a_failed_write_poisons_the_queue() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 3);
    // A plain file where the queue's directory should be.
    fs::create_dir_all(fixture.path("consumequeue")).unwrap();
    fs::write(fixture.path("consumequeue/T"), "").unwrap();
    let error = fixture.queues.write_tails().unwrap_err();
    assert!(error.to_string().contains("consumequeue/T/0: cannot create"), "{error}");
    assert!(fixture.queues.poisoned());
    let next = fixture.request("T", 0, 3, 5000);
    let refused = fixture.queue("T", 0).append(&next);
    assert!(matches!(refused, Err(ViewError::Poisoned { .. })));
    // The next tick leaves what can be read.
    fixture.queues.write_tails().unwrap();
    assert_eq!(fixture.queue("T", 0).units_from(0).unwrap().flatten().count(), 3);
}

#[test]
fn units_wait_in_memory_until_there_is_room() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 3);
    fixture.queues.write_tails().unwrap();
    let queue = fixture.queue("T", 0);
    let faults = Faults::on(&fixture.path(""));
    faults.set("pwrite:1+:ENOSPC").unwrap();
    // More than one file holds.
    fixture.append("T", 0, 25);
    assert!(fixture.queues.starved() && !fixture.queues.poisoned());
    let error = fixture.queues.flush().unwrap_err();
    assert!(error.passes() && error.to_string().contains("cannot write"), "{error}");
    assert_eq!(queue.unit(20).unwrap().unwrap().queue_offset, 20);

    drop(faults);
    fixture.queues.flush().unwrap();
    assert!(!fixture.queues.starved());
    assert_eq!(fixture.files("consumequeue/T/0").len(), 3);
    drop(queue);
    fixture.reopen(true);
    assert_eq!(fixture.queue("T", 0).units_from(0).unwrap().flatten().count(), 28);
}

#[test]
fn idle_queues_free_their_buffers_and_files_stay_within_the_bound() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    for id in 0..40 {
        fixture.append("T", id, 2);
    }
    assert!(fixture.queues.write_tails().unwrap());
    assert!(!fixture.queues.write_tails().unwrap());
    for id in 0..40 {
        let queue = fixture.queue("T", id);
        assert_eq!(queue.lock().files.tail.capacity(), 0);
        assert_eq!(queue.units_from(0).unwrap().count(), 2);
    }
    assert_eq!(fixture.queue("T", 0).place().disk.handles.len(), 4);
    assert!(std::mem::size_of::<super::Queue>() <= 384);
}

#[test]
fn time_search_matches_the_boundaries_of_java() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    // Two messages for each time: 0 and 1 at 1000, 2 and 3 at 1010, and so on.
    fixture.append("T", 0, 30);
    let log = fixture.log.clone();
    let time_of = |physical: i64, size: i32| {
        let found = log.iter().find(|record| record.physical_offset == physical)?;
        assert_eq!(found.size, size);
        Some(1000 + found.queue_offset / 2 * 10)
    };
    let search = |time, boundary, min| {
        fixture.queue("T", 0).offset_by_time(time, boundary, min, &time_of).unwrap()
    };
    for (time, lower, upper) in [
        (0, 0, 0),
        (1000, 0, 1),
        (1001, 2, 1),
        (1010, 2, 3),
        (1139, 28, 27),
        (1140, 28, 29),
        (1141, 30, 29),
        (i64::MAX, 30, 29),
    ] {
        assert_eq!(search(time, Boundary::Lower, 0), lower, "lower {time}");
        assert_eq!(search(time, Boundary::Upper, 0), upper, "upper {time}");
    }
    let gone = log[11].physical_offset;
    assert_eq!(search(0, Boundary::Lower, gone), 11, "what is gone counts as too early");
    fixture.queues.correct_min_offsets(gone).unwrap();
    assert_eq!(search(0, Boundary::Upper, gone), 11);
}

#[test]
fn units_left_behind_by_java_are_cut_from_the_end() {
    let mut fixture = Fixture::new(QueueKind::Simple, 200);
    fixture.append("T", 0, 3);
    fixture.append("U", 0, 5);
    // Three units that point at a record of `U`, and into the middle of others.
    let stale: Vec<DispatchRequest<'_>> = vec![
        fixture.request("T", 0, 3, fixture.log[5].physical_offset),
        fixture.request("T", 0, 4, fixture.log[6].physical_offset + 7),
        fixture.request("T", 0, 5, fixture.log[7].physical_offset + 9),
    ];
    for request in &stale {
        fixture.queues.dispatch(request).unwrap();
    }
    fixture.queues.flush().unwrap();
    fixture.reopen(true);
    assert_eq!(fixture.queue("T", 0).next_offset(), 6);
    let log = fixture.log.clone();
    let belongs = |topic: &str, id: i32, unit: &Unit| {
        let at = log.iter().find(|record| record.physical_offset == unit.physical_offset);
        at.is_some_and(|record| unit.describes((topic, id), &record.request()))
    };
    assert_eq!(fixture.queues.cut_foreign(&belongs).unwrap(), 3);
    assert_eq!(fixture.queue("T", 0).next_offset(), 3);
    let bytes = fs::read(fixture.path("consumequeue/T/0/00000000000000000000")).unwrap();
    assert!(bytes[60..].iter().all(|byte| *byte == 0));
}
