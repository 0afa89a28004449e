//! What readers of the log hold.

use std::sync::Arc;

use super::{Block, Segment};

/// A range of one segment, kept alive by a reference count.
#[derive(Clone, Debug)]
pub struct LogSlice {
    /// The file.
    pub segment: Arc<Segment>,
    /// Start within the file.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
    /// Has the bytes, if the mapping is not to be touched for them.
    block: Option<Arc<Block>>,
}

impl Segment {
    /// Hands out a range, if all of it is written.
    pub fn slice(self: &Arc<Self>, start: usize, len: usize) -> Option<LogSlice> {
        let end = start.checked_add(len)?;
        let slice = || LogSlice { segment: Arc::clone(self), start, len, block: None };
        (end <= self.written()).then(slice)
    }
}

impl LogSlice {
    /// The same range with its bytes in a block, which holds it.
    pub fn in_block(self, block: &Arc<Block>) -> LogSlice {
        LogSlice { block: Some(Arc::clone(block)), ..self }
    }

    /// Log position of the first byte.
    pub fn physical_offset(&self) -> i64 {
        self.segment.base() + self.start as i64
    }
}

impl AsRef<[u8]> for LogSlice {
    fn as_ref(&self) -> &[u8] {
        match &self.block {
            None => self.segment.bytes(self.start, self.len),
            // Invariant: it was made of a range that the block holds.
            Some(block) => block.bytes(self.physical_offset(), self.len).unwrap_or_default(),
        }
    }
}
