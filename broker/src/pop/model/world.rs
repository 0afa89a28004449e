//! The world the model lives in, and what must hold there.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Random;
use super::log::{Journal, Written};
use crate::pop::buffer::{Buffer, BufferLimits};
use crate::pop::pending::Pending;
use crate::pop::{Ack, BatchAck, CheckPoint, Differences};

const GROUPS: usize = 2;
const QUEUES: usize = 2;
const REVIVE_QUEUES: usize = 2;
const BROKER: &str = "b";
const TOPIC: &str = "T";
const GROUP_NAMES: [&str; GROUPS] = ["g", "h"];
const RETRY_TOPICS: [&str; GROUPS] = ["%RETRY%g_T", "%RETRY%h_T"];
/// Rounds of half a second in which everything must be consumed.
const ROUNDS_MAX: usize = 2000;
/// Handles that clients hold at most.
const HANDLES_MAX: usize = 300;

/// How a world differs from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Check points of a revive queue in memory.
    pub room: usize,
    /// The buffer, if there is one.
    pub buffer: Option<BufferLimits>,
}

/// A queue a group pops from: one of the topic's, or its retry queue.
type Place = usize;
const RETRY: Place = QUEUES;
const PLACES: usize = QUEUES + 1;

/// What a group may expect of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Nobody may get it before.
    hidden_until: i64,
    /// The receipt that counts.
    receipt: u64,
    /// Acknowledged in time: never again.
    acked: bool,
    /// Acknowledged too late: again or never.
    perhaps: bool,
    /// A crash or a late change permits that it comes twice.
    twice: bool,
}

/// What a client got with a message.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    number: u64,
    message: usize,
    group: usize,
    place: Place,
    offset: i64,
    start: i64,
    pop_time: i64,
    invisible: i64,
    revive_queue: usize,
}

impl Receipt {
    fn until(&self) -> i64 {
        self.pop_time + self.invisible
    }
}

/// Next offsets by group and place, and how far the revive queues are done with.
#[derive(Clone, Default)]
struct Offsets {
    next: [[i64; PLACES]; GROUPS],
    done: [i64; REVIVE_QUEUES],
}

pub(super) struct World {
    seed: u64,
    random: Random,
    settings: Settings,
    now: i64,
    receipts: u64,
    /// Messages by place; each group has a retry queue of its own.
    queues: [Vec<usize>; QUEUES],
    retries: [Vec<usize>; GROUPS],
    fates: [Vec<Fate>; GROUPS],
    held: Vec<Receipt>,
    journal: Journal,
    pending: Vec<Pending>,
    buffer: Option<Buffer>,
    offsets: Offsets,
    saved: Offsets,
    /// Group and message of what was stored again, with the revive queue and offset of its check
    /// point, until the saved offset has passed that.
    revived: Vec<(usize, usize, usize, i64)>,
    /// Whether things go wrong.
    troubled: bool,
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings) -> World {
        let offsets = Offsets { done: [-1; REVIVE_QUEUES], ..Offsets::default() };
        World {
            seed,
            random: Random::new(seed),
            settings,
            now: 1_700_000_000_000,
            receipts: 0,
            queues: Default::default(),
            retries: Default::default(),
            fates: Default::default(),
            held: Vec::new(),
            journal: Journal::new(REVIVE_QUEUES),
            pending: (0..REVIVE_QUEUES).map(|_| begin(0, settings)).collect(),
            buffer: settings.buffer.map(|limits| Buffer::new(limits, BROKER)),
            saved: offsets.clone(),
            offsets,
            revived: Vec::new(),
            troubled: true,
        }
    }

    /// Does one thing.
    pub(super) fn step(&mut self) {
        match self.random.below(1000) {
            0..250 => self.send(),
            250..480 => self.pop(8),
            480..800 => self.ack_any(),
            800..850 => self.change_any(),
            850..990 => {
                let wait = self.random.pick(&[1, 5, 20, 90, 250]);
                self.pass(wait);
            }
            990..999 => self.save(),
            _ if self.random.per_mille(200) => self.crash(),
            _ => self.pass(3000),
        }
    }

    fn send(&mut self) {
        let message = self.fates[0].len();
        for fates in &mut self.fates {
            fates.push(Fate::default());
        }
        self.queues[self.random.below(QUEUES)].push(message);
    }

    fn messages(&self, group: usize, place: Place) -> &Vec<usize> {
        if place == RETRY { &self.retries[group] } else { &self.queues[place] }
    }

    fn next_offset(&self, group: usize, place: Place) -> i64 {
        let (topic, queue_id) = name(group, place);
        let buffered = self.buffer.as_ref();
        let latest = buffered.and_then(|b| b.latest(topic, GROUP_NAMES[group], queue_id));
        latest.unwrap_or(-1).max(self.offsets.next[group][place])
    }

    fn pop(&mut self, count_max: usize) {
        let (group, place) = (self.random.below(GROUPS), self.random.below(PLACES));
        let count = 1 + self.random.below(count_max);
        self.pop_from(group, place, count);
    }

    fn pop_from(&mut self, group: usize, place: Place, count_max: usize) {
        if self.held.len() > HANDLES_MAX {
            return;
        }
        // A check point is known by its time: two of one queue are never of the same.
        self.now += 1;
        let start = self.next_offset(group, place);
        let messages = self.messages(group, place).iter().skip(start as usize).copied();
        let taken: Vec<usize> = messages.take(count_max).collect();
        if taken.is_empty() {
            return;
        }
        let invisible = self.random.pick(&[50, 400, 1000, 1500, 3000, 6000, 12_000]);
        let revive_queue = self.random.below(REVIVE_QUEUES);
        let mut point = self.check_point(group, place, start, taken.len());
        point.invisible_time = invisible;
        // Old brokers leave the distances out when offsets follow each other.
        if self.random.per_mille(300) {
            point.differences.clear();
        }
        self.hide(point, revive_queue, group, place, start + taken.len() as i64);
        for (offset, message) in (start..).zip(taken) {
            let receipt = self.receipt(message, group, place, offset, start, revive_queue);
            self.deliver(Receipt { invisible, ..receipt });
        }
    }

    fn check_point(&self, group: usize, place: Place, start: i64, n: usize) -> CheckPoint<'static> {
        let (topic, queue_id) = name(group, place);
        CheckPoint {
            start_offset: start,
            pop_time: self.now,
            invisible_time: 0,
            acked: 0,
            count: n as u8,
            queue_id,
            topic: Cow::Borrowed(topic),
            group: Cow::Borrowed(GROUP_NAMES[group]),
            differences: (0..n as i32).collect::<Differences>(),
            broker_name: Some(Cow::Borrowed(BROKER)),
            re_puts: 0,
        }
    }

    fn receipt(
        &mut self,
        message: usize,
        group: usize,
        place: Place,
        offset: i64,
        start: i64,
        revive_queue: usize,
    ) -> Receipt {
        self.receipts += 1;
        let (number, pop_time) = (self.receipts, self.now);
        Receipt {
            number,
            message,
            group,
            place,
            offset,
            start,
            pop_time,
            invisible: 0,
            revive_queue,
        }
    }

    /// What the broker does with a pop: see `pop::hide`.
    fn hide(
        &mut self,
        point: CheckPoint<'static>,
        revive_queue: usize,
        group: usize,
        place: Place,
        next_offset: i64,
    ) {
        if let Some(buffer) = &mut self.buffer
            && buffer.hold(&point, revive_queue as i32, next_offset, self.now)
        {
            return;
        }
        self.journal.put_check_point(point.clone(), revive_queue, self.now);
        let waits = self.buffer.as_mut().is_some_and(|b| b.stand_in_line(&point, next_offset));
        if !waits {
            self.offsets.next[group][place] = next_offset;
        }
    }

    fn deliver(&mut self, receipt: Receipt) {
        let fate = &mut self.fates[receipt.group][receipt.message];
        let (seed, now) = (self.seed, self.now);
        assert!(!fate.acked || fate.twice, "seed {seed}: {receipt:?} again, {fate:?}");
        let early = now < fate.hidden_until && !fate.twice;
        assert!(!early, "seed {seed}: at {now} {receipt:?} while invisible, {fate:?}");
        fate.hidden_until = receipt.until();
        fate.receipt = receipt.number;
        self.held.push(receipt);
    }

    fn ack_any(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let receipt = self.held.swap_remove(self.random.below(self.held.len()));
        if !self.random.per_mille(100) {
            return self.ack(receipt);
        }
        let of_same = |other: &Receipt| {
            (other.group, other.place, other.start, other.pop_time)
                == (receipt.group, receipt.place, receipt.start, receipt.pop_time)
        };
        let (mut batch, held) = self.held.drain(..).partition::<Vec<_>, _>(of_same);
        self.held = held;
        batch.push(receipt);
        for receipt in &batch {
            self.note_ack(receipt);
        }
        let offsets = batch.iter().map(|receipt| receipt.offset).collect();
        let batch = BatchAck { ack: Ack { offset: -1, ..ack_of(&receipt) }, offsets };
        let buffered = self.buffer.as_mut().is_some_and(|b| b.ack_batch(&batch));
        if !buffered {
            let (queue, until) = (receipt.revive_queue, receipt.until());
            self.journal.put(Written::BatchAck(batch), queue, until, self.now);
        }
    }

    fn ack(&mut self, receipt: Receipt) {
        self.note_ack(&receipt);
        self.write_ack(&receipt);
    }

    fn note_ack(&mut self, receipt: &Receipt) {
        let fate = &mut self.fates[receipt.group][receipt.message];
        if fate.receipt != receipt.number {
            // Of an earlier delivery: may count or not, if that one is still judged.
            fate.perhaps |= fate.twice;
        } else if self.now < receipt.until() {
            fate.acked = true;
        } else {
            fate.perhaps = true;
        }
    }

    fn write_ack(&mut self, receipt: &Receipt) {
        let ack = ack_of(receipt);
        let buffered = self.buffer.as_mut().is_some_and(|b| b.ack(&ack));
        if !buffered {
            let (queue, until) = (receipt.revive_queue, receipt.until());
            self.journal.put(Written::Ack(ack), queue, until, self.now);
        }
    }

    fn change_any(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.now += 1;
        let old = self.held.swap_remove(self.random.below(self.held.len()));
        let fate = &mut self.fates[old.group][old.message];
        // A late one makes two check points of one message.
        fate.twice |= fate.receipt != old.number || self.now >= old.until();
        let invisible = self.random.pick(&[0, 100, 900, 2500, 8000]);
        let mut point = self.check_point(old.group, old.place, old.offset, 1);
        point.pop_time = self.now.max(old.pop_time + 1);
        point.invisible_time = invisible;
        let pop_time = point.pop_time;
        self.journal.put_check_point(point, old.revive_queue, self.now);
        if self.random.per_mille(20) {
            // Killed in between: nobody was told.
            self.fates[old.group][old.message].twice = true;
            return self.crash();
        }
        self.write_ack(&old);
        let Receipt { message, group, place, offset, revive_queue, .. } = old;
        let receipt = self.receipt(message, group, place, offset, offset, revive_queue);
        let receipt = Receipt { pop_time, invisible, ..receipt };
        let fate = &mut self.fates[group][message];
        (fate.hidden_until, fate.receipt) = (receipt.until(), receipt.number);
        self.held.push(receipt);
    }

    /// Lets time pass, and everybody who waits for it do something.
    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.journal.run_timer(self.now, self.troubled, &mut self.random);
        self.empty_buffer(false);
        for queue in 0..REVIVE_QUEUES {
            self.revive_turn(queue);
        }
    }

    fn empty_buffer(&mut self, all: bool) {
        let Some(buffer) = &mut self.buffer else { return };
        for key in buffer.leaving(self.now, all) {
            let Some((point, queue)) = buffer.find(&key) else { continue };
            self.journal.put_check_point(point.clone(), queue as usize, self.now);
            buffer.remove(&key);
        }
        for commit in buffer.commits() {
            let group = GROUP_NAMES.iter().position(|name| *name == commit.group).unwrap();
            let retry = commit.topic == RETRY_TOPICS[group];
            let place = if retry { RETRY } else { commit.queue_id as usize };
            self.offsets.next[group][place] = commit.offset;
        }
    }

    fn revive_turn(&mut self, queue: usize) {
        let end = self.journal.end(queue);
        self.pending[queue].mark(self.journal.delivered(), end);
        // Behind on some days, up to date on others.
        let reads = self.random.pick(&[3, 20, 1000, 1000]);
        for read in 0..reads {
            let next = self.pending[queue].next();
            if next >= end {
                break;
            }
            let (written, timed) = self.journal.read(queue, next);
            self.pending[queue].see(written.entry(), timed);
            if read % 32 == 31 {
                self.revive(queue);
            }
        }
        self.revive(queue);
        self.offsets.done[queue] = self.pending[queue].done_until().max(self.offsets.done[queue]);
    }

    fn revive(&mut self, queue: usize) {
        while let Some((at, point)) = self.pending[queue].take_due() {
            let (seed, now) = (self.seed, self.now);
            assert!(now >= point.revive_time(), "seed {seed}: at {now} revived early: {point:?}");
            if self.troubled && self.random.per_mille(5) {
                // The log takes nothing.
                self.pending[queue].put_back(at, point, now + 1000);
                return;
            }
            let group = GROUP_NAMES.iter().position(|name| *name == point.group).unwrap();
            for offset in point.open() {
                if self.troubled && self.random.per_mille(5) {
                    let again = point.for_another_try(offset, now);
                    self.journal.put_check_point(again, queue, now);
                } else {
                    self.come_back(group, &point, offset);
                }
                self.revived.push((group, self.message(group, &point, offset), queue, at));
            }
        }
    }

    fn come_back(&mut self, group: usize, point: &CheckPoint<'_>, offset: i64) {
        let message = self.message(group, point, offset);
        self.retries[group].push(message);
    }

    fn message(&self, group: usize, point: &CheckPoint<'_>, offset: i64) -> usize {
        let place = if point.topic == TOPIC { point.queue_id as usize } else { RETRY };
        self.messages(group, place)[offset as usize]
    }

    fn save(&mut self) {
        self.saved = self.offsets.clone();
        let done = self.saved.done;
        self.revived.retain(|(_, _, queue, at)| *at > done[*queue]);
        for queue in 0..REVIVE_QUEUES {
            self.journal.forget(queue, self.saved.done[queue]);
        }
    }

    /// Loses everything but the log and what was saved.
    fn crash(&mut self) {
        // It is not back within the millisecond.
        self.now += 50;
        let before = std::mem::replace(&mut self.offsets, self.saved.clone());
        for (group, message, ..) in self.revived.drain(..) {
            self.fates[group][message].twice = true;
        }
        let mut repeated = HashMap::new();
        for group in 0..GROUPS {
            for place in 0..PLACES {
                let (from, to) = (self.offsets.next[group][place], before.next[group][place]);
                repeated.insert((group, place), from..to.max(self.next_offset(group, place)));
            }
        }
        for ((group, place), offsets) in repeated {
            for offset in offsets {
                let message = self.messages(group, place)[offset as usize];
                self.fates[group][message].twice = true;
            }
        }
        self.buffer = self.settings.buffer.map(|limits| Buffer::new(limits, BROKER));
        for queue in 0..REVIVE_QUEUES {
            self.pending[queue] = begin(self.saved.done[queue] + 1, self.settings);
        }
        for point in self.journal.crash(&mut self.random) {
            let group = GROUP_NAMES.iter().position(|name| *name == point.group).unwrap();
            for offset in point.open() {
                let message = self.message(group, &point, offset);
                self.fates[group][message].twice = true;
            }
        }
    }

    /// Ends all trouble and consumes until nothing is left; returns how much was consumed.
    pub(super) fn consume_everything(&mut self) -> u64 {
        self.troubled = false;
        let rounds = (0..ROUNDS_MAX).take_while(|_| self.consume_round()).count();
        let seed = self.seed;
        assert!(rounds < ROUNDS_MAX, "seed {seed}: something never comes back");
        for (group, fates) in self.fates.iter().enumerate() {
            for (message, fate) in fates.iter().enumerate() {
                assert!(fate.acked || fate.perhaps, "seed {seed}: {message} lost by {group}");
            }
        }
        self.fates.iter().map(|fates| fates.len() as u64).sum()
    }

    /// Consumes what is visible; returns whether something is left.
    fn consume_round(&mut self) -> bool {
        self.held.clear();
        self.pass(500);
        let mut left = !self.journal.idle() || self.pending.iter().any(|p| p.len() > 0);
        for group in 0..GROUPS {
            for place in 0..PLACES {
                self.pop_from(group, place, 32);
                left |= !self.held.is_empty();
                for receipt in std::mem::take(&mut self.held) {
                    self.ack(receipt);
                }
            }
        }
        left || self.buffer.as_ref().is_some_and(|buffer| buffer.len() > 0)
    }
}

fn begin(next: i64, settings: Settings) -> Pending {
    Pending::new(next, BROKER).with_room(settings.room)
}

fn name(group: usize, place: Place) -> (&'static str, i32) {
    if place == RETRY { (RETRY_TOPICS[group], 0) } else { (TOPIC, place as i32) }
}

fn ack_of(receipt: &Receipt) -> Ack<'static> {
    let (topic, queue_id) = name(receipt.group, receipt.place);
    Ack {
        offset: receipt.offset,
        start_offset: receipt.start,
        group: Cow::Borrowed(GROUP_NAMES[receipt.group]),
        topic: Cow::Borrowed(topic),
        queue_id,
        pop_time: receipt.pop_time,
        broker_name: Some(Cow::Borrowed(BROKER)),
    }
}
