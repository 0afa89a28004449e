//! The property string of a message: `name 0x01 value 0x02`, repeated.
//!
//! Reading is lenient as in Java: a missing last separator is fine, pairs without a name or a
//! value do not exist, and of two pairs with one name the last one counts.

use crate::protocol::short_text::find;

/// Ends a name.
pub const NAME_END: char = '\u{1}';
/// Ends a value.
pub const VALUE_END: char = '\u{2}';
/// The longest property string a record can hold, in bytes.
pub const PROPERTIES_LEN_MAX: usize = i16::MAX as usize;
/// Separates the keys inside the KEYS property.
pub const KEY_SEPARATOR: char = ' ';

/// A property string, read in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a str);

impl<'a> Properties<'a> {
    /// Views a raw property string.
    pub fn new(raw: &'a str) -> Self {
        Properties(raw)
    }

    /// Returns the raw string.
    pub fn raw(&self) -> &'a str {
        self.0
    }

    /// Iterates over the pairs in their order; a name may occur more than once.
    pub fn iter(&self) -> Pairs<'a> {
        Pairs { rest: self.0 }
    }

    /// Returns the value of a name, the last one if there are several.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().filter(|(key, _)| *key == name).last().map(|(_, value)| value)
    }

    /// Tells whether a name has a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Iterates over the blank-separated items of the KEYS property.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        split_keys(self.get(property::KEYS).unwrap_or(""))
    }

    /// Tells whether the sender waits for the message to be stored safely.
    pub fn waits_for_store(&self) -> bool {
        // Java quirk: Boolean.parseBoolean; anything but "true" is false, absence is true.
        self.get(property::WAIT).is_none_or(|wait| wait.eq_ignore_ascii_case("true"))
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// The pairs of a property string.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (pair, rest) = split_at_byte(self.rest, VALUE_END as u8);
            self.rest = rest.unwrap_or("");
            if let (name, Some(value)) = split_at_byte(pair, NAME_END as u8)
                && !name.is_empty()
                && !value.is_empty()
            {
                return Some((name, value));
            }
        }
        None
    }
}

/// Iterates over the items of a KEYS property.
pub fn split_keys(keys: &str) -> impl Iterator<Item = &str> {
    keys.split(KEY_SEPARATOR).filter(|key| !key.is_empty())
}

/// Splits at the first occurrence of an ASCII byte, which is dropped.
fn split_at_byte(text: &str, byte: u8) -> (&str, Option<&str>) {
    match find(byte, text.as_bytes()) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A property string being built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    raw: String,
}

impl PropertiesBuf {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with a copy of a property string; a missing last separator is added.
    pub fn from_raw(raw: &str) -> Self {
        let mut properties = Self::new();
        properties.append_raw(raw);
        properties
    }

    /// Appends another property string behind this one, so that its values win.
    pub fn append_raw(&mut self, raw: &str) {
        self.raw.push_str(raw);
        if !self.raw.is_empty() && !self.raw.ends_with(VALUE_END) {
            self.raw.push(VALUE_END);
        }
    }

    /// Appends a pair without looking for an older one of the same name.
    pub fn push(&mut self, name: &str, value: &str) {
        self.raw.reserve(name.len() + value.len() + 2);
        self.raw.push_str(name);
        self.raw.push(NAME_END);
        self.raw.push_str(value);
        self.raw.push(VALUE_END);
    }

    /// Sets a value, replacing every older one of the same name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes every pair of a name; tells whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let mut removed = false;
        let mut at = 0;
        while at < self.raw.len() {
            let rest = &self.raw[at..];
            let end = memchr::memchr(VALUE_END as u8, rest.as_bytes());
            let len = end.map_or(rest.len(), |end| end + 1);
            let found = rest[..len].strip_prefix(name).is_some_and(|r| r.starts_with(NAME_END));
            if found {
                self.raw.replace_range(at..at + len, "");
                removed = true;
            } else {
                at += len;
            }
        }
        removed
    }

    /// Empties the string and keeps its memory.
    pub fn clear(&mut self) {
        self.raw.clear();
    }

    /// Returns the raw string.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Tells whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Views what is built so far.
    pub fn view(&self) -> Properties<'_> {
        Properties(&self.raw)
    }

    /// Gives the raw string away.
    pub fn into_string(self) -> String {
        self.raw
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*

        /// Every name that clients must not use for properties of their own.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

/// Property names with a meaning for brokers or clients.
pub mod property {
    names! {
        /// Blank-separated keys of the message.
        KEYS = "KEYS";
        /// Tag of the message.
        TAGS = "TAGS";
        /// Whether the sender waits for flush and replicas.
        WAIT = "WAIT";
        /// Delay level.
        DELAY = "DELAY";
        /// Original topic of a retry message.
        RETRY_TOPIC = "RETRY_TOPIC";
        /// Destination topic while a message is parked elsewhere.
        REAL_TOPIC = "REAL_TOPIC";
        /// Destination queue while a message is parked elsewhere.
        REAL_QUEUE_ID = "REAL_QID";
        /// `true` for a half message.
        TRANSACTION_PREPARED = "TRAN_MSG";
        /// Producer group of a transaction.
        PRODUCER_GROUP = "PGROUP";
        /// Set by pulling clients.
        MIN_OFFSET = "MIN_OFFSET";
        /// Set by pulling clients.
        MAX_OFFSET = "MAX_OFFSET";
        /// Legacy.
        BUYER_ID = "BUYER_ID";
        /// First offset message id of a retried message.
        ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
        /// Legacy.
        TRANSFER_FLAG = "TRANSFER_FLAG";
        /// Legacy.
        CORRECTION_FLAG = "CORRECTION_FLAG";
        /// Legacy.
        MQ2_FLAG = "MQ2_FLAG";
        /// Retry count that a client resends.
        RECONSUME_TIME = "RECONSUME_TIME";
        /// Region of the broker.
        MSG_REGION = "MSG_REGION";
        /// Whether the message is traced.
        TRACE_ON = "TRACE_ON";
        /// Unique id made by the sender.
        UNIQ_KEY = "UNIQ_KEY";
        /// More about the unique id.
        EXTEND_UNIQ_INFO = "EXTEND_UNIQ_INFO";
        /// Retry limit that a client resends.
        MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
        /// Set by consuming clients.
        CONSUME_START_TIME = "CONSUME_START_TIME";
        /// Number of messages in an inner batch.
        INNER_NUM = "INNER_NUM";
        /// First queue offset of an inner batch.
        INNER_BASE = "INNER_BASE";
        /// Sequence of a producer, against duplicates.
        DUP_INFO = "DUP_INFO";
        /// Age in seconds before which a half message is not checked.
        CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS";
        /// Half queue offset of the first copy of a half message.
        TRANSACTION_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET";
        /// Id of a transaction.
        TRANSACTION_ID = "__transactionId__";
        /// Number of checks of a half message.
        TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES";
        /// Instance of a namespace.
        INSTANCE_ID = "INSTANCE_ID";
        /// Pairs a reply with its request.
        CORRELATION_ID = "CORRELATION_ID";
        /// Client id that waits for a reply.
        REPLY_TO_CLIENT = "REPLY_TO_CLIENT";
        /// Time a requester waits, in ms.
        TTL = "TTL";
        /// When a reply reached the broker.
        ARRIVE_TIME = "ARRIVE_TIME";
        /// When a reply was pushed to its requester.
        PUSH_REPLY_TIME = "PUSH_REPLY_TIME";
        /// Cluster of the broker.
        CLUSTER = "CLUSTER";
        /// `reply` for a reply.
        MSG_TYPE = "MSG_TYPE";
        /// Receipt handle of a popped message.
        POP_CK = "POP_CK";
        /// Queue offset of a check point.
        POP_CK_OFFSET = "POP_CK_OFFSET";
        /// Time of the first pop.
        FIRST_POP_TIME = "1ST_POP_TIME";
        /// Key of ordered messages.
        SHARDING_KEY = "__SHARDINGKEY";
        /// Legacy forwarding.
        FORWARD_QUEUE_ID = "PROPERTY_FORWARD_QUEUE_ID";
        /// Legacy forwarding.
        REDIRECT = "REDIRECT";
        /// Further queues of a message.
        INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH";
        /// Offsets in the further queues of a message.
        INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET";
        /// Context of tracing.
        TRACE_CONTEXT = "TRACE_CONTEXT";
        /// Delay in seconds.
        TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
        /// Delay in ms.
        TIMER_DELAY_MS = "TIMER_DELAY_MS";
        /// Time of delivery in ms.
        TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
        /// When a timer message was enqueued.
        TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS";
        /// When a timer message was dequeued.
        TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS";
        /// How often a timer message was rolled.
        TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES";
        /// When a timer message is due.
        TIMER_OUT_MS = "TIMER_OUT_MS";
        /// Unique id of the timer message to delete.
        TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY";
        /// Delay level of a timer message.
        TIMER_DELAY_LEVEL = "TIMER_DELAY_LEVEL";
        /// Original sender address.
        BORN_HOST = "__BORNHOST";
        /// Original send time.
        BORN_TIMESTAMP = "BORN_TIMESTAMP";
        /// Topic of a dead letter's origin.
        DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC";
        /// Id of a dead letter's origin.
        DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID";
        /// Checksum of the whole record.
        CRC32 = "__CRC32#";
    }

    /// Prefix of properties that are never stored.
    pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_value_of_a_name_wins() {
        assert_eq!(Properties::new("a\u{1}1\u{2}a\u{1}2\u{2}").get("a"), Some("2"));
    }

    #[test]
    fn pairs_without_name_or_value_do_not_exist() {
        let raw = "\u{1}v\u{2}n\u{1}\u{2}plain\u{2}\u{2}a\u{1}b\u{1}c";
        let pairs: Vec<_> = Properties::new(raw).iter().collect();
        assert_eq!(pairs, [("a", "b\u{1}c")]);
    }

    #[test]
    fn removing_takes_every_pair_of_exactly_that_name() {
        let mut properties = PropertiesBuf::from_raw("a\u{1}1\u{2}ab\u{1}2\u{2}a\u{1}3");
        assert!(properties.remove("a"));
        assert!(!properties.remove("a"));
        assert_eq!(properties.as_str(), "ab\u{1}2\u{2}");
    }

    #[test]
    fn waiting_is_the_default() {
        assert!(Properties::new("").waits_for_store());
        assert!(Properties::new("WAIT\u{1}TRUE").waits_for_store());
        assert!(!Properties::new("WAIT\u{1}false").waits_for_store());
    }

    #[test]
    fn keys_are_separated_by_blanks() {
        let keys: Vec<_> = Properties::new("KEYS\u{1}k1  k2 \u{2}").keys().collect();
        assert_eq!(keys, ["k1", "k2"]);
    }

    proptest! {
        #[test]
        fn what_is_set_is_read(pairs in prop::collection::vec(("[a-z]{1,3}", "[^\u{1}\u{2}]{1,8}"), 0..12)) {
            let mut properties = PropertiesBuf::new();
            let mut model = BTreeMap::new();
            for (name, value) in &pairs {
                properties.set(name, value);
                model.insert(name.as_str(), value.as_str());
            }
            let read: BTreeMap<_, _> = properties.view().iter().collect();
            prop_assert_eq!(read, model);
        }

        #[test]
        fn any_text_is_read_without_panic(raw in "[\u{1}\u{2}a-cé]{0,40}") {
            let mut properties = PropertiesBuf::from_raw(&raw);
            let names: Vec<_> = properties.view().iter().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                prop_assert!(properties.view().contains(&name) == properties.remove(&name));
            }
            prop_assert_eq!(properties.view().iter().count(), 0);
        }
    }
}
