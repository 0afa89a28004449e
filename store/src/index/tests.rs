//! The index against a list of what was put in, and its files byte by byte.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use proptest::prelude::*;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, sys_flag};

use super::*;

/// Hashes of keys of one topic, on which the model relies.
fn hash_of(key: &str) -> i32 {
    hash::index_hash_of("T", key)
}

#[derive(Clone, Debug)]
struct Put {
    hash: i32,
    physical_offset: i64,
}

struct Fixture {
    dir: tempfile::TempDir,
    index: Index,
    config: IndexConfig,
    puts: Vec<Put>,
    log_end: i64,
    now: i64,
}

impl Fixture {
    fn new(slots: u32, entries: u32) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let config = IndexConfig { dir: dir.path().join("index"), slots, entries };
        let index = Index::open(config.clone(), true).unwrap();
        let now = 1_700_000_000_456;
        Fixture { dir, index, config, puts: Vec::new(), log_end: 4096, now }
    }

    fn put(&mut self, properties: &str) {
        let timestamp = self.now;
        self.index.dispatch(&request(properties, self.log_end, timestamp)).unwrap();
        let properties = Properties::new(properties);
        let unique = properties.get(property::UNIQ_KEY);
        for key in unique.into_iter().chain(properties.keys()) {
            let put = Put { hash: hash_of(key), physical_offset: self.log_end };
            self.puts.push(put);
        }
        self.log_end += 100;
        self.now += 1500;
    }

    fn reopen(&mut self, clean: bool) {
        self.index = Index::open(self.config.clone(), clean).unwrap();
    }

    fn find(&self, key: &str) -> Vec<i64> {
        self.index.query("T", key, 1000, 0, i64::MAX).unwrap()
    }

    fn wanted(&self, key: &str) -> Vec<i64> {
        let mut wanted: Vec<i64> = self
            .puts
            .iter()
            .filter(|put| put.hash == hash_of(key))
            .map(|put| put.physical_offset)
            .collect();
        wanted.dedup();
        wanted.reverse();
        wanted
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.config.dir).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn request(properties: &str, physical_offset: i64, timestamp: i64) -> DispatchRequest<'_> {
    DispatchRequest {
        topic: "T",
        queue_id: 0,
        physical_offset,
        size: 100,
        tags_code: 0,
        store_timestamp: timestamp,
        queue_offset: 0,
        sys_flag: 0,
        properties,
        batch_size: 1,
    }
}

fn keys(text: &str) -> String {
    format!("KEYS\u{1}{text}\u{2}")
}

fn golden(kind: &str) -> Vec<(serde_json::Value, String)> {
    let table = include_str!("../../../compat-tests/facts/golden-records.tsv");
    let rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|cells| cells[0] == kind)
        .map(|cells| (serde_json::from_str(cells[2]).unwrap(), cells[3].to_owned()))
        .collect()
}

#[test]
fn keys_hash_as_in_java() {
    let rows = golden("index-key-hash");
    assert_eq!(rows.len(), 12);
    for (facts, _) in rows {
        let key = facts["key"].as_str().unwrap();
        let hash = i64::from(hash::index_key_hash(key));
        assert_eq!(hash, facts["hash"].as_i64().unwrap(), "{key}");
        if let Some((topic, key)) = key.split_once('#') {
            assert_eq!(i64::from(hash::index_hash_of(topic, key)), hash);
        }
    }
}

#[test]
fn a_file_is_javas_to_the_last_byte() {
    let (facts, hex) = golden("index-file").remove(0);
    let shape = Shape {
        slots: facts["hashSlotNum"].as_u64().unwrap() as u32,
        entries: facts["indexNum"].as_u64().unwrap() as u32,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("20231114221320456");
    let mut file = OpenFile::create(&path, shape, None).unwrap();
    for put in facts["puts"].as_array().unwrap() {
        let hash = hash::index_key_hash(put["key"].as_str().unwrap());
        let number = |name: &str| put[name].as_i64().unwrap();
        file.insert(hash, number("phyOffset"), number("storeTimestamp")).unwrap();
    }
    file.write_all().unwrap();
    let bytes = fs::read(&path).unwrap();
    let ours: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ours, hex);
    // And the same again from the entries alone.
    let slots = fs::File::options().write(true).open(&path).unwrap();
    slots.write_all_at(&[0xff; 20], 40).unwrap();
    file.rebuild().unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn unique_keys_and_keys_are_found_and_rollbacks_are_not() {
    let mut fixture = Fixture::new(50, 100);
    fixture.put("UNIQ_KEY\u{1}U1\u{2}KEYS\u{1}a  b\u{2}");
    fixture.put(&keys("b c"));
    let rollback = keys("c");
    let mut rollback = request(&rollback, fixture.log_end, fixture.now);
    rollback.sys_flag = sys_flag::TRANSACTION_ROLLBACK;
    fixture.index.dispatch(&rollback).unwrap();
    assert_eq!(fixture.find("U1"), [4096]);
    assert_eq!(fixture.find("a"), [4096]);
    assert_eq!(fixture.find("b"), [4196, 4096]);
    assert_eq!(fixture.find("c"), [4196]);
    assert!(fixture.find("").is_empty());
    assert!(fixture.index.query("U", "a", 10, 0, i64::MAX).unwrap().is_empty());
}

#[test]
fn times_and_the_number_of_hits_are_bounded() {
    let mut fixture = Fixture::new(50, 8);
    for _ in 0..30 {
        fixture.put(&keys("k"));
    }
    assert!(fixture.files().len() > 3);
    let first = 1_700_000_000_456;
    let query = |max, begin, end| fixture.index.query("T", "k", max, begin, end).unwrap();
    assert_eq!(query(5, 0, i64::MAX), [6996, 6896, 6796, 6696, 6596]);
    assert_eq!(query(1000, 0, i64::MAX).len(), 30);
    assert_eq!(query(1000, 0, first), [4096]);
    assert!(query(1000, 0, first - 1).is_empty());
    assert!(query(0, 0, i64::MAX).is_empty());
    // Seconds are rounded down, and those of a file's first entry count from the file before.
    let late = first + 28 * 1500 + 1000;
    assert_eq!(query(1000, late, i64::MAX), [6996, 6896]);
    assert!(query(1000, late + 1, i64::MAX).is_empty());
}

#[test]
fn a_record_given_again_is_not_indexed_twice() {
    let mut fixture = Fixture::new(3, 100);
    fixture.put(&keys("a"));
    fixture.put(&keys("b c d"));
    let (again, before) = (keys("b c d"), keys("a"));
    for _ in 0..2 {
        fixture.index.write().unwrap();
        fixture.reopen(false);
        fixture.index.dispatch(&request(&before, 4096, 1_700_000_000_456)).unwrap();
        fixture.index.dispatch(&request(&again, 4196, 1_700_000_001_956)).unwrap();
    }
    assert_eq!(fixture.index.lock().open.as_ref().unwrap().header.next_entry, 5);
    assert_eq!(fixture.index.position(), 4196);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(fixture.find(key), fixture.wanted(key));
    }
}

#[test]
fn names_are_local_times_that_always_grow() {
    let name = next_name(None);
    assert_eq!(name.len(), 17);
    let year = OffsetDateTime::from_unix_timestamp(runtime::clock::now_ms() / 1000).unwrap().year();
    let named: i32 = name[..4].parse().unwrap();
    assert!((named - year).abs() <= 1, "{name}");
    assert!(next_name(Some(Path::new(&format!("index/{name}")))) > name);
    let future = Path::new("index/99991231235959998");
    assert_eq!(next_name(Some(future)), "99991231235959999");
}

#[test]
fn foreign_names_sizes_and_counts_stop_the_start() {
    let mut fixture = Fixture::new(10, 20);
    fixture.put(&keys("a"));
    fixture.index.flush().unwrap();
    let notes = fixture.config.dir.join("notes.txt");
    fs::write(&notes, "x").unwrap();
    let error = Index::open(fixture.config.clone(), true).unwrap_err().to_string();
    assert!(error.contains("notes.txt at 0: expected an index file"), "{error}");
    assert_eq!(fs::read(&notes).unwrap(), b"x");
    fs::remove_file(&notes).unwrap();
    fs::create_dir(fixture.config.dir.join("lost+found")).unwrap();
    fs::write(fixture.config.dir.join("99991231235959999"), "").unwrap();
    fixture.reopen(true);
    assert_eq!(fixture.find("a"), [4096]);
    fs::remove_dir(fixture.config.dir.join("lost+found")).unwrap();
    let file = fixture.files().remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let other = IndexConfig { slots: 11, ..fixture.config.clone() };
    let error = Index::open(other, true).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("an index file of 484 bytes"), "{error}");
    let handle = fs::File::options().write(true).open(&file).unwrap();
    for count in [21, i32::MAX, -1, i32::MIN] {
        handle.write_all_at(&count.to_be_bytes(), 36).unwrap();
        let error = Index::open(fixture.config.clone(), true).unwrap_err().to_string();
        assert!(error.contains("at 36: expected at most 20 entries, got "), "{error}");
    }
    assert!(fixture.dir.path().exists());
}

#[test]
fn expired_files_go_but_never_the_last_one() {
    let mut fixture = Fixture::new(50, 5);
    for _ in 0..10 {
        fixture.put(&keys("k"));
    }
    // Four entries a file: 4096-4396, 4496-4796, 4896-4996.
    assert_eq!(fixture.files().len(), 3);
    assert_eq!(fixture.index.delete_expired(4396).unwrap(), 0);
    assert_eq!(fixture.index.delete_expired(4397).unwrap(), 1);
    assert_eq!(fixture.find("k").len(), 6);
    assert_eq!(fixture.index.delete_expired(i64::MAX).unwrap(), 1);
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(fixture.find("k"), [4996, 4896]);
    assert_eq!(fixture.index.full_until(), 1_700_000_000_456 + 7 * 1500);
    fixture.index.destroy().unwrap();
    assert!(fixture.files().is_empty());
    assert_eq!(fixture.index.position(), 0);
}

#[test]
fn a_file_cut_at_every_byte_of_its_last_entry_is_rebuilt_and_completed() {
    let mut fixture = Fixture::new(7, 50);
    for text in ["a", "b", "a", "c", "b"] {
        fixture.put(&keys(text));
    }
    fixture.index.flush().unwrap();
    let path = fixture.files().remove(0);
    let whole = fs::read(&path).unwrap();
    let entry = 40 + 7 * 4 + 5 * 20;
    for written in 0..20 {
        let mut torn = whole.clone();
        torn[40..68].fill(0x7f);
        torn[entry + written..entry + 20].fill(0);
        fs::write(&path, &torn).unwrap();
        fixture.reopen(false);
        assert!(fixture.index.position() >= 4396, "at {written}");
        // The last record is given again in any case.
        fixture.index.dispatch(&request(&keys("c"), 4396, 1_700_000_004_956)).unwrap();
        fixture.index.dispatch(&request(&keys("b"), 4496, 1_700_000_006_456)).unwrap();
        for key in ["a", "c"] {
            assert_eq!(fixture.find(key), fixture.wanted(key), "{key} at {written}");
        }
        let found = fixture.find("b");
        assert!(found.contains(&4196) || written > 11, "{found:?} at {written}");
        assert!(found.contains(&4496), "{found:?} at {written}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put {
        keys: Vec<u8>,
    },
    Write,
    Restart,
    /// What is not written is lost and given again.
    Kill,
    Truncate {
        records: usize,
    },
    Idle,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => prop::collection::vec(0..12_u8, 0..4).prop_map(|keys| Op::Put { keys }),
        2 => Just(Op::Write),
        1 => Just(Op::Restart),
        1 => Just(Op::Kill),
        1 => (0..12_usize).prop_map(|records| Op::Truncate { records }),
        1 => Just(Op::Idle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_index_does_as_the_model(ops in prop::collection::vec(op(), 1..120)) {
        let mut fixture = Fixture::new(5, 20);
        let mut log: Vec<(String, i64, i64)> = Vec::new();
        for op in ops {
            match op {
                Op::Put { keys: numbers } => {
                    let text: Vec<String> = numbers.iter().map(|key| format!("k{key}")).collect();
                    let properties = keys(&text.join(" "));
                    log.push((properties.clone(), fixture.log_end, fixture.now));
                    fixture.put(&properties);
                }
                Op::Write => fixture.index.write().unwrap(),
                Op::Idle => (0..=IDLE_WRITES_MAX).for_each(|_| fixture.index.write().unwrap()),
                Op::Restart => {
                    fixture.index.flush().unwrap();
                    fixture.reopen(true);
                }
                Op::Kill => {
                    fixture.reopen(false);
                                let from = fixture.index.position();
                    for (properties, at, time) in log.iter().filter(|record| record.1 >= from) {
                        fixture.index.dispatch(&request(properties, *at, *time)).unwrap();
                    }
                }
                Op::Truncate { records } => {
                    log.truncate(log.len().saturating_sub(records));
                    let end = log.last().map_or(4096, |record| record.1 + 100);
                    fixture.index.truncate_to(end).unwrap();
                    fixture.puts.retain(|put| put.physical_offset < end);
                    fixture.log_end = end;
                }
            }
            for key in 0..12 {
                let key = format!("k{key}");
                prop_assert_eq!(fixture.find(&key), fixture.wanted(&key), "{}", key);
            }
        }
    }
}

#[test]
fn notes_cover_the_log_without_a_gap() {
    let key = |physical_offset| Key { hash: 1, physical_offset, store_timestamp: 2 };
    let offsets =
        |noted: &Noted| -> Vec<i64> { noted.keys.iter().map(|key| key.physical_offset).collect() };
    let notes = Notes::default();
    let mut taken = Noted::default();
    notes.add(100, 200, [key(100), key(150)].into_iter());
    notes.add(200, 300, [].into_iter());
    assert_eq!(notes.add(300, 400, [key(300)].into_iter()), 3);
    notes.take(&mut taken);
    assert_eq!((taken.from, taken.until, offsets(&taken)), (100, 400, vec![100, 150, 300]));
    notes.add(400, 500, [key(400)].into_iter());
    // Something came between that nobody noted.
    notes.add(600, 700, [key(600)].into_iter());
    notes.take(&mut taken);
    assert_eq!((taken.from, taken.until, offsets(&taken)), (600, 700, vec![600]));
    notes.take(&mut taken);
    assert_eq!((taken.from, taken.until, offsets(&taken)), (700, 700, vec![]));
}

#[test]
fn more_keys_than_are_kept_are_left_to_the_log() {
    let key = Key { hash: 1, physical_offset: 0, store_timestamp: 2 };
    let notes = Notes::default();
    let mut taken = Noted::default();
    let most = notes.add(0, 10, std::iter::repeat_n(key, 200_000));
    assert_eq!(most, 200_000);
    assert_eq!(notes.add(10, 20, std::iter::repeat_n(key, 100_000)), 100_000);
    notes.take(&mut taken);
    assert_eq!((taken.from, taken.until), (10, 20));
    assert_eq!(notes.add(20, 30, std::iter::repeat_n(key, 300_000)), 0);
    notes.take(&mut taken);
    assert_eq!((taken.from, taken.until), (30, 30));
}
