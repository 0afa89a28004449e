//! The hot paths, for `cargo xtask instructions`, which runs this under callgrind.
//!
//! Callgrind counts inside [`counted`] and, where requests come over a socket, inside the tasks of
//! the runtime, on whose thread nothing else than the broker is a task. It writes its count down
//! at every [`end_of_round`]; standard output says which round that was.
#![allow(clippy::unwrap_used, reason = "a measurement may fail where it stands")]

use std::hint::black_box;

use bytes::BytesMut;
use mimalloc::MiMalloc;
use remoting::net::begin_turn;
use remoting::protocol::command::{Frame, frame_len};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{PullMessageRequestHeader, SendMessageRequestHeader, Short};
use store::{GetRequest, GetStatus, MessageStore, NewMessage, QueueKind, StoreConfig};

use common::Bench;
use hot::{LongPoll, SETTINGS, Turn, Wire};

#[path = "../../../broker/tests/common/mod.rs"]
mod common;
#[path = "../../../remoting/tests/facts/mod.rs"]
mod facts;
#[path = "../../../broker/tests/common/hot.rs"]
mod hot;

/// As in the servers.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Rounds of each path. The best counts: the first ones warm up, and what runs beside requests
/// falls into some of them.
const ROUNDS: usize = 5;
/// Turns of a round.
const TURNS: usize = 200;
const BODY: [u8; 128] = [b'x'; 128];

fn main() {
    decode();
    store();
    // As the servers' runtimes are.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().on_thread_unpark(begin_turn).build().unwrap();
    runtime.block_on(async {
        over_a_socket().await;
        with_sync_flush().await;
    });
}

/// What happens in here is counted.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// Callgrind writes down its count and begins anew when this is called.
#[inline(never)]
fn end_of_round(name: &str, count: usize) {
    println!("{name}\t{count}");
}

/// Headers as Java's encoders write them.
fn decode() {
    for row in facts::rows("golden-frames.tsv") {
        let kind = match row.text("id") {
            "req-310" => "send",
            "req-11" => "pull",
            _ => continue,
        };
        let name = format!("decode a {kind}, {}", row.text("serialization"));
        let bytes = row.bytes("frame_hex");
        for _ in 0..ROUNDS {
            // As a connection has them: one after the other in a buffer they share.
            let mut input = BytesMut::from(&bytes.repeat(TURNS)[..]);
            counted(|| {
                while let Some(len) = frame_len(&input).unwrap() {
                    let frame = Frame::decode(input.split_to(len)).unwrap();
                    if kind == "send" {
                        black_box(frame.header::<Short<SendMessageRequestHeader<'_>>>().unwrap());
                    } else {
                        black_box(frame.header::<PullMessageRequestHeader<'_>>().unwrap());
                    }
                }
            });
            end_of_round(&name, TURNS);
        }
    }
}

/// The store alone, without its background work.
fn store() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        store_path_root_dir: directory.path().to_str().unwrap().to_owned(),
        mapped_file_size_commit_log: 64 << 20,
        ..StoreConfig::default()
    };
    let store =
        MessageStore::open(config, Box::new(|_| QueueKind::Simple), Box::new(|_| {})).unwrap();
    let host = ([127, 0, 0, 1], 10911).into();
    let message = NewMessage {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &BODY,
        properties: "KEYS\u{1}k1 k2\u{2}UNIQ_KEY\u{1}7F000001000118B4AAC2000000000000\u{2}\
                     TAGS\u{1}t3\u{2}WAIT\u{1}true\u{2}",
    };
    for _ in 0..ROUNDS {
        counted(|| (0..TURNS).for_each(|_| drop(store.put(&message).unwrap())));
        end_of_round("store: put of 128 B", TURNS);
        counted(|| while store.build_index() {});
        end_of_round("store: dispatch to the index, a message of 3 keys", TURNS);
    }
    let request =
        GetRequest { topic: "T", queue_id: 0, queue_offset: 0, count_max: 32, bytes_max: 1 << 20 };
    for _ in 0..ROUNDS {
        counted(|| {
            for _ in 0..TURNS {
                let got = store.get(&request, &|_| true);
                assert_eq!((got.status, got.count), (GetStatus::Found, 32));
            }
        });
        end_of_round("store: get of 32", TURNS);
    }
    store.stop().unwrap();
}

/// From the bytes that come to the bytes that leave, as the task of a connection handles them.
async fn over_a_socket() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), SETTINGS).await;
    let mut turns = hot::turns(&bench).await;
    turns.push(hot::heartbeat());
    let mut wire = Wire::connect(&bench).await;
    for turn in &turns {
        rounds(turn, &mut wire).await;
    }
    let mut poll = LongPoll::new(&bench).await;
    for _ in 0..ROUNDS {
        for _ in 0..TURNS {
            poll.take().await;
        }
        end_of_round(poll.name, TURNS);
    }
    bench.stop().await;
}

async fn with_sync_flush() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::with(root.path(), &format!("{SETTINGS}flushDiskType=SYNC_FLUSH\n")).await;
    hot::turns(&bench).await;
    let mut send = hot::send(Encoding::Json, 0);
    send.name.push_str(", flushed");
    rounds(&send, &mut Wire::connect(&bench).await).await;
    bench.stop().await;
}

async fn rounds(turn: &Turn, wire: &mut Wire) {
    for _ in 0..ROUNDS {
        for _ in 0..TURNS {
            wire.take(turn).await;
        }
        end_of_round(&turn.name, TURNS * turn.count);
    }
}
