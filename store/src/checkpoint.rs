//! The checkpoint file: how far log, queues and index are known to be on disk.
//!
//! ```text
//! i64 physic time @0 | i64 logics time @8 | i64 index time @16        Java's six fields
//! i64 master flushed offset @24 | i64 confirm offset @32
//! i64 logics offset @40                                               since 5.5.0
//! zeros
//! magic "RMQP" @64 | u32 CRC-32 of @0..48 and of the position @68 | i64 position @72
//! zeros to 4096
//! ```
//!
//! The position is ours: the log is on disk up to it, and so is every queue unit of a record
//! before it, so recovery starts there. Java keeps the bytes behind its fields as they are but
//! rewrites those; the CRC then no longer fits and the position is not used.
//!
//! Java's logics offset is the start of a record whose unit is on disk. 5.5.0 recovers from the
//! file that holds it and, with `enableAcceleratedRecovery`, does not start without. It is given
//! the position.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::OpenError;
use crate::disk_file::{DiskFile, sync_directory_of};
use crate::faults::{self, Point};

const FILE_LEN: usize = 4096;
const JAVA_LEN: usize = 48;
const MAGIC_AT: usize = 64;
const MAGIC: [u8; 4] = *b"RMQP";
const END: usize = 80;
/// No time is later: the end of the year 9999.
const TIME_MAX: i64 = 253_402_300_799_999;
/// How far a start after a crash goes back behind the recorded times, in milliseconds.
const SLACK_MS: i64 = 3000;

/// What the checkpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Store time of the newest record known to be on disk.
    pub physic_timestamp: i64,
    /// Store time of the newest record whose queue unit is on disk.
    pub logics_timestamp: i64,
    /// Time of the last full index file that is on disk.
    pub index_timestamp: i64,
    /// Kept for a replica's sake.
    pub master_flushed_offset: i64,
    /// Start of the last record found by a recovery.
    pub confirm_offset: i64,
    /// Log position up to which log and queues are on disk, if this store wrote the file.
    pub position: Option<i64>,
}

impl Marks {
    /// Time a start after a crash may trust: records up to it are on disk, with their units.
    pub fn min_timestamp(&self) -> i64 {
        self.physic_timestamp.min(self.logics_timestamp).saturating_sub(SLACK_MS).max(0)
    }

    fn decode(bytes: &[u8; FILE_LEN]) -> Marks {
        let position = i64_at(bytes, MAGIC_AT + 8);
        let ours = bytes[MAGIC_AT..MAGIC_AT + 4] == MAGIC
            && bytes[MAGIC_AT + 4..MAGIC_AT + 8] == checksum(&bytes[..JAVA_LEN], position);
        Marks {
            physic_timestamp: i64_at(bytes, 0),
            logics_timestamp: i64_at(bytes, 8),
            index_timestamp: i64_at(bytes, 16),
            master_flushed_offset: i64_at(bytes, 24),
            confirm_offset: i64_at(bytes, 32),
            position: ours.then_some(position),
        }
    }

    fn encode(&self) -> [u8; END] {
        let mut bytes = [0; END];
        let fields = [
            self.physic_timestamp,
            self.logics_timestamp,
            self.index_timestamp,
            self.master_flushed_offset,
            self.confirm_offset,
            self.position.unwrap_or(0),
        ];
        for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        if let Some(position) = self.position {
            let crc = checksum(&bytes[..JAVA_LEN], position);
            bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&MAGIC);
            bytes[MAGIC_AT + 4..MAGIC_AT + 8].copy_from_slice(&crc);
            bytes[MAGIC_AT + 8..].copy_from_slice(&position.to_be_bytes());
        }
        bytes
    }
}

/// The first bytes that neither this store nor Java writes, and what they write there.
///
/// A wrong time would make recovery trust files it should look at.
fn foreign_part(bytes: &[u8; FILE_LEN]) -> Option<(usize, &'static str)> {
    for at in [0, 8, 16] {
        if !(0..=TIME_MAX).contains(&i64_at(bytes, at)) {
            return Some((at, "a time in milliseconds, as in a checkpoint"));
        }
    }
    for at in [24, 32, 40] {
        if i64_at(bytes, at) < -1 {
            return Some((at, "a log position, as in a checkpoint"));
        }
    }
    let ours = bytes[MAGIC_AT..MAGIC_AT + 4] == MAGIC;
    let gap_from = if ours { END } else { MAGIC_AT };
    let mut unused = (JAVA_LEN..MAGIC_AT).chain(gap_from..FILE_LEN);
    unused.find(|&at| bytes[at] != 0).map(|at| (at, "zeros, as behind a checkpoint"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(field)
}

fn checksum(java: &[u8], position: i64) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(java);
    hasher.update(&position.to_be_bytes());
    hasher.finalize().to_be_bytes()
}

/// The file, and what is to be written to it next.
#[derive(Debug)]
pub struct Checkpoint {
    file: DiskFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    marks: Marks,
    on_disk: Marks,
}

impl Checkpoint {
    /// Opens or creates the file; a missing or short one counts as zeros, as in Java.
    pub fn open(root: &Path) -> Result<Checkpoint, OpenError> {
        let path = root.join("checkpoint");
        let io = |action| {
            let path = path.clone();
            move |source| OpenError::Io { path, action, source }
        };
        let file = DiskFile::open_or_create(&path).map_err(io("open"))?;
        let (checkpoint, len) = Checkpoint::read(file)?;
        let file = &checkpoint.file;
        if len < FILE_LEN as u64 {
            file.set_len(FILE_LEN as u64).map_err(io("extend"))?;
            file.sync_all().map_err(io("sync"))?;
            sync_directory_of(&path).map_err(io("sync the directory of"))?;
        }
        Ok(checkpoint)
    }

    /// Opens the file for reading only; where it is missing, an empty one stands for it.
    pub fn view(root: &Path) -> Result<Checkpoint, OpenError> {
        let path = root.join("checkpoint");
        let file = match DiskFile::open_to_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DiskFile::open_to_read(Path::new("/dev/null"))
            }
            file => file,
        };
        let file = file.map_err(|source| OpenError::io(&path, "open", source))?;
        Checkpoint::read(file).map(|(checkpoint, _)| checkpoint)
    }

    /// Reads the file; with its length.
    fn read(file: DiskFile) -> Result<(Checkpoint, u64), OpenError> {
        let path = file.path().to_owned();
        let io = |action| {
            let path = path.clone();
            move |source| OpenError::Io { path, action, source }
        };
        let len = file.len().map_err(io("read the length"))?;
        if len > FILE_LEN as u64 {
            return Err(OpenError::Damaged {
                path,
                offset: FILE_LEN as u64,
                expected: format!("a checkpoint of {FILE_LEN} bytes"),
                got: format!("{len} bytes"),
            });
        }
        let mut bytes = [0; FILE_LEN];
        file.read_at(&mut bytes[..len as usize], 0).map_err(io("read"))?;
        if let Some((offset, expected)) = foreign_part(&bytes) {
            let end = (offset + 8).min(FILE_LEN);
            let got = format!("{:02x?}", &bytes[offset..end]);
            return Err(OpenError::Damaged {
                path,
                offset: offset as u64,
                expected: expected.to_owned(),
                got,
            });
        }
        let marks = Marks::decode(&bytes);
        Ok((Checkpoint { file, state: Mutex::new(State { marks, on_disk: marks }) }, len))
    }

    /// What holds now, written or not.
    pub fn marks(&self) -> Marks {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).marks
    }

    /// Changes what the next flush writes.
    pub fn update(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).marks);
    }

    /// Takes its word back: the next start reads the whole log.
    pub fn forget(&self) {
        self.update(|marks| {
            marks.position = None;
            marks.physic_timestamp = 0;
            marks.logics_timestamp = 0;
        });
    }

    /// Writes and syncs the marks if they changed.
    pub fn flush(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.marks == state.on_disk {
            return Ok(());
        }
        self.file.write_at(&state.marks.encode(), 0)?;
        faults::pass(Point::CheckpointWritten);
        self.file.sync_data()?;
        state.on_disk = state.marks;
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks {
        physic_timestamp: 1_700_000_000_000,
        logics_timestamp: 1_700_000_000_001,
        index_timestamp: 3,
        master_flushed_offset: 4,
        confirm_offset: 5,
        position: Some(77),
    };

    fn written(directory: &Path, marks: Marks) -> Vec<u8> {
        let checkpoint = Checkpoint::open(directory).unwrap();
        checkpoint.update(|now| *now = marks);
        checkpoint.flush().unwrap();
        std::fs::read(checkpoint.path()).unwrap()
    }

    #[test]
    fn java_finds_its_fields_and_we_find_ours() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = written(directory.path(), MARKS);
        assert_eq!(bytes.len(), FILE_LEN);
        assert_eq!(i64_at(&bytes, 8), MARKS.logics_timestamp);
        assert_eq!(i64_at(&bytes, 32), 5);
        assert_eq!(i64_at(&bytes, 40), 77);
        assert_eq!(Checkpoint::open(directory.path()).unwrap().marks(), MARKS);
        assert_eq!(MARKS.min_timestamp(), 1_700_000_000_000 - 3000);
        assert_eq!(Marks::default().min_timestamp(), 0);
    }

    #[test]
    fn the_fields_stand_where_java_writes_them() {
        let golden = include_str!("../../compat-tests/facts/golden-records.tsv");
        let row = golden.lines().find(|line| line.starts_with("checkpoint\t")).unwrap();
        let cells: Vec<&str> = row.split('\t').collect();
        let facts: serde_json::Value = serde_json::from_str(cells[2]).unwrap();
        let field = |name: &str| facts[name].as_i64().unwrap();
        let marks = Marks {
            physic_timestamp: field("physicMsgTimestamp"),
            logics_timestamp: field("logicsMsgTimestamp"),
            index_timestamp: field("indexMsgTimestamp"),
            master_flushed_offset: field("masterFlushedOffset"),
            confirm_offset: field("confirmPhyOffset"),
            position: None,
        };
        let hex: String = marks.encode()[..64].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, cells[3]);
        let mut bytes = [0; FILE_LEN];
        bytes[..END].copy_from_slice(&marks.encode());
        assert_eq!(Marks::decode(&bytes), marks);
    }

    #[test]
    fn a_position_does_not_outlive_a_run_of_java() {
        let directory = tempfile::tempdir().unwrap();
        let sound = written(directory.path(), MARKS);
        // Of 5.1 to 5.3, and of 5.5.0.
        for at in [7, 47] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(directory.path().join("checkpoint"), &bytes).unwrap();
            assert_eq!(Checkpoint::open(directory.path()).unwrap().marks().position, None);
        }
    }

    #[test]
    fn bytes_that_nobody_writes_are_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        let sound = written(directory.path(), MARKS);
        for (at, byte, expected) in [
            (0, 0x80, "checkpoint at 0: expected a time"),
            (9, 0xff, "checkpoint at 8: expected a time"),
            (16, 0x7f, "checkpoint at 16: expected a time"),
            (32, 0x80, "checkpoint at 32: expected a log position"),
            (40, 0x80, "checkpoint at 40: expected a log position"),
            (49, 1, "checkpoint at 49: expected zeros"),
            (END, 1, "checkpoint at 80: expected zeros"),
            (MAGIC_AT, 1, "checkpoint at 64: expected zeros"),
            (FILE_LEN - 1, 1, "checkpoint at 4095: expected zeros"),
        ] {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            std::fs::write(&path, &bytes).unwrap();
            let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        std::fs::write(&path, b"hello").unwrap();
        assert!(Checkpoint::open(directory.path()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    }

    #[test]
    fn short_is_zeros_and_long_is_foreign() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        std::fs::write(&path, 9_i64.to_be_bytes()).unwrap();
        let marks = Checkpoint::open(directory.path()).unwrap().marks();
        assert_eq!(marks, Marks { physic_timestamp: 9, ..Marks::default() });
        std::fs::write(&path, [0; FILE_LEN + 1]).unwrap();
        let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("expected a checkpoint of 4096 bytes, got 4097 bytes"), "{error}");
    }
}
