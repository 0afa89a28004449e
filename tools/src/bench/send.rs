//! Sending: closed loop, where an answer makes the next request, or open loop at a fixed rate.
//!
//! In the open loop the latency runs from the moment the message was meant to leave, so that a
//! server that stalls is charged for everything that queued up meanwhile.

use std::collections::VecDeque;

use anyhow::{Result, ensure};

use super::answer::Answer;
use super::args::SendArgs;
use super::driver::{Bench, Load, drive};
use super::report::Outcome;
use super::setup;
use super::template::{OPAQUE_BASE, SendBody, Template, Values};

/// Measures sending.
pub fn measure(args: &SendArgs) -> Result<Outcome> {
    ensure!(args.connections > 0 && args.window > 0 && args.batch > 0 && args.topics > 0);
    let common = &args.common;
    let address = setup::broker_address(common)?;
    let body = if args.batch > 1 {
        SendBody::batch(args.size, args.batch)?
    } else {
        SendBody::single(args.size)
    };
    let mut templates = Vec::new();
    for topic in topics(&common.topic, args.topics) {
        setup::create_topic(&address, &topic, common.queues)?;
        for number in 0..common.queues as usize * args.kinds.max(1) {
            // Each queue gets every kind in turn.
            let (queue, kind) = (number as u32 % common.queues, number / common.queues as usize);
            let kind = (args.kinds > 0).then_some(kind);
            let encoding = common.encoding.encoding();
            templates.push(Template::send_of_kind(&topic, queue, &body, kind, encoding)?);
        }
    }
    let mut load = Send::new(args, templates);
    drive(common, &address, args.connections, &mut load)
}

fn topics(base: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![base.to_owned()],
        _ => (0..count).map(|number| format!("{base}{number}")).collect(),
    }
}

/// The load of one or many producers.
pub struct Send {
    templates: Vec<Template>,
    next_template: usize,
    /// Per link and slot: when the request left, or was meant to.
    sent_ns: Vec<u64>,
    /// Slots without a request, as link × window + slot.
    free: VecDeque<usize>,
    window: usize,
    pace: Option<Pace>,
    batch: u64,
    size: u64,
    /// Requests left to send, and answers left to come.
    left: Option<(u64, u64)>,
}

/// A fixed rate.
struct Pace {
    interval_ns: f64,
    next_ns: f64,
}

impl Send {
    /// Sends the templates in turns.
    pub fn new(args: &SendArgs, templates: Vec<Template>) -> Self {
        let slots = args.connections * args.window;
        let batch = args.batch as u64;
        let requests = args.messages.div_ceil(batch);
        Self {
            templates,
            next_template: 0,
            sent_ns: vec![0; slots],
            // Popped from the end: links take turns from the first on.
            free: (0..slots)
                .rev()
                .map(|at| at % args.connections * args.window + at / args.connections)
                .collect(),
            window: args.window,
            pace: (args.rate > 0.0)
                .then(|| Pace { interval_ns: 1e9 * batch as f64 / args.rate, next_ns: 0.0 }),
            batch,
            size: args.size as u64,
            left: (args.messages > 0).then_some((requests, requests)),
        }
    }

    fn send(&mut self, place: usize, meant_ns: u64, bench: &mut Bench) {
        if let Some((to_send, _)) = &mut self.left {
            if *to_send == 0 {
                return;
            }
            *to_send -= 1;
        }
        self.sent_ns[place] = meant_ns;
        let template = &self.templates[self.next_template];
        self.next_template = (self.next_template + 1) % self.templates.len();
        let (link, slot) = (place / self.window, place % self.window);
        let values = Values {
            opaque: OPAQUE_BASE + slot as u32,
            born_ms: bench.now_ms(),
            stamp: meant_ns,
            ..Values::default()
        };
        template.write(bench.links.output(link), &values, &mut bench.unique);
    }
}

impl Send {
    /// Gives the slot of an answer back without counting it.
    pub fn release(&mut self, answer: &Answer<'_>) -> Result<()> {
        let slot = self.slot(answer)?;
        self.free.push_front(slot);
        Ok(())
    }

    fn slot(&self, answer: &Answer<'_>) -> Result<usize> {
        let slot = answer.opaque.wrapping_sub(OPAQUE_BASE) as usize;
        ensure!(slot < self.window, "an answer to {} that nobody asked", answer.opaque);
        Ok(slot)
    }
}

impl Load for Send {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        let now_ns = bench.now_ns;
        if self.pace.is_none() {
            while let Some(place) = self.free.pop_back() {
                self.send(place, now_ns, bench);
            }
            return None;
        }
        loop {
            let pace = self.pace.as_mut()?;
            let due_ns = pace.next_ns as u64;
            if due_ns > now_ns {
                return Some(due_ns);
            }
            // With every slot taken the message waits; its latency runs all the same.
            let place = self.free.pop_back()?;
            pace.next_ns += pace.interval_ns;
            self.send(place, due_ns, bench);
        }
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        let place = link * self.window + self.slot(answer)?;
        if answer.code == 0 {
            bench.tally.add(self.batch, self.batch * self.size);
            bench.tally.took(bench.now_ns.saturating_sub(self.sent_ns[place]));
        } else {
            bench.tally.failed(answer.code, || answer.remark());
        }
        if let Some((_, to_come)) = &mut self.left {
            *to_come -= 1;
        }
        match self.pace {
            None => self.send(place, bench.now_ns, bench),
            // First in: links take turns.
            Some(_) => self.free.push_front(place),
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.left.is_some_and(|(_, to_come)| to_come == 0)
    }
}
