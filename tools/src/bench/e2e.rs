//! From the send to the arrival: one paced producer, and consumers that hold a pull on every queue.
//!
//! The body begins with the moment the message was meant to leave; producer and consumers share
//! the clock, because they are the same thread.

use anyhow::{Context, Result, bail, ensure};
use remoting::protocol::message::record::Record;

use super::answer::Answer;
use super::args::E2eArgs;
use super::driver::{Bench, Load, drive};
use super::pull::{for_each_record, header, offset};
use super::report::Outcome;
use super::send::Send;
use super::setup;
use super::tally::Counts;
use super::template::{Extra, OPAQUE_BASE, SendBody, Template, Values};

const SUSPEND_MS: i64 = 15_000;

/// Measures the way of a message.
pub fn measure(args: &E2eArgs) -> Result<Outcome> {
    ensure!(args.groups > 0 && args.rate > 0.0);
    let common = &args.common;
    let address = setup::broker_address(common)?;
    setup::create_topic(&address, &common.topic, common.queues)?;
    let encoding = common.encoding.encoding();
    let body = SendBody::stamped(args.size);
    let mut sends = Vec::new();
    let mut queues = Vec::new();
    for group in 0..args.groups {
        let group = format!("mqbench{group}");
        for queue in 0..common.queues {
            let header = header(&group, &common.topic, queue, 32, SUSPEND_MS);
            let template = Template::pull(&header, encoding)?;
            queues.push(Queue { template, offset: 0 });
        }
    }
    for queue in 0..common.queues {
        sends.push(Template::send(&common.topic, queue, &body, Extra::default(), encoding)?);
        let end = setup::max_offset(&address, &common.topic, queue)?;
        for group in 0..args.groups {
            queues[group * common.queues as usize + queue as usize].offset = end;
        }
    }
    let producer = Send::new(1, 1024, sends).at_rate(args.rate).beside(0, Counts::NOTHING);
    let mut load =
        E2e { producer, queues, queues_per_group: common.queues as usize, started: false };
    drive(common, &address, 1 + args.groups, &mut load)
}

/// Link 0 sends; every other link is a consumer group with a slot per queue.
struct E2e {
    producer: Send,
    queues: Vec<Queue>,
    queues_per_group: usize,
    started: bool,
}

struct Queue {
    template: Template,
    offset: u64,
}

impl E2e {
    fn ask(&self, index: usize, bench: &mut Bench) {
        let queue = &self.queues[index];
        let slot = (index % self.queues_per_group) as u32;
        let values =
            Values { opaque: OPAQUE_BASE + slot, offset: queue.offset, ..Values::default() };
        let link = 1 + index / self.queues_per_group;
        queue.template.write(bench.links.output(link), &values, &mut bench.unique);
    }

    fn arrived(&mut self, body: &[u8], bench: &mut Bench) -> Result<()> {
        let now_ns = bench.now_ns;
        let mut broken = None;
        for_each_record(body, |record| match stamp(record) {
            Ok(sent_ns) => {
                bench.tally.add(1, record.len() as u64);
                bench.tally.took(now_ns.saturating_sub(sent_ns));
            }
            Err(error) => broken = Some(error),
        })?;
        broken.map_or(Ok(()), Err)
    }
}

impl Load for E2e {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        if !self.started {
            self.started = true;
            for index in 0..self.queues.len() {
                self.ask(index, bench);
            }
        }
        self.producer.pump(bench)
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        if link == 0 {
            return self.producer.answered(link, answer, bench);
        }
        let slot = answer.opaque.wrapping_sub(OPAQUE_BASE) as usize;
        ensure!(slot < self.queues_per_group, "an answer to {}", answer.opaque);
        let index = (link - 1) * self.queues_per_group + slot;
        match answer.code {
            0 => self.arrived(answer.body, bench)?,
            19..=21 => {}
            other => bail!("pull: {other} {}", answer.remark()),
        }
        self.queues[index].offset = offset(answer, "nextBeginOffset")?;
        self.ask(index, bench);
        Ok(())
    }
}

fn stamp(record: &[u8]) -> Result<u64> {
    let record = Record::decode(record)?;
    let stamp = record.body.first_chunk::<8>().context("a body without a stamp")?;
    Ok(u64::from_be_bytes(*stamp))
}
