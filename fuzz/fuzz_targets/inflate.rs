//! Any bytes as a compressed body: the output stays within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::message::compression::Compression;

fuzz_target!(|data: &[u8]| {
    for kind in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        if let Ok(body) = kind.inflate(data, 1 << 16) {
            assert!(body.len() <= 1 << 16);
        }
    }
});
