//! What must hold of a store that was opened after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use remoting::protocol::message::Record;
use store::MessageStore;
use store::commit_log::Found;
use store::json_file::JsonFile;
use store::timer::TIMER_TOPIC;

use crate::common::read_all;
use crate::history::{History, Message};
use crate::random::Random;
use crate::run::{DUE_TOPIC, QUEUES, TOPICS, json_file};

/// Compares a store with what is known. `all` are the messages that may be there; returns how
/// many of them the log has.
pub fn store(store: &MessageStore, history: &History, all: &[Arc<Message>]) -> usize {
    let count = log(store, history, all);
    for topic in TOPICS.iter().filter(|topic| !history.unclear.contains(**topic)) {
        for queue_id in 0..QUEUES {
            queue(store, history, &all[..count], topic, queue_id);
        }
    }
    queue(store, history, &all[..count], TIMER_TOPIC, 0);
    queue(store, history, &all[..count], DUE_TOPIC, 0);
    count
}

/// What was for later has been delivered once.
pub fn delivered(messages: &[Arc<Message>]) {
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for copy in messages.iter().filter(|message| message.topic == DUE_TOPIC) {
        *copies.entry(&copy.key).or_default() += 1;
    }
    for parked in messages.iter().filter(|message| message.topic == TIMER_TOPIC) {
        let copies = copies.get(parked.key.as_str()).copied().unwrap_or(0);
        assert_eq!(copies, 1, "copies of {} at {}", parked.key, parked.position);
    }
}

/// The log is a run of the messages: none is missing in between, none is foreign, and what was
/// acknowledged is there.
fn log(store: &MessageStore, history: &History, all: &[Arc<Message>]) -> usize {
    let min = store.min_physical_offset();
    assert!(min <= history.removing, "the log starts at {min}: a file is gone");
    let end = store.max_physical_offset();
    assert!(end >= history.durable, "the log ends at {end}, durable were {}", history.durable);
    let mut count = all.partition_point(|message| message.position < min);
    let mut records = store.log().records(min);
    while let Found::Record(slice) = records.advance() {
        let record = Record::decode(slice.as_ref()).expect("a record");
        record.verify_crc().expect("the body of its checksum");
        let position = record.physical_offset;
        let known = all.get(count).unwrap_or_else(|| panic!("a record at {position} of nobody"));
        assert_eq!(Message::of(&record), **known);
        count += 1;
    }
    let lost = all[count..].iter().find(|message| message.position < history.durable);
    assert_eq!(lost, None, "lost, the log reads up to {}", records.position());
    count
}

fn queue(
    store: &MessageStore,
    history: &History,
    all: &[Arc<Message>],
    topic: &str,
    queue_id: i32,
) {
    let min = store.min_physical_offset();
    let known = history.queue(all, all.len(), topic, queue_id);
    let next = known.last().map_or(0, |message| message.queue_offset + 1);
    let found = store.max_offset(topic, queue_id);
    let there = history.queue(all, all.len(), topic, queue_id);
    let there: Vec<_> = there
        .filter(|message| message.position >= min)
        .map(|message| (message.queue_offset, message.position, message.body.as_slice()))
        .collect();
    // A power cut may take the name of a queue's first file and leave that of its second: when no
    // record is left either, the offsets go on from there.
    let skips = there.is_empty() && found > next && store.min_offset(topic, queue_id) == found;
    assert!(found == next || skips, "{topic}/{queue_id} ends at {found}, expected {next}");
    let read = read_all(store, topic, queue_id);
    let read: Vec<_> = read
        .iter()
        .map(|stored| (stored.queue_offset, stored.physical_offset, stored.body.as_slice()))
        .collect();
    assert!(read == there, "{topic}/{queue_id} has {read:?}, expected {there:?}");
}

/// The index finds the messages that are there.
pub fn index(store: &MessageStore, all: &[Arc<Message>], random: &mut Random) {
    let min = store.min_physical_offset();
    let from = all.partition_point(|message| message.position < min);
    for _ in 0..3.min(all.len() - from) {
        let message = &all[from + random.below((all.len() - from) as u64) as usize];
        let found = store.query(&message.topic, &message.key, 32, 0, i64::MAX);
        let found = found.iter().any(|slice| slice.physical_offset() == message.position);
        assert!(found, "no {} of {} in the index", message.key, message.topic);
    }
}

/// The JSON file is of the saved generation, or of a newer one.
pub fn json(directory: &Path, history: &History) {
    let loaded: Option<BTreeMap<String, i64>> =
        JsonFile::load(&json_file(directory)).unwrap_or_else(|error| panic!("{error}"));
    let generation = loaded.map_or(0, |loaded| loaded["generation"]);
    let known = history.saved..=history.saving;
    assert!(known.contains(&generation), "generation {generation}, expected {known:?}");
}
