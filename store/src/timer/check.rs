//! `config/timercheck`: how far the timer has come.
//!
//! ```text
//! i64 slot read next @0 | i64 timer log flushed to @8 | i64 next offset of the timer topic @16
//! i64 the same of the master @24 | i64 version: state @32, time @40, counter @48 | zeros to 4096
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::disk_file::{DiskFile, create_durable_directories, sync_directory_of};
use crate::faults::{self, Point};

const FILE_LEN: u64 = 4096;
/// Length of what the file says, which is also the body of request 60.
pub const CHECK_LEN: usize = 56;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Everything in slots before this time is delivered.
    pub read_ms: i64,
    /// The wheel on disk holds all units before this position.
    pub log_flushed: i64,
    /// Messages of the timer topic before this offset have a unit or are delivered.
    pub queue_offset: i64,
    /// The same, of the broker that delivers; Java starts from the smaller of the two.
    pub master_queue_offset: i64,
    /// Version of the file: state.
    pub state_version: i64,
    /// Version of the file: time of the last change.
    pub version_ms: i64,
    /// Version of the file: number of changes.
    pub version_counter: i64,
}

impl Check {
    /// The bytes on disk and on the wire.
    pub fn encode(&self) -> [u8; CHECK_LEN] {
        let mut bytes = [0; CHECK_LEN];
        let fields = [
            self.read_ms,
            self.log_flushed,
            self.queue_offset,
            self.master_queue_offset,
            self.state_version,
            self.version_ms,
            self.version_counter,
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; CHECK_LEN]) -> Check {
        let mut fields = [0; CHECK_LEN / 8];
        for (field, bytes) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut value = [0; 8];
            value.copy_from_slice(bytes);
            *field = i64::from_be_bytes(value);
        }
        let [read_ms, log_flushed, queue_offset, master_queue_offset, version @ ..] = fields;
        let [state_version, version_ms, version_counter] = version;
        Check {
            read_ms,
            log_flushed,
            queue_offset,
            master_queue_offset,
            state_version,
            version_ms,
            version_counter,
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct CheckFile {
    file: DiskFile,
}

impl CheckFile {
    /// Opens the file or makes it; `None` for what it says when it says nothing yet.
    pub fn open(root: &Path) -> Result<(CheckFile, Option<Check>), OpenError> {
        let directory = root.join("config");
        create_durable_directories(&directory)
            .map_err(|error| OpenError::io(&directory, "create", error))?;
        let path = directory.join("timercheck");
        let io = |action| {
            let path = &path;
            move |source| OpenError::io(path, action, source)
        };
        let file = DiskFile::open_or_create(&path).map_err(io("open for writing"))?;
        let len = file.len().map_err(io("read the length"))?;
        if len == 0 {
            file.set_len(FILE_LEN).map_err(io("make"))?;
            file.sync_all().map_err(io("sync"))?;
            sync_directory_of(&path).map_err(io("sync the directory of"))?;
        } else if len != FILE_LEN {
            return Err(damaged(path, len.min(FILE_LEN), "a file of 4096 bytes", len as i64));
        }
        let check = read(&file)?;
        Ok((CheckFile { file }, check))
    }

    /// What the file says, read only; `None` where it says nothing or is missing.
    pub fn view(root: &Path) -> Result<Option<Check>, OpenError> {
        let path = root.join("config/timercheck");
        match DiskFile::open_to_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => read(&file.map_err(|error| OpenError::io(&path, "open", error))?),
        }
    }

    /// Writes and syncs.
    pub fn save(&self, check: &Check) -> io::Result<()> {
        self.file.write_at(&check.encode(), 0)?;
        faults::pass(Point::TimerCheckWritten);
        self.file.sync_data()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

fn read(file: &DiskFile) -> Result<Option<Check>, OpenError> {
    let mut bytes = [0; CHECK_LEN];
    let path = file.path();
    file.read_at(&mut bytes, 0).map_err(|error| OpenError::io(path, "read", error))?;
    let check = Check::decode(&bytes);
    let fields = [check.read_ms, check.log_flushed, check.queue_offset];
    for (at, field) in (0..).step_by(8).zip(fields) {
        if field < 0 {
            let expected = "a time or a position, as in a timer check";
            return Err(damaged(path.to_owned(), at, expected, field));
        }
    }
    Ok(Some(check).filter(|check| *check != Check::default()))
}

fn damaged(path: PathBuf, offset: u64, expected: &str, got: i64) -> OpenError {
    OpenError::Damaged { path, offset, expected: expected.to_owned(), got: got.to_string() }
}
