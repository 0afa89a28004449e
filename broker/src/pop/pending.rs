//! The check points of one revive queue that wait for their time: which are due, and how far the
//! queue is done with.
//!
//! No I/O and no clock: records go in with their offsets, check points come out when they are due.
//! A check point is due when its messages are visible again *and* every acknowledgement that came
//! in time has been read. Acknowledgements come through the timer, so the owner says up to which
//! time the timer has delivered everything and where the queue ended after that (`mark`); once the
//! queue is read that far, everything up to that time is known. While there is a long way to read,
//! Java's rule does: what came through the timer is in order to within two seconds.
//!
//! Memory is bounded: a check point that finds no room is left in the queue, which is read on for
//! acknowledgements only and then again from that check point.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::pop::{Ack, BatchAck, CheckPoint};

/// Check points of one queue in memory; a check point is read about a second before its time.
const POINTS_MAX: usize = 20_000;

/// How far apart in time records of the timer may stand in the wrong order.
const DISORDER_MS: i64 = 2000;

/// Stands for a time of which nothing is known.
const NEVER: i64 = i64::MIN;

/// What a record of the revive topic says.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// Messages are hidden.
    CheckPoint(CheckPoint<'a>),
    /// One of them is consumed.
    Ack(Ack<'a>),
    /// Several of them are consumed.
    BatchAck(BatchAck<'a>),
    /// Nothing a broker wrote.
    Foreign,
}

/// The check points of a revive queue.
pub(crate) struct Pending {
    own_broker: String,
    points_max: usize,
    /// By offset in the revive queue.
    points: BTreeMap<i64, CheckPoint<'static>>,
    by_key: HashMap<String, i64>,
    /// Time to look at a check point, and its offset.
    due: BTreeSet<(i64, i64)>,
    /// Next offset to read.
    next: i64,
    /// The first check point that found no room.
    left_out: Option<i64>,
    /// Latest time of a record that came through the timer.
    timed: i64,
    /// The timer has delivered what is due until then.
    delivered: i64,
    /// Acknowledgements until `.0` are known once the queue is read up to `.1`.
    mark: Option<(i64, i64)>,
    known: i64,
    key: String,
}

impl Pending {
    /// Begins at an offset of the queue.
    pub(crate) fn new(next: i64, own_broker: &str) -> Pending {
        Pending {
            own_broker: own_broker.to_owned(),
            points_max: POINTS_MAX,
            points: BTreeMap::new(),
            by_key: HashMap::new(),
            due: BTreeSet::new(),
            next,
            left_out: None,
            timed: NEVER,
            delivered: NEVER,
            mark: None,
            known: NEVER,
            key: String::new(),
        }
    }

    /// Sets how many check points find room.
    #[cfg(test)]
    pub(crate) fn with_room(mut self, points_max: usize) -> Pending {
        self.points_max = points_max;
        self
    }

    /// The next offset to read.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Everything up to this offset is done with; a restart may begin behind it.
    pub(crate) fn done_until(&self) -> i64 {
        let first = self.points.keys().next().copied();
        let open = [first, self.left_out].into_iter().flatten().min();
        open.unwrap_or(self.next).min(self.next) - 1
    }

    /// Goes on elsewhere, when the queue has no record at `next` any more.
    pub(crate) fn skip_to(&mut self, next: i64) {
        self.next = next;
    }

    /// Takes in the record at `next`; `timed` is its time if it came through the timer.
    pub(crate) fn see(&mut self, entry: Entry<'_>, timed: Option<i64>) {
        let offset = self.next;
        self.next += 1;
        match entry {
            Entry::CheckPoint(point) => self.add(offset, point),
            Entry::Ack(ack) => {
                ack.write_merge_key(&self.own_broker, &mut self.key);
                self.acknowledge(&[ack.offset]);
            }
            Entry::BatchAck(batch) => {
                batch.ack.write_merge_key(&self.own_broker, &mut self.key);
                self.acknowledge(&batch.offsets);
            }
            Entry::Foreign => {}
        }
        self.timed = timed.map_or(self.timed, |at| at.max(self.timed));
        self.settle();
        self.make_room();
    }

    fn add(&mut self, offset: i64, point: CheckPoint<'_>) {
        if self.points.len() >= self.points_max {
            self.left_out.get_or_insert(offset);
        }
        if self.left_out.is_some() || point.done() {
            return;
        }
        point.write_merge_key(&self.own_broker, &mut self.key);
        if let Some(known) = self.by_key.get(&self.key) {
            // The timer delivers at least once, so that the same check point can come again.
            let known = self.points.get(known);
            if known.is_some_and(|known| known.revive_time() == point.revive_time()) {
                return;
            }
        } else {
            self.by_key.insert(self.key.clone(), offset);
        }
        self.due.insert((point.revive_time(), offset));
        self.points.insert(offset, point.into_owned());
    }

    fn acknowledge(&mut self, offsets: &[i64]) {
        let Some(at) = self.by_key.get(&self.key).copied() else { return };
        let Some(point) = self.points.get_mut(&at) else { return };
        for offset in offsets {
            point.ack(*offset);
        }
        if point.done() {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: i64) -> Option<CheckPoint<'static>> {
        let point = self.points.remove(&at)?;
        self.due.remove(&(point.revive_time(), at));
        point.write_merge_key(&self.own_broker, &mut self.key);
        if self.by_key.get(&self.key) == Some(&at) {
            self.by_key.remove(&self.key);
        }
        Some(point)
    }

    /// Notes that everything the timer had due until `delivered` is in the queue, which now ends
    /// at `end`. The time must be read first.
    pub(crate) fn mark(&mut self, delivered: i64, end: i64) {
        self.delivered = delivered.max(self.delivered);
        // A mark that is not reached stays: moving it on with the end, nothing would ever be known.
        self.mark.get_or_insert((delivered, end));
        self.settle();
    }

    fn settle(&mut self) {
        if let Some((until, end)) = self.mark
            && self.next >= end
        {
            self.known = until.max(self.known);
            self.mark = None;
        }
    }

    /// Takes the check point that is due first, with its offset.
    pub(crate) fn take_due(&mut self) -> Option<(i64, CheckPoint<'static>)> {
        let in_order = self.timed.saturating_sub(DISORDER_MS).min(self.delivered);
        let (at, offset) = self.due.first().copied()?;
        if at > self.known.max(in_order) {
            return None;
        }
        self.due.pop_first();
        let point = self.remove(offset)?;
        self.make_room();
        Some((offset, point))
    }

    /// Puts a check point back that could not be handled, to be looked at again at `again`.
    pub(crate) fn put_back(&mut self, offset: i64, point: CheckPoint<'static>, again: i64) {
        self.due.insert((again, offset));
        self.points.insert(offset, point);
    }

    /// Goes back to the first check point that found no room, once half of it is free.
    fn make_room(&mut self) {
        if self.points.len() > self.points_max / 2 {
            return;
        }
        let Some(offset) = self.left_out.take() else { return };
        self.next = offset;
        // What follows is read again: its acknowledgements are not known any more.
        self.mark = None;
        self.known = NEVER;
        self.timed = NEVER;
    }

    /// When the first check point may be due; none while there is none.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Number of check points in memory.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::pop::Differences;

    fn point(start: i64, revive_time: i64) -> CheckPoint<'static> {
        CheckPoint {
            start_offset: start,
            pop_time: revive_time - 1000,
            invisible_time: 1000,
            acked: 0,
            count: 1,
            queue_id: 0,
            topic: Cow::Borrowed("T"),
            group: Cow::Borrowed("g"),
            differences: Differences::new(),
            broker_name: None,
            re_puts: 0,
        }
    }

    fn ack(of: &CheckPoint<'static>) -> Entry<'static> {
        Entry::Ack(Ack {
            offset: of.start_offset,
            start_offset: of.start_offset,
            group: of.group.clone(),
            topic: of.topic.clone(),
            queue_id: 0,
            pop_time: of.pop_time,
            broker_name: Some(Cow::Borrowed("own")),
        })
    }

    fn due(pending: &mut Pending) -> Option<i64> {
        pending.take_due().map(|(_, point)| point.start_offset)
    }

    #[test]
    fn judged_when_the_queue_is_read_to_where_the_timer_was() {
        let mut pending = Pending::new(5, "own");
        assert_eq!((pending.done_until(), pending.next_due()), (4, None));
        pending.see(Entry::CheckPoint(point(1, 5000)), Some(4000));
        pending.see(Entry::CheckPoint(point(2, 5000)), Some(4000));
        pending.mark(4999, 7);
        assert_eq!((due(&mut pending), pending.done_until()), (None, 4));
        // The timer is far enough, but the queue ends behind the acknowledgement.
        pending.mark(5000, 8);
        assert_eq!(due(&mut pending), None);
        pending.see(ack(&point(1, 5000)), Some(5000));
        assert_eq!((pending.done_until(), due(&mut pending)), (5, Some(2)));
        assert_eq!((pending.done_until(), pending.len(), pending.next()), (7, 0, 8));
    }

    #[test]
    fn a_long_way_to_read_is_judged_as_it_goes() {
        let mut pending = Pending::new(0, "own");
        pending.mark(100_000, 1_000_000);
        pending.see(Entry::CheckPoint(point(1, 5000)), Some(4000));
        pending.see(Entry::Foreign, Some(6999));
        assert_eq!(due(&mut pending), None);
        // Not through the timer: says nothing of the order.
        pending.see(Entry::Foreign, None);
        assert_eq!(due(&mut pending), None);
        pending.see(Entry::Foreign, Some(7000));
        assert_eq!(due(&mut pending), Some(1));
    }

    #[test]
    fn what_found_no_room_is_read_again() {
        let mut pending = Pending::new(0, "own").with_room(2);
        for start in 0..4 {
            pending.see(Entry::CheckPoint(point(start, 5000)), Some(4000));
        }
        assert_eq!((pending.len(), pending.done_until()), (2, -1));
        pending.see(ack(&point(0, 5000)), Some(5000));
        assert_eq!((pending.next(), pending.done_until()), (2, 0), "back to the third");
        pending.mark(9000, 5);
        assert_eq!(due(&mut pending), None, "its acknowledgements are to be read again");
        pending.see(Entry::CheckPoint(point(2, 5000)), Some(4000));
        pending.see(Entry::CheckPoint(point(3, 5000)), Some(4000));
        pending.see(ack(&point(0, 5000)), Some(5000));
        assert_eq!(due(&mut pending), Some(1));
    }

    #[test]
    fn what_could_not_be_stored_is_kept_for_later() {
        let mut pending = Pending::new(0, "own");
        pending.see(Entry::CheckPoint(point(1, 5000)), Some(4000));
        pending.see(Entry::CheckPoint(point(1, 5000)), Some(4000));
        assert_eq!(pending.len(), 1, "the timer delivers at least once");
        pending.mark(5000, 2);
        let (at, taken) = pending.take_due().unwrap();
        pending.put_back(at, taken, 6000);
        assert_eq!((pending.next_due(), pending.done_until()), (Some(6000), -1));
        assert_eq!(due(&mut pending), None);
        pending.mark(6000, 2);
        assert_eq!((due(&mut pending), pending.done_until()), (Some(1), 1));
    }
}
