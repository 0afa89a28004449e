//! The bytes of an index file.
//!
//! ```text
//! 0   header   begin time i64 | end time i64 | begin offset i64 | end offset i64
//!              | used slots i32 | entries + 1 i32
//! 40  slots    i32 each: number of the newest entry of the chain, 0 for none
//!     entries  key hash i32 | physical offset i64 | seconds i32 | previous entry i32
//! ```
//!
//! Entry 0 is never used. The seconds count from the begin time. Both offsets are those of
//! records' first bytes.

/// Length of the header.
pub(super) const HEADER_LEN: usize = 40;
/// Length of a slot.
pub(super) const SLOT_LEN: usize = 4;
/// Length of an entry.
pub(super) const ENTRY_LEN: usize = 20;

/// How many slots and entries a file has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) slots: u32,
    pub(super) entries: u32,
}

impl Shape {
    pub(super) fn file_len(self) -> u64 {
        self.entry_at(self.entries)
    }

    pub(super) fn slot_at(self, slot: u32) -> u64 {
        HEADER_LEN as u64 + u64::from(slot) * SLOT_LEN as u64
    }

    pub(super) fn entry_at(self, entry: u32) -> u64 {
        self.slot_at(self.slots) + u64::from(entry) * ENTRY_LEN as u64
    }

    pub(super) fn slot_of(self, hash: i32) -> u32 {
        hash.unsigned_abs() % self.slots
    }
}

/// The header of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) begin_timestamp: i64,
    pub(super) end_timestamp: i64,
    pub(super) begin_physical_offset: i64,
    pub(super) end_physical_offset: i64,
    pub(super) used_slots: i32,
    /// Number of the next entry, at least 1.
    pub(super) next_entry: u32,
}

impl Header {
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Header {
        let long = |at: usize| {
            bytes[at..].first_chunk().copied().map(i64::from_be_bytes).unwrap_or_default()
        };
        let int = |at: usize| {
            bytes[at..].first_chunk().copied().map(i32::from_be_bytes).unwrap_or_default()
        };
        Header {
            begin_timestamp: long(0),
            end_timestamp: long(8),
            begin_physical_offset: long(16),
            end_physical_offset: long(24),
            used_slots: int(32),
            // A negative number counts as one that no file has room for.
            next_entry: int(36).cast_unsigned().max(1),
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.begin_timestamp.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_timestamp.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_physical_offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_physical_offset.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..].copy_from_slice(&self.next_entry.to_be_bytes());
        bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next_entry <= 1
    }

    /// Whether any entry may have been stored within the times.
    pub(super) fn overlaps(&self, begin: i64, end: i64) -> bool {
        self.begin_timestamp <= end && begin <= self.end_timestamp
    }

    /// Store time of an entry, to the second.
    pub(super) fn time_of(&self, entry: &Entry) -> i64 {
        self.begin_timestamp.saturating_add(i64::from(entry.seconds) * 1000)
    }
}

/// One entry of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: i32,
    pub(super) physical_offset: i64,
    pub(super) seconds: i32,
    pub(super) previous: i32,
}

impl Entry {
    pub(super) fn decode(bytes: &[u8; ENTRY_LEN]) -> Entry {
        let int = |at: usize| {
            bytes[at..].first_chunk().copied().map(i32::from_be_bytes).unwrap_or_default()
        };
        let offset = bytes[4..].first_chunk().copied().map(i64::from_be_bytes);
        Entry {
            hash: int(0),
            physical_offset: offset.unwrap_or_default(),
            seconds: int(12),
            previous: int(16),
        }
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }

    /// The entry before it in its chain; `None` at the end or where the chain makes no sense.
    pub(super) fn previous_of(&self, number: u32) -> Option<u32> {
        let previous = u32::try_from(self.previous).ok()?;
        (previous > 0 && previous < number).then_some(previous)
    }
}
