//! The one way from the store to the disk: files, names and directories.
//!
//! Whatever changes the disk, or must reach it, is a call of this module; the rest of the store
//! only reads by itself. Each call is shown to [`faults`](crate::faults) before and after, which
//! does nothing unless the feature of that name is on. An interrupted call is made again and a
//! short write goes on where it ended: neither is seen outside.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use crate::faults::{self, Action, Operation};

/// An open file and its path.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
}

impl DiskFile {
    /// Opens a file that is there, for reading and writing.
    pub fn open(path: &Path) -> io::Result<DiskFile> {
        let action = Action::Open { create: false, truncate: false };
        DiskFile::open_with(path, action, OpenOptions::new().read(true).write(true))
    }

    /// Opens a file that is there, for reading.
    pub fn open_to_read(path: &Path) -> io::Result<DiskFile> {
        let action = Action::Open { create: false, truncate: false };
        DiskFile::open_with(path, action, OpenOptions::new().read(true))
    }

    /// Opens a file that is there, for reads past the page cache: of whole pages into whole pages.
    pub fn open_direct(path: &Path) -> io::Result<DiskFile> {
        let action = Action::Open { create: false, truncate: false };
        let mut options = OpenOptions::new();
        DiskFile::open_with(path, action, options.read(true).custom_flags(libc::O_DIRECT))
    }

    /// Opens a file as it is, or makes an empty one.
    pub fn open_or_create(path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        DiskFile::open_with(path, Action::Open { create: true, truncate: false }, &options)
    }

    /// Makes an empty file where there is none.
    pub fn create_new(path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        DiskFile::open_with(path, Action::Open { create: true, truncate: false }, &options)
    }

    /// Makes an empty file, also where there is one.
    pub fn create_empty(path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        DiskFile::open_with(path, Action::Open { create: true, truncate: true }, &options)
    }

    fn open_with(path: &Path, action: Action<'_>, options: &OpenOptions) -> io::Result<DiskFile> {
        let file = call(Operation { path, action }, || options.open(path))?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for calls that change nothing.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Its length in bytes.
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether it holds no byte.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// When it was last written.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Fills `out` with the bytes at `at`.
    pub fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(out, at)
    }

    /// The same with what is in memory: `WouldBlock` if any of it would have to come from the disk.
    pub fn read_at_once(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let parts = &mut [IoSliceMut::new(out)];
        match rustix::io::preadv2(&self.file, parts, at, ReadWriteFlags::NOWAIT) {
            Ok(len) if len == out.len() => Ok(()),
            Ok(_) => Err(ErrorKind::WouldBlock.into()),
            // The file system does not know.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => self.read_at(out, at),
            Err(error) => Err(error.into()),
        }
    }

    /// The next position at or behind `at` that is no hole; `None` when only holes follow.
    pub fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            // A file system without holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(at)),
            Err(error) => Err(error.into()),
        }
    }

    /// The end of the data at the start of the file; its length where holes are not known.
    pub fn first_hole(&self) -> io::Result<u64> {
        let len = self.len()?;
        Ok(rustix::fs::seek(&self.file, SeekFrom::Hole(0)).unwrap_or(len).min(len))
    }

    /// Writes all of `bytes` at `at`. After an error any part of them may be in the file.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let (mut rest, mut at) = (bytes, at);
        while !rest.is_empty() {
            let asked = Operation { path: &self.path, action: Action::Write { at, bytes: rest } };
            let written = faults::before(&asked)
                .and_then(|len| self.file.write_at(&rest[..rest.len().min(len)], at));
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => {
                    let action = Action::Write { at, bytes: &rest[..len] };
                    faults::after(&Operation { path: &self.path, action });
                    rest = &rest[len..];
                    at += len as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Cuts the file, or extends it by zeros.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Action::SetLen(len), || self.file.set_len(len))
    }

    /// Waits until content and length are on disk.
    pub fn sync_data(&self) -> io::Result<()> {
        self.call(Action::Sync, || self.file.sync_data())
    }

    /// Waits until content, length and times are on disk; the name is the directory's matter.
    pub fn sync_all(&self) -> io::Result<()> {
        self.call(Action::Sync, || self.file.sync_all())
    }

    /// Takes blocks for a range without changing what it reads as; false where the file system
    /// cannot.
    pub fn allocate(&self, at: u64, len: u64) -> io::Result<bool> {
        self.fallocate(Action::Allocate { at, len }, FallocateFlags::empty(), at, len)
    }

    /// Makes a range read as zeros and gives its blocks back; false where the file system cannot.
    pub fn punch_hole(&self, at: u64, len: u64) -> io::Result<bool> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.fallocate(Action::PunchHole { at, len }, hole, at, len)
    }

    fn fallocate(
        &self,
        action: Action<'_>,
        flags: FallocateFlags,
        at: u64,
        len: u64,
    ) -> io::Result<bool> {
        let done = self.call(action, || Ok(rustix::fs::fallocate(&self.file, flags, at, len)?));
        match done {
            Ok(()) => Ok(true),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Makes the mapping of the file by `map`.
    pub fn map<T>(&self, map: impl FnMut(&File) -> io::Result<T>) -> io::Result<T> {
        let mut map = map;
        self.call(Action::Map, || map(&self.file))
    }

    fn call<T>(&self, action: Action<'_>, make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        call(Operation { path: &self.path, action }, make)
    }
}

/// Gives a file another name; one that has it is replaced.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    call(Operation { path: from, action: Action::Rename { to } }, || std::fs::rename(from, to))
}

/// Deletes a file.
pub fn remove_file(path: &Path) -> io::Result<()> {
    call(Operation { path, action: Action::Remove }, || std::fs::remove_file(path))
}

/// Makes a directory and those above it, as far as they are not there.
pub fn create_directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), create_directories)?;
    create_directory(path)
}

/// Makes a directory, unless it is there; the one above it is there.
pub fn create_directory(path: &Path) -> io::Result<()> {
    let made =
        call(Operation { path, action: Action::CreateDirectory }, || std::fs::create_dir(path));
    match made {
        // Made by another thread meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// The same, and makes the names durable; also that of a directory which is there, as a kill may
/// have come before its sync.
pub fn create_durable_directories(path: &Path) -> io::Result<()> {
    if !path.is_dir()
        && let Some(parent) = path.parent().filter(|parent| !parent.is_dir())
    {
        create_durable_directories(parent)?;
    }
    create_directories(path)?;
    sync_directory_of(path)
}

/// Deletes a directory and what is in it.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove_directory(&entry.path())?,
            false => remove_file(&entry.path())?,
        }
    }
    call(Operation { path, action: Action::RemoveDirectory }, || std::fs::remove_dir(path))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    call(Operation { path, action: Action::SyncDirectory }, || File::open(path)?.sync_all())
}

/// Makes the names in the directory of `path` durable.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    sync_directory(path.parent().unwrap_or(Path::new("")))
}

/// Puts everything on disk that the file system of `path` has not written yet.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    let action = Action::SyncFileSystem;
    call(Operation { path, action }, || Ok(rustix::fs::syncfs(File::open(path)?)?))
}

/// Makes a call, and again while it is interrupted.
fn call<T>(operation: Operation<'_>, mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match faults::before(&operation).and_then(|_| make()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(value) => {
                faults::after(&operation);
                return Ok(value);
            }
        }
    }
}
