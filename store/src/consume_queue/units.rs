//! The units of a queue, one after the other.

use super::unit::{UNIT_LEN_MAX, Unit};
use super::{Queue, QueueKind, simple};
use crate::dispatch::ViewError;

/// Units are read in steps of so many bytes: about as much as one pull of 32 messages needs.
const READ_LEN: usize = 32 * UNIT_LEN_MAX;

/// The units of a queue from some number on, read a few dozen at a time.
pub struct Units<'q> {
    queue: &'q Queue,
    index: i64,
    bytes: [u8; READ_LEN],
    at: usize,
    len: usize,
}

impl<'q> Units<'q> {
    pub(super) fn new(queue: &'q Queue, index: i64) -> Units<'q> {
        Units { queue, index, bytes: [0; READ_LEN], at: 0, len: 0 }
    }

    fn fill(&mut self) -> Result<(), ViewError> {
        let unit_len = self.queue.kind().unit_len();
        let whole = READ_LEN - READ_LEN % unit_len;
        let position = self.index.saturating_mul(unit_len as i64);
        self.at = 0;
        self.len = self.queue.read(position, &mut self.bytes[..whole])?;
        Ok(())
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
