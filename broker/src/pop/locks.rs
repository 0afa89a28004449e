//! One pop at a time from a queue by a group.
//!
//! A queue's lock is one of a fixed number, so that nothing has to be cleaned up; who holds one
//! takes no other of these. It is held while units are read and the check point is written, so
//! it is taken before the locks of the log, and never across an await.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

const LOCKS: usize = 1024;

/// The locks of all queues and groups.
pub(crate) struct PopLocks {
    locks: Box<[Mutex<()>]>,
    hash: RandomState,
}

impl Default for PopLocks {
    fn default() -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        PopLocks { locks, hash: RandomState::new() }
    }
}

impl PopLocks {
    /// Waits for the queue; it is free again when the guard is dropped.
    pub(crate) fn lock(&self, topic: &str, group: &str, queue_id: i32) -> MutexGuard<'_, ()> {
        let mut hasher = self.hash.build_hasher();
        for part in [topic, group] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0);
        }
        hasher.write_i32(queue_id);
        let index = hasher.finish() as usize % LOCKS;
        self.locks[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_always_has_the_same_lock() {
        let locks = PopLocks::default();
        let guard = locks.lock("T", "g", 0);
        let taken = locks.locks.iter().filter(|lock| lock.try_lock().is_err()).count();
        assert_eq!(taken, 1);
        drop(guard);
        drop(locks.lock("T", "g", 0));
        assert!(locks.locks.iter().all(|lock| lock.try_lock().is_ok()));
    }
}
