//! Any text as a properties string: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::message::properties::{Properties, PropertiesBuf};

fuzz_target!(|text: &str| {
    let properties = Properties::new(text);
    let mut copy = PropertiesBuf::new();
    for (name, value) in properties.iter() {
        copy.push(name, value);
    }
    for (name, _) in properties.iter() {
        assert_eq!(properties.get(name), copy.view().get(name));
    }
    let _ = properties.keys().count();
});
