//! Requests of several connections that are handled together.

use std::sync::atomic::Ordering;

use crate::support::*;

#[tokio::test]
async fn requests_that_came_together_are_handled_together() {
    let running = Running::start();
    let mut clients = Vec::new();
    for opaque in 0..40 {
        let mut raw = running.connect().await;
        assert_eq!(raw.round_trip(TOGETHER, opaque, "alone").await, "alone");
        clients.push(raw);
    }
    for (at, raw) in clients.iter_mut().enumerate() {
        let body = format!("body {at}");
        raw.stream.try_write(&request(TOGETHER, 7, body.as_bytes())).expect("send");
    }
    for (at, raw) in clients.iter_mut().enumerate() {
        assert_eq!(raw.answer().await, (7, format!("body {at}")));
    }
    let most = running.probe.group_max.load(Ordering::SeqCst);
    assert!((2..=32).contains(&most), "{most} were handled together");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_connection_is_answered_in_order_whoever_handles_its_requests() {
    const REQUESTS: i32 = 2000;
    let running = Running::start();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut raw = running.connect().await;
        clients.push(tokio::spawn(async move {
            let mut batch = Vec::new();
            for opaque in 0..REQUESTS {
                // One of three is handled by itself.
                let code = if opaque % 3 == 2 { ECHO } else { TOGETHER };
                batch.extend_from_slice(&request(code, opaque, b"in order"));
            }
            for piece in batch.chunks(777) {
                raw.send(piece).await;
            }
            for opaque in 0..REQUESTS {
                assert_eq!(raw.answer().await, (opaque, "in order".to_owned()));
            }
        }));
    }
    for client in clients {
        client.await.expect("answered in order");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_panic_answers_those_that_have_no_answer() {
    let running = Running::start();
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    let mut batch = request(TOGETHER, 1, b"fine").to_vec();
    batch.extend_from_slice(&request(TOGETHER, 2, b"panic"));
    batch.extend_from_slice(&request(TOGETHER, 3, b"behind it"));
    first.send(&batch).await;
    second.send(&request(TOGETHER, 4, b"other")).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let frame = first.next().await.expect("an answer");
        codes.push((frame.opaque(), frame.code()));
    }
    assert_eq!(codes, [(1, 0), (2, 1), (3, 1)]);
    assert_eq!(second.answer().await.0, 4);
    assert_eq!(running.server.counts().panics, 1);
    assert_eq!(first.round_trip(TOGETHER, 5, "goes on").await, "goes on");
    running.stop().await;
}

#[tokio::test]
async fn what_was_read_is_handled_before_the_connection_closes() {
    let running = Running::start();
    let mut raw = running.connect().await;
    let before = running.probe.calls.load(Ordering::SeqCst);
    let mut batch = request(TOGETHER, 1, b"last words").to_vec();
    batch.extend_from_slice(&[0xff; 64]);
    raw.send(&batch).await;
    assert_eq!(raw.answer().await, (1, "last words".to_owned()));
    raw.expect_end().await;
    assert_eq!(running.probe.calls.load(Ordering::SeqCst), before + 1);
    running.stop().await;
}
