//! One index file: insert, look up, rebuild, cut.
//!
//! Entries are buffered and written in a row, then the header: its entry count never runs ahead of
//! the entries. The slots stay in memory until the file is full, idle or flushed. After a kill they
//! are computed again from the entries, which carry everything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{ENTRY_LEN, Entry, HEADER_LEN, Header, Shape};
use super::slots::{Slots, read_slot};
use crate::disk_file::{self, DiskFile};
use crate::dispatch::ViewError;
use crate::faults::{self, Point};

/// The entry buffer is written when it has grown to this.
const BUFFER_MAX: usize = 64 * 1024;

/// Entries read at a time while rebuilding.
const REBUILD_STEP: u32 = 4096;

/// What to look for in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) hash: i32,
    pub(super) begin: i64,
    pub(super) end: i64,
    pub(super) max: usize,
}

/// A file that is full: only read.
#[derive(Clone, Debug)]
pub(super) struct SealedFile {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) shape: Shape,
}

impl SealedFile {
    /// Adds the offsets of hits to `found`, newest first.
    pub(super) fn find(&self, wanted: &Wanted, found: &mut Vec<i64>) -> Result<(), ViewError> {
        let mut look_up = || {
            let file = DiskFile::open_to_read(&self.path)?;
            let newest = read_slot(&file, self.shape, self.shape.slot_of(wanted.hash))?;
            let entry = |number| read_entry(&file, self.shape, number);
            walk(&self.header, newest, wanted, found, entry)
        };
        match look_up() {
            // Deleted meanwhile, as expired.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| ViewError::io(&self.path, "read", source)),
        }
    }
}

/// The file that takes new entries.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: Arc<DiskFile>,
    shape: Shape,
    pub(super) header: Header,
    slots: Slots,
    /// Entries from `buffer_from` on that are not written.
    buffer: Vec<u8>,
    buffer_from: u32,
    changed: bool,
}

impl OpenFile {
    /// Makes a file that continues after `previous`.
    pub(super) fn create(
        path: &Path,
        shape: Shape,
        previous: Option<&Header>,
    ) -> Result<OpenFile, ViewError> {
        let file = DiskFile::create_new(path);
        let file = file.map_err(|source| ViewError::io(path, "create", source))?;
        file.set_len(shape.file_len()).map_err(|source| {
            // A file of another length would stop the next start.
            let _ = disk_file::remove_file(path);
            ViewError::io(path, "extend", source)
        })?;
        // Disk: until its first entry a new file goes on where the former one ended.
        let (timestamp, offset) =
            previous.map_or((0, 0), |header| (header.end_timestamp, header.end_physical_offset));
        let header = Header {
            begin_timestamp: timestamp,
            end_timestamp: timestamp,
            begin_physical_offset: offset,
            end_physical_offset: offset,
            used_slots: 0,
            next_entry: 1,
        };
        Ok(OpenFile::new(file, shape, header))
    }

    pub(super) fn open(sealed: SealedFile) -> Result<OpenFile, ViewError> {
        let SealedFile { path, header, shape } = sealed;
        let file = DiskFile::open(&path).map_err(|source| ViewError::io(&path, "open", source))?;
        Ok(OpenFile::new(file, shape, header))
    }

    fn new(file: DiskFile, shape: Shape, header: Header) -> OpenFile {
        OpenFile {
            file: Arc::new(file),
            shape,
            header,
            slots: Slots::new(shape),
            buffer: Vec::new(),
            buffer_from: header.next_entry,
            changed: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn file(&self) -> Arc<DiskFile> {
        self.file.clone()
    }

    pub(super) fn is_full(&self) -> bool {
        self.header.next_entry >= self.shape.entries
    }

    /// The file as one that is only read; write it first.
    pub(super) fn sealed(&self) -> SealedFile {
        SealedFile { path: self.path().to_owned(), header: self.header, shape: self.shape }
    }

    /// Brings the slots of so many hashes into the cache and nearer to the processor.
    pub(super) fn bring_slots(
        &mut self,
        hashes: impl Iterator<Item = i32>,
    ) -> Result<(), ViewError> {
        let brought = hashes
            .map(|hash| self.slots.load(&self.file, self.shape.slot_of(hash)))
            .try_fold(0, |all, slot| slot.map(|slot| all ^ slot));
        // The loads do not wait for each other; without a use they would not be made at all.
        brought
            .map(|all| _ = std::hint::black_box(all))
            .map_err(|source| ViewError::io(self.path(), "read", source))
    }

    /// Adds an entry, unless the record already has it: the last record may be given again.
    pub(super) fn insert(
        &mut self,
        hash: i32,
        physical_offset: i64,
        store_timestamp: i64,
    ) -> Result<(), ViewError> {
        let inserted = self.try_insert(hash, physical_offset, store_timestamp);
        inserted.map_err(|source| ViewError::io(self.path(), "write", source))
    }

    fn try_insert(&mut self, hash: i32, physical_offset: i64, timestamp: i64) -> io::Result<()> {
        let slot = self.shape.slot_of(hash);
        let value = self.slots.load(&self.file, slot)?;
        let number = self.header.next_entry;
        let newest = valid(value, number);
        if physical_offset == self.header.end_physical_offset
            && self.has(newest, hash, physical_offset)?
        {
            return Ok(());
        }
        let header = &mut self.header;
        let seconds = if header.begin_timestamp > 0 {
            ((timestamp - header.begin_timestamp) / 1000).clamp(0, i64::from(i32::MAX))
        } else {
            0
        };
        let previous = newest.map_or(0, u32::cast_signed);
        let entry = Entry { hash, physical_offset, seconds: seconds as i32, previous };
        if header.is_empty() {
            header.begin_physical_offset = physical_offset;
            header.begin_timestamp = timestamp;
        }
        header.used_slots += i32::from(newest.is_none());
        header.next_entry += 1;
        header.end_physical_offset = physical_offset;
        header.end_timestamp = timestamp;
        self.slots.set(slot, number.cast_signed());
        self.buffer.extend_from_slice(&entry.encode());
        self.changed = true;
        if self.buffer.len() >= BUFFER_MAX {
            self.write_entries()?;
        }
        Ok(())
    }

    /// Whether the newest entries of a chain hold this very key and record.
    fn has(&self, newest: Option<u32>, hash: i32, physical_offset: i64) -> io::Result<bool> {
        let mut at = newest;
        while let Some(number) = at {
            let entry = self.entry(number)?;
            if entry.physical_offset != physical_offset {
                return Ok(false);
            }
            if entry.hash == hash {
                return Ok(true);
            }
            at = entry.previous_of(number);
        }
        Ok(false)
    }

    /// Adds the offsets of hits to `found`, newest first.
    pub(super) fn find(&self, wanted: &Wanted, found: &mut Vec<i64>) -> Result<(), ViewError> {
        self.slots
            .peek(&self.file, self.shape.slot_of(wanted.hash))
            .and_then(|newest| {
                walk(&self.header, newest, wanted, found, |number| self.entry(number))
            })
            .map_err(|source| ViewError::io(self.path(), "read", source))
    }

    fn entry(&self, number: u32) -> io::Result<Entry> {
        let Some(at) = number.checked_sub(self.buffer_from) else {
            return read_entry(&self.file, self.shape, number);
        };
        let bytes = self.buffer.get(at as usize * ENTRY_LEN..).and_then(<[u8]>::first_chunk);
        bytes.map(Entry::decode).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Writes entries and header to the system. Returns whether there was anything.
    pub(super) fn write(&mut self) -> Result<bool, ViewError> {
        if !self.changed {
            return Ok(false);
        }
        self.write_entries()
            .inspect(|()| faults::pass(Point::EntriesWritten))
            .and_then(|()| self.file.write_at(&self.header.encode(), 0))
            .map_err(|source| ViewError::io(self.path(), "write", source))?;
        self.changed = false;
        Ok(true)
    }

    /// Writes everything to the system: then the file can be used without this cache.
    pub(super) fn write_all(&mut self) -> Result<(), ViewError> {
        self.slots
            .write(&self.file)
            .map_err(|source| ViewError::io(self.path(), "write", source))?;
        self.write().map(|_| ())
    }

    fn write_entries(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.shape.entry_at(self.buffer_from))?;
        self.buffer.clear();
        self.buffer_from = self.header.next_entry;
        Ok(())
    }

    /// Writes everything and frees the cache.
    pub(super) fn free(&mut self) -> Result<(), ViewError> {
        self.write_all()?;
        self.slots.free();
        self.buffer = Vec::new();
        Ok(())
    }

    /// Whether the header may be older or newer than the entries: a power failure writes pages in
    /// any order.
    pub(super) fn lacks_entries(&self) -> Result<bool, ViewError> {
        let last = self.header.next_entry - 1;
        let entry = read_entry(&self.file, self.shape, last)
            .map_err(|source| ViewError::io(self.path(), "read", source))?;
        Ok(last > 0 && entry.physical_offset != self.header.end_physical_offset)
    }

    /// Computes the slots from the entries, up to the first entry that cannot be one.
    pub(super) fn rebuild(&mut self) -> Result<(), ViewError> {
        self.try_rebuild().map_err(|source| ViewError::io(self.path(), "read", source))?;
        self.changed = true;
        self.write_all()
    }

    fn try_rebuild(&mut self) -> io::Result<()> {
        let mut slots = Slots::zeroed(self.shape);
        let mut last: Option<Entry> = None;
        let mut number = 1;
        let mut used_slots = 0;
        let mut bytes = vec![0; REBUILD_STEP as usize * ENTRY_LEN];
        'entries: while number < self.header.next_entry {
            let count = REBUILD_STEP.min(self.header.next_entry - number);
            let bytes = &mut bytes[..count as usize * ENTRY_LEN];
            self.file.read_at(bytes, self.shape.entry_at(number))?;
            for bytes in bytes.as_chunks().0 {
                let entry = Entry::decode(bytes);
                if !follows(&entry, last.as_ref(), number) {
                    break 'entries;
                }
                let slot = self.shape.slot_of(entry.hash);
                used_slots += i32::from(slots.load(&self.file, slot)? == 0);
                slots.set(slot, number.cast_signed());
                last = Some(entry);
                number += 1;
            }
        }
        self.slots = slots;
        self.header.used_slots = used_slots;
        if number != self.header.next_entry {
            self.end_with(number, last.as_ref());
        }
        Ok(())
    }

    /// Forgets the entries of records at and behind a log position, newest first.
    pub(super) fn truncate_to(&mut self, physical_offset: i64) -> Result<(), ViewError> {
        self.try_truncate(physical_offset)
            .map_err(|source| ViewError::io(self.path(), "truncate", source))?;
        self.write_all()
    }

    fn try_truncate(&mut self, physical_offset: i64) -> io::Result<()> {
        self.write_entries()?;
        let mut number = self.header.next_entry;
        let mut last = None;
        while number > 1 {
            let entry = self.entry(number - 1)?;
            if entry.physical_offset < physical_offset {
                last = Some(entry);
                break;
            }
            number -= 1;
            let slot = self.shape.slot_of(entry.hash);
            if self.slots.load(&self.file, slot)? == number.cast_signed() {
                let previous = entry.previous_of(number).map_or(0, u32::cast_signed);
                self.slots.set(slot, previous);
                self.header.used_slots -= i32::from(previous == 0);
            }
        }
        if number != self.header.next_entry {
            self.end_with(number, last.as_ref());
            self.changed = true;
        }
        Ok(())
    }

    fn end_with(&mut self, next_entry: u32, last: Option<&Entry>) {
        self.header.next_entry = next_entry;
        self.buffer_from = next_entry;
        self.header.end_physical_offset = last.map_or(0, |entry| entry.physical_offset);
        self.header.end_timestamp = last.map_or(0, |entry| self.header.time_of(entry));
    }
}

/// Whether an entry can be number `number` after `last`: records are indexed in log order.
pub(super) fn follows(entry: &Entry, last: Option<&Entry>, number: u32) -> bool {
    let in_order = last.is_none_or(|last| last.physical_offset <= entry.physical_offset);
    let previous = u32::try_from(entry.previous).is_ok_and(|previous| previous < number);
    in_order && previous && entry.hash >= 0 && entry.physical_offset >= 0 && entry.seconds >= 0
}

/// The newest entry of a slot; Java takes a value beyond the entries for none.
fn valid(slot: i32, next_entry: u32) -> Option<u32> {
    u32::try_from(slot).ok().filter(|number| *number > 0 && *number < next_entry)
}

fn read_entry(file: &DiskFile, shape: Shape, number: u32) -> io::Result<Entry> {
    let mut bytes = [0; ENTRY_LEN];
    file.read_at(&mut bytes, shape.entry_at(number))?;
    Ok(Entry::decode(&bytes))
}

/// Follows a chain from its newest entry. It gets shorter with every step, so it ends.
fn walk(
    header: &Header,
    newest: i32,
    wanted: &Wanted,
    found: &mut Vec<i64>,
    entry: impl Fn(u32) -> io::Result<Entry>,
) -> io::Result<()> {
    let mut at = valid(newest, header.next_entry);
    while let Some(number) = at
        && found.len() < wanted.max
    {
        let entry = entry(number)?;
        let time = header.time_of(&entry);
        let new = found.last() != Some(&entry.physical_offset);
        if entry.hash == wanted.hash && (wanted.begin..=wanted.end).contains(&time) && new {
            found.push(entry.physical_offset);
        }
        at = entry.previous_of(number);
    }
    Ok(())
}

/// Reads the header of a file on disk.
pub(super) fn read_header(path: &Path) -> io::Result<Header> {
    let mut bytes = [0; HEADER_LEN];
    DiskFile::open_to_read(path)?.read_at(&mut bytes, 0)?;
    Ok(Header::decode(&bytes))
}
