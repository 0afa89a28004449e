//! Pulls of messages that are not in memory.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::cell::Cell;
use std::fs::{self, File};
use std::path::Path;

use common::{Bench, code, from, messages, pulled};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::header::PullMessageRequestHeader;
use rustix::fs::{Advice, fadvise};

const MESSAGES: i64 = 1_500;
const QUEUES: i32 = 2;
/// So many a pull asks for.
const PULLED: i64 = 32;
/// The file system that has no disk behind its files.
const TMPFS: i64 = 0x0102_1994;

fn body(queue_id: i32, offset: i64) -> Vec<u8> {
    let number = offset * 31 + i64::from(queue_id);
    (0..1000).map(|at| (number * (at / 8 + 1)) as u8).collect()
}

/// Takes the files of a store out of memory, but for what somebody has touched in a mapping.
fn evict(root: &Path) {
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            evict(&path);
        } else {
            let file = File::open(path).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
    }
}

/// Bytes that this process has got from disks so far; `None` where the system does not tell.
fn read_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

/// Pulls messages from an offset on, and checks that they are those of the queue; returns how many.
async fn pull(bench: &Bench, queue_id: i32, offset: i64) -> i64 {
    let header = PullMessageRequestHeader { queue_id, ..from("T", offset) };
    let answer = bench.pull(header).await;
    assert_eq!(code(&answer), ResponseCode::Success, "{queue_id} {offset}");
    let found = messages(&answer);
    for (record, expected) in found.iter().zip(offset..) {
        assert_eq!((record.queue_id, record.queue_offset), (queue_id, expected));
        assert_eq!(record.body, body(queue_id, expected), "{queue_id} {expected}");
    }
    assert_eq!(pulled(&answer).next_begin_offset, offset + found.len() as i64);
    found.len() as i64
}

#[tokio::test]
async fn what_is_not_in_memory_is_delivered_whole_and_in_order_beside_sends() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    for offset in 0..MESSAGES {
        for queue_id in 0..QUEUES {
            assert_eq!(bench.put("T", queue_id, "", &body(queue_id, offset)).await, offset);
        }
    }
    bench.stop().await;
    // What a process has touched stays; the next one has touched little.
    let bench = Bench::start(root.path()).await;
    evict(root.path());
    let before = read_bytes();
    let pulling = Cell::new(true);
    let pulls = async {
        // One queue is read in its order, the other from its end to its beginning.
        let (mut ahead, mut back) = (0, MESSAGES);
        while ahead < MESSAGES || back > 0 {
            back = (back - PULLED).max(0);
            let forward = async {
                match ahead < MESSAGES {
                    true => pull(&bench, 0, ahead).await,
                    false => 0,
                }
            };
            let (passed, found) = tokio::join!(forward, pull(&bench, 1, back));
            assert_eq!(found, PULLED.min(MESSAGES - back));
            ahead += passed;
            evict(root.path());
        }
        assert_eq!(ahead, MESSAGES);
        pulling.set(false);
    };
    let sends = async {
        let mut sent = 0;
        while pulling.get() {
            assert_eq!(bench.put("tail", 0, "", b"beside").await, sent);
            sent += 1;
        }
        sent
    };
    let ((), sent) = tokio::join!(pulls, sends);
    assert!(sent > 0);
    let on_disk = rustix::fs::statfs(root.path()).unwrap().f_type != TMPFS;
    if let Some((before, after)) = before.zip(read_bytes()).filter(|_| on_disk) {
        let stored = u64::try_from(MESSAGES).unwrap() * 1000;
        assert!(after - before > stored, "only {} bytes came from the disk", after - before);
    }
    bench.stop().await;
}
