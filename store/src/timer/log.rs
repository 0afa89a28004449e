//! The timer log: units in the order in which they were made, in files like those of the log.
//!
//! A file ends with a blank once the next unit does not fit with one behind it. One thread
//! appends; anyone reads. Its content can be made again from the timer topic, but only while the
//! messages are there, so it is flushed before the wheel that points into it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use tracing::warn;

use super::unit::{BLANK_LEN, Found, NO_UNIT, UNIT_LEN, Unit, blank};
use crate::commit_log::{load_segments, view_segments};
use crate::disk_file::create_durable_directories;
use crate::segment::Segment;
use crate::{OpenError, StoreConfig};

/// The setting that says how long a file is.
const SIZE_KEY: &str = "mappedFileSizeTimerLog";

/// The files of the timer log.
#[derive(Debug)]
pub struct TimerLog {
    directory: PathBuf,
    file_size: usize,
    segments: ArcSwap<Vec<Arc<Segment>>>,
    end: AtomicI64,
    flushed: AtomicI64,
}

impl TimerLog {
    /// Opens the files that are there; `recover` then finds the end.
    pub fn open(config: &StoreConfig) -> Result<TimerLog, OpenError> {
        let directory = config.root().join("timerlog");
        let file_size = config.mapped_file_size_timer_log.max(0) as usize;
        let segments = match directory.is_dir() {
            true => load_segments([directory.as_path()], file_size, SIZE_KEY)?,
            false => Vec::new(),
        };
        let end = segments.last().map_or(0, |segment| segment.limit());
        Ok(TimerLog {
            directory,
            file_size,
            segments: ArcSwap::from_pointee(segments),
            end: AtomicI64::new(end),
            flushed: AtomicI64::new(0),
        })
    }

    /// Opens the files that are there for reading only.
    pub fn view(root: &Path) -> Result<TimerLog, OpenError> {
        let directory = root.join("timerlog");
        let segments = match directory.is_dir() {
            true => view_segments(std::slice::from_ref(&directory))?,
            false => Vec::new(),
        };
        let end = segments.last().map_or(0, |segment| segment.limit());
        let segments = ArcSwap::from_pointee(segments);
        let (end, flushed) = (AtomicI64::new(end), AtomicI64::new(0));
        Ok(TimerLog { directory, file_size: 0, segments, end, flushed })
    }

    /// Reads all units; returns the position behind the last one.
    pub fn each(&self, mut each: impl FnMut(i64, &Unit)) -> i64 {
        let mut end = 0;
        for segment in self.segments.load().iter() {
            let (at, found) = read_file(segment, 0, &mut each);
            end = segment.base() + at as i64;
            if found != Found::Blank {
                break;
            }
        }
        end
    }

    /// Positions of the units of a slot, the newest first, and where the chain breaks.
    pub fn chain(&self, slot_ms: i64, last: i64) -> (Vec<i64>, Option<i64>) {
        let mut positions = Vec::new();
        let mut next = last;
        while next != NO_UNIT {
            let unit = self.unit(next).filter(|unit| unit.slot_ms() == slot_ms);
            let Some(unit) = unit.filter(|unit| unit.previous < next) else {
                // A file of units may have been deleted with the messages they stand for.
                return (positions, Some(next).filter(|_| next >= self.min()));
            };
            positions.push(next);
            next = unit.previous;
        }
        (positions, None)
    }

    /// Position behind the last unit.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Position of the first unit.
    pub fn min(&self) -> i64 {
        self.segments.load().first().map_or(0, |segment| segment.base())
    }

    /// Reads the units from `from` on, and cuts off what follows the last one. Only for recovery.
    pub fn recover(&self, from: i64, mut each: impl FnMut(i64, &Unit)) -> Result<(), OpenError> {
        let segments = self.segments.load_full();
        let first = segments.partition_point(|segment| segment.limit() <= from);
        let first = first.min(segments.len().saturating_sub(1));
        let mut end = None;
        for segment in segments.iter().skip(first) {
            let (at, found) = read_file(segment, start_in(segment, from), &mut each);
            end = Some(segment.base() + at as i64);
            if found != Found::Blank {
                break;
            }
            end = Some(segment.limit());
        }
        let Some(end) = end else {
            self.end.store(0, Ordering::Release);
            return Ok(());
        };
        self.cut(&segments, end)
    }

    fn cut(&self, segments: &[Arc<Segment>], end: i64) -> Result<(), OpenError> {
        let (kept, dropped): (Vec<_>, Vec<_>) =
            segments.iter().cloned().partition(|segment| segment.base() <= end);
        self.segments.store(Arc::new(kept.clone()));
        for segment in dropped.iter().rev() {
            warn!(path = %segment.path().display(), "deleted a timer log file behind the end");
            segment.remove().map_err(|error| OpenError::io(segment.path(), "delete", error))?;
        }
        if let Some(last) = kept.last() {
            let written = (end - last.base()).clamp(0, last.size() as i64) as usize;
            last.cut(written).map_err(|error| OpenError::io(last.path(), "clear", error))?;
        }
        self.end.store(end, Ordering::Release);
        Ok(())
    }

    /// Appends a unit and returns its position. For one thread only.
    pub fn append(&self, unit: &Unit) -> io::Result<i64> {
        let segment = self.place()?;
        let at = segment.written();
        segment.write(at, &unit.encode())?;
        segment.publish(at + UNIT_LEN);
        self.end.store(segment.end(), Ordering::Release);
        Ok(segment.base() + at as i64)
    }

    /// The file with room for a unit.
    fn place(&self) -> io::Result<Arc<Segment>> {
        let last = self.segments.load().last().cloned();
        let base = match last {
            None => 0,
            Some(last) => {
                let rest = last.size() - last.written();
                if rest >= UNIT_LEN + BLANK_LEN {
                    return Ok(last);
                }
                if rest > 0 {
                    last.write(last.written(), &blank(rest))?;
                    last.publish(last.size());
                }
                last.limit()
            }
        };
        self.create(base)
    }

    fn create(&self, base: i64) -> io::Result<Arc<Segment>> {
        if !self.directory.is_dir() {
            create_durable_directories(&self.directory)?;
        }
        let path = self.directory.join(format!("{base:020}"));
        let segment = Arc::new(Segment::create(&path, base, self.file_size)?);
        let mut segments = self.segments.load().to_vec();
        segments.push(Arc::clone(&segment));
        self.segments.store(Arc::new(segments));
        Ok(segment)
    }

    /// The unit at a position, if there is one.
    pub fn unit(&self, position: i64) -> Option<Unit> {
        let segments = self.segments.load();
        let index = segments.partition_point(|segment| segment.limit() <= position);
        let segment = segments.get(index).filter(|segment| segment.base() <= position)?;
        match Unit::decode(segment.bytes((position - segment.base()) as usize, UNIT_LEN)) {
            Found::Unit(unit) => Some(unit),
            Found::Blank | Found::Nothing => None,
        }
    }

    /// Waits until everything appended so far is on disk.
    pub fn flush(&self) -> io::Result<()> {
        let (from, end) = (self.flushed.load(Ordering::Acquire), self.end());
        for segment in self.segments.load().iter() {
            if segment.limit() > from && segment.base() < end {
                segment.sync()?;
            }
        }
        self.flushed.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    /// Deletes files whose messages have all left the log, which starts at `log_min`.
    pub fn delete_expired(&self, log_min: i64) -> io::Result<()> {
        loop {
            let segments = self.segments.load_full();
            let Some((oldest, rest)) = segments.split_first().filter(|(_, rest)| !rest.is_empty())
            else {
                return Ok(());
            };
            let newest = read_file(oldest, 0, &mut |_, _| {}).0.checked_sub(UNIT_LEN);
            let newest = newest.map(|at| Unit::decode(oldest.bytes(at, UNIT_LEN)));
            if matches!(newest, Some(Found::Unit(unit)) if unit.physical_offset >= log_min) {
                return Ok(());
            }
            oldest.remove()?;
            self.segments.store(Arc::new(rest.to_vec()));
        }
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        &self.directory
    }
}

/// Where to start reading a file: at `from`, if a unit ends there, else at its start.
fn start_in(segment: &Segment, from: i64) -> usize {
    let start = (from - segment.base()).clamp(0, segment.size() as i64) as usize;
    let before = start.checked_sub(UNIT_LEN).filter(|before| before.is_multiple_of(UNIT_LEN));
    let whole = before
        .is_some_and(|at| matches!(Unit::decode(segment.bytes(at, UNIT_LEN)), Found::Unit(_)));
    if whole { start } else { 0 }
}

/// Reads the units of a file from some place on; returns where they end and what is there.
fn read_file(
    segment: &Segment,
    mut at: usize,
    each: &mut impl FnMut(i64, &Unit),
) -> (usize, Found) {
    loop {
        match Unit::decode(segment.bytes(at, UNIT_LEN)) {
            Found::Unit(unit) => {
                each(segment.base() + at as i64, &unit);
                at += UNIT_LEN;
            }
            end => return (at, end),
        }
    }
}
