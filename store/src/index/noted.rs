//! Keys that whoever stores records has noted: the index need not read the log to find them.
//!
//! What is noted covers the log without a gap from one position to another, in its order. It is
//! a help only: where it does not reach, the records say the same.

use std::sync::{Mutex, PoisonError};

use remoting::protocol::message::{hash, sys_flag};

use crate::properties::StoreProperties;

/// Keys noted at most. An index that is further behind than that reads the records.
const KEYS_MAX: usize = 256 * 1024;

/// A key of a record, as the index keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) hash: i32,
    pub(crate) physical_offset: i64,
    pub(crate) store_timestamp: i64,
}

/// Keys of all records between two log positions.
#[derive(Debug)]
pub(crate) struct Noted {
    /// Log position of the first record.
    pub(crate) from: i64,
    /// Log position behind the last one.
    pub(crate) until: i64,
    pub(crate) keys: Vec<Key>,
}

/// What is noted at present.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Noted>);

impl Default for Noted {
    /// Memory is taken once, and used as far as keys come.
    fn default() -> Noted {
        Noted { from: 0, until: 0, keys: Vec::with_capacity(KEYS_MAX) }
    }
}

impl Notes {
    /// Notes the keys of the records between two positions, under the append lock; returns how many
    /// keys are noted now.
    pub(crate) fn add(
        &self,
        from: i64,
        until: i64,
        keys: impl ExactSizeIterator<Item = Key>,
    ) -> usize {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.until != from || noted.keys.len() + keys.len() > KEYS_MAX {
            noted.keys.clear();
            noted.from = from;
        }
        if keys.len() <= KEYS_MAX {
            noted.keys.extend(keys);
        } else {
            noted.from = until;
        }
        noted.until = until;
        noted.keys.len()
    }

    /// Takes what is noted, and leaves the memory of `taken`.
    pub(crate) fn take(&self, taken: &mut Noted) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *noted, taken);
        noted.keys.clear();
        noted.from = taken.until;
        noted.until = taken.until;
    }
}

/// Hashes of a record's keys, the unique one first.
pub(crate) fn hashes_of<'a>(
    topic: &str,
    flags: i32,
    properties: &StoreProperties<'a>,
) -> impl Iterator<Item = i32> + use<'a> {
    let indexed = sys_flag::transaction(flags) != sys_flag::TRANSACTION_ROLLBACK;
    let keys = properties.unique_key.into_iter().chain(properties.keys());
    let topic = hash::IndexTopic::of(topic);
    keys.filter(move |_| indexed).map(move |key| topic.hash_of(key))
}
