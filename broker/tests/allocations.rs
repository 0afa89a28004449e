//! What requests of the hot paths allocate, from the bytes that come to the bytes that leave, as
//! the task of a connection handles them: nothing.
#![allow(unsafe_code, reason = "a counting allocator is one by nature")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;
#[path = "common/hot.rs"]
mod hot;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use common::Bench;
use hot::{LongPoll, SETTINGS, Wire};
use remoting::protocol::encoding::Encoding;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Rounds of each path. The best counts: the first ones warm up, and what runs beside requests
/// on this thread falls into some of them.
const ROUNDS: usize = 4;
/// Turns of a round.
const TURNS: usize = 100;

/// Allocations of the broker in a turn of the best round; its client makes none.
async fn allocations(mut take: impl AsyncFnMut()) -> f64 {
    let mut least = usize::MAX;
    for _ in 0..ROUNDS {
        let before = ALLOCATIONS.get();
        for _ in 0..TURNS {
            take().await;
        }
        least = least.min(ALLOCATIONS.get() - before);
    }
    least as f64 / TURNS as f64
}

async fn started(root: &Path, settings: &str) -> Bench {
    Bench::with(root, &format!("{SETTINGS}{settings}")).await
}

#[tokio::test]
async fn what_is_answered_at_once_allocates_nothing() {
    let metrics = "metricsExporterType=PROM\nmetricsPromExporterHost=127.0.0.1\n\
        metricsPromExporterPort=0\n";
    for settings in ["", metrics] {
        let root = tempfile::tempdir().unwrap();
        let bench = started(root.path(), settings).await;
        let mut wire = Wire::connect(&bench).await;
        for turn in hot::turns(&bench).await {
            let count = allocations(async || wire.take(&turn).await).await;
            let most = match &turn.name {
                // The places of its 32 messages.
                name if name.starts_with("batch") => 1.0,
                _ => 0.0,
            };
            assert!(count <= most, "{}: {count}", turn.name);
        }
        bench.stop().await;
    }
}

#[tokio::test]
async fn what_waits_allocates_little() {
    let root = tempfile::tempdir().unwrap();
    let bench = started(root.path(), "").await;
    hot::turns(&bench).await;
    let mut poll = LongPoll::new(&bench).await;
    let count = allocations(async || poll.take().await).await;
    assert!(count > 0.0 && count <= 14.0, "{}: {count}", poll.name);
    bench.stop().await;

    let root = tempfile::tempdir().unwrap();
    let bench = started(root.path(), "flushDiskType=SYNC_FLUSH\n").await;
    hot::turns(&bench).await;
    let mut wire = Wire::connect(&bench).await;
    let send = hot::send(Encoding::Json, 0);
    let count = allocations(async || wire.take(&send).await).await;
    assert!(count > 0.0 && count <= 11.0, "{}, flushed: {count}", send.name);
    bench.stop().await;
}

#[tokio::test]
async fn a_heartbeat_allocates_a_bounded_number_of_times() {
    let root = tempfile::tempdir().unwrap();
    let bench = started(root.path(), "").await;
    hot::turns(&bench).await;
    let mut wire = Wire::connect(&bench).await;
    let heartbeat = hot::heartbeat();
    let count = allocations(async || wire.take(&heartbeat).await).await;
    assert!(count > 0.0 && count <= 56.0, "{count}");
    bench.stop().await;
}
