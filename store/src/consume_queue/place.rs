//! Where the files of a queue are, and how they are opened, made and deleted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::QueueKind;
use super::handles::Handles;
use crate::disk_file::{
    self, DiskFile, create_directories, create_directory, create_durable_directories,
    sync_directory,
};
use crate::dispatch::ViewError;

/// The disk as the queues of one kind see it.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) kind: QueueKind,
    /// Directory of the topics.
    pub(super) root: PathBuf,
    /// Length of each file, a multiple of the unit length.
    pub(super) file_size: i64,
    pub(super) handles: Arc<Handles>,
    /// Held while the files of queues that are gone are deleted: none is made meanwhile, as it
    /// may have the name of one of them.
    pub(super) deleting: Arc<Mutex<()>>,
    /// Nothing is changed: files are opened for reading, and none is deleted.
    pub(super) view: bool,
}

/// One queue's share of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) disk: &'a Disk,
    pub(super) topic: &'a str,
    pub(super) id: i32,
    /// Number of the queue among the open files.
    pub(super) number: u64,
}

impl Place<'_> {
    pub(super) fn dir(&self) -> PathBuf {
        self.disk.root.join(self.topic).join(self.id.to_string())
    }

    pub(super) fn path(&self, start: i64) -> PathBuf {
        self.dir().join(format!("{start:020}"))
    }

    /// Start of the file that holds a position.
    pub(super) fn start_of(&self, position: i64) -> i64 {
        position - position % self.disk.file_size
    }

    pub(super) fn unit_len(&self) -> i64 {
        self.disk.kind.unit_len() as i64
    }

    pub(super) fn open(&self, start: i64) -> Result<Arc<DiskFile>, ViewError> {
        let key = (self.number, start);
        if let Some(file) = self.disk.handles.find(key) {
            return Ok(file);
        }
        let path = self.path(start);
        let file = match self.disk.view {
            true => DiskFile::open_to_read(&path),
            false => DiskFile::open(&path),
        };
        let file = Arc::new(file.map_err(|source| ViewError::io(&path, "open", source))?);
        self.disk.handles.keep(key, file.clone());
        Ok(file)
    }

    /// Makes a file that holds `units` at `at` and zeros elsewhere.
    pub(super) fn create(&self, start: i64, at: u64, units: &[u8]) -> Result<(), ViewError> {
        let path = self.path(start);
        let dir = self.dir();
        let _apart = self.disk.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        self.create_dir(&dir).map_err(|source| ViewError::io(&dir, "create", source))?;
        let file =
            DiskFile::create_new(&path).map_err(|source| ViewError::io(&path, "create", source))?;
        let length = file.set_len(self.disk.file_size as u64);
        let written = length.and_then(|()| file.write_at(units, at));
        if let Err(source) = written {
            // An empty file must not stay: Java takes it for a unit. If this fails too, opening
            // the store deletes it.
            let _ = disk_file::remove_file(&path);
            return Err(ViewError::io(&path, "write", source));
        }
        self.disk.handles.keep((self.number, start), Arc::new(file));
        Ok(())
    }

    /// Makes the queue's directory, and those above it where they are not there.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match create_directory(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            made => return made,
        }
        // That of batch queues comes with the first; no sync of a queue covers its name.
        if !self.disk.root.is_dir() {
            create_durable_directories(&self.disk.root)?;
        }
        create_directories(dir)
    }

    pub(super) fn remove(&self, start: i64) -> Result<(), ViewError> {
        if self.disk.view {
            return Ok(());
        }
        self.disk.handles.forget((self.number, start));
        let path = self.path(start);
        match disk_file::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ViewError::io(&path, "delete", source))
            }
            _ => Ok(()),
        }
    }

    /// Makes the directory entries of the queue durable.
    pub(super) fn sync_dirs(&self) -> Result<(), ViewError> {
        let dir = self.dir();
        for dir in dir.ancestors().take(3) {
            sync_directory(dir).map_err(|source| ViewError::io(dir, "sync", source))?;
        }
        Ok(())
    }
}
