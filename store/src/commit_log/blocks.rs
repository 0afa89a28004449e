//! Parts of old files that are read past the page cache.
//!
//! Who goes through the log in its order needs each part once. The page cache would have to find
//! pages for all of it, which keeps a core for longer than the disk takes, and takes them from what
//! others need. So a part comes into a block, of which there are few; who comes to it when the
//! block has gone on to another part has the page cache keep it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tracing::debug;

use super::CommitLog;
use crate::segment::{Block, Segment};

/// Blocks at most: 24 MiB.
const BLOCKS: usize = 12;

/// The blocks; the one that was read longest ago is the next to be used again.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// What readers see, without a lock.
    slots: [ArcSwapOption<Block>; BLOCKS],
    /// How many have been read; none is held while it is 0.
    count: AtomicU64,
    ring: Mutex<Ring>,
    /// A part has been read, or could not be.
    read: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    /// Log position of the part that each slot is for; while there is no block, somebody reads it.
    parts: [Option<i64>; BLOCKS],
    next: usize,
}

/// What is to be done about a part.
enum Claim {
    /// Nothing: here it is.
    Held(Arc<Block>),
    /// To leave it to the page cache.
    Leave,
    /// To read it for this slot, into its former block if nobody holds that.
    Read(usize, Option<Arc<Block>>),
}

impl Blocks {
    /// A block that holds all of a range.
    pub(super) fn find(&self, range: &Range<i64>) -> Option<Arc<Block>> {
        if self.count() == 0 {
            return None;
        }
        let len = (range.end - range.start) as usize;
        let holds = |block: &Arc<Block>| block.bytes(range.start, len).is_some();
        let slots = self.slots.iter().map(ArcSwapOption::load);
        slots.into_iter().find_map(|block| block.as_ref().filter(|it| holds(it)).cloned())
    }

    /// Waits for whoever reads the part at `position`; if there is nobody, the caller is to.
    fn claim(&self, segment: &Segment, position: i64) -> Claim {
        let mut ring = self.lock();
        while let Some(slot) = ring.parts.iter().position(|part| *part == Some(position)) {
            if let Some(block) = self.slots[slot].load_full() {
                return Claim::Held(block);
            }
            ring = self.read.wait(ring).unwrap_or_else(PoisonError::into_inner);
        }
        let slot = ring.next;
        let busy = ring.parts[slot].is_some() && self.slots[slot].load().is_none();
        if busy || !segment.passes((position - segment.base()) as usize) {
            return Claim::Leave;
        }
        ring.parts[slot] = Some(position);
        ring.next = (slot + 1) % BLOCKS;
        self.count.fetch_add(1, Ordering::Relaxed);
        Claim::Read(slot, self.slots[slot].swap(None))
    }

    fn fill(&self, slot: usize, block: Option<&Arc<Block>>) {
        let mut ring = self.lock();
        if block.is_none() {
            ring.parts[slot] = None;
        }
        self.slots[slot].store(block.cloned());
        self.read.notify_all();
    }

    /// How many have been read.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Gives the memory back.
    pub(super) fn give_back(&self) {
        let mut ring = self.lock();
        for (slot, part) in self.slots.iter().zip(&mut ring.parts) {
            if slot.swap(None).is_some() {
                *part = None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // No code that can panic half-way runs under this lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitLog {
    /// Reads the part with a log position past the page cache, unless a block holds it; `None`
    /// where that is not to be done or the disk does not give it.
    pub(super) fn read_block(&self, segment: &Segment, position: i64) -> Option<Arc<Block>> {
        // Writes wait for such reads of their file.
        if segment.limit() > self.end() {
            return None;
        }
        let start = (position - segment.base()) as usize / Block::PART_LEN * Block::PART_LEN;
        let (slot, before) = match self.blocks.claim(segment, segment.base() + start as i64) {
            Claim::Held(block) => return Some(block),
            Claim::Leave => return None,
            Claim::Read(slot, before) => (slot, before),
        };
        let block = match before.and_then(Arc::into_inner) {
            Some(block) => Ok(block),
            None => Block::new(),
        };
        let read = block.and_then(|mut block| block.read(segment, start).map(|()| Arc::new(block)));
        // Who needs it reads it through the page cache, and says what an error means.
        let read = read.inspect_err(|cause| debug!(%cause, "cannot read past the page cache")).ok();
        self.blocks.fill(slot, read.as_ref());
        read
    }

    /// Log position behind the part that a position is in.
    pub(super) fn part_end(&self, position: i64) -> i64 {
        let (size, part) = (self.segment_size as i64, Block::PART_LEN as i64);
        let base = position - position.rem_euclid(size);
        (position + part - (position - base) % part).min(base + size)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::StoreConfig;
    use crate::commit_log::tests::{self, forget, fresh};
    use crate::disk_file::DiskFile;
    use crate::segment::LogSlice;

    const FILE_LEN: i32 = 8 << 20;
    const FILES: usize = 5;
    const RECORD_LEN: usize = 60_000;

    fn config(root: &Path) -> StoreConfig {
        StoreConfig { mapped_file_size_commit_log: FILE_LEN, ..tests::config(root) }
    }

    fn content(position: i64) -> Vec<u8> {
        let seed = position.to_le_bytes();
        let bytes: Vec<u8> = seed.iter().cycle().zip(0..200).map(|(seed, at)| seed ^ at).collect();
        bytes.repeat(RECORD_LEN / bytes.len())
    }

    /// A log of old files that no memory holds, and where its records are.
    fn old_log(root: &Path) -> (CommitLog, Vec<i64>) {
        let log = fresh(&config(root));
        let mut positions = Vec::new();
        while log.segments().len() < FILES {
            let mut append = log.lock().unwrap();
            let position = append.place(RECORD_LEN).unwrap();
            append.write(&content(position), 0).unwrap();
            positions.push(position);
        }
        let end = log.end();
        drop(log);
        let log = CommitLog::open(&config(root)).unwrap();
        log.cut(0, end, 0).unwrap();
        forget(&log);
        (log, positions)
    }

    /// What is read in order, each record by a request of its own.
    fn read_on(log: &CommitLog, positions: &[i64]) -> Vec<LogSlice> {
        let slice = |&position: &i64| log.window(false).slice(position, RECORD_LEN).unwrap();
        positions.iter().map(slice).collect()
    }

    fn check(slices: &[LogSlice], positions: &[i64]) {
        for (slice, &position) in slices.iter().zip(positions) {
            assert_eq!(slice.as_ref(), content(position), "{position}");
        }
    }

    #[test]
    fn who_reads_on_passes_the_page_cache_once() {
        let directory = tempfile::tempdir().unwrap();
        let (log, positions) = old_log(directory.path());
        let second = log.segments()[1].clone();
        let middle = second.base()..second.base() + Block::PART_LEN as i64;
        if DiskFile::open_direct(second.path()).is_err() {
            // The file system has no such reads.
            return;
        }
        check(&read_on(&log, &positions), &positions);
        let parts = log.blocks.count();
        assert!(parts >= (FILES as u64 - 1) * 4 - 1, "{parts} parts");
        assert!(!second.is_resident(&middle), "not by the page cache");
        forget(&log);
        log.blocks.give_back();
        check(&read_on(&log, &positions), &positions);
        assert!(second.is_resident(&middle), "who comes again has it kept");
        assert_eq!(log.blocks.count(), parts);
    }

    #[test]
    fn what_a_reader_holds_stays_when_its_block_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (log, positions) = old_log(directory.path());
        let slices = read_on(&log, &positions);
        assert!(log.blocks.count() == 0 || log.blocks.count() > BLOCKS as u64);
        check(&slices, &positions);
    }

    #[test]
    fn readers_of_one_part_read_it_once() {
        let directory = tempfile::tempdir().unwrap();
        let (log, positions) = old_log(directory.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| check(&read_on(&log, &positions), &positions));
            }
        });
        assert!(log.blocks.count() <= 5 * (FILES as u64 - 1), "{} parts", log.blocks.count());
    }
}
