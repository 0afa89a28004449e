//! Random operations on several queues, compared with lists.

use std::collections::HashMap;

use proptest::prelude::*;

use super::fixture::{Fixture, LogRecord};
use crate::QueueKind;
use crate::consume_queue::Unit;
use crate::dispatch::Dispatch;
use crate::get::Boundary;

#[derive(Clone, Debug)]
enum Op {
    Append {
        queue: usize,
        records: usize,
    },
    WriteTails,
    Flush,
    /// A clean stop and start.
    Restart,
    /// A kill: what is in the buffers is lost and dispatched again.
    Kill,
    /// The log loses its last records.
    Truncate {
        keep: prop::sample::Index,
    },
    /// The log loses its first records.
    Expire {
        from: prop::sample::Index,
    },
    DeleteTopic {
        topic: usize,
    },
    Search {
        time: i64,
    },
}

const QUEUES: [(&str, i32); 4] = [("A", 0), ("A", 1), ("B", 0), ("B", 12)];
const TOPICS: [&str; 2] = ["A", "B"];

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..QUEUES.len(), 1..40_usize)
            .prop_map(|(queue, records)| Op::Append { queue, records }),
        2 => Just(Op::WriteTails),
        1 => Just(Op::Flush),
        2 => Just(Op::Restart),
        2 => Just(Op::Kill),
        1 => any::<prop::sample::Index>().prop_map(|keep| Op::Truncate { keep }),
        1 => any::<prop::sample::Index>().prop_map(|from| Op::Expire { from }),
        1 => (0..TOPICS.len()).prop_map(|topic| Op::DeleteTopic { topic }),
        2 => (990..1100_i64).prop_map(|time| Op::Search { time }),
    ]
}

/// The queues and what they should hold.
struct Model {
    fixture: Fixture,
    /// Every record of a queue since its topic was made, gone from the log or not.
    queues: HashMap<(String, i32), Vec<LogRecord>>,
    log_min: i64,
}

impl Model {
    fn new(kind: QueueKind) -> Model {
        let fixture = Fixture::new(kind, 10 * kind.unit_len() as i64);
        Model { fixture, queues: HashMap::new(), log_min: 0 }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { queue, records } => self.append(QUEUES[*queue], *records),
            Op::WriteTails => {
                self.fixture.queues.write_tails().unwrap();
            }
            Op::Flush => self.fixture.queues.flush().unwrap(),
            Op::Restart => {
                self.fixture.queues.flush().unwrap();
                self.reopen(true);
            }
            Op::Kill => self.reopen(false),
            Op::Truncate { keep } => self.truncate(*keep),
            Op::Expire { from } => {
                if !self.fixture.log.is_empty() {
                    self.fixture.queues.flush().unwrap();
                    let from = from.index(self.fixture.log.len());
                    self.log_min = self.fixture.log[from].physical_offset;
                    self.fixture.log.drain(..from);
                    self.fixture.queues.delete_expired(self.log_min).unwrap();
                }
            }
            Op::DeleteTopic { topic } => self.delete(TOPICS[*topic]),
            Op::Search { time } => self.search(*time),
        }
        self.check();
    }

    fn append(&mut self, queue: (&str, i32), records: usize) {
        let before = self.fixture.log.len();
        self.fixture.append(queue.0, queue.1, records);
        let new = self.fixture.log[before..].iter().cloned();
        self.queues.entry((queue.0.to_owned(), queue.1)).or_default().extend(new);
    }

    fn reopen(&mut self, clean: bool) {
        self.fixture.reopen(clean);
        for record in &self.fixture.log {
            self.fixture.queues.dispatch(&record.request()).unwrap();
        }
        self.fixture.queues.correct_min_offsets(self.log_min).unwrap();
    }

    fn truncate(&mut self, keep: prop::sample::Index) {
        // A queue without any unit starts at 0 again, unless the name of a file says otherwise:
        // one record stays, in batch queues one that has not expired.
        let from = match self.fixture.kind {
            QueueKind::Simple => 0,
            QueueKind::Batch => self.log_min,
        };
        let kept = |records: &Vec<LogRecord>| {
            records.iter().map(|record| record.physical_offset).find(|physical| *physical >= from)
        };
        let least = self.queues.values().filter_map(kept).max().unwrap_or(0);
        let may_go: Vec<i64> = self
            .fixture
            .log
            .iter()
            .map(|record| record.physical_offset)
            .filter(|physical| *physical > least)
            .collect();
        if may_go.is_empty() {
            return;
        }
        let end = may_go[keep.index(may_go.len())];
        self.fixture.log.retain(|record| record.physical_offset < end);
        self.fixture.log_end = end;
        for (queue, records) in &mut self.queues {
            records.retain(|record| record.physical_offset < end);
            self.fixture.next.insert(queue.clone(), next_of(records));
        }
        self.fixture.queues.truncate_to(end).unwrap();
        self.fixture.queues.correct_min_offsets(self.log_min).unwrap();
    }

    fn delete(&mut self, topic: &str) {
        self.fixture.queues.delete_topic(topic).unwrap();
        self.fixture.log.retain(|record| record.topic != topic);
        self.queues.retain(|(name, _), _| name != topic);
        self.fixture.next.retain(|(name, _), _| name != topic);
    }

    fn check(&self) {
        for ((topic, id), records) in &self.queues {
            let queue = self.fixture.queue(topic, *id);
            let readable: Vec<&LogRecord> =
                records.iter().filter(|record| record.physical_offset >= self.log_min).collect();
            let next = next_of(records);
            let min = readable.first().map_or(next, |record| record.queue_offset);
            assert_eq!((queue.min_offset(), queue.next_offset()), (min, next), "{topic}/{id}");
            let units: Vec<Unit> = queue.units_from(min).unwrap().map(Result::unwrap).collect();
            assert_eq!(units.len(), readable.len(), "{topic}/{id}");
            for (unit, record) in units.iter().zip(&readable) {
                assert_eq!(unit.queue_offset, record.queue_offset);
                assert!(unit.describes((topic, *id), &record.request()), "{unit:?} {record:?}");
            }
            if let Some(last) = readable.last() {
                assert_eq!(queue.max_physical_offset(), last.request().physical_end());
            }
        }
        assert!(!self.fixture.queues.poisoned());
    }

    fn search(&self, time: i64) {
        for ((topic, id), records) in &self.queues {
            let queue = self.fixture.queue(topic, *id);
            let time_of = |physical: i64, _: i32| {
                let record = records.iter().find(|record| record.physical_offset == physical)?;
                Some(record.request().store_timestamp)
            };
            let (min, next) = (queue.min_offset(), queue.next_offset());
            let readable: Vec<(i64, i64)> = records
                .iter()
                .filter(|record| record.queue_offset >= min)
                .map(|record| (record.request().store_timestamp, record.queue_offset))
                .collect();
            let end = match (self.fixture.kind, readable.last()) {
                (QueueKind::Batch, Some((_, last))) => *last,
                _ => next,
            };
            let lower = readable.iter().find(|(stored, _)| *stored >= time);
            let upper = readable.iter().rev().find(|(stored, _)| *stored <= time);
            let search =
                |boundary| queue.offset_by_time(time, boundary, self.log_min, &time_of).unwrap();
            assert_eq!(search(Boundary::Lower), lower.map_or(end, |(_, offset)| *offset));
            assert_eq!(search(Boundary::Upper), upper.map_or(min, |(_, offset)| *offset));
        }
    }
}

fn next_of(records: &[LogRecord]) -> i64 {
    records.last().map_or(0, |record| record.queue_offset + i64::from(record.batch_size))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn simple_queues_do_as_the_model(ops in prop::collection::vec(op(), 1..40)) {
        let mut model = Model::new(QueueKind::Simple);
        ops.iter().for_each(|op| model.apply(op));
    }

    #[test]
    fn batch_queues_do_as_the_model(ops in prop::collection::vec(op(), 1..40)) {
        let mut model = Model::new(QueueKind::Batch);
        ops.iter().for_each(|op| model.apply(op));
    }
}
