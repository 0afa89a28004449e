//! Check points that wait in memory for their acknowledgements (`enablePopBufferMerge`).
//!
//! What is acknowledged soon never reaches the log. The price: a crash delivers again what was in
//! memory. So that it loses nothing, the group's offset follows the oldest check point that is
//! neither acknowledged nor in the log; until then the next pop begins behind the newest one.
//!
//! No I/O here: the owner writes what `leaving` hands out and commits what `commits` hands out.
//! A check point leaves with its acknowledgements marked in it, where Java writes one more record
//! for each; Java reads either.

use std::collections::{HashMap, VecDeque};

use crate::pop::check_point::CheckPoint;
use crate::pop::{Ack, BatchAck};

/// How much longer than until it leaves a check point must be worth keeping, in ms.
const LEAVING_MS: i64 = 1500;

/// How long and how much is kept, by Java's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferLimits {
    /// How long a check point stays (`popCkStayBufferTime`).
    pub stay_ms: i64,
    /// How long before its time it leaves (`popCkStayBufferTimeOut`).
    pub leave_ms: i64,
    /// Check points at most (`popCkMaxBufferSize`).
    pub points_max: usize,
    /// Check points of one queue and group at most (`popCkOffsetMaxQueueSize`).
    pub per_queue_max: usize,
}

/// The pops of one queue by one group, oldest first.
type Line = VecDeque<InLine>;

struct InLine {
    /// Key of the check point; the pop counts as lasting once it is not in the table.
    key: Option<String>,
    next_offset: i64,
}

struct Held {
    point: CheckPoint<'static>,
    revive_queue: i32,
}

/// The check points in memory.
pub(crate) struct Buffer {
    limits: BufferLimits,
    own_broker: String,
    /// By merge key.
    held: HashMap<String, Held>,
    /// By queue and group.
    lines: HashMap<LineName, Line>,
    key: String,
}

/// Topic, group and queue of a line.
type LineName = (String, String, i32);

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Topic of the queue.
    pub topic: String,
    /// The group that goes on there.
    pub group: String,
    /// The queue.
    pub queue_id: i32,
    /// Its next offset.
    pub offset: i64,
}

impl Buffer {
    /// An empty buffer.
    pub(crate) fn new(limits: BufferLimits, own_broker: &str) -> Buffer {
        Buffer {
            limits,
            own_broker: own_broker.to_owned(),
            held: HashMap::new(),
            lines: HashMap::new(),
            key: String::new(),
        }
    }

    /// Takes a check point if it may stay for a while; returns whether it did.
    pub(crate) fn hold(
        &mut self,
        point: &CheckPoint<'_>,
        revive_queue: i32,
        next_offset: i64,
        now_ms: i64,
    ) -> bool {
        let name = line_name(point);
        let in_line = self.lines.get(&name).map_or(0, VecDeque::len);
        let soon = self.leaves_at(point) - LEAVING_MS <= now_ms;
        if soon || self.held.len() >= self.limits.points_max {
            return false;
        }
        point.write_merge_key(&self.own_broker, &mut self.key);
        if in_line >= self.limits.per_queue_max || self.held.contains_key(&self.key) {
            return false;
        }
        let key = self.key.clone();
        self.held.insert(key.clone(), Held { point: point.clone().into_owned(), revive_queue });
        let line = self.lines.entry(name).or_default();
        line.push_back(InLine { key: Some(key), next_offset });
        true
    }

    /// Lets a pop whose check point is in the log wait for those before it; returns false when
    /// there are none, so that its offset can be committed at once.
    pub(crate) fn stand_in_line(&mut self, point: &CheckPoint<'_>, next_offset: i64) -> bool {
        let Some(line) = self.lines.get_mut(&line_name(point)) else { return false };
        line.push_back(InLine { key: None, next_offset });
        true
    }

    /// Where the next pop of a queue begins, if later than the committed offset says.
    pub(crate) fn latest(&self, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
        if self.lines.is_empty() {
            return None;
        }
        let line = self.lines.get(&(topic.to_owned(), group.to_owned(), queue_id))?;
        line.back().map(|last| last.next_offset)
    }

    /// Forgets what comes next on a queue, as its offset is reset; the messages still come back.
    pub(crate) fn forget_line(&mut self, topic: &str, group: &str, queue_id: i32) {
        self.lines.remove(&(topic.to_owned(), group.to_owned(), queue_id));
    }

    /// Marks a message as consumed; returns false when its check point is not here.
    ///
    /// Java refuses what is about to leave, as it writes both at the same time. Here the mark goes
    /// along, and no acknowledgement can come to the revive topic before its check point.
    pub(crate) fn ack(&mut self, ack: &Ack<'_>) -> bool {
        ack.write_merge_key(&self.own_broker, &mut self.key);
        self.acknowledge(&[ack.offset])
    }

    /// Marks several messages as consumed.
    pub(crate) fn ack_batch(&mut self, batch: &BatchAck<'_>) -> bool {
        batch.ack.write_merge_key(&self.own_broker, &mut self.key);
        self.acknowledge(&batch.offsets)
    }

    fn acknowledge(&mut self, offsets: &[i64]) -> bool {
        let Some(held) = self.held.get_mut(&self.key) else { return false };
        for offset in offsets {
            held.point.ack(*offset);
        }
        if held.point.done() {
            self.held.remove(&self.key);
        }
        true
    }

    fn leaves_at(&self, point: &CheckPoint<'_>) -> i64 {
        let before_time = point.revive_time().saturating_sub(self.limits.leave_ms);
        point.pop_time.saturating_add(self.limits.stay_ms).min(before_time)
    }

    /// Lists the check points that have to go to the log now, or all of them.
    pub(crate) fn leaving(&self, now_ms: i64, all: bool) -> Vec<String> {
        let leaving =
            self.held.iter().filter(|(_, held)| all || self.leaves_at(&held.point) <= now_ms);
        leaving.map(|(key, _)| key.clone()).collect()
    }

    /// A check point and the revive queue it belongs to.
    pub(crate) fn find(&self, key: &str) -> Option<(&CheckPoint<'static>, i32)> {
        self.held.get(key).map(|held| (&held.point, held.revive_queue))
    }

    /// Drops a check point that is in the log.
    pub(crate) fn remove(&mut self, key: &str) {
        self.held.remove(key);
    }

    /// Takes the offsets that may be committed: every pop up to there is acknowledged or in the
    /// log.
    pub(crate) fn commits(&mut self) -> Vec<Commit> {
        let mut commits = Vec::new();
        let held = &self.held;
        self.lines.retain(|(topic, group, queue_id), line| {
            let mut offset = None;
            while let Some(first) = line.front() {
                if first.key.as_ref().is_some_and(|key| held.contains_key(key)) {
                    break;
                }
                offset = Some(first.next_offset);
                line.pop_front();
            }
            commits.extend(offset.map(|offset| Commit {
                topic: topic.clone(),
                group: group.clone(),
                queue_id: *queue_id,
                offset,
            }));
            !line.is_empty()
        });
        commits
    }

    /// Number of pops whose offsets wait to be committed.
    pub(crate) fn in_line(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum()
    }

    /// Number of check points.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

fn line_name(point: &CheckPoint<'_>) -> LineName {
    (point.topic.clone().into_owned(), point.group.clone().into_owned(), point.queue_id)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::pop::Differences;

    const LIMITS: BufferLimits =
        BufferLimits { stay_ms: 10_000, leave_ms: 3000, points_max: 3, per_queue_max: 2 };

    fn point(group: &'static str, start: i64) -> CheckPoint<'static> {
        CheckPoint {
            start_offset: start,
            pop_time: 1000,
            invisible_time: 60_000,
            acked: 0,
            count: 2,
            queue_id: 0,
            topic: Cow::Borrowed("T"),
            group: Cow::Borrowed(group),
            differences: Differences::new(),
            broker_name: None,
            re_puts: 0,
        }
    }

    fn ack(group: &'static str, start: i64, offset: i64) -> Ack<'static> {
        Ack {
            offset,
            start_offset: start,
            group: Cow::Borrowed(group),
            topic: Cow::Borrowed("T"),
            queue_id: 0,
            pop_time: 1000,
            broker_name: Some(Cow::Borrowed("own")),
        }
    }

    fn offsets(buffer: &mut Buffer) -> Vec<i64> {
        buffer.commits().into_iter().map(|commit| commit.offset).collect()
    }

    #[test]
    fn offsets_follow_the_oldest_open_pop() {
        let mut buffer = Buffer::new(LIMITS, "own");
        assert!(buffer.hold(&point("g", 0), 1, 2, 1000) && buffer.hold(&point("g", 2), 1, 4, 1000));
        assert!(
            buffer.stand_in_line(&point("g", 4), 6) && !buffer.stand_in_line(&point("h", 4), 6)
        );
        assert_eq!(buffer.latest("T", "g", 0), Some(6));
        assert_eq!(buffer.latest("T", "h", 0), None);
        assert!(buffer.ack(&ack("g", 2, 2)) && buffer.ack(&ack("g", 2, 3)));
        assert_eq!(offsets(&mut buffer), [] as [i64; 0], "0 and 1 are open");
        let batch = BatchAck { ack: ack("g", 0, -1), offsets: vec![0, 1] };
        assert!(buffer.ack_batch(&batch) && !buffer.ack_batch(&batch));
        assert_eq!(offsets(&mut buffer), [6]);
        assert_eq!(buffer.latest("T", "g", 0), None);
    }

    #[test]
    fn what_stays_too_long_leaves_with_its_marks() {
        let mut buffer = Buffer::new(LIMITS, "own");
        assert!(buffer.hold(&point("g", 0), 5, 2, 1000));
        buffer.ack(&ack("g", 0, 1));
        assert!(buffer.leaving(10_999, false).is_empty());
        let leaving = buffer.leaving(11_000, false);
        assert_eq!((leaving.len(), buffer.leaving(0, true).len()), (1, 1));
        let (left, queue) = buffer.find(&leaving[0]).unwrap();
        assert_eq!((left.acked, queue), (0b10, 5));
        buffer.remove(&leaving[0]);
        assert_eq!(offsets(&mut buffer), [2]);
        assert!(!buffer.ack(&ack("g", 0, 0)), "goes to the log from here on");
    }

    #[test]
    fn only_so_many_and_for_so_long() {
        let mut buffer = Buffer::new(LIMITS, "own");
        let short = CheckPoint { invisible_time: 4500, ..point("g", 0) };
        assert!(!buffer.hold(&short, 0, 2, 1000));
        assert!(
            buffer.hold(&point("g", 0), 0, 2, 1000) && !buffer.hold(&point("g", 0), 0, 2, 1000)
        );
        assert!(
            buffer.hold(&point("g", 2), 0, 4, 1000) && !buffer.hold(&point("g", 4), 0, 6, 1000)
        );
        assert!(
            buffer.hold(&point("h", 0), 0, 2, 1000) && !buffer.hold(&point("i", 0), 0, 2, 1000)
        );
        assert_eq!(buffer.len(), 3);
        buffer.forget_line("T", "g", 0);
        assert_eq!(buffer.latest("T", "g", 0), None);
    }
}
