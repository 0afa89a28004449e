//! The background work of the store, and the checkpoint it leads to.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ::runtime::clock::now_ms;
use ::runtime::services::{Services, Stop};
use tracing::warn;

use super::MessageStore;
use crate::dispatch::ViewError;
use crate::faults::{self, Point};
use crate::retention;

/// A start after a crash reads the log from the checkpoint's position: it moves at least every
/// so many bytes.
const REPLAY_BYTES_MAX: i64 = 64 << 20;
/// How soon a full disk that has room again is noticed.
const ROOM_PERIOD: Duration = Duration::from_millis(200);
/// Stands for no end.
const FOREVER: Duration = Duration::from_secs(86_400);

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
}
