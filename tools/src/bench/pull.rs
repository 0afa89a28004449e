//! Pulling of stored messages: every slot walks through one queue after the other.

use anyhow::{Context, Result, bail, ensure};
use remoting::protocol::header::PullMessageRequestHeader;

use super::answer::Answer;
use super::args::{PullArgs, SendArgs};
use super::driver::{Bench, Load, drive};
use super::report::Outcome;
use super::tally::Counts;
use super::template::{OPAQUE_BASE, Template, Values};
use super::{send, setup};

/// The request carries its own subscription.
const FLAG_SUBSCRIPTION: i32 = 4;
/// The request may be held.
const FLAG_SUSPEND: i32 = 2;

const FOUND: i32 = 0;
/// There is nothing behind the offset.
pub const NOT_FOUND: i32 = 19;
const RETRY: i32 = 20;
const OFFSET_MOVED: i32 = 21;

/// Measures pulling.
pub fn measure(args: &PullArgs) -> Result<Outcome> {
    ensure!(args.connections > 0 && args.window > 0);
    let common = &args.common;
    let address = setup::broker_address(common)?;
    setup::create_topic(&address, &common.topic, common.queues)?;
    if args.fill > 0 {
        fill(args)?;
    }
    let outcome = drive(common, &address, args.connections, &mut Pull::new(args, Counts::ALL)?)?;
    ensure!(outcome.messages > 0, "no message of {} was found", common.topic);
    Ok(outcome)
}

/// A pull; with a time to wait it may be held that long.
pub fn header<'a>(
    group: &'a str,
    topic: &'a str,
    queue: u32,
    count: i32,
    suspend_ms: i64,
) -> PullMessageRequestHeader<'a> {
    PullMessageRequestHeader {
        consumer_group: group,
        topic,
        queue_id: queue as i32,
        max_msg_nums: count,
        sys_flag: FLAG_SUBSCRIPTION | if suspend_ms > 0 { FLAG_SUSPEND } else { 0 },
        suspend_timeout_millis: suspend_ms,
        subscription: Some("*"),
        expression_type: Some("TAG"),
        ..PullMessageRequestHeader::default()
    }
}

fn fill(args: &PullArgs) -> Result<()> {
    let mut common = args.common.clone();
    (common.warmup, common.duration) = (0.0, 3600.0);
    let send = SendArgs {
        window: 64,
        size: args.size,
        messages: args.fill,
        kinds: args.kinds,
        ..SendArgs::closed(common, 4)
    };
    let outcome = send::measure(&send)?;
    ensure!(outcome.errors.is_empty(), "filling the topic: {:?}", outcome.errors);
    Ok(())
}

/// The load of consumers that read what is there.
pub struct Pull {
    queues: Vec<Queue>,
    slots: Vec<Slot>,
    /// The queue the next slot takes that is done with its own.
    next: usize,
    connections: usize,
    started: bool,
    once: bool,
    counts: Counts,
    /// Bytes of records in the last answer, only to keep the walk from being left out.
    size: usize,
}

struct Queue {
    template: Template,
    offset: u64,
    at_end: bool,
}

impl Queue {
    /// Goes on behind the messages that were looked at, and tells how many those are.
    fn take(&mut self, next: u64) -> u64 {
        let looked_at = next.saturating_sub(self.offset);
        self.offset = next;
        looked_at
    }
}

struct Slot {
    queue: usize,
    sent_ns: u64,
}

impl Pull {
    /// Walks through the queues from their beginnings.
    pub fn new(args: &PullArgs, counts: Counts) -> Result<Self> {
        let common = &args.common;
        let mut queues = Vec::new();
        for queue in 0..common.queues {
            let header = PullMessageRequestHeader {
                subscription: Some(&args.subscription),
                expression_type: Some(if args.sql { "SQL92" } else { "TAG" }),
                ..header("mqbench", &common.topic, queue, args.count, 0)
            };
            let template = Template::pull(&header, common.encoding.encoding())?;
            queues.push(Queue { template, offset: 0, at_end: false });
        }
        let slots = (args.connections * args.window).min(queues.len());
        Ok(Self {
            next: slots,
            slots: (0..slots).map(|queue| Slot { queue, sent_ns: 0 }).collect(),
            queues,
            connections: args.connections,
            started: false,
            once: args.once,
            counts,
            size: 0,
        })
    }

    fn ask(&mut self, index: usize, bench: &mut Bench) {
        let slot = &mut self.slots[index];
        let queue = &self.queues[slot.queue];
        slot.sent_ns = bench.now_ns;
        let values = Values {
            opaque: OPAQUE_BASE + index as u32,
            offset: queue.offset,
            ..Values::default()
        };
        let link = index % self.connections;
        queue.template.write(bench.links.output(link), &values, &mut bench.unique);
    }

    /// Gives the slot the next queue in the round.
    fn turn(&mut self, index: usize) {
        let spare = self.queues.len() - self.slots.len();
        if spare > 0 {
            self.slots[index].queue = self.next;
            self.next = (self.next + 1) % self.queues.len();
        }
    }
}

impl Load for Pull {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        if !self.started {
            self.started = true;
            for index in 0..self.slots.len() {
                self.ask(index, bench);
            }
        }
        None
    }

    fn answered(&mut self, _link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        let index = answer.opaque.wrapping_sub(OPAQUE_BASE) as usize;
        ensure!(index < self.slots.len(), "an answer to {} that nobody asked", answer.opaque);
        let slot = &self.slots[index];
        let queue = &mut self.queues[slot.queue];
        match answer.code {
            FOUND => {
                let mut count = 0;
                for_each_record(answer.body, |record| {
                    count += 1;
                    self.size = record.len();
                })?;
                ensure!(count > 0, "a pull that found nothing");
                let messages = queue.take(offset(answer, "nextBeginOffset")?);
                let took_ns = bench.now_ns.saturating_sub(slot.sent_ns);
                bench.tally.succeeded(self.counts, messages, answer.body.len() as u64, took_ns);
            }
            NOT_FOUND => {
                queue.at_end = true;
                queue.offset = offset(answer, "minOffset")?;
                if self.once && self.queues.iter().all(|queue| queue.at_end) {
                    return Ok(());
                }
                self.turn(index);
            }
            RETRY => bench.tally.add(queue.take(offset(answer, "nextBeginOffset")?), 0),
            OFFSET_MOVED => queue.offset = offset(answer, "nextBeginOffset")?,
            other => bail!("pull: {other} {}", answer.remark()),
        }
        if self.once && self.queues[self.slots[index].queue].at_end {
            return Ok(());
        }
        self.ask(index, bench);
        Ok(())
    }

    fn done(&self) -> bool {
        self.once && self.queues.iter().all(|queue| queue.at_end)
    }
}

/// An offset of a pull answer, which every one of them must carry.
pub fn offset(answer: &Answer<'_>, field: &str) -> Result<u64> {
    let number = answer.number(field).with_context(|| format!("no {field} in a pull answer"))?;
    Ok(number.max(0).unsigned_abs())
}

/// Walks over stored records by their sizes.
pub fn for_each_record(mut body: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
    while let Some(prefix) = body.first_chunk::<4>() {
        let len = u32::from_be_bytes(*prefix) as usize;
        ensure!(len > 4 && len <= body.len(), "a record of {len} in {} bytes", body.len());
        let (record, rest) = body.split_at(len);
        each(record);
        body = rest;
    }
    ensure!(body.is_empty(), "{} bytes behind the last record", body.len());
    Ok(())
}
