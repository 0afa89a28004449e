//! The loads against the floor and against small servers that answer as a test wants.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use clap::Parser;
use remoting::net::{Outcome as Reply, Peer, Server, ServerConfig, Service};
use remoting::protocol::body::{Body, HeartbeatData, RegisterBrokerBody};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder, ResponseTag};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    EndTransactionRequestHeader, GetMaxOffsetResponseHeader, PullMessageRequestHeader,
    PullMessageResponseHeader, SendMessageRequestHeader, SendMessageResponseHeader, Short,
};
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::record::{NewRecord, Version};
use tokio::sync::Notify;

use super::answer::Answer;
use super::args::{Command, FloorArgs};
use super::driver::{Bench, Load};
use super::floor::Floor;
use super::poller::Poller;
use super::report::Outcome;
use super::send::Send;
use super::template::{Extra, OPAQUE_BASE, SendBody, Template, Values};
use super::{create, crowd, e2e, pull, routes, send, transaction};

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
        Command::Routes(args) => routes::measure(&args),
        Command::Transaction(args) => transaction::measure(&args),
        Command::Crowd(args) => crowd::measure(&args),
        Command::Create(args) => create::measure(&args),
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
        "--kinds 3 --queues 2 --connections 1",
        "--zipf --topics 3 --queues 2 --delay-level 1 --connections 2",
    ] {
        let outcome = measure(&format!("send --broker {address} {shape}")).expect(shape);
        assert!(outcome.messages > 0, "{shape}: {outcome:?}");
        assert_eq!(outcome.errors, [], "{shape}");
        assert!(outcome.latency_us.p50 > 0.0, "{shape}");
        assert!(outcome.server.expect("server").cpu_us > 0.0, "{shape}");
    }
    assert!(std::fs::metadata(dir.path().join("log")).expect("log").len() > 10_000);
}

#[test]
fn every_creation_is_of_a_topic_of_its_own() {
    let created = Arc::new(Created::default());
    let address = serve(Arc::clone(&created));
    let line = format!("create --broker {address} --connections 2 --beside 1000 --queues 2");
    let outcome = measure(&line).expect("measured");
    assert!(outcome.messages > 0, "{outcome:?}");
    assert_eq!(outcome.errors, []);
    let created = created.topics.lock().expect("topics");
    // Also those of the warm-up, and the one that is sent to.
    assert!(created.len() as u64 > outcome.messages, "{} of {outcome:?}", created.len());
}

/// Remembers what was created, and refuses what was created before or is no creation or send.
#[derive(Default)]
struct Created {
    topics: Mutex<std::collections::BTreeSet<String>>,
}

impl Service for Created {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::UpdateAndCreateTopic) => {
                let topic = frame.field("topic").expect("topic").to_owned();
                match self.topics.lock().expect("topics").insert(topic) {
                    true => out.ok_empty(),
                    false => out.error(1, "again"),
                }
            }
            Some(RequestCode::SendMessageV2) => out.ok_empty(),
            _ => out.error(1, "neither"),
        }
        Reply::Done
    }
}

#[test]
fn a_commit_names_its_half() {
    for encoding in ["json", "rocketmq"] {
        let address = serve(Arc::new(Halves::default()));
        let line = format!("transaction --broker {address} -c 3 --encoding {encoding}");
        let outcome = measure(&line).expect("measured");
        assert!(outcome.messages > 0, "{outcome:?}");
        assert_eq!(outcome.errors, []);
    }
}

/// Stores halves with places of their own, and refuses commits that do not name one.
#[derive(Default)]
struct Halves {
    /// Places in the log by queue offset.
    places: Mutex<Vec<i64>>,
}

impl Service for Halves {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        let mut places = self.places.lock().expect("places");
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::SendMessageV2) => {
                let header: Short<SendMessageRequestHeader<'_>> = frame.header().expect("header");
                let is_half = header.0.properties.is_some_and(|text| text.contains("TRAN_MSG"));
                assert!(is_half && header.0.sys_flag == 4);
                let (queue_offset, place) = (places.len() as i64, places.len() as i64 * 4_711);
                places.push(place);
                let msg_id = format!("7F00000100002A9F{place:016X}");
                let msg_id = msg_id.as_str();
                out.ok(&SendMessageResponseHeader { msg_id, queue_offset, ..Default::default() });
            }
            Some(RequestCode::EndTransaction) => {
                let header: EndTransactionRequestHeader<'_> = frame.header().expect("header");
                let place = places.get(header.tran_state_table_offset as usize);
                match place == Some(&header.commit_log_offset) && header.commit_or_rollback == 8 {
                    true => out.ok_empty(),
                    false => out.error(1, "no such half"),
                }
            }
            _ => out.ok_empty(),
        }
        Reply::Done
    }
}

#[test]
fn one_producer_counts_in_a_crowd() {
    let crowd = Arc::new(Waiting::default());
    let address = serve(Arc::clone(&crowd));
    let line = format!("crowd --broker {address} --producers 20 --consumers 30");
    let outcome = measure(&line).expect("measured");
    assert!(outcome.messages > 0, "{outcome:?}");
    assert_eq!(outcome.errors, []);
    assert_eq!(crowd.clients.lock().expect("clients").len(), 20);
    let waits = crowd.waits_ms.lock().expect("waits");
    assert_eq!((waits.len(), waits.first(), waits.last()), (30, Some(&500), Some(&15_000)));
}

/// Notes who sends heartbeats, and holds pulls for ever.
#[derive(Default)]
struct Waiting {
    clients: Mutex<std::collections::BTreeSet<String>>,
    waits_ms: Mutex<std::collections::BTreeSet<i64>>,
}

impl Service for Waiting {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::HeartBeat) => {
                let body = HeartbeatData::decode(frame.body()).expect("body");
                self.clients.lock().expect("clients").insert(body.client_id);
            }
            Some(RequestCode::PullMessage) => {
                let header: PullMessageRequestHeader<'_> = frame.header().expect("header");
                self.waits_ms.lock().expect("waits").insert(header.suspend_timeout_millis);
                return Reply::Later(Box::pin(std::future::pending()));
            }
            _ => {}
        }
        out.ok_empty();
        Reply::Done
    }
}

#[test]
fn a_fixed_rate_charges_the_server_for_what_waits() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address").to_string();
    let template = Template::send("t", 0, &SendBody::single(10), Extra::default(), Encoding::Json);
    let template = template.expect("template");
    let mut load = Send::new(1, 3, vec![template]).at_rate(1_000.0);
    let poller = Poller::new().expect("poller");
    let mut bench = Bench::new().expect("bench");
    let stream = std::net::TcpStream::connect(&address).expect("connect");
    bench.links.add(stream, &poller).expect("link");
    let mut turn = |at_ms: u64, bench: &mut Bench| {
        bench.now_ns = at_ms * 1_000_000;
        let before = bench.unique;
        let due = load.pump(bench).map(|due| due / 1_000_000);
        (bench.unique - before, due)
    };
    assert_eq!(turn(0, &mut bench), (1, Some(1)));
    assert_eq!(turn(0, &mut bench), (0, Some(1)));
    // Three are in flight from here on; the others wait for a slot.
    assert_eq!(turn(9, &mut bench), (2, None));
    let mut answer = BytesMut::new();
    let tag = ResponseTag { opaque: OPAQUE_BASE as i32, encoding: Encoding::Json, oneway: false };
    Responder::new(tag, &mut answer).ok_empty();
    let answer = Answer::read(&answer).expect("answer");
    // Slot 0 was meant to leave at 0 ms, what takes it next at 3 ms.
    load.answered(0, &answer, &mut bench).expect("answered");
    assert_eq!(bench.tally.latency.max() / 10_000, 900);
    load.pump(&mut bench);
    bench.now_ns = 20_000_000;
    bench.tally.reset();
    load.answered(0, &answer, &mut bench).expect("answered");
    assert_eq!(bench.tally.latency.max() / 10_000, 1_700);
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

/// May answer sends with an error, and has one kind of record in every queue.
struct Canned {
    refuse_sends: bool,
}

impl Service for Canned {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::SendMessageV2) if self.refuse_sends => out.error(2, "too busy"),
            Some(RequestCode::PullMessage) => {
                let header: PullMessageRequestHeader<'_> = frame.header().expect("header");
                Self::pull(&header, out);
            }
            _ => out.ok_empty(),
        }
        Reply::Done
    }
}

impl Canned {
    /// A queue of 100 records of 20 bytes.
    fn pull(header: &PullMessageRequestHeader<'_>, out: &mut Responder<'_>) {
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
    serve(Arc::new(Canned { refuse_sends }))
}

fn serve(service: Arc<impl Service>) -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let config = ServerConfig::on("127.0.0.1:0".parse().expect("address"));
            let server = Server::bind(config, service).expect("bind");
            send.send(server.local_addr()).expect("told");
            server.serve(std::future::pending()).await;
        });
    });
    receive.recv().expect("address")
}

/// One queue per number, kept in memory; a pull at its end is held until the next send.
#[derive(Default)]
struct Memory {
    queues: Mutex<HashMap<i32, Vec<BytesMut>>>,
    news: Arc<Notify>,
}

impl Memory {
    fn store(&self, header: &SendMessageRequestHeader<'_>, body: &[u8]) -> i64 {
        let mut queues = self.queues.lock().expect("queues");
        let queue = queues.entry(header.queue_id).or_default();
        let host = "127.0.0.1:1".parse().expect("address");
        let record = NewRecord {
            version: Version::for_topic(header.topic),
            queue_id: header.queue_id,
            flag: 0,
            queue_offset: queue.len() as i64,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp: header.born_timestamp,
            born_host: host,
            store_timestamp: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            topic: header.topic,
            properties: &[header.properties.unwrap_or_default()],
        };
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes).expect("record");
        queue.push(bytes);
        self.news.notify_waiters();
        queue.len() as i64 - 1
    }

    fn end(&self, queue: i32) -> i64 {
        self.queues.lock().expect("queues").get(&queue).map_or(0, Vec::len) as i64
    }
}

/// The service shares the memory with its held pulls.
struct MemoryService(Arc<Memory>);

impl Service for MemoryService {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::SendMessageV2) => {
                let header: Short<SendMessageRequestHeader<'_>> = frame.header().expect("header");
                let queue_offset = self.0.store(&header.0, frame.body());
                out.ok(&SendMessageResponseHeader { queue_offset, ..Default::default() });
            }
            Some(RequestCode::GetMaxOffset) => {
                let queue = frame.field("queueId").expect("queue").parse().expect("number");
                out.ok(&GetMaxOffsetResponseHeader { offset: self.0.end(queue) });
            }
            Some(RequestCode::PullMessage) => {
                let header: PullMessageRequestHeader<'_> = frame.header().expect("header");
                let (queue, offset) = (header.queue_id, header.queue_offset);
                let (memory, tag) = (Arc::clone(&self.0), out.tag());
                return Reply::Later(Box::pin(async move {
                    loop {
                        let news = memory.news.notified();
                        if memory.end(queue) > offset {
                            break;
                        }
                        news.await;
                    }
                    let next_begin_offset = memory.end(queue);
                    let queues = memory.queues.lock().expect("queues");
                    let found = &queues[&queue][offset as usize..next_begin_offset as usize];
                    let header =
                        PullMessageResponseHeader { next_begin_offset, ..Default::default() };
                    let mut bytes = BytesMut::new();
                    let mut out = Responder::new(tag, &mut bytes);
                    out.respond(0, None, &header, &[], &found.concat());
                    bytes
                }));
            }
            _ => out.ok_empty(),
        }
        Reply::Done
    }
}

/// A name server that knows what was registered, as long as the connection lasts.
#[derive(Default)]
struct Topics {
    known: Mutex<Option<(Arc<Peer>, Vec<String>)>>,
    asked: Mutex<std::collections::BTreeSet<String>>,
}

impl Service for Topics {
    fn call(&self, peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Reply {
        let mut known = self.known.lock().expect("known");
        match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::RegisterBroker) => {
                let body = RegisterBrokerBody::read(frame.body(), false, 500).expect("body");
                let topics = body.topic_config_serialize_wrapper.topic_config_table;
                *known = Some((Arc::clone(peer), topics.into_keys().collect()));
                out.ok_empty();
            }
            Some(RequestCode::GetRouteinfoByTopic) => {
                let topic = frame.field("topic").expect("topic").to_owned();
                let topics = known.as_ref().map(|(_, topics)| topics).expect("registered");
                assert!(topics.contains(&topic));
                self.asked.lock().expect("asked").insert(topic);
                out.ok_empty();
            }
            other => panic!("{other:?}"),
        }
        Reply::Done
    }
}

#[test]
fn routes_of_all_topics_are_asked_for() {
    let topics = Arc::new(Topics::default());
    let address = serve(Arc::clone(&topics));
    let line = format!("routes --namesrv {address} --topics 20 --connections 3");
    let outcome = measure(&line).expect("measured");
    assert!(outcome.messages > 0, "{outcome:?}");
    assert_eq!(outcome.errors, []);
    assert_eq!(topics.asked.lock().expect("asked").len(), 20);
}

#[test]
fn every_message_arrives_at_every_group() {
    let address = serve(Arc::new(MemoryService(Arc::default())));
    let line = format!("e2e --broker {address} --queues 3 --groups 2 --rate 1000 --size 40");
    let outcome = measure(&line).expect("measured");
    assert!(outcome.messages > 50 && outcome.latency_us.p50 > 0.0, "{outcome:?}");
    assert_eq!(outcome.errors, []);
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
    let values = Values {
        opaque: OPAQUE_BASE + 5,
        born_ms: 1_700_000_000_123,
        offset: 77,
        stamp: 9,
        ..Values::default()
    };
    for encoding in [Encoding::Json, Encoding::Rocketmq] {
        for body in [SendBody::stamped(30), SendBody::batch(30, 3).expect("batch")] {
            let template = Template::send("topic", 3, &body, Extra::default(), encoding);
            let template = template.expect("template");
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
