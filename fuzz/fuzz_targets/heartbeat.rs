//! Any bytes as a heartbeat: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::body::{Body, HeartbeatData};

fuzz_target!(|data: &[u8]| {
    if let Ok(heartbeat) = HeartbeatData::decode(data) {
        assert_eq!(HeartbeatData::decode(&heartbeat.encode()).ok(), Some(heartbeat));
    }
});
