//! Delivery of messages with a delay level.
//!
//! A delayed message is stored in the schedule topic, one queue per level, its unit holding the
//! time it is due instead of a tags code. When due, it is stored again in its own topic and queue
//! with the properties it was parked with (Java leaves DELAY, REAL_TOPIC and REAL_QID in them).
//!
//! Nothing polls: the task sleeps until the next due time. `look_at` holds per level when to look
//! again; an arrival lowers it and wakes the task if that is sooner. The task raises `look_at`
//! before it looks into the queue, so an arrival in between is never lost.

mod progress;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use remoting::protocol::body::DelayOffsetSerializeWrapper;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::{Record, records};
use runtime::clock::now_ms;
use runtime::services::Stop;
use store::dispatch::DelayLevels;
use store::json_file::JsonFileError;
use store::{Arrival, GetRequest, GetStatus, MessageStore, NewMessage, Put, PutError};
use tokio::sync::Notify;

use progress::Progress;

use crate::topics::{HALF_TOPIC, SCHEDULE_TOPIC};

const BATCH_COUNT_MAX: i32 = 64;
const BATCH_BYTES_MAX: i32 = 1 << 20;

/// Pause before a refused delivery is tried again.
const RETRY_MS: i64 = 100;

/// Stands for a level with nothing to wait for.
const NEVER: i64 = i64::MAX;

/// The delay levels and their delivery.
pub(crate) struct Schedule {
    levels: DelayLevels,
    progress: Progress,
    look_at: Vec<AtomicI64>,
    /// When the task wakes by itself; `NEVER` while it is awake, so that arrivals leave a permit.
    sleeps_until: AtomicI64,
    wake: Notify,
}

/// `messageDelayLevel` is no list of delays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("messageDelayLevel: `{part}` is no delay; write a number and one of s, m, h, d")]
pub struct LevelsError {
    part: String,
}

/// Parses `messageDelayLevel`; there is at least one level.
pub(crate) fn parse_levels(text: &str) -> Result<DelayLevels, LevelsError> {
    match DelayLevels::parse(text) {
        Ok(levels) if levels.max() > 0 => Ok(levels),
        Ok(_) => Err(LevelsError { part: String::new() }),
        Err(part) => Err(LevelsError { part }),
    }
}

/// Hears of every message that is stored in its own topic.
type Delivered<'a> = &'a dyn Fn(&str, &Put, Duration);

/// What became of one batch of a level.
struct Batch {
    next: i64,
    look_at: i64,
}

impl Schedule {
    /// Says why a load would fail; changes nothing.
    pub(crate) fn loadable(root: &Path) -> Result<(), JsonFileError> {
        Progress::loadable(root)
    }

    /// Loads how far the levels were delivered.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub(crate) fn load(
        root: &Path,
        levels: DelayLevels,
        version_step: u64,
    ) -> Result<Schedule, JsonFileError> {
        let progress = Progress::load(root, levels.max(), version_step)?;
        Ok(Schedule {
            look_at: (0..levels.max()).map(|_| AtomicI64::new(0)).collect(),
            levels,
            progress,
            sleeps_until: AtomicI64::new(NEVER),
            wake: Notify::new(),
        })
    }

    /// Returns the highest level.
    pub(crate) fn level_max(&self) -> i32 {
        self.levels.max()
    }

    /// Takes note of a message parked in the schedule topic.
    pub(crate) fn arrived(&self, arrival: &Arrival<'_>) {
        let Ok(queue_id) = usize::try_from(arrival.queue_id) else { return };
        let Some(look_at) = self.look_at.get(queue_id) else { return };
        self.progress.begin(queue_id);
        let due = arrival.tags_code;
        look_at.fetch_min(due, Ordering::SeqCst);
        if due < self.sleeps_until.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Delivers until the broker stops.
    ///
    /// `delivered` hears of every message that is stored in its own topic.
    pub(crate) async fn run(
        self: Arc<Self>,
        store: Arc<MessageStore>,
        delivered: impl Fn(&str, &Put, Duration),
        stop: Stop,
    ) {
        self.clamp(&store);
        while !stop.stopped() {
            self.sleeps_until.store(NEVER, Ordering::SeqCst);
            let now = now_ms();
            let due: Vec<usize> = (0..self.look_at.len()).filter(|q| self.due(*q, now)).collect();
            for queue_id in &due {
                self.deliver(*queue_id, &store, &delivered);
                // Long work shares the thread with the connections of the runtime.
                tokio::task::yield_now().await;
            }
            if due.is_empty() {
                self.sleep(&stop).await;
            }
        }
    }

    /// Writes the progress every `period_ms`, once the log is flushed that far.
    pub(crate) fn persist_when_durable(
        &self,
        period_ms: i64,
        store: &MessageStore,
    ) -> Result<(), JsonFileError> {
        self.progress.persist_when_durable(period_ms, store.flushed_offset(), now_ms())
    }

    /// Writes the progress now; for the stop, after the log has been flushed.
    pub(crate) fn persist(&self) -> Result<(), JsonFileError> {
        self.progress.persist(now_ms())
    }

    /// Returns the progress as tools and replicas get it (45).
    pub(crate) fn wrapper(&self) -> DelayOffsetSerializeWrapper {
        self.progress.wrapper()
    }

    /// Lists level, next offset and end of its queue, for the runtime information.
    pub(crate) fn positions(&self, store: &MessageStore) -> Vec<(i32, i64, i64)> {
        let entries = self.progress.entries().into_iter();
        entries
            .map(|(level, offset)| (level, offset, store.max_offset(SCHEDULE_TOPIC, level - 1)))
            .collect()
    }

    fn due(&self, queue_id: usize, now: i64) -> bool {
        let look_at = self.look_at[queue_id].load(Ordering::SeqCst);
        look_at <= now || (look_at != NEVER && look_at > now + self.delay_ms(queue_id))
    }

    /// The delay of a queue's level. A time further off than that was set by a clock that has
    /// been set back since: what waits for it is due.
    fn delay_ms(&self, queue_id: usize) -> i64 {
        let level = i32::try_from(queue_id + 1).unwrap_or(i32::MAX);
        self.levels.delay_ms(level).unwrap_or(0).max(RETRY_MS)
    }

    async fn sleep(&self, stop: &Stop) {
        let next = self.look_at.iter().map(|at| at.load(Ordering::SeqCst)).min().unwrap_or(NEVER);
        self.sleeps_until.store(next, Ordering::SeqCst);
        // An arrival that lowered a level before the line above saw `NEVER` and left a permit.
        stop.sleep_until(next, &self.wake).await;
    }

    /// Moves progress into what the queues hold: a foreign or older file may disagree.
    fn clamp(&self, store: &MessageStore) {
        for (level, offset) in self.progress.entries() {
            let queue_id = level - 1;
            let min = store.min_offset(SCHEDULE_TOPIC, queue_id).max(0);
            let max = store.max_offset(SCHEDULE_TOPIC, queue_id).max(min);
            let within = offset.clamp(min, max);
            if within != offset {
                tracing::error!(level, offset, min, max, "delay offset outside its queue, moved");
                self.progress.advance(queue_id.unsigned_abs() as usize, within, 0, now_ms());
            }
        }
    }

    fn deliver(&self, queue_id: usize, store: &MessageStore, delivered: Delivered<'_>) {
        // Raised before looking: what arrives from here on lowers it again.
        self.look_at[queue_id].store(NEVER, Ordering::SeqCst);
        let now = now_ms();
        let start = self.progress.next(queue_id);
        let mut end = 0;
        let batch = self.deliver_batch(queue_id, start, now, (store, delivered), &mut end);
        if batch.next != start || batch.look_at != NEVER {
            self.progress.advance(queue_id, batch.next, end, now);
        }
        self.look_at[queue_id].fetch_min(batch.look_at, Ordering::SeqCst);
    }

    fn deliver_batch(
        &self,
        queue_id: usize,
        start: i64,
        now: i64,
        (store, delivered): (&MessageStore, Delivered<'_>),
        end: &mut i64,
    ) -> Batch {
        // Units are looked at in order, so the filter can count them.
        let seen = Cell::new(0);
        let waits = Cell::new(None);
        let latest = now + self.delay_ms(queue_id);
        let due = |due: i64| {
            if waits.get().is_some() {
                return false;
            }
            if due > now && due <= latest {
                waits.set(Some((start + seen.get(), due)));
                return false;
            }
            seen.set(seen.get() + 1);
            true
        };
        let got = store.get(
            &GetRequest {
                topic: SCHEDULE_TOPIC,
                queue_id: queue_id as i32,
                queue_offset: start,
                count_max: BATCH_COUNT_MAX,
                bytes_max: BATCH_BYTES_MAX,
            },
            &due,
        );
        let mut next = start;
        for slice in &got.slices {
            for record in records(slice.as_ref()) {
                let Ok(record) = record else {
                    tracing::error!(queue_id, next, "a delayed message is damaged, skipped");
                    continue;
                };
                match redeliver(&record, store, delivered) {
                    Ok(put_end) => *end = put_end.max(*end),
                    Err(error) => {
                        tracing::warn!(%error, queue_id, next, "delayed delivery refused, again");
                        return Batch { next, look_at: now + RETRY_MS };
                    }
                }
                next = record.queue_offset + 1;
            }
        }
        match got.status {
            GetStatus::NoMatchedLogicQueue
            | GetStatus::NoMessageInQueue
            | GetStatus::OffsetOverflowOne => Batch { next, look_at: NEVER },
            _ => match waits.get() {
                Some((offset, due)) => Batch { next: offset.max(next), look_at: due },
                None if got.next_offset > start || next > start => {
                    Batch { next: got.next_offset.max(next), look_at: now }
                }
                None => Batch { next: got.next_offset.max(0), look_at: now + RETRY_MS },
            },
        }
    }
}

/// Stores a parked message in its own topic and returns the log position behind the copy.
///
/// What cannot be delivered ever (no destination, over a limit) is dropped with a log line.
fn redeliver(
    record: &Record<'_>,
    store: &MessageStore,
    delivered: Delivered<'_>,
) -> Result<i64, PutError> {
    let properties = record.properties();
    let topic = properties.get(property::REAL_TOPIC);
    let queue_id = properties.get(property::REAL_QUEUE_ID).and_then(|id| id.parse().ok());
    let (Some(topic), Some(queue_id)) = (topic, queue_id) else {
        tracing::error!(offset = record.physical_offset, "delayed message without destination");
        return Ok(0);
    };
    if topic == HALF_TOPIC {
        tracing::error!(offset = record.physical_offset, "delayed half message, dropped");
        return Ok(0);
    }
    let begun = Instant::now();
    match store.put(&NewMessage::copy_of(record, topic, queue_id, record.properties)) {
        Ok(put) => {
            delivered(topic, &put, begun.elapsed());
            Ok(put.end)
        }
        Err(error @ (PutError::MessageIllegal(_) | PutError::PropertiesSizeExceeded { .. })) => {
            tracing::error!(%error, topic, offset = record.physical_offset, "dropped for good");
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
