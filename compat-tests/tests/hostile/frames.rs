//! Bytes that are no frame, or half of one.

use remoting::protocol::command::FRAME_SIZE_MAX;
use remoting::protocol::encoding::Encoding;

use crate::kit::{Noise, Raw, Servers, request, request_in};

/// A frame of any length, mark and payload.
fn frame(length: u32, mark: u32, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), &mark.to_be_bytes(), payload].concat()
}

/// A whole frame with a header of any bytes.
fn with_header(encoding: u8, header: &[u8]) -> Vec<u8> {
    let mark = u32::from(encoding) << 24 | header.len() as u32;
    frame(header.len() as u32 + 4, mark, header)
}

/// Sends bytes over a new connection, which must be closed for them.
async fn closes(servers: &Servers, what: &str, bytes: &[u8]) {
    for address in servers.addresses() {
        let mut raw = Raw::connect(address).await;
        raw.send(bytes).await;
        raw.expect_end(what).await;
    }
    servers.answer_others().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_close_their_connection() {
    let servers = Servers::start().await;
    for seed in 1..40 {
        let mut noise = Noise::of(seed);
        let mut bytes = noise.bytes(seed as usize * 100);
        // Over the cap: neither a frame to wait for nor the beginning of a preamble.
        bytes[0] = 0x60 | bytes[0] & 0x9f;
        closes(&servers, "noise", &bytes).await;
        // A length that is true, and noise in it.
        let payload = noise.bytes(5_000);
        let mark = u32::from_be_bytes([payload[0] | 2, payload[1], payload[2], payload[3]]);
        closes(&servers, "noise in a frame", &frame(5_004, mark, &payload)).await;
        closes(&servers, "noise as a header", &with_header((seed % 2) as u8, &payload)).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_cannot_be_close_their_connection() {
    let servers = Servers::start().await;
    let over = FRAME_SIZE_MAX as u32 - 3;
    for length in [0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 17 << 20, over] {
        // At once: not a byte behind the length is waited for.
        closes(&servers, &format!("length {length:#x}"), &u32::to_be_bytes(length)).await;
    }
    for length in 0..4_u32 {
        let bytes = [&length.to_be_bytes()[..], &[0; 16]].concat();
        closes(&servers, &format!("length {length}"), &bytes).await;
    }
    for encoding in [0, 1] {
        closes(&servers, "header length 0", &with_header(encoding, b"")).await;
    }
    let header = br#"{"code":10,"opaque":1}"#;
    for mark in [header.len() as u32 + 1, 0x00ff_ffff, 0x01ff_ffff, 0x0100_00ff] {
        let bytes = frame(header.len() as u32 + 4, mark, header);
        closes(&servers, "header longer than its frame", &bytes).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_none_close_their_connection() {
    let servers = Servers::start().await;
    for encoding in [2, 3, 0x7f, 0x80, 0xff] {
        let bytes = with_header(encoding, br#"{"code":10,"opaque":1}"#);
        closes(&servers, &format!("encoding {encoding}"), &bytes).await;
    }
    let nested = |text: &str| text.repeat(100_000);
    for header in [
        nested("["),
        nested("{"),
        nested("{\"a\":"),
        format!("{{\"code\":10,\"extFields\":{}", nested("[")),
        format!("{{\"code\":10,\"extFields\":{{\"a\":{}", nested("{\"a\":")),
        format!("{{\"code\":10,\"unknown\":{}{}}}", nested("["), nested("]")),
        "{\"code\":10".to_owned(),
        "{\"code\":\"ten\"}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{\"code\":10,\"extFields\":{\"a\":\"\\ud800\\q\"}}".to_owned(),
        "{\"code\":10}{}".to_owned(),
    ] {
        let shown = &header[..header.len().min(40)];
        closes(&servers, shown, &with_header(0, header.as_bytes())).await;
    }
    closes(&servers, "no UTF-8", &with_header(0, b"{\"code\":10,\"remark\":\"\xff\xfe\"}")).await;
    let plain = request_in(Encoding::Rocketmq, 34, 1, &[("name", "value")], b"");
    for cut in 1..plain.len() - 8 {
        closes(&servers, "a cut binary header", &with_header(1, &plain[8..8 + cut])).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_are_turned_away() {
    let servers = Servers::start().await;
    for (what, bytes) in [
        ("HTTP", &b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"[..]),
        ("TLS", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("a wrong preamble", b"PROXY TCP9 1.1.1.1 1.1.1.1 1 1\r\n"),
        ("a wrong binary preamble", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c0123456789ab"),
        ("a preamble without end", &[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat()),
    ] {
        closes(&servers, what, bytes).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_frames_wait_and_disturb_nobody() {
    let servers = Servers::start().await;
    let whole = request(34, 7, &[("name", "value")], &[b'x'; 3_000]);
    let mut halves = Vec::new();
    for cut in [1, 3, 4, 5, 8, 9, 50, 200, 2_000, whole.len() - 1] {
        for address in servers.addresses() {
            let mut raw = Raw::connect(address).await;
            raw.send(&whole[..cut]).await;
            halves.push((cut, raw));
        }
    }
    servers.answer_others().await;
    // The other half comes after all: the request is answered like any other.
    for (cut, raw) in &mut halves {
        raw.send(&whole[*cut..]).await;
        assert_eq!(raw.answer().await.opaque(), 7);
        raw.lives().await;
    }
    // Ends in the middle of a frame.
    for address in servers.addresses() {
        Raw::connect(address).await.send(&whole[..100]).await;
    }
    servers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_is_answered_and_what_nobody_asked_is_ignored() {
    let servers = Servers::start().await;
    for address in servers.addresses() {
        let mut raw = Raw::connect(address).await;
        // Answers to questions nobody asked, oneway requests of unknown codes.
        for flag in [1, 3, -1] {
            let header = format!("{{\"code\":0,\"opaque\":{flag},\"flag\":{flag}}}");
            raw.send(&with_header(0, header.as_bytes())).await;
        }
        raw.send(&with_header(0, br#"{"code":-77,"opaque":1,"flag":2}"#)).await;
        for code in [-1, i32::MIN, i32::MAX, 0, 1_000_000] {
            let answer = raw.call(code, &[], &[]).await;
            assert_eq!(answer.code(), 3, "{code}");
            assert_eq!(answer.remark(), Some(&*format!(" request type {code} not supported")));
        }
        // The largest frame there may be.
        let empty = request(9_999, 1, &[], &[]);
        let body = vec![b'x'; FRAME_SIZE_MAX - empty.len()];
        assert_eq!(raw.call(9_999, &[], &body).await.code(), 3);
        let mut bytes = request(9_999, 5, &[], &[]);
        bytes.extend_from_slice(&with_header(9, b"{}"));
        raw.send(&bytes).await;
        assert_eq!(raw.answer().await.opaque(), 5);
        raw.expect_end("an unknown encoding behind a request").await;
    }
    servers.stop().await;
}
