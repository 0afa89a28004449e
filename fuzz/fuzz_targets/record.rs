//! Any bytes as log records; an accepted one lies within its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::message::record::{Record, records};

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = Record::decode(data) {
        assert!(record.total_size as usize <= data.len());
        let _ = (record.verify_crc(), record.tags(), record.properties().keys().count());
    }
    for record in records(data) {
        if record.is_err() {
            break;
        }
    }
});
