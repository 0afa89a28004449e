//! The timer on a clock of the test's own, which lies ahead of that of the machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::patch_positions;
use remoting::protocol::message::{PropertiesBuf, Record};

use super::copies::Copies;
use super::unit::UNIT_LEN;
use super::*;
use crate::{GetRequest, GetStatus, NewMessage, QueueKind, StoreConfig};

const TOPIC: &str = "T";
const SECOND: i64 = 1000;
const HOUR: i64 = 3_600_000;

/// A store and the clock of its timer.
struct Kit {
    directory: tempfile::TempDir,
    config: StoreConfig,
    store: Option<MessageStore>,
    now: i64,
    keys: u32,
}

/// A copy of a message that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    key: String,
    properties: String,
}

impl Kit {
    fn new() -> Kit {
        Kit::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StoreConfig)) -> Kit {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut config = StoreConfig {
            store_path_root_dir: directory.path().to_str().unwrap().to_owned(),
            mapped_file_size_commit_log: 1 << 20,
            mapped_file_size_timer_log: 4096,
            max_hash_slot_num: 500,
            max_index_num: 5000,
            ..StoreConfig::default()
        };
        change(&mut config);
        // At the start of a slot.
        let now = (now_ms() + HOUR) / SECOND * SECOND;
        let mut kit = Kit { directory, config, store: None, now, keys: 0 };
        kit.open();
        kit
    }

    fn open(&mut self) {
        let kinds = Box::new(|_: &str| QueueKind::Simple);
        let store = MessageStore::open(self.config.clone(), kinds, Box::new(|_| {})).unwrap();
        // Records have the machine's time.
        store.timer().unwrap().worker().restart.copies = Copies::until(self.now, store.log().end());
        self.store = Some(store);
    }

    fn store(&self) -> &MessageStore {
        self.store.as_ref().unwrap()
    }

    fn timer(&self) -> &Timer {
        self.store().timer().unwrap()
    }

    /// Ends as after a kill: nothing is written any more.
    fn crash(&mut self) {
        self.store = None;
        self.open();
    }

    fn stop(&mut self) {
        self.store().stop().unwrap();
        self.store = None;
    }

    fn restart(&mut self) {
        self.stop();
        self.open();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, topic: &str, properties: &str) {
        let host = SocketAddr::from(([127, 0, 0, 1], 10911));
        let message = NewMessage {
            topic,
            queue_id: 0,
            flag: 7,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties,
        };
        self.store().put(&message).unwrap();
    }

    fn parked(&self, key: &str, deliver_ms: i64, more: &[(&str, &str)]) {
        let mut properties = PropertiesBuf::new();
        properties.push(property::TAGS, "a");
        properties.push(property::UNIQ_KEY, key);
        properties.push(property::TIMER_DELIVER_MS, &deliver_ms.to_string());
        for (name, value) in more {
            properties.push(name, value);
        }
        properties.push(property::REAL_TOPIC, TOPIC);
        properties.push(property::REAL_QUEUE_ID, "0");
        let precision = i64::from(self.config.timer_precision_ms);
        properties.push(property::TIMER_OUT_MS, &slot_of(deliver_ms, precision).to_string());
        self.put(TIMER_TOPIC, properties.as_str());
    }

    /// Parks a message for `after_ms` from now and returns its key.
    fn park(&mut self, after_ms: i64) -> String {
        self.keys += 1;
        let key = format!("K{}", self.keys);
        self.parked(&key, self.now + after_ms, &[]);
        key
    }

    /// Takes the message of a key, due at `deliver_ms`, back.
    fn take_back(&self, key: &str, deliver_ms: i64) {
        let target = format!("{TOPIC}+{key}");
        let out_ms = slot_of(deliver_ms, i64::from(self.config.timer_precision_ms));
        self.parked(key, out_ms + 1, &[(property::TIMER_DEL_UNIQKEY, &target)]);
    }

    /// Works until nothing more is due; returns the time of the next look.
    fn work(&self) -> Next {
        let timer = self.timer();
        for _ in 0..100_000 {
            let next = timer.worker().turn(timer, self.store(), self.now);
            if next != Next::Now {
                return next;
            }
        }
        panic!("the timer never rests");
    }

    /// Moves the clock.
    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.work();
    }

    fn save(&self) {
        self.timer().save(self.store()).unwrap();
    }

    /// What was delivered, in order.
    fn delivered(&self) -> Vec<Seen> {
        read(self.store(), TOPIC)
    }

    fn keys(&self) -> Vec<String> {
        self.delivered().into_iter().map(|seen| seen.key).collect()
    }
}

fn read(store: &MessageStore, topic: &str) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut queue_offset = 0;
    loop {
        let request =
            GetRequest { topic, queue_id: 0, queue_offset, count_max: 32, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        if got.status != GetStatus::Found {
            return seen;
        }
        for slice in &got.slices {
            for record in remoting::protocol::message::record::records(slice.as_ref()) {
                let record = record.unwrap();
                let key = record.properties().get(property::UNIQ_KEY).unwrap().to_owned();
                seen.push(Seen { key, properties: record.properties.to_owned() });
            }
        }
        queue_offset = got.next_offset;
    }
}

fn get<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    remoting::protocol::message::Properties::new(&seen.properties).get(name)
}

#[test]
fn a_slot_lies_before_the_times_of_its_messages() {
    for (deliver, slot) in [(1, 0), (999, 0), (1000, 0), (1001, 1000), (2000, 1000)] {
        assert_eq!(slot_of(deliver, 1000), slot, "{deliver}");
    }
    assert_eq!(slot_of(1000, 100), 900);
}

#[test]
fn messages_come_at_their_millisecond_in_the_order_of_their_times() {
    let mut kit = Kit::new();
    for after in [2500, 1500, 1501, 1000, 999, 1] {
        kit.park(after);
    }
    assert_eq!(kit.work(), Next::At(kit.now + 1));
    for (pass, count) in [(1, 1), (997, 1), (1, 2), (1, 3), (499, 3), (1, 4), (1, 5), (998, 5)] {
        kit.pass(pass);
        assert_eq!(kit.delivered().len(), count, "{}", kit.now);
    }
    kit.pass(1);
    assert_eq!(kit.keys(), ["K6", "K5", "K4", "K2", "K3", "K1"]);
    assert_eq!(kit.work(), Next::At(kit.now + 500), "when the slot of K1 is over");
}

#[test]
fn copies_have_the_properties_java_gives_them() {
    let mut kit = Kit::new();
    kit.park(2500);
    kit.work();
    kit.pass(2500);
    let seen = kit.delivered();
    let slot = (kit.now - 500).to_string();
    assert_eq!(get(&seen[0], property::TIMER_OUT_MS), Some(&*slot));
    assert_eq!(get(&seen[0], property::REAL_TOPIC), Some(TOPIC));
    assert_eq!(get(&seen[0], property::REAL_QUEUE_ID), Some("0"));
    let enqueued = (kit.now - 2500).to_string();
    assert_eq!(get(&seen[0], property::TIMER_ENQUEUE_MS), Some(&*enqueued));
    assert_eq!(get(&seen[0], property::TIMER_DEQUEUE_MS), Some(&*kit.now.to_string()));
    assert_eq!(get(&seen[0], property::TIMER_ROLL_TIMES), None);

    // What was due before it was looked at never had a unit.
    kit.park(-5000);
    kit.work();
    let seen = kit.delivered();
    assert_eq!(get(&seen[1], property::TIMER_ENQUEUE_MS), Some("9223372036854775807"));
}

#[test]
fn relative_delays_count_from_the_store_time() {
    for name in [property::TIMER_DELAY_SEC, property::TIMER_DELAY_MS] {
        let properties = format!("{name}\u{1}7\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}");
        let due = |out_ms: i64| {
            let raw = format!("{properties}TIMER_OUT_MS\u{1}{out_ms}\u{2}");
            let record = Record { properties: &raw, store_timestamp: 10_250, ..record() };
            parked::Parked::of(record).unwrap().due_ms(1000)
        };
        let asked = if name == property::TIMER_DELAY_SEC { 17_250 } else { 10_257 };
        assert_eq!(due(asked / 1000 * 1000), asked);
        // Another time than the slot's: the end of the slot counts.
        assert_eq!(due(3000), 4000);
        assert_eq!(due(asked), asked + 1000);
    }
}

fn record() -> Record<'static> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    Record {
        total_size: 200,
        version: remoting::protocol::message::record::Version::V1,
        body_crc: 0,
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_timestamp: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"",
        topic: TIMER_TOPIC,
        properties: "",
    }
}

#[test]
fn what_is_no_timer_message_stops_nothing() {
    let mut kit = Kit::new();
    kit.put(TIMER_TOPIC, "TAGS\u{1}plain\u{2}");
    kit.put(TIMER_TOPIC, "TIMER_OUT_MS\u{1}x\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}");
    kit.put(TIMER_TOPIC, "TIMER_OUT_MS\u{1}5\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}-1\u{2}");
    let key = kit.park(10);
    kit.work();
    kit.pass(10);
    assert_eq!(kit.keys(), [key]);
}

#[test]
fn a_message_is_taken_back_before_its_time() {
    let mut kit = Kit::new();
    let (kept, near, far) = (kit.park(1500), kit.park(1500), kit.park(9500));
    kit.work();
    // One slot is open, the other is not.
    kit.take_back(&near, kit.now + 1500);
    kit.take_back(&far, kit.now + 9500);
    kit.work();
    kit.pass(1500);
    assert_eq!(kit.keys(), [&*kept]);
    kit.take_back(&kept, kit.now);
    kit.pass(10_000);
    assert_eq!(kit.keys(), [&*kept]);
    assert_eq!(kit.timer().counts.sum(), 0);
}

#[test]
fn a_message_beyond_the_window_is_stored_anew_and_keeps_its_millisecond() {
    let mut kit = Kit::with(|config| config.timer_roll_window_slot = 60);
    let deliver = kit.now + 250_123;
    kit.parked("far", deliver, &[]);
    kit.work();
    let mut rolls = 0;
    while kit.now < deliver - 1000 {
        kit.pass(500);
        let parked = read(kit.store(), TIMER_TOPIC);
        let last = get(parked.last().unwrap(), property::TIMER_ROLL_TIMES);
        rolls = last.map_or(0, |times| times.parse().unwrap());
    }
    assert!((4..=6).contains(&rolls), "{rolls}");
    kit.now = deliver - 1;
    kit.pass(0);
    assert_eq!(kit.keys(), [""; 0]);
    kit.pass(1);
    assert_eq!(kit.keys(), ["far"]);
    assert_eq!(kit.timer().counts.sum(), 0);
}

#[test]
fn a_copy_that_begins_a_file_of_the_index_is_not_made_again() {
    // A file for each entry.
    let mut kit = Kit::with(|config| config.max_index_num = 2);
    kit.now = now_ms() / SECOND * SECOND - HOUR;
    kit.park(0);
    kit.work();
    assert_eq!(read(kit.store(), TOPIC).len(), 1);
    let mut records = kit.store().log().records(0);
    let mut copy = None;
    while let crate::commit_log::Found::Record(slice) = records.advance() {
        copy = Some(slice);
    }
    // It was stored long after the record before.
    let copy = copy.unwrap();
    let mut bytes = copy.as_ref().to_vec();
    let record = Record::decode(copy.as_ref()).unwrap();
    let (at, later) = (copy.physical_offset(), record.store_timestamp + 10 * SECOND);
    patch_positions(&mut bytes, record.queue_offset, at, later);
    let (file, at) = (copy.segment.path().to_owned(), at as u64);
    kit.store = None;
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).unwrap();
    std::fs::remove_dir_all(kit.path("index")).unwrap();
    let kinds = Box::new(|_: &str| QueueKind::Simple);
    let store = MessageStore::open(kit.config.clone(), kinds, Box::new(|_| {})).unwrap();
    kit.store = Some(store);
    kit.work();
    assert_eq!(read(kit.store(), TOPIC).len(), 1);
}

#[test]
fn a_clean_restart_delivers_the_rest_and_nothing_twice() {
    let mut kit = Kit::new();
    for after in [1300, 1100, 1700, 1500, 5000] {
        kit.park(after);
    }
    kit.work();
    kit.pass(1400);
    assert_eq!(kit.keys(), ["K2", "K1"]);
    kit.restart();
    kit.pass(100);
    assert_eq!(kit.keys(), ["K2", "K1", "K4"]);
    kit.restart();
    kit.pass(10_000);
    assert_eq!(kit.keys(), ["K2", "K1", "K4", "K3", "K5"]);
}

#[test]
fn a_java_broker_finds_only_the_rest_after_a_clean_stop() {
    let mut kit = Kit::new();
    for after in [1300, 1100, 1700, 5000] {
        kit.park(after);
    }
    kit.work();
    kit.pass(1400);
    let (slot, queue_offset) = (kit.now - 400, 4);
    let told = java::Timer::of(&kit);
    assert_eq!(told.delivers(slot), [0, 1, 2], "a kill repeats");
    kit.stop();
    let told = java::Timer::of(&kit);
    assert_eq!(told.read_ms, slot);
    assert_eq!(told.queue_offset, queue_offset);
    assert_eq!(told.delivers(slot), [2]);
    assert_eq!(told.delivers(slot + 3 * SECOND), [3]);
    kit.open();
    kit.pass(300);
    kit.stop();
    let told = java::Timer::of(&kit);
    assert_eq!(told.delivers(slot), [0_i64; 0]);
    assert_eq!((told.read_ms, told.queue_offset), (slot, queue_offset));
}

#[test]
fn after_a_kill_a_java_broker_repeats_no_slot_that_is_over() {
    let mut kit = Kit::new();
    kit.park(1300);
    kit.work();
    kit.pass(1400);
    let over = kit.now - 400 + SECOND;
    assert_eq!(kit.work(), Next::At(over), "no message is needed to wake it");
    kit.now = over;
    assert_eq!(kit.work(), Next::OnArrival);
    kit.save();
    let told = java::Timer::of(&kit);
    assert_eq!((told.read_ms, told.queue_offset), (over, 1));
}

/// How a Java broker reads the files, as far as a test needs it.
mod java {
    use super::*;

    pub struct Timer {
        pub read_ms: i64,
        pub queue_offset: i64,
        units: BTreeMap<i64, (i64, i32, i64, i64)>,
        last_of_slot: BTreeMap<i64, i64>,
        offsets: BTreeMap<i64, i64>,
    }

    impl Timer {
        /// Reads the files as a start does: the units are applied to the wheel again, whatever
        /// it says; the last unit tells the queue offset, if the check does not tell less.
        pub fn of(kit: &Kit) -> Timer {
            let check = std::fs::read(kit.path("config/timercheck")).unwrap();
            let field = |at: usize| i64::from_be_bytes(check[at..at + 8].try_into().unwrap());
            let mut timer = Timer {
                read_ms: field(0),
                queue_offset: 0,
                units: BTreeMap::new(),
                last_of_slot: BTreeMap::new(),
                offsets: queue_offsets(&kit.path("consumequeue/rmq_sys_wheel_timer/0"), kit),
            };
            let log = std::fs::read(kit.path("timerlog/00000000000000000000")).unwrap();
            let mut last = 0;
            for (number, bytes) in (0..).zip(log.chunks(UNIT_LEN)) {
                let unit::Found::Unit(unit) = Unit::decode(bytes) else { break };
                let position = number * UNIT_LEN as i64;
                let magic = i32::from(bytes[15]);
                let (slot_ms, physical) = (unit.slot_ms(), unit.physical_offset);
                timer.units.insert(position, (unit.previous, magic, slot_ms, physical));
                timer.last_of_slot.insert(slot_ms, position);
                last = timer.offsets[&physical] + 1;
            }
            timer.queue_offset = last.min(field(24));
            timer
        }

        /// Offsets of the messages it would deliver for a slot, oldest first.
        pub fn delivers(&self, slot_ms: i64) -> Vec<i64> {
            let mut offsets = Vec::new();
            let mut next = self.last_of_slot.get(&slot_ms).copied().unwrap_or(NO_UNIT);
            while next != NO_UNIT {
                let (previous, magic, _, physical) = self.units[&next];
                if magic & 4 == 0 {
                    offsets.insert(0, self.offsets[&physical]);
                }
                next = previous;
            }
            offsets
        }
    }

    /// Queue offsets by log position.
    fn queue_offsets(directory: &Path, kit: &Kit) -> BTreeMap<i64, i64> {
        if let Some(store) = &kit.store {
            store.queues().flush().unwrap();
        }
        let bytes = std::fs::read(directory.join("00000000000000000000")).unwrap();
        let units = (0..).zip(bytes.chunks(20));
        let position = |unit: &[u8]| i64::from_be_bytes(unit[..8].try_into().unwrap());
        units
            .take_while(|(_, unit)| unit[8..12] != [0; 4])
            .map(|(offset, unit)| (position(unit), offset))
            .collect()
    }
}

/// What a random run knows of a message.
struct Expected {
    deliver_ms: i64,
    taken_back: bool,
}

/// A small random number generator; every run can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Parks, takes back, lets time pass, saves, stops, crashes and loses files at random.
fn random_run(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let precision = [100, 200, 500, 1000][dice.below(4) as usize];
    let mut kit = Kit::with(|config| {
        config.timer_precision_ms = precision;
        config.timer_roll_window_slot = 20;
    });
    let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
    for _ in 0..80 {
        match dice.below(20) {
            0..=7 => {
                let after = [50, 1500, 30_000, 200_000][dice.below(4) as usize];
                let after = dice.below(after) as i64 - 20;
                let key = kit.park(after);
                let deliver_ms = kit.now + after;
                expected.insert(key, Expected { deliver_ms, taken_back: false });
            }
            8 => {
                let later = |(_, e): &(&String, &mut Expected)| e.deliver_ms > kit.now + 1;
                if let Some((key, waits)) = expected.iter_mut().rfind(later)
                    && !waits.taken_back
                    && slot_of(waits.deliver_ms, i64::from(precision)) + 1 > kit.now
                {
                    waits.taken_back = true;
                    kit.take_back(key, waits.deliver_ms);
                    kit.work();
                }
            }
            9..=13 => kit.pass([3, 400, 2500, 40_000][dice.below(4) as usize]),
            14 => {
                let timer = kit.timer();
                timer.worker().turn(timer, kit.store(), kit.now);
            }
            15 | 16 => kit.save(),
            17 => kit.restart(),
            18 => kit.crash(),
            _ => lose_files(&mut kit, &mut dice),
        }
        check_times(&kit, &expected, seed);
    }
    kit.pass(400_000);
    check_times(&kit, &expected, seed);
    let mut keys = kit.keys();
    keys.sort();
    let mut due: Vec<_> = expected.iter().filter(|(_, e)| !e.taken_back).collect();
    due.sort_by_key(|(key, _)| (*key).clone());
    let due: Vec<_> = due.into_iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, due, "seed {seed}");
}

fn lose_files(kit: &mut Kit, dice: &mut Dice) {
    kit.store = None;
    let lost = 1 + dice.below(7);
    for (bit, name) in [(1, "timerwheel"), (2, "timerlog"), (4, "config/timercheck")] {
        let path = kit.path(name);
        if lost & bit != 0 && path.exists() {
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.unwrap();
        }
    }
    kit.open();
}

/// Nothing is early, nothing is delivered twice.
fn check_times(kit: &Kit, expected: &BTreeMap<String, Expected>, seed: u64) {
    let mut keys = std::collections::BTreeSet::new();
    for seen in kit.delivered() {
        let deliver_ms = expected[&seen.key].deliver_ms;
        assert!(deliver_ms <= kit.now, "seed {seed}: {} is early", seen.key);
        let at: i64 = get(&seen, property::TIMER_DEQUEUE_MS).unwrap().parse().unwrap();
        assert!(deliver_ms <= at, "seed {seed}: {} was early", seen.key);
        assert!(keys.insert(seen.key.clone()), "seed {seed}: {} came twice", seen.key);
    }
}

#[test]
fn no_run_loses_repeats_or_hurries_a_message() {
    for seed in 1..=8 {
        random_run(seed);
    }
}

#[test]
fn it_is_known_until_when_everything_is_delivered() {
    let mut kit = Kit::new();
    let turns = |kit: &Kit| while kit.timer().turn(kit.store(), kit.now).is_none() {};
    let until = |kit: &Kit| kit.timer().delivered_until(kit.now);
    assert!(until(&kit) < kit.now, "nothing is known before the first turn");
    turns(&kit);
    assert_eq!(until(&kit), kit.now);
    // Known from the moment it is parked, before the thread has seen it.
    let due = kit.now + 500;
    kit.park(500);
    kit.timer().parked(due);
    kit.now += 700;
    assert_eq!(until(&kit), due - 1);
    turns(&kit);
    assert_eq!((kit.keys().len(), until(&kit)), (1, kit.now));
    // Far away, in a slot that is not open yet, and then near.
    let far = kit.now + 60 * SECOND;
    kit.park(60 * SECOND);
    kit.timer().parked(far);
    turns(&kit);
    assert_eq!(until(&kit), kit.now);
    kit.now = far + 300;
    assert!(until(&kit) < far);
    turns(&kit);
    assert_eq!((kit.keys().len(), until(&kit)), (2, kit.now));
}

#[test]
fn files_of_another_kind_stop_the_start_with_one_line() {
    let mut kit = Kit::new();
    kit.park(5000);
    kit.work();
    kit.stop();
    let open = |config: &StoreConfig| {
        let kinds = Box::new(|_: &str| QueueKind::Simple);
        let opened = MessageStore::open(config.clone(), kinds, Box::new(|_| {}));
        opened.err().map(|error| error.to_string())
    };
    for (name, len, says) in [
        ("timerwheel", 38_707_199, "38707200"),
        ("config/timercheck", 4095, "4096"),
        ("timerlog/00000000000000000000", 4095, "mappedFileSizeTimerLog"),
    ] {
        let path = kit.path(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        let error = open(&kit.config).unwrap();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
        assert!(!kit.path("abort").exists(), "a refused start changes nothing");
        std::fs::write(&path, whole).unwrap();
    }
    let check = std::fs::read(kit.path("config/timercheck")).unwrap();
    for at in [0, 8, 16] {
        let mut negative = check.clone();
        negative[at] = 0x80;
        std::fs::write(kit.path("config/timercheck"), negative).unwrap();
        assert!(open(&kit.config).unwrap().contains("as in a timer check"), "{at}");
    }
    std::fs::write(kit.path("config/timercheck"), check).unwrap();
    kit.open();
    kit.pass(5000);
    assert_eq!(kit.keys(), ["K1"]);
}

#[test]
fn a_crowded_slot_refuses_some_messages_and_a_full_one_all() {
    let mut kit = Kit::with(|config| config.timer_congest_num_each_slot = 20);
    let deliver = kit.now + 60_500;
    let refused = |kit: &Kit| (0..1000).filter(|_| kit.timer().congested(deliver)).count();
    for (number, expected) in [(20, 0..=0), (10, 300..=700), (10, 1000..=1000)] {
        for _ in 0..number {
            kit.park(60_500);
        }
        kit.work();
        let refused = refused(&kit);
        assert!(expected.contains(&refused), "{refused} of 1000 refused at {}", kit.keys);
    }
    assert!(!kit.timer().congested(deliver + 1000));
}

#[test]
fn units_of_messages_that_left_the_log_are_deleted_by_the_file() {
    let mut kit = Kit::new();
    let per_file = (4096 - 16) / UNIT_LEN as i64;
    for _ in 0..per_file * 2 + 5 {
        kit.park(3_600_000);
    }
    kit.work();
    let files = |kit: &Kit| std::fs::read_dir(kit.path("timerlog")).unwrap().count();
    assert_eq!(files(&kit), 3);
    let last_of_second = kit.timer().log.unit(4096 + (per_file - 1) * UNIT_LEN as i64).unwrap();
    kit.timer().delete_expired(last_of_second.physical_offset);
    assert_eq!((files(&kit), kit.timer().log.min()), (2, 4096));
    kit.timer().delete_expired(i64::MAX);
    assert_eq!(files(&kit), 1, "the last one stays");
    // What is left is whole for the next start.
    kit.restart();
    assert_eq!(kit.timer().log.min(), 8192);
    kit.pass(3_600_000);
    assert_eq!(kit.keys().len(), 5);
}

#[test]
fn a_stopped_intake_takes_nothing_in_but_delivers() {
    let mut kit = Kit::new();
    kit.park(500);
    kit.work();
    kit.stop();
    kit.config.timer_stop_enqueue = true;
    kit.open();
    kit.park(100);
    kit.pass(1000);
    assert_eq!(kit.keys(), ["K1"]);
    kit.stop();
    kit.config.timer_stop_enqueue = false;
    kit.open();
    kit.pass(0);
    assert_eq!(kit.keys(), ["K1", "K2"]);
}

#[test]
fn a_thread_that_sleeps_is_woken_for_an_earlier_time_only() {
    let kit = Kit::new();
    let timer = kit.timer();
    let now = now_ms();
    let sleeps = |until: i64| timer.sleeps_until.store(until, Ordering::SeqCst);
    let woken = || timer.wake.take(Duration::ZERO);
    sleeps(now + 500);
    timer.parked(now + 600);
    assert!(!woken(), "it looks before that time by itself");
    timer.parked(now + 400);
    assert!(woken());
    sleeps(NEVER);
    timer.parked(now + 9_000_000);
    assert!(woken(), "nothing else would wake it");
    timer.unread.store(0, Ordering::SeqCst);
    sleeps(now + 500);
    for number in 1..=UNREAD_MAX {
        timer.parked(now + 600);
        assert_eq!(woken(), number == UNREAD_MAX);
    }
}
