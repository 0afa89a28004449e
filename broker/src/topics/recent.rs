//! The last changes of the table.

use std::collections::VecDeque;

/// Changes remembered at least; one that is further behind looks at all topics.
pub(super) const RECENT_MIN: usize = 1024;

/// The last changes, in order.
#[derive(Default)]
pub(super) struct Recent {
    list: VecDeque<Change>,
    /// Changes up to this one are no longer listed.
    forgotten: u64,
}

/// One change.
pub(super) struct Change {
    number: u64,
    /// Name of the topic.
    pub topic: Box<str>,
    /// Whether it made the topic.
    new: bool,
}

impl Recent {
    /// Lists a change. Of a table of `len` topics a quarter as many are kept, so that looking at
    /// all topics instead costs little for each change.
    pub fn push(&mut self, number: u64, topic: &str, new: bool, len: impl Fn() -> usize) {
        self.list.push_back(Change { number, topic: topic.into(), new });
        while self.list.len() > RECENT_MIN
            && self.list.len() > len() / 4
            && let Some(oldest) = self.list.pop_front()
        {
            self.forgotten = oldest.number;
        }
    }

    /// Forgets all changes up to this one, the last.
    pub fn forget(&mut self, number: u64) {
        self.list.clear();
        self.forgotten = number;
    }

    /// The changes after the given one; `None` if some of them are forgotten.
    pub fn since(&self, number: u64) -> Option<impl Iterator<Item = &Change>> {
        let start = self.list.partition_point(|change| change.number <= number);
        (number >= self.forgotten).then(|| self.list.range(start..))
    }

    /// The topics made after the given change, if no other changes came after it.
    pub fn new_topics(&self, number: u64) -> Option<Vec<Box<str>>> {
        self.since(number)?.map(|change| change.new.then(|| change.topic.clone())).collect()
    }

    /// The last change of a topic after the given one, or the last forgotten one if that is later.
    pub fn last_of(&self, topic: &str, number: u64) -> Option<u64> {
        let start = self.list.partition_point(|change| change.number <= number);
        let mut later = self.list.range(start..).rev();
        let change = later.find(|change| *change.topic == *topic).map(|change| change.number);
        change.or((self.forgotten > number).then_some(self.forgotten))
    }
}
