//! A send and a pull are handled without allocating, from the decoded frame to the answer.
#![allow(unsafe_code, reason = "a counting allocator is one by nature")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bytes::BytesMut;
use common::{Bench, from, properties, to};
use remoting::net::{Outcome, Peer, Service};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, RequestHead, Responder, encode_request};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    EncodeHeader, PullMessageRequestHeader, SendMessageRequestHeader, Short,
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

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Requests before counting begins: buffers grow, files are made, tables are filled.
const WARM_UP: usize = 300;
const COUNTED: usize = 300;

fn request(
    code: RequestCode,
    encoding: Encoding,
    header: &impl EncodeHeader,
    body: &[u8],
) -> BytesMut {
    let mut out = BytesMut::new();
    let head = RequestHead { code: code.into(), opaque: 1, oneway: false, encoding };
    encode_request(&mut out, head, header, &[], body).unwrap();
    out
}

/// Handles the request over and over; returns the allocations of the counted turns.
fn allocations(service: &Arc<dyn Service>, request: &BytesMut) -> usize {
    let peer = Arc::new(Peer::unconnected("127.0.0.1:1".parse().unwrap()));
    let mut out = BytesMut::with_capacity(1 << 20);
    let mut counted = 0;
    for turn in 0..WARM_UP + COUNTED {
        let bytes = request.clone();
        let frame = Frame::decode(bytes).unwrap();
        out.clear();
        let before = ALLOCATIONS.get();
        let mut responder = Responder::new(frame.tag(), &mut out);
        let outcome = service.call(&peer, frame, &mut responder);
        if turn >= WARM_UP {
            counted += ALLOCATIONS.get() - before;
        }
        assert!(matches!(outcome, Outcome::Done));
        let answer = Frame::decode(out.clone()).unwrap();
        assert_eq!(answer.code(), ResponseCode::Success as i32, "{:?}", answer.remark());
    }
    counted
}

#[tokio::test]
async fn sending_and_pulling_allocate_nothing() {
    let metrics = "metricsExporterType=PROM\nmetricsPromExporterHost=127.0.0.1\n\
        metricsPromExporterPort=0\n";
    for settings in ["", metrics] {
        let root = tempfile::tempdir().unwrap();
        send_and_pull(Bench::with(root.path(), settings).await).await;
    }
}

async fn send_and_pull(bench: Bench) {
    let service = bench.running.service();
    // Answered when the new topic is in its file; the sends below wait for nothing.
    bench.send(to("T"), b"body").await;
    let key = "7F000001000118B4AAC2000000000000";
    let sent = properties(&[("KEYS", "k1 k2"), ("UNIQ_KEY", key), ("TAGS", "a"), ("WAIT", "true")]);
    let header = SendMessageRequestHeader { properties: Some(&sent), ..to("T") };
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        let send = request(RequestCode::SendMessageV2, encoding, &Short(header.clone()), b"body");
        assert_eq!(allocations(&service, &send), 0, "send, {encoding:?}");
        let pull = PullMessageRequestHeader { subscription: Some("a || b"), ..from("T", 0) };
        let pull = request(RequestCode::PullMessage, encoding, &pull, &[]);
        assert_eq!(allocations(&service, &pull), 0, "pull, {encoding:?}");
    }
    bench.stop().await;
}
