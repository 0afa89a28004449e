//! A run of a store: random work, with every call to the disk written down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{PropertiesBuf, Record, sys_flag};
use store::commit_log::Found;
use store::faults::Faults;
use store::json_file::JsonFile;
use store::timer::{TIMER_TOPIC, Timer, slot_of};
use store::{FlushDiskType, MessageStore, NewBatch, NewMessage, NewSend, QueueKind, StoreConfig};

use crate::common;
use crate::disk::Call;
use crate::history::{History, Message, Note};
use crate::random::Random;

pub const TOPICS: [&str; 3] = ["A", "B", "C"];
/// A topic whose queues take inner batches.
pub const BATCH_TOPIC: &str = "E";
pub const LIGHTS: [&str; 2] = ["%LMQ%a", "%LMQ%b"];
/// Where timer messages are delivered to, in queue 0.
pub const DUE_TOPIC: &str = "D";
const SEGMENT: i64 = 4096;
/// Milliseconds of a slot of the timer.
const PRECISION: i64 = 1000;
/// Properties that fill more than a sector.
const LONG: usize = 700;

/// A call to the disk, or what happened between two.
#[derive(Clone, Debug)]
pub enum Entry {
    Call(Call),
    Note(Note),
}

/// What happens below a directory, written down.
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    _watch: Faults,
}

impl Journal {
    pub fn of(directory: &Path) -> Journal {
        let entries = Arc::new(Mutex::new(Vec::new()));
        let (written, root) = (Arc::clone(&entries), directory.to_owned());
        let watch = Faults::observe(directory, move |operation| {
            if let Some(call) = Call::of(operation, &root) {
                written.lock().unwrap().push(Entry::Call(call));
            }
        });
        Journal { entries, _watch: watch }
    }

    fn note(&self, note: Note) {
        self.entries.lock().unwrap().push(Entry::Note(note));
    }

    pub fn entries(self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap())
    }
}

pub fn root(directory: &Path) -> PathBuf {
    directory.join("store")
}

pub fn json_file(directory: &Path) -> PathBuf {
    root(directory).join("config/generation.json")
}

/// Tiny files, so that every boundary between two is met often.
pub fn config(directory: &Path, sync_flush: bool, log_paths: u64) -> StoreConfig {
    let path = |number| root(directory).join(format!("commitlog-{number}")).display().to_string();
    StoreConfig {
        store_path_commit_log: (1..=log_paths).map(path).collect::<Vec<_>>().join(","),
        mapper_file_size_batch_consume_queue: 46 * 6,
        enable_lmq: true,
        enable_multi_dispatch: true,
        mapped_file_size_commit_log: SEGMENT as i32,
        mapped_file_size_consume_queue: 20 * 6,
        max_hash_slot_num: 16,
        max_index_num: 12,
        mapped_file_size_timer_log: 4096,
        flush_disk_type: match sync_flush {
            true => FlushDiskType::SyncFlush,
            false => FlushDiskType::AsyncFlush,
        },
        ..common::config(&root(directory))
    }
}

/// A store at work.
pub struct Run {
    directory: PathBuf,
    config: StoreConfig,
    store: Option<MessageStore>,
    pub journal: Journal,
    pub messages: Vec<Arc<Message>>,
    pub history: History,
    random: Random,
    /// The clock of the timer. It lies behind that of the machine, whose times the records have.
    now: i64,
}

impl Run {
    /// Opens the store of a directory, of which `history` and `messages` are known.
    pub fn open(
        directory: &Path,
        history: History,
        messages: Vec<Arc<Message>>,
        random: Random,
    ) -> Run {
        let mut random = random;
        let mut config = config(directory, random.chance(2), history.log_paths);
        // With one, a start that finds two loads them as they are used, and syncs go in rounds.
        config.many_queues = match random.below(4) {
            0 | 1 => 1000,
            2 => 1,
            _ => 40,
        };
        let journal = Journal::of(directory);
        let directory = directory.to_owned();
        let now = (runtime::clock::now_ms() / PRECISION - 100) * PRECISION;
        let mut run =
            Run { directory, config, store: None, journal, messages, history, random, now };
        run.reopen();
        run
    }

    pub fn store(&self) -> &MessageStore {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        let kinds = |topic: &str| match topic {
            BATCH_TOPIC => QueueKind::Batch,
            _ => QueueKind::Simple,
        };
        let opened = MessageStore::open(self.config.clone(), Box::new(kinds), Box::new(|_| {}));
        self.store =
            Some(opened.unwrap_or_else(|error| panic!("the store does not open: {error}")));
    }

    fn note(&mut self, note: Note) {
        self.history.note(&note);
        self.journal.note(note);
    }

    /// Whatever the store says is on disk counts as acknowledged.
    pub fn acknowledge(&mut self) {
        let durable = self.store().flushed_offset();
        self.note(Note::Durable(durable));
    }

    /// Does one random thing.
    pub fn step(&mut self) {
        match self.random.below(100) {
            0..20 => self.put(),
            20..23 => self.put_light(),
            23..26 => self.put_inner_batch(),
            26..34 => self.park(),
            34..40 => self.turn(),
            40..42 => self.timer().save(self.store()).unwrap(),
            42..50 if self.history.queues > 2 => self.put_everywhere(),
            42..50 => self.put_group(),
            50..55 => self.put_batch(),
            55..66 => self.store().flush().unwrap(),
            66..73 => _ = self.store().queues().write_tails().unwrap(),
            73..79 => self.store().save_checkpoint().unwrap(),
            79..84 => _ = self.store().build_index(),
            84..88 => self.store().log().prepare().unwrap(),
            88..91 => self.delete_oldest(),
            91..92 => self.delete_topic(),
            92..93 => self.delete_dead(),
            93..95 => self.save(),
            95..97 => self.stop(),
            _ => self.reopen(),
        }
        self.acknowledge();
    }

    fn timer(&self) -> &Timer {
        self.store().timer().unwrap()
    }

    /// Has the timer write down when it began: else every start looks through a week of slots.
    pub fn start_timer(&mut self) {
        self.turn();
        self.timer().save(self.store()).unwrap();
    }

    /// Stores a message for a time that is near.
    fn park(&mut self) {
        let due = self.now + self.random.below(5000) as i64 - 1000;
        let key = format!("k{}", self.messages.len());
        let mut properties = PropertiesBuf::new();
        properties.push(property::UNIQ_KEY, &key);
        properties.push(property::TIMER_DELIVER_MS, &due.to_string());
        properties.push(property::REAL_TOPIC, DUE_TOPIC);
        properties.push(property::REAL_QUEUE_ID, "0");
        properties.push(property::TIMER_OUT_MS, &slot_of(due, PRECISION).to_string());
        let message = common::message(TIMER_TOPIC, 0, b"timer");
        let properties = properties.as_str();
        self.store().put(&NewMessage { properties, ..message }).unwrap();
        self.learn();
    }

    /// Lets time pass for the timer.
    fn turn(&mut self) {
        self.now += self.random.below(1500) as i64;
        _ = self.timer().turn(self.store(), self.now);
        self.learn();
    }

    /// Delivers everything that waits.
    pub fn deliver(&mut self) {
        self.now += 3_600_000;
        let mut turns = 0;
        while self.timer().turn(self.store(), self.now).is_none() {
            turns += 1;
            assert!(turns < 1000, "the timer does not come to an end");
        }
        self.learn();
    }

    /// Adds the records behind the last known one.
    fn learn(&mut self) {
        let last = self.messages.last().map(|last| last.position);
        let from = last.unwrap_or(0).max(self.store().min_physical_offset());
        let store = self.store.take().unwrap();
        let mut records = store.log().records(from);
        while let Found::Record(slice) = records.advance() {
            let record = Record::decode(slice.as_ref()).unwrap();
            if Some(record.physical_offset) != last {
                self.add(Message::of(&record), store.min_physical_offset());
            }
        }
        self.store = Some(store);
    }

    pub fn stop(&mut self) {
        self.store().stop().unwrap();
        self.reopen();
    }

    /// Stores a message in each queue of which it is known what it holds.
    fn put_everywhere(&mut self) {
        for topic in TOPICS {
            for queue_id in 0..self.history.queues {
                if !self.history.unclear.contains(topic) {
                    self.put_in(topic, queue_id, "", 0);
                }
            }
        }
    }

    /// Stores a message, in a queue of which it is known what it holds.
    pub fn put(&mut self) {
        let long = self.random.chance(6).then(|| format!("LONG\u{1}{}\u{2}", "p".repeat(LONG)));
        self.put_with(&long.unwrap_or_default(), 0);
    }

    /// Stores messages and batches that came together, in queues of which it is known what they
    /// hold.
    fn put_group(&mut self) {
        let count = 2 + self.random.below(6) as usize;
        let places: Vec<_> = (0..count).filter_map(|_| self.queue()).collect();
        let texts: Vec<_> = (0..places.len())
            .map(|at| {
                let long = if self.random.chance(6) { "p".repeat(LONG) } else { String::new() };
                let key = format!("k{}", self.messages.len() + at);
                (self.body(200), format!("KEYS\u{1}{key}\u{2}LONG\u{1}{long}\u{2}"))
            })
            .collect();
        let packed = texts.iter().map(|(body, properties)| {
            let mut packed = BytesMut::new();
            let part = BatchMessage { flag: 0, body, properties };
            // Several of the long ones would be longer than a file.
            let count = if properties.len() > LONG { 0 } else { self.random.below(4) };
            (0..count).for_each(|_| part.encode(&mut packed).unwrap());
            packed
        });
        let packed: Vec<_> = packed.collect();
        let sends = places.iter().zip(&texts).zip(&packed);
        let sends: Vec<_> = sends
            .map(|(((topic, queue_id), (body, properties)), packed)| match packed.is_empty() {
                true => NewSend::Message(NewMessage {
                    properties,
                    ..common::message(topic, *queue_id, body)
                }),
                false => NewSend::Batch(NewBatch {
                    message: NewMessage {
                        properties: "",
                        ..common::message(topic, *queue_id, packed)
                    },
                }),
            })
            .collect();
        let puts = self.store().put_group(&sends);
        assert!(puts.iter().all(Result::is_ok), "{puts:?}");
        self.learn();
    }

    /// Stores a message that stands in light queues, too.
    fn put_light(&mut self) {
        let names = match self.random.below(4) {
            0 => LIGHTS.join(","),
            number => LIGHTS[number as usize % 2].to_owned(),
        };
        let names = format!("{}\u{1}{names}\u{2}", property::INNER_MULTI_DISPATCH);
        self.put_with(&names, 0);
    }

    fn put_with(&mut self, more: &str, sys_flag: i32) {
        let Some((topic, queue_id)) = self.queue() else { return };
        self.put_in(topic, queue_id, more, sys_flag);
    }

    fn put_in(&mut self, topic: &str, queue_id: i32, more: &str, sys_flag: i32) {
        let (body, key) = (self.body(200), format!("k{}", self.messages.len()));
        let properties = format!("KEYS\u{1}{key}\u{2}{more}");
        let message = NewMessage { sys_flag, ..common::message(topic, queue_id, &body) };
        self.store().put(&NewMessage { properties: &properties, ..message }).unwrap();
        self.learn();
    }

    /// Stores an inner batch, or a single message beside such.
    fn put_inner_batch(&mut self) {
        if self.history.unclear.contains(BATCH_TOPIC) {
            return;
        }
        let queue_id = self.random.below(self.history.queues as u64) as i32;
        if self.random.chance(3) {
            return self.put_in(BATCH_TOPIC, queue_id, "", 0);
        }
        let count = 1 + self.random.below(4);
        let number = format!("{}\u{1}{count}\u{2}", property::INNER_NUM);
        let sys_flag = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
        self.put_in(BATCH_TOPIC, queue_id, &number, sys_flag);
    }

    fn put_batch(&mut self) {
        let Some((topic, queue_id)) = self.queue() else { return };
        let count = 1 + self.random.below(5) as usize;
        let parts: Vec<(Vec<u8>, String)> = (0..count)
            .map(|at| (self.body(100), format!("k{}", self.messages.len() + at)))
            .collect();
        let mut packed = BytesMut::new();
        for (body, key) in &parts {
            let properties = format!("KEYS\u{1}{key}\u{2}");
            BatchMessage { flag: 0, body, properties: &properties }.encode(&mut packed).unwrap();
        }
        let message = NewMessage { properties: "", ..common::message(topic, queue_id, &packed) };
        self.store().put_batch(&NewBatch { message }).unwrap();
        self.learn();
    }

    fn add(&mut self, message: Message, min: i64) {
        let count = self.messages.len();
        let own = (message.topic.as_str(), message.queue_id, message.queue_offset);
        let lights = message.lights.iter().map(|(name, offset)| (name.as_str(), 0, *offset));
        for (topic, queue_id, offset) in lights.chain([own]) {
            let last = self.history.queue(&self.messages, count, topic, queue_id).last();
            let next = last.and_then(|last| last.next_in(topic, queue_id)).unwrap_or(0);
            let gone = last.is_none_or(|last| last.position < min);
            let follows = offset == next || gone && offset > next;
            assert!(follows, "{topic}/{queue_id} goes on at {offset}, not {next}");
        }
        let behind = self.messages.last().is_none_or(|last| last.position < message.position);
        assert!(behind, "a record at {}, before the last one", message.position);
        self.messages.push(Arc::new(message));
        self.note(Note::Put);
    }

    fn queue(&mut self) -> Option<(&'static str, i32)> {
        let topic = TOPICS[self.random.below(TOPICS.len() as u64) as usize];
        let queue_id = self.random.below(self.history.queues as u64) as i32;
        (!self.history.unclear.contains(topic)).then_some((topic, queue_id))
    }

    fn body(&mut self, max: u64) -> Vec<u8> {
        let len = match self.random.below(8) {
            0 => 0,
            1 => 3 * max,
            _ => self.random.below(max),
        };
        // Zeros, too: a record is told from an empty sector by more than its body.
        let byte = if self.random.chance(5) { 0 } else { self.random.next() as u8 };
        vec![byte; len as usize]
    }

    fn delete_oldest(&mut self) {
        let segments = self.store().log().segments();
        if let [oldest, _, ..] = segments.as_slice() {
            self.note(Note::Removing(oldest.limit()));
        }
        self.store().delete_oldest_file().unwrap();
        self.store().delete_expired_views();
    }

    fn delete_topic(&mut self) {
        let number = self.random.below(TOPICS.len() as u64 + 1) as usize;
        let topic = TOPICS.get(number).copied().unwrap_or(BATCH_TOPIC);
        self.note(Note::Deleting(topic.to_owned()));
        self.store().delete_topic(topic).unwrap();
        self.note(Note::Deleted(topic.to_owned()));
    }

    /// Deletes old files until a topic is dead, and then its queues.
    fn delete_dead(&mut self) {
        let topic = TOPICS[self.random.below(TOPICS.len() as u64) as usize];
        while self.store().log().segments().len() > 1 {
            self.delete_oldest();
        }
        let (min, count) = (self.store().min_physical_offset(), self.messages.len());
        let is_dead = (0..self.history.queues).all(|queue_id| {
            let mut all = self.history.queue(&self.messages, count, topic, queue_id);
            all.all(|message| message.position < min)
        });
        if is_dead && !self.history.unclear.contains(topic) {
            self.note(Note::Deleting(topic.to_owned()));
            self.store().delete_dead_queues(&|other, _| other != topic).unwrap();
            self.note(Note::Deleted(topic.to_owned()));
        }
    }

    fn save(&mut self) {
        let generation = self.history.saving + 1;
        self.note(Note::Saving(generation));
        let value = BTreeMap::from([("generation", generation)]);
        JsonFile::save(&json_file(&self.directory), &value).unwrap();
        self.note(Note::Saved(generation));
    }
}
