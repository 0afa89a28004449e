//! [`Topic`], the queues of one topic, with the answer to who asked for its route last.

use std::sync::Mutex;

use remoting::protocol::body::{Dialect, QueueData};

/// The queues of a topic by broker name; there are few brokers, and very many topics.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    queues: Vec<QueueData>,
    told: Mutex<Told>,
}

/// What an answer depends on beside the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How often the table had been changed.
    pub version: u64,
    pub acting_master: bool,
    pub dialect: Dialect,
}

/// The last answer. It is good as long as nothing has changed: of 6 µs that a route takes, its
/// JSON takes half of one.
#[derive(Debug, Default)]
struct Told {
    asked: Option<Asked>,
    body: Box<[u8]>,
}

impl Topic {
    /// Gives the last answer to `take`, if it was to the same; false if not.
    pub fn told(&self, asked: Asked, take: impl FnOnce(&[u8])) -> bool {
        // Whoever finds others here makes its own answer rather than to wait.
        let Ok(told) = self.told.try_lock() else { return false };
        let same = told.asked == Some(asked);
        if same {
            take(&told.body);
        }
        same
    }

    /// Keeps an answer for the next who asks.
    pub fn keep(&self, asked: Asked, body: Box<[u8]>) {
        if let Ok(mut told) = self.told.try_lock() {
            *told = Told { asked: Some(asked), body };
        }
    }

    /// The queues of each broker, by name.
    pub fn queues(&self) -> &[QueueData] {
        &self.queues
    }

    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The queues of one broker.
    pub fn of(&self, broker_name: &str) -> Option<&QueueData> {
        self.place(broker_name).ok().map(|at| &self.queues[at])
    }

    pub fn of_mut(&mut self, broker_name: &str) -> Option<&mut QueueData> {
        self.place(broker_name).ok().map(|at| &mut self.queues[at])
    }

    /// Takes the queues of a broker in, in place of those it had.
    pub fn put(&mut self, queues: QueueData) {
        match self.place(&queues.broker_name) {
            Ok(at) => self.queues[at] = queues,
            Err(at) => {
                self.queues.reserve_exact(1);
                self.queues.insert(at, queues);
            }
        }
    }

    /// Takes out the queues of the brokers that `gone` names.
    pub fn remove(&mut self, gone: impl Fn(&str) -> bool) {
        self.queues.retain(|queues| !gone(&queues.broker_name));
    }

    fn place(&self, broker_name: &str) -> Result<usize, usize> {
        self.queues.binary_search_by(|queues| queues.broker_name.as_str().cmp(broker_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_stand_by_broker_and_once() {
        let mut topic = Topic::default();
        let queues = |name: &str, perm| QueueData {
            broker_name: name.to_owned(),
            perm,
            ..QueueData::default()
        };
        for (name, perm) in [("b", 6), ("c", 6), ("a", 4), ("b", 2)] {
            topic.put(queues(name, perm));
        }
        assert_eq!(topic.queues(), [queues("a", 4), queues("b", 2), queues("c", 6)]);
        assert_eq!((topic.of("b").unwrap().perm, topic.of("d")), (2, None));
        topic.remove(|name| name != "b");
        assert_eq!(topic.queues(), [queues("b", 2)]);
    }

    #[test]
    fn an_answer_is_told_again_to_the_same_question_only() {
        let topic = Topic::default();
        let asked = Asked { version: 1, acting_master: false, dialect: Dialect::Standard };
        let told = |asked| {
            let mut told = None;
            topic.told(asked, |body| told = Some(body.to_vec()));
            told
        };
        assert_eq!(told(asked), None);
        topic.keep(asked, Box::from(*b"first"));
        assert_eq!(told(asked).as_deref(), Some(&b"first"[..]));
        for other in [
            Asked { version: 2, ..asked },
            Asked { acting_master: true, ..asked },
            Asked { dialect: Dialect::BareNumbers, ..asked },
        ] {
            assert_eq!(told(other), None, "{other:?}");
        }
        topic.keep(Asked { version: 2, ..asked }, Box::from(*b"second"));
        assert_eq!(told(asked), None);
    }
}
