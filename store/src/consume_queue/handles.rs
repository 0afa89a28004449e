//! A bounded set of open files, so that 100,000 queues need no 100,000 descriptors.
//!
//! Which file to close is decided by the clock rule (second chance): an approximation of least
//! recently used without a list to keep.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk_file::DiskFile;

/// A file of a queue: the queue's number and the position the file starts at.
pub(super) type Key = (u64, i64);

#[derive(Debug)]
pub(super) struct Handles {
    max: usize,
    clock: Mutex<Clock>,
}

#[derive(Debug, Default)]
struct Clock {
    slot_of: HashMap<Key, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    file: Arc<DiskFile>,
    used: bool,
}

impl Handles {
    pub(super) fn new(max: usize) -> Handles {
        Handles { max: max.max(1), clock: Mutex::default() }
    }

    pub(super) fn find(&self, key: Key) -> Option<Arc<DiskFile>> {
        let mut clock = self.lock();
        let at = *clock.slot_of.get(&key)?;
        clock.slots[at].used = true;
        Some(clock.slots[at].file.clone())
    }

    /// Keeps an open file; another one is closed for it when there are too many.
    pub(super) fn keep(&self, key: Key, file: Arc<DiskFile>) {
        let mut clock = self.lock();
        let slot = Slot { key, file, used: true };
        if let Some(&at) = clock.slot_of.get(&key) {
            clock.slots[at] = slot;
            return;
        }
        if clock.slots.len() < self.max {
            let at = clock.slots.len();
            clock.slots.push(slot);
            clock.slot_of.insert(key, at);
            return;
        }
        let at = clock.victim();
        let old = clock.slots[at].key;
        clock.slot_of.remove(&old);
        clock.slot_of.insert(key, at);
        clock.slots[at] = slot;
    }

    /// Closes a file that is being deleted; readers that hold it may finish.
    pub(super) fn forget(&self, key: Key) {
        let mut clock = self.lock();
        let Some(at) = clock.slot_of.remove(&key) else { return };
        clock.slots.swap_remove(at);
        if let Some(moved) = clock.slots.get(at).map(|slot| slot.key) {
            clock.slot_of.insert(moved, at);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        // A panic leaves at worst an entry missing, and its file is opened again.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// The next slot that nobody used since the hand passed it last.
    fn victim(&mut self) -> usize {
        loop {
            let at = self.hand % self.slots.len();
            self.hand = at + 1;
            if !std::mem::take(&mut self.slots[at].used) {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<DiskFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        Arc::new(DiskFile::open(file.path()).unwrap())
    }

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let handles = Handles::new(3);
        for queue in 0..3 {
            handles.keep((queue, 0), file());
        }
        handles.keep((3, 0), file());
        assert_eq!(handles.len(), 3);
        assert!(handles.find((0, 0)).is_none(), "the oldest unused one is closed");
        assert!(handles.find((1, 0)).is_some());
        handles.keep((4, 0), file());
        assert!(handles.find((1, 0)).is_some(), "a used one has a second chance");
        assert!(handles.find((2, 0)).is_none());
    }

    #[test]
    fn forgets_deleted_files() {
        let handles = Handles::new(4);
        for queue in 0..4 {
            handles.keep((queue, 0), file());
        }
        handles.forget((1, 0));
        handles.forget((1, 0));
        assert!(handles.find((1, 0)).is_none());
        for queue in [0, 2, 3] {
            assert!(handles.find((queue, 0)).is_some());
        }
    }
}
