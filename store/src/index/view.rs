//! What an index file says, for who only looks.

use std::path::Path;

use super::file::{follows, read_header};
use super::format::{ENTRY_LEN, Entry, Shape};
use crate::OpenError;
use crate::disk_file::DiskFile;

/// Entries read at a time.
const STEP: u32 = 4096;
/// Entries for each slot, as Java's defaults have them.
const ENTRIES_OF_SLOT: u64 = 4;

/// What is to be known of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexView {
    /// Entries.
    pub entries: u64,
    /// Store times of its first and last record.
    pub times: (i64, i64),
    /// Log position of its last record.
    pub end: i64,
}

/// Reads a file that has four entries for each slot, and gives each entry's hash and log position
/// to `fits`, which says what should be there if it does not.
///
/// # Errors
/// The first damage, or what the system refused.
pub fn read_index(
    path: &Path,
    fits: &mut dyn FnMut(i32, i64) -> Option<String>,
) -> Result<IndexView, OpenError> {
    let io = |action| move |source| OpenError::io(path, action, source);
    let damaged = |offset, expected: &str, got: String| OpenError::Damaged {
        path: path.to_owned(),
        offset,
        expected: expected.to_owned(),
        got,
    };
    let file = DiskFile::open_to_read(path).map_err(io("open"))?;
    let len = file.len().map_err(io("read the length"))?;
    let shape = shape_of(len).ok_or_else(|| {
        damaged(len, "an index file of four entries for each slot", format!("{len} bytes"))
    })?;
    let header = read_header(path).map_err(io("read"))?;
    if header.next_entry > shape.entries {
        let most = format!("at most {} entries", shape.entries);
        return Err(damaged(36, &most, header.next_entry.to_string()));
    }
    let mut last: Option<Entry> = None;
    let mut number = 1;
    let mut bytes = vec![0; STEP as usize * ENTRY_LEN];
    while number < header.next_entry {
        let count = STEP.min(header.next_entry - number) as usize;
        let bytes = &mut bytes[..count * ENTRY_LEN];
        file.read_at(bytes, shape.entry_at(number)).map_err(io("read"))?;
        for bytes in bytes.as_chunks().0 {
            let entry = Entry::decode(bytes);
            let at = shape.entry_at(number);
            if !follows(&entry, last.as_ref(), number) {
                let got = format!("hash {}, position {}", entry.hash, entry.physical_offset);
                return Err(damaged(at, "an entry of a record behind the one before", got));
            }
            if let Some(expected) = fits(entry.hash, entry.physical_offset) {
                return Err(damaged(at, &expected, format!("position {}", entry.physical_offset)));
            }
            last = Some(entry);
            number += 1;
        }
    }
    let end = header.end_physical_offset;
    if last.is_some_and(|last| last.physical_offset != end) {
        return Err(damaged(24, "the position of the last entry", end.to_string()));
    }
    Ok(IndexView {
        entries: u64::from(header.next_entry - 1),
        times: (header.begin_timestamp, header.end_timestamp),
        end,
    })
}

fn shape_of(len: u64) -> Option<Shape> {
    let slot = Shape { slots: 1, entries: ENTRIES_OF_SLOT as u32 };
    let head = Shape { slots: 0, entries: 0 }.file_len();
    let slots = len.checked_sub(head)? / (slot.file_len() - head);
    let slots = u32::try_from(slots).ok()?;
    let shape = Shape { slots, entries: slots.checked_mul(ENTRIES_OF_SLOT as u32)? };
    (slots > 0 && shape.file_len() == len).then_some(shape)
}
