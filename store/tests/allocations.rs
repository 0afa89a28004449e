//! Storing and reading a message in steady state allocates nothing.

#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{config, message, open, scratch};
use store::{GetRequest, GetStatus, NewMessage, StoreConfig};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a constant
// initialised thread-local cell only, which itself allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // While a thread ends its cell may be gone; nobody looks at it then.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    let result = work();
    let made = ALLOCATIONS.get() - before;
    drop(result);
    made
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
    assert_eq!(allocations(|| 1), 0);
}

#[test]
fn puts_and_gets_allocate_nothing() {
    let directory = scratch();
    let store = open(StoreConfig {
        mapped_file_size_commit_log: 64 << 20,
        mapped_file_size_consume_queue: 6_000_000,
        ..config(directory.path())
    })
    .unwrap();
    let body = [b'x'; 1024];
    let delayed = NewMessage {
        topic: "SCHEDULE_TOPIC_XXXX",
        properties: "DELAY\u{1}3\u{2}",
        ..message("T", 2, &body)
    };
    let round = || {
        for queue in 0..4 {
            store.put(&message("T", queue, &body)).unwrap();
        }
        store.put(&delayed).unwrap();
    };
    // Files, queues and the buffers of this thread come into being.
    (0..300).for_each(|_| round());
    // More than one tail buffer of every queue is written meanwhile.
    assert_eq!(allocations(|| (0..1000).for_each(|_| round())), 0);

    let request = GetRequest {
        topic: "T",
        queue_id: 1,
        queue_offset: 900,
        count_max: 32,
        bytes_max: 1 << 20,
    };
    let tail = GetRequest { queue_offset: 1299, ..request };
    let get = |request: &GetRequest<'_>, count| {
        let got = store.get(request, &|_| true);
        assert_eq!((got.status, got.count), (GetStatus::Found, count));
    };
    get(&request, 32);
    assert_eq!(allocations(|| (0..100).for_each(|_| get(&tail, 1))), 0);
    // Records of other queues lie between: each is a slice of its own.
    assert_eq!(allocations(|| (0..100).for_each(|_| get(&request, 32))), 0);
}
