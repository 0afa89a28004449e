//! Any bytes as fastjson's JSON: what was mended stays as it is when mended again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::lenient_json::to_standard;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let once = to_standard(data);
    if let Ok(value) = serde_json::from_slice::<Value>(&once) {
        let twice = to_standard(&once);
        assert_eq!(serde_json::from_slice::<Value>(&twice).ok(), Some(value));
    }
});
