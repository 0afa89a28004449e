//! Loading a queue from its directory: which files there are, and where its units end.
//!
//! A queue has no stored length: it ends at the first bytes that are no unit. After a clean stop
//! everything behind the end is zero, so the end is found by binary search in the last file; where
//! a unit follows that is sound, the one before was damaged later, and the search goes on. After
//! a kill or a power failure any page of the last files may be missing, so these are read unit by
//! unit, and what is behind the first gap is zeroed.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use smallvec::SmallVec;

use super::files::Files;
use super::place::Place;
use crate::OpenError;
use crate::disk_file::DiskFile;
use crate::dispatch::ViewError;

/// After an unclean exit so many files at the end are looked through, or more.
const SUSPECT_FILES: usize = 3;

/// Up to so many bytes of data, a file is simply read.
const READ_WHOLE_MAX: u64 = 16 * 1024;

/// Reads in steps of so many units.
const CHUNK_UNITS: usize = 1424;

/// Loads the queue at `place`; `clean` tells how the last run ended.
pub(super) fn load(place: &Place<'_>, clean: bool) -> Result<Files, OpenError> {
    let mut starts = list(place, clean)?;
    let found = if clean { find_end(place, &starts)? } else { look_through(place, &starts)? };
    let Some((at, end)) = found else { return Ok(Files::default()) };
    // An empty last file stays only where the queue's offset would be lost with it.
    let keep = if end == starts[at] && (at > 0 || end == 0) { at } else { at + 1 };
    let dirs_changed = keep < starts.len();
    for &start in &starts[keep..] {
        place.remove(start).map_err(opening)?;
    }
    starts.truncate(keep);
    let tail = Vec::new();
    Ok(Files { starts, tail, tail_from: end, end, synced: end, zeroed: 0, dirs_changed })
}

/// Number of the file that holds the last unit, and where it ends.
fn find_end(place: &Place<'_>, starts: &[i64]) -> Result<Option<(usize, i64)>, OpenError> {
    let mut found = None;
    // A file without any unit was made by a process killed before it wrote one.
    for (at, &start) in starts.iter().enumerate().rev() {
        let units = count_units(&*place.open(start).map_err(opening)?, place, true)
            .map_err(|source| OpenError::io(&place.path(start), "read", source))?;
        found = Some((at, start + units * place.unit_len()));
        if units > 0 {
            break;
        }
    }
    Ok(found)
}

/// The same where any unit of the last files may be missing; what is behind is zeroed. Where the
/// first of them has no unit at all, those before it are looked through as well: a power cut takes
/// whatever was not synced, and that may be more files.
fn look_through(place: &Place<'_>, starts: &[i64]) -> Result<Option<(usize, i64)>, OpenError> {
    let mut found = None;
    let mut first = starts.len().saturating_sub(SUSPECT_FILES);
    let mut at = first;
    while let Some(&start) = starts.get(at) {
        let file = place.open(start).map_err(opening)?;
        let len = count_units(&file, place, false)
            .and_then(|units| {
                let len = units * place.unit_len();
                zero_behind(&file, len as u64).map(|()| len)
            })
            .map_err(|source| OpenError::io(&place.path(start), "read", source))?;
        found = Some((at, start + len));
        if len == 0 && at == first && first > 0 {
            first -= 1;
            at = first;
        } else if len < place.disk.file_size {
            break;
        } else {
            at += 1;
        }
    }
    Ok(found)
}

/// A view's error while the store is being opened.
pub(super) fn opening(error: ViewError) -> OpenError {
    match error {
        ViewError::Io { path, action, source } => OpenError::Io { path, action, source },
        ViewError::Open(error) => *error,
        other => OpenError::Damaged {
            path: PathBuf::new(),
            offset: 0,
            expected: "a queue".to_owned(),
            got: other.to_string(),
        },
    }
}

/// The files of the directory by name; refuses what does not belong there. After an unclean exit
/// (`clean` false) it deletes what follows upon a file that was lost: a power cut takes names and
/// lengths in any order, but none of those the checkpoint counts on.
fn list(place: &Place<'_>, clean: bool) -> Result<SmallVec<[i64; 2]>, OpenError> {
    let dir = place.dir();
    let mut files: SmallVec<[(i64, u64); 2]> = SmallVec::new();
    for entry in fs::read_dir(&dir).map_err(|source| OpenError::io(&dir, "list", source))? {
        let entry = entry.map_err(|source| OpenError::io(&dir, "list", source))?;
        let path = entry.path();
        let meta = entry.metadata().map_err(|source| OpenError::io(&path, "look at", source))?;
        if !meta.is_dir() {
            files.push((start_in_name(&path, place.disk.file_size)?, meta.len()));
        } else if start_in_name(&path, place.disk.file_size).is_ok() {
            return Err(OpenError::directory(path));
        }
    }
    files.sort_unstable();
    let size = place.disk.file_size;
    let sound = match clean {
        true => files.len() - usize::from(matches!(files.last(), Some((_, 0)))),
        false => {
            let first = files.first().map_or(0, |(start, _)| *start);
            let follow = (first..).step_by(size as usize);
            files.iter().zip(follow).take_while(|((at, len), next)| at == next && *len > 0).count()
        }
    };
    // Newest first, so that a crash in between leaves no gap.
    for (start, _) in files.drain(sound..).rev() {
        place.remove(start).map_err(opening)?;
    }
    for &(start, len) in &files {
        if len != size as u64 {
            return Err(OpenError::Damaged {
                path: place.path(start),
                offset: len,
                expected: format!("a file of {size} bytes, as configured"),
                got: format!("{len} bytes"),
            });
        }
    }
    Ok(files.into_iter().map(|(start, _)| start).collect())
}

fn start_in_name(path: &Path, file_size: i64) -> Result<i64, OpenError> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    match name.parse::<i64>() {
        Ok(start) if digits && start % file_size == 0 => Ok(start),
        _ => Err(OpenError::Damaged {
            path: PathBuf::from(path),
            offset: 0,
            expected: format!("a file name of 20 digits, a multiple of {file_size}"),
            got: name.into_owned(),
        }),
    }
}

/// Number of units at the beginning of a file. With `ordered`, whatever is behind the first gap
/// is known to be zero.
fn count_units(file: &DiskFile, place: &Place<'_>, ordered: bool) -> std::io::Result<i64> {
    let size = place.disk.file_size as u64;
    let unit_len = place.unit_len() as u64;
    // A hole reads as zeros, which are no unit. Without support for holes all is data.
    let data = file.first_hole()?.min(size);
    let units = data.div_ceil(unit_len).min(size / unit_len);
    let is_unit = |bytes: &[u8]| place.disk.kind.decode(bytes, 0).is_some();
    let mut from = 0;
    loop {
        from = match ordered && data > READ_WHOLE_MAX {
            true => search_end(file, place, from, units)?,
            false => find_unit(file, place, from..units, |bytes| !is_unit(bytes))?.unwrap_or(units),
        };
        let near = from..units.min(from + CHUNK_UNITS as u64);
        match find_unit(file, place, near, is_unit)? {
            Some(sound) if ordered && go_on(file, place, from, sound, units)? => from = sound,
            _ => return Ok(from as i64),
        }
    }
}

/// Whether a unit behind bytes that are none is one, too: a flipped bit may make one of zeros.
fn go_on(
    file: &DiskFile,
    place: &Place<'_>,
    none: u64,
    sound: u64,
    units: u64,
) -> std::io::Result<bool> {
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if find_unit(file, place, none..none + 1, zero)?.is_none() {
        return Ok(true);
    }
    let next = sound + 1..units.min(sound + 2);
    let is_unit = |bytes: &[u8]| place.disk.kind.decode(bytes, 0).is_some();
    Ok(find_unit(file, place, next, is_unit)?.is_some())
}

/// The first unit in a range whose bytes `wanted` is true for.
fn find_unit(
    file: &DiskFile,
    place: &Place<'_>,
    range: Range<u64>,
    wanted: impl Fn(&[u8]) -> bool,
) -> std::io::Result<Option<u64>> {
    let unit_len = place.disk.kind.unit_len();
    let count = (range.end - range.start).min(CHUNK_UNITS as u64) as usize;
    let mut chunk = vec![0; count * unit_len];
    let mut at = range.start;
    while at < range.end {
        let len = chunk.len().min((range.end - at) as usize * unit_len);
        file.read_at(&mut chunk[..len], at * unit_len as u64)?;
        for bytes in chunk[..len].chunks_exact(unit_len) {
            if wanted(bytes) {
                return Ok(Some(at));
            }
            at += 1;
        }
    }
    Ok(None)
}

fn search_end(file: &DiskFile, place: &Place<'_>, from: u64, to: u64) -> std::io::Result<u64> {
    let unit_len = place.disk.kind.unit_len();
    let mut bytes = [0; super::unit::UNIT_LEN_MAX];
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low.midpoint(high);
        file.read_at(&mut bytes[..unit_len], middle * unit_len as u64)?;
        if place.disk.kind.decode(&bytes, 0).is_some() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Zeroes what is behind the last unit, durably, so that it can never be taken for units.
fn zero_behind(file: &DiskFile, from: u64) -> std::io::Result<()> {
    let mut chunk = [0; 4096];
    let mut at = from;
    let mut changed = false;
    let size = file.len()?;
    while at < size {
        let Some(data) = file.next_data(at)? else { break };
        at = data;
        let len = chunk.len().min((size - at) as usize);
        file.read_at(&mut chunk[..len], at)?;
        if chunk[..len].iter().any(|byte| *byte != 0) {
            chunk.fill(0);
            file.write_at(&chunk[..len], at)?;
            changed = true;
        }
        at += len as u64;
    }
    if changed { file.sync_data() } else { Ok(()) }
}
