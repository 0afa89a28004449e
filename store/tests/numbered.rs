//! Records that carry queue offsets as text: in light queues and in queues of batches, before and
//! after a kill, with names and numbers that are not to be trusted.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use common::{config, copy, message, open, read_all, scratch};
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::{Properties, Record, sys_flag};
use store::faults::{Action, Faults};
use store::{
    Boundary, GetRequest, GetStatus, MessageStore, NewBatch, NewMessage, PutError, QueueKind,
    StoreConfig,
};

fn light(root: &Path) -> StoreConfig {
    StoreConfig { enable_lmq: true, enable_multi_dispatch: true, ..config(root) }
}

fn naming(names: &str) -> String {
    format!("TAGS\u{1}t\u{2}INNER_MULTI_DISPATCH\u{1}{names}\u{2}")
}

/// Stores a message of queue 3 of T and returns the offsets its record carries.
fn put(store: &MessageStore, names: &str, body: &[u8]) -> Result<Option<String>, PutError> {
    let properties = naming(names);
    let put = store.put(&NewMessage { properties: &properties, ..message("T", 3, body) })?;
    let record = store.read(put.physical_offset).unwrap();
    let record = Record::decode(record.as_ref()).unwrap();
    record.verify_crc().unwrap();
    assert_eq!(i64::from(record.total_size), put.end - put.physical_offset);
    Ok(record.properties().get("INNER_MULTI_QUEUE_OFFSET").map(str::to_owned))
}

/// The bodies of a light queue, read as a consumer does.
fn bodies(store: &MessageStore, topic: &str) -> Vec<String> {
    let mut all = Vec::new();
    for queue_offset in store.min_offset(topic, 0).max(0)..store.max_offset(topic, 0) {
        let request =
            GetRequest { topic, queue_id: 0, queue_offset, count_max: 1, bytes_max: 1 << 20 };
        let got = store.get(&request, &|_| true);
        assert_eq!((got.status, got.count), (GetStatus::Found, 1));
        let record = Record::decode(got.slices[0].as_ref()).unwrap();
        all.push(String::from_utf8(record.body.to_vec()).unwrap());
    }
    all
}

#[test]
fn a_record_stands_in_every_queue_it_names() {
    let directory = scratch();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let store = MessageStore::open(
        light(directory.path()),
        Box::new(|_| QueueKind::Simple),
        Box::new(move |arrival| {
            let place = (arrival.topic.to_owned(), arrival.queue_id, arrival.queue_offset);
            heard.lock().unwrap().push(place);
        }),
    )
    .unwrap();
    assert_eq!(put(&store, "%LMQ%a,%LMQ%b", b"1").unwrap().as_deref(), Some("0,0"));
    assert_eq!(put(&store, "%LMQ%b", b"2").unwrap().as_deref(), Some("1"));
    assert_eq!(put(&store, "%LMQ%a,%LMQ%a,%LMQ%b", b"3").unwrap().as_deref(), Some("1,1,2"));
    assert_eq!(bodies(&store, "%LMQ%a"), ["1", "3"]);
    assert_eq!(bodies(&store, "%LMQ%b"), ["1", "2", "3"]);
    assert_eq!(read_all(&store, "T", 3).len(), 3);
    assert_eq!(store.offset_by_time("%LMQ%b", 0, 0, Boundary::Lower), 0);
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(
        told[..3],
        [("%LMQ%a".to_owned(), 0, 0), ("%LMQ%b".to_owned(), 0, 0), ("T".to_owned(), 3, 0),]
    );
    // What the sender says of offsets does not count.
    let forged = naming("%LMQ%a") + "INNER_MULTI_QUEUE_OFFSET\u{1}77\u{2}";
    let put = store.put(&NewMessage { properties: &forged, ..message("T", 3, b"4") }).unwrap();
    let record = store.read(put.physical_offset).unwrap();
    let properties = Record::decode(record.as_ref()).unwrap().properties().raw().to_owned();
    assert_eq!(properties.matches("INNER_MULTI_QUEUE_OFFSET").count(), 1);
    assert_eq!(Properties::new(&properties).get("INNER_MULTI_QUEUE_OFFSET"), Some("2"));
}

#[test]
fn names_with_separators_are_passed_over() {
    let directory = scratch();
    let store = open(light(directory.path())).unwrap();
    let offsets = put(&store, "%LMQ%/../../../x,,T,%LMQ%..,../%LMQ%,%LMQ%a/b,,", b"1").unwrap();
    assert_eq!(offsets.as_deref(), Some("0,,,0,,0"));
    assert_eq!(bodies(&store, "%LMQ%.."), ["1"]);
    assert_eq!(store.queues().len(), 2);
    assert_eq!(put(&store, ",,", b"2").unwrap(), None, "an empty value is no property");
    assert_eq!(put(&store, " ", b"3").unwrap(), None);
    let before = store.max_physical_offset();
    for name in [format!("%LMQ%{}", "x".repeat(251)), "%LMQ%\0".to_owned()] {
        let refused = put(&store, &name, b"x");
        assert!(matches!(refused, Err(PutError::MessageIllegal(_))), "{name}: {refused:?}");
    }
    // The offsets make the properties too long: found under the lock, and nothing changes.
    let many = (0..3_500).map(|n| format!("%LMQ%{n}")).collect::<Vec<_>>().join(",");
    let refused = put(&store, &many, b"x");
    assert!(matches!(refused, Err(PutError::PropertiesSizeExceeded { .. })), "{refused:?}");
    assert_eq!(store.max_physical_offset(), before);
    assert_eq!(store.max_offset("%LMQ%0", 0), 0);
    store.queues().write_tails().unwrap();
    let mut directories: Vec<_> = fs::read_dir(directory.path().join("consumequeue"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort();
    assert_eq!(directories, ["%LMQ%..", "T"]);
}

#[test]
fn there_are_no_more_queues_than_allowed() {
    let directory = scratch();
    let settings = || StoreConfig { max_lmq_consume_queue_num: 2, ..light(directory.path()) };
    let store = open(settings()).unwrap();
    put(&store, "%LMQ%a,%LMQ%b", b"1").unwrap();
    let refused = put(&store, "%LMQ%a,%LMQ%c", b"2");
    assert_eq!(refused, Err(PutError::LightQueuesExceeded { max: 2 }));
    assert_eq!(store.max_offset("%LMQ%a", 0), 1);
    store.stop().unwrap();
    drop(store);
    let store = open(settings()).unwrap();
    assert!(put(&store, "%LMQ%c", b"2").is_err());
    store.delete_topic("%LMQ%a").unwrap();
    assert_eq!(put(&store, "%LMQ%c", b"2").unwrap().as_deref(), Some("0"));
}

#[test]
fn what_must_not_be_seen_yet_stands_in_no_light_queue() {
    let directory = scratch();
    let store = open(light(directory.path())).unwrap();
    let properties = naming("%LMQ%a");
    for topic in ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "%RETRY%g", "rmq_sys_x"] {
        store.put(&NewMessage { properties: &properties, ..message(topic, 0, b"x") }).unwrap();
    }
    let half = sys_flag::TRANSACTION_PREPARED;
    let half = NewMessage { sys_flag: half, properties: &properties, ..message("T", 0, b"x") };
    store.put(&half).unwrap();
    assert_eq!(store.max_offset("%LMQ%a", 0), 0);
    // A batch neither: its messages may name queues, but give no offsets in them.
    let mut body = BytesMut::new();
    BatchMessage { flag: 0, body: b"x", properties: &properties }.encode(&mut body).unwrap();
    let batch = |body: &[u8]| {
        store.put_batch(&NewBatch {
            message: NewMessage { properties: "", ..message("T", 0, body) },
        })
    };
    batch(&body).unwrap();
    assert_eq!(store.max_offset("%LMQ%a", 0), 0);
    let forged = properties + "INNER_MULTI_QUEUE_OFFSET\u{1}77\u{2}";
    BatchMessage { flag: 0, body: b"x", properties: &forged }.encode(&mut body).unwrap();
    assert!(matches!(batch(&body), Err(PutError::MessageIllegal(_))));
    assert_eq!(store.max_offset("T", 0), 1);
}

/// Copies a store as a kill would leave it and opens the copy, with the directory named gone.
fn after_kill(root: &Path, gone: Option<&str>, settings: fn(&Path) -> StoreConfig) -> MessageStore {
    let killed = root.with_extension("killed");
    let _ = fs::remove_dir_all(&killed);
    copy(root, &killed);
    if let Some(gone) = gone {
        fs::remove_dir_all(killed.join(gone)).unwrap();
    }
    open(settings(&killed)).unwrap()
}

#[test]
fn light_queues_survive_a_kill_and_are_built_again() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(light(&root)).unwrap();
    let names = ["%LMQ%a", "%LMQ%b", "%LMQ%a,%LMQ%b", "T", "%LMQ%a,%LMQ%a"];
    for n in 0..300 {
        put(&store, names[n % names.len()], format!("{n}").as_bytes()).unwrap();
        if n == 150 {
            store.queues().write_tails().unwrap();
        }
    }
    let before = [bodies(&store, "%LMQ%a"), bodies(&store, "%LMQ%b")];
    assert_eq!((before[0].len(), before[1].len()), (180, 120));
    for gone in [None, Some("consumequeue"), Some("consumequeue/%LMQ%a")] {
        let again = after_kill(&root, gone, light);
        assert_eq!([bodies(&again, "%LMQ%a"), bodies(&again, "%LMQ%b")], before, "{gone:?}");
        assert_eq!(put(&again, "%LMQ%a", b"on").unwrap().as_deref(), Some("180"));
        again.stop().unwrap();
    }
    store.stop().unwrap();
    drop(store);
    // A clean start without our own mark in the checkpoint looks at the units as Java left them.
    fs::remove_file(root.join("checkpoint")).unwrap();
    let store = open(light(&root)).unwrap();
    assert_eq!([bodies(&store, "%LMQ%a"), bodies(&store, "%LMQ%b")], before);
}

#[test]
fn offsets_stored_while_there_were_no_light_queues_stop_no_start() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = open(config(&root)).unwrap();
    for offset in ["9223372036854775807", "5", "-1", "x", "3", "9"] {
        let forged = naming("%LMQ%a") + &format!("INNER_MULTI_QUEUE_OFFSET\u{1}{offset}\u{2}");
        store.put(&NewMessage { properties: &forged, ..message("T", 0, b"x") }).unwrap();
    }
    let again = after_kill(&root, None, light);
    assert_eq!((again.min_offset("%LMQ%a", 0), again.max_offset("%LMQ%a", 0)), (5, 7));
    assert_eq!(bodies(&again, "%LMQ%a"), ["x", "x"], "also the one that closes a gap");
    assert_eq!(put(&again, "%LMQ%a", b"on").unwrap().as_deref(), Some("7"));
    assert_eq!(bodies(&again, "%LMQ%a"), ["x", "x", "on"]);
    again.stop().unwrap();
}

fn batches(root: &Path) -> MessageStore {
    let kinds = |topic: &str| if topic == "B" { QueueKind::Batch } else { QueueKind::Simple };
    MessageStore::open(config(root), Box::new(kinds), Box::new(|_| {})).unwrap()
}

#[test]
fn a_message_of_a_queue_of_batches_stands_in_light_queues_a_batch_does_not() {
    let directory = scratch();
    let root = directory.path().join("store");
    let open = |root: &Path| {
        let kinds = |topic: &str| if topic == "B" { QueueKind::Batch } else { QueueKind::Simple };
        MessageStore::open(light(root), Box::new(kinds), Box::new(|_| {})).unwrap()
    };
    let store = open(&root);
    let names = naming("%LMQ%a");
    store.put(&NewMessage { properties: &names, ..message("B", 0, b"1") }).unwrap();
    let shell = names.clone() + "INNER_NUM\u{1}2\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}5\u{2}";
    store.put(&inner(&shell, b"packed")).unwrap();
    store.put(&NewMessage { properties: &names, ..message("B", 0, b"2") }).unwrap();
    assert_eq!(bodies(&store, "%LMQ%a"), ["1", "2"]);
    let killed = root.with_extension("killed");
    copy(&root, &killed);
    assert_eq!(bodies(&open(&killed), "%LMQ%a"), ["1", "2"]);
    assert_eq!(store.max_offset("B", 0), 4);
}

fn inner<'a>(properties: &'a str, body: &'a [u8]) -> NewMessage<'a> {
    let flags = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
    NewMessage { sys_flag: flags, properties, ..message("B", 0, body) }
}

#[test]
fn a_queue_of_batches_survives_a_kill_and_is_built_again() {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = batches(&root);
    let mut expected = 0;
    let mut times = Vec::new();
    for n in 0..200_i64 {
        let count = 1 + n % 7;
        let properties = format!("INNER_NUM\u{1}{count}\u{2}");
        let put = match n % 3 {
            0 => store.put(&message("B", 0, b"single")),
            _ => store.put(&inner(&properties, b"packed")),
        };
        let put = put.unwrap();
        assert_eq!(put.queue_offset, expected);
        times.push((put.store_timestamp, expected));
        expected += if n % 3 == 0 { 1 } else { count };
        if n == 100 {
            store.queues().write_tails().unwrap();
        }
    }
    let whole = read_batches(&store);
    assert_eq!(whole.len(), 200);
    let killed = root.with_extension("killed");
    for gone in [None, Some("batchconsumequeue")] {
        let _ = fs::remove_dir_all(&killed);
        copy(&root, &killed);
        if let Some(gone) = gone {
            // Without any queues all are built again.
            fs::remove_dir_all(killed.join(gone)).unwrap();
            fs::remove_dir_all(killed.join("consumequeue")).unwrap();
        }
        let again = batches(&killed);
        assert_eq!(read_batches(&again), whole);
        assert_eq!((again.min_offset("B", 0), again.max_offset("B", 0)), (0, expected));
        let (time, _) = times[120];
        let first = times.iter().find(|(at, _)| *at >= time).unwrap().1;
        assert_eq!(again.offset_by_time("B", 0, time, Boundary::Lower), first);
        assert_eq!(again.put(&message("B", 0, b"on")).unwrap().queue_offset, expected);
        again.stop().unwrap();
    }
}

/// First offset and place of every record, asked for by the last offset that it holds.
fn read_batches(store: &MessageStore) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    let mut next = 0;
    while next < store.max_offset("B", 0) {
        let get = |queue_offset| {
            let request =
                GetRequest { topic: "B", queue_id: 0, queue_offset, count_max: 1, bytes_max: 9999 };
            let got = store.get(&request, &|_| true);
            assert_eq!(got.status, GetStatus::Found);
            let record = Record::decode(got.slices[0].as_ref()).unwrap();
            ((record.queue_offset, record.physical_offset), got.next_offset)
        };
        let (place, end) = get(next);
        assert_eq!(place.0, next);
        assert_eq!(get(end - 1), (place, end), "an offset inside leads to the whole batch");
        all.push(place);
        next = end;
    }
    all
}

#[test]
fn absurd_numbers_of_messages_are_refused() {
    let directory = scratch();
    let store = batches(&directory.path().join("store"));
    for number in ["", "0", "-1", "32768", "99999999999", "x", "1.0"] {
        let properties = format!("INNER_NUM\u{1}{number}\u{2}");
        let refused = store.put(&inner(&properties, b"packed"));
        assert!(matches!(refused, Err(PutError::MessageIllegal(_))), "{number}: {refused:?}");
    }
    let half = inner("INNER_NUM\u{1}2\u{2}", b"packed");
    let half = NewMessage { sys_flag: half.sys_flag | sys_flag::TRANSACTION_PREPARED, ..half };
    assert!(matches!(store.put(&half), Err(PutError::MessageIllegal(_))));
    let plain = NewMessage { topic: "T", ..inner("INNER_NUM\u{1}2\u{2}", b"packed") };
    assert!(matches!(store.put(&plain), Err(PutError::MessageIllegal(_))));
    assert_eq!((store.max_physical_offset(), store.max_offset("B", 0)), (0, 0));
    store.put(&inner("INNER_NUM\u{1}32767\u{2}", b"packed")).unwrap();
    assert_eq!(store.max_offset("B", 0), 32_767);
}

#[test]
fn the_directory_of_batch_queues_is_on_disk_before_the_checkpoint_counts_on_it() {
    let directory = scratch();
    let names_synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names_synced);
    let _watch = Faults::observe(directory.path(), move |operation| match operation.action {
        Action::CreateDirectory if operation.path.ends_with("batchconsumequeue") => {
            seen.lock().unwrap().clear();
        }
        Action::SyncDirectory => seen.lock().unwrap().push(operation.path.to_owned()),
        _ => {}
    });
    let kinds = Box::new(|_: &str| QueueKind::Batch);
    let store = MessageStore::open(config(directory.path()), kinds, Box::new(|_| {})).unwrap();
    store.put(&message("B", 0, b"single")).unwrap();
    store.save_checkpoint().unwrap();
    assert!(directory.path().join("batchconsumequeue/B/0").is_dir());
    assert!(names_synced.lock().unwrap().contains(&directory.path().to_owned()));
}
