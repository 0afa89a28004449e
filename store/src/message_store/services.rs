//! The background work of the store, and the checkpoint it leads to.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ::runtime::clock::now_ms;
use ::runtime::services::{Services, Stop};
use remoting::protocol::message::Record;
use smallvec::SmallVec;
use tracing::{error, warn};

use super::MessageStore;
use crate::commit_log::{Found, Records};
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::faults::{self, Point};
use crate::index::Index;
use crate::retention;
use crate::segment::LogSlice;

/// A start after a crash reads the log from the checkpoint's position: it moves at least every
/// so many bytes.
const REPLAY_BYTES_MAX: i64 = 64 << 20;
/// How soon a full disk that has room again is noticed.
const ROOM_PERIOD: Duration = Duration::from_millis(200);
/// How soon records are indexed, while there are any, and how soon the first after a pause.
const INDEX_PERIOD: Duration = Duration::from_millis(100);
const INDEX_PERIOD_MAX: Duration = Duration::from_secs(1);
/// Stands for no end.
const FOREVER: Duration = Duration::from_secs(86_400);
/// Records one round of indexing takes at most before it writes.
const INDEX_ROUND: usize = 20_000;
/// Records that are indexed at once.
const INDEX_TOGETHER: usize = 32;
/// For each so many bytes that it is behind, the index does one group more at a time.
const INDEX_BEHIND: i64 = 512 << 10;
/// How long a stop waits for the index.
const CATCH_UP_MAX: Duration = Duration::from_millis(1500);
/// A query first indexes what is missing, if it is no more than this.
const INDEX_NOW_BYTES: i64 = 8 << 20;

impl MessageStore {
    /// Starts the background work, in dependency order.
    pub fn start(self: &Arc<Self>, services: &mut Services) {
        let ms = |value: i32| Duration::from_millis(value.max(1) as u64);
        let log = Arc::clone(&self.log);
        services.thread("prepare-log", move |stop| log.prepare_until(&stop));
        let log = Arc::clone(&self.log);
        services.thread("read-ahead", move |stop| log.read_ahead_until(&stop));
        let log = Arc::clone(&self.log);
        let times = crate::commit_log::FlushTimes::of(&self.config());
        services.thread("flush-log", move |stop| log.flush_until(&stop, times));
        let (store, mut last) = (Arc::clone(self), Instant::now());
        let thorough = ms(self.config().flush_consume_queue_thorough_interval);
        let period = ms(self.config().flush_interval_consume_queue);
        services.thread("write-queues", move |stop| {
            while !stop.wait_timeout(period) {
                store.write_views(&mut last, thorough, &|| stop.stopped());
            }
        });
        let store = Arc::clone(self);
        services.thread("look-for-room", move |stop| store.look_for_room_until(&stop));
        let store = Arc::clone(self);
        services.thread("build-index", move |stop| store.index_until(&stop));
        self.start_timer(services);
        let store = Arc::clone(self);
        services.every("clean-files", ms(self.config().clean_resource_interval), move || {
            retention::clean(&store, now_ms());
        });
    }

    fn start_timer(self: &Arc<Self>, services: &mut Services) {
        if self.timer.is_none() {
            return;
        }
        let period = self.config().timer_flush_interval_ms.max(1).unsigned_abs();
        let store = Arc::clone(self);
        services.every("save-timer", Duration::from_millis(period.into()), move || {
            if let Some(timer) = store.timer() {
                timer.save_tick(&store);
            }
        });
        let store = Arc::clone(self);
        services.thread("timer", move |stop| {
            let woken = Arc::clone(&store);
            stop.on_trigger(move || {
                if let Some(timer) = woken.timer() {
                    timer.wake();
                }
            });
            if let Some(timer) = store.timer() {
                timer.run(&store, &stop);
            }
        });
    }

    fn write_views(&self, last: &mut Instant, thorough: Duration, stop: &dyn Fn() -> bool) {
        if let Err(error) = self.queues.write_tails() {
            self.poison_by(&error);
            return;
        }
        let saved = self.checkpoint.marks().position.unwrap_or(0);
        let unsaved = self.log.end() - saved;
        if unsaved >= REPLAY_BYTES_MAX || (unsaved > 0 && last.elapsed() >= thorough) {
            if let Err(error) = self.save_checkpoint_unless(stop) {
                warn!(%error, "cannot write the checkpoint");
            }
            *last = Instant::now();
        }
    }

    /// While there is no room: looks for some every moment.
    fn look_for_room_until(self: &Arc<Self>, stop: &Stop) {
        let woken = Arc::clone(self);
        stop.on_trigger(move || woken.queues.wants_room().give());
        while !stop.stopped() {
            if !self.disk_full() {
                // Whoever runs out of room gives the signal afterwards.
                self.queues.wants_room().take(FOREVER);
            } else if !stop.wait_timeout(ROOM_PERIOD) {
                self.look_for_room();
            }
        }
    }

    /// Tries again what was put off, and looks at the disk.
    fn look_for_room(&self) {
        if !self.disk_full() {
            return;
        }
        if let Err(error) = self.queues.write_tails() {
            self.poison_by(&error);
        }
        retention::look(self);
    }

    /// Ends acknowledging after a view has refused a record, unless it may take it later.
    pub(super) fn poison_by(&self, error: &ViewError) {
        if let ViewError::Gap { .. } = error {
            // Units from before the checkpoint are missing: the next start builds them again.
            self.checkpoint.forget();
            if let Err(error) = self.checkpoint.flush() {
                warn!(%error, "cannot write the checkpoint");
            }
        }
        if !error.passes() {
            self.log.poison(self.config().root(), "write a queue of", error);
        }
    }

    /// Syncs log and queues, then writes down how far they reach.
    pub fn save_checkpoint(&self) -> io::Result<()> {
        self.save_checkpoint_unless(&|| false).map(drop)
    }

    /// The same, or false and no word of it when `stop` is true before all queues are synced.
    pub(super) fn save_checkpoint_unless(&self, stop: &dyn Fn() -> bool) -> io::Result<bool> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, store_timestamp) = self.log.mark();
        self.log.flush()?;
        faults::pass(Point::LogSynced);
        match self.queues.flush_unless(stop) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                self.poison_by(&error);
                return Err(io::Error::other(error.to_string()));
            }
        }
        faults::pass(Point::QueuesSynced);
        self.checkpoint.update(|marks| {
            marks.position = Some(end);
            marks.physic_timestamp = self.log.flushed_timestamp();
            marks.logics_timestamp = store_timestamp;
            if let Some(index) = &self.index {
                marks.index_timestamp = index.full_until();
            }
        });
        self.checkpoint.flush().map(|()| true)
    }

    /// Indexes what comes, in rounds that are the rarer the less comes; queries do not wait for
    /// them.
    fn index_until(&self, stop: &Stop) {
        let mut pause = INDEX_PERIOD;
        while !stop.wait_timeout(pause) {
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
        let _indexing = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.indexed.load(Ordering::Acquire).max(self.log.min());
        let mut records = self.log.records(from);
        let mut together = SmallVec::<[LogSlice; INDEX_TOGETHER]>::new();
        let mut groups = 0;
        for _ in 0..INDEX_ROUND / INDEX_TOGETHER {
            together.clear();
            together.extend(
                std::iter::from_fn(|| self.next_to_index(&mut records)).take(INDEX_TOGETHER),
            );
            self.index_together(index, &together)?;
            if together.len() < INDEX_TOGETHER {
                break;
            }
            // Where the threads that serve have this core only, they go first; but the further
            // behind the index is, the more it does before it lets them.
            groups += 1;
            if groups > (self.log.end() - records.position()) / INDEX_BEHIND {
                groups = 0;
                std::thread::yield_now();
            }
        }
        index.write()?;
        self.indexed.store(records.position(), Ordering::Release);
        Ok(records.position() > from && records.position() < self.log.end())
    }

    fn index_together(&self, index: &Index, slices: &[LogSlice]) -> Result<(), ViewError> {
        let records = slices.iter().filter_map(|slice| Record::decode(slice.as_ref()).ok());
        let requests = records.map(|record| DispatchRequest {
            // The index looks for nothing but keys, and only there.
            tags_code: 0,
            batch_size: 1,
            topic: record.topic,
            queue_id: record.queue_id,
            physical_offset: record.physical_offset,
            size: record.total_size.cast_signed(),
            store_timestamp: record.store_timestamp,
            queue_offset: record.queue_offset,
            sys_flag: record.sys_flag,
            properties: record.properties,
        });
        index.dispatch_all(&requests.collect::<SmallVec<[_; INDEX_TOGETHER]>>())
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
