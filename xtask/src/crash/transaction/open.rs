//! What 100,000 open half messages cost.
//!
//! Nobody has decided yet in the first rounds of questions; in the next all are committed. Plain
//! sends go on meanwhile, one after the other, so that a round that holds up other work is seen.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{SendMessageRequestHeader, Short};

use super::audit::Audit;
use super::producer::{Fate, Producer};
use super::{PATIENCE, QUEUES, SENDERS};
use crate::crash::server::Server;
use crate::takeover::link::Link;

const TOPIC: &str = "TransactionOpen";
const PLAIN_TOPIC: &str = "TransactionPlain";
const HALVES: u64 = 100_000;
/// The first round begins when all have been sent. The index caches its slots, 20 MB of them,
/// which is not what is measured.
const SETTINGS: &str = "transactionCheckInterval=20000\ntransactionTimeOut=1000\n\
                        messageIndexEnable=false\n\
                        mappedFileSizeCommitLog=1073741824\nmappedFileSizeConsumeQueue=6000000\n";

/// Leaves half messages open and commits them when asked; true if all are visible once.
pub fn run(binary: &Path) -> Result<bool> {
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", SETTINGS)?;
    server.start()?;
    let producer = Producer::new(&server.broker(), TOPIC, |_| Fate::Check)?;
    producer.decide(false);
    let (before, _) = server.usage()?;
    let took = producer.send_all(HALVES, SENDERS);
    let (sent, _) = server.usage()?;
    println!(
        "open: {HALVES} half messages sent in {took:.1?}; memory {} before, {} after",
        mebibytes(before),
        mebibytes(sent)
    );
    let asked = round(&server, &producer, "nobody has decided")?;
    producer.decide(true);
    let committed = round(&server, &producer, "all are committed")?;
    let quiet = producer.wait_quiet(Duration::from_secs(22), PATIENCE)?;
    let start = Instant::now();
    server.kill()?;
    server.start()?;
    let restart = start.elapsed();
    let visible: BTreeMap<u64, usize> = Audit::new(&server.broker())?.read(TOPIC, QUEUES)?;
    let once = visible.values().filter(|count| **count == 1).count();
    println!("open: {once} of {HALVES} visible once, {quiet} asked again; restart {restart:.0?}");
    server.stop()?;
    Ok(asked && committed && quiet == 0 && once == HALVES as usize && visible.len() == once)
}

/// Waits for one round of questions; false if it left one out or asked many twice.
fn round(server: &Server, producer: &Producer, what: &str) -> Result<bool> {
    producer.stay_while(PATIENCE, || producer.asked().0 == 0)?;
    let (start, (_, used)) = (Instant::now(), server.usage()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let link = Link::new(server.broker().parse()?);
    let mut memory = 0;
    let mut latencies = Vec::new();
    while producer.asked().0 < HALVES as usize && start.elapsed() < PATIENCE {
        latencies.push(runtime.block_on(send_plain(&link))?);
        memory = server.usage()?.0.max(memory);
        thread::sleep(Duration::from_millis(1));
    }
    let (took, (_, now)) = (start.elapsed(), server.usage()?);
    let (different, asked, _) = producer.asked();
    latencies.sort();
    let at =
        |part: usize| latencies.get(latencies.len() * part / 1000).copied().unwrap_or_default();
    println!(
        "open, {what}: {different} asked in {took:.1?}, {asked} questions, {:.1?} of processor \
         time, memory at most {}; plain sends p50 {:.2?} p99 {:.2?} p99.9 {:.2?}",
        now.saturating_sub(used),
        mebibytes(memory),
        at(500),
        at(990),
        at(999),
    );
    producer.forget_asked();
    // Some may have been asked about before all had been sent.
    Ok(different == HALVES as usize && asked < HALVES + HALVES / 10)
}

/// Sends a plain message over a connection of its own; returns how long that took.
async fn send_plain(link: &Link) -> Result<Duration> {
    let header = SendMessageRequestHeader {
        producer_group: "plain",
        topic: PLAIN_TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: QUEUES,
        ..SendMessageRequestHeader::default()
    };
    let start = Instant::now();
    link.ok(RequestCode::SendMessageV2, &Short(header), b"plain").await?;
    Ok(start.elapsed())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
