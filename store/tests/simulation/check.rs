//! What must hold of a store that was opened after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use remoting::protocol::message::Record;
use store::commit_log::Found;
use store::json_file::JsonFile;
use store::light::is_light;
use store::timer::TIMER_TOPIC;
use store::{GetRequest, GetStatus, MessageStore};

use crate::common::read_all;
use crate::history::{History, Message};
use crate::random::Random;
use crate::run::{BATCH_TOPIC, DUE_TOPIC, LIGHTS, TOPICS, json_file};

/// Compares a store with what is known. `all` are the messages that may be there; returns how
/// many of them the log has.
pub fn store(store: &MessageStore, history: &History, all: &[Arc<Message>]) -> usize {
    let count = log(store, history, all);
    let clear = |topic: &&&str| !history.unclear.contains(**topic);
    for topic in TOPICS.iter().chain(&[BATCH_TOPIC]).filter(clear) {
        for queue_id in 0..history.queues {
            queue(store, history, &all[..count], topic, queue_id);
        }
    }
    for light in LIGHTS {
        queue(store, history, &all[..count], light, 0);
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
    let next = known.last().and_then(|message| message.next_in(topic, queue_id)).unwrap_or(0);
    let found = store.max_offset(topic, queue_id);
    let there = history.queue(all, all.len(), topic, queue_id);
    let there: Vec<_> = there
        .filter(|message| message.position >= min)
        .map(|message| {
            let queue_offset = message.offset_in(topic, queue_id).unwrap_or(-1);
            (queue_offset, message.position, message.body.clone())
        })
        .collect();
    // A power cut may take the name of a queue's first file and leave that of its second: when no
    // record is left either, the offsets go on from there.
    let skips = there.is_empty() && found > next && store.min_offset(topic, queue_id) == found;
    assert!(found == next || skips, "{topic}/{queue_id} ends at {found}, expected {next}");
    let read: Vec<_> = match is_light(topic) {
        true => read_light(store, topic),
        false => read_all(store, topic, queue_id)
            .into_iter()
            .map(|stored| (stored.queue_offset, stored.physical_offset, stored.body))
            .collect(),
    };
    assert!(read == there, "{topic}/{queue_id} has {read:?}, expected {there:?}");
}

/// Every message of a light queue: its offset there, its position and its body.
fn read_light(store: &MessageStore, topic: &str) -> Vec<(i64, i64, Vec<u8>)> {
    let offsets = store.min_offset(topic, 0).max(0)..store.max_offset(topic, 0);
    let read = |queue_offset| {
        let request =
            GetRequest { topic, queue_id: 0, queue_offset, count_max: 1, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        assert_eq!((got.status, got.count), (GetStatus::Found, 1), "{topic} at {queue_offset}");
        let record = Record::decode(got.slices[0].as_ref()).expect("a record");
        (queue_offset, record.physical_offset, record.body.to_vec())
    };
    offsets.map(read).collect()
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
