//! The loads against the floor and against small servers that answer as a test wants.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::BytesMut;
use clap::Parser;
use remoting::net::{Outcome as Reply, Peer, Server, ServerConfig, Service};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder, ResponseTag};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    GetMaxOffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    SendMessageRequestHeader, SendMessageResponseHeader, Short,
};
use remoting::protocol::message::batch::BatchMessages;

use super::answer::Answer;
use super::args::{Command, FloorArgs};
use super::floor::Floor;
use super::report::Outcome;
use super::template::{OPAQUE_BASE, SendBody, Template, Values};
use super::{e2e, pull, send};

fn floor(file: &Path) -> SocketAddr {
    let listen = "127.0.0.1:0".parse().expect("address");
    let args = FloorArgs { listen, file: file.to_owned(), sync: false };
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut floor = Floor::bind(&args).expect("bind");
        send.send(floor.address().expect("address")).expect("told");
        floor.serve()
    });
    receive.recv().expect("address")
}

fn measure(line: &str) -> anyhow::Result<Outcome> {
    let timed =
        format!("mqbench {line} --warmup 0.05 --duration 0.15 --pid {}", std::process::id());
    match Command::try_parse_from(timed.split_whitespace())? {
        Command::Send(args) => send::measure(&args),
        Command::Pull(args) => pull::measure(&args),
        Command::E2e(args) => e2e::measure(&args),
        other => anyhow::bail!("{other:?} measures nothing"),
    }
}

#[test]
fn sends_to_the_floor_in_every_shape() {
    let dir = tempfile::tempdir().expect("dir");
    let address = floor(&dir.path().join("log"));
    for shape in [
        "--connections 3 --window 4 --size 100",
        "--connections 2 --encoding rocketmq",
        "--connections 2 --batch 8 --size 10",
        "--connections 2 --window 8 --rate 2000",
        "--topics 3 --queues 2 --connections 1",
    ] {
        let outcome = measure(&format!("send --broker {address} {shape}")).expect(shape);
        assert!(outcome.messages > 50, "{shape}: {outcome:?}");
        assert_eq!(outcome.errors, [], "{shape}");
        assert!(outcome.latency_us.p50 > 0.0, "{shape}");
        assert!(outcome.server.expect("server").cpu_us > 0.0, "{shape}");
    }
    assert!(std::fs::metadata(dir.path().join("log")).expect("log").len() > 10_000);
}

#[test]
fn a_fixed_rate_is_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let address = floor(&dir.path().join("log"));
    let line = format!("send --broker {address} --connections 2 --window 64 --rate 1000");
    let outcome = measure(&line).expect("measured");
    assert!((500.0..1500.0).contains(&outcome.per_second), "{outcome:?}");
}

#[test]
fn a_number_of_messages_ends_a_run() {
    let dir = tempfile::tempdir().expect("dir");
    let address = floor(&dir.path().join("log"));
    let line = format!("send --broker {address} --messages 100 --connections 3 --warmup 0");
    let line = format!("mqbench {line} --duration 3600");
    let Command::Send(args) = Command::try_parse_from(line.split(' ')).expect("line") else {
        panic!("a send");
    };
    let outcome = send::measure(&args).expect("measured");
    assert_eq!(outcome.messages, 100);
}

#[test]
fn what_the_floor_does_not_serve_is_an_error() {
    let dir = tempfile::tempdir().expect("dir");
    let address = floor(&dir.path().join("log"));
    let error = measure(&format!("pull --broker {address}")).expect_err("refused");
    assert!(error.to_string().contains("this is the floor"), "{error}");
}

/// Answers sends with an error, holds pulls until there is "news", and knows one kind of record.
struct Canned {
    sends: AtomicI64,
    refuse_sends: bool,
}

impl Service for Canned {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::SendMessageV2) if self.refuse_sends => out.error(2, "too busy"),
            Some(RequestCode::SendMessageV2) => {
                self.sends.fetch_add(1, Ordering::SeqCst);
                out.ok(&SendMessageResponseHeader::default());
            }
            Some(RequestCode::PullMessage) => {
                let header: PullMessageRequestHeader<'_> = frame.header().expect("header");
                self.pull(&header, out);
            }
            Some(RequestCode::GetMaxOffset) => out.ok(&GetMaxOffsetResponseHeader { offset: 5 }),
            _ => out.ok_empty(),
        }
        Reply::Done
    }
}

impl Canned {
    /// A queue of 100 records of 20 bytes.
    fn pull(&self, header: &PullMessageRequestHeader<'_>, out: &mut Responder<'_>) {
        let left = (100 - header.queue_offset).max(0);
        let count = left.min(i64::from(header.max_msg_nums));
        let mut body = Vec::new();
        for _ in 0..count {
            body.extend_from_slice(&20_u32.to_be_bytes());
            body.extend_from_slice(&[1; 16]);
        }
        let answer = PullMessageResponseHeader {
            next_begin_offset: header.queue_offset + count,
            max_offset: 100,
            ..PullMessageResponseHeader::default()
        };
        let code = if count > 0 { 0 } else { 19 };
        out.respond(code, None, &answer, &[], &body);
    }
}

fn canned(refuse_sends: bool) -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let config = ServerConfig::on("127.0.0.1:0".parse().expect("address"));
            let service = Canned { sends: AtomicI64::new(0), refuse_sends };
            let server = Server::bind(config, Arc::new(service)).expect("bind");
            send.send(server.local_addr()).expect("told");
            server.serve(std::future::pending()).await;
        });
    });
    receive.recv().expect("address")
}

#[test]
fn error_codes_are_counted_and_are_no_messages() {
    let address = canned(true);
    let outcome = measure(&format!("send --broker {address} --connections 2")).expect("measured");
    assert_eq!(outcome.messages, 0);
    assert_eq!(outcome.errors.len(), 1);
    assert_eq!((outcome.errors[0].code, outcome.errors[0].remark.as_str()), (2, "too busy"));
}

#[test]
fn pulls_walk_through_all_queues() {
    let address = canned(false);
    let line = format!("mqbench pull --broker {address} --queues 5 --window 2 --once --warmup 0");
    let Command::Pull(args) = Command::try_parse_from(line.split(' ')).expect("line") else {
        panic!("a pull");
    };
    let outcome = pull::measure(&args).expect("measured");
    assert_eq!(outcome.messages, 500);
    let again = measure(&format!("pull --broker {address} --queues 2")).expect("measured");
    assert!(again.messages > 500, "begins again: {again:?}");
}

#[test]
fn answers_are_read_in_both_encodings() {
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        let mut bytes = BytesMut::new();
        let tag = ResponseTag { opaque: 1_000_000_007, encoding, oneway: false };
        let header = PullMessageResponseHeader {
            next_begin_offset: 123_456_789_012,
            min_offset: -1,
            ..PullMessageResponseHeader::default()
        };
        Responder::new(tag, &mut bytes).respond(19, Some("nothing"), &header, &[], b"body");
        let answer = Answer::read(&bytes).expect("answer");
        assert_eq!((answer.code, answer.opaque), (19, 1_000_000_007));
        assert_eq!(answer.remark(), "nothing");
        assert_eq!(answer.body, b"body");
        assert_eq!(answer.number("nextBeginOffset"), Some(123_456_789_012));
        assert_eq!(answer.number("minOffset"), Some(-1));
        assert_eq!(answer.number("absent"), None);
    }
    assert!(Answer::read(&[0, 0, 0, 1]).is_err());
    assert!(Answer::read(&[0, 0, 0, 4, 0, 0, 0, 9]).is_err());
}

#[test]
fn templates_make_valid_requests_with_their_own_values() {
    let mut unique = 0xabc;
    let values =
        Values { opaque: OPAQUE_BASE + 5, born_ms: 1_700_000_000_123, offset: 77, stamp: 9 };
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        for body in [SendBody::stamped(30), SendBody::batch(30, 3).expect("batch")] {
            let template = Template::send("topic", 3, &body, encoding).expect("template");
            let mut out = Vec::new();
            template.write(&mut out, &values, &mut unique);
            let frame = Frame::decode(BytesMut::from(&out[..])).expect("frame");
            assert_eq!(frame.opaque(), 1_000_000_005);
            let header: Short<SendMessageRequestHeader<'_>> = frame.header().expect("header");
            assert_eq!((header.0.topic, header.0.queue_id), ("topic", 3));
            assert_eq!(header.0.born_timestamp, 1_700_000_000_123);
            let properties = header.0.properties.expect("properties");
            if header.0.batch {
                let messages = BatchMessages::new(frame.body());
                let keys = messages.map(|message| message.expect("message").properties.to_owned());
                let keys: std::collections::BTreeSet<String> = keys.collect();
                assert_eq!(keys.len(), 3, "keys of their own: {keys:?}");
            } else {
                let key = format!("{:016X}", unique - 1);
                assert!(properties.contains(&key), "{properties:?}");
                assert_eq!(frame.body()[..8], 9_u64.to_be_bytes());
            }
        }
        let header = pull::header("group", "topic", 4, 32, 0);
        let template = Template::pull(&header, encoding).expect("template");
        let mut out = Vec::new();
        template.write(&mut out, &values, &mut unique);
        let frame = Frame::decode(BytesMut::from(&out[..])).expect("frame");
        let header: PullMessageRequestHeader<'_> = frame.header().expect("header");
        assert_eq!((header.queue_offset, header.queue_id, header.max_msg_nums), (77, 4, 32));
    }
}
