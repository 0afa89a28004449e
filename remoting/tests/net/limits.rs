//! Limits: silence, half frames, slow readers, too many connections.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use remoting::net::Limits;

use crate::support::*;

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let limits = Limits { idle: Duration::from_millis(60), ..Limits::default() };
    let running = Running::with(limits);
    let mut silent = running.connect().await;
    assert_eq!(silent.round_trip(ECHO, 1, "once").await, "once");
    // A held request does not keep it open, as in Java.
    silent.send(&request(NEVER, 2, b"")).await;
    let mut busy = running.connect().await;
    let closed = Cell::new(false);
    let talk = async {
        while !closed.get() {
            assert_eq!(busy.round_trip(ECHO, 1, "more").await, "more");
        }
    };
    let wait = async {
        silent.expect_end().await;
        closed.set(true);
    };
    tokio::join!(talk, wait);
    assert_eq!(running.server.counts().idle, 1);
    assert_eq!(busy.round_trip(ECHO, 2, "open").await, "open");
    running.stop().await;
}

#[tokio::test]
async fn a_half_sent_frame_is_closed_earlier() {
    let limits = Limits { stall: Duration::from_millis(30), ..Limits::default() };
    let running = Running::with(limits);
    let mut idle = running.connect().await;
    assert_eq!(idle.round_trip(ECHO, 1, "x").await, "x");
    for half in [&request(ECHO, 1, b"cut")[..20], &[0, 0, 1][..], b"PROXY TCP4 1"] {
        let mut raw = running.connect().await;
        raw.send(half).await;
        raw.expect_end().await;
    }
    assert_eq!(running.server.counts().stalled, 3);
    assert_eq!(idle.round_trip(ECHO, 2, "still there").await, "still there");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read() {
    let limits = Limits { output_budget: 64 * 1024, ..Limits::default() };
    let running = Running::with(limits);
    let mut slow = running.connect().await;
    // 2,000 answers of 64 KiB: far more than sockets and budget hold.
    let count = 2_000;
    let mut batch = Vec::new();
    for opaque in 0..count {
        batch.extend_from_slice(&request(FILL, opaque, b"65536"));
    }
    slow.send(&batch).await;
    let mut other = running.connect().await;
    assert_eq!(other.round_trip(ECHO, 1, "unhindered").await, "unhindered");
    let mut before = 0;
    until("the server stops calling", || {
        let calls = running.probe.calls.load(Ordering::SeqCst);
        let stands = calls > 1 && calls == before;
        before = calls;
        stands
    })
    .await;
    assert!(before < 1_000, "{before}");
    for opaque in 0..count {
        let frame = slow.next().await.expect("an answer");
        assert_eq!((frame.opaque(), frame.body().len()), (opaque, 65_536));
    }
    assert_eq!(slow.round_trip(ECHO, 7, "goes on").await, "goes on");
    running.stop().await;
}

#[tokio::test]
async fn held_requests_are_capped() {
    let running = Running::with(Limits { held_max: 10, ..Limits::default() });
    let mut raw = running.connect().await;
    let mut batch = Vec::new();
    for opaque in 0..11 {
        batch.extend_from_slice(&request(HOLD, opaque, opaque.to_string().as_bytes()));
    }
    raw.send(&batch).await;
    let probe = &running.probe;
    until("ten are held", || probe.calls.load(Ordering::SeqCst) == 10).await;
    let mut other = running.connect().await;
    assert_eq!(other.round_trip(RELEASE, 1, "5").await, "");
    assert_eq!(raw.answer().await, (5, "5".to_owned()));
    // Ten of the eleven, one release, and now the eleventh.
    until("the last one is read", || probe.calls.load(Ordering::SeqCst) == 12).await;
    running.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let running = Running::with(Limits { connections_max: 2, ..Limits::default() });
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    assert_eq!(first.round_trip(ECHO, 1, "a").await, "a");
    assert_eq!(second.round_trip(ECHO, 1, "b").await, "b");
    running.connect().await.expect_end().await;
    assert_eq!(running.server.counts().refused, 1);
    drop(first);
    until("a place is free", || running.server.counts().open == 1).await;
    let mut third = running.connect().await;
    assert_eq!(third.round_trip(ECHO, 1, "c").await, "c");
    running.stop().await;
}
