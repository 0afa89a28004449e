//! What a server answers, in which order, and what ends a connection.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remoting::net::{Limits, ServerConfig};
use remoting::protocol::command::{FLAG_ONEWAY, FRAME_SIZE_MAX, Head};
use remoting::protocol::encoding::Encoding;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn who_waits_is_answered_before_who_ends_the_wait() {
    let running = Running::start();
    let mut waits = running.connect().await;
    waits.send(&request(HOLD, 1, b"x")).await;
    while !running.probe.is_held(b"x") {
        tokio::task::yield_now().await;
    }
    let mut ends = running.connect().await;
    assert_eq!(ends.round_trip(ECHO, 2, "here").await, "here");
    let std = ends.stream.into_std().expect("a socket");
    let watched = std.try_clone().expect("clone");
    ends.stream = TcpStream::from_std(std).expect("a stream");
    let answered = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&answered);
    *running.probe.watch.lock().expect("watch") = Some(Box::new(move || {
        seen.fetch_add(usize::from(watched.peek(&mut [0]).is_ok()), Ordering::SeqCst);
    }));
    ends.send(&request(RELEASE, 3, b"x")).await;
    assert_eq!(waits.answer().await, (1, "x".to_owned()));
    assert_eq!(ends.answer().await.0, 3);
    assert_eq!(answered.load(Ordering::SeqCst), 0);
    running.stop().await;
}

#[tokio::test]
async fn answers_a_pipelined_batch_in_order() {
    let running = Running::start();
    let mut raw = running.connect().await;
    let mut batch = Vec::new();
    for opaque in 0..500 {
        batch.extend_from_slice(&request(ECHO, opaque, format!("body {opaque}").as_bytes()));
    }
    raw.send(&batch).await;
    for opaque in 0..500 {
        assert_eq!(raw.answer().await, (opaque, format!("body {opaque}")));
    }
    running.stop().await;
}

#[tokio::test]
async fn answers_of_many_connections_leave_when_all_were_read() {
    let running = Running::start();
    let mut clients = Vec::new();
    for opaque in 0..8 {
        let mut raw = running.connect().await;
        assert_eq!(raw.round_trip(ECHO, opaque, "before").await, "before");
        clients.push(raw.stream.into_std().expect("std"));
    }
    let watched: Vec<_> = clients.iter().map(|client| client.try_clone().expect("clone")).collect();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    *running.probe.watch.lock().expect("watch") = Some(Box::new(move || {
        let answered = watched.iter().filter(|client| client.peek(&mut [0]).is_ok()).count();
        seen.fetch_max(answered, Ordering::SeqCst);
    }));
    let (ask, expected) = (request(ECHO, 9, b"at once"), 8 + 8);
    clients.iter_mut().for_each(|client| client.write_all(&ask).expect("send"));
    until("all are handled", || running.probe.calls.load(Ordering::SeqCst) == expected).await;
    // The first of a turn does not know that others come.
    assert!(most.load(Ordering::SeqCst) <= 1, "{most:?} were answered before others were read");
    let is_answered = |client: &std::net::TcpStream| client.peek(&mut [0]).is_ok();
    until("all are answered", || clients.iter().all(is_answered)).await;
    running.stop().await;
}

#[tokio::test]
async fn puts_frames_together_byte_by_byte() {
    let running = Running::start();
    let mut raw = running.connect().await;
    raw.stream.set_nodelay(true).expect("nodelay");
    let binary = Head { code: ECHO, opaque: 2, encoding: Encoding::Rocketmq, ..Head::default() };
    let mut bytes = request(ECHO, 1, b"slow").to_vec();
    bytes.extend_from_slice(&framed(&binary, b"slower"));
    for byte in bytes {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.answer().await, (1, "slow".to_owned()));
    let frame = raw.next().await.expect("an answer");
    assert_eq!((frame.opaque(), frame.encoding()), (2, Encoding::Rocketmq));
    running.stop().await;
}

#[tokio::test]
async fn carries_frames_up_to_the_limit() {
    let running = Running::start();
    let mut raw = running.connect().await;
    let head = request(ECHO, 1, b"").len();
    let body = vec![b'y'; FRAME_SIZE_MAX - head - 100];
    let (mut read, mut write) = raw.stream.split();
    let bytes = request(ECHO, 1, &body);
    let mut answer = vec![0; 4];
    let (sent, received) = tokio::join!(write.write_all(&bytes), async {
        use tokio::io::AsyncReadExt;
        read.read_exact(&mut answer).await?;
        let len = u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
        answer.resize(len, 0);
        read.read_exact(&mut answer).await
    });
    sent.expect("sent");
    received.expect("received");
    assert!(answer.ends_with(&body));
    assert_eq!(raw.round_trip(ECHO, 2, "small again").await, "small again");
    running.stop().await;
}

#[tokio::test]
async fn a_bad_frame_closes_its_own_connection_only() {
    let running = Running::start();
    let mut other = running.connect().await;
    assert_eq!(other.round_trip(ECHO, 1, "before").await, "before");
    let over = (FRAME_SIZE_MAX as u32 - 3).to_be_bytes();
    let cases: [&[u8]; 7] = [
        &over,
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff; 64],
        b"GET / HTTP/1.1\r\n\r\n",
        // An unknown encoding, a header longer than its frame, a frame without a header.
        &[0, 0, 0, 6, 9, 0, 0, 2, b'{', b'}'],
        &[0, 0, 0, 6, 0, 0, 0, 9, b'{', b'}'],
        &[0, 0, 0, 0],
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let mut raw = running.connect().await;
        // What came complete before it is still answered.
        let mut bytes = request(ECHO, 7, b"good").to_vec();
        bytes.extend_from_slice(case);
        raw.send(&bytes).await;
        assert_eq!(raw.answer().await, (7, "good".to_owned()), "{at}");
        raw.expect_end().await;
    }
    assert_eq!(other.round_trip(ECHO, 2, "after").await, "after");
    assert_eq!(running.server.counts().malformed, 7);
    running.stop().await;
}

#[tokio::test]
async fn a_tls_hello_is_refused() {
    let running = Running::start();
    let mut raw = running.connect().await;
    raw.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
    raw.expect_end().await;
    running.stop().await;
}

#[tokio::test]
async fn oneway_requests_are_never_answered() {
    let running = Running::start();
    let mut raw = running.connect().await;
    for code in [ECHO, PANIC, PANIC_LATER, 4711] {
        let head = Head { code, opaque: 1, flag: FLAG_ONEWAY, ..Head::default() };
        raw.send(&framed(&head, b"quiet")).await;
    }
    assert_eq!(raw.round_trip(ECHO, 2, "loud").await, "loud");
    assert_eq!(running.probe.calls.load(Ordering::SeqCst), 5);
    running.stop().await;
}

#[tokio::test]
async fn held_requests_answer_when_released_and_block_nobody() {
    let running = Running::start();
    let mut raw = running.connect().await;
    let mut batch = request(HOLD, 1, b"a").to_vec();
    batch.extend_from_slice(&request(HOLD, 2, b"b"));
    batch.extend_from_slice(&request(ECHO, 3, b"at once"));
    raw.send(&batch).await;
    assert_eq!(raw.answer().await, (3, "at once".to_owned()));
    let mut other = running.connect().await;
    assert_eq!(other.round_trip(RELEASE, 1, "b").await, "");
    assert_eq!(raw.answer().await, (2, "b".to_owned()));
    // Released by its own connection: its answer and the held one are both there.
    raw.send(&request(RELEASE, 4, b"a")).await;
    let mut both = [raw.answer().await.0, raw.answer().await.0];
    both.sort_unstable();
    assert_eq!(both, [1, 4]);
    running.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_counted() {
    let running = Running::start();
    let mut raw = running.connect().await;
    for (code, remark) in [(PANIC, "on purpose"), (PANIC_LATER, "later")] {
        raw.send(&request(code, 9, b"")).await;
        let frame = raw.next().await.expect("an answer");
        assert_eq!((frame.code(), frame.opaque()), (1, 9));
        assert_eq!(frame.remark(), Some(remark));
        assert_eq!(frame.body(), b"");
    }
    assert_eq!(raw.round_trip(ECHO, 2, "alive").await, "alive");
    assert_eq!(running.server.counts().panics, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_draining_server_sends_new_clients_away() {
    let running = Running::start();
    let mut raw = running.connect().await;
    running.server.drain();
    for (version, code) in [(479, 1500), (476, 1500), (475, 0), (317, 0)] {
        let head = Head { code: ECHO, opaque: version, version, ..Head::default() };
        raw.send(&framed(&head, b"x")).await;
        let frame = raw.next().await.expect("an answer");
        assert_eq!((frame.opaque(), frame.code()), (version, code));
        let remark = (code == 1500).then_some("please go away");
        assert_eq!(frame.remark(), remark);
    }
    let calls = running.probe.calls.load(Ordering::SeqCst);
    assert_eq!(calls, 2);
    let head = Head { code: ECHO, flag: FLAG_ONEWAY, ..Head::default() };
    raw.send(&framed(&head, b"x")).await;
    until("the oneway request is carried out", || {
        running.probe.calls.load(Ordering::SeqCst) == calls + 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_held_and_closes() {
    let running = Running::start();
    let mut raw = running.connect().await;
    raw.send(&request(HOLD, 1, b"a")).await;
    assert_eq!(raw.round_trip(ECHO, 2, "is held").await, "is held");
    let address = running.address;
    let (serving, probe) = running.begin_stop();
    until("new connections are refused", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!serving.is_finished());
    probe.release(b"a");
    assert_eq!(raw.answer().await, (1, "a".to_owned()));
    raw.expect_end().await;
    serving.await.expect("served");
    assert_eq!(probe.opened.load(Ordering::SeqCst), probe.closed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_deadline() {
    let mut config = ServerConfig::on("127.0.0.1:0".parse().expect("address"));
    config.stop_deadline = Duration::from_millis(30);
    let running = Running::configured(config);
    let mut raw = running.connect().await;
    raw.send(&request(NEVER, 1, b"")).await;
    assert_eq!(raw.round_trip(ECHO, 2, "x").await, "x");
    let probe = running.stop().await;
    raw.expect_end().await;
    assert_eq!(probe.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_preamble_names_the_client() {
    let running = Running::start();
    let mut raw = running.connect().await;
    let mut bytes = b"PROXY TCP4 10.1.2.3 10.0.0.1 4711 10911\r\n".to_vec();
    bytes.extend_from_slice(&request(WHO, 1, b""));
    let (first, second) = bytes.split_at(20);
    raw.send(first).await;
    tokio::task::yield_now().await;
    raw.send(second).await;
    assert_eq!(raw.answer().await, (1, "10.1.2.3:4711".to_owned()));

    let mut raw = running.connect().await;
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend_from_slice(&[10, 9, 8, 7, 1, 1, 1, 1, 0x12, 0x67, 0, 1]);
    bytes.extend_from_slice(&request(WHO, 1, b""));
    raw.send(&bytes).await;
    assert_eq!(raw.answer().await, (1, "10.9.8.7:4711".to_owned()));

    let mut raw = running.connect().await;
    let own = raw.stream.local_addr().expect("address").to_string();
    assert_eq!(raw.round_trip(WHO, 1, "").await, own);

    let mut raw = running.connect().await;
    raw.send(b"PROXY TCP4 nonsense\r\n").await;
    raw.expect_end().await;
    running.stop().await;
}

#[tokio::test]
async fn opened_and_closed_are_called_in_pairs() {
    let running = Running::with(Limits { connections_max: 3, ..Limits::default() });
    let mut raw = running.connect().await;
    assert_eq!(raw.round_trip(ECHO, 1, "x").await, "x");
    let second = running.connect().await;
    drop(second);
    raw.send(&request(CLOSE, 2, b"")).await;
    raw.expect_end().await;
    until("all are gone", || running.server.counts().open == 0).await;
    // One that never sent a byte was never opened.
    assert_eq!(running.probe.opened.load(Ordering::SeqCst), 1);
    assert_eq!(running.probe.closed.load(Ordering::SeqCst), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_reset_connection_is_gone() {
    let running = Running::start();
    let mut raw = running.connect().await;
    raw.send(&request(NEVER, 1, b"")).await;
    assert_eq!(raw.round_trip(ECHO, 2, "x").await, "x");
    let stream: TcpStream = raw.stream;
    drop(stream);
    until("the server notices", || running.probe.closed.load(Ordering::SeqCst) == 1).await;
    assert!(running.server.peers().is_empty());
    running.stop().await;
}
