//! Messages of a retry topic as the client of a pop sees them.
//!
//! They show the topic that was popped, not the one they were read from, and so bring their
//! receipt along as a property; that of other messages the client makes itself, from the header.

use bytes::BytesMut;
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::{NewRecord, Record, Version, records};

use super::take::Batch;
use crate::pop::receipt::Receipt;

/// Appends the records of a batch that was taken from a retry topic, under `topic`.
///
/// One that would not fit into a record with its receipt stays as it is; its receipt can be made
/// from the header, like that of any other.
pub(super) fn append(batch: &Batch, topic: &str, receipt: &Receipt<'_>, out: &mut BytesMut) {
    let mut handle = String::new();
    let mut properties = PropertiesBuf::new();
    for slice in &batch.slices {
        let bytes: &[u8] = slice.as_ref();
        let mut at = 0;
        for record in records(bytes).map_while(Result::ok) {
            let len = record.total_size as usize;
            properties.clear();
            properties.append_raw(record.properties);
            if !record.properties().contains(property::POP_CK) {
                handle.clear();
                receipt.append(record.topic, record.queue_id, record.queue_offset, &mut handle);
                properties.push(property::POP_CK, &handle);
            }
            if under(topic, &record, &[properties.as_str()]).encode(out).is_err() {
                out.extend_from_slice(&bytes[at..at + len]);
            }
            at += len;
        }
    }
}

/// The same record with another topic and other properties.
fn under<'a>(topic: &'a str, record: &Record<'a>, properties: &'a [&'a str]) -> NewRecord<'a> {
    NewRecord {
        version: Version::for_topic(topic),
        queue_id: record.queue_id,
        flag: record.flag,
        queue_offset: record.queue_offset,
        physical_offset: record.physical_offset,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        store_timestamp: record.store_timestamp,
        store_host: record.store_host,
        reconsume_times: record.reconsume_times,
        prepared_transaction_offset: record.prepared_transaction_offset,
        body: record.body,
        topic,
        properties,
    }
}
