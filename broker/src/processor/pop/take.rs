//! Taking messages of one queue for a group.
//!
//! Everything happens under the queue's lock: the group's next offset is read, messages are
//! looked for from there on, and before anybody gets them they are hidden, either by a check
//! point in the log or, in order, by the note of who holds the queue. A later pop begins behind
//! them.

use std::time::Instant;

use remoting::protocol::message::record::{QUEUE_OFFSET_AT, RECORD_LEN_MIN};
use runtime::clock::now_ms;
use smallvec::SmallVec;
use store::{GetRequest, GetStatus, Got, LogSlice};

use crate::broker::Broker;
use crate::filter::Filter;
use crate::metrics::Way;
use crate::pop::receipt::{Places, count_of_message, count_of_queue};
use crate::pop::{self, CheckPoint, MESSAGES_MAX, OrderedPop};
use crate::processor::consumer::first_in_memory;
use crate::reject::Reject;
use crate::topics::is_retry_topic;

/// An answer with so many bytes gets no more: a frame has a limit, a queue at least one message.
pub(super) const BYTES_ENOUGH: usize = 8 << 20;

/// What a pop asks for, checked.
pub(super) struct Ask {
    /// Group that pops.
    pub group: Box<str>,
    /// Topic it pops.
    pub topic: Box<str>,
    /// Queue of the topic, or any.
    pub queue_id: i32,
    /// At most so many messages.
    pub count_max: usize,
    /// For how long they are hidden, in ms.
    pub invisible_time: i64,
    /// Whether a new group begins at the first message.
    pub from_min: bool,
    /// Whether a queue waits for its messages to be acknowledged.
    pub order: bool,
    /// What the client calls this try.
    pub attempt_id: Option<Box<str>>,
    /// What it wants.
    pub filter: Filter,
}

/// What was taken from the queues visited so far.
pub(super) struct Taken {
    /// Time of the pop.
    pub pop_time: i64,
    /// Where its check points are.
    pub revive_queue: i32,
    /// Messages that are left in the queues visited.
    pub rest: i64,
    /// Messages by queue.
    pub batches: SmallVec<[Batch; 4]>,
    /// Their number.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Where they stand.
    pub places: Places,
    /// In order: how often they were taken before.
    pub counts: String,
    /// Whether messages were passed over that the filter leaves out.
    pub passed_over: bool,
    /// When the first of the queues that wait in order is free.
    pub free_at: Option<i64>,
    /// Why messages could not be taken.
    pub refused: Option<Reject>,
}

/// Messages of one queue.
pub(super) struct Batch {
    /// Their records, neighbours joined.
    pub slices: SmallVec<[LogSlice; 4]>,
    /// The offset the pop began at.
    pub start_offset: i64,
    /// Whether they come from a retry topic.
    pub retried: bool,
    /// Whether they have to come from the disk.
    pub from_disk: bool,
}

impl Taken {
    /// Nothing yet.
    pub(super) fn new(pop_time: i64, revive_queue: i32) -> Taken {
        Taken {
            pop_time,
            revive_queue,
            rest: 0,
            batches: SmallVec::new(),
            count: 0,
            bytes: 0,
            places: Places::default(),
            counts: String::new(),
            passed_over: false,
            free_at: None,
            refused: None,
        }
    }

    /// Whether no further queue is looked into.
    pub(super) fn is_full(&self, ask: &Ask) -> bool {
        self.count >= ask.count_max || self.bytes >= BYTES_ENOUGH
    }
}

/// One look of a pop into one queue.
pub(super) struct Visit<'a> {
    /// Who looks.
    pub broker: &'a Broker,
    /// What is asked for.
    pub ask: &'a Ask,
    /// The topic, or one of its retry topics.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Whether it is a retry topic.
    pub retried: bool,
}

impl Visit<'_> {
    /// Takes what the queue has for the pop.
    pub(super) fn take(&self, to: &mut Taken) {
        let Visit { broker, ask, topic, queue_id, retried } = *self;
        let group = &ask.group;
        let _one = broker.pops.locks.lock(topic, group, queue_id);
        let offset = self.start_offset();
        let left = broker.store.max_offset(topic, queue_id) - offset;
        if broker.pops.in_flight.too_many(topic, group, queue_id) {
            to.rest += left;
            return;
        }
        if ask.order {
            if self.is_blocked(to) {
                // Not in the rest: a queue that waits must not wake anybody.
                return;
            }
            broker.pops.in_flight.clear(topic, group, queue_id);
        }
        if to.is_full(ask) {
            to.rest += left;
            return;
        }
        let (offset, mut got) = self.look(offset, ask.count_max - to.count);
        to.rest += got.max_offset - got.next_offset;
        let offsets = queue_offsets(&got.slices);
        if offsets.is_empty() {
            self.pass_over(offset, &got, to);
            return;
        }
        if ask.order {
            self.hold_in_order(offset, &offsets, to);
        } else if let Err(refusal) = self.hide(offset, &offsets, got.next_offset, to) {
            to.rest += got.next_offset - offset;
            to.refused = Some(refusal);
            return;
        }
        broker.pops.in_flight.popped(topic, group, queue_id, offsets.len());
        to.places.add(topic, queue_id, offset, &offsets);
        to.count += offsets.len();
        to.bytes += got.bytes;
        let (slices, from_disk) = (got.slices.drain(..).collect(), got.from_disk);
        to.batches.push(Batch { slices, start_offset: offset, retried, from_disk });
    }

    /// Where the pop begins; the first time and after a reset that is committed.
    fn start_offset(&self) -> i64 {
        let Visit { broker, topic, queue_id, .. } = *self;
        let group = &self.ask.group;
        if let Some(offset) = broker.offsets.take_reset(group, topic, queue_id) {
            broker.orders.clear(topic, group, queue_id);
            pop::forget_next(broker, topic, group, queue_id);
            self.commit(offset);
            return offset;
        }
        let known = pop::next_offset(broker, topic, group, queue_id);
        known.filter(|offset| *offset >= 0).unwrap_or_else(|| {
            let offset = self.first_offset();
            self.commit(offset);
            offset
        })
    }

    /// Where a group begins that has never popped the queue.
    fn first_offset(&self) -> i64 {
        let Visit { broker, topic, queue_id, .. } = *self;
        let min_offset = broker.store.min_offset(topic, queue_id).max(0);
        if self.ask.from_min || is_retry_topic(topic) {
            return min_offset;
        }
        let young = broker.live().init_pop_offset_by_check_msg_in_mem && min_offset == 0;
        if young && first_in_memory(broker, topic, queue_id) {
            return 0;
        }
        // Java quirk: from the end means from the last message on
        // (`from_the_end_means_from_the_last_message`).
        (broker.store.max_offset(topic, queue_id) - 1).max(0)
    }

    fn commit(&self, offset: i64) {
        let Visit { broker, topic, queue_id, .. } = *self;
        broker.offsets.commit(&self.ask.group, topic, queue_id, offset, now_ms());
    }

    fn is_blocked(&self, to: &mut Taken) -> bool {
        let Visit { broker, ask, topic, queue_id, .. } = *self;
        let (group, now) = (&ask.group, to.pop_time);
        let attempt = ask.attempt_id.as_deref();
        let blocked =
            broker.orders.blocked(attempt, topic, group, queue_id, ask.invisible_time, now);
        if blocked && let Some(at) = broker.orders.free_at(topic, group, queue_id, now) {
            to.free_at = Some(to.free_at.map_or(at, |earliest| earliest.min(at)));
        }
        blocked
    }

    /// Looks for messages; from where the queue has them if the offset is not there any more.
    fn look(&self, mut offset: i64, count_max: usize) -> (i64, Got) {
        let Visit { broker, ask, topic, queue_id, retried } = *self;
        let begun = Instant::now();
        let get = |queue_offset| {
            let count_max = i32::try_from(count_max).unwrap_or(i32::MAX);
            let bytes_max = i32::MAX;
            let request = GetRequest { topic, queue_id, queue_offset, count_max, bytes_max };
            broker.get(&request, &ask.filter)
        };
        let mut got = get(offset);
        let misplaced = matches!(
            got.status,
            GetStatus::OffsetTooSmall | GetStatus::OffsetOverflowBadly | GetStatus::OffsetFoundNull
        );
        if misplaced {
            offset = got.next_offset;
            self.commit(offset);
            got = get(offset);
        }
        let way = if retried { Way::PopOfRetry } else { Way::Pop };
        broker.count_got(&ask.group, (topic, &ask.topic), way, &got, begun.elapsed());
        (offset, got)
    }

    /// Moves behind units that hold nothing for the pop.
    fn pass_over(&self, offset: i64, got: &Got, to: &mut Taken) {
        let Visit { broker, ask, topic, queue_id, .. } = *self;
        let next = got.next_offset;
        let nothing = matches!(
            got.status,
            GetStatus::NoMatchedMessage
                | GetStatus::OffsetFoundNull
                | GetStatus::MessageWasRemoving
        );
        if !nothing || next <= offset {
            return;
        }
        to.passed_over = true;
        match ask.order {
            true => self.commit(next),
            false => pop::pass_over(broker, topic, &ask.group, queue_id, next, to.pop_time),
        }
    }

    /// Notes who holds the queue, and how often its messages were taken before.
    fn hold_in_order(&self, offset: i64, offsets: &[i64], to: &mut Taken) {
        let Visit { broker, ask, topic, queue_id, .. } = *self;
        let pop = OrderedPop {
            attempt_id: ask.attempt_id.as_deref(),
            pop_time: to.pop_time,
            invisible_time: ask.invisible_time,
            offsets,
        };
        let consumed = broker.orders.record(topic, &ask.group, queue_id, &pop, to.pop_time);
        for (offset, times) in &consumed.times {
            count_of_message(topic, queue_id, *offset, *times, &mut to.counts);
        }
        count_of_queue(topic, queue_id, consumed.least, &mut to.counts);
        self.commit(offset);
    }

    /// Writes the check point of the messages taken.
    fn hide(
        &self,
        start_offset: i64,
        offsets: &[i64],
        next_offset: i64,
        to: &Taken,
    ) -> Result<(), Reject> {
        let Visit { broker, ask, topic, queue_id, .. } = *self;
        let check_point = CheckPoint {
            start_offset,
            pop_time: to.pop_time,
            invisible_time: ask.invisible_time,
            acked: 0,
            count: offsets.len() as u8,
            queue_id,
            topic: topic.into(),
            group: (&*ask.group).into(),
            // One look goes no further than a few hundred units.
            differences: offsets.iter().map(|offset| (offset - start_offset) as i32).collect(),
            broker_name: Some(broker.config.broker_name.as_str().into()),
            re_puts: 0,
        };
        pop::hide(broker, &check_point, to.revive_queue, next_offset, to.pop_time)?;
        Ok(())
    }
}

/// Reads the queue offset of each record.
fn queue_offsets(slices: &[LogSlice]) -> SmallVec<[i64; MESSAGES_MAX]> {
    let mut offsets = SmallVec::new();
    for slice in slices {
        let mut rest: &[u8] = slice.as_ref();
        while let Some(head) = rest.first_chunk::<RECORD_LEN_MIN>() {
            let number = |at: usize, len: usize| {
                head[at..at + len].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            };
            let len = (number(0, 4) as usize).max(RECORD_LEN_MIN);
            offsets.push(number(QUEUE_OFFSET_AT, 8).cast_signed());
            rest = rest.get(len..).unwrap_or_default();
        }
    }
    offsets
}
