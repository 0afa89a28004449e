//! `Tally`, a distribution of whole numbers that many threads add to without a lock.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use super::family::Histogram;

/// How many values lie up to each of the bounds, and not up to the one before.
pub(crate) struct Tally<const N: usize> {
    bounds: &'static [u64; N],
    sum: AtomicU64,
    counts: [AtomicU64; N],
    /// Values above the last bound.
    above: AtomicU64,
}

impl<const N: usize> Tally<N> {
    /// Without values.
    pub(crate) fn new(bounds: &'static [u64; N]) -> Tally<N> {
        let none = || AtomicU64::new(0);
        Tally { bounds, sum: none(), counts: array::from_fn(|_| none()), above: none() }
    }

    /// Adds a value.
    pub(crate) fn add(&self, value: u64) {
        self.sum.fetch_add(value, Ordering::Relaxed);
        let at = self.bounds.iter().position(|bound| value <= *bound);
        at.map_or(&self.above, |at| &self.counts[at]).fetch_add(1, Ordering::Relaxed);
    }

    /// What was added so far.
    pub(super) fn read(&self) -> Histogram {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Histogram {
            bounds: self.bounds.as_slice(),
            counts: self.counts.iter().chain([&self.above]).map(read).collect(),
            sum: read(&self.sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it() {
        let tally = Tally::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 1000] {
            tally.add(value);
        }
        let read = tally.read();
        assert_eq!((read.counts.as_slice(), read.sum), ([2, 2, 2, 2].as_slice(), 1225));
        assert_eq!(read.count(), 8);
    }
}
