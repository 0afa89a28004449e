//! Zeros behind the last record: room that is made ahead of the writer, and what is cut off.

use std::io;

use crate::disk_file::DiskFile;

pub(super) const ZERO_CHUNK: usize = 1 << 20;

/// A file system that can keeps so much that was written in one call as one folio (Linux 6.16 on
/// ext4, 5.18 on XFS). Each takes the page cache about as long as a page. Larger ones cost more
/// again: a write looks at each block of its folio.
pub(super) const RUN_LEN: usize = 64 << 10;

static ZEROS: [u8; ZERO_CHUNK] = [0; ZERO_CHUNK];

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
