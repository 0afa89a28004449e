//! The units of a queue, one after the other.

use std::cell::Cell;

use super::unit::{UNIT_LEN_MAX, Unit};
use super::{Queue, QueueKind, simple};
use crate::dispatch::ViewError;

/// So many bytes are read first: about as much as one pull of 32 messages needs.
const FIRST_LEN: usize = 32 * UNIT_LEN_MAX;

/// So many are read at a time by who goes on: what a filter passes over to find 32.
const READ_LEN: usize = 8 << 10;

thread_local! {
    /// What nobody on this thread reads into.
    static SPARE: Cell<Box<[u8]>> = Cell::default();
}

/// The units of a queue from some number on, read some dozens at a time.
pub struct Units<'q> {
    queue: &'q Queue,
    index: i64,
    bytes: Box<[u8]>,
    at: usize,
    len: usize,
    /// How many bytes are read next.
    step: usize,
    /// Those that are not in memory are not waited for.
    at_once: bool,
}

impl<'q> Units<'q> {
    pub(super) fn new(queue: &'q Queue, index: i64) -> Units<'q> {
        let spare = SPARE.take();
        let bytes = if spare.is_empty() { vec![0; READ_LEN].into() } else { spare };
        Units { queue, index, bytes, at: 0, len: 0, step: FIRST_LEN, at_once: false }
    }

    /// The same; with `at_once`, those that are not in memory are an error.
    pub(crate) fn at_once(mut self, at_once: bool) -> Units<'q> {
        self.at_once = at_once;
        self
    }

    /// Number of the next unit.
    pub(crate) fn index(&self) -> i64 {
        self.index
    }

    /// Positions and lengths of the records of the next units of a simple queue, at most so many,
    /// as far as they have been read.
    pub(crate) fn ahead(&self, most: usize) -> impl Iterator<Item = (i64, usize)> {
        let simple = self.queue.kind() == QueueKind::Simple;
        let (units, _) = self.bytes[self.at..self.len].as_chunks();
        let fields = units.iter().take(if simple { most } else { 0 }).filter_map(simple::fields);
        fields.map(|(position, size, _)| (position, usize::try_from(size).unwrap_or(0)))
    }

    /// Passes over units of a simple queue for as long as `passed` says so of position, size and
    /// tags code; not beyond unit number `end`, nor beyond what has been read.
    pub(crate) fn pass_over(&mut self, end: i64, passed: impl Fn(i64, i32, i64) -> bool) {
        if self.queue.kind() != QueueKind::Simple {
            return;
        }
        let (units, _) = self.bytes[self.at..self.len].as_chunks();
        let ahead = usize::try_from(end - self.index).unwrap_or(0).min(units.len());
        let boring = |unit: &&_| {
            let fields = simple::fields(unit);
            fields.is_some_and(|(position, size, tags_code)| passed(position, size, tags_code))
        };
        let count = units[..ahead].iter().take_while(boring).count();
        self.at += count * simple::LEN;
        self.index += count as i64;
    }

    fn fill(&mut self) -> Result<(), ViewError> {
        let unit_len = self.queue.kind().unit_len();
        let whole = self.step - self.step % unit_len;
        let position = self.index.saturating_mul(unit_len as i64);
        self.at = 0;
        self.len = self.queue.read(position, &mut self.bytes[..whole], self.at_once)?;
        self.step = READ_LEN;
        Ok(())
    }
}

impl Drop for Units<'_> {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.bytes));
    }
}

impl Iterator for Units<'_> {
    type Item = Result<Unit, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.len
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        let unit_len = self.queue.kind().unit_len();
        let bytes = self.bytes[self.at..self.len].get(..unit_len)?;
        let unit = self.queue.kind().decode(bytes, self.index);
        let index = self.index;
        self.at += unit_len;
        self.index += 1;
        match (unit, self.queue.kind()) {
            (Some(unit), _) => Some(Ok(unit)),
            // Within the bounds of the queue only a damaged unit is none; those behind are sound.
            (None, QueueKind::Simple) => Some(Ok(simple::filler(index))),
            (None, QueueKind::Batch) => self.next(),
        }
    }
}
