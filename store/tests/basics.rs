//! One store, one thread: put, get, read, roll, stop, open again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use common::{config, message, open, read_all, scratch};
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::{Record, sys_flag};
use store::{
    Boundary, GetRequest, GetStatus, MessageStore, NewBatch, NewMessage, NewSend, Put, PutError,
    QueueKind, StoreConfig,
};

#[test]
fn what_is_put_is_there_at_once_and_after_a_stop() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    assert!(directory.path().join("abort").exists());
    let bodies: Vec<String> = (0..300).map(|n| format!("body {n} {}", "x".repeat(n * 7))).collect();
    let mut puts = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let put = store.put(&message("T", n as i32 % 3, body.as_bytes())).unwrap();
        assert_eq!(put.queue_offset, n as i64 / 3);
        assert_eq!(store.max_offset("T", n as i32 % 3), put.queue_offset + 1);
        let record = store.read(put.physical_offset).unwrap();
        assert_eq!(Record::decode(record.as_ref()).unwrap().body, body.as_bytes());
        assert_eq!(put.end, put.physical_offset + record.len as i64);
        puts.push(put);
    }
    assert!(store.log().segments().len() > 3, "rolled some times");
    let before: Vec<_> = (0..3).map(|queue| read_all(&store, "T", queue)).collect();
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), 300);
    store.stop().unwrap();
    assert_eq!(store.put(&message("T", 0, b"late")).unwrap_err(), PutError::Stopped);
    drop(store);
    assert!(!directory.path().join("abort").exists());

    let store = open(config(directory.path())).unwrap();
    let after: Vec<_> = (0..3).map(|queue| read_all(&store, "T", queue)).collect();
    assert_eq!(before, after);
    let put = store.put(&message("T", 0, b"next")).unwrap();
    assert_eq!(put.queue_offset, 100);
    assert_eq!(put.physical_offset, puts[299].end);
    store.stop().unwrap();
}

#[test]
fn a_file_ends_with_a_blank_to_its_last_byte() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    let body = vec![b'x'; 30_000];
    for _ in 0..3 {
        store.put(&message("T", 0, &body)).unwrap();
    }
    store.stop().unwrap();
    let log = directory.path().join("commitlog");
    let first = std::fs::read(log.join("00000000000000000000")).unwrap();
    let len = u32::from_be_bytes(first[..4].try_into().unwrap()) as usize;
    let left = (first.len() - 2 * len) as u32;
    assert_eq!(first[2 * len..2 * len + 4], left.to_be_bytes());
    assert_eq!(first[2 * len + 4..2 * len + 8], 0xCBD4_3194_u32.to_be_bytes());
    let second = std::fs::read(log.join("00000000000000065536")).unwrap();
    assert_eq!((first.len(), second.len()), (65_536, 65_536));
    assert_eq!(second[28..36], 65_536_i64.to_be_bytes());
}

#[test]
fn javas_limits_hold() {
    let directory = scratch();
    let mut config = config(directory.path());
    config.max_message_size = 1000;
    let store = open(config).unwrap();
    let long = "t".repeat(128);
    let retry = format!("%RETRY%{}", "g".repeat(200));
    let too_long = format!("%RETRY%{}", "g".repeat(249));
    let properties = "p".repeat(32_768);
    let illegal =
        |message: NewMessage<'_>| matches!(store.put(&message), Err(PutError::MessageIllegal(_)));
    assert!(illegal(message("T", 0, &[0; 1001])));
    assert!(illegal(message(&long, 0, b"")));
    assert!(illegal(message(&too_long, 0, b"")));
    assert!(illegal(message("../x", 0, b"")));
    assert!(illegal(NewMessage { properties: "INNER_NUM\u{1}2\u{2}", ..message("T", 0, b"") }));
    assert!(illegal(NewMessage { sys_flag: sys_flag::INNER_BATCH, ..message("T", 0, b"") }));
    let oversized = NewMessage { properties: &properties, ..message("T", 0, b"") };
    let exceeded = PutError::PropertiesSizeExceeded { len: 32_768, max: 32_767 };
    assert_eq!(store.put(&oversized).unwrap_err(), exceeded);
    let fits = NewMessage { properties: &properties[1..], ..message("T", 0, &[0; 1000]) };
    assert_eq!(store.put(&fits).unwrap().queue_offset, 0);
    assert_eq!(store.put(&message(&retry, 0, b"")).unwrap().queue_offset, 0);
    assert_eq!(read_all(&store, &retry, 0).len(), 1);
    store.stop().unwrap();
}

#[test]
fn halves_and_rollbacks_are_stored_but_not_queued() {
    let directory = scratch();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let store = MessageStore::open(
        config(directory.path()),
        Box::new(|_| QueueKind::Simple),
        Box::new(move |arrival| listener.lock().unwrap().push(arrival.queue_offset)),
    )
    .unwrap();
    store.put(&message("T", 0, b"first")).unwrap();
    for flag in [sys_flag::TRANSACTION_PREPARED, sys_flag::TRANSACTION_ROLLBACK] {
        let half = NewMessage { sys_flag: flag, ..message("T", 0, b"half") };
        let put = store.put(&half).unwrap();
        assert_eq!(put.queue_offset, 0);
        assert!(store.read(put.physical_offset).is_some());
    }
    assert_eq!(store.max_offset("T", 0), 1);
    let commit = NewMessage { sys_flag: sys_flag::TRANSACTION_COMMIT, ..message("T", 0, b"c") };
    assert_eq!(store.put(&commit).unwrap().queue_offset, 1);
    assert_eq!(*heard.lock().unwrap(), [0, 1]);
    drop(store);
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_offset("T", 0), 2);
}

#[test]
fn a_batch_becomes_records_in_a_row() {
    let directory = scratch();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let store = MessageStore::open(
        config(directory.path()),
        Box::new(|_| QueueKind::Simple),
        Box::new(move |arrival| {
            listener.lock().unwrap().push((arrival.queue_offset, arrival.tags_code));
        }),
    )
    .unwrap();
    let mut body = BytesMut::new();
    for (n, text) in ["one", "two", "three"].into_iter().enumerate() {
        let properties = format!("TAGS\u{1}{text}");
        let part = BatchMessage { flag: n as i32, body: text.as_bytes(), properties: &properties };
        part.encode(&mut body).unwrap();
    }
    let request = NewMessage { properties: "UNIQ_KEY\u{1}u\u{2}", ..message("T", 0, &body) };
    let put = store.put_batch(&NewBatch { message: request }).unwrap();
    assert_eq!((put.queue_offset, put.ids.len()), (0, 3));
    assert_eq!(put.ids[0], put.physical_offset);
    let all = read_all(&store, "T", 0);
    let found: Vec<_> = all.iter().map(|stored| stored.physical_offset).collect();
    assert_eq!(found, put.ids.to_vec());
    assert_eq!(all[1].properties, "TAGS\u{1}two\u{2}UNIQ_KEY\u{1}u\u{2}");
    assert_eq!(all[2].body, b"three");
    let hash = |text| i64::from(remoting::protocol::message::hash::java_string_hash(text));
    assert_eq!(*heard.lock().unwrap(), [(0, hash("one")), (1, hash("two")), (2, hash("three"))]);

    let delayed = NewMessage { properties: "DELAY\u{1}3\u{2}", ..message("T", 0, &body) };
    for illegal in [
        delayed,
        message("T", 0, b""),
        NewMessage { sys_flag: sys_flag::TRANSACTION_COMMIT, ..message("T", 0, &body) },
    ] {
        let refused = store.put_batch(&NewBatch { message: illegal });
        assert!(matches!(refused, Err(PutError::MessageIllegal(_))), "{refused:?}");
    }
    let cut = store.put_batch(&NewBatch { message: message("T", 0, &body[..body.len() - 1]) });
    assert!(matches!(cut, Err(PutError::Malformed(_))), "{cut:?}");
    assert_eq!(store.max_offset("T", 0), 3);
}

#[test]
fn what_came_together_is_stored_or_refused_one_by_one() {
    let directory = scratch();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let store = MessageStore::open(
        config(directory.path()),
        Box::new(|_| QueueKind::Simple),
        Box::new(move |arrival| {
            let place = (arrival.topic.to_owned(), arrival.queue_id, arrival.queue_offset);
            listener.lock().unwrap().push((place, arrival.tags_code));
        }),
    )
    .unwrap();
    let tagged = |message| NewMessage { properties: "TAGS\u{1}a\u{2}", ..message };
    let group = [
        tagged(message("T", 0, b"one")),
        NewMessage { properties: "INNER_NUM\u{1}3\u{2}", ..message("T", 0, b"odd") },
        message("T", 1, b"two"),
        message("T", 0, b"three"),
    ]
    .map(NewSend::Message);
    // One that cannot be encoded ahead makes every one go by itself.
    let puts = store.put_group(&group);
    assert!(matches!(puts[1], Err(PutError::MessageIllegal(_))), "{puts:?}");
    let offsets = |puts: &store::Puts| {
        puts.iter().map(|put| put.as_ref().ok().map(|put| put.queue_offset)).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&puts), [Some(0), None, Some(0), Some(1)]);
    let long = "t".repeat(300);
    let group = [
        message("T", 0, b"four"),
        message(&long, 0, b"refused"),
        tagged(message("T", 1, b"five")),
        message("T", 0, b"six"),
        NewMessage { sys_flag: sys_flag::TRANSACTION_PREPARED, ..message("T", 0, b"half") },
        message("T", 0, b"seven"),
    ]
    .map(NewSend::Message);
    let puts = store.put_group(&group);
    assert!(matches!(puts[1], Err(PutError::MessageIllegal(_))), "{puts:?}");
    assert_eq!(offsets(&puts), [Some(2), None, Some(1), Some(3), Some(0), Some(4)]);
    let bodies = |queue| read_all(&store, "T", queue).into_iter().map(|stored| stored.body);
    assert!(bodies(0).eq([
        b"one".to_vec(),
        b"three".into(),
        b"four".into(),
        b"six".into(),
        b"seven".into()
    ]));
    assert!(bodies(1).eq([b"two".to_vec(), b"five".into()]));
    let a = i64::from(remoting::protocol::message::hash::java_string_hash("a"));
    // What `message` makes has the tag t.
    let t = i64::from(remoting::protocol::message::hash::java_string_hash("t"));
    let told = |queue, offset, tags_code| (("T".to_owned(), queue, offset), tags_code);
    assert_eq!(
        *heard.lock().unwrap(),
        [
            told(0, 0, a),
            told(1, 0, t),
            told(0, 1, t),
            told(0, 2, t),
            told(1, 1, a),
            told(0, 3, t),
            told(0, 4, t),
        ]
    );
    assert!(store.put_group(&[]).is_empty());
    store.stop().unwrap();
    let stopped = store.put_group(&group);
    assert!(stopped.iter().all(|put| *put == Err(PutError::Stopped)), "{stopped:?}");
}

#[test]
fn batches_come_together_with_messages_and_each_is_stored_as_one() {
    let directory = scratch();
    // A file takes one record of each size, or the batch; the group goes over several.
    let config = StoreConfig { mapped_file_size_commit_log: 4096, ..config(directory.path()) };
    let store = open(config).unwrap();
    let mut packed = BytesMut::new();
    let (large, small) = ([b'l'; 1200], [b's'; 100]);
    for body in [&large[..], &small] {
        BatchMessage { flag: 0, body, properties: "" }.encode(&mut packed).unwrap();
    }
    let batch = |queue_id, body| NewSend::Batch(NewBatch { message: message("T", queue_id, body) });
    let puts = store.put_group(&[
        NewSend::Message(message("T", 0, &large)),
        batch(0, &packed),
        batch(0, &packed[..packed.len() - 1]),
        batch(1, &packed),
        NewSend::Message(message("T", 0, &small)),
        batch(0, &packed),
    ]);
    assert!(matches!(puts[2], Err(PutError::Malformed(_))), "{puts:?}");
    let stored = |at: usize| puts[at].clone().unwrap();
    let offsets = [0, 1, 3, 4, 5].map(|at| stored(at).queue_offset);
    assert_eq!(offsets, [0, 1, 0, 3, 4]);
    assert!([0, 4].iter().all(|&at| stored(at).ids.is_empty()));
    for at in [1, 3, 5] {
        let Put { physical_offset, end, ids, .. } = stored(at);
        assert_eq!((ids.len(), ids[0]), (2, physical_offset));
        assert_eq!(physical_offset / 4096, (end - 1) / 4096, "a batch over two files");
    }
    let bodies = |queue| read_all(&store, "T", queue).into_iter().map(|stored| stored.body.len());
    assert!(bodies(0).eq([1200, 1200, 100, 100, 1200, 100]));
    assert!(bodies(1).eq([1200, 100]));
    assert!(stored(5).physical_offset >= 4096, "all in one file");
}

#[test]
fn an_inner_batch_is_one_record_of_many_offsets() {
    let directory = scratch();
    let kinds = || Box::new(|_: &str| QueueKind::Batch);
    let store = MessageStore::open(config(directory.path()), kinds(), Box::new(|_| {})).unwrap();
    let batch = NewMessage {
        sys_flag: sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP,
        properties: "INNER_NUM\u{1}3\u{2}UNIQ_KEY\u{1}u\u{2}",
        ..message("B", 0, b"packed")
    };
    assert_eq!(store.put(&batch).unwrap().queue_offset, 0);
    assert_eq!(store.put(&message("B", 0, b"single")).unwrap().queue_offset, 3);
    let put = store.put(&batch).unwrap();
    assert_eq!(put.queue_offset, 4);
    let record = store.read(put.physical_offset).unwrap();
    let record = Record::decode(record.as_ref()).unwrap();
    assert_eq!(record.properties().get("INNER_BASE"), Some("4"));
    assert_eq!(store.max_offset("B", 0), 7);
    store.stop().unwrap();
    drop(store);
    let store = MessageStore::open(config(directory.path()), kinds(), Box::new(|_| {})).unwrap();
    assert_eq!((store.min_offset("B", 0), store.max_offset("B", 0)), (0, 7));
}

#[test]
fn gets_are_answered_as_java_does() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    for n in 0..10 {
        store.put(&message("T", 0, format!("{n}").as_bytes())).unwrap();
    }
    let get = |queue_id, queue_offset, wanted: i64| {
        let request =
            GetRequest { topic: "T", queue_id, queue_offset, count_max: 3, bytes_max: 1 << 20 };
        let got = store.get(&request, &|code| wanted == 0 || code == wanted);
        (got.status, got.next_offset, got.count)
    };
    assert_eq!(get(0, 0, 0), (GetStatus::Found, 3, 3));
    assert_eq!(get(0, 9, 0), (GetStatus::Found, 10, 1));
    assert_eq!(get(0, 10, 0), (GetStatus::OffsetOverflowOne, 10, 0));
    assert_eq!(get(0, 11, 0), (GetStatus::OffsetOverflowBadly, 10, 0));
    assert_eq!(get(0, -1, 0), (GetStatus::OffsetTooSmall, 0, 0));
    assert_eq!(get(0, 0, 1), (GetStatus::NoMatchedMessage, 10, 0));
    assert_eq!(get(5, 0, 0), (GetStatus::NoMessageInQueue, 0, 0));
    assert_eq!((store.min_offset("T", 5), store.max_offset("T", 5)), (-1, 0));
}

#[test]
fn times_lead_to_offsets() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.earliest_log_time(), -1);
    let times: Vec<i64> =
        (0..250).map(|_| store.put(&message("T", 0, b"x")).unwrap().store_timestamp).collect();
    assert_eq!(store.store_time("T", 0, 249), times[249]);
    assert_eq!(store.store_time("T", 0, 250), -1);
    assert_eq!(store.store_time("T", 1, 0), -1);
    assert_eq!(store.earliest_store_time("T", 0), times[0]);
    assert_eq!(store.earliest_log_time(), times[0]);
    let first = times.iter().position(|&time| time == times[200]).unwrap() as i64;
    let last = times.iter().rposition(|&time| time == times[200]).unwrap() as i64;
    assert_eq!(store.offset_by_time("T", 0, times[200], Boundary::Lower), first);
    assert_eq!(store.offset_by_time("T", 0, times[200], Boundary::Upper), last);
    assert_eq!(store.offset_by_time("T", 0, 0, Boundary::Lower), 0);
    assert_eq!(store.offset_by_time("T", 9, 0, Boundary::Lower), 0);
}

#[test]
fn what_is_acknowledged_is_visible_to_others_at_once() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..500_u32 {
                    let body = [&[writer][..], &n.to_be_bytes()].concat();
                    let put = store.put(&message("T", 0, &body)).unwrap();
                    let request = GetRequest {
                        topic: "T",
                        queue_id: 0,
                        queue_offset: put.queue_offset,
                        count_max: 1,
                        bytes_max: 1 << 20,
                    };
                    let got = store.get(&request, &|_| true);
                    let record = Record::decode(got.slices[0].as_ref()).unwrap();
                    assert_eq!((record.queue_offset, record.body), (put.queue_offset, &body[..]));
                }
            });
        }
    });
    let all = read_all(&store, "T", 0);
    assert_eq!(all.len(), 2000);
    for writer in 0..4 {
        let numbers = all.iter().filter(|stored| stored.body[0] == writer);
        assert!(numbers.zip(0..500_u32).all(|(stored, n)| stored.body[1..] == n.to_be_bytes()));
    }
}
