//! Appending, rolling, faults.

use super::*;
use crate::PutError;
use crate::faults::Faults;

const SIZE: i32 = 4096;

pub(super) fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        store_path_root_dir: root.to_str().unwrap().to_owned(),
        mapped_file_size_commit_log: SIZE,
        ..StoreConfig::default()
    }
}

fn append(log: &CommitLog, bytes: &[u8]) -> Result<i64, PutError> {
    let mut append = log.lock()?;
    let position = append.place(bytes.len())?;
    append.write(bytes, position)?;
    Ok(position)
}

pub(super) fn fresh(config: &StoreConfig) -> CommitLog {
    let log = CommitLog::open(config).unwrap();
    log.cut(0, 0, 0).unwrap();
    log
}

/// Takes the files out of memory.
pub(super) fn forget(log: &CommitLog) {
    for segment in log.segments().iter() {
        segment.sync().unwrap();
        let file = std::fs::File::open(segment.path()).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

#[test]
fn a_record_ends_eight_bytes_before_the_end_of_a_file_at_the_latest() {
    for (len, next) in [(SIZE as usize - 8, 4096), (SIZE as usize - 9, 4096), (100, 100)] {
        let directory = tempfile::tempdir().unwrap();
        let log = fresh(&config(directory.path()));
        assert_eq!(append(&log, &vec![1; len]).unwrap(), 0);
        assert_eq!(append(&log, &[2; 8]).unwrap(), next);
        let first = log.segments()[0].clone();
        if next == 4096 {
            assert_eq!(first.written(), 4096);
            let left = (SIZE as usize - len) as u32;
            assert_eq!(first.bytes(len, 4), left.to_be_bytes());
        }
        assert_eq!(log.end(), next + 8);
        assert_eq!(log.mark(), (next + 8, next));
    }
}

#[test]
fn the_spare_file_is_used_or_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    let files = || std::fs::read_dir(directory.path().join("commitlog")).unwrap().count();
    log.prepare().unwrap();
    assert_eq!((files(), log.segments().len()), (1, 0));
    append(&log, &[1; 3000]).unwrap();
    assert_eq!((files(), log.segments().len()), (1, 1));
    log.prepare().unwrap();
    log.prepare().unwrap();
    assert_eq!((files(), log.segments().len()), (2, 1));
    assert_eq!(append(&log, &[1; 3000]).unwrap(), 4096);
    assert_eq!((files(), log.segments().len()), (2, 2));
    log.prepare().unwrap();
    assert_eq!(files(), 3);
    log.close().unwrap();
    assert_eq!(files(), 2);
    log.prepare().unwrap();
    assert_eq!(files(), 2);
    assert_eq!(append(&log, b"x").unwrap_err(), PutError::Stopped);
}

#[test]
fn files_take_turns_on_several_paths() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut config = config(directory.path());
    config.store_path_commit_log = format!("{},{}", path("b"), path("a"));
    let log = fresh(&config);
    for _ in 0..4 {
        append(&log, &[1; 4000]).unwrap();
    }
    drop(log);
    for (directory_name, base) in [("a", 0), ("b", 4096), ("a", 8192), ("b", 12_288)] {
        let name = format!("{directory_name}/{base:020}");
        assert!(directory.path().join(&name).is_file(), "{name}");
    }
    // What was writable may become read only.
    config.store_path_commit_log = path("c");
    config.read_only_commit_log_store_paths = format!("{},{}", path("a"), path("b"));
    let log = CommitLog::open(&config).unwrap();
    assert_eq!(log.segments().len(), 4);
    log.cut(0, 4 * 4096, 0).unwrap();
    assert_eq!(append(&log, &[1; 10]).unwrap(), 16_384);
    assert!(directory.path().join("c/00000000000000016384").is_file());
}

#[test]
fn a_full_disk_is_an_answer_and_leaves_no_half_record() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    append(&log, &[1; 100]).unwrap();
    let segment = log.segments()[0].clone();
    let faults = Faults::on(directory.path());
    faults.set("pwrite:1:short,pwrite:2:ENOSPC").unwrap();
    assert_eq!(append(&log, &[2; 100]).unwrap_err(), PutError::DiskFull);
    assert!(!log.poisoned());
    assert_eq!(log.end(), 100);
    let bytes = std::fs::read(segment.path()).unwrap();
    assert_eq!(bytes[100..108], [0; 8]);
    assert_eq!(append(&log, &[3; 100]).unwrap(), 100);
}

#[test]
fn a_failed_write_ends_acknowledging() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    append(&log, &[1; 100]).unwrap();
    let faults = Faults::on(directory.path());
    faults.set("pwrite:1:short,pwrite:2:EIO").unwrap();
    assert_eq!(append(&log, &[2; 100]).unwrap_err(), PutError::Poisoned);
    assert_eq!(append(&log, &[3; 100]).unwrap_err(), PutError::Poisoned);
    assert!(log.poisoned() && log.flushed().failed());
    assert!(log.flush().is_err());
}

#[test]
fn a_failed_sync_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    append(&log, &[1; 100]).unwrap();
    assert!(log.flush().unwrap());
    append(&log, &[2; 100]).unwrap();
    let faults = Faults::on(directory.path());
    faults.set("fdatasync:1:EIO").unwrap();
    assert!(log.flush().is_err());
    // The kernel may have dropped the pages: a second sync that succeeds proves nothing.
    assert!(log.flush().is_err());
    assert_eq!(log.flushed().position(), 100);
    assert_eq!(append(&log, &[3; 100]).unwrap_err(), PutError::Poisoned);
}

#[test]
fn a_failed_sync_of_the_room_ahead_is_final_too() {
    let directory = tempfile::tempdir().unwrap();
    let flush_disk_type = crate::FlushDiskType::SyncFlush;
    let log = fresh(&StoreConfig { flush_disk_type, ..config(directory.path()) });
    append(&log, &[1; 100]).unwrap();
    let faults = Faults::on(directory.path());
    faults.set("fdatasync:1:EIO").unwrap();
    // The system tells of it here, and would not tell the flush that follows.
    assert!(log.prepare().is_err());
    assert!(log.poisoned() && log.flush().is_err());
    assert_eq!(log.flushed().position(), 0);
}

#[test]
fn a_panic_under_the_lock_is_a_failed_write() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    let panicked = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let _append = log.lock().unwrap();
                panic!("half a record");
            })
            .join()
    });
    assert!(panicked.is_err());
    assert_eq!(append(&log, b"x").unwrap_err(), PutError::Poisoned);
}

#[test]
fn a_write_that_takes_too_long_refuses_the_others_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let patience = 100;
    let config =
        StoreConfig { os_page_cache_busy_time_out_mills: patience, ..config(directory.path()) };
    let log = fresh(&config);
    let slow = log.lock().unwrap();
    std::thread::scope(|scope| {
        let waited = scope.spawn(|| {
            let begun = std::time::Instant::now();
            (append(&log, b"x").unwrap_err(), begun.elapsed())
        });
        let (error, waited) = waited.join().unwrap();
        assert_eq!(error, PutError::Busy);
        assert!(waited >= Duration::from_millis(patience as u64), "{waited:?}");
        assert!(log.is_busy());
        // Nobody waits again.
        assert_eq!(append(&log, b"x").unwrap_err(), PutError::Busy);
    });
    drop(slow);
    assert!(!log.is_busy());
    append(&log, b"x").unwrap();
    assert!(!log.poisoned());
}

#[test]
fn the_oldest_file_goes_first_and_the_last_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let log = fresh(&config(directory.path()));
    assert!(log.delete_oldest().unwrap().is_none());
    for _ in 0..3 {
        append(&log, &[1; 4000]).unwrap();
    }
    let slice = log.window(false).slice(0, 10).unwrap();
    for min in [4096, 8192] {
        assert!(log.delete_oldest().unwrap().is_some());
        assert_eq!(log.min(), min);
        assert!(log.window(false).slice(0, 10).is_none());
    }
    assert!(log.delete_oldest().unwrap().is_none());
    assert_eq!(slice.as_ref(), [1; 10], "a reader keeps what it holds");
}

#[test]
fn who_does_not_wait_for_the_disk_gets_what_is_in_memory_only() {
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { mapped_file_size_commit_log: 1 << 20, ..config(directory.path()) };
    let path = config.commit_log_paths()[0].join("00000000000000000000");
    // Nobody has written to the file, so that no memory holds anything of it.
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(Segment::create(&path, 0, config.segment_size()).unwrap());
    let log = CommitLog::open(&config).unwrap();
    let chunk = loaded::CHUNK;
    let at_once = |position| {
        let window = log.window(true);
        let found = window.slice(position, 10).is_some();
        assert_eq!(window.missed(), !found);
        found
    };
    assert!(!at_once(chunk + 5) && !at_once(2 * chunk));
    // Waits, for the whole chunk.
    assert!(log.window(false).slice(chunk + 5, 10).is_some());
    assert!(at_once(chunk) && at_once(2 * chunk - 10));
    // What is beside it in another chunk may have come with it.
    assert!(log.window(false).slice(9 * chunk - 5, 10).is_some());
    assert!(at_once(9 * chunk - 5) && at_once(8 * chunk) && at_once(10 * chunk - 10));
}

#[test]
fn what_this_run_wrote_long_ago_is_not_taken_to_be_in_memory() {
    const LEN: usize = 64 << 20;
    let directory = tempfile::tempdir().unwrap();
    let log =
        fresh(&StoreConfig { mapped_file_size_commit_log: LEN as i32, ..config(directory.path()) });
    append(&log, &[1; 10]).unwrap();
    let first = log.segments()[0].clone();
    assert!(log.is_recent(&first, 0));
    for _ in 0..2 {
        // Ends the file without filling it.
        log.lock().unwrap().place(LEN - 8).unwrap();
        append(&log, &[1; 10]).unwrap();
    }
    assert!(first.is_own(0) && !log.is_recent(&first, 0));
    assert!(!log.is_recent(&first, first.limit() - 20), "nor its end");
    let last = log.segments().last().unwrap().clone();
    assert!(log.is_recent(&last, last.base()));
}
