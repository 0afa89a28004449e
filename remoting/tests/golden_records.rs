//! Every record, batch, id and hash that Java's encoders wrote, byte for byte.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use remoting::protocol::message::batch::{BatchMessage, BatchMessages};
use remoting::protocol::message::compression::{Compression, INFLATED_LEN_MAX};
use remoting::protocol::message::hash;
use remoting::protocol::message::id::{OffsetMessageId, UniqueKey};
use remoting::protocol::message::record::{
    self, CRC_PROPERTY_LEN, MAGIC_V2, NewRecord, Record, RecordError, Version,
};
use serde_json::Value;

const GOLDEN: &str = include_str!("../../compat-tests/facts/golden-records.tsv");

struct Row {
    id: &'static str,
    facts: Value,
    bytes: Vec<u8>,
}

/// The rows of a kind; the number is stated so that a lost row is noticed.
fn rows(kind: &str, count: usize) -> Vec<Row> {
    let cells = GOLDEN.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    let rows: Vec<_> = cells
        .filter(|cells| cells[0] == kind)
        .map(|cells| Row {
            id: cells[1],
            facts: serde_json::from_str(cells[2]).unwrap(),
            bytes: if cells[3] == "-" { Vec::new() } else { from_hex(cells[3]) },
        })
        .collect();
    assert_eq!(rows.len(), count, "rows of {kind}");
    rows
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

impl Row {
    fn text(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap()
    }

    fn i64(&self, name: &str) -> i64 {
        self.facts[name].as_i64().unwrap()
    }

    fn i32(&self, name: &str) -> i32 {
        self.i64(name).try_into().unwrap()
    }

    fn host(&self, name: &str) -> SocketAddr {
        self.text(name).parse().unwrap()
    }
}

#[test]
fn records_are_written_byte_for_byte() {
    for row in rows("record", 22) {
        let body = from_hex(row.text("storedBodyHex"));
        let mut properties = row.text("propertiesString").to_owned();
        let with_crc = row.id == "append-prop-crc";
        if with_crc {
            properties.push_str(&"x".repeat(CRC_PROPERTY_LEN));
        }
        let new = NewRecord {
            version: if row.i32("magic") == MAGIC_V2 { Version::V2 } else { Version::V1 },
            queue_id: row.i32("queueId"),
            flag: row.i32("flag"),
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: row.i32("sysFlag"),
            born_timestamp: row.i64("bornTimestamp"),
            born_host: row.host("bornHost"),
            store_timestamp: 0,
            store_host: row.host("storeHost"),
            reconsume_times: row.i32("reconsumeTimes"),
            prepared_transaction_offset: row.i64("preparedTransactionOffset"),
            body: &body,
            topic: row.text("topic"),
            properties: &[&properties],
        };
        let mut out = BytesMut::from(&b"before"[..]);
        new.encode(&mut out).unwrap();
        let record = &mut out[6..];
        assert_eq!(record.len(), new.encoded_len(), "{}", row.id);
        let (queue_offset, physical_offset) = (row.i64("queueOffset"), row.i64("physicalOffset"));
        record::patch_positions(record, queue_offset, physical_offset, row.i64("storeTimestamp"));
        if with_crc {
            let (before, property) = record.split_at_mut(new.encoded_len() - CRC_PROPERTY_LEN);
            property.copy_from_slice(&record::crc_property(before));
        }
        assert_eq!(&out[6..], row.bytes, "{}", row.id);
    }
}

#[test]
fn records_are_read_field_by_field() {
    for row in rows("record", 22) {
        let record = Record::decode(&row.bytes).unwrap();
        assert_eq!(i64::from(record.total_size), row.i64("size"));
        assert_eq!(record.version.magic(), row.i32("magic"));
        assert_eq!(i64::from(record.body_crc), row.i64("bodyCRC"));
        assert_eq!(record.queue_id, row.i32("queueId"));
        assert_eq!(record.flag, row.i32("flag"));
        assert_eq!(record.queue_offset, row.i64("queueOffset"));
        assert_eq!(record.physical_offset, row.i64("physicalOffset"));
        assert_eq!(record.sys_flag, row.i32("sysFlag"));
        assert_eq!(record.born_timestamp, row.i64("bornTimestamp"));
        assert_eq!(record.born_host, row.host("bornHost"));
        assert_eq!(record.store_timestamp, row.i64("storeTimestamp"));
        assert_eq!(record.store_host, row.host("storeHost"));
        assert_eq!(record.reconsume_times, row.i32("reconsumeTimes"));
        let prepared = row.i64("preparedTransactionOffset");
        assert_eq!(record.prepared_transaction_offset, prepared);
        assert_eq!(record.topic, row.text("topic"));
        assert_eq!(record.body, from_hex(row.text("storedBodyHex")));
        assert_eq!(record.verify_crc(), Ok(()));
        let mut properties: BTreeMap<_, _> = record.properties().iter().collect();
        let crc = properties.remove("__CRC32#");
        assert_eq!(crc.is_some(), row.id == "append-prop-crc");
        let expected: BTreeMap<&str, &str> =
            serde::Deserialize::deserialize(&row.facts["properties"]).unwrap();
        assert_eq!(properties, expected);
    }
}

#[test]
fn bodies_are_inflated() {
    for row in rows("record", 22) {
        let record = Record::decode(&row.bytes).unwrap();
        let compression = Compression::from_sys_flag(record.sys_flag).unwrap();
        let body = match compression {
            Some(compression) => compression.inflate(record.body, INFLATED_LEN_MAX).unwrap(),
            None => record.body.to_vec(),
        };
        assert_eq!(body, from_hex(row.text("bodyHex")), "{}", row.id);
        let named =
            compression.map_or("none".to_owned(), |kind| format!("{kind:?}").to_uppercase());
        assert_eq!(named, row.text("compression"), "{}", row.id);
    }
}

#[test]
fn the_version_follows_from_the_topic_unless_it_is_forced() {
    for row in rows("record", 22) {
        let record = Record::decode(&row.bytes).unwrap();
        let chosen = Version::for_topic(record.topic);
        assert_eq!(chosen == record.version, row.id != "v2-short-topic", "{}", row.id);
    }
}

#[test]
fn a_record_cut_or_lengthened_is_refused() {
    for row in rows("record", 22) {
        for len in 0..row.bytes.len() {
            let error = Record::decode(&row.bytes[..len]).unwrap_err();
            assert!(matches!(error, RecordError::CutOff { .. }), "{} cut at {len}", row.id);
            let mut shorter = row.bytes[..len].to_vec();
            if len >= 4 {
                shorter[..4].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
                assert!(Record::decode(&shorter).is_err(), "{} says {len}", row.id);
            }
        }
    }
}

#[test]
fn the_filler_of_a_file_is_no_record() {
    for row in rows("record-blank", 1) {
        let size = row.i32("size");
        assert_eq!(record::blank_head(size).as_slice(), row.bytes);
        assert_eq!(Record::decode(&row.bytes), Err(RecordError::Blank { size }));
    }
}

struct Sent {
    flag: i32,
    body: Vec<u8>,
    properties: String,
}

fn sent(facts: &Value) -> Sent {
    Sent {
        flag: facts["flag"].as_i64().unwrap().try_into().unwrap(),
        body: from_hex(facts["bodyHex"].as_str().unwrap()),
        properties: facts["propertiesString"].as_str().unwrap().to_owned(),
    }
}

fn assert_batch(messages: &[Sent], bytes: &[u8]) {
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    for Sent { flag, body, properties } in messages {
        let message = BatchMessage { flag: *flag, body, properties };
        message.encode(&mut out).unwrap();
        expected.push(message);
    }
    assert_eq!(out, bytes);
    let read: Result<Vec<_>, _> = BatchMessages::new(bytes).collect();
    assert_eq!(read, Ok(expected));
}

#[test]
fn batch_bodies_are_written_and_read() {
    for row in rows("batch-request-body", 1) {
        let messages: Vec<_> = row.facts["messages"].as_array().unwrap().iter().map(sent).collect();
        assert_batch(&messages, &row.bytes);
    }
    for row in rows("batch-inner-message", 3) {
        assert_batch(&[sent(&row.facts)], &row.bytes);
    }
}

#[test]
fn a_batch_is_stored_as_records_in_a_row() {
    for row in rows("batch-records", 1) {
        let mut out = BytesMut::new();
        let messages: Vec<_> = row.facts["messages"].as_array().unwrap().iter().map(sent).collect();
        for (queue_offset, message) in (row.i64("firstQueueOffset")..).zip(&messages) {
            let new = NewRecord {
                version: Version::V1,
                queue_id: row.i32("queueId"),
                flag: message.flag,
                queue_offset,
                physical_offset: row.i64("firstPhysicalOffset") + i64::try_from(out.len()).unwrap(),
                sys_flag: 0,
                born_timestamp: row.i64("bornTimestamp"),
                born_host: row.host("bornHost"),
                store_timestamp: row.i64("storeTimestamp"),
                store_host: row.host("storeHost"),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &message.body,
                topic: row.text("topic"),
                properties: &[&message.properties],
            };
            new.encode(&mut out).unwrap();
        }
        assert_eq!(out, row.bytes);
        let read: Result<Vec<_>, _> = record::records(&row.bytes).collect();
        let bodies: Vec<_> = read.unwrap().iter().map(|record| record.body).collect();
        assert_eq!(bodies, messages.iter().map(|sent| sent.body.as_slice()).collect::<Vec<_>>());
    }
}

#[test]
fn tags_and_keys_hash_as_in_java() {
    for row in rows("tags-code", 21) {
        assert_eq!(
            hash::tags_code(row.facts["tags"].as_str()),
            row.i64("tagsCode"),
            "{}",
            row.facts
        );
    }
    for row in rows("index-key-hash", 12) {
        assert_eq!(hash::index_key_hash(row.text("key")), row.i32("hash"), "{}", row.facts);
    }
}

#[test]
fn bodies_are_checksummed_as_in_java() {
    for row in rows("crc32", 6) {
        let body = row.facts["bodyHex"].as_str().map_or(Vec::new(), from_hex);
        assert_eq!(i64::from(record::body_crc(&body)), row.i64("crc"), "{}", row.facts);
    }
}

#[test]
fn offset_ids_name_host_and_offset() {
    for row in rows("message-id", 5) {
        let text = row.text("messageId");
        assert_eq!(from_hex(text), row.bytes);
        let id = OffsetMessageId {
            store_host: row.host("storeHost"),
            physical_offset: row.i64("offset"),
        };
        assert_eq!(id.to_string(), text);
        assert_eq!(OffsetMessageId::parse(text), Some(id));
    }
}

#[test]
fn unique_keys_name_sender_and_moment() {
    for row in rows("uniq-key", 2) {
        let text = row.text("uniqKey");
        assert_eq!(from_hex(text), row.bytes);
        let key = UniqueKey {
            ip: row.text("ip").parse::<IpAddr>().unwrap(),
            pid: row.i64("pid").try_into().unwrap(),
            class_loader_hash: row.i32("classLoaderHash"),
            millis_since_month_start: row.i32("millisSinceMonthStart"),
            counter: row.i64("counter").try_into().unwrap(),
        };
        assert_eq!(key.to_string(), text);
        assert_eq!(UniqueKey::parse(text), Some(key));
    }
}
