//! Which half messages need nothing more: one bit for each, from the first that does on.

use std::collections::VecDeque;

const BITS: i64 = u64::BITS as i64;

/// A set of offsets that holds everything below its start.
#[derive(Debug)]
pub(super) struct Ended {
    /// The first offset that may be missing.
    start: i64,
    /// Bits from `start` rounded down to whole words; what is behind them is not in the set.
    words: VecDeque<u64>,
}

impl Ended {
    /// Everything below `start`.
    pub(super) fn below(start: i64) -> Ended {
        Ended { start: start.max(0), words: VecDeque::new() }
    }

    /// The first offset that may be missing.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Whether the offset is in the set.
    pub(super) fn contains(&self, offset: i64) -> bool {
        if offset < self.start {
            return true;
        }
        let (word, bit) = self.place(offset);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Adds an offset; the set grows with the distance from its start.
    pub(super) fn insert(&mut self, offset: i64) {
        if offset < self.start {
            return;
        }
        let (word, bit) = self.place(offset);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Adds all offsets from `from` to before `to`.
    pub(super) fn insert_range(&mut self, from: i64, to: i64) {
        for offset in from.max(self.start)..to {
            self.insert(offset);
        }
    }

    /// The first offset not in the set, from `from` to before `end`.
    pub(super) fn next_missing(&self, from: i64, end: i64) -> Option<i64> {
        let mut offset = from.max(self.start);
        while offset < end {
            let (word, bit) = self.place(offset);
            let Some(bits) = self.words.get(word) else { return Some(offset) };
            // Bits below the one asked for do not count.
            let missing = !bits & !(bit - 1);
            let first_of_word = offset - offset % BITS;
            if missing != 0 {
                let found = first_of_word + i64::from(missing.trailing_zeros());
                return (found < end).then_some(found);
            }
            offset = first_of_word + BITS;
        }
        None
    }

    /// Moves the start to the first missing offset, at most to `end`.
    pub(super) fn advance(&mut self, end: i64) {
        let to = self.next_missing(self.start, end).unwrap_or(end.max(self.start));
        let words = to / BITS - self.start / BITS;
        for _ in 0..words {
            self.words.pop_front();
        }
        self.start = to;
    }

    fn place(&self, offset: i64) -> (usize, u64) {
        let word = offset / BITS - self.start / BITS;
        (word.unsigned_abs() as usize, 1 << (offset % BITS))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_start_moves_over_what_is_in() {
        let mut ended = Ended::below(100);
        assert!(ended.contains(99) && !ended.contains(100));
        ended.insert_range(100, 300);
        ended.insert(301);
        assert_eq!(ended.next_missing(0, 400), Some(300));
        assert_eq!(ended.next_missing(301, 400), Some(302));
        ended.advance(250);
        assert_eq!(ended.start(), 250);
        ended.advance(400);
        assert_eq!((ended.start(), ended.words.len()), (300, 1));
        assert!(ended.contains(301) && !ended.contains(302));
        ended.insert(300);
        ended.advance(301);
        assert_eq!(ended.next_missing(0, 302), None);
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            start in 0_i64..200,
            steps in prop::collection::vec((0_i64..600, any::<bool>()), 0..80),
        ) {
            let mut ended = Ended::below(start);
            let mut model: BTreeSet<i64> = (0..start).collect();
            for (offset, advance) in steps {
                if advance {
                    ended.advance(offset);
                    // Moving stops at a gap, or counts what is below the end as in the set.
                    let first = (0..).find(|at| !model.contains(at)).unwrap_or(0);
                    prop_assert_eq!(ended.start(), first.min(offset.max(ended.start())));
                } else {
                    ended.insert(offset);
                    model.insert(offset);
                }
                for at in 0..700 {
                    prop_assert_eq!(ended.contains(at), model.contains(&at), "{}", at);
                }
            }
            let first = (0..700).find(|at| !model.contains(at));
            prop_assert_eq!(ended.next_missing(0, 700), first);
        }
    }
}
