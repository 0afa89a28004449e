//! Any bytes in any file of a store: it opens and can be read and written, or says in one line
//! which file is wrong.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use store::{
    Boundary, GetRequest, GetStatus, MessageStore, NewMessage, OpenError, QueueKind, StoreConfig,
};

/// Records the first files hold.
const RECORDS: i32 = 40;

/// A sound store that was stopped cleanly, by path below its root.
static SOUND: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
    let root = root();
    let _ = fs::remove_dir_all(&root);
    let store = open(&root).expect("a new store");
    for n in 0..RECORDS {
        put(&store, n % 2).expect("stored");
    }
    store.stop().expect("stopped");
    drop(store);
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files);
    files
});

fn root() -> PathBuf {
    PathBuf::from("/dev/shm").join(format!("fuzz-store-{}", std::process::id()))
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below").to_owned();
            files.insert(name, fs::read(&path).expect("read"));
        }
    }
}

fn open(root: &Path) -> Result<MessageStore, OpenError> {
    let config = StoreConfig {
        store_path_root_dir: root.to_str().expect("a path of letters").to_owned(),
        mapped_file_size_commit_log: 8 << 10,
        mapped_file_size_consume_queue: 20 * 12,
        max_hash_slot_num: 20,
        max_index_num: 30,
        file_reserved_time: 24 * 365 * 10,
        ..StoreConfig::default()
    };
    MessageStore::open(config, Box::new(|_| QueueKind::Simple), Box::new(|_| {}))
}

fn put(store: &MessageStore, queue_id: i32) -> Result<i64, store::PutError> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    let message = NewMessage {
        topic: "T",
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &[b'x'; 200],
        properties: "TAGS\u{1}t\u{2}KEYS\u{1}k\u{2}",
    };
    store.put(&message).map(|put| put.queue_offset)
}

/// Reads everything every way there is.
fn read(store: &MessageStore) {
    for queue_id in 0..2 {
        let (min, max) = (store.min_offset("T", queue_id), store.max_offset("T", queue_id));
        let mut queue_offset = min.max(0);
        for _ in 0..100 {
            let request =
                GetRequest { topic: "T", queue_id, queue_offset, count_max: 32, bytes_max: 1 << 20 };
            let got = store.get(&request, &|_| true);
            if got.status == GetStatus::Found {
                let bytes: usize = got.slices.iter().map(|slice| slice.as_ref().len()).sum();
                assert_eq!(bytes, got.bytes as usize);
            }
            if got.next_offset <= queue_offset || queue_offset >= max {
                break;
            }
            queue_offset = got.next_offset;
        }
        let _ = store.offset_by_time("T", queue_id, i64::MAX / 2, Boundary::Upper);
        let _ = store.store_time("T", queue_id, max - 1);
    }
    let _ = store.query("T", "k", 64, 0, i64::MAX);
}

fuzz_target!(|data: &[u8]| {
    let [file, how, at_high, at_low, bytes @ ..] = data else { return };
    let root = root();
    let sound = &*SOUND;
    let _ = fs::remove_dir_all(&root);
    for (name, content) in sound {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, content).expect("written");
    }
    let name = sound.keys().nth(usize::from(*file) % sound.len()).expect("one of them");
    let mut content = sound[name].clone();
    let at = usize::from(u16::from_be_bytes([*at_high, *at_low]));
    match how & 3 {
        0 => content = bytes.to_vec(),
        1 => content.truncate(at),
        _ => {
            let at = at.min(content.len());
            let len = bytes.len().min(content.len() - at);
            content[at..at + len].copy_from_slice(&bytes[..len]);
        }
    }
    fs::write(root.join(name), content).expect("written");
    if how & 4 != 0 {
        fs::write(root.join("abort"), "1").expect("written");
    }
    if how & 8 != 0 {
        let _ = fs::remove_file(root.join("checkpoint"));
    }
    match open(&root) {
        Ok(store) => {
            read(&store);
            if let Ok(offset) = put(&store, 0) {
                assert_eq!(store.max_offset("T", 0), offset + 1);
            }
            read(&store);
            let _ = store.stop();
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("fuzz-store-") && !line.contains('\n'), "{line}");
        }
    }
});
