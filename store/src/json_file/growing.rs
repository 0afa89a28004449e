//! A JSON file that grows where it stands: entries are added to its table without writing the rest
//! again.
//!
//! ```text
//! {                                        head: all entries there were, written at once
//!   "table":{
//!     "A":{..},
//!     "B":{..}                             spaces up to a sector
//! ,"C":{..}                                entries added later, none across a sector's end
//! ,"D":{..}                                spaces: room for more
//!   },
//!   "dataVersion":{..}                     tail: one sector of its own, written again each time
//! }
//! ```
//!
//! Room and tail are there before the first entry is added, so an addition changes neither the
//! length nor the blocks of the file. An entry never crosses a sector, and starts with its comma.
//! So each sector, old or new, leaves whole JSON: whatever mix of both a kill or a power cut
//! leaves, any reader takes the file, and finds all entries of additions that were synced.
//!
//! Damage that this cannot cause (a cut file, zeros) is mended on loading if it is behind the
//! head: every entry there stands on a line of its sector and is kept if it is whole. Damage in
//! the head is left to `.bak`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Former, JsonFile, JsonFileError, replace, to_pretty};
use crate::disk_file::DiskFile;
use crate::faults::{self, Point};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Room of a small file in bytes.
const ROOM_MIN: usize = 64 * 1024;
/// What stands before an added entry. No head has it: within a value JSON has no bare line feed,
/// and before a comma neither we nor the Java broker write one.
const BEFORE_ADDED: &[u8] = b"\n,";

/// A file that grows; only one may be open for a path.
#[derive(Debug)]
pub struct GrowingFile {
    path: PathBuf,
    /// None before the first save, and after one without room.
    room: Option<Room>,
    /// What stands at `path` may be torn, as an addition has failed: no `.bak` is made of it.
    suspect: bool,
}

#[derive(Debug)]
struct Room {
    file: DiskFile,
    /// Where the next entry may stand.
    next: usize,
    /// Where the tail stands.
    tail: usize,
}

impl GrowingFile {
    /// A file that will be saved at `path`; whatever stands there is not looked at.
    pub fn new(path: &Path) -> GrowingFile {
        GrowingFile { path: path.to_owned(), room: None, suspect: false }
    }

    /// Loads a file like [`JsonFile::load`]; of one that is damaged behind its head, what is whole.
    ///
    /// # Errors
    /// Neither the file nor its former generation can be read.
    pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JsonFileError> {
        JsonFile::load_or_mend(path, mend)
    }

    /// Says why a load would fail; changes nothing.
    ///
    /// # Errors
    /// What a load would return.
    pub fn loadable<T: DeserializeOwned>(path: &Path) -> Result<(), JsonFileError> {
        JsonFile::loadable_or_mendable::<T>(path, mend)
    }

    /// Whether the file has room for entries.
    pub fn has_room(&self) -> bool {
        self.room.is_some()
    }

    /// Writes the whole file, as [`JsonFile::save`] does. `head` is an object whose last member is
    /// the table, `tail` one of those that stand behind it. An empty table gets no room.
    ///
    /// # Errors
    /// What the disk said; the former file or its `.bak` is there.
    pub fn save(
        &mut self,
        head: &impl Serialize,
        tail: &impl Serialize,
        room: bool,
    ) -> Result<(), JsonFileError> {
        let mut bytes = self.encoded(to_pretty(head))?;
        let tail = self.tail(tail)?;
        // The tail closes both objects.
        for _ in ["table", "head"] {
            let closing = bytes.iter().rposition(|byte| *byte == b'}').unwrap_or(0);
            bytes.truncate(bytes[..closing].trim_ascii_end().len());
        }
        let room = room && tail.len() <= SECTOR && !bytes.ends_with(b"{");
        let next = bytes.len().next_multiple_of(SECTOR);
        // In proportion, so that a file of any length is seldom written as a whole.
        let end = next + (next / 2).max(ROOM_MIN).next_multiple_of(SECTOR);
        if room {
            bytes.resize(end, b' ');
        }
        bytes.extend_from_slice(&tail);
        if room {
            bytes.resize(end + SECTOR, b' ');
        }
        self.room = None;
        replace(&self.path, &bytes, if self.suspect { Former::Gone } else { Former::Bak })?;
        self.suspect = false;
        // Not opened: the next save is a whole one, too.
        let file = room.then(|| DiskFile::open(&self.path).ok()).flatten();
        self.room = file.map(|file| Room { file, next, tail: end });
        Ok(())
    }

    /// Adds entries that are not in the table, and puts another tail in its place, durably.
    ///
    /// False when there is no room, and nothing was changed: the caller saves the whole file.
    ///
    /// # Errors
    /// What the disk said. What was added is then there or not, entry by entry, and the next save
    /// must be a whole one: there is no room any more.
    pub fn add<'e, E: Serialize + 'e>(
        &mut self,
        entries: impl Iterator<Item = (&'e str, &'e E)>,
        tail: &impl Serialize,
    ) -> Result<bool, JsonFileError> {
        let Some(mut room) = self.room.take() else { return Ok(false) };
        let entries = entries.map(|(key, value)| {
            let (key, value) = (serde_json::to_vec(key)?, serde_json::to_vec(value)?);
            Ok([BEFORE_ADDED, &key, b":", &value].concat())
        });
        let entries = self.encoded(entries.collect::<io::Result<Vec<_>>>())?;
        let tail = self.tail(tail)?;
        let Some(added) = room.place(&entries).filter(|_| tail.len() <= SECTOR) else {
            return Ok(false);
        };
        self.suspect = true;
        room.write(&added, &tail).map_err(|source| JsonFileError::io(&self.path, "add", source))?;
        self.suspect = false;
        room.next += added.len();
        self.room = Some(room);
        Ok(true)
    }

    /// What closes the table, has the members of an object behind it, and closes the file.
    fn tail(&self, members: &impl Serialize) -> Result<Vec<u8>, JsonFileError> {
        let members = serde_json::to_vec(members).map_err(io::Error::from);
        let members = self.encoded(members)?;
        let members = members.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
        Ok([b"\n\t},\n\t", members.unwrap_or_default(), b"\n}"].concat())
    }

    fn encoded<T>(&self, encoded: io::Result<T>) -> Result<T, JsonFileError> {
        encoded.map_err(|source| JsonFileError::io(&self.path, "encode", source))
    }
}

impl Room {
    /// The bytes from `next` on that hold the entries; `None` where they do not fit.
    fn place(&self, entries: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(entries.len() * SECTOR);
        for entry in entries {
            if entry.len() > SECTOR {
                return None;
            }
            let left = SECTOR - (self.next + bytes.len()) % SECTOR;
            if entry.len() > left {
                bytes.resize(bytes.len() + left, b' ');
            }
            bytes.extend_from_slice(entry);
        }
        (self.next + bytes.len() <= self.tail).then_some(bytes)
    }

    fn write(&self, added: &[u8], tail: &[u8]) -> io::Result<()> {
        let mut sector = [b' '; SECTOR];
        sector[..tail.len()].copy_from_slice(tail);
        self.file.write_at(added, self.next as u64)?;
        self.file.write_at(&sector, self.tail as u64)?;
        faults::pass(Point::JsonAdded);
        self.file.sync_data()
    }
}

/// What is whole of a file that is damaged behind its head; `None` where the head is, or where
/// nothing was added.
fn mend(damaged: &[u8]) -> Option<Vec<u8>> {
    let (head, behind) = damaged.split_at(room_of(damaged)?);
    let mut whole = head[..blank_end(head)].to_vec();
    let is_whole = |whole: &[u8], closing: &[u8]| {
        serde_json::from_slice::<IgnoredAny>(&[whole, closing].concat()).is_ok()
    };
    if !is_whole(&whole, b"}}") {
        return None;
    }
    let lines = behind.chunks(SECTOR).flat_map(|sector| sector.split(|byte| *byte == b'\n'));
    for line in lines {
        let line = &line[..blank_end(line)];
        let Some(entry) = line.strip_prefix(b",") else { continue };
        let alone = [b"{", entry, b"}"].concat();
        let members = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&alone);
        if members.is_ok_and(|members| members.len() == 1) {
            whole.push(b'\n');
            whole.extend_from_slice(line);
        }
    }
    let tail = memmem::rfind(behind, b"\n\t}").map(|tail| behind[tail..].trim_ascii_end());
    let tail = tail.filter(|tail| is_whole(&whole, tail)).unwrap_or(b"\n\t}\n}");
    whole.extend_from_slice(tail);
    Some(whole)
}

/// Where a file has room: at its first added entry, or behind the spaces that end it.
fn room_of(damaged: &[u8]) -> Option<usize> {
    if let Some(added) = memmem::find(damaged, BEFORE_ADDED) {
        return added.is_multiple_of(SECTOR).then_some(added);
    }
    // Elsewhere no space follows an entry: a head that was cut between two has none.
    (damaged.get(blank_end(damaged)) == Some(&b' ')).then_some(damaged.len())
}

/// Where the blanks and zeros begin that end some bytes.
fn blank_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\n' | 0)).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests;
