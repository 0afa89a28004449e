//! Who runs on a directory: the `lock` file, and `abort`, which says that a run has not ended.
//!
//! `lock` is held as Java holds it, by an fcntl record lock that covers byte 0, so a Java broker
//! and this store exclude each other. Such locks belong to the process, not to the descriptor:
//! two stores of one process are told apart by a list of what is open.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType};

use crate::OpenError;
use crate::disk_file::{self, DiskFile, sync_directory_of};

/// Device and inode of every lock file this process holds.
static HELD: LazyLock<Mutex<HashSet<(u64, u64)>>> = LazyLock::new(Mutex::default);

/// The lock on a store directory, held until dropped.
#[derive(Debug)]
pub struct LockFile {
    file: DiskFile,
    id: (u64, u64),
}

impl LockFile {
    /// Says who else the lock of `root` belongs to, without taking it.
    pub fn look(root: &Path) -> Result<(), OpenError> {
        let path = root.join("lock");
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(meta) = std::fs::metadata(&path) else { return Ok(()) };
        if held.contains(&(meta.dev(), meta.ino())) {
            return Err(OpenError::Locked { path });
        }
        let io = |action| {
            let path = path.clone();
            move |source| OpenError::Io { path, action, source }
        };
        let file = DiskFile::open_to_read(&path).map_err(io("open"))?;
        let wanted = Flock::from(FlockType::WriteLock);
        match rustix::process::fcntl_getlk(file.as_file(), &wanted) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(OpenError::Locked { path }),
            Err(error) => Err(io("look at the lock of")(error.into())),
        }
    }

    /// Takes the lock of `root`, or says who else it belongs to.
    pub fn take(root: &Path) -> Result<LockFile, OpenError> {
        let path = root.join("lock");
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        // Closing any descriptor of the file would drop the lock held through another one, so
        // the list is asked before the file is opened.
        if let Ok(meta) = std::fs::metadata(&path)
            && held.contains(&(meta.dev(), meta.ino()))
        {
            return Err(OpenError::Locked { path });
        }
        let io = |action| {
            let path = path.clone();
            move |source| OpenError::Io { path, action, source }
        };
        let file = DiskFile::open_or_create(&path).map_err(io("open"))?;
        match rustix::fs::fcntl_lock(file.as_file(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                return Err(OpenError::Locked { path });
            }
            Err(error) => return Err(io("lock")(error.into())),
        }
        let meta = file.as_file().metadata().map_err(io("read"))?;
        if meta.len() < 4 {
            file.write_at(b"lock", 0).map_err(io("write"))?;
        }
        let id = (meta.dev(), meta.ino());
        held.insert(id);
        Ok(LockFile { file, id })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        // Closing the file releases the lock; an explicit release that fails changes nothing.
        let _ = rustix::fs::fcntl_lock(self.file.as_file(), FlockOperation::NonBlockingUnlock);
        held.remove(&self.id);
    }
}

/// The `abort` marker: there while a run has not ended cleanly.
#[derive(Debug)]
pub struct AbortMarker {
    path: PathBuf,
}

impl AbortMarker {
    /// The marker of `root`, present or not.
    pub fn of(root: &Path) -> AbortMarker {
        AbortMarker { path: root.join("abort") }
    }

    /// Whether the last run did not end cleanly.
    pub fn present(&self) -> bool {
        self.path.exists()
    }

    /// Marks a run, durably, with the process id as Java does.
    pub fn set(&self) -> io::Result<()> {
        let file = DiskFile::create_empty(&self.path)?;
        file.write_at(std::process::id().to_string().as_bytes(), 0)?;
        file.sync_all()?;
        sync_directory_of(&self.path)
    }

    /// Marks the end of the run.
    pub fn clear(&self) -> io::Result<()> {
        match disk_file::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => sync_directory_of(&self.path),
        }
    }

    /// Where the marker is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_store_per_directory_in_a_process() {
        let directory = tempfile::tempdir().unwrap();
        let first = LockFile::take(directory.path()).unwrap();
        let error = LockFile::take(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("lock: the store is in use by another process"), "{error}");
        drop(first);
        drop(LockFile::take(directory.path()).unwrap());
        assert_eq!(std::fs::read(directory.path().join("lock")).unwrap(), b"lock");
    }

    const HOLD: &str = "STORE_LOCK_HELD_BY_CHILD";

    /// Runs this very test again as another process, which holds the lock until its input ends.
    #[test]
    fn another_process_is_seen() {
        if let Some(root) = std::env::var_os(HOLD) {
            let _lock = LockFile::take(Path::new(&root)).unwrap();
            println!("held");
            io::stdin().read_line(&mut String::new()).unwrap();
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "lock_file::tests::another_process_is_seen"])
            .env(HOLD, directory.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = io::BufRead::lines(output).map(Result::unwrap);
        assert!(lines.any(|line| line.ends_with("held")));
        assert!(matches!(LockFile::take(directory.path()), Err(OpenError::Locked { .. })));
        drop(child.stdin.take());
        assert!(lines.any(|line| line.contains("1 passed")));
        child.wait().unwrap();
        LockFile::take(directory.path()).unwrap();
    }

    #[test]
    fn the_marker_comes_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let marker = AbortMarker::of(directory.path());
        assert!(!marker.present());
        marker.set().unwrap();
        let text = std::fs::read_to_string(marker.path()).unwrap();
        assert_eq!(text, std::process::id().to_string());
        assert!(marker.present());
        marker.clear().unwrap();
        marker.clear().unwrap();
        assert!(!marker.present());
    }
}
