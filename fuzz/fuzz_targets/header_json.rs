//! Any bytes as a JSON header, then as the headers of a send and of a pull.
#![no_main]

use bytes::{BufMut, BytesMut};
use libfuzzer_sys::fuzz_target;
use remoting::protocol::command::Frame;
use remoting::protocol::header::{PullMessageRequestHeader, SendMessageRequestHeader};

fuzz_target!(|data: &[u8]| {
    let mut framed = BytesMut::with_capacity(data.len() + 8);
    framed.put_u32(data.len() as u32 + 4);
    framed.put_u32(0 << 24 | data.len() as u32 & 0x00ff_ffff);
    framed.put_slice(data);
    if let Ok(frame) = Frame::decode(framed) {
        let _ = frame.header::<SendMessageRequestHeader<'_>>();
        let _ = frame.header::<PullMessageRequestHeader<'_>>();
        let _ = (frame.remark(), frame.routing());
    }
});
