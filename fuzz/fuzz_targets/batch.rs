//! Any bytes as the body of a batch send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::message::batch::BatchMessages;

fuzz_target!(|data: &[u8]| {
    for message in BatchMessages::new(data) {
        let Ok(message) = message else { break };
        assert!(message.encoded_len() <= data.len());
        let _ = message.properties().keys().count();
    }
});
