//! The background work of the store, and the checkpoint it leads to.

use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering;
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
/// The same while very many queues are to be written for it, each of which costs as much as some
/// sends: so it has some units, and they are worth it.
const REPLAY_MANY_BYTES_MAX: i64 = 256 << 20;
/// Queues are written for so long at a time, and while messages come the thread rests in between:
/// those that serve may have this core only, and to yield would be to take half of it.
const WRITE_AT_ONCE: Duration = Duration::from_micros(100);
/// A rest in times of what was worked, while the checkpoint is no further behind than the first of
/// these many bytes. From there on it shrinks, to nothing at the second.
const REST: f64 = 16.0;
const REST_BEHIND: [i64; 2] = [1 << 30, 2 << 30];
/// What was worked may have been a wait for the disk.
const REST_MAX: Duration = Duration::from_millis(4);
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
        let unsaved = self.unsaved_bytes();
        let most = match self.queues.many_active() {
            true => REPLAY_MANY_BYTES_MAX,
            false => REPLAY_BYTES_MAX,
        };
        if unsaved >= most || (unsaved > 0 && last.elapsed() >= thorough) {
            let since = Cell::new((Instant::now(), 0));
            let saved = self.save_checkpoint_unless(stop, &|| self.go_last(&since, stop));
            if let Err(error) = saved {
                warn!(%error, "cannot write the checkpoint");
            }
            *last = Instant::now();
        }
    }

    /// Rests if queues have been written for a while, and the log has grown, since the time and the
    /// end in `since`; unless somebody waits for the checkpoint or for room.
    fn go_last(&self, since: &Cell<(Instant, i64)>, stop: &dyn Fn() -> bool) {
        let (begun, before) = since.get();
        let worked = begun.elapsed();
        if worked < WRITE_AT_ONCE {
            return;
        }
        let end = self.log.end();
        let awaited = self.awaited_saves.load(Ordering::Relaxed) > 0;
        if end > before && !awaited && !stop() && !self.disk_full() {
            std::thread::sleep(rest_after(worked, self.unsaved_bytes()));
        }
        since.set((Instant::now(), end));
    }

    /// Bytes of the log that a start after a crash would read.
    fn unsaved_bytes(&self) -> i64 {
        self.log.end() - self.checkpoint.marks().position.unwrap_or(0)
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
        self.awaited_saves.fetch_add(1, Ordering::Relaxed);
        let saved = self.save_checkpoint_unless(&|| false, &|| {});
        self.awaited_saves.fetch_sub(1, Ordering::Relaxed);
        saved.map(drop)
    }

    /// The same, or false and no word of it when `stop` is true before all queues are synced;
    /// `between` is called behind each queue that is written.
    pub(super) fn save_checkpoint_unless(
        &self,
        stop: &dyn Fn() -> bool,
        between: &dyn Fn(),
    ) -> io::Result<bool> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, store_timestamp) = self.log.mark();
        self.log.flush()?;
        faults::pass(Point::LogSynced);
        match self.queues.flush_unless(stop, between) {
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

fn rest_after(worked: Duration, behind: i64) -> Duration {
    let [much, too_much] = REST_BEHIND.map(|bytes| bytes as f64);
    let patience = ((too_much - behind as f64) / (too_much - much)).clamp(0.0, 1.0);
    worked.mul_f64(REST * patience).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_get_shorter_as_a_start_would_read_more() {
        let rest = |behind| rest_after(WRITE_AT_ONCE, behind).as_micros();
        assert_eq!([0, 1 << 30, 3 << 29, 2 << 30, 5 << 30].map(rest), [1600, 1600, 800, 0, 0]);
        assert_eq!(rest_after(Duration::from_secs(1), 0), REST_MAX);
    }
}
