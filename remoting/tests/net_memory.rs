//! What connections cost in memory: nothing per request, little per connection.
//!
//! One test in a process of its own, because the allocator counts everything in the process. The
//! clients are blocking sockets with buffers made before the counting, so what is counted is the
//! server.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::BytesMut;
use remoting::net::{Outcome, Peer, Server, ServerConfig, Service};
use remoting::protocol::command::{Frame, RequestHead, Responder, encode_request};
use remoting::protocol::header::NoHeader;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Answers with one ext field of the request and its body.
struct Echo;

impl Service for Echo {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        let topic = frame.field("topic").unwrap_or_default();
        out.respond(0, None, &NoHeader, &[("topic", topic)], frame.body());
        Outcome::Done
    }
}

fn start() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let config = ServerConfig::on("127.0.0.1:0".parse().expect("address"));
            let server = Server::bind(config, Arc::new(Echo)).expect("bind");
            send.send(server.local_addr()).expect("told");
            server.serve(std::future::pending()).await;
        });
    });
    receive.recv().expect("address")
}

/// One client and its buffers.
struct Client {
    stream: TcpStream,
    batch: BytesMut,
    answers: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, window: i32) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let mut batch = BytesMut::new();
        for opaque in 0..window {
            let head = RequestHead { code: 310, opaque, ..RequestHead::default() };
            let extra = [("topic", "a-topic"), ("props", "escaped \" and \u{1}")];
            encode_request(&mut batch, head, &NoHeader, &extra, &[b'x'; 500]).expect("fits");
        }
        let mut client = Self { stream, batch, answers: vec![0; 4] };
        // The first round tells how long the answers are.
        client.stream.write_all(&client.batch).expect("send");
        client.stream.read_exact(&mut client.answers).expect("receive");
        let length = u32::from_be_bytes(client.answers[..4].try_into().expect("four")) as usize;
        client.answers.resize(length, 0);
        client.stream.read_exact(&mut client.answers).expect("receive");
        client.answers.resize((length + 4) * (window as usize - 1), 0);
        client.stream.read_exact(&mut client.answers).expect("receive");
        client.answers.resize((length + 4) * window as usize, 0);
        client
    }

    fn round(&mut self) {
        self.stream.write_all(&self.batch).expect("send");
        self.stream.read_exact(&mut self.answers).expect("receive");
    }
}

#[test]
fn requests_allocate_nothing_and_connections_little() {
    let address = start();
    // Numbers of one digit, so that all answers are as long as the first.
    for window in [1, 9] {
        let mut client = Client::connect(address, window);
        for _ in 0..200 {
            client.round();
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..500 {
            client.round();
        }
        let change = region.change();
        assert_eq!(change.allocations + change.reallocations, 0, "window {window}: {change:?}");
    }

    let mut clients = Vec::with_capacity(1_000);
    let region = Region::new(ALLOCATOR);
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(address).expect("connect");
        // Announces 16 MB and sends a few bytes of it.
        stream.write_all(&[0, 0xff, 0xff, 0, 0, 0, 0, 100, b'{']).expect("send");
        clients.push(stream);
    }
    // Answered after all that was sent before on its own connection and accepted before it.
    Client::connect(address, 2).round();
    let change = region.change();
    let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    assert!(held < 8 * 1024 * 1024, "{held} bytes for {} connections", clients.len());
}
