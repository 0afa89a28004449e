//! What any record must do, also with damage.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::protocol::message::properties::PROPERTIES_LEN_MAX;

fn new_record<'a>(body: &'a [u8], topic: &'a str, properties: &'a [&'a str]) -> NewRecord<'a> {
    NewRecord {
        version: Version::for_topic(topic),
        queue_id: 1,
        flag: 2,
        queue_offset: 3,
        physical_offset: 4,
        sys_flag: 0,
        born_timestamp: 5,
        born_host: SocketAddr::from(([10, 0, 0, 1], 1)),
        store_timestamp: 6,
        store_host: SocketAddr::from(([10, 0, 0, 2], 2)),
        reconsume_times: 7,
        prepared_transaction_offset: 8,
        body,
        topic,
        properties,
    }
}

#[test]
fn too_long_parts_are_refused_and_leave_no_trace() {
    let mut out = BytesMut::new();
    let long = "t".repeat(128);
    let record = NewRecord { version: Version::V1, ..new_record(b"", &long, &[]) };
    assert!(record.encode(&mut out).is_err());
    let properties = "p".repeat(PROPERTIES_LEN_MAX + 1);
    assert!(new_record(b"", "t", &[&properties[1..], "p"]).encode(&mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn properties_that_are_no_text_end_early_and_keep_the_record() {
    let mut out = BytesMut::new();
    new_record(b"body", "t", &["a\u{1}b\u{2}c\u{1}d\u{2}"]).encode(&mut out).unwrap();
    let last = out.len() - 2;
    out[last] = 0xFF;
    let record = Record::decode(&out).unwrap();
    assert_eq!(record.properties, "a\u{1}b\u{2}c\u{1}");
    assert_eq!(record.properties().get("a"), Some("b"));
}

#[test]
fn a_damaged_body_fails_its_checksum() {
    let mut out = BytesMut::new();
    new_record(b"body", "t", &[]).encode(&mut out).unwrap();
    out[88] ^= 1;
    let record = Record::decode(&out).unwrap();
    assert!(matches!(record.verify_crc(), Err(RecordError::Crc { .. })));
}

proptest! {
    #[test]
    fn records_round_trip(
        numbers: (i32, i32, i64, i64, i32),
        times: (i64, i64, i32, i64),
        hosts: (SocketAddr, SocketAddr),
        body in prop::collection::vec(any::<u8>(), 0..64),
        topic in "[a-zA-Z%_é]{0,200}",
        parts in prop::collection::vec(".{0,16}", 0..3),
    ) {
        let properties = parts.concat();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let plain = |host: SocketAddr| SocketAddr::new(host.ip(), host.port());
        let (born_host, store_host) = (plain(hosts.0), plain(hosts.1));
        let new = NewRecord {
            version: if topic.len() > 127 { Version::V2 } else { Version::V1 },
            queue_id: numbers.0,
            flag: numbers.1,
            sys_flag: numbers.4,
            born_timestamp: times.0,
            born_host,
            store_host,
            reconsume_times: times.2,
            prepared_transaction_offset: times.3,
            ..new_record(&body, &topic, &parts)
        };
        let mut out = BytesMut::new();
        new.encode(&mut out).unwrap();
        patch_positions(&mut out, numbers.2, numbers.3, times.1);
        out.extend_from_slice(b"next");
        let record = Record::decode(&out).unwrap();
        prop_assert_eq!(record.total_size as usize, new.encoded_len());
        prop_assert_eq!((record.queue_id, record.flag), (numbers.0, numbers.1));
        prop_assert_eq!((record.queue_offset, record.physical_offset), (numbers.2, numbers.3));
        let address_bits = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        prop_assert_eq!(record.sys_flag & !address_bits, numbers.4 & !address_bits);
        prop_assert_eq!((record.born_host, record.store_host), (born_host, store_host));
        let read = (record.born_timestamp, record.store_timestamp);
        prop_assert_eq!(read, (times.0, times.1));
        prop_assert_eq!(record.body, &body[..]);
        prop_assert_eq!((record.topic, record.properties), (&topic[..], &properties[..]));
        prop_assert_eq!(properties_of(&out), Ok(properties.as_bytes()));
    }

    #[test]
    fn any_bytes_are_refused_or_read(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&bytes);
        if bytes.len() >= 8 {
            let len = bytes.len() as u32;
            bytes[..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
            let properties = properties_of(&bytes);
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(record.total_size as usize, bytes.len());
                prop_assert_eq!(properties, Ok(record.properties.as_bytes()));
            }
        }
    }
}
