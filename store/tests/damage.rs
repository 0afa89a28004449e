//! What is damaged or foreign stops the start with one line; nothing is replaced.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{config, message, open, read_all, scratch};
use store::{OpenError, StoreConfig};

/// A cleanly stopped store of three log files.
fn stopped(directory: &Path) -> i64 {
    let store = open(config(directory)).unwrap();
    let body = vec![b'x'; 10_000];
    let mut end = 0;
    for n in 0..15 {
        end = store.put(&message("T", n % 2, &body)).unwrap().end;
    }
    store.stop().unwrap();
    end
}

fn log_file(directory: &Path, base: i64) -> PathBuf {
    directory.join("commitlog").join(format!("{base:020}"))
}

fn refusal(config: StoreConfig) -> String {
    let error = open(config).err().expect("the start is refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n'));
    line
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn foreign_names_lengths_and_contents_are_named() {
    let directory = scratch();
    let root = directory.path();
    stopped(root);
    let config = || config(root);

    let foreign = root.join("commitlog/notes.txt");
    fs::write(&foreign, b"hello").unwrap();
    let line = refusal(config());
    assert!(line.contains("notes.txt at 0: expected a log file"), "{line}");
    assert_eq!(fs::read(&foreign).unwrap(), b"hello");
    fs::remove_file(&foreign).unwrap();

    let first = log_file(root, 0);
    let file = OpenOptions::new().write(true).open(&first).unwrap();
    file.set_len(65_000).unwrap();
    let line = refusal(config());
    assert!(line.contains("at 65000: expected a file of 65536 bytes"), "{line}");
    file.set_len(65_536).unwrap();

    overwrite(&log_file(root, 65_536), 0, b"not a record of any kind");
    let line = refusal(config());
    assert!(line.contains("00000000000000065536 at 0: expected the record of log position 65536"));
    assert!(line.ends_with("got magic 0x61207265 where a record was expected"), "{line}");
}

#[test]
fn a_log_file_that_is_missing_is_missed() {
    for missing in [0, 65_536, 131_072] {
        let directory = scratch();
        let root = directory.path();
        let end = stopped(root);
        assert!(end > 131_072);
        fs::remove_file(log_file(root, missing)).unwrap();
        if missing == 0 {
            // The oldest files may be gone: retention deletes them.
            let store = open(config(root)).unwrap();
            assert_eq!(store.min_physical_offset(), 65_536);
            assert!(store.min_offset("T", 0) > 0);
            assert!(!read_all(&store, "T", 0).is_empty());
            continue;
        }
        let line = refusal(config(root));
        if missing == 65_536 {
            assert!(line.contains("expected the log file that starts at 65536"), "{line}");
        } else {
            assert!(line.contains(&format!("to go on to position {end}")), "{line}");
        }
    }
}

#[test]
fn queues_without_a_log_are_kept() {
    let directory = scratch();
    let root = directory.path();
    let end = stopped(root);
    fs::rename(root.join("commitlog"), root.join("elsewhere")).unwrap();
    let line = refusal(config(root));
    assert!(line.contains(&format!("log files up to position {end}")), "{line}");
    fs::remove_dir_all(root.join("commitlog")).unwrap();
    fs::rename(root.join("elsewhere"), root.join("commitlog")).unwrap();
    assert_eq!(read_all(&open(config(root)).unwrap(), "T", 0).len(), 8);
}

#[test]
fn a_record_damaged_after_a_clean_stop_of_java_is_named() {
    let directory = scratch();
    let root = directory.path();
    stopped(root);
    // Java's checkpoint has no position of ours.
    overwrite(&root.join("checkpoint"), 64, &[0; 16]);
    overwrite(&log_file(root, 131_072), 5000, b"?");
    let line = refusal(config(root));
    assert!(
        line.contains("00000000000000131072 at 0: expected a record, as the last run"),
        "{line}"
    );
    assert!(line.contains("body has CRC"), "{line}");
}

#[test]
fn a_second_store_does_not_touch_the_first() {
    let directory = scratch();
    let store = open(config(directory.path())).unwrap();
    store.put(&message("T", 0, b"one")).unwrap();
    assert!(matches!(open(config(directory.path())), Err(OpenError::Locked { .. })));
    store.put(&message("T", 0, b"two")).unwrap();
    assert_eq!(read_all(&store, "T", 0).len(), 2);
    drop(store);
    assert_eq!(read_all(&open(config(directory.path())).unwrap(), "T", 0).len(), 2);
}

#[test]
fn an_empty_last_log_file_is_a_crash_and_no_damage() {
    let directory = scratch();
    let end = stopped(directory.path());
    fs::write(log_file(directory.path(), 196_608), b"").unwrap();
    let store = open(config(directory.path())).unwrap();
    assert_eq!(store.max_physical_offset(), end);
}

#[test]
fn an_index_without_log_and_queues_starts_over() {
    let directory = scratch();
    let root = directory.path();
    stopped(root);
    for gone in ["commitlog", "consumequeue"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    fs::remove_file(root.join("checkpoint")).unwrap();
    let store = open(config(root)).unwrap();
    assert!(store.query("T", "k", 64, 0, i64::MAX).is_empty());
    store.put(&message("T", 0, b"first")).unwrap();
    assert_eq!(store.query("T", "k", 64, 0, i64::MAX).len(), 1);
}
