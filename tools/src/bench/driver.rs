//! The loop: let the load queue requests, wait, hand every answer to it, write.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;

use super::answer::Answer;
use super::args::Common;
use super::links::Links;
use super::poller::Poller;
use super::process::{self, Usage};
use super::report::Outcome;
use super::tally::Tally;
use super::watch::Watch;

/// So long before something is due the loop looks again and again: a sleep may last that much too
/// long. It does not do so for longer, as a core that never rests may slow the server's down.
const SPIN: Duration = Duration::from_micros(150);

/// A look takes a microsecond; in what is longer, others had the core.
const LOOK_MAX: Duration = Duration::from_micros(5);

/// What a load works with.
pub struct Bench {
    /// The sockets.
    pub links: Links,
    /// What is counted.
    pub tally: Tally,
    /// Nanoseconds since the start, read once per turn of the loop and at every answer's read.
    pub now_ns: u64,
    /// Milliseconds since 1970 at the start.
    pub epoch_ms: u64,
    /// For unique keys.
    pub unique: u64,
}

impl Bench {
    /// No sockets, and nothing counted.
    pub fn new() -> Result<Self> {
        let epoch_ms = runtime::clock::now_ms().unsigned_abs();
        // Keys of two runs do not meet: one begins 16 million behind per millisecond.
        let unique = epoch_ms << 24;
        Ok(Self { links: Links::default(), tally: Tally::new()?, now_ns: 0, epoch_ms, unique })
    }

    /// Milliseconds since 1970 now.
    pub fn now_ms(&self) -> u64 {
        self.epoch_ms + self.now_ns / 1_000_000
    }
}

/// Requests to make and answers to take.
pub trait Load {
    /// Queues what is due; returns when the next is due.
    fn pump(&mut self, bench: &mut Bench) -> Option<u64>;

    /// Takes the answer that came on a link.
    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()>;

    /// Whether there is nothing left to do before the time is over.
    fn done(&self) -> bool {
        false
    }
}

/// Runs a load over so many connections and tells what came out.
pub fn drive(
    common: &Common,
    address: &str,
    connections: usize,
    load: &mut dyn Load,
) -> Result<Outcome> {
    let poller = Poller::new()?;
    let mut bench = Bench::new()?;
    for _ in 0..connections {
        let stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
        // Ends with a reset: thousands would keep their ports for a minute.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        bench.links.add(stream, &poller)?;
    }
    let watch = Watch::new(common)?;
    let mut turns =
        Turns { load, bench, poller, watch, start: Instant::now(), spun: Duration::ZERO };
    turns.run_until(common.warmup)?;
    turns.bench.tally.reset();
    turns.watch.reset(turns.start.elapsed());
    let began = Sample::take(common.pid, turns.spun)?;
    turns.run_until(common.warmup + common.duration)?;
    let ended = Sample::take(common.pid, turns.spun)?;
    let outcome = Outcome::new(&turns.bench.tally, &began, &ended, turns.watch.anonymous_kib);
    turns.watch.finish()?;
    Ok(outcome)
}

/// The usage at a moment.
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Of the server.
    pub server: Option<Usage>,
    /// CPU time of the generator.
    pub own_cpu_ns: u64,
    /// What it spent only looking whether there is something to do.
    pub spun: Duration,
}

impl Sample {
    /// Takes it now.
    pub fn take(pid: Option<u32>, spun: Duration) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: pid.map(process::usage).transpose()?,
            own_cpu_ns: process::own_cpu_ns(),
            spun,
        })
    }
}

/// What goes round.
struct Turns<'a> {
    load: &'a mut dyn Load,
    bench: Bench,
    poller: Poller,
    watch: Watch,
    start: Instant,
    /// Time in turns that only looked whether something is due or has come.
    spun: Duration,
}

impl Turns<'_> {
    fn run_until(&mut self, end_seconds: f64) -> Result<()> {
        let Self { load, bench, poller, watch, start, spun } = self;
        let end = Duration::from_secs_f64(end_seconds);
        let mut spun_since: Option<Duration> = None;
        loop {
            let now = start.elapsed();
            *spun += spun_since.map_or(Duration::ZERO, |since| (now - since).min(LOOK_MAX));
            bench.now_ns = now.as_nanos() as u64;
            watch.turn(now, &bench.tally)?;
            if now >= end || load.done() {
                return Ok(());
            }
            let due = load.pump(bench);
            let idle = !bench.links.flush(poller)?;
            let wait =
                due.map_or(end, |due| end.min(Duration::from_nanos(due))).saturating_sub(now);
            let sleep = wait.saturating_sub(SPIN);
            poller.wait(Some(sleep))?;
            spun_since = (sleep.is_zero() && idle && poller.len() == 0).then_some(now);
            for index in 0..poller.len() {
                let ready = poller.at(index);
                if ready.readable {
                    bench.links.read(ready.token)?;
                    bench.now_ns = start.elapsed().as_nanos() as u64;
                    take_answers(*load, ready.token, bench)?;
                }
                if ready.writable {
                    bench.links.flush_one(ready.token, poller)?;
                }
            }
            bench.links.flush(poller)?;
        }
    }
}

fn take_answers(load: &mut dyn Load, link: usize, bench: &mut Bench) -> Result<()> {
    // Taken out, so that the load can write to the links meanwhile.
    let mut input = std::mem::take(&mut bench.links.at(link).input);
    while let Some(frame) = input.next() {
        let answer = Answer::read(input.get(&frame))?;
        bench.tally.answers += 1;
        load.answered(link, &answer, bench)?;
    }
    bench.links.at(link).input = input;
    Ok(())
}
