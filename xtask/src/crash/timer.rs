//! Timer messages: delivered at their millisecond, none early, none lost.
//!
//! Four rows, each on a directory of its own. Messages spread over a time: how late each is
//! stored in its own topic, against the millisecond asked for. The same with a kill in the
//! middle: nothing is lost. All messages due at once: how many a second are delivered. Many
//! messages that wait: the anonymous memory of the server.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, stream};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{PullMessageRequestHeader, SendMessageRequestHeader, Short};
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::records;
use tokio::runtime::{Builder, Runtime};

use super::server::Server;

const TOPIC: &str = "TimerCrash";
const QUEUES: i32 = 8;
const MESSAGES: u32 = 100_000;
const WAITING: u32 = 1_000_000;
const SPREAD_MS: i64 = 60_000;
/// Time to send them before the first is due.
const LEAD_MS: i64 = 15_000;
const IN_FLIGHT: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(180);
/// Latest time for 99 of 100.
const LATE_P99_MS: i64 = 20;
const PER_SECOND_MIN: u64 = 20_000;
const MEMORY_MAX: u64 = 100 << 20;
const SETTINGS: &str = "mappedFileSizeCommitLog=67108864\nmappedFileSizeConsumeQueue=600000\n";
/// A pull with the subscription of the request.
const SUBSCRIPTION: i32 = 4;

/// Runs the rows; true if everything held.
pub fn run(binary: &Path) -> Result<bool> {
    let spread = spread(binary, None)?;
    let killed = spread_with_kill(binary)?;
    let burst = burst(binary)?;
    let memory = memory(binary)?;
    Ok(spread && killed && burst && memory)
}

fn spread_with_kill(binary: &Path) -> Result<bool> {
    spread(binary, Some(LEAD_MS + SPREAD_MS / 2))
}

/// Sends messages due over a minute and looks at what was delivered.
fn spread(binary: &Path, kill_after_ms: Option<i64>) -> Result<bool> {
    let mut server = started(binary)?;
    let mut driver = Driver::new(&server)?;
    let first_ms = now_ms() + LEAD_MS;
    let due = |number: u32| first_ms + i64::from(number) * SPREAD_MS / i64::from(MESSAGES);
    let took = driver.send(MESSAGES, &due)?;
    let mut down = 0..0;
    if let Some(after_ms) = kill_after_ms {
        wait_until(first_ms - LEAD_MS + after_ms);
        down.start = now_ms();
        server.kill()?;
        server.start()?;
        down.end = now_ms();
        driver = Driver::new(&server)?;
    }
    wait_until(first_ms + SPREAD_MS);
    let seen = driver.wait_for(MESSAGES)?;
    let name = if kill_after_ms.is_some() { "timer, kill -9 in the middle" } else { "timer" };
    println!(
        "{name}: {MESSAGES} messages sent in {took:.1?} ({:.0}/s), due over {} s",
        f64::from(MESSAGES) / took.as_secs_f64(),
        SPREAD_MS / 1000
    );
    let held = seen.judge(name, MESSAGES, &due, &down);
    server.stop()?;
    Ok(held)
}

/// All due within the same second.
fn burst(binary: &Path) -> Result<bool> {
    let mut server = started(binary)?;
    let driver = Driver::new(&server)?;
    let at_ms = (now_ms() + LEAD_MS) / 1000 * 1000 + 500;
    driver.send(MESSAGES, &|_| at_ms)?;
    wait_until(at_ms);
    let seen = driver.wait_for(MESSAGES)?;
    let last_ms = seen.stored.iter().map(|(_, stored_ms)| *stored_ms).max().unwrap_or(at_ms);
    let took_ms = (last_ms - at_ms).max(1).unsigned_abs();
    let per_second = u64::from(MESSAGES) * 1000 / took_ms;
    println!("timer, all at once: {MESSAGES} delivered in {took_ms} ms, {per_second}/s");
    let early = seen.stored.iter().filter(|(_, stored_ms)| *stored_ms < at_ms).count();
    server.stop()?;
    Ok(early == 0 && per_second >= PER_SECOND_MIN && seen.count() == MESSAGES as usize)
}

/// A million messages that wait for an hour and more.
fn memory(binary: &Path) -> Result<bool> {
    let mut server = started(binary)?;
    let driver = Driver::new(&server)?;
    let first_ms = now_ms() + 3_600_000;
    let took = driver.send(WAITING, &|number| first_ms + i64::from(number) * 80)?;
    driver.wait_enqueued()?;
    let (anonymous, _) = server.usage()?;
    println!(
        "timer, waiting: {WAITING} messages sent in {took:.1?}; {} MiB anonymous memory",
        anonymous >> 20
    );
    server.kill()?;
    let begun = Instant::now();
    server.start()?;
    let restart = begun.elapsed();
    thread::sleep(Duration::from_secs(3));
    let (again, _) = server.usage()?;
    println!("timer, waiting: restart after kill -9 in {restart:.0?}; {} MiB", again >> 20);
    server.stop()?;
    Ok(anonymous < MEMORY_MAX && again < MEMORY_MAX)
}

fn started(binary: &Path) -> Result<Server> {
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", SETTINGS)?;
    server.start()?;
    Ok(server)
}

/// What was found in the topic: number and store time of every delivered message.
struct Seen {
    stored: Vec<(u32, i64)>,
}

impl Seen {
    fn count(&self) -> usize {
        self.stored.len()
    }

    /// Prints and judges; messages due while the server was down are late by right.
    fn judge(
        &self,
        name: &str,
        messages: u32,
        due: &dyn Fn(u32) -> i64,
        down: &std::ops::Range<i64>,
    ) -> bool {
        let mut times: HashMap<u32, u32> = HashMap::new();
        let (mut early, mut late) = (0, Vec::new());
        for (number, stored_ms) in &self.stored {
            let due_ms = due(*number);
            early += usize::from(*stored_ms < due_ms);
            if *times.entry(*number).and_modify(|count| *count += 1).or_insert(1) == 1
                && !down.contains(&due_ms)
            {
                late.push(stored_ms - due_ms);
            }
        }
        late.sort_unstable();
        let at = |part: f64| {
            let index = (late.len() as f64 * part) as usize;
            late.get(index.min(late.len().saturating_sub(1))).copied().unwrap_or(i64::MAX)
        };
        let lost = messages as usize - times.len();
        let twice = times.values().filter(|count| **count > 1).count();
        println!(
            "{name}: {lost} lost, {early} early, {twice} twice; late by ms: median {}, p99 {}, \
             p99.9 {}, max {}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        // After a kill what was due meanwhile comes first: the time around it is not judged.
        let punctual = at(0.99) <= LATE_P99_MS || !down.is_empty();
        lost == 0 && early == 0 && punctual
    }
}

/// A client of the server.
struct Driver {
    runtime: Runtime,
    client: Client,
    broker: String,
}

impl Driver {
    fn new(server: &Server) -> Result<Driver> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(ClientOptions::default());
        Ok(Driver { runtime, client, broker: server.broker() })
    }

    /// Sends that many timer messages, each with its number as body.
    fn send(&self, count: u32, due: &dyn Fn(u32) -> i64) -> Result<Duration> {
        let begun = Instant::now();
        self.runtime.block_on(async {
            let mut sends = stream::iter(0..count)
                .map(|number| self.send_one(number, due(number)))
                .buffer_unordered(IN_FLIGHT);
            while let Some(sent) = sends.next().await {
                sent?;
            }
            Ok(begun.elapsed())
        })
    }

    async fn send_one(&self, number: u32, due_ms: i64) -> Result<()> {
        let properties = format!("{}\u{1}{due_ms}\u{2}", property::TIMER_DELIVER_MS);
        let header = SendMessageRequestHeader {
            producer_group: "timer",
            topic: TOPIC,
            default_topic: "TBW102",
            default_topic_queue_nums: QUEUES,
            queue_id: number as i32 % QUEUES,
            born_timestamp: now_ms(),
            properties: Some(&properties),
            ..SendMessageRequestHeader::default()
        };
        let body = number.to_string();
        let (code, header) = (RequestCode::SendMessageV2, Short(header));
        let sent = self.client.call(&self.broker, code, &header, &[], body.as_bytes(), TIMEOUT);
        let answer = sent.await?;
        ensure!(answer.code() == 0, "send {number}: {:?}", answer.remark());
        Ok(())
    }

    /// Reads the topic until that many messages are there, and a little longer.
    fn wait_for(&self, count: u32) -> Result<Seen> {
        let begun = Instant::now();
        let mut next = [0; QUEUES as usize];
        let mut seen = Seen { stored: Vec::with_capacity(count as usize) };
        let mut rests = 0;
        while rests < 3 {
            let before = seen.count();
            self.runtime.block_on(self.read(&mut next, &mut seen))?;
            let complete = seen.count() >= count as usize;
            rests = if complete && seen.count() == before { rests + 1 } else { 0 };
            if seen.count() == before {
                // Without the messages there is nothing to wait for in the end: the row says so.
                if begun.elapsed() > PATIENCE / 6 && !complete {
                    return Ok(seen);
                }
                thread::sleep(Duration::from_millis(300));
            }
        }
        Ok(seen)
    }

    async fn read(&self, next: &mut [i64], seen: &mut Seen) -> Result<()> {
        for (queue_id, next) in (0..).zip(next) {
            loop {
                let header = PullMessageRequestHeader {
                    consumer_group: "timer",
                    topic: TOPIC,
                    queue_id,
                    queue_offset: *next,
                    max_msg_nums: 32,
                    sys_flag: SUBSCRIPTION,
                    subscription: Some("*"),
                    ..PullMessageRequestHeader::default()
                };
                let code = RequestCode::PullMessage;
                let pull = self.client.call(&self.broker, code, &header, &[], &[], TIMEOUT);
                let answer = pull.await?;
                if answer.code() != 0 {
                    break;
                }
                for record in records(answer.body()) {
                    let record = record.context("a damaged record")?;
                    let number = std::str::from_utf8(record.body)?.parse()?;
                    seen.stored.push((number, record.store_timestamp));
                    *next = record.queue_offset + 1;
                }
            }
        }
        Ok(())
    }

    /// Waits until the timer has taken all messages in.
    fn wait_enqueued(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let code = RequestCode::GetBrokerRuntimeInfo;
            let header = remoting::protocol::header::NoHeader;
            let ask = self.client.call(&self.broker, code, &header, &[], &[], TIMEOUT);
            let answer = self.runtime.block_on(ask)?;
            let table: serde_json::Value = serde_json::from_slice(answer.body())?;
            if table["table"]["timerOffsetBehind"] == "0" {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(200));
        }
        bail!("the timer does not come on")
    }
}

fn wait_until(time_ms: i64) {
    let left_ms = (time_ms - now_ms()).max(0).unsigned_abs();
    thread::sleep(Duration::from_millis(left_ms));
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}
