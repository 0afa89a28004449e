//! The part of the log that one request has brought into memory.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::Arc;

use super::CommitLog;
use crate::segment::{Block, Segment};

/// Old records are brought into memory by chunks of so many bytes, which start at multiples of it.
pub(super) const CHUNK: i64 = 64 << 10;

/// What was written not longer ago is taken to be in memory.
const RECENT: i64 = 64 << 20;

/// Blocks that one request holds at most; what is in others it reads through the page cache.
const HELD_MAX: usize = 4;

/// What a request has brought into memory: neighbours of a record need no call of their own.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Log positions of what is where its file is mapped.
    range: Cell<(i64, i64)>,
    blocks: OnceCell<Box<[OnceCell<Arc<Block>>; HELD_MAX]>>,
    /// End of the chunks that were told last to those who read ahead.
    told: Cell<i64>,
    at_once: bool,
    missed: Cell<bool>,
}

/// Where a range of the log is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// Where its file is mapped.
    Mapping,
    /// In a block.
    Block(&'a Arc<Block>),
}

impl CommitLog {
    /// Whether this process wrote what stands from a log position on, and not long ago: it is in
    /// memory.
    pub(super) fn is_recent(&self, segment: &Segment, position: i64) -> bool {
        position >= self.end() - RECENT && segment.is_own((position - segment.base()) as usize)
    }
}

impl Loaded {
    /// Of a request that does not wait for the disk, or of one that does.
    pub(super) fn new(at_once: bool) -> Loaded {
        Loaded { at_once, ..Loaded::default() }
    }

    /// Whether the request would have had to wait; what it has found then is not to be used.
    pub(super) fn missed(&self) -> bool {
        self.missed.get()
    }

    /// Notes that it would have had to.
    pub(super) fn miss(&self) {
        self.missed.set(true);
    }

    /// Where a range is in memory for all that this request knows.
    #[inline]
    pub(super) fn known(&self, position: i64, len: usize) -> Option<Place<'_>> {
        let (from, to) = self.range.get();
        if from <= position && position + len as i64 <= to {
            return Some(Place::Mapping);
        }
        self.held(position, len).map(Place::Block)
    }

    fn held(&self, position: i64, len: usize) -> Option<&Arc<Block>> {
        let mut blocks = self.blocks.get()?.iter().map_while(OnceCell::get);
        blocks.find(|block| block.bytes(position, len).is_some())
    }

    /// Brings a range and what follows it into memory; `None` when the disk does not give it.
    #[inline]
    pub(super) fn load(
        &self,
        log: &CommitLog,
        segment: &Segment,
        position: i64,
        len: usize,
    ) -> Option<Place<'_>> {
        match self.known(position, len) {
            Some(Place::Mapping) => Some(Place::Mapping),
            known => self.load_more(log, segment, position..position + len as i64, known),
        }
    }

    fn load_more<'a>(
        &'a self,
        log: &CommitLog,
        segment: &Segment,
        wanted: Range<i64>,
        held: Option<Place<'a>>,
    ) -> Option<Place<'a>> {
        if held.is_some() {
            self.tell(log, &chunks_of(&wanted), false);
            return held;
        }
        if self.missed() {
            return None;
        }
        if log.is_recent(segment, wanted.start) {
            let end = wanted.end.max(wanted.start + CHUNK).min(segment.end());
            self.range.set((wanted.start, end));
            return Some(Place::Mapping);
        }
        self.load_old(log, segment, &wanted)
    }

    /// The same for what may have to come from the disk.
    fn load_old(
        &self,
        log: &CommitLog,
        segment: &Segment,
        wanted: &Range<i64>,
    ) -> Option<Place<'_>> {
        let numbers = chunks_of(wanted);
        if let Some(block) = log.blocks.find(wanted).and_then(|block| self.hold(block)) {
            self.tell(log, &numbers, false);
            return Some(Place::Block(block));
        }
        let chunks =
            (numbers.start * CHUNK).max(segment.base())..(numbers.end * CHUNK).min(segment.end());
        // What is in memory is not asked for: that costs more than all else of a pull.
        let lately = log.lately_read.all(numbers.clone());
        let cold = !lately && !segment.is_resident(&chunks);
        if cold && self.at_once && !segment.is_resident(wanted) {
            self.miss();
            return None;
        }
        let followed = self.tell(log, &numbers, cold);
        if cold {
            if self.at_once {
                return Some(Place::Mapping);
            }
            if followed && let Some(block) = self.read_block(log, segment, wanted) {
                return Some(Place::Block(block));
            }
            if !segment.fetch(&chunks, followed) {
                // What is beside it may be what is not there, or cannot be read.
                return segment.fetch(wanted, followed).then_some(Place::Mapping);
            }
            // What the connections' threads have to do goes first.
            std::thread::yield_now();
        }
        if !lately {
            log.lately_read.note(numbers);
        }
        let (from, to) = self.range.get();
        let from = if from <= chunks.start && chunks.start <= to { from } else { chunks.start };
        self.range.set((from, chunks.end));
        Some(Place::Mapping)
    }

    fn read_block(
        &self,
        log: &CommitLog,
        segment: &Segment,
        wanted: &Range<i64>,
    ) -> Option<&Arc<Block>> {
        let block = log.read_block(segment, wanted.start)?;
        block.bytes(wanted.start, (wanted.end - wanted.start) as usize)?;
        self.hold(block)
    }

    /// Keeps a block for this request; `None` if it has as many as it may.
    fn hold(&self, block: Arc<Block>) -> Option<&Arc<Block>> {
        let mut places = self.blocks.get_or_init(Box::default).iter();
        let free = places.find(|place| place.get().is_none())?;
        Some(free.get_or_init(|| block))
    }

    /// Tells those who read ahead which chunks are read, once; true where what follows is fetched.
    fn tell(&self, log: &CommitLog, chunks: &Range<i64>, cold: bool) -> bool {
        if self.told.replace(chunks.end) == chunks.end && !cold {
            return false;
        }
        let range = chunks.start * CHUNK..chunks.end * CHUNK;
        log.read_ahead.note(range, cold, self.at_once)
    }
}

/// The numbers of the chunks that a range touches.
fn chunks_of(range: &Range<i64>) -> Range<i64> {
    range.start / CHUNK..(range.end - 1) / CHUNK + 1
}
