//! Whether the members of a group want the same.
//!
//! A group has one set of subscriptions, that of its last heartbeat. Members that differ take it
//! from each other, and messages that only one of them wants are never delivered to it: the
//! queues of the others skip them. Java says nothing of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use remoting::protocol::body::ConsumerData;
use store::light;
use tracing::{info, warn};

/// Groups in conflict that are listed; clients choose the names.
const LISTED_MAX: usize = 1_000;

/// What one member of a group wants: by topic, and how it consumes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wishes(BTreeMap<String, String>);

impl Wishes {
    /// What a heartbeat says.
    pub(super) fn of(data: &ConsumerData) -> Wishes {
        let topics = data.subscription_data_set.iter();
        // Each member has its own light queues: that is what they are for.
        let topics = topics.filter(|data| !light::is_light(&data.topic));
        let mut wishes: BTreeMap<_, _> = topics
            .map(|data| {
                (data.topic.clone(), format!("{} {:?}", data.expression_type, data.sub_string))
            })
            .collect();
        if let Some(model) = data.message_model {
            wishes.insert("message model".to_owned(), format!("{model:?}"));
        }
        Wishes(wishes)
    }

    /// The first thing that differs, and what each wants of it.
    pub(super) fn difference(&self, other: &Wishes) -> Option<(String, String, String)> {
        let nothing = || "nothing".to_owned();
        let all = self.0.keys().chain(other.0.keys());
        let mut all: Vec<&String> = all.collect();
        all.sort();
        let what = all.into_iter().find(|what| self.0.get(*what) != other.0.get(*what))?;
        let of = |wishes: &Wishes| wishes.0.get(what).cloned().unwrap_or_else(nothing);
        Some((what.clone(), of(self), of(other)))
    }
}

/// The groups whose members do not want the same.
#[derive(Default)]
pub(crate) struct Conflicts {
    present: Mutex<BTreeMap<String, String>>,
    total: AtomicU64,
}

impl Conflicts {
    /// Notes whether the members of a group disagree; says so once while they do.
    pub(super) fn note(&self, group: &str, disagreement: Option<String>) {
        // Any state of the list is one that heartbeats may have left.
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        match disagreement {
            None => {
                if present.remove(group).is_some() {
                    info!(group, "members of the group want the same again");
                }
            }
            Some(said) if present.contains_key(group) => {
                present.insert(group.to_owned(), said);
            }
            Some(said) => {
                self.total.fetch_add(1, Ordering::Relaxed);
                warn!(
                    group,
                    said,
                    "subscriptions conflict: messages are lost to some members; subscribe alike"
                );
                if present.len() < LISTED_MAX {
                    present.insert(group.to_owned(), said);
                }
            }
        }
    }

    /// The groups that disagree now, with what about.
    pub(crate) fn present(&self) -> BTreeMap<String, String> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a group began to disagree since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use remoting::protocol::body::SubscriptionData;

    use super::*;

    fn wishes(topics: &[(&str, &str)]) -> Wishes {
        let data = |(topic, text): &(&str, &str)| SubscriptionData {
            topic: (*topic).to_owned(),
            sub_string: (*text).to_owned(),
            expression_type: "TAG".to_owned(),
            ..SubscriptionData::default()
        };
        let subscription_data_set = topics.iter().map(data).collect();
        Wishes::of(&ConsumerData { subscription_data_set, ..ConsumerData::default() })
    }

    #[test]
    fn the_first_difference_is_named() {
        let one = wishes(&[("T", "a"), ("U", "*")]);
        assert_eq!(one.difference(&wishes(&[("U", "*"), ("T", "a")])), None);
        for (other, what, wants) in [
            (wishes(&[("T", "b"), ("U", "*")]), "T", "TAG \"b\""),
            (wishes(&[("T", "a")]), "U", "nothing"),
            (wishes(&[]), "T", "nothing"),
        ] {
            let found = one.difference(&other).expect("a difference");
            assert_eq!((found.0.as_str(), found.2.as_str()), (what, wants));
        }
        // Light queues are each member's own.
        assert_eq!(one.difference(&wishes(&[("T", "a"), ("U", "*"), ("%LMQ%x", "*")])), None);
    }

    #[test]
    fn a_group_counts_once_while_it_disagrees() {
        let conflicts = Conflicts::default();
        let said = || Some("T: a, b".to_owned());
        conflicts.note("g", None);
        conflicts.note("g", said());
        conflicts.note("g", said());
        assert_eq!((conflicts.total(), conflicts.present().len()), (1, 1));
        conflicts.note("g", None);
        assert!(conflicts.present().is_empty());
        conflicts.note("g", said());
        assert_eq!(conflicts.total(), 2);
    }
}
