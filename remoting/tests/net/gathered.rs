//! Requests of several connections that are handled together.

use std::sync::atomic::Ordering;

use remoting::net::Limits;
use remoting::protocol::code::ResponseCode;

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

/// The numbers and codes of the next answers.
async fn codes(raw: &mut Raw, count: usize) -> Vec<(i32, i32)> {
    let mut codes = Vec::new();
    for _ in 0..count {
        let frame = raw.next().await.expect("an answer");
        codes.push((frame.opaque(), frame.code()));
    }
    codes
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
    let codes = codes(&mut first, 3).await;
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

/// Sends requests that come together.
async fn send_all(raw: &mut Raw, bodies: &[&str]) {
    let batch: Vec<u8> = (1..).zip(bodies).fold(Vec::new(), |mut batch, (opaque, body)| {
        batch.extend_from_slice(&request(TOGETHER, opaque, body.as_bytes()));
        batch
    });
    raw.send(&batch).await;
}

#[tokio::test]
async fn answers_that_are_kept_leave_when_their_wait_is_over() {
    let running = Running::start();
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    send_all(&mut first, &["keep a", "at once", "keep b"]).await;
    assert_eq!(first.answer().await, (2, "at once".to_owned()));
    send_all(&mut second, &["keep c", "keep d"]).await;
    until("both groups wait", || running.probe.waits() == 2).await;
    // Nobody is kept from going on.
    assert_eq!(first.round_trip(ECHO, 9, "meanwhile").await, "meanwhile");
    running.probe.end_wait(Ok(()));
    assert_eq!(first.answer().await, (1, "keep a".to_owned()));
    assert_eq!(first.answer().await, (3, "keep b".to_owned()));
    assert_eq!(second.round_trip(ECHO, 9, "still waits").await, "still waits");
    running.probe.end_wait(Err((ResponseCode::FlushDiskTimeout, "too late")));
    for (opaque, body) in [(1, "keep c"), (2, "keep d")] {
        let frame = second.next().await.expect("an answer");
        assert_eq!((frame.opaque(), frame.code()), (opaque, 10));
        assert_eq!((frame.remark(), frame.field("queueId")), (Some("too late"), Some("3")));
        assert_eq!((frame.body(), frame.fields().count()), (body.as_bytes(), 2));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_answers_that_are_kept() {
    let running = Running::start();
    let mut raw = running.connect().await;
    send_all(&mut raw, &["keep a", "keep b"]).await;
    until("they wait", || running.probe.waits() == 1).await;
    let address = running.address;
    let (serving, probe) = running.begin_stop();
    until("new connections are refused", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!serving.is_finished());
    probe.end_wait(Ok(()));
    assert_eq!(raw.answer().await, (1, "keep a".to_owned()));
    assert_eq!(raw.answer().await, (2, "keep b".to_owned()));
    raw.expect_end().await;
    serving.await.expect("served");
}

#[tokio::test]
async fn a_panic_answers_those_whose_answer_is_kept() {
    let running = Running::start();
    let mut raw = running.connect().await;
    send_all(&mut raw, &["keep a", "fine", "panic"]).await;
    let mut codes = codes(&mut raw, 3).await;
    codes.sort_unstable();
    assert_eq!(codes, [(1, 1), (2, 0), (3, 1)]);
    assert_eq!(raw.round_trip(TOGETHER, 5, "goes on").await, "goes on");
    running.stop().await;
}

#[tokio::test]
async fn more_than_may_be_held_are_not_read_until_some_are_answered() {
    let running = Running::with(Limits { held_max: 4, ..Limits::default() });
    let mut raw = running.connect().await;
    send_all(&mut raw, &["keep 1", "keep 2", "keep 3", "keep 4", "keep 5"]).await;
    until("they wait", || running.probe.waits() == 1).await;
    raw.send(&request(ECHO, 6, b"behind")).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(raw.stream.try_read(&mut [0]).is_err(), "it was read");
    running.probe.end_wait(Ok(()));
    for opaque in 1..=5 {
        assert_eq!(raw.answer().await, (opaque, format!("keep {opaque}")));
    }
    assert_eq!(raw.answer().await, (6, "behind".to_owned()));
    running.stop().await;
}
