//! Which chunks of the log have been brought into memory a moment ago: readers of several queues
//! come by the same ones, and each need not ask the system for them again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Chunks that are known of at a time.
const SLOTS: usize = 4096;
/// What is known counts for one to two moments, of so many ms: less than it takes the system to
/// give memory to others that was used just now.
const MOMENT_MS: u128 = 100;
/// Bits of the moment in a slot; those of the chunk's number are above. It takes 19 days until the
/// same moment seems to come again.
const MOMENT_BITS: u32 = 24;

/// The chunks, each where its number leads to; another one that leads there takes its place.
#[derive(Debug)]
pub(super) struct LatelyRead {
    begun: Instant,
    slots: [AtomicU64; SLOTS],
}

impl Default for LatelyRead {
    fn default() -> LatelyRead {
        LatelyRead { begun: Instant::now(), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

impl LatelyRead {
    /// Notes that chunks of these numbers are in memory.
    pub(super) fn note(&self, chunks: Range<i64>) {
        let moment = self.moment();
        for chunk in chunks {
            self.slot(chunk).store(entry(chunk, moment), Ordering::Relaxed);
        }
    }

    /// Whether all of these are known to be.
    pub(super) fn all(&self, chunks: Range<i64>) -> bool {
        let moment = self.moment();
        let mut chunks = chunks;
        chunks.all(|chunk| {
            let found = self.slot(chunk).load(Ordering::Relaxed);
            found == entry(chunk, moment) || found == entry(chunk, moment - 1)
        })
    }

    /// Counts from 2, so that an empty slot is of no moment that counts.
    fn moment(&self) -> u64 {
        (self.begun.elapsed().as_millis() / MOMENT_MS) as u64 + 2
    }

    fn slot(&self, chunk: i64) -> &AtomicU64 {
        &self.slots[chunk.unsigned_abs() as usize % SLOTS]
    }
}

fn entry(chunk: i64, moment: u64) -> u64 {
    (chunk.unsigned_abs() << MOMENT_BITS) | (moment & ((1 << MOMENT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_chunk_is_known_for_a_moment_and_until_another_takes_its_place() {
        let mut lately = LatelyRead::default();
        assert!(!lately.all(0..1), "nothing is known at first");
        lately.note(5..8);
        assert!(lately.all(5..8) && lately.all(6..7));
        assert!(!lately.all(5..9) && !lately.all(4..6));
        lately.note(6 + SLOTS as i64..7 + SLOTS as i64);
        assert!(!lately.all(6..7) && lately.all(7..8));
        // As if all that had been long ago.
        lately.begun -= Duration::from_millis(2 * MOMENT_MS as u64);
        assert!(!lately.all(7..8));
    }
}
