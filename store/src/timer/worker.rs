//! What the timer's thread does: take new messages in, open the slots that come near, deliver.
//!
//! ```text
//! timer topic ──enqueue──► timer log + wheel ──open──► near (a heap, by due time) ──► log
//! ```
//!
//! A slot is opened some time before it begins; from then on its messages are in memory, and new
//! ones for it go there too. It is done when its time is over and all of them are delivered; the
//! check names the first slot that is not. What a restart may deliver again it first looks for
//! among what was delivered.
//!
//! Lock order: the worker's lock, then the append lock of the log, then a queue's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::io;
use std::time::Instant;

use remoting::protocol::message::hash::java_string_hash;
use remoting::protocol::message::{PropertiesBuf, Record};
use tracing::{error, warn};

use super::copies::Copies;
use super::parked::{NEVER_ENQUEUED, Parked};
use super::unit::{NO_UNIT, Unit};
use super::wheel::ROUND;
use super::{TIMER_TOPIC, Timer};
use crate::consume_queue;
use crate::dispatch::ViewError;
use crate::faults::{self, Point};
use crate::{LogSlice, MessageStore, PutError};

/// How long before it begins a slot is opened, in ms.
const LEAD_MS: i64 = 1000;
/// Messages of one step; then the others of a turn have their share.
const STEP: usize = 64;
/// Messages in memory above which no further slot is opened.
const NEAR_MAX: usize = 200_000;
/// Pause after a refused write, in ms.
const RETRY_MS: i64 = 100;
/// Longest sleep while something waits, so that a clock that jumps is noticed.
const SLEEP_MAX_MS: i64 = 1000;
/// Slots a message is kept away from the end of a round.
pub(super) const MARGIN: i64 = 60;

/// What the timer's thread knows.
#[derive(Debug)]
pub(super) struct Worker {
    /// Next offset of the timer topic.
    pub(super) queue_offset: i64,
    /// First slot that is not done.
    pub(super) read_ms: i64,
    /// Newest slot anything waits in.
    pub(super) last_slot: Option<i64>,
    /// New messages are taken in up to this queue offset before anything is delivered: what was
    /// there at the start, or was stored anew, may take back what is due.
    pub(super) first_to: i64,
    /// What a start takes into account.
    pub(super) restart: Restart,
    /// Slots before this time are open or done.
    pub(super) open_until: i64,
    open: BTreeMap<i64, OpenSlot>,
    opening: Option<Opening>,
    near: BinaryHeap<Reverse<Near>>,
    /// Nothing is tried before this time.
    hold_until: i64,
    held: bool,
    /// The last turn left nothing that was due.
    complete: bool,
    properties: PropertiesBuf,
}

/// What a start found that was begun before it.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// Messages from the queue offset on that have a unit, by log position.
    pub(super) with_unit: HashSet<i64>,
    /// Messages before this queue offset may have had a unit that is lost.
    pub(super) lost_before: i64,
    /// Of those, the ones before this queue offset and in slots before this time are done.
    pub(super) done_before: (i64, i64),
    /// What was delivered before the start.
    pub(super) copies: Copies,
}

/// A slot whose messages are in memory.
#[derive(Debug, Default)]
struct OpenSlot {
    waiting: usize,
    /// Keys of the messages that are taken back.
    taken_back: Vec<String>,
}

/// A slot whose messages are being read.
#[derive(Debug)]
struct Opening {
    slot_ms: i64,
    /// Positions of its units, the oldest last.
    positions: Vec<i64>,
    read: Vec<Near>,
}

/// A message that is due soon; ordered by time, then as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    due_ms: i64,
    position: i64,
    slot_ms: i64,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More work waits.
    Now,
    /// At this time, or when a message for an earlier one arrives.
    At(i64),
    /// When a message arrives.
    OnArrival,
}

/// Why a step ended before its end; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error(transparent)]
    Put(#[from] PutError),
    #[error("timer files: {0}")]
    Files(#[from] io::Error),
    #[error(transparent)]
    Queue(#[from] ViewError),
}

/// What the steps work on.
#[derive(Clone, Copy)]
struct On<'a> {
    timer: &'a Timer,
    store: &'a MessageStore,
    now: i64,
}

impl Worker {
    /// Starts from what recovery found.
    pub(super) fn new(queue_offset: i64, read_ms: i64, last_slot: Option<i64>) -> Worker {
        Worker {
            queue_offset,
            read_ms,
            last_slot,
            first_to: 0,
            restart: Restart::default(),
            open_until: read_ms,
            open: BTreeMap::new(),
            opening: None,
            near: BinaryHeap::new(),
            hold_until: i64::MIN,
            held: false,
            complete: false,
            properties: PropertiesBuf::new(),
        }
    }

    /// Does a bounded piece of what there is to do at `now`.
    pub(super) fn turn(&mut self, timer: &Timer, store: &MessageStore, now: i64) -> Next {
        let on = On { timer, store, now };
        self.complete = false;
        if now < self.hold_until && self.hold_until - now <= RETRY_MS {
            return Next::At(self.hold_until);
        }
        let done = self.steps(on);
        timer.publish(self);
        match done {
            Ok(next) => {
                self.held = false;
                next
            }
            Err(halt) => {
                if !std::mem::replace(&mut self.held, true) {
                    warn!(%halt, "the timer is held up, trying again");
                }
                self.hold_until = now + RETRY_MS;
                Next::At(self.hold_until)
            }
        }
    }

    fn steps(&mut self, on: On<'_>) -> Result<Next, Halt> {
        // A message for a slot of a later round must not take the place of one that waits.
        let round_ms = ROUND * on.timer.precision_ms();
        let behind = on.now - self.read_ms
            > 2 * round_ms - on.timer.window_ms() - MARGIN * on.timer.precision_ms();
        let more_in = !behind && self.enqueue(on)?;
        if more_in && self.queue_offset < self.first_to {
            return Ok(Next::Now);
        }
        let more_open = self.open_slots(on)?;
        let more_due = self.deliver(on)?;
        self.move_read_time(on);
        let reads = !on.store.config().timer_stop_enqueue;
        self.complete = reads && !(behind || more_in || more_open || more_due);
        // What was stored anew is a new message itself.
        let more_in = more_in || self.unread(on);
        if behind || more_in || more_open || more_due {
            return Ok(Next::Now);
        }
        Ok(self.next(on))
    }

    /// The time before which nothing is left to deliver, if the last turn got that far.
    pub(super) fn delivered_before(&self) -> Option<i64> {
        let due = self.near.peek().map(|Reverse(near)| near.due_ms);
        let unopened = self.last_slot.is_some_and(|last| last >= self.open_until);
        let first = due.into_iter().chain(unopened.then_some(self.open_until)).min();
        self.complete.then_some(first.unwrap_or(i64::MAX))
    }

    fn unread(&self, on: On<'_>) -> bool {
        !on.store.config().timer_stop_enqueue
            && on.store.max_offset(TIMER_TOPIC, 0) > self.queue_offset
    }

    fn next(&self, on: On<'_>) -> Next {
        let due = self.near.peek().map(|Reverse(near)| near.due_ms);
        let unopened = self.last_slot.is_some_and(|last| last >= self.open_until);
        let open_at = unopened.then_some(self.open_until - LEAD_MS);
        // Then the read time moves on, and after a kill a Java broker repeats none of the slot.
        let delivered = self.open.first_key_value().filter(|(_, slot)| slot.waiting == 0);
        let over = delivered.map(|(slot_ms, _)| slot_ms + on.timer.precision_ms());
        match due.into_iter().chain(open_at).chain(over).min() {
            Some(at) => Next::At(at.min(on.now + SLEEP_MAX_MS)),
            None => Next::OnArrival,
        }
    }

    /// Takes new messages of the timer topic in; true while more wait.
    fn enqueue(&mut self, on: On<'_>) -> Result<bool, Halt> {
        let Some(queue) = on.store.queues().find(TIMER_TOPIC, 0) else { return Ok(false) };
        if on.store.config().timer_stop_enqueue {
            return Ok(false);
        }
        let min = queue.min_offset();
        if self.queue_offset < min {
            warn!(from = self.queue_offset, min, "timer messages were deleted unread");
            self.queue_offset = min;
        }
        let begun = self.queue_offset;
        // What arrives meanwhile is for the next turn, and no sign of a unit that is missing.
        let end = queue.next_offset();
        for unit in queue.units_from(begun)?.take(STEP) {
            let unit = unit?;
            self.enqueue_one(on, &unit)?;
            self.queue_offset = unit.next_offset().max(begun + 1);
        }
        let more = self.queue_offset < end;
        if more && self.queue_offset == begun {
            return Err(io::Error::other("a unit of the timer topic cannot be read").into());
        }
        Ok(more)
    }

    fn enqueue_one(&mut self, on: On<'_>, unit: &consume_queue::Unit) -> Result<(), Halt> {
        let position = unit.physical_offset;
        if unit.is_filler() || self.restart.with_unit.remove(&position) {
            return Ok(());
        }
        let slice = on.store.read(position);
        let Some(parked) = parked(slice.as_ref(), position, unit.size) else {
            error!(position, offset = unit.queue_offset, "no timer message, skipped");
            return Ok(());
        };
        on.timer.progress.raise_durable(unit.physical_end());
        let slot_ms = on.timer.wheel.slot_start(parked.out_ms);
        if unit.queue_offset < self.restart.lost_before
            && self.was_done(on, &parked, unit.queue_offset)
        {
            return Ok(());
        }
        on.timer.rates.enqueued();
        let delay_ms = parked.out_ms - parked.record().born_timestamp;
        on.timer.flow.enqueued(parked.topic, delay_ms);
        let due_ms = parked.due_ms(on.timer.precision_ms());
        if slot_ms < self.read_ms && due_ms <= on.now {
            if parked.takes_back.is_some() {
                return Ok(());
            }
            return self.deliver_copy(on, &parked, due_ms, NEVER_ENQUEUED);
        }
        self.append(on, &parked, due_ms, slot_ms.max(self.read_ms))
    }

    /// Whether a message whose unit is lost had been delivered, or stored anew.
    fn was_done(&mut self, on: On<'_>, parked: &Parked<'_>, queue_offset: i64) -> bool {
        let (offset, time_ms) = self.restart.done_before;
        if queue_offset < offset && parked.out_ms < time_ms {
            return true;
        }
        let wait_ms = parked.out_ms - parked.record().store_timestamp;
        let rolls = wait_ms >= on.timer.window_ms() - on.timer.precision_ms();
        rolls && self.restart.copies.take_rolled(on.store, parked)
    }

    /// Makes the unit of a message.
    fn append(
        &mut self,
        on: On<'_>,
        parked: &Parked<'_>,
        due_ms: i64,
        slot_ms: i64,
    ) -> Result<(), Halt> {
        let timer = on.timer;
        let (window, write_ms) = (timer.window_ms(), timer.wheel.slot_start(on.now).min(slot_ms));
        let rolls = slot_ms - write_ms >= window;
        let delay_ms = match slot_ms - write_ms {
            delay if !rolls => delay,
            // Time enough for the second part.
            delay if delay - window < window / 3 => timer.wheel.slot_start(window / 2),
            _ => window,
        };
        let slot_ms = write_ms + delay_ms;
        let deletes = parked.takes_back.is_some();
        let unit = Unit {
            previous: timer.wheel.slot(slot_ms)?.map_or(NO_UNIT, |slot| slot.last),
            rolls,
            deletes,
            write_ms,
            // No more than the window, which is less than a round.
            delay_ms: i32::try_from(delay_ms).unwrap_or(i32::MAX),
            physical_offset: parked.record().physical_offset,
            size: parked.record().total_size.cast_signed(),
            topic_hash: java_string_hash(parked.topic),
        };
        let position = timer.log.append(&unit)?;
        timer.wheel.add(slot_ms, position, deletes)?;
        timer.counts.add(parked.topic, if deletes { -1 } else { 1 }, on.now);
        self.last_slot = self.last_slot.max(Some(slot_ms));
        if slot_ms < self.open_until {
            let open = self.open.entry(slot_ms).or_default();
            match parked.takes_back.filter(|_| !rolls) {
                Some(key) => {
                    timer.counts.add(parked.topic, 1, on.now);
                    open.taken_back.push(key.to_owned());
                }
                None => {
                    open.waiting += 1;
                    let due_ms = if rolls { slot_ms } else { due_ms };
                    self.near.push(Reverse(Near { due_ms, position, slot_ms }));
                }
            }
        }
        Ok(())
    }

    /// Reads the messages of slots that begin soon; true while more wait.
    fn open_slots(&mut self, on: On<'_>) -> Result<bool, Halt> {
        if let Some(opening) = self.opening.take() {
            self.read_slot(on, opening);
            return Ok(true);
        }
        let precision = on.timer.precision_ms();
        let until = on.timer.wheel.slot_start(on.now + LEAD_MS) + precision;
        if self.last_slot.is_none_or(|last| last < self.open_until) {
            self.open_until = self.open_until.max(until);
            return Ok(false);
        }
        if self.open_until >= until || self.near.len() >= NEAR_MAX {
            return Ok(false);
        }
        let Some(slot_ms) = on.timer.wheel.next_used(self.open_until, until)? else {
            self.open_until = until;
            return Ok(false);
        };
        let positions = on.timer.chain(slot_ms)?;
        self.open_until = slot_ms + precision;
        self.open.entry(slot_ms).or_default().waiting += positions.len();
        self.opening = Some(Opening { slot_ms, positions, read: Vec::new() });
        Ok(true)
    }

    /// Reads some messages of the slot, and makes all of them deliverable when it has read them.
    fn read_slot(&mut self, on: On<'_>, mut opening: Opening) {
        let slot_ms = opening.slot_ms;
        let open = self.open.entry(slot_ms).or_default();
        let rest = opening.positions.len().saturating_sub(STEP);
        for position in opening.positions.drain(rest..).rev() {
            let unit = on.timer.log.unit(position);
            let slice = unit.and_then(|unit| on.store.read(unit.physical_offset));
            let parked =
                unit.and_then(|unit| parked(slice.as_ref(), unit.physical_offset, unit.size));
            let (Some(unit), Some(parked)) = (unit, parked) else {
                error!(slot_ms, position, "a waiting timer message is no longer in the log");
                open.waiting -= 1;
                continue;
            };
            if unit.deletes && !unit.rolls {
                open.waiting -= 1;
                if let Some(key) = parked.takes_back {
                    on.timer.counts.add(parked.topic, 1, on.now);
                    open.taken_back.push(key.to_owned());
                }
                continue;
            }
            let due_ms = if unit.rolls { slot_ms } else { parked.due_ms(on.timer.precision_ms()) };
            opening.read.push(Near { due_ms, position, slot_ms });
        }
        if opening.positions.is_empty() {
            self.near.extend(opening.read.into_iter().map(Reverse));
        } else {
            self.opening = Some(opening);
        }
    }

    /// Delivers what is due; true while more is.
    fn deliver(&mut self, on: On<'_>) -> Result<bool, Halt> {
        for _ in 0..STEP {
            let Some(Reverse(near)) = self.near.peek().copied() else { return Ok(false) };
            if near.due_ms > on.now {
                return Ok(false);
            }
            self.deliver_one(on, &near)?;
            faults::pass(Point::TimerDelivered);
            self.near.pop();
            if let Some(open) = self.open.get_mut(&near.slot_ms) {
                open.waiting -= 1;
            }
        }
        Ok(true)
    }

    fn deliver_one(&mut self, on: On<'_>, near: &Near) -> Result<(), Halt> {
        let unit = on.timer.log.unit(near.position);
        let slice = unit.and_then(|unit| on.store.read(unit.physical_offset));
        let parked = unit.and_then(|unit| parked(slice.as_ref(), unit.physical_offset, unit.size));
        let (Some(unit), Some(parked)) = (unit, parked) else {
            let position = near.position;
            error!(position, "a due timer message is no longer in the log");
            return Ok(());
        };
        if unit.rolls {
            return self.roll(on, &parked, near.due_ms, unit.write_ms);
        }
        let open = self.open.get(&near.slot_ms);
        if !open.is_some_and(|open| parked.taken_back(open.taken_back.iter())) {
            self.deliver_copy(on, &parked, near.due_ms, unit.write_ms)?;
        }
        on.timer.counts.add(parked.topic, -1, on.now);
        Ok(())
    }

    /// Stores a due message in its own queue, unless it was before the start.
    fn deliver_copy(
        &mut self,
        on: On<'_>,
        parked: &Parked<'_>,
        due_ms: i64,
        enqueue_ms: i64,
    ) -> Result<(), Halt> {
        if self.restart.copies.take(on.store, parked, due_ms) {
            return Ok(());
        }
        let message = parked.delivered(enqueue_ms, on.now, &mut self.properties);
        put(on, &message)?;
        on.timer.rates.delivered();
        on.timer.flow.dequeued(parked.topic);
        Ok(())
    }

    /// Stores a message anew for the rest of its time, unless that was done before the start.
    fn roll(
        &mut self,
        on: On<'_>,
        parked: &Parked<'_>,
        roll_ms: i64,
        enqueue_ms: i64,
    ) -> Result<(), Halt> {
        let begun_before = self.restart.copies.reach(roll_ms);
        if !(begun_before && self.restart.copies.take_rolled(on.store, parked)) {
            let due_ms = parked.due_ms(on.timer.precision_ms());
            let message = parked.rolled(enqueue_ms, on.now, due_ms, &mut self.properties);
            if let Some(queue_offset) = put(on, &message)? {
                self.first_to = queue_offset + 1;
            }
            on.timer.flow.dequeued(parked.topic);
        }
        on.timer.counts.add(parked.topic, -1, on.now);
        Ok(())
    }

    /// Moves on to the first slot that is not done.
    fn move_read_time(&mut self, on: On<'_>) {
        if self.queue_offset < self.first_to && self.unread(on) {
            return;
        }
        let precision = on.timer.precision_ms();
        while let Some(slot) = self.open.first_entry() {
            if slot.get().waiting > 0 || *slot.key() + precision > on.now {
                break;
            }
            slot.remove();
        }
        let reach = self.open_until.min(on.timer.wheel.slot_start(on.now));
        let first = self.open.first_key_value().map_or(reach, |(slot, _)| reach.min(*slot));
        self.read_ms = self.read_ms.max(first);
    }

    /// The open slots of which a part is delivered, with the units that are not: for a stop.
    pub(super) fn half_done(&self, timer: &Timer) -> io::Result<Vec<(i64, Vec<Unit>)>> {
        let mut rest: BTreeMap<i64, Vec<i64>> =
            self.open.keys().map(|slot_ms| (*slot_ms, Vec::new())).collect();
        for Reverse(near) in &self.near {
            rest.entry(near.slot_ms).or_default().push(near.position);
        }
        if let Some(opening) = &self.opening {
            rest.remove(&opening.slot_ms);
        }
        let mut slots = Vec::new();
        for (slot_ms, mut positions) in rest {
            positions.sort_unstable();
            let chained = timer.chain(slot_ms)?;
            let mut kept = Vec::with_capacity(positions.len());
            for position in chained.iter().rev() {
                let unit = timer.log.unit(*position);
                let waits = positions.binary_search(position).is_ok();
                kept.extend(unit.filter(|unit| waits || (unit.deletes && !unit.rolls)));
            }
            if kept.len() < chained.len() {
                slots.push((slot_ms, kept));
            }
        }
        Ok(slots)
    }
}

impl Timer {
    /// Milliseconds a message waits in one slot at most; later ones are stored anew in between.
    fn window_ms(&self) -> i64 {
        let slots = i64::from(self.roll_window);
        let slots = if (2..=ROUND - MARGIN).contains(&slots) { slots } else { ROUND - MARGIN };
        slots * self.precision_ms()
    }

    /// Positions of the units of a slot, the newest first.
    fn chain(&self, slot_ms: i64) -> io::Result<Vec<i64>> {
        let last = self.wheel.slot(slot_ms)?.map_or(NO_UNIT, |slot| slot.last);
        let (positions, broken) = self.log.chain(slot_ms, last);
        if let Some(position) = broken {
            error!(slot_ms, position, "the chain of a timer slot is broken");
        }
        Ok(positions)
    }
}

/// The timer message at a place of the log.
fn parked(slice: Option<&LogSlice>, position: i64, size: i32) -> Option<Parked<'_>> {
    let record = Record::decode(slice?.as_ref()).ok()?;
    let same = record.physical_offset == position && record.total_size.cast_signed() == size;
    Parked::of(record).filter(|_| same)
}

/// Stores a copy and returns its queue offset; what cannot be stored ever is dropped with a log
/// line.
fn put(on: On<'_>, message: &crate::NewMessage<'_>) -> Result<Option<i64>, Halt> {
    let begun = Instant::now();
    match on.store.put(message) {
        Ok(put) => {
            on.timer.told.tell(message.topic, &put, begun.elapsed());
            on.timer.progress.raise_durable(put.end);
            Ok(Some(put.queue_offset))
        }
        Err(error @ (PutError::MessageIllegal(_) | PutError::PropertiesSizeExceeded { .. })) => {
            error!(%error, topic = message.topic, "a timer message is dropped for good");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
