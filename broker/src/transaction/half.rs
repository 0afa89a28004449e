//! A half message: a message parked in the half topic until its producer ends the transaction.
//!
//! The parked record has the topic and queue it is for as properties. When its producer has to be
//! asked, it is parked again behind all others, with one more check counted; so one transaction
//! can have several records, of which only the newest counts. What they have in common tells that
//! they are one: [`Half::identity`].

use std::hash::{BuildHasher, RandomState};

use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::{Properties, PropertiesBuf, sys_flag};
use store::NewMessage;

use crate::topics::{CHECKED_OUT_TOPIC, HALF_TOPIC};

/// What tells a transaction from all others, for as long as this process runs.
pub(super) type Identity = u64;

/// A parked record and what its properties say.
#[derive(Clone, Debug)]
pub(crate) struct Half<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Producer group.
    pub group: Option<&'a str>,
    /// Topic it is for.
    pub topic: &'a str,
    /// Queue it is for.
    pub queue_id: i32,
    /// Unique key of the message.
    pub unique_key: &'a str,
    /// How often its producer was asked.
    pub checks: i32,
    /// `CHECK_IMMUNITY_TIME_IN_SECONDS` as it stands.
    pub immunity: Option<&'a str>,
    /// Whether it was parked again.
    pub copied: bool,
}

impl<'a> Half<'a> {
    /// Reads a record; `None` if it is none of a half message, or nobody could say where it goes.
    pub(crate) fn of(record: Record<'a>) -> Option<Half<'a>> {
        let (mut topic, mut queue_id) = (None, None);
        let mut half = Half {
            group: None,
            topic: "",
            queue_id: 0,
            unique_key: "",
            checks: 0,
            immunity: None,
            copied: false,
            record,
        };
        for (name, value) in half.record.properties() {
            match name {
                property::REAL_TOPIC => topic = Some(value),
                property::REAL_QUEUE_ID => queue_id = value.parse::<i32>().ok(),
                property::PRODUCER_GROUP => half.group = Some(value),
                property::UNIQ_KEY => half.unique_key = value,
                property::CHECK_IMMUNITY_TIME_IN_SECONDS => half.immunity = Some(value),
                property::TRANSACTION_CHECK_TIMES => {
                    // Java quirk: a number of checks that is none counts as -1.
                    half.checks = value.parse().unwrap_or(-1);
                    half.copied = true;
                }
                property::TRANSACTION_PREPARED_QUEUE_OFFSET => half.copied = true,
                _ => {}
            }
        }
        half.topic = topic?;
        half.queue_id = queue_id.filter(|id| *id >= 0)?;
        Some(half)
    }

    /// Reads a record of the half topic.
    pub(crate) fn parked(record: Record<'a>) -> Option<Half<'a>> {
        let parked = record.topic == HALF_TOPIC && record.queue_id == 0;
        if parked { Half::of(record) } else { None }
    }

    /// Whether the record is one of a transaction that waits, or waited until it was given up.
    pub(crate) fn waits(&self) -> bool {
        self.record.topic == CHECKED_OUT_TOPIC || self.record.topic == HALF_TOPIC
    }

    /// What this record has in common with all others of its transaction, also with those a Java
    /// broker has written.
    pub(super) fn identity(&self, keys: &RandomState) -> Identity {
        let Record { born_timestamp, born_host, body_crc, .. } = self.record;
        keys.hash_one((
            (self.unique_key, self.group, self.topic, self.queue_id),
            (born_timestamp, born_host, body_crc),
        ))
    }

    /// The message as it becomes visible at the commit.
    ///
    /// The properties stay as they are parked: Java's consumers know by TRAN_MSG that it comes
    /// from a transaction.
    pub(super) fn committed(&self) -> NewMessage<'a> {
        let half = &self.record;
        NewMessage {
            topic: self.topic,
            queue_id: self.queue_id,
            sys_flag: sys_flag::with_transaction(half.sys_flag, sys_flag::TRANSACTION_COMMIT),
            prepared_transaction_offset: half.physical_offset,
            ..self.again(half.properties)
        }
    }

    /// The message as it is parked again, with these properties.
    ///
    /// Better than Java, which forgets the sender's flag here.
    pub(super) fn again<'p>(&self, properties: &'p str) -> NewMessage<'p>
    where
        'a: 'p,
    {
        let half = &self.record;
        NewMessage::copy_of(half, HALF_TOPIC, 0, properties)
    }
}

/// Writes the properties of a message that is parked until its transaction ends.
pub(super) fn park(message: &NewMessage<'_>, out: &mut PropertiesBuf) {
    use property::{REAL_QUEUE_ID, REAL_TOPIC, TRANSACTION_ID, UNIQ_KEY};
    let mut unique_key = None;
    out.clear();
    for (name, value) in Properties::new(message.properties) {
        match name {
            REAL_TOPIC | REAL_QUEUE_ID | TRANSACTION_ID => continue,
            UNIQ_KEY => unique_key = Some(value),
            _ => {}
        }
        out.push(name, value);
    }
    if let Some(key) = unique_key {
        out.push(TRANSACTION_ID, key);
    }
    out.push(REAL_TOPIC, message.topic);
    out.push(REAL_QUEUE_ID, itoa::Buffer::new().format(message.queue_id));
}

/// Writes the properties with another value of one name.
pub(super) fn with(properties: Properties<'_>, name: &str, value: &str, out: &mut PropertiesBuf) {
    out.clear();
    for (other, value) in properties {
        if other != name {
            out.push(other, value);
        }
    }
    out.push(name, value);
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::BytesMut;
    use remoting::protocol::message::NewRecord;
    use remoting::protocol::message::record::Version;

    use super::*;

    /// A record of the half topic with these properties.
    pub(in crate::transaction) fn record(born: i64, stored: i64, properties: &str) -> BytesMut {
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10_911));
        let new = NewRecord {
            version: Version::V1,
            queue_id: 0,
            flag: 5,
            queue_offset: 7,
            physical_offset: 1_000,
            sys_flag: 1,
            born_timestamp: born,
            born_host: host,
            store_timestamp: stored,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            topic: HALF_TOPIC,
            properties: &[properties],
        };
        let mut out = BytesMut::new();
        new.encode(&mut out).unwrap();
        out
    }

    const PROPERTIES: &str = "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}3\u{2}UNIQ_KEY\u{1}K\u{2}\
                              PGROUP\u{1}g\u{2}TRAN_MSG\u{1}true\u{2}";

    #[test]
    fn a_commit_goes_where_the_half_was_for() {
        let bytes = record(1, 2, PROPERTIES);
        let half = Half::parked(Record::decode(&bytes).unwrap()).unwrap();
        let commit = half.committed();
        assert_eq!((commit.topic, commit.queue_id, commit.flag), ("T", 3, 5));
        assert_eq!((commit.sys_flag, commit.prepared_transaction_offset), (1 | 8, 1_000));
        assert_eq!(commit.properties, PROPERTIES);
    }

    #[test]
    fn copies_are_the_same_transaction_and_others_are_not() {
        let keys = RandomState::new();
        let identity = |bytes: &BytesMut| {
            Half::parked(Record::decode(bytes).unwrap()).unwrap().identity(&keys)
        };
        let first = record(1, 2, PROPERTIES);
        let mut properties = PropertiesBuf::new();
        let name = property::TRANSACTION_CHECK_TIMES;
        with(Properties::new(PROPERTIES), name, "1", &mut properties);
        let copy = record(1, 3, properties.as_str());
        assert_eq!(identity(&first), identity(&copy));
        assert_ne!(identity(&first), identity(&record(2, 2, PROPERTIES)));
        let other = PROPERTIES.replace("\u{1}K\u{2}", "\u{1}L\u{2}");
        assert_ne!(identity(&first), identity(&record(1, 2, &other)));
    }

    #[test]
    fn a_record_without_destination_is_no_half() {
        for properties in [
            "REAL_TOPIC\u{1}T\u{2}",
            "REAL_QID\u{1}1\u{2}",
            "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}x\u{2}",
            "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}-1\u{2}",
        ] {
            let bytes = record(1, 2, properties);
            assert!(Half::of(Record::decode(&bytes).unwrap()).is_none(), "{properties:?}");
        }
    }

    #[test]
    fn parking_replaces_what_a_sender_wrote_about_it() {
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let message = NewMessage {
            topic: "T",
            queue_id: 4,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"",
            properties: "REAL_TOPIC\u{1}X\u{2}UNIQ_KEY\u{1}K\u{2}__transactionId__\u{1}Y\u{2}",
        };
        let mut out = PropertiesBuf::new();
        park(&message, &mut out);
        let pairs: Vec<_> = out.view().iter().collect();
        let expected =
            [("UNIQ_KEY", "K"), ("__transactionId__", "K"), ("REAL_TOPIC", "T"), ("REAL_QID", "4")];
        assert_eq!(pairs, expected);
    }
}
