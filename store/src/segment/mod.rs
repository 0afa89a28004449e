//! One log file: mapped for reading, written with `pwrite`.

use std::sync::Arc;

/// One file of the log.
#[derive(Debug)]
pub struct Segment {}

impl Segment {
    /// Bytes of a range below the written position.
    pub fn bytes(&self, _start: usize, _len: usize) -> &[u8] {
        &[]
    }
}

/// A range of one segment, kept alive by a reference count.
#[derive(Clone, Debug)]
pub struct LogSlice {
    /// The file.
    pub segment: Arc<Segment>,
    /// Start within the file.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

impl AsRef<[u8]> for LogSlice {
    fn as_ref(&self) -> &[u8] {
        self.segment.bytes(self.start, self.len)
    }
}
