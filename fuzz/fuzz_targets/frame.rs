//! Any bytes as one frame; the length prefix is put right so that the header is reached.
#![no_main]

use bytes::{BufMut, BytesMut};
use libfuzzer_sys::fuzz_target;
use remoting::protocol::command::{Frame, frame_len};

fuzz_target!(|data: &[u8]| {
    let _ = frame_len(data);
    let _ = Frame::decode(BytesMut::from(data));
    let mut framed = BytesMut::with_capacity(data.len() + 4);
    framed.put_u32(data.len() as u32);
    framed.put_slice(data);
    if let Ok(frame) = Frame::decode(framed) {
        let total: usize = frame.fields().map(|(name, value)| name.len() + value.len()).sum();
        assert!(total <= data.len() * 2);
    }
});
