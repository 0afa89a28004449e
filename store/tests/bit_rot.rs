//! Bit rot: one bit of a stopped store is flipped. The store starts or names the file, what it
//! returns is what was stored, and at most one message is lost.
//!
//! `BIT_ROT_FLIPS=10000` flips so many bits, six tenths of them of a store of ours and one of each
//! store that a Java broker wrote. A failure names the number of the flip, and `BIT_ROT_FIRST`
//! starts with that one: the bit depends on the number only.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{config, copy, fixture_config, message, scratch, stored, unpack};
use remoting::protocol::message::record::records;
use remoting::protocol::message::{Record, sys_flag};
use store::timer::TIMER_TOPIC;
use store::{
    GetRequest, GetStatus, LogSlice, MessageStore, NewMessage, OpenError, QueueKind, StoreConfig,
};

const FLIPS: u64 = 300;
/// Messages that one flip may cost.
const LOST_MAX: usize = 1;
/// Bytes behind the used part of a file that are flipped, too.
const BEHIND: usize = 64;

/// A stopped store, and what it returns.
struct Original {
    directory: tempfile::TempDir,
    config: fn(&Path) -> StoreConfig,
    records: BTreeMap<i64, common::Stored>,
    /// Log positions of the messages of each queue, by offset.
    queues: BTreeMap<(String, i32), BTreeMap<i64, i64>>,
    /// Behind the last of them.
    end: i64,
    /// Files with what is used of each, by the directory or file below the root they belong to.
    files: Vec<Vec<(PathBuf, usize)>>,
}

/// A message that was stored after the flip: its queue, its offset there, its body.
type Added = ((String, i32), i64, Vec<u8>);

/// One flipped bit.
struct Flip {
    path: PathBuf,
    at: usize,
    bit: u8,
}

impl Original {
    fn of(directory: tempfile::TempDir, config: fn(&Path) -> StoreConfig) -> Original {
        let root = directory.path().join("store");
        let mut kinds: BTreeMap<PathBuf, Vec<(PathBuf, usize)>> = BTreeMap::new();
        for (path, used) in used_files(&root) {
            let below = path.strip_prefix(&root).unwrap();
            let kind = below.components().next().unwrap().as_os_str().into();
            kinds.entry(kind).or_default().push((below.to_owned(), used));
        }
        let files = kinds.into_values().collect();
        let (records, queues) = (BTreeMap::new(), BTreeMap::new());
        let mut original = Original { directory, config, records, queues, end: 0, files };
        let copied = original.copy();
        let store = original.open(copied.path()).unwrap();
        original.end = store.max_physical_offset();
        for queue in store.queues().all() {
            let (topic, id) = (queue.topic().to_string(), queue.id());
            let mut found = BTreeMap::new();
            read_queue(&store, (&topic, id), &mut |queue_offset, position, record| {
                found.insert(queue_offset, position);
                original.records.insert(position, stored(record));
            });
            original.queues.insert((topic, id), found);
        }
        original
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn copy(&self) -> tempfile::TempDir {
        let directory = scratch();
        copy(&self.root(), &directory.path().join("store"));
        directory
    }

    fn open(&self, directory: &Path) -> Result<MessageStore, OpenError> {
        let kind = |topic: &str| match topic {
            "B" | "SV_bcq" => QueueKind::Batch,
            _ => QueueKind::Simple,
        };
        let config = (self.config)(&directory.join("store"));
        MessageStore::open(config, Box::new(kind), Box::new(|_| {}))
    }

    fn flip(&self, random: &mut Random) -> Flip {
        let kind = &self.files[random.below(self.files.len())];
        let (path, used) = &kind[random.below(kind.len())];
        let len = fs::metadata(self.root().join(path)).unwrap().len() as usize;
        let at = random.below(len.min(used + BEHIND));
        Flip { path: path.clone(), at, bit: 1 << random.below(8) }
    }

    /// Flips a bit and looks at everything; the error says what is wrong.
    fn check(&self, flip: &Flip) -> Result<(), String> {
        let directory = self.copy();
        flip.make(&directory.path().join("store"));
        let store = match self.open(directory.path()) {
            Ok(store) => store,
            Err(error) => return self.check_refusal(flip, &error, directory.path()),
        };
        self.check_queues(&store, LOST_MAX)?;
        self.check_positions(&store)?;
        let added = self.add(&store)?;
        store.stop().map_err(|error| format!("does not stop: {error}"))?;
        drop(store);
        let store = self.open(directory.path()).map_err(|error| format!("again: {error}"))?;
        self.check_queues(&store, LOST_MAX).map_err(|error| format!("again: {error}"))?;
        for ((topic, id), offset, body) in added {
            self.check_added(&store, (&topic, id), offset, &body)?;
        }
        store.stop().map_err(|error| format!("does not stop again: {error}"))
    }

    /// A start that is refused names the file, and changes nothing that a repair needs.
    fn check_refusal(&self, flip: &Flip, error: &OpenError, root: &Path) -> Result<(), String> {
        let line = error.to_string();
        let named = line.contains(flip.path.to_str().unwrap()) && !line.contains('\n');
        if !named {
            return Err(format!("the start is refused without the file: {line}"));
        }
        flip.make(&root.join("store"));
        let store = self.open(root).map_err(|error| format!("repaired: {error}"))?;
        self.check_queues(&store, 0).map_err(|error| format!("repaired: {error}"))
    }

    fn check_queues(&self, store: &MessageStore, lost_max: usize) -> Result<(), String> {
        let mut lost = BTreeSet::new();
        for ((topic, id), expected) in &self.queues {
            let mut missing = expected.clone();
            let mut wrong = None;
            read_queue(store, (topic, *id), &mut |queue_offset, position, record| {
                let there = missing.remove(&queue_offset) == Some(position);
                let added = position >= self.end;
                let original = there && self.same(position, record);
                if !(added || original) {
                    wrong
                        .get_or_insert(format!("{topic}/{id} at {queue_offset}: not the original"));
                }
            });
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            lost.extend(
                missing.into_iter().map(|(offset, position)| (position, topic, id, offset)),
            );
        }
        let messages: BTreeSet<_> = lost.iter().map(|(position, ..)| position).collect();
        match messages.len() <= lost_max {
            true => Ok(()),
            false => Err(format!("{} messages are lost, as {:?}", messages.len(), lost.first())),
        }
    }

    /// By position, a message is the original or refused.
    fn check_positions(&self, store: &MessageStore) -> Result<(), String> {
        for &position in self.records.keys() {
            if let Some(slice) = store.read(position)
                && !self.same_slice(&slice)
            {
                return Err(format!("the record at {position} is not the original"));
            }
        }
        for key in ["k", "K0"] {
            for slice in store.query("T", key, 64, 0, i64::MAX) {
                if !self.same_slice(&slice) {
                    return Err(format!("{key} finds what was not stored"));
                }
            }
        }
        Ok(())
    }

    fn same_slice(&self, slice: &LogSlice) -> bool {
        Record::decode(slice.as_ref())
            .is_ok_and(|record| self.same(slice.physical_offset(), &record))
    }

    fn same(&self, position: i64, record: &Record<'_>) -> bool {
        let Some(original) = self.records.get(&position) else { return false };
        record.physical_offset == position && record.body == original.body
    }

    /// New messages go on behind the old ones.
    fn add(&self, store: &MessageStore) -> Result<Vec<Added>, String> {
        let mut added = Vec::new();
        let simple = |name: &str| !name.starts_with('%') && !matches!(name, "B" | "SV_bcq");
        for (topic, id) in self.queues.keys().filter(|(topic, _)| simple(topic)).take(4) {
            let body = format!("{topic}/{id}").into_bytes();
            let put = store.put(&message(topic, *id, &body));
            let put = put.map_err(|error| format!("{topic}/{id}: {error}"))?;
            self.check_added(store, (topic, *id), put.queue_offset, &body)?;
            added.push(((topic.clone(), *id), put.queue_offset, body));
        }
        Ok(added)
    }

    fn check_added(
        &self,
        store: &MessageStore,
        (topic, queue_id): (&str, i32),
        queue_offset: i64,
        body: &[u8],
    ) -> Result<(), String> {
        let request =
            GetRequest { topic, queue_id, queue_offset, count_max: 1, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        let found = got.slices.first().and_then(|slice| Record::decode(slice.as_ref()).ok());
        match found.is_some_and(|record| record.body == body) {
            true => Ok(()),
            false => Err(format!("{topic}/{queue_id}: the new message is not there")),
        }
    }
}

impl Flip {
    fn make(&self, root: &Path) {
        let file = fs::File::options().read(true).write(true).open(root.join(&self.path)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.at as u64).unwrap();
        file.write_all_at(&[byte[0] ^ self.bit], self.at as u64).unwrap();
    }
}

/// Reads a queue as a consumer does: it goes on where it is told to, until there is nothing.
fn read_queue(
    store: &MessageStore,
    (topic, queue_id): (&str, i32),
    each: &mut dyn FnMut(i64, i64, &Record<'_>),
) {
    let mut queue_offset = store.min_offset(topic, queue_id).max(0);
    loop {
        let request =
            GetRequest { topic, queue_id, queue_offset, count_max: 32, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        for slice in &got.slices {
            let mut position = slice.physical_offset();
            for record in records(slice.as_ref()) {
                let record = record.expect("whole records");
                let light = topic.starts_with("%LMQ%");
                // A light queue's records carry their offset there as text.
                let offset = if light { position } else { record.queue_offset };
                each(offset, position, &record);
                position += i64::from(record.total_size);
            }
        }
        let ended = matches!(
            got.status,
            GetStatus::OffsetOverflowOne
                | GetStatus::OffsetOverflowBadly
                | GetStatus::NoMessageInQueue
                | GetStatus::NoMatchedLogicQueue
        );
        if ended {
            return;
        }
        assert!(got.next_offset > queue_offset, "{topic}/{queue_id} stays at {queue_offset}");
        queue_offset = got.next_offset;
    }
}

/// Every file with the length up to its last byte that is not zero.
fn used_files(root: &Path) -> Vec<(PathBuf, usize)> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            // What is written beside the store has its own tests.
            let ours = !path.starts_with(root.join("config")) || path.ends_with("timercheck");
            if ours && used > 0 && !path.ends_with("lock") {
                files.push((path, used));
            }
        }
    }
    files.sort();
    files
}

/// Numbers that depend on a seed only (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Flips as many bits as are asked for, each in a fresh copy.
fn flip_all(name: &str, original: &Original, tenths: u64) {
    let first = number("BIT_ROT_FIRST", 0);
    let count = (number("BIT_ROT_FLIPS", FLIPS) * tenths).div_ceil(10);
    let mut failures = Vec::new();
    for number in first..first + count {
        let flip = original.flip(&mut Random(number));
        let checked = std::panic::catch_unwind(|| original.check(&flip)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
            Err(text.to_owned())
        });
        if let Err(error) = checked {
            let place = format!("{} at {}, bit {:#04x}", flip.path.display(), flip.at, flip.bit);
            failures.push(format!("{name} {number}: {place}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    eprintln!("{name}: {count} flips");
}

fn ours(root: &Path) -> StoreConfig {
    StoreConfig {
        mapped_file_size_consume_queue: 20 * 40,
        mapper_file_size_batch_consume_queue: 46 * 10,
        max_index_num: 200,
        enable_lmq: true,
        enable_multi_dispatch: true,
        ..config(root)
    }
}

/// A store of every kind of queue whose oldest files are deleted.
fn fill(root: &Path) {
    let kind = |topic: &str| if topic == "B" { QueueKind::Batch } else { QueueKind::Simple };
    let store = MessageStore::open(ours(root), Box::new(kind), Box::new(|_| {})).unwrap();
    let due = i64::MAX / 2;
    let timer = format!("TIMER_OUT_MS\u{1}{due}\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}");
    for n in 0..600 {
        // Records of a power of two bytes: a flipped position is that of another record.
        let body = vec![b'a' + (n % 26) as u8; if n % 3 == 0 { 256 - 117 } else { 90 + n % 200 }];
        let plain = message("T", (n % 3) as i32, &body);
        store.put(&plain).unwrap();
        match n % 6 {
            0 => store.put(&NewMessage { topic: "U", ..plain.clone() }).unwrap(),
            1 => {
                let properties = "INNER_NUM\u{1}3\u{2}";
                let sys_flag = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
                store.put(&NewMessage { topic: "B", sys_flag, properties, ..plain }).unwrap()
            }
            2 => {
                let properties = "INNER_MULTI_DISPATCH\u{1}%LMQ%a,%LMQ%b\u{2}KEYS\u{1}K0\u{2}";
                store.put(&NewMessage { properties, ..plain }).unwrap()
            }
            3 => {
                let sys_flag = sys_flag::TRANSACTION_PREPARED;
                store.put(&NewMessage { topic: "H", sys_flag, ..plain }).unwrap()
            }
            4 => {
                let properties = "DELAY\u{1}3\u{2}";
                let topic = "SCHEDULE_TOPIC_XXXX";
                store.put(&NewMessage { topic, properties, ..plain }).unwrap()
            }
            _ => {
                let properties = &timer;
                let topic = TIMER_TOPIC;
                store.put(&NewMessage { topic, queue_id: 0, properties, ..plain }).unwrap()
            }
        };
    }
    store.save_checkpoint().unwrap();
    while store.build_index() {}
    store.delete_oldest_file().unwrap().unwrap();
    store.delete_expired_views();
    store.stop().unwrap();
}

#[test]
fn a_flipped_bit_of_our_store_costs_one_message_at_most() {
    let directory = scratch();
    fill(&directory.path().join("store"));
    let original = Original::of(directory, ours);
    assert!(original.records.len() > 800);
    assert_eq!(original.queues.len(), 9, "{:?}", original.queues.keys());
    flip_all("ours", &original, 6);
}

#[test]
fn a_flipped_bit_of_a_java_store_costs_one_message_at_most() {
    for name in ["4.9.7-clean", "5.1.4-clean", "5.3.3-clean", "5.5.0-clean"] {
        flip_all(name, &Original::of(unpack(name), fixture_config), 1);
    }
}
