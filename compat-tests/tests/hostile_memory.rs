//! What idle connections and half-sent frames cost: memory, and the patience of others.
//!
//! One test in a process of its own. The clients are plain sockets without buffers, so what grows
//! is the servers; the allocator is the one of the programs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "hostile/kit.rs"]
mod kit;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kit::Servers;
use mimalloc::MiMalloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const IDLE: usize = 5_000;
const IDLE_KIB_MAX: i64 = 20 * 1024;

const HALVES: usize = 1_000;
/// Half of it is 2 MiB more for each of two threads that begin to allocate meanwhile.
const HALVES_KIB_MAX: i64 = 8 * 1024;

/// Anonymous memory of this process.
fn anonymous_kib() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Both ends of every connection are here; returns how many of `wanted` the limit permits.
fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refused at most by a system that changes limits under us; what is left is counted then.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(files).unwrap().saturating_sub(500) / 2;
    if possible < wanted {
        println!("{possible} connections instead of {wanted}: {files} open files are the limit");
    }
    possible.min(wanted)
}

/// Opens connections, each of which sends `bytes`.
async fn open(servers: &Servers, count: usize, bytes: &'static [u8]) -> Vec<TcpStream> {
    let broker: SocketAddr = servers.broker.parse().unwrap();
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let step = 100.min(count - streams.len());
        let opened = tokio::task::spawn_blocking(move || {
            let connect = |_| {
                let mut stream = TcpStream::connect(broker).unwrap();
                stream.write_all(bytes).unwrap();
                stream
            };
            (0..step).map(connect).collect::<Vec<_>>()
        });
        streams.extend(opened.await.unwrap());
        // The backlog must not run over, and others are answered while all these come.
        servers.answer_others().await;
    }
    streams
}

/// The longest of many waits of a client of good will.
async fn longest_wait(servers: &Servers) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..200 {
        longest = longest.max(servers.answer_others().await);
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_half_frames_cost_little() {
    let count = connections(IDLE);
    let servers = Servers::start().await;
    let alone = longest_wait(&servers).await;
    for (what, count, limit_kib, bytes) in [
        // Frames of 16 MiB, of which a header has begun.
        ("half frames", HALVES.min(count), HALVES_KIB_MAX, &b"\0\xff\xff\0\0\0\0\x64{"[..]),
        ("idle", count, IDLE_KIB_MAX, &[]),
    ] {
        let before = anonymous_kib();
        let streams = open(&servers, count, bytes).await;
        let grown = anonymous_kib() - before;
        let wait = longest_wait(&servers).await;
        println!("{what}: {count} connections, +{grown} KiB, {wait:?} ({alone:?} alone)");
        assert!(grown <= limit_kib, "{what}: {count} connections take {grown} KiB");
        drop(streams);
    }
    servers.stop().await;
}
