//! Room ahead of the writer, and zeros behind the last record.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Segment;
use crate::disk_file::DiskFile;

/// How far ahead of the writer one call of [`Segment::reserve`] makes room.
pub const RESERVE_STEP: usize = 32 << 20;

pub(super) const ZERO_CHUNK: usize = 1 << 20;

/// A file system that can keeps so much that was written in one call as one folio (Linux 6.16 on
/// ext4, 5.18 on XFS). Each takes the page cache about as long as a page. Larger ones cost more
/// again: a write looks at each block of its folio.
pub(super) const RUN_LEN: usize = 64 << 10;

static ZEROS: [u8; ZERO_CHUNK] = [0; ZERO_CHUNK];

/// How room is made ahead of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Blocks are allocated; cheap, but a sync must convert them.
    Allocated,
    /// Blocks are written with zeros and synced, so that the sync of a record is cheapest.
    Zeroed,
}

impl Segment {
    /// How many bytes behind the written position have room already.
    pub fn reserved_ahead(&self) -> usize {
        self.reserved.load(Ordering::Acquire).saturating_sub(self.written())
    }

    /// Whether the room reaches the end of the file.
    pub fn reserved_whole(&self) -> bool {
        self.reserved.load(Ordering::Acquire) >= self.size
    }

    /// Makes room for up to `ahead` bytes behind what is reserved already.
    pub fn reserve(&self, ahead: usize, how: Reserve) -> io::Result<()> {
        match how {
            Reserve::Allocated => self.allocate(ahead),
            Reserve::Zeroed => {
                let target = self.reserved.load(Ordering::Acquire).saturating_add(ahead);
                let target = target.min(self.size);
                while self.zero_chunk(target)? {
                    self.sync()?;
                }
                Ok(())
            }
        }
    }

    fn allocate(&self, ahead: usize) -> io::Result<()> {
        let from = self.reserved.load(Ordering::Acquire).max(self.written());
        let to = from.saturating_add(ahead).min(self.size);
        if from >= to {
            return Ok(());
        }
        // A file system that cannot reserve allocates while writing.
        let done = self.file.allocate(from as u64, (to - from) as u64)?;
        self.reserved.fetch_max(if done { to } else { self.size }, Ordering::AcqRel);
        Ok(())
    }

    /// Zeroes the next chunk below `target`; false when there is none left.
    fn zero_chunk(&self, target: usize) -> io::Result<bool> {
        let _reserving = self.reserving.lock().unwrap_or_else(PoisonError::into_inner);
        // The writer raises `reserved` under this lock before it passes it, so zeros written
        // from here on are behind every record.
        let from = self.reserved.load(Ordering::Acquire);
        let len = ZERO_CHUNK.min(target.saturating_sub(from));
        if len == 0 {
            return Ok(false);
        }
        self.file.write_at(zeros(len), from as u64)?;
        self.begun.fetch_max(from + len, Ordering::AcqRel);
        self.reserved.fetch_max(from + len, Ordering::AcqRel);
        Ok(true)
    }

    /// Lets the page cache take the run that a write ends in at once, instead of page by page as
    /// one small write after the other comes to it: those cost twice as much.
    pub(super) fn begin_run(&self, at: usize, end: usize) {
        let begun = self.begun.load(Ordering::Acquire);
        if end <= begun {
            return;
        }
        let from = begun.max(at).max(end - end % RUN_LEN);
        let to = end.next_multiple_of(RUN_LEN).min(self.size);
        // Zeros stand there already. On a full disk the record that follows fails.
        if self.file.write_at(zeros(to - from), from as u64).is_ok() {
            self.begun.fetch_max(to, Ordering::AcqRel);
        }
    }
}

/// At most [`ZERO_CHUNK`] of them.
pub(super) fn zeros(len: usize) -> &'static [u8] {
    &ZEROS[..len]
}

/// Turns the tail into zeros, without taking disk space for them where the system can.
pub(super) fn zero_tail(file: &DiskFile, from: usize, size: usize) -> io::Result<()> {
    if file.punch_hole(from as u64, (size - from) as u64)? {
        return Ok(());
    }
    let mut chunk = vec![0; ZERO_CHUNK];
    let mut at = from;
    while at < size {
        let len = ZERO_CHUNK.min(size - at);
        file.read_at(&mut chunk[..len], at as u64)?;
        if chunk[..len] != *zeros(len) {
            file.write_at(zeros(len), at as u64)?;
        }
        at += len;
    }
    Ok(())
}
