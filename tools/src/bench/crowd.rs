//! One producer in a crowd: of producers that have sent their heartbeat and nothing else, and of
//! consumers that wait for messages which do not come.

use std::rc::Rc;

use anyhow::{Context, Result};
use remoting::protocol::body::{Body, HeartbeatData, ProducerData};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::answer::Answer;
use super::args::CrowdArgs;
use super::driver::{Bench, Load, drive};
use super::pull::{self, NOT_FOUND};
use super::report::Outcome;
use super::send::Send;
use super::setup;
use super::template::{Extra, OPAQUE_BASE, SendBody, Template, UNIQUE_MARK, Values};

/// How long a consumer asks to be held.
const SUSPEND_MS: i64 = 15_000;
const SIZE: usize = 128;
/// Files that are no connections.
const OTHER_FILES: usize = 100;

/// Measures the one producer, which sends one message at a time.
pub fn measure(args: &CrowdArgs) -> Result<Outcome> {
    let common = &args.common;
    let links = 1 + args.producers + args.consumers;
    allow_files(links + OTHER_FILES)?;
    let address = setup::broker_address(common)?;
    let empty = format!("{}-empty", common.topic);
    for topic in [common.topic.as_str(), &empty] {
        setup::create_topic(&address, topic, common.queues)?;
    }
    let encoding = common.encoding.encoding();
    let body = SendBody::single(SIZE);
    let send = |queue| Template::send(&common.topic, queue, &body, Extra::default(), encoding);
    let sends = (0..common.queues).map(send).collect::<Result<_>>()?;
    let pull = |queue: u32, suspend_ms| {
        Template::pull(&pull::header("mqbench", &empty, queue, 32, suspend_ms), encoding)
    };
    let first_pull = |consumer: usize| {
        // They came one after the other: not all are answered at the same moment.
        let waited = SUSPEND_MS * (consumer + 1) as i64 / args.consumers as i64;
        pull(consumer as u32 % common.queues, waited)
    };
    let heartbeat = HeartbeatData {
        client_id: format!("mqbench@{UNIQUE_MARK}"),
        producer_data_set: vec![ProducerData { group_name: "mqbench".to_owned() }],
        ..HeartbeatData::default()
    };
    let heartbeat = Rc::from(heartbeat.encode());
    let mut load = Crowd {
        producer: Send::new(1, 1, sends).of(1, SIZE as u64),
        others: args.producers,
        heartbeat: Template::new(RequestCode::HeartBeat, &NoHeader, heartbeat, encoding)?,
        first_pulls: (0..args.consumers).map(first_pull).collect::<Result<_>>()?,
        pulls: (0..common.queues).map(|queue| pull(queue, SUSPEND_MS)).collect::<Result<_>>()?,
        started: false,
    };
    drive(common, &address, links, &mut load)
}

/// Link 0 is the producer; those of the other producers and of the consumers follow.
struct Crowd {
    producer: Send,
    others: usize,
    heartbeat: Template,
    first_pulls: Vec<Template>,
    pulls: Vec<Template>,
    started: bool,
}

impl Crowd {
    fn start(&self, bench: &mut Bench) {
        let values = Values { opaque: OPAQUE_BASE, ..Values::default() };
        let heartbeats = (0..self.others).map(|_| &self.heartbeat);
        for (at, template) in heartbeats.chain(&self.first_pulls).enumerate() {
            template.write(bench.links.output(1 + at), &values, &mut bench.unique);
        }
    }
}

impl Load for Crowd {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        if !self.started {
            self.started = true;
            self.start(bench);
        }
        self.producer.pump(bench)
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        if link == 0 {
            return self.producer.answered(link, answer, bench);
        }
        let Some(consumer) = link.checked_sub(1 + self.others) else {
            if answer.code != 0 {
                bench.tally.failed(answer.code, || answer.remark());
            }
            return Ok(());
        };
        if answer.code != NOT_FOUND {
            bench.tally.failed(answer.code, || answer.remark());
        }
        let values = Values { opaque: OPAQUE_BASE, ..Values::default() };
        let pull = &self.pulls[consumer % self.pulls.len()];
        pull.write(bench.links.output(link), &values, &mut bench.unique);
        Ok(())
    }
}

/// Lets this process have so many files open.
fn allow_files(count: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let count = count as u64;
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(count));
    let wanted = Rlimit { current: Some(count), maximum };
    setrlimit(Resource::Nofile, wanted).with_context(|| format!("{count} open files"))
}
