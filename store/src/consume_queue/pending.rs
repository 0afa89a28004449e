//! What the next tick and the next sync have to visit, instead of every queue there is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{error, info};

use super::Queue;
use crate::dispatch::ViewError;
use crate::watermark::Signal;

/// Queues that wait for a write or a sync.
#[derive(Debug, Default)]
pub(super) struct Pending {
    active: Mutex<Vec<Arc<Queue>>>,
    unsynced: Mutex<Vec<Arc<Queue>>>,
    poisoned: AtomicBool,
    /// A write is to be tried again.
    starved: AtomicBool,
    /// Given when there is no room any more.
    pub(super) wants_room: Signal,
    fill_gaps: AtomicBool,
}

impl Pending {
    /// Adds a queue that has got a tail buffer. Called with the queue locked.
    pub(super) fn add_active(&self, queue: &Arc<Queue>) {
        push(&self.active, queue);
    }

    /// Adds a queue that has bytes not on disk. Called with the queue locked.
    pub(super) fn add_unsynced(&self, queue: &Arc<Queue>) {
        push(&self.unsynced, queue);
    }

    /// Takes the first queues of the list, as many as `count`.
    pub(super) fn take_active(&self, count: usize) -> Vec<Arc<Queue>> {
        let mut active = lock(&self.active);
        let count = count.min(active.len());
        active.drain(..count).collect()
    }

    pub(super) fn active_len(&self) -> usize {
        lock(&self.active).len()
    }

    pub(super) fn take_unsynced(&self) -> Vec<Arc<Queue>> {
        std::mem::take(&mut *lock(&self.unsynced))
    }

    /// Puts back queues that keep their buffers.
    pub(super) fn keep_active(&self, mut queues: Vec<Arc<Queue>>) {
        lock(&self.active).append(&mut queues);
    }

    /// Notes a write that failed and is to be tried again.
    pub(super) fn starve(&self, error: &ViewError) {
        if !self.starved.swap(true, Ordering::AcqRel) {
            error!(%error, "no messages are accepted until the queues can be written");
            self.wants_room.give();
        }
    }

    /// Notes that all writes have succeeded.
    pub(super) fn feed(&self) {
        if self.starved.swap(false, Ordering::AcqRel) {
            info!("the queues are written again");
        }
    }

    pub(super) fn starved(&self) -> bool {
        self.starved.load(Ordering::Acquire)
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(super) fn set_fill_gaps(&self, fill: bool) {
        self.fill_gaps.store(fill, Ordering::Relaxed);
    }

    pub(super) fn fill_gaps(&self) -> bool {
        self.fill_gaps.load(Ordering::Relaxed)
    }

    pub(super) fn poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

fn push(list: &Mutex<Vec<Arc<Queue>>>, queue: &Arc<Queue>) {
    lock(list).push(queue.clone());
}

fn lock(list: &Mutex<Vec<Arc<Queue>>>) -> MutexGuard<'_, Vec<Arc<Queue>>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
