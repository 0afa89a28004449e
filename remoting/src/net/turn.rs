//! What a worker thread serves between two waits for its sockets.
//!
//! An answer that is sent while other connections have something to read wakes its receiver, and
//! then the next one again. So where several were served in a turn, their answers leave one after
//! the other when all have been read: receivers are woken once.

use std::cell::Cell;

thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

/// A worker thread goes on after it has waited: for the runtime's `on_thread_unpark`. On a thread
/// without it every turn counts as one of many connections.
pub fn begin_turn() {
    SERVED.set(0);
}

/// Counts a connection that has something to send; whether others had before it in this turn.
pub(super) fn is_shared() -> bool {
    SERVED.replace(SERVED.get().saturating_add(1)) > 0
}
