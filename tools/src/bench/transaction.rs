//! Transactions: a half message, and its commit once the half is stored.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::EndTransactionRequestHeader;
use remoting::protocol::message::sys_flag;

use super::answer::Answer;
use super::args::TransactionArgs;
use super::driver::{Bench, Load, drive};
use super::report::Outcome;
use super::setup;
use super::template::{Extra, OFFSET_MARK, OPAQUE_BASE, POSITION_MARK, SendBody, Template, Values};

const GROUP: &str = "mqbench";

/// Measures transactions, one at a time a connection, from the half to the answered commit.
pub fn measure(args: &TransactionArgs) -> Result<Outcome> {
    ensure!(args.connections > 0);
    let common = &args.common;
    let address = setup::broker_address(common)?;
    setup::create_topic(&address, &common.topic, common.queues)?;
    let encoding = common.encoding.encoding();
    let body = SendBody::single(args.size);
    let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}");
    let extra = Extra { properties: &properties, sys_flag: sys_flag::TRANSACTION_PREPARED };
    let half = |queue| Template::send(&common.topic, queue, &body, extra, encoding);
    let commit = EndTransactionRequestHeader {
        producer_group: GROUP,
        tran_state_table_offset: OFFSET_MARK,
        commit_log_offset: POSITION_MARK,
        commit_or_rollback: sys_flag::TRANSACTION_COMMIT,
        // A commit must have one; brokers go by the offsets.
        msg_id: "7F000001000100000000000000000000",
        ..EndTransactionRequestHeader::default()
    };
    let mut load = Transactions {
        halves: (0..common.queues).map(half).collect::<Result<_>>()?,
        next_half: 0,
        commit: Template::new(RequestCode::EndTransaction, &commit, Rc::new([]), encoding)?,
        slots: vec![Slot::default(); args.connections],
        size: args.size as u64,
        started: false,
    };
    drive(common, &address, args.connections, &mut load)
}

/// A slot per link.
struct Transactions {
    halves: Vec<Template>,
    next_half: usize,
    commit: Template,
    slots: Vec<Slot>,
    size: u64,
    started: bool,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    began_ns: u64,
    /// The half is stored, and the commit on its way.
    commits: bool,
}

impl Transactions {
    fn begin(&mut self, link: usize, bench: &mut Bench) {
        self.slots[link] = Slot { began_ns: bench.now_ns, commits: false };
        let half = &self.halves[self.next_half];
        self.next_half = (self.next_half + 1) % self.halves.len();
        let values = Values { opaque: OPAQUE_BASE, born_ms: bench.now_ms(), ..Values::default() };
        half.write(bench.links.output(link), &values, &mut bench.unique);
    }
}

impl Load for Transactions {
    fn pump(&mut self, bench: &mut Bench) -> Option<u64> {
        if !self.started {
            self.started = true;
            (0..self.slots.len()).for_each(|link| self.begin(link, bench));
        }
        None
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, bench: &mut Bench) -> Result<()> {
        let slot = &mut self.slots[link];
        if answer.code != 0 {
            bench.tally.failed(answer.code, || answer.remark());
            self.begin(link, bench);
            return Ok(());
        }
        if slot.commits {
            bench.tally.add(1, self.size);
            bench.tally.took(bench.now_ns.saturating_sub(slot.began_ns));
            self.begin(link, bench);
            return Ok(());
        }
        slot.commits = true;
        let offset = answer.number("queueOffset").context("a half without its queue offset")?;
        let values = Values {
            opaque: OPAQUE_BASE,
            offset: offset.unsigned_abs(),
            position: answer.position().context("a half without its place in the log")?,
            ..Values::default()
        };
        self.commit.write(bench.links.output(link), &values, &mut bench.unique);
        Ok(())
    }
}
