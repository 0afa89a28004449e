//! The index: from a key to the log positions of its records.

use std::path::PathBuf;

use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::{OpenError, StoreConfig};

/// What the index needs to know of the settings.
#[derive(Clone, Debug)]
pub struct IndexConfig {
    /// Directory of the index files.
    pub dir: PathBuf,
    /// Hash slots of a file.
    pub slots: u32,
    /// Entries of a file (the first is never used).
    pub entries: u32,
}

impl IndexConfig {
    /// The part of the store's settings.
    pub fn of(_config: &StoreConfig) -> IndexConfig {
        todo!()
    }
}

/// The index files of a store. Fed by one thread, asked by many.
pub struct Index {}

#[allow(unused_variables, clippy::todo)]
impl Index {
    /// Loads the headers. After an unclean exit the last file is rebuilt from its entries on the
    /// first write.
    pub fn open(config: IndexConfig, clean: bool) -> Result<Index, OpenError> {
        todo!()
    }
    /// Log positions of records with the key, stored within the times, newest first.
    pub fn query(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin: i64,
        end: i64,
    ) -> Result<Vec<i64>, ViewError> {
        todo!()
    }
    /// Writes what is buffered (to the system, not to disk); call it after each round of
    /// dispatches or every second. Frees the cache when nothing came since the last call.
    pub fn write(&self) -> Result<(), ViewError> {
        todo!()
    }
    /// Writes and syncs everything.
    pub fn flush(&self) -> Result<(), ViewError> {
        todo!()
    }
    /// Last store time of the newest full file: the checkpoint's `indexMsgTimestamp`.
    pub fn full_until(&self) -> i64 {
        todo!()
    }
    /// Deletes files whose records are all before `min_physical_offset`, never the last one.
    pub fn delete_expired(&self, min_physical_offset: i64) -> Result<usize, ViewError> {
        todo!()
    }
    /// Deletes every file (there is no log left).
    pub fn destroy(&self) -> Result<(), ViewError> {
        todo!()
    }
}

/// `position` is where a replay has to start: the last record indexed (0 when none is); that record
/// may be given again.
#[allow(unused_variables, clippy::todo)]
impl Dispatch for Index {
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        todo!()
    }
    fn position(&self) -> i64 {
        todo!()
    }
    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError> {
        todo!()
    }
}
