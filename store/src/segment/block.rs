//! A part of a file in memory of its own, read past the page cache.

use std::io;
use std::ops::Range;

use memmap2::MmapMut;

use super::Segment;

const LEN: usize = 2 << 20;
/// What is no multiple of it, such reads refuse.
const UNIT: usize = 4096;

/// The memory, and the part of some file in it.
#[derive(Debug)]
pub struct Block {
    memory: MmapMut,
    /// Log positions of what is in it.
    range: Range<i64>,
}

impl Block {
    /// Parts start at multiples of this in their file. A block goes beyond its part, so that a
    /// record which begins near its end is in it.
    pub const PART_LEN: usize = LEN - (64 << 10);

    /// Memory with nothing in it.
    pub fn new() -> io::Result<Block> {
        let mut memory = MmapMut::map_anon(LEN)?;
        // A read would take all pages in one go, during which nobody else has the core: a virtual
        // machine may have to get them from its host.
        for page in memory.chunks_mut(UNIT) {
            page[0] = 0;
        }
        Ok(Block { memory, range: 0..0 })
    }

    /// Reads a part of a file that nobody writes to any more.
    pub fn read(&mut self, segment: &Segment, start: usize) -> io::Result<()> {
        self.range = 0..0;
        let len = LEN.min(segment.size - start) / UNIT * UNIT;
        segment.read_past_cache(&mut self.memory[..len], start)?;
        let from = segment.base + start as i64;
        self.range = from..from + len as i64;
        Ok(())
    }

    /// The bytes of a range of the log, if all of it is here.
    pub fn bytes(&self, position: i64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(position - self.range.start).ok()?;
        let held = (self.range.end - self.range.start) as usize;
        self.memory[..held].get(at..at.checked_add(len)?)
    }
}
