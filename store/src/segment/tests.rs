//! One file: what readers see, what a cut leaves, room ahead.

use std::sync::Arc;

use super::ahead::{RUN_LEN, ZERO_CHUNK};
use super::*;

fn scratch(size: usize) -> (tempfile::TempDir, Arc<Segment>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("00000000000000004096");
    let segment = Segment::create(&path, 4096, size).unwrap();
    (directory, Arc::new(segment))
}

#[test]
fn readers_stop_at_the_written_position() {
    let (_directory, segment) = scratch(1 << 20);
    segment.write(0, b"record").unwrap();
    assert!(segment.bytes(0, 6).is_empty(), "not published yet");
    segment.publish(6);
    assert_eq!(segment.bytes(0, 100), b"record");
    assert!(segment.slice(0, 7).is_none());
    let slice = segment.slice(0, 6).unwrap();
    assert_eq!(slice.physical_offset(), 4096);
    assert_eq!(slice.as_ref(), b"record");
}

#[test]
fn what_is_in_memory_is_told() {
    const LEN: usize = 1 << 20;
    let (directory, segment) = scratch(LEN);
    let path = segment.path().to_owned();
    drop(segment);
    let segment = Segment::open(&path, 4096, LEN, "size").unwrap();
    let all = 4096..4096 + LEN as i64;
    assert!(!segment.is_resident(&all), "a hole that nobody has read");
    assert!(segment.load(0, LEN));
    assert!(segment.is_resident(&all) && segment.is_resident(&(9000..9010)));
    drop((segment, directory));
}

#[test]
fn a_slice_outlives_its_file() {
    let (_directory, segment) = scratch(4096);
    segment.write(0, b"kept").unwrap();
    segment.publish(4);
    let slice = segment.slice(0, 4).unwrap();
    segment.remove().unwrap();
    assert!(segment.removed() && !segment.path().exists());
    drop(segment);
    assert_eq!(slice.as_ref(), b"kept");
}

#[test]
fn a_cut_leaves_zeros() {
    let (directory, segment) = scratch(3 << 20);
    let junk = vec![7_u8; (2 << 20) + 5];
    segment.write(0, &junk).unwrap();
    segment.publish(junk.len());
    segment.cut(10).unwrap();
    drop(segment);
    let bytes = std::fs::read(directory.path().join("00000000000000004096")).unwrap();
    assert_eq!(bytes.len(), 3 << 20);
    assert_eq!(bytes[..10], [7; 10]);
    assert!(bytes[10..].iter().all(|&byte| byte == 0));
}

#[test]
fn zeroing_ahead_never_touches_records() {
    let (_directory, segment) = scratch(8 << 20);
    let record = vec![1_u8; 10_000];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !segment.reserved_whole() {
                segment.reserve(ZERO_CHUNK, Reserve::Zeroed).unwrap();
            }
        });
        for n in 0..800 {
            segment.write(n * record.len(), &record).unwrap();
            segment.publish((n + 1) * record.len());
        }
    });
    assert!(segment.bytes(0, 8_000_000).iter().all(|&byte| byte == 1));
}

#[test]
fn a_run_of_zeros_never_touches_what_stands_before_it() {
    let (directory, segment) = scratch(1 << 20);
    let path = segment.path().to_owned();
    let record = vec![1_u8; RUN_LEN + 5000];
    segment.write(0, &record).unwrap();
    segment.publish(record.len());
    segment.cut(RUN_LEN + 100).unwrap();
    drop(segment);
    let segment = Segment::open(&path, 4096, 1 << 20, "size").unwrap();
    segment.cut(RUN_LEN + 50).unwrap();
    let mut end = RUN_LEN + 50;
    for len in [7, RUN_LEN, 3 * RUN_LEN + 1, 4000] {
        segment.write(end, &vec![2; len]).unwrap();
        end += len;
        segment.publish(end);
    }
    drop(segment);
    let bytes = std::fs::read(directory.path().join("00000000000000004096")).unwrap();
    let begun = RUN_LEN + 50;
    assert!(bytes[..begun].iter().all(|&byte| byte == 1));
    assert!(bytes[begun..end].iter().all(|&byte| byte == 2));
    assert!(bytes[end..].iter().all(|&byte| byte == 0));
}

#[test]
fn room_is_made_in_steps() {
    let (_directory, segment) = scratch(64 << 20);
    assert_eq!(segment.reserved_ahead(), 0);
    segment.reserve(RESERVE_STEP, Reserve::Allocated).unwrap();
    assert!(segment.reserved_ahead() >= RESERVE_STEP);
}

#[test]
fn a_foreign_length_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("00000000000000000000");
    std::fs::write(&path, b"short").unwrap();
    let error = Segment::open(&path, 0, 4096, "mappedFileSizeCommitLog").unwrap_err().to_string();
    assert!(error.contains("00000000000000000000 at 5: expected a file of 4096 bytes"), "{error}");
    assert!(error.ends_with("got 5 bytes"), "{error}");
}

#[test]
fn readable_bytes_are_never_rewritten() {
    let (_directory, segment) = scratch(4096);
    segment.write(0, b"record").unwrap();
    segment.publish(6);
    let rewrite = std::panic::catch_unwind(|| segment.write(3, b"x"));
    assert!(rewrite.is_err());
    assert_eq!(segment.bytes(0, 6), b"record");
}
