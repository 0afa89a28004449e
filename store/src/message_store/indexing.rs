//! The index follows the puts in its own thread.
//!
//! Puts note the keys of their records ([`Notes`]), and the thread adds what is noted. What came
//! before the store was opened, or was not noted as the index was too far behind, it reads from the
//! log. `indexed` is how far it is, and any part may be given twice.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ::runtime::services::Stop;
use remoting::protocol::message::Record;
use tracing::{error, warn};

use super::MessageStore;
use crate::NewMessage;
use crate::commit_log::{Found, Records};
use crate::dispatch::{Dispatch, ViewError};
use crate::index::{Index, Key, Noted, hashes_of};
use crate::properties::StoreProperties;
use crate::segment::LogSlice;

/// How soon records are indexed, while there are any, and how soon the first after a pause.
const INDEX_PERIOD: Duration = Duration::from_millis(100);
const INDEX_PERIOD_MAX: Duration = Duration::from_secs(1);
/// So many keys are not left to wait for the next round.
const NOTED_SOON: usize = 32 * 1024;
/// Records of the log that one round reads at most before it writes.
const READ_ROUND: usize = 20_000;
/// Keys that are added at once, or an eighth of what waits, if that is more: where the threads that
/// serve have this core only, they go first in between.
const KEYS_AT_ONCE: usize = 512;
/// An index that is further behind than this lets nobody go first: it would never catch up.
const INDEX_BEHIND: i64 = 8 << 20;
/// How long a stop waits for the index.
const CATCH_UP_MAX: Duration = Duration::from_millis(1500);
/// A query first indexes what is missing, if it is no more than this.
const INDEX_NOW_BYTES: i64 = 8 << 20;

/// A key of a record in the buffer of a put.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedKey {
    /// Where the record begins in the buffer.
    pub(super) at: usize,
    hash: i32,
}

impl MessageStore {
    /// Takes the keys of a message whose record stands at `at` among those of a put.
    pub(super) fn take_keys(
        &self,
        message: &NewMessage<'_>,
        seen: &StoreProperties<'_>,
        at: usize,
        keys: &mut Vec<EncodedKey>,
    ) {
        if self.index.is_some() {
            let hashes = hashes_of(message.topic, message.sys_flag, seen);
            keys.extend(hashes.map(|hash| EncodedKey { at, hash }));
        }
    }

    /// Notes the keys of records that a put has just written, under the append lock. The log has
    /// grown from one position to the other, and the records would begin at `base`.
    pub(super) fn note(
        &self,
        (from, until): (i64, i64),
        base: i64,
        store_timestamp: i64,
        keys: &[EncodedKey],
    ) {
        if self.index.is_none() {
            return;
        }
        let keys = keys.iter().map(|key| Key {
            hash: key.hash,
            physical_offset: base + key.at as i64,
            store_timestamp,
        });
        if self.notes.add(from, until, keys) >= NOTED_SOON {
            self.index_signal.give();
        }
    }

    /// Indexes what comes, in rounds that are the rarer the less comes; queries do not wait for
    /// them.
    pub(super) fn index_until(self: &Arc<Self>, stop: &Stop) {
        let woken = Arc::clone(self);
        stop.on_trigger(move || woken.index_signal.give());
        let mut pause = INDEX_PERIOD;
        while !stop.stopped() {
            self.index_signal.take(pause);
            let before = self.indexed.load(Ordering::Acquire);
            while self.build_index() && !stop.stopped() {}
            pause = match self.indexed.load(Ordering::Acquire) == before {
                true => (pause * 2).min(INDEX_PERIOD_MAX),
                false => INDEX_PERIOD,
            };
        }
    }

    /// Indexes the next records; true while more wait. A failure is tried again by the next call.
    pub fn build_index(&self) -> bool {
        let Some(index) = &self.index else { return false };
        match self.index_round(index) {
            Ok(more) => {
                self.index_stuck.store(false, Ordering::Relaxed);
                more
            }
            Err(error) => {
                if !self.index_stuck.swap(true, Ordering::Relaxed) {
                    error!(%error, "cannot write the index, trying again");
                }
                false
            }
        }
    }

    fn index_round(&self, index: &Index) -> Result<bool, ViewError> {
        self.settle_index(index)?;
        if self.indexed.load(Ordering::Acquire) >= self.log.end() {
            return index.write().map(|()| false);
        }
        let mut noted = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.indexed.load(Ordering::Acquire).max(self.log.min());
        if noted.until <= from {
            self.notes.take(&mut noted);
        }
        let to = match (noted.from..noted.until).contains(&from) {
            true => add_noted(index, &noted)?,
            // Nothing is noted between: then what follows is all in the log.
            false if noted.until <= from => self.add_records(index, from, i64::MAX)?,
            false => self.add_records(index, from, noted.from)?,
        };
        index.write()?;
        self.indexed.store(to, Ordering::Release);
        Ok(to > from && to < self.log.end())
    }

    /// Adds the keys of some records of the log, at most those before a position; returns where it
    /// stopped.
    fn add_records(&self, index: &Index, from: i64, until: i64) -> Result<i64, ViewError> {
        let mut records = self.log.records(from);
        let mut keys = Vec::new();
        for _ in 0..READ_ROUND {
            if records.position() >= until {
                break;
            }
            let Some(slice) = self.next_to_index(&mut records) else { break };
            let Ok(record) = Record::decode(slice.as_ref()) else { continue };
            let seen = StoreProperties::of(record.properties);
            let hashes = hashes_of(record.topic, record.sys_flag, &seen);
            keys.extend(hashes.map(|hash| Key {
                hash,
                physical_offset: record.physical_offset,
                store_timestamp: record.store_timestamp,
            }));
            if keys.len() >= KEYS_AT_ONCE {
                index.add(&keys)?;
                keys.clear();
                if self.log.end() - records.position() < INDEX_BEHIND {
                    std::thread::yield_now();
                }
            }
        }
        index.add(&keys)?;
        Ok(records.position())
    }

    /// Goes back to where the index ends, once that is known after a crash: pages of its entries
    /// may be lost although its header counts them.
    fn settle_index(&self, index: &Index) -> Result<(), ViewError> {
        let _indexing = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
        if index.settle()? {
            self.indexed.fetch_min(index.position().max(self.log.min()), Ordering::AcqRel);
        }
        Ok(())
    }

    /// The next record to index; none at the end of the log, or where the disk does not give it:
    /// then the index stays behind, and it is tried again.
    fn next_to_index<'a>(&'a self, records: &mut Records<'a>) -> Option<LogSlice> {
        loop {
            if !self.log.can_read(records.position()) {
                return None;
            }
            let damage = match records.advance() {
                Found::Record(slice) => return Some(slice),
                Found::End => return None,
                Found::Damaged(damage) => damage,
            };
            // Old damage: recovery looked at the end only. Nothing behind it in this file can be
            // found by key.
            let position = records.position();
            warn!(position, %damage, "the index leaves out the rest of a log file");
            let next = self.log.segment_at(position).map(|segment| segment.limit());
            *records = self.log.records(next.unwrap_or_else(|| self.log.end()));
            next?;
        }
    }

    /// Indexes to the end of the log, for a limited time; returns the bytes left.
    pub(super) fn catch_up_index(&self) -> i64 {
        let until = Instant::now() + CATCH_UP_MAX;
        while self.build_index() && Instant::now() < until {}
        self.dispatch_behind_bytes()
    }

    /// Indexes what a query would miss, unless that takes long.
    pub(super) fn index_now(&self) {
        let end = self.log.end();
        if self.index.as_ref().is_some_and(|index| self.settle_index(index).is_err()) {
            // The query itself says why.
            return;
        }
        if self.dispatch_behind_bytes() <= INDEX_NOW_BYTES {
            while self.indexed.load(Ordering::Acquire) < end && self.build_index() {}
        }
    }
}

/// Adds what is noted; returns where it ends.
fn add_noted(index: &Index, noted: &Noted) -> Result<i64, ViewError> {
    for keys in noted.keys.chunks(KEYS_AT_ONCE.max(noted.keys.len() / 8)) {
        index.add(keys)?;
        std::thread::yield_now();
    }
    Ok(noted.until)
}
