//! Any bytes as the beginning of a connection; a preamble lies within its bytes, and a cut one is
//! incomplete.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../remoting/src/net/proxy_protocol.rs"]
mod proxy_protocol;

use proxy_protocol::{Preamble, inspect};

fuzz_target!(|data: &[u8]| {
    if let Preamble::Proxy { len, .. } = inspect(data) {
        assert!(len <= data.len());
        let cut = inspect(&data[..len - 1]);
        assert!(matches!(cut, Preamble::Incomplete), "{cut:?}");
    }
});
