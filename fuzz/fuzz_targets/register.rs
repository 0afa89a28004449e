//! Any bytes as the registration of a broker: as JSON, as a zlib stream, and inside of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::body::RegisterBrokerBody;
use remoting::protocol::message::compression::Compression;

const VERSIONS: [i32; 4] = [36, 400, 413, 479];

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let version = VERSIONS[usize::from(choice >> 1) % VERSIONS.len()];
    let read = if choice & 1 == 0 {
        let compressed = choice & 0x80 != 0;
        RegisterBrokerBody::read(data, compressed, version)
    } else {
        let Ok(stream) = Compression::Zlib.deflate(data, 1) else { return };
        RegisterBrokerBody::read(&stream, true, version)
    };
    if let Ok(body) = read {
        let _ = body.encode_compressed();
    }
});
