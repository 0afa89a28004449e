//! The index: from a key to the log positions of its records.
//!
//! ```text
//! index/20261124152151527   full    20261124160312004   taking entries
//! ```
//!
//! One thread feeds it with records in log order, behind the puts; many ask it. Hashes are all it
//! keeps of keys: whoever asks gets the records of other keys with the same hash, too.

mod file;
mod format;
mod noted;
mod slots;
mod view;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::message::hash;
use time::OffsetDateTime;
use time::macros::format_description;

use self::file::{OpenFile, SealedFile, Wanted};
use self::format::{Header, Shape};
pub(crate) use self::noted::{Key, Noted, Notes, hashes_of};
pub use self::view::{IndexView, read_index};
use crate::disk_file::{create_durable_directories, remove_file, sync_directory};
use crate::dispatch::{Dispatch, DispatchRequest, ViewError};
use crate::properties::StoreProperties;
use crate::{OpenError, StoreConfig};

/// Keys whose slots are asked for at a time.
const KEYS_TOGETHER: usize = 32;
/// The cache goes after so many writes that found nothing to write.
const IDLE_WRITES_MAX: u32 = 10;

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
    pub fn of(config: &StoreConfig) -> IndexConfig {
        IndexConfig {
            dir: config.root().join("index"),
            slots: config.max_hash_slot_num.max(1).cast_unsigned(),
            entries: config.max_index_num.max(2).cast_unsigned(),
        }
    }
}

/// The index files of a store. Fed by one thread, asked by many.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    shape: Shape,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Full files, by name.
    sealed: Vec<SealedFile>,
    open: Option<OpenFile>,
    /// The open file's slots may not fit its entries.
    suspect: bool,
    /// Last store time of the newest full file that is on disk.
    full_until: i64,
    /// A sync has failed: what is on disk is not known until a start has looked.
    sync_failed: bool,
    idle_writes: u32,
}

impl Index {
    /// Loads the headers. After an unclean exit (`clean` false) the slots of the last file are
    /// computed again when it is first needed, which may mean reading hundreds of megabytes.
    pub fn open(config: IndexConfig, clean: bool) -> Result<Index, OpenError> {
        let shape = Shape { slots: config.slots, entries: config.entries };
        let mut state = State { sealed: list(&config.dir, shape, clean)?, ..State::default() };
        // A full file, too, may have reached the disk without its slots.
        let unfinished = |last: &mut SealedFile| !clean || last.header.next_entry < shape.entries;
        if let Some(last) = state.sealed.pop_if(unfinished) {
            let unopened = |error| OpenError::view(&config.dir, error);
            let mut last = OpenFile::open(last).map_err(unopened)?;
            state.suspect = !clean && !last.header.is_empty();
            if state.suspect && last.lacks_entries().map_err(unopened)? {
                last.rebuild().map_err(unopened)?;
                state.suspect = false;
            }
            state.open = Some(last);
        }
        state.full_until = state.sealed.last().map_or(0, |full| full.header.end_timestamp);
        Ok(Index { dir: config.dir, shape, state: Mutex::new(state) })
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
        let wanted = Wanted { hash: hash::index_hash_of(topic, key), begin, end, max };
        let mut found = Vec::new();
        let sealed = {
            let mut state = self.lock();
            state.recover()?;
            if let Some(open) = &state.open
                && !open.header.is_empty()
            {
                if open.header.overlaps(begin, end) {
                    open.find(&wanted, &mut found)?;
                }
                if open.header.begin_timestamp < begin {
                    return Ok(found);
                }
            }
            state.sealed.clone()
        };
        for full in sealed.iter().rev() {
            if found.len() >= max {
                break;
            }
            if full.header.overlaps(begin, end) {
                full.find(&wanted, &mut found)?;
            }
            if full.header.begin_timestamp < begin {
                break;
            }
        }
        Ok(found)
    }

    /// Finds out what of the open file a crash has left, if that is not known yet; true if it was
    /// not. Only then `position` is what the file holds.
    pub fn settle(&self) -> Result<bool, ViewError> {
        let mut state = self.lock();
        let suspect = state.suspect;
        state.recover()?;
        Ok(suspect)
    }

    /// Writes what is buffered (to the system, not to disk). Meant for several times a second, also
    /// when nothing came: the cache is written and freed after a while without entries.
    pub fn write(&self) -> Result<(), ViewError> {
        let mut state = self.lock();
        let Some(open) = &mut state.open else { return Ok(()) };
        if open.write()? {
            state.idle_writes = 0;
            return Ok(());
        }
        state.idle_writes = state.idle_writes.saturating_add(1);
        if state.idle_writes == IDLE_WRITES_MAX
            && let Some(open) = &mut state.open
        {
            open.free()?;
        }
        Ok(())
    }

    /// Writes and syncs everything.
    pub fn flush(&self) -> Result<(), ViewError> {
        let unsynced = {
            let mut state = self.lock();
            state.recover()?;
            if state.sync_failed {
                let failed = io::Error::other("a sync had failed before");
                return Err(ViewError::io(&self.dir, "sync", failed));
            }
            match &mut state.open {
                Some(open) => {
                    open.write_all()?;
                    Some((open.file(), open.path().to_owned()))
                }
                None => None,
            }
        };
        if let Some((file, path)) = unsynced {
            file.sync_data().map_err(|source| ViewError::io(&path, "sync", source))?;
        }
        Ok(())
    }

    /// Last store time of the newest full file: the checkpoint's `indexMsgTimestamp`.
    pub fn full_until(&self) -> i64 {
        self.lock().full_until
    }

    /// Deletes files whose records are all before `min_physical_offset`, never the last one.
    /// Returns the number of files.
    pub fn delete_expired(&self, min_physical_offset: i64) -> Result<usize, ViewError> {
        let mut state = self.lock();
        let keep_last = usize::from(state.open.is_none());
        let mut deleted = 0;
        while state.sealed.len() > keep_last
            && state.sealed[0].header.end_physical_offset < min_physical_offset
        {
            remove(&state.sealed[0].path)?;
            state.sealed.remove(0);
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Deletes every file (there is no log left).
    pub fn destroy(&self) -> Result<(), ViewError> {
        let mut state = self.lock();
        if let Some(open) = state.open.take() {
            remove(open.path())?;
        }
        for full in &state.sealed {
            remove(&full.path)?;
        }
        *state = State::default();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the feeding thread stops the store; readers may go on until then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds keys in log order, or ignores those it has. Cheaper than one after the other: their
    /// slots are all over the memory, and it is asked for several of them at a time.
    pub(crate) fn add(&self, keys: &[Key]) -> Result<(), ViewError> {
        let mut state = self.lock();
        state.recover()?;
        let position = state.position();
        let known = keys.partition_point(|key| key.physical_offset < position);
        for keys in keys[known..].chunks(KEYS_TOGETHER) {
            if let Some(open) = &mut state.open {
                open.bring_slots(keys.iter().map(|key| key.hash))?;
            }
            for key in keys {
                if state.open.as_ref().is_none_or(OpenFile::is_full) {
                    drop(state);
                    self.roll()?;
                    state = self.lock();
                }
                if let Some(open) = &mut state.open {
                    open.insert(key.hash, key.physical_offset, key.store_timestamp)?;
                }
            }
        }
        Ok(())
    }

    /// Puts a full file on disk and starts the next one. Readers need not wait for the disk.
    fn roll(&self) -> Result<(), ViewError> {
        let full = {
            let mut state = self.lock();
            // Written first: what cannot be written now stays open and is tried again.
            if let Some(open) = state.open.as_mut().filter(|open| open.is_full()) {
                open.write_all()?;
            }
            let full = state.open.take_if(|open| open.is_full());
            state.sealed.extend(full.as_ref().map(OpenFile::sealed));
            full
        };
        if let Some(full) = full {
            let synced = full.file().sync_data();
            let mut state = self.lock();
            if let Err(source) = synced {
                let error = ViewError::io(full.path(), "sync", source);
                state.sync_failed = true;
                // Tried again by the next key.
                state.sealed.pop();
                state.open = Some(full);
                return Err(error);
            }
            state.full_until = full.header.end_timestamp;
        }
        let mut state = self.lock();
        if state.open.is_none() {
            create_durable_directories(&self.dir)
                .map_err(|source| ViewError::io(&self.dir, "create", source))?;
            let last = state.sealed.last();
            let path = self.dir.join(next_name(last.map(|full| full.path.as_path())));
            let header = last.map(|full| full.header);
            state.open = Some(OpenFile::create(&path, self.shape, header.as_ref())?);
            if let Err(source) = sync_directory(&self.dir) {
                state.sync_failed = true;
                return Err(ViewError::io(&self.dir, "sync", source));
            }
        }
        Ok(())
    }
}

/// `position` is where a replay has to start: the last record indexed (0 when none is); that record
/// may be given again.
impl Dispatch for Index {
    fn dispatch(&self, request: &DispatchRequest<'_>) -> Result<(), ViewError> {
        let seen = StoreProperties::of(request.properties);
        let key = |hash| Key {
            hash,
            physical_offset: request.physical_offset,
            store_timestamp: request.store_timestamp,
        };
        let keys = hashes_of(request.topic, request.sys_flag, &seen).map(key);
        self.add(&keys.collect::<Vec<_>>())
    }

    fn position(&self) -> i64 {
        self.lock().position()
    }

    /// On disk when it returns: were the entries back after a crash, they would pass for those of
    /// the records that have taken the place since.
    fn truncate_to(&self, physical_offset: i64) -> Result<(), ViewError> {
        let mut state = self.lock();
        let mut removed = false;
        while state.position() >= physical_offset {
            state.recover()?;
            if state.open.is_none() {
                let Some(last) = state.sealed.pop() else { break };
                state.open = Some(OpenFile::open(last)?);
            }
            let Some(open) = &mut state.open else { break };
            open.truncate_to(physical_offset)?;
            if !open.header.is_empty() {
                let synced = open.file().sync_data();
                synced.map_err(|source| ViewError::io(open.path(), "sync", source))?;
                break;
            }
            remove(open.path())?;
            removed = true;
            state.open = None;
            state.full_until = state.sealed.last().map_or(0, |full| full.header.end_timestamp);
        }
        if removed {
            let synced = sync_directory(&self.dir);
            synced.map_err(|source| ViewError::io(&self.dir, "sync", source))?;
        }
        Ok(())
    }
}

impl State {
    fn position(&self) -> i64 {
        let open = self.open.as_ref().map(|open| &open.header).filter(|header| !header.is_empty());
        let last: Option<&Header> = open.or_else(|| self.sealed.last().map(|full| &full.header));
        last.map_or(0, |header| header.end_physical_offset)
    }

    fn recover(&mut self) -> Result<(), ViewError> {
        if let Some(open) = self.open.as_mut().filter(|_| self.suspect) {
            open.rebuild()?;
        }
        self.suspect = false;
        Ok(())
    }
}

/// The files of the directory by name, as if all were full. After an unclean exit (`clean` false)
/// a file that is empty, as its length is lost, ends the index: what follows is made again.
fn list(dir: &Path, shape: Shape, clean: bool) -> Result<Vec<SealedFile>, OpenError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| OpenError::io(dir, "list", source))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| OpenError::io(dir, "list", source))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let named = name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if path.is_dir() {
            if named {
                return Err(OpenError::directory(path));
            }
            continue;
        }
        if !named {
            return Err(OpenError::Damaged {
                path,
                offset: 0,
                expected: "an index file, whose name is the time it was made at".to_owned(),
                got: "a foreign file".to_owned(),
            });
        }
        files.push(path);
    }
    files.sort();
    let mut sealed = Vec::new();
    let last = files.len().saturating_sub(1);
    for (at, path) in files.iter().enumerate() {
        let look = |source| OpenError::io(path, "read", source);
        let len = fs::metadata(path).map_err(look)?.len();
        if len == 0 && (at == last || !clean) {
            for path in files[at..].iter().rev() {
                remove_file(path).map_err(|source| OpenError::io(path, "delete", source))?;
            }
            break;
        }
        let damaged = |offset, expected: String, got: String| OpenError::Damaged {
            path: path.clone(),
            offset,
            expected,
            got,
        };
        if len != shape.file_len() {
            let expected = format!(
                "an index file of {} bytes, as maxHashSlotNum and maxIndexNum say",
                shape.file_len()
            );
            return Err(damaged(len, expected, format!("{len} bytes")));
        }
        let header = file::read_header(path).map_err(look)?;
        if header.next_entry > shape.entries {
            let expected = format!("at most {} entries", shape.entries);
            return Err(damaged(36, expected, header.next_entry.to_string()));
        }
        sealed.push(SealedFile { path: path.clone(), header, shape });
    }
    Ok(sealed)
}

/// A name later than `last`, whatever the clock and the time zone do.
fn next_name(last: Option<&Path>) -> String {
    let now =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(runtime::clock::now_ms()) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Disk: Java names files by local time.
    let offset = time::UtcOffset::local_offset_at(now).unwrap_or(time::UtcOffset::UTC);
    let format =
        format_description!("[year][month][day][hour][minute][second][subsecond digits:3]");
    let now = now.to_offset(offset).format(&format).unwrap_or_default();
    let now: i64 = now.parse().unwrap_or(0);
    let last = last.and_then(|last| last.file_name()?.to_str()?.parse::<i64>().ok()).unwrap_or(0);
    format!("{:017}", now.max(last + 1))
}

fn remove(path: &Path) -> Result<(), ViewError> {
    match remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ViewError::io(path, "delete", source))
        }
        _ => Ok(()),
    }
}
