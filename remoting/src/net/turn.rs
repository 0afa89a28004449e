//! What a worker thread serves between two waits for its sockets.
//!
//! An answer that is sent while other connections have something to read wakes its receiver, and
//! then the next one again. So where several were served in a turn, their answers leave one after
//! the other when all have been read: receivers are woken once.
//!
//! A request that ends waits of others on this thread is answered behind them: a message is with
//! its receivers before its sender hears of it, and the sender's wake-up delays none of theirs.

use std::cell::Cell;

/// A sender waits for no more answers than this.
const AHEAD_MAX: u32 = 16;

thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
    static WOKEN: Cell<u32> = const { Cell::new(0) };
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

/// The wait of a held request ends: for whoever handles the request that ends it, on its thread.
pub fn ends_wait() {
    WOKEN.set(WOKEN.get().saturating_add(1));
}

/// Whether those whose waits have ended since the last call go first.
pub(super) fn others_go_first() -> bool {
    (1..=AHEAD_MAX).contains(&WOKEN.take())
}
