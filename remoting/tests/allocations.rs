//! A send and a pull are decoded and answered without allocating.
#![allow(unsafe_code)] // A counting allocator is one by nature.
#![allow(clippy::unwrap_used)] // A test may fail where it stands.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BytesMut;
use remoting::protocol::command::{Frame, RequestHead, Responder, encode_request};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    PullMessageRequestHeader, PullMessageResponseHeader, SendMessageRequestHeader,
    SendMessageResponseHeader, Short,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of the second run; the first may grow buffers.
fn allocations<T>(mut work: impl FnMut(BytesMut, &mut BytesMut) -> T, frame: &BytesMut) -> usize {
    let mut out = BytesMut::with_capacity(4096);
    let (first, second) = (frame.clone(), frame.clone());
    work(first, &mut out);
    out.clear();
    let before = ALLOCATIONS.get();
    work(second, &mut out);
    ALLOCATIONS.get() - before
}

fn send(encoding: Encoding) -> BytesMut {
    let header = Short(SendMessageRequestHeader {
        producer_group: "producers",
        topic: "orders",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 3,
        born_timestamp: 1_700_000_000_000,
        properties: Some("KEYS\u{1}k\u{2}UNIQ_KEY\u{1}7F000001000118B4AAC2000000000000\u{2}"),
        broker_name: Some("broker-a"),
        ..SendMessageRequestHeader::default()
    });
    let mut out = BytesMut::new();
    let request = RequestHead { code: 310, opaque: 7, oneway: false, encoding };
    encode_request(&mut out, request, &header, &[("nsd", "false")], &[7; 1024]).unwrap();
    out
}

#[test]
fn the_counter_counts() {
    let frame = BytesMut::from(&b"x"[..]);
    assert_eq!(allocations(|bytes, _| Box::new(bytes.len()), &frame), 1);
}

#[test]
fn a_send_allocates_nothing() {
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        let work = |bytes: BytesMut, out: &mut BytesMut| {
            let frame = Frame::decode(bytes).unwrap();
            let Short(header): Short<SendMessageRequestHeader<'_>> = frame.header().unwrap();
            assert_eq!((header.topic, header.queue_id), ("orders", 3));
            let answer = SendMessageResponseHeader {
                msg_id: "7F00000100002A9F0000000000000000",
                queue_id: header.queue_id,
                queue_offset: 42,
                ..SendMessageResponseHeader::default()
            };
            let extra = [("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")];
            Responder::new(frame.tag(), out).respond(0, None, &answer, &extra, &[]);
            frame.body().len()
        };
        assert_eq!(allocations(work, &send(encoding)), 0, "{encoding:?}");
    }
}

#[test]
fn a_pull_allocates_nothing() {
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        let header = PullMessageRequestHeader {
            consumer_group: "consumers",
            topic: "orders",
            max_msg_nums: 32,
            queue_offset: 1_000_000,
            suspend_timeout_millis: 15_000,
            subscription: Some("*"),
            expression_type: Some("TAG"),
            ..PullMessageRequestHeader::default()
        };
        let mut request = BytesMut::new();
        let head = RequestHead { code: 11, opaque: 8, oneway: false, encoding };
        encode_request(&mut request, head, &header, &[("bname", "broker-a")], &[]).unwrap();
        let work = |bytes: BytesMut, out: &mut BytesMut| {
            let frame = Frame::decode(bytes).unwrap();
            let header: PullMessageRequestHeader<'_> = frame.header().unwrap();
            let answer = PullMessageResponseHeader {
                next_begin_offset: header.queue_offset + 32,
                ..PullMessageResponseHeader::default()
            };
            let mut responder = Responder::new(frame.tag(), out);
            let mut writer = responder.begin(0, Some("FOUND"), &answer, &[]);
            writer.body().extend_from_slice(&[7; 1024]);
            writer.finish();
            header.queue_offset
        };
        assert_eq!(allocations(work, &request), 0, "{encoding:?}");
    }
}
