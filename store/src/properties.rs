//! What the store itself acts on of a message's properties, read in one pass.

use remoting::protocol::message::properties::{property, split_keys};
use remoting::protocol::message::{Properties, hash};

use crate::dispatch::{DelayLevels, SCHEDULE_TOPIC};

/// The properties the store acts on; of equal names the last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreProperties<'a> {
    /// Tags, which filters look for.
    pub tags: Option<&'a str>,
    /// Delay level.
    pub delay: Option<&'a str>,
    /// Number of messages in an inner batch.
    pub inner_num: Option<&'a str>,
    /// Names of light queues.
    pub light_queues: Option<&'a str>,
    /// Offsets in the light queues.
    pub light_offsets: Option<&'a str>,
    /// Unique id made by the sender.
    pub unique_key: Option<&'a str>,
    /// Blank-separated keys.
    pub keys: Option<&'a str>,
}

impl<'a> StoreProperties<'a> {
    /// Reads a raw property string.
    pub fn of(raw: &'a str) -> StoreProperties<'a> {
        let mut seen = StoreProperties::default();
        for (name, value) in Properties::new(raw) {
            let place = match name {
                property::TAGS => &mut seen.tags,
                property::DELAY => &mut seen.delay,
                property::INNER_NUM => &mut seen.inner_num,
                property::INNER_MULTI_DISPATCH => &mut seen.light_queues,
                property::INNER_MULTI_QUEUE_OFFSET => &mut seen.light_offsets,
                property::UNIQ_KEY => &mut seen.unique_key,
                property::KEYS => &mut seen.keys,
                _ => continue,
            };
            *place = Some(value);
        }
        seen
    }

    /// With those of a property string that follows.
    pub fn then(self, after: StoreProperties<'a>) -> StoreProperties<'a> {
        StoreProperties {
            tags: after.tags.or(self.tags),
            delay: after.delay.or(self.delay),
            inner_num: after.inner_num.or(self.inner_num),
            light_queues: after.light_queues.or(self.light_queues),
            light_offsets: after.light_offsets.or(self.light_offsets),
            unique_key: after.unique_key.or(self.unique_key),
            keys: after.keys.or(self.keys),
        }
    }

    /// Tags code of a unit: hash of the tags, or the time of delivery in the schedule topic.
    pub fn tags_code(&self, topic: &str, store_timestamp: i64, delays: &DelayLevels) -> i64 {
        if topic == SCHEDULE_TOPIC {
            let level = self.delay.and_then(|level| level.parse::<i32>().ok());
            if let Some(level) = level.filter(|level| *level > 0) {
                return delays.deliver_at(level, store_timestamp);
            }
        }
        hash::tags_code(self.tags)
    }

    /// The keys one by one.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        split_keys(self.keys.unwrap_or(""))
    }

    /// Number of messages in an inner batch, if it is one.
    pub fn inner_count(&self) -> Option<i16> {
        self.inner_num?.parse().ok().filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags_code(topic: &str, raw: &str) -> i64 {
        let delays = DelayLevels::parse("1s 5s 10s 30s").unwrap();
        StoreProperties::of(raw).tags_code(topic, 446, &delays)
    }

    #[test]
    fn the_schedule_topic_keeps_the_time_of_delivery() {
        let properties = "TAGS\u{1}TagA\u{2}DELAY\u{1}3\u{2}";
        assert_eq!(tags_code(SCHEDULE_TOPIC, properties), 10_446);
        assert_eq!(tags_code("T", properties), 2_598_919);
        assert_eq!(tags_code(SCHEDULE_TOPIC, "TAGS\u{1}TagA\u{2}"), 2_598_919);
        assert_eq!(tags_code("T", ""), 0);
    }

    #[test]
    fn what_follows_counts_first() {
        let (own, after) =
            ("TAGS\u{1}a\u{2}UNIQ_KEY\u{1}u\u{2}", "TAGS\u{1}b\u{2}KEYS\u{1}k l\u{2}");
        let both = StoreProperties::of(own).then(StoreProperties::of(after));
        assert_eq!(both, StoreProperties::of(&format!("{own}{after}")));
        assert_eq!((both.tags, both.unique_key), (Some("b"), Some("u")));
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let seen = StoreProperties::of("TAGS\u{1}a\u{2}INNER_NUM\u{1}0\u{2}TAGS\u{1}b\u{2}");
        assert_eq!((seen.tags, seen.inner_num, seen.inner_count()), (Some("b"), Some("0"), None));
        assert_eq!(StoreProperties::of("INNER_NUM\u{1}40000\u{2}").inner_count(), None);
        assert_eq!(StoreProperties::of("INNER_NUM\u{1}32767\u{2}").inner_count(), Some(32_767));
    }
}
