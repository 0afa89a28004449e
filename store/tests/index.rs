//! The index that puts feed is the one that the log gives.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use common::{config, message, open, scratch};
use remoting::protocol::message::batch::BatchMessage;
use remoting::protocol::message::sys_flag;
use store::{MessageStore, NewBatch, NewMessage, NewSend, StoreConfig};

/// The index files in their order, without what their names say.
fn index_files(root: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(root.join("index")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn keyed<'a>(message: NewMessage<'a>, properties: &'a str) -> NewMessage<'a> {
    NewMessage { properties, ..message }
}

/// One of each way into the log, with several keys, one, and none.
fn put_some(store: &MessageStore, round: usize) {
    let (many, one) = (
        format!("UNIQ_KEY\u{1}u{round}\u{2}KEYS\u{1}a{round} b  c{round}\u{2}"),
        format!("KEYS\u{1}old\u{2}KEYS\u{1}中{round}\u{2}"),
    );
    store.put(&keyed(message("T", 0, b"one"), &many)).unwrap();
    store.put(&keyed(message("T", 1, b"no key"), "")).unwrap();
    let half = NewMessage {
        sys_flag: sys_flag::TRANSACTION_PREPARED,
        ..keyed(message("HALF", 0, b"half"), &one)
    };
    let undone = NewMessage { sys_flag: sys_flag::TRANSACTION_ROLLBACK, ..half.clone() };
    store.put(&half).unwrap();
    store.put(&undone).unwrap();
    let body = vec![b'x'; round * 97 % 5000];
    let group = [
        keyed(message("T", 2, &body), &many),
        keyed(message("U", 0, b""), ""),
        undone,
        keyed(message("U", 1, b"last"), &one),
    ];
    store.put_group(&group.map(NewSend::Message)).iter().for_each(|put| assert!(put.is_ok()));
    let mut batch = BytesMut::new();
    for properties in [&*many, "", &*one] {
        BatchMessage { flag: 0, body: b"part", properties }.encode(&mut batch).unwrap();
    }
    let message = keyed(message("T", 3, &batch), "WAIT\u{1}true\u{2}");
    store.put_batch(&NewBatch { message }).unwrap();
    let lights = format!("{many}INNER_MULTI_DISPATCH\u{1}%LMQ%l\u{2}");
    store.put(&keyed(common::message("T", 0, b"light"), &lights)).unwrap();
}

#[test]
fn what_is_noted_is_what_the_records_say() {
    let directory = scratch();
    let config =
        StoreConfig { enable_lmq: true, enable_multi_dispatch: true, ..config(directory.path()) };
    let store = open(config.clone()).unwrap();
    for round in 0..400 {
        put_some(&store, round);
        if round % 7 == 0 {
            store.build_index();
        }
    }
    assert!(store.log().segments().len() > 3, "rolled some times");
    store.stop().unwrap();
    let noted = index_files(directory.path());
    assert!(noted.len() > 1, "index files are full");
    fs::remove_dir_all(directory.path().join("index")).unwrap();

    let store = open(config).unwrap();
    // Read and noted ones alternate here, as nothing of before is noted.
    put_some(&store, 400);
    while store.build_index() {}
    put_some(&store, 401);
    store.stop().unwrap();
    let read = index_files(directory.path());
    assert!(read.len() >= noted.len());
    let last = noted.len() - 1;
    assert!(noted[..last] == read[..last], "full files differ");
    let used = i32::from_be_bytes(noted[last][36..40].try_into().unwrap()) as usize;
    let entries = 40 + 4 * 500;
    let of_last = entries..entries + 20 * used;
    assert!(noted[last][of_last.clone()] == read[last][of_last], "entries differ");

    let store = open(common::config(directory.path())).unwrap();
    for key in ["a0", "c399", "u400", "b", "a401"] {
        let found = store.query("T", key, 32, 0, i64::MAX).len();
        assert_eq!(found, if key == "b" { 32 } else { 4 }, "{key}");
    }
    store.stop().unwrap();
}
