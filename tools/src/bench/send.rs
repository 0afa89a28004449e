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
use super::tally::Counts;
use super::template::{Extra, OPAQUE_BASE, SendBody, Template, Values};

/// After so many picks the same come again.
const ZIPF_PICKS: usize = 1 << 16;

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
            let properties = properties(args, kind);
            let extra = Extra { properties: &properties, sys_flag: 0 };
            let encoding = common.encoding.encoding();
            templates.push(Template::send(&topic, queue, &body, extra, encoding)?);
        }
    }
    let mut load = Send::new(args.connections, args.window, templates)
        .of(args.batch as u64, args.size as u64)
        .at_rate(args.rate)
        .until(args.messages);
    if args.zipf {
        load.order = zipf(args.topics, load.templates.len() / args.topics);
    }
    drive(common, &address, args.connections, &mut load)
}

/// Those of a kind, and of a delay.
fn properties(args: &SendArgs, kind: usize) -> String {
    let mut properties = String::new();
    if args.kinds > 0 {
        properties.push_str(&format!("TAGS\u{1}t{kind}\u{2}kind\u{1}{kind}\u{2}"));
    }
    if args.delay_level > 0 {
        properties.push_str(&format!("DELAY\u{1}{}\u{2}", args.delay_level));
    }
    properties
}

/// Templates by a Zipf distribution over topics, the n-th of which comes n times less often than
/// the first; those of a topic in turns.
fn zipf(topics: usize, templates_per_topic: usize) -> Vec<u32> {
    let mut sums: Vec<f64> = Vec::with_capacity(topics);
    for topic in 0..topics {
        sums.push(sums.last().copied().unwrap_or_default() + 1.0 / (topic + 1) as f64);
    }
    let all = sums.last().copied().unwrap_or_default();
    let mut turns = vec![0; topics];
    // The same in every run: xorshift.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pick = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let point = (random >> 11) as f64 / (1_u64 << 53) as f64 * all;
        let topic = sums.partition_point(|sum| *sum <= point).min(topics - 1);
        let turn = &mut turns[topic];
        *turn = (*turn + 1) % templates_per_topic;
        (topic * templates_per_topic + *turn) as u32
    };
    (0..ZIPF_PICKS).map(|_| pick()).collect()
}

/// The names of so many topics: one has no number.
pub fn topics(base: &str, count: usize) -> Vec<String> {
    match count {
        1 => vec![base.to_owned()],
        _ => (0..count).map(|number| format!("{base}{number}")).collect(),
    }
}

/// The load of one or many producers, and of whoever else asks for something that is answered
/// with a code and no more.
pub struct Send {
    templates: Vec<Template>,
    /// Which template is next; those that are listed, if any are, or all in turns.
    order: Vec<u32>,
    next: usize,
    /// Per link and slot: when the request left, or was meant to.
    sent_ns: Vec<u64>,
    /// Slots without a request, as link × window + slot.
    free: VecDeque<usize>,
    /// Its links have the numbers from here on.
    first_link: usize,
    window: usize,
    pace: Option<Pace>,
    batch: u64,
    size: u64,
    /// Requests left to send, and answers left to come.
    left: Option<(u64, u64)>,
    counts: Counts,
}

/// A fixed rate.
struct Pace {
    interval_ns: f64,
    next_ns: f64,
}

impl Send {
    /// Sends the templates in turns, each a message, as fast as answers come.
    pub fn new(connections: usize, window: usize, templates: Vec<Template>) -> Self {
        let slots = connections * window;
        Self {
            templates,
            order: Vec::new(),
            next: 0,
            sent_ns: vec![0; slots],
            // Popped from the end: links take turns from the first on.
            free: (0..slots).rev().map(|at| at % connections * window + at / connections).collect(),
            first_link: 0,
            window,
            pace: None,
            batch: 1,
            size: 0,
            left: None,
            counts: Counts::ALL,
        }
    }

    /// With so many messages of so many bytes a request.
    pub fn of(self, batch: u64, size: u64) -> Self {
        Self { batch, size, ..self }
    }

    /// With so many messages a second; 0 leaves it a closed loop.
    pub fn at_rate(self, per_second: f64) -> Self {
        let interval_ns = 1e9 * self.batch as f64 / per_second;
        Self { pace: (per_second > 0.0).then_some(Pace { interval_ns, next_ns: 0.0 }), ..self }
    }

    /// Until so many messages are answered; 0 is without end.
    pub fn until(self, messages: u64) -> Self {
        let requests = messages.div_ceil(self.batch);
        Self { left: (messages > 0).then_some((requests, requests)), ..self }
    }

    /// Over the links from that number on, counting only a part.
    pub fn beside(self, first_link: usize, counts: Counts) -> Self {
        Self { first_link, counts, ..self }
    }

    fn send(&mut self, place: usize, meant_ns: u64, bench: &mut Bench) {
        if let Some((to_send, _)) = &mut self.left {
            if *to_send == 0 {
                return;
            }
            *to_send -= 1;
        }
        self.sent_ns[place] = meant_ns;
        let (turns, at) = match self.order.get(self.next) {
            Some(&at) => (self.order.len(), at as usize),
            None => (self.templates.len(), self.next),
        };
        self.next = (self.next + 1) % turns;
        let template = &self.templates[at];
        let (link, slot) = (self.first_link + place / self.window, place % self.window);
        let values = Values {
            opaque: OPAQUE_BASE + slot as u32,
            born_ms: bench.now_ms(),
            stamp: meant_ns,
            ..Values::default()
        };
        template.write(bench.links.output(link), &values, &mut bench.unique);
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
        let slot = answer.opaque.wrapping_sub(OPAQUE_BASE) as usize;
        ensure!(slot < self.window, "an answer to {} that nobody asked", answer.opaque);
        let place = (link - self.first_link) * self.window + slot;
        if answer.code == 0 {
            let took_ns = bench.now_ns.saturating_sub(self.sent_ns[place]);
            bench.tally.succeeded(self.counts, self.batch, self.batch * self.size, took_ns);
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

#[cfg(test)]
mod tests {
    use super::zipf;

    #[test]
    fn zipf_is_about_one_in_n_and_takes_the_queues_of_a_topic_in_turns() {
        let picks = zipf(4, 3);
        let of = |topic: u32| picks.iter().filter(|&&at| at / 3 == topic).count() as f64;
        for topic in 1..4 {
            let times = of(0) / of(topic);
            assert!((times - f64::from(topic + 1)).abs() < 0.2, "{topic}: {times}");
        }
        let queues: Vec<u32> = picks.iter().filter(|&&at| at < 3).map(|at| at % 3).collect();
        assert_eq!(queues[..4], [1, 2, 0, 1]);
    }
}
