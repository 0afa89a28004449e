//! Messages that become visible at a given millisecond.
//!
//! They wait in the timer topic. Java's files say where: `timerwheel` has the slots of time,
//! `timerlog/` the messages of each, `config/timercheck` how far all of it has come. A Java broker
//! delivers a slot when it is over; we open it before it begins and deliver to the millisecond.
//!
//! One thread does the work ([`worker`]); it sleeps until something is due or a message for an
//! earlier time arrives. A tick saves the state: the log of units is synced, then the wheel that
//! points into it is written and synced, then the check, which names nothing that is not on disk.

mod check;
mod copies;
mod counts;
mod flow;
mod log;
mod parked;
mod rates;
mod recovery;
mod told;
mod unit;
mod view;
mod wheel;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use remoting::protocol::body::TimerMetricsSerializeWrapper;
use runtime::clock::now_ms;
use runtime::services::Stop;
use tracing::{error, warn};

pub use check::{CHECK_LEN, Check};
pub use flow::{DELAY_BOUNDS, TopicFlow};
pub use view::TimerView;

use crate::faults::{self, Point};
use crate::json_file::JsonFileError;
use crate::watermark::Signal;
use crate::{MessageStore, Put};
use check::CheckFile;
use counts::Counts;
use flow::Flow;
use log::TimerLog;
use rates::Rates;
use told::Told;
use unit::{NO_UNIT, Unit};
use wheel::Wheel;
use worker::{Next, Worker};

/// Where timer messages wait, in queue 0.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// Bytes of properties that delivery adds to a message: it must not become too long by them.
pub const PROPERTIES_ROOM: usize = 128;

/// Messages that may arrive before the sleeping thread is woken for them.
const UNREAD_MAX: usize = 64;
/// Longest sleep, in ms; a signal ends any.
const SLEEP_MAX_MS: i64 = 3_600_000;
/// Stands for no time.
const NEVER: i64 = i64::MAX;

/// `TIMER_OUT_MS` of a message that is to be delivered at a time: the slot it waits in.
///
/// The slot is the one before the time, so that whoever delivers a slot when it has passed is
/// never early.
pub fn slot_of(deliver_ms: i64, precision_ms: i64) -> i64 {
    (deliver_ms - 1).div_euclid(precision_ms) * precision_ms
}

/// The timer: its files and its thread's state.
#[derive(Debug)]
pub struct Timer {
    log: TimerLog,
    wheel: Wheel,
    saved: Mutex<Saved>,
    /// Nothing is saved before this offset of the timer topic is reached: what a start that finds
    /// units lost takes into account is not in the check.
    save_from: i64,
    worker: Mutex<Worker>,
    progress: Progress,
    counts: Counts,
    rates: Rates,
    flow: Flow,
    told: Told,
    roll_window: i32,
    congestion: i32,
    /// Draws whom congestion hits.
    dice: AtomicU32,
    wake: Signal,
    /// When the thread wakes by itself; `NEVER` while it is awake, so that it finds a signal.
    sleeps_until: AtomicI64,
    /// Messages that arrived since it last looked.
    unread: AtomicUsize,
    /// What is due before this time, of what has arrived, is delivered.
    open_from: AtomicI64,
}

/// The check and what it says on disk.
#[derive(Debug)]
struct Saved {
    file: CheckFile,
    check: Check,
}

/// How far the thread has come, for the check.
#[derive(Debug, Default)]
struct Progress {
    read_ms: AtomicI64,
    queue_offset: AtomicI64,
    /// The wheel holds all units before this position, and the queue offset covers them.
    applied: AtomicI64,
    /// Log position the above relies on.
    durable: AtomicI64,
}

impl Progress {
    fn raise_durable(&self, position: i64) {
        self.durable.fetch_max(position, Ordering::SeqCst);
    }
}

impl Timer {
    /// Lets `told` know of each message that is stored in its own topic, or anew for the rest of
    /// its time, with how long that took. The first one stays.
    pub fn tell_stored(&self, told: impl Fn(&str, &Put, Duration) + Send + Sync + 'static) {
        self.told.set(told);
    }

    /// Takes note of a message that was parked for a time; it is visible in the timer topic.
    pub fn parked(&self, deliver_ms: i64) {
        let unread = self.unread.fetch_add(1, Ordering::SeqCst) + 1;
        // Counted before, so that `note_delivered` sees one of the two.
        self.open_from.fetch_min(deliver_ms, Ordering::SeqCst);
        if unread >= UNREAD_MAX || deliver_ms < self.sleeps_until.load(Ordering::SeqCst) {
            self.wake.give();
        }
    }

    /// Whether one more message for a time is too many: by chance above the limit of a slot, and
    /// certainly from twice that on.
    pub fn congested(&self, deliver_ms: i64) -> bool {
        let limit = i64::from(self.congestion);
        if self.congestion == i32::MAX {
            return false;
        }
        let slot = self.wheel.slot(slot_of(deliver_ms, self.precision_ms()));
        let waiting = slot.ok().flatten().map_or(0, |slot| i64::from(slot.count));
        let over = waiting - limit;
        if over <= 0 || over >= limit {
            return over > 0;
        }
        let step = |dice: u32| Some(dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let drawn = self.dice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        let drawn = i64::from(drawn.unwrap_or_else(|dice| dice) >> 16);
        drawn * limit < over << 16
    }

    /// What `config/timercheck` says, as replicas ask for it (60).
    pub fn check(&self) -> [u8; CHECK_LEN] {
        self.saved().check.encode()
    }

    /// Waiting messages by topic, as replicas ask for them (61).
    pub fn metrics(&self) -> TimerMetricsSerializeWrapper {
        self.counts.wrapper()
    }

    /// Has what was parked taken in, which otherwise waits until the thread has something to do;
    /// returns when that is done, or after `patience`.
    pub fn take_in(&self, store: &MessageStore, patience: Duration) {
        let until = Instant::now() + patience;
        self.wake.give();
        while self.figures(store).behind > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What went through by topic since the start.
    pub fn flow(&self) -> BTreeMap<String, TopicFlow> {
        self.flow.topics()
    }

    /// Messages that are due within each of these spans from `now_ms` on: `bounds` are their ends
    /// in seconds.
    ///
    /// # Errors
    /// The wheel cannot be read.
    pub fn due_within(&self, now_ms: i64, bounds: &[i64]) -> io::Result<Vec<i64>> {
        let mut from = self.wheel.slot_start(now_ms);
        let begin = from;
        let mut within = Vec::with_capacity(bounds.len());
        for bound in bounds {
            let until = begin + bound * 1000;
            within.push(self.wheel.count_between(from, until)?);
            from = until;
        }
        Ok(within)
    }

    /// Figures for the runtime information: name and value.
    pub fn runtime(&self, store: &MessageStore) -> Vec<(&'static str, String)> {
        self.figures(store).named()
    }

    /// How far the timer is.
    pub fn figures(&self, store: &MessageStore) -> Figures {
        let read_ms = self.progress.read_ms.load(Ordering::SeqCst);
        let queue_offset = self.progress.queue_offset.load(Ordering::SeqCst);
        let waiting = self.counts.sum();
        // A slot is done when it is over: less than two slots are no delay.
        let late_ms = if waiting > 0 { now_ms() - read_ms - 2 * self.precision_ms() } else { 0 };
        let behind = store.max_offset(TIMER_TOPIC, 0) - queue_offset;
        let (enqueued, delivered) = self.rates.per_second();
        let (late_ms, behind) = (late_ms.max(0), behind.max(0));
        Figures { late_ms, behind, waiting, enqueued, delivered }
    }

    /// Works until told to stop.
    pub(crate) fn run(&self, store: &MessageStore, stop: &Stop) {
        while !stop.stopped() {
            if let Some(pause) = self.turn(store, now_ms()) {
                self.wake.take(pause);
            }
        }
    }

    /// Ends the sleep of the thread.
    pub(crate) fn wake(&self) {
        self.wake.give();
    }

    /// Does a bounded piece of what there is to do; returns how long nothing is due.
    pub fn turn(&self, store: &MessageStore, now: i64) -> Option<Duration> {
        let mut worker = self.worker();
        self.sleeps_until.store(NEVER, Ordering::SeqCst);
        self.unread.store(0, Ordering::SeqCst);
        let next = worker.turn(self, store, now);
        if let Some(open_from) = worker.delivered_before() {
            self.note_delivered(open_from, now);
        }
        if next == Next::Now {
            return None;
        }
        let until = if let Next::At(at) = next { at } else { NEVER };
        // A message that came before this line left a signal, as it saw `NEVER`.
        self.sleeps_until.store(until, Ordering::SeqCst);
        let ms = until.saturating_sub(now_ms()).clamp(0, SLEEP_MAX_MS);
        Some(Duration::from_millis(ms.unsigned_abs()))
    }

    /// Until when everything that was due by then is in its own queue, at `now_ms`.
    pub fn delivered_until(&self, now_ms: i64) -> i64 {
        self.open_from.load(Ordering::SeqCst).saturating_sub(1).min(now_ms)
    }

    /// A turn at `now` has delivered everything; the next message it knows is due at `open_from`.
    fn note_delivered(&self, open_from: i64, now: i64) {
        self.open_from.store(open_from, Ordering::SeqCst);
        if self.unread.load(Ordering::SeqCst) > 0 {
            // One that came during the turn may be due before that one, but not before now.
            self.open_from.fetch_min(now, Ordering::SeqCst);
        }
    }

    /// Saves how far the timer is; nothing is named that is not on disk.
    pub fn save(&self, store: &MessageStore) -> io::Result<()> {
        let mut saved = self.saved();
        // In the reverse order of `publish`: whatever the first names, the others cover.
        let log_flushed = self.progress.applied.load(Ordering::SeqCst);
        let queue_offset = self.progress.queue_offset.load(Ordering::SeqCst);
        let read_ms = self.progress.read_ms.load(Ordering::SeqCst);
        let durable = self.progress.durable.load(Ordering::SeqCst);
        let last = saved.check;
        let moved = (last.read_ms, last.queue_offset) != (read_ms, queue_offset);
        let same = !moved && last.log_flushed == log_flushed;
        if same || queue_offset < self.save_from {
            return Ok(());
        }
        self.wheel.begin_flush();
        self.log.flush().inspect_err(|error| store.log().poison(self.log.path(), "sync", error))?;
        faults::pass(Point::TimerLogSynced);
        self.wheel.flush()?;
        faults::pass(Point::WheelSynced);
        if store.flushed_offset() < durable {
            store.log().flush()?;
        }
        saved.check = Check {
            read_ms,
            log_flushed,
            queue_offset,
            // Java starts from the smaller one: a 0 would have it deliver everything again.
            master_queue_offset: queue_offset,
            state_version: last.state_version,
            version_ms: if moved { now_ms() } else { last.version_ms },
            version_counter: last.version_counter + i64::from(moved),
        };
        saved.file.save(&saved.check)
    }

    /// The periodic save, with what is due less often.
    pub(crate) fn save_tick(&self, store: &MessageStore) {
        self.rates.sample(now_ms());
        if let Err(error) = self.save(store) {
            let path = self.saved().file.path().display().to_string();
            error!(path, %error, "the timer's state is not saved, trying again");
        }
        if let Err(error) = self.counts.save_if_old(now_ms()) {
            warn!(%error, "the timer's counts are not saved");
        }
    }

    /// Deletes what stands for messages that have left the log.
    pub(crate) fn delete_expired(&self, log_min: i64) {
        if let Err(error) = self.log.delete_expired(log_min) {
            let path = self.log.path().display();
            warn!(%path, %error, "cannot delete expired timer log files");
        }
    }

    /// Saves for good; the thread has stopped. A Java broker that goes on delivers nothing twice.
    pub(crate) fn close(&self, store: &MessageStore) -> io::Result<()> {
        let worker = self.worker();
        // The slot before the first undone one is over for good before a unit is put into it.
        self.save(store)?;
        self.split_half_done(store, &worker)?;
        self.save(store)?;
        self.counts.save().map_err(|error: JsonFileError| io::Error::other(error.to_string()))
    }

    /// Gives slots that are delivered in part a new chain of what is left.
    ///
    /// A Java broker looks at the last units again: the newest one of a slot counts. And the last
    /// unit of all tells it which message of the timer topic it has seen last, so one for that
    /// message ends the log. A unit that takes back, but of a message that does not, does nothing.
    fn split_half_done(&self, store: &MessageStore, worker: &Worker) -> io::Result<()> {
        let half_done = worker.half_done(self)?;
        let seen = store.queues().find(TIMER_TOPIC, 0);
        let seen = seen.and_then(|queue| queue.unit(worker.queue_offset - 1).ok().flatten());
        let Some(seen) = seen.filter(|_| !half_done.is_empty()) else { return Ok(()) };
        let nothing = |slot_ms: i64| Unit {
            previous: NO_UNIT,
            rolls: false,
            deletes: true,
            write_ms: slot_ms,
            delay_ms: 0,
            physical_offset: seen.physical_offset,
            size: seen.size,
            topic_hash: 0,
        };
        for (slot_ms, mut units) in half_done {
            if units.is_empty() {
                units.push(nothing(slot_ms));
            }
            self.wheel.clear_slot(slot_ms);
            let mut previous = NO_UNIT;
            for unit in units {
                let position = self.log.append(&Unit { previous, ..unit })?;
                self.wheel.add(slot_ms, position, unit.deletes)?;
                previous = position;
            }
        }
        let over = self.wheel.slot_start(worker.read_ms) - self.precision_ms();
        self.log.append(&nothing(over))?;
        self.publish(worker);
        Ok(())
    }

    fn precision_ms(&self) -> i64 {
        self.wheel.precision_ms()
    }

    fn publish(&self, worker: &Worker) {
        self.progress.read_ms.store(worker.read_ms, Ordering::SeqCst);
        self.progress.queue_offset.store(worker.queue_offset, Ordering::SeqCst);
        // Units of messages yet to come are looked for from here on.
        if worker.restart.with_unit.is_empty() {
            self.progress.applied.store(self.log.end(), Ordering::SeqCst);
        }
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saved(&self) -> MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a timer is; all zero for one that is off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// By how many ms delivery is late.
    pub late_ms: i64,
    /// Messages that are stored and not in the wheel.
    pub behind: i64,
    /// Messages that wait.
    pub waiting: i64,
    /// Messages a second that come and go.
    pub enqueued: f32,
    /// Messages a second that are delivered.
    pub delivered: f32,
}

impl Figures {
    /// Under the names of the runtime information.
    pub(crate) fn named(&self) -> Vec<(&'static str, String)> {
        vec![
            ("timerReadBehind", (self.late_ms / 1000).to_string()),
            ("timerOffsetBehind", self.behind.to_string()),
            ("timerCongestNum", self.waiting.to_string()),
            ("timerEnqueueTps", format!("{:?}", self.enqueued)),
            ("timerDequeueTps", format!("{:?}", self.delivered)),
        ]
    }
}

#[cfg(test)]
mod tests;
