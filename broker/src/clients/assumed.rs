//! Subscriptions nobody announced: those that pulls and pops bring along.
//!
//! A consumer that never sends a heartbeat still wants something of a topic; administrators see it
//! here (345, 208). What was not used for `subscriptionExpiredTimeout` is forgotten.

use std::collections::HashMap;

use remoting::protocol::body::SubscriptionData;
use remoting::protocol::message::hash::java_string_hash;
use store::lookup::{KeyHasher, Lookup};

use crate::filter::is_tag_type;

/// A use within this time of the last one is not written down: pulls come by the thousand.
const REFRESH_MS: i64 = 10_000;

/// Group → topic → its subscription, whose version is the time of its last use.
#[derive(Default)]
pub(crate) struct Assumed {
    groups: Lookup<String, HashMap<String, SubscriptionData, KeyHasher>>,
}

impl Assumed {
    /// Notes that a group wants something of a topic.
    pub(crate) fn note(
        &self,
        group: &str,
        topic: &str,
        kind: Option<&str>,
        text: Option<&str>,
        now_ms: i64,
    ) {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("*");
        let same_kind = |data: &SubscriptionData| match kind {
            Some(kind) if !is_tag_type(Some(kind)) => data.expression_type == kind,
            _ => is_tag_type(Some(&data.expression_type)),
        };
        let fresh = |data: &SubscriptionData| {
            data.sub_string == text
                && same_kind(data)
                && now_ms.saturating_sub(data.sub_version) < REFRESH_MS
        };
        if self.groups.get(group).is_some_and(|topics| topics.get(topic).is_some_and(fresh)) {
            return;
        }
        let data = subscription(topic, kind, text, now_ms);
        self.groups.entry(group.to_owned()).or_default().insert(topic.to_owned(), data);
    }

    /// Returns what a group wants of a topic.
    pub(crate) fn find(&self, group: &str, topic: &str) -> Option<SubscriptionData> {
        self.groups.get(group)?.get(topic).cloned()
    }

    /// Forgets what was not used for a time.
    pub(crate) fn expire(&self, now_ms: i64, timeout_ms: i64) {
        self.groups.retain(|_, topics| {
            topics.retain(|_, data| now_ms.saturating_sub(data.sub_version) <= timeout_ms);
            !topics.is_empty()
        });
    }
}

fn subscription(topic: &str, kind: Option<&str>, text: &str, now_ms: i64) -> SubscriptionData {
    let mut data = SubscriptionData {
        topic: topic.to_owned(),
        sub_string: text.to_owned(),
        sub_version: now_ms,
        ..SubscriptionData::default()
    };
    match kind {
        Some(kind) if !is_tag_type(Some(kind)) => kind.clone_into(&mut data.expression_type),
        _ if text == "*" => {}
        _ => {
            let tags = text.split("||").map(str::trim).filter(|tag| !tag.is_empty());
            data.tags_set = tags.map(str::to_owned).collect();
            data.code_set = data.tags_set.iter().map(|tag| java_string_hash(tag)).collect();
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_is_kept_for_a_while() {
        let assumed = Assumed::default();
        assumed.note("g", "T", None, None, 1_000);
        assumed.note("g", "U", Some("TAG"), Some("a || b"), 2_000);
        assert_eq!(assumed.find("g", "T").unwrap().sub_string, "*");
        let tags = assumed.find("g", "U").unwrap();
        assert_eq!((tags.tags_set, tags.code_set), (vec!["a".into(), "b".into()], vec![97, 98]));
        // Used again at once, later, and with another expression.
        assumed.note("g", "T", None, Some("*"), 10_999);
        assert_eq!(assumed.find("g", "T").unwrap().sub_version, 1_000);
        assumed.note("g", "T", None, Some("*"), 11_000);
        assert_eq!(assumed.find("g", "T").unwrap().sub_version, 11_000);
        assumed.note("g", "T", Some("SQL92"), Some("a > 1"), 11_001);
        let sql = assumed.find("g", "T").unwrap();
        assert_eq!((sql.expression_type.as_str(), sql.sub_string.as_str()), ("SQL92", "a > 1"));
        assert!(sql.tags_set.is_empty());
        // The same text of another type is another expression.
        assumed.note("g", "T", None, Some("a > 1"), 11_001);
        assert_eq!(assumed.find("g", "T").unwrap().tags_set, ["a > 1"]);
        assumed.note("g", "T", Some("SQL92"), Some("a > 1"), 11_001);
        assert!(assumed.find("g", "T").unwrap().tags_set.is_empty());

        assumed.expire(12_001, 10_000);
        assert!(assumed.find("g", "U").is_none() && assumed.find("g", "T").is_some());
        assumed.expire(i64::MAX, 10_000);
        assert!(assumed.groups.is_empty());
    }
}
