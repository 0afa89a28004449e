//! Random operations against a model: what was stored, in order, per queue.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use bytes::BytesMut;
use common::{config, message, open, read_all, scratch};
use proptest::prelude::*;
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::sys_flag;
use store::{MessageStore, NewBatch, NewMessage, NewSend, QueueKind};

const TOPICS: [&str; 3] = ["A", "B", "%RETRY%g"];

#[derive(Clone, Debug)]
enum Step {
    Put { topic: usize, queue: i32, len: usize },
    Group { puts: Vec<(usize, i32, usize)> },
    Batch { topic: usize, queue: i32, count: usize, len: usize },
    Half { len: usize },
    Flush,
    WriteTails,
    Checkpoint,
    Prepare,
    BuildIndex,
    DeleteOldestFile,
    DeleteTopic { topic: usize },
    Kill,
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (topic, queue) = (0..TOPICS.len(), 0..3);
    let step = prop_oneof![
        20 => (topic.clone(), queue.clone(), 0..6000_usize)
            .prop_map(|(topic, queue, len)| Step::Put { topic, queue, len }),
        4 => (topic.clone(), queue, 1..40_usize, 0..400_usize)
            .prop_map(|(topic, queue, count, len)| Step::Batch { topic, queue, count, len }),
        3 => prop::collection::vec((0..TOPICS.len(), 0..3, 0..3000_usize), 1..40)
            .prop_map(|puts| Step::Group { puts }),
        2 => (0..3000_usize).prop_map(|len| Step::Half { len }),
        1 => Just(Step::Flush),
        2 => Just(Step::WriteTails),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Prepare),
        1 => Just(Step::BuildIndex),
        1 => Just(Step::DeleteOldestFile),
        1 => topic.prop_map(|topic| Step::DeleteTopic { topic }),
        2 => Just(Step::Kill),
        1 => Just(Step::Stop),
    ];
    prop::collection::vec(step, 1..120)
}

/// One stored message: its place in the log and its body.
type Kept = (i64, Vec<u8>);

struct Run {
    directory: tempfile::TempDir,
    store: Option<MessageStore>,
    queues: BTreeMap<(usize, i32), Vec<Kept>>,
    /// Stored so far: makes every body different.
    count: u64,
}

impl Run {
    fn new() -> Run {
        let directory = scratch();
        let store = Some(open(config(directory.path())).unwrap());
        Run { directory, store, queues: BTreeMap::new(), count: 0 }
    }

    fn store(&self) -> &MessageStore {
        self.store.as_ref().unwrap()
    }

    fn body(&mut self, len: usize) -> Vec<u8> {
        self.count += 1;
        let mut body = self.count.to_be_bytes().to_vec();
        body.resize(len.max(8), b'x');
        body
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put { topic, queue, len } => self.put(topic, queue, len),
            Step::Group { ref puts } => self.group(puts),
            Step::Batch { topic, queue, count, len } => self.batch(topic, queue, count, len),
            Step::Half { len } => {
                let body = self.body(len);
                let flag = sys_flag::TRANSACTION_PREPARED;
                let half = NewMessage { sys_flag: flag, ..message("half", 0, &body) };
                assert_eq!(self.store().put(&half).unwrap().queue_offset, 0);
            }
            Step::Flush => drop(self.store().log().flush().unwrap()),
            Step::WriteTails => drop(self.store().queues().write_tails().unwrap()),
            Step::Checkpoint => self.store().save_checkpoint().unwrap(),
            Step::Prepare => self.store().log().prepare().unwrap(),
            Step::BuildIndex => drop(self.store().build_index()),
            Step::DeleteOldestFile => {
                self.store().delete_oldest_file().unwrap();
                self.store().delete_expired_views();
            }
            Step::DeleteTopic { topic } => {
                self.store().delete_topic(TOPICS[topic]).unwrap();
                self.queues.retain(|key, _| key.0 != topic);
            }
            Step::Kill => self.reopen(),
            Step::Stop => {
                self.store().stop().unwrap();
                self.reopen();
            }
        }
    }

    fn put(&mut self, topic: usize, queue: i32, len: usize) {
        let body = self.body(len);
        let put = self.store().put(&message(TOPICS[topic], queue, &body)).unwrap();
        let kept = self.queues.entry((topic, queue)).or_default();
        assert_eq!(put.queue_offset, kept.len() as i64);
        kept.push((put.physical_offset, body));
    }

    fn group(&mut self, puts: &[(usize, i32, usize)]) {
        let bodies: Vec<_> = puts.iter().map(|(_, _, len)| self.body(*len)).collect();
        let messages: Vec<_> = puts
            .iter()
            .zip(&bodies)
            .map(|((topic, queue, _), body)| message(TOPICS[*topic], *queue, body))
            .map(NewSend::Message)
            .collect();
        let stored = self.store().put_group(&messages);
        for ((&(topic, queue, _), body), put) in puts.iter().zip(bodies).zip(stored) {
            let put = put.unwrap();
            let kept = self.queues.entry((topic, queue)).or_default();
            assert_eq!(put.queue_offset, kept.len() as i64);
            kept.push((put.physical_offset, body));
        }
    }

    fn batch(&mut self, topic: usize, queue: i32, count: usize, len: usize) {
        let bodies: Vec<_> = (0..count).map(|_| self.body(len)).collect();
        let mut packed = BytesMut::new();
        for body in &bodies {
            BatchMessage { flag: 0, body, properties: "" }.encode(&mut packed).unwrap();
        }
        let batch = NewBatch { message: message(TOPICS[topic], queue, &packed) };
        let put = self.store().put_batch(&batch).unwrap();
        let kept = self.queues.entry((topic, queue)).or_default();
        assert_eq!(put.queue_offset, kept.len() as i64);
        kept.extend(put.ids.iter().copied().zip(bodies));
    }

    fn reopen(&mut self) {
        // Without a stop this is a kill: what is in memory only is lost.
        self.store = None;
        let config = config(self.directory.path());
        let kinds = Box::new(|_: &str| QueueKind::Simple);
        self.store = Some(MessageStore::open(config, kinds, Box::new(|_| {})).unwrap());
        self.compare();
    }

    fn compare(&self) {
        let store = self.store();
        let min = store.min_physical_offset();
        for (&(topic, queue), kept) in &self.queues {
            let name = TOPICS[topic];
            assert_eq!(store.max_offset(name, queue), kept.len() as i64, "{name}/{queue}");
            let left: Vec<_> = (0..).zip(kept).filter(|(_, (at, _))| *at >= min).collect();
            let all = read_all(store, name, queue);
            assert_eq!(all.len(), left.len(), "{name}/{queue}");
            for (stored, (queue_offset, (physical_offset, body))) in all.iter().zip(left) {
                assert_eq!(stored.queue_offset, queue_offset);
                assert_eq!(stored.physical_offset, *physical_offset);
                assert_eq!(&stored.body, body);
            }
        }
        let found = store.query("A", "k", 64, 0, i64::MAX).len();
        let stored = (0..3).filter_map(|queue| self.queues.get(&(0, queue))).flatten();
        let stored = stored.filter(|(at, _)| *at >= min).count();
        assert!(found >= stored.min(1), "{stored} messages with the key");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_is_its_model(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.compare();
        run.step(&Step::Kill);
        run.step(&Step::Stop);
    }
}

/// The only topic of the store is deleted, used again, and the process killed.
#[test]
fn the_records_of_a_deleted_topic_stay_gone() {
    let put = || Step::Put { topic: 2, queue: 1, len: 0 };
    for end in [Step::Kill, Step::Stop] {
        let mut run = Run::new();
        for step in [put(), Step::DeleteTopic { topic: 2 }, put(), end] {
            run.step(&step);
        }
        run.step(&Step::Kill);
        run.step(&Step::Stop);
    }
}
