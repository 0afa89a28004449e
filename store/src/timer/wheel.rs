//! The timer wheel: for every slot of time the first and the last unit that wait in it.
//!
//! ```text
//! slot = i64 time / precision @0 | i64 first unit @8 | i64 last unit @16 | i32 number @24 | i32 0
//! 1,209,600 slots; a time's slot is number (time / precision) mod 1,209,600
//! ```
//!
//! A slot is in use only for the time it names. The file is not held in memory: changed slots are
//! kept until the next flush, which writes them after the timer log has been synced, so that the
//! file never points behind the log.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::unit::NO_UNIT;
use crate::OpenError;
use crate::disk_file::{DiskFile, sync_directory_of};
use crate::faults::{self, Point};

/// Slots of one round: a week of seconds.
pub const ROUND: i64 = 7 * 86_400;
/// Slots of the file.
const SLOTS: i64 = 2 * ROUND;
const SLOT_LEN: usize = 32;
const FILE_LEN: u64 = SLOTS as u64 * SLOT_LEN as u64;
/// Slots read at a time.
const CHUNK: i64 = 4096;

/// One slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its time divided by the precision.
    pub tick: i64,
    /// Position of its first unit.
    pub first: i64,
    /// Position of its last unit.
    pub last: i64,
    /// Messages in it, less those taken back.
    pub count: i32,
}

/// The slots.
#[derive(Debug)]
pub struct Wheel {
    file: DiskFile,
    precision_ms: i64,
    changed: Mutex<Changed>,
}

/// Slots that differ from the file, by their number.
#[derive(Debug, Default)]
struct Changed {
    waiting: HashMap<i64, Slot>,
    /// Being written by a flush.
    writing: HashMap<i64, Slot>,
}

impl Slot {
    fn decode(bytes: &[u8]) -> Slot {
        let mut fields = [[0; 8]; 4];
        for (field, bytes) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            field.copy_from_slice(bytes);
        }
        let [tick, first, last, rest] = fields;
        Slot {
            tick: i64::from_be_bytes(tick),
            first: i64::from_be_bytes(first),
            last: i64::from_be_bytes(last),
            count: (i64::from_be_bytes(rest) >> 32) as i32,
        }
    }

    fn encode(&self) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        let count = i64::from(self.count) << 32;
        for (field, value) in
            bytes.chunks_exact_mut(8).zip([self.tick, self.first, self.last, count])
        {
            field.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }
}

impl Wheel {
    /// Whether there is no file, or an empty one.
    pub fn missing(path: &Path) -> bool {
        std::fs::metadata(path).map_or(true, |meta| meta.is_file() && meta.len() == 0)
    }

    /// Opens the file or makes it.
    pub fn open(path: &Path, precision_ms: i64) -> Result<Wheel, OpenError> {
        let io = |action| move |source| OpenError::io(path, action, source);
        if path.is_dir() {
            return Err(OpenError::directory(path.to_owned()));
        }
        let file = DiskFile::open_or_create(path).map_err(io("open for writing"))?;
        let len = file.len().map_err(io("read the length"))?;
        if len != 0 && len != FILE_LEN {
            return Err(damaged_len(path, len));
        }
        if len == 0 {
            file.set_len(FILE_LEN).map_err(io("make"))?;
            file.sync_all().map_err(io("sync"))?;
            sync_directory_of(path).map_err(io("sync the directory of"))?;
        }
        let changed = Mutex::default();
        Ok(Wheel { file, precision_ms, changed })
    }

    /// Opens the file for reading only.
    pub fn view(path: &Path, precision_ms: i64) -> Result<Wheel, OpenError> {
        let io = |action| move |source| OpenError::io(path, action, source);
        let file = DiskFile::open_to_read(path).map_err(io("open"))?;
        let len = file.len().map_err(io("read the length"))?;
        if len != FILE_LEN {
            return Err(damaged_len(path, len));
        }
        Ok(Wheel { file, precision_ms, changed: Mutex::default() })
    }

    /// Milliseconds of a slot.
    pub fn precision_ms(&self) -> i64 {
        self.precision_ms
    }

    /// Start of the slot a time is in.
    pub fn slot_start(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.precision_ms) * self.precision_ms
    }

    /// The slot of a time; `None` when nothing waits in it.
    pub fn slot(&self, time_ms: i64) -> io::Result<Option<Slot>> {
        let tick = time_ms.div_euclid(self.precision_ms);
        let number = tick.rem_euclid(SLOTS);
        let slot = match self.lock().get(number) {
            Some(slot) => slot,
            None => {
                let mut bytes = [0; SLOT_LEN];
                self.file.read_at(&mut bytes, place(number))?;
                Slot::decode(&bytes)
            }
        };
        Ok(Some(slot).filter(|slot| slot.tick == tick && slot.last != NO_UNIT))
    }

    /// Start of the next slot in use from `from_ms` on and before `until_ms`.
    pub fn next_used(&self, from_ms: i64, until_ms: i64) -> io::Result<Option<i64>> {
        let mut next = None;
        self.each_between(from_ms, until_ms, |slot| {
            next = Some(slot.tick * self.precision_ms);
            ControlFlow::Break(())
        })?;
        Ok(next)
    }

    /// Messages in the slots from `from_ms` on and before `until_ms`.
    pub fn count_between(&self, from_ms: i64, until_ms: i64) -> io::Result<i64> {
        let mut count = 0;
        self.each_between(from_ms, until_ms, |slot| {
            count += i64::from(slot.count);
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Looks at the slots in use from `from_ms` on and before `until_ms`, until told to stop.
    fn each_between(
        &self,
        from_ms: i64,
        until_ms: i64,
        mut look: impl FnMut(&Slot) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut tick = from_ms.div_euclid(self.precision_ms);
        let until = until_ms.div_euclid(self.precision_ms);
        let mut bytes = Vec::new();
        while tick < until {
            let number = tick.rem_euclid(SLOTS);
            let count = CHUNK.min(until - tick).min(SLOTS - number);
            bytes.resize(count as usize * SLOT_LEN, 0);
            self.file.read_at(&mut bytes, place(number))?;
            let changed = self.lock();
            for (at, bytes) in (0..).zip(bytes.chunks_exact(SLOT_LEN)) {
                let slot = changed.get(number + at).unwrap_or_else(|| Slot::decode(bytes));
                let used = slot.tick == tick + at && slot.last != NO_UNIT;
                if used && look(&slot).is_break() {
                    return Ok(());
                }
            }
            tick += count;
        }
        Ok(())
    }

    /// Replaces a slot.
    pub fn put(&self, slot: Slot) {
        self.lock().waiting.insert(slot.tick.rem_euclid(SLOTS), slot);
    }

    /// Empties the slot of a time.
    pub fn clear_slot(&self, time_ms: i64) {
        let number = time_ms.div_euclid(self.precision_ms).rem_euclid(SLOTS);
        self.lock().waiting.insert(number, Slot::default());
    }

    /// Adds a unit to the slot it names: behind what is there.
    pub fn add(&self, slot_ms: i64, position: i64, deletes: bool) -> io::Result<()> {
        let before = self.slot(slot_ms)?;
        let step = if deletes { -1 } else { 1 };
        self.put(Slot {
            tick: slot_ms.div_euclid(self.precision_ms),
            first: before.map_or(position, |slot| slot.first),
            last: position,
            count: before.map_or(0, |slot| slot.count).saturating_add(step),
        });
        Ok(())
    }

    /// Looks at every slot that was ever used. Only for recovery.
    pub fn each(&self, mut look: impl FnMut(&Slot)) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut from = 0;
        while let Some(data) = self.next_data(from)? {
            // Where the file has data, whole chunks of slots are read.
            from = data - data % CHUNK;
            let count = CHUNK.min(SLOTS - from);
            bytes.resize(count as usize * SLOT_LEN, 0);
            self.file.read_at(&mut bytes, place(from))?;
            for bytes in bytes.chunks_exact(SLOT_LEN).filter(|bytes| **bytes != [0; SLOT_LEN]) {
                look(&Slot::decode(bytes));
            }
            from += count;
        }
        Ok(())
    }

    /// The first slot at or behind `from` for which the file has data: most of it is a hole.
    fn next_data(&self, from: i64) -> io::Result<Option<i64>> {
        if from >= SLOTS {
            return Ok(None);
        }
        let data = self.file.next_data(place(from))?;
        Ok(data.map(|at| (at / SLOT_LEN as u64).cast_signed().max(from)))
    }

    /// Forgets every slot. Only for recovery.
    pub fn clear(&self) -> io::Result<()> {
        *self.lock() = Changed::default();
        self.file.set_len(0)?;
        self.file.set_len(FILE_LEN)?;
        self.file.sync_all()
    }

    /// Takes the slots that are to be written; only positions below the end of the log at the
    /// time of the call occur in them.
    pub fn begin_flush(&self) {
        let mut changed = self.lock();
        let waiting = std::mem::take(&mut changed.waiting);
        changed.writing.extend(waiting);
    }

    /// Writes and syncs what `begin_flush` has taken.
    pub fn flush(&self) -> io::Result<()> {
        let mut slots: Vec<(i64, Slot)> =
            self.lock().writing.iter().map(|(number, slot)| (*number, *slot)).collect();
        if slots.is_empty() {
            return Ok(());
        }
        slots.sort_unstable_by_key(|(number, _)| *number);
        for (number, slot) in &slots {
            self.file.write_at(&slot.encode(), place(*number))?;
        }
        faults::pass(Point::WheelWritten);
        self.file.sync_data()?;
        self.lock().writing.clear();
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        // No code runs under this lock that could leave the maps half changed.
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn get(&self, number: i64) -> Option<Slot> {
        self.waiting.get(&number).or_else(|| self.writing.get(&number)).copied()
    }
}

fn damaged_len(path: &Path, len: u64) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        offset: len.min(FILE_LEN),
        expected: format!("a timer wheel of {FILE_LEN} bytes"),
        got: format!("{len} bytes"),
    }
}

/// Where a time's slot stands in the file.
pub fn place_of(tick: i64) -> u64 {
    place(tick.rem_euclid(SLOTS))
}

fn place(number: i64) -> u64 {
    number as u64 * SLOT_LEN as u64
}
