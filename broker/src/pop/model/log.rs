//! What survives a crash: the revive queues and what the timer still has.

use std::collections::{BTreeMap, VecDeque};

use super::Random;
use crate::pop::journal::ACK_TIME_MS;
use crate::pop::pending::Entry;
use crate::pop::{Ack, BatchAck, CheckPoint};

/// Records of the timer that are due this close together may come in any order.
const MIXED_MS: i64 = 700;
/// How far the timer goes back after a crash.
const REPEATED_MS: i64 = 1000;

/// A record of the revive topic.
#[derive(Clone)]
pub(super) enum Written {
    CheckPoint(CheckPoint<'static>),
    Ack(Ack<'static>),
    BatchAck(BatchAck<'static>),
}

impl Written {
    pub(super) fn entry(self) -> Entry<'static> {
        match self {
            Written::CheckPoint(point) => Entry::CheckPoint(point),
            Written::Ack(ack) => Entry::Ack(ack),
            Written::BatchAck(batch) => Entry::BatchAck(batch),
        }
    }
}

#[derive(Clone)]
struct Parked {
    due: i64,
    queue: usize,
    written: Written,
}

#[derive(Default)]
struct Queue {
    /// Offset of the first record that is kept.
    base: i64,
    records: VecDeque<(Written, Option<i64>)>,
}

pub(super) struct Journal {
    queues: Vec<Queue>,
    /// By time, then in the order they came.
    parked: BTreeMap<(i64, u64), Parked>,
    count: u64,
    /// What the timer handed over lately.
    lately: VecDeque<Parked>,
    delivered: i64,
    late_until: i64,
}

impl Journal {
    pub(super) fn new(queues: usize) -> Self {
        Journal {
            queues: (0..queues).map(|_| Queue::default()).collect(),
            parked: BTreeMap::new(),
            count: 0,
            lately: VecDeque::new(),
            delivered: 0,
            late_until: 0,
        }
    }

    pub(super) fn put_check_point(&mut self, point: CheckPoint<'static>, queue: usize, now: i64) {
        let due = point.revive_time() - ACK_TIME_MS;
        self.put(Written::CheckPoint(point), queue, due, now);
    }

    /// Stores a record now or when it is due.
    pub(super) fn put(&mut self, written: Written, queue: usize, due: i64, now: i64) {
        if due <= now {
            self.queues[queue].records.push_back((written, None));
        } else {
            self.count += 1;
            self.parked.insert((due, self.count), Parked { due, queue, written });
        }
    }

    /// Hands over what is due; a troubled timer is late or stands still for seconds.
    pub(super) fn run_timer(&mut self, now: i64, troubled: bool, random: &mut Random) {
        if troubled && random.per_mille(2) {
            self.late_until = now + 5000;
        }
        if troubled && now < self.late_until {
            return;
        }
        let lateness = if troubled { random.below(30) as i64 } else { 0 };
        let until = (now - lateness).max(self.delivered);
        let later = self.parked.split_off(&(until + 1, 0));
        let due = std::mem::replace(&mut self.parked, later);
        let mut due: Vec<Parked> = due.into_values().collect();
        due.sort_by_cached_key(|parked| (parked.due / MIXED_MS, random.below(1 << 20)));
        for parked in due {
            let queue = &mut self.queues[parked.queue];
            queue.records.push_back((parked.written.clone(), Some(parked.due)));
            self.lately.push_back(parked);
        }
        while self.lately.front().is_some_and(|parked| parked.due < until - 2 * REPEATED_MS) {
            self.lately.pop_front();
        }
        self.delivered = until;
    }

    /// Everything due until then is handed over.
    pub(super) fn delivered(&self) -> i64 {
        self.delivered
    }

    /// Whether the timer has nothing left.
    pub(super) fn idle(&self) -> bool {
        self.parked.is_empty()
    }

    pub(super) fn end(&self, queue: usize) -> i64 {
        self.queues[queue].base + self.queues[queue].records.len() as i64
    }

    pub(super) fn read(&self, queue: usize, offset: i64) -> (Written, Option<i64>) {
        let index = offset - self.queues[queue].base;
        self.queues[queue].records[index as usize].clone()
    }

    /// Drops the records up to an offset.
    pub(super) fn forget(&mut self, queue: usize, done: i64) {
        let queue = &mut self.queues[queue];
        while queue.base <= done {
            queue.records.pop_front();
            queue.base += 1;
        }
    }

    /// The timer hands over once more what was due in the last second; returns the check points.
    pub(super) fn crash(&mut self, random: &mut Random) -> Vec<CheckPoint<'static>> {
        if random.per_mille(500) {
            return Vec::new();
        }
        let from = self.delivered - random.below(REPEATED_MS as usize) as i64;
        let mut points = Vec::new();
        for parked in self.lately.iter().filter(|parked| parked.due >= from) {
            let record = (parked.written.clone(), Some(parked.due));
            self.queues[parked.queue].records.push_back(record);
            if let Written::CheckPoint(point) = &parked.written {
                points.push(point.clone());
            }
        }
        points
    }
}
