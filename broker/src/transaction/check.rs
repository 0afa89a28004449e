//! Asking producers how their transactions ended.
//!
//! A round goes through the open half messages in their order and ends at the first that is too
//! young to be asked about. A half message that is due is parked again with one more check
//! counted, and a live connection of its group is asked, each in its turn; what was checked often
//! enough, or is as old as the log is kept, is given up.
//!
//! A round works in batches with a pause behind each, at most a minute. It waits a moment when
//! producers do not keep up with the questions, so that a hundred thousand open half messages
//! make no storm; but it goes on if they do not answer at all.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use remoting::net::CallError;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::CheckTransactionStateRequestHeader;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::{Record, Version};
use remoting::protocol::message::{NewRecord, PropertiesBuf};
use runtime::clock::now_ms;
use runtime::services::Stop;
use store::{NewMessage, Put, PutError};

use super::Transactions;
use super::half::{self, Half};
use super::walk::look;
use crate::broker::Broker;
use crate::put::CountedFor;
use crate::topics::{CHECKED_OUT_TOPIC, HALF_TOPIC, perm};
use crate::traffic::Counted;

/// Longest time of a round, as in Java.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Half messages parked again between two pauses.
const BATCH: usize = 512;
const PAUSE: Duration = Duration::from_millis(50);
/// Questions that may be unanswered before a round waits; what Java's client queues.
const UNANSWERED_MAX: u64 = 2_000;
/// How long it waits for answers, or for room in the output of the connections.
const PATIENCE: Duration = Duration::from_secs(1);
/// Distance from the end at which half messages that must not be asked about yet are parked again:
/// until then they hold the progress back, and the start has to read so many.
const HELD_BACK_MAX: i64 = 100_000;

/// What is to be done about an open half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its producer is asked.
    Ask,
    /// It has asked for more time than others; those behind it are looked at.
    Wait,
    /// It is too young, as are those behind it.
    Young,
    /// Nobody will be asked any more.
    GiveUp,
}

/// Java's group that reads the half topic.
const GROUP: &str = "CID_RMQ_SYS_TRANS";

/// What a round goes by.
#[derive(Clone, Copy, Debug)]
struct Rules {
    timeout_ms: i64,
    checks_max: i32,
    /// Age at which the log may be deleted.
    age_max_ms: i64,
    /// Start of the round.
    start_ms: i64,
}

/// A round under way.
struct Round<'a> {
    transactions: &'a Transactions,
    broker: &'a Broker,
    stop: &'a Stop,
    rules: Rules,
    begun: Instant,
    asked: u64,
    answered_before: u64,
    in_batch: usize,
    /// Groups whose connections take nothing more.
    stuck: HashSet<String>,
    checked: usize,
    properties: PropertiesBuf,
    record: BytesMut,
}

/// Asks about open half messages every `transactionCheckInterval` until the broker stops.
pub(crate) fn run(broker: &Arc<Broker>, stop: &Stop) {
    let interval = broker.live().transaction_check_interval.max(1).unsigned_abs();
    while !stop.wait_timeout(Duration::from_millis(interval)) {
        broker.transactions.check(broker, stop);
    }
}

impl Transactions {
    /// Goes through the open half messages once.
    pub(super) fn check(&self, broker: &Broker, stop: &Stop) {
        let hours = i64::from(broker.store.config().file_reserved_time);
        let mut round = Round {
            transactions: self,
            broker,
            stop,
            rules: Rules {
                timeout_ms: broker.live().transaction_time_out,
                checks_max: broker.live().transaction_check_max,
                age_max_ms: hours.saturating_mul(3_600_000),
                start_ms: now_ms(),
            },
            begun: Instant::now(),
            asked: 0,
            answered_before: self.answered.load(Ordering::Relaxed),
            in_batch: 0,
            stuck: HashSet::new(),
            checked: 0,
            properties: PropertiesBuf::new(),
            record: BytesMut::new(),
        };
        if let Err(error) = round.run() {
            tracing::warn!(%error, "half messages not parked again, trying again");
        }
        if round.checked > 0 {
            let (checked, asked, took) = (round.checked, round.asked, round.begun.elapsed());
            tracing::info!(checked, asked, ?took, "asked about open transactions");
        }
    }
}

impl Round<'_> {
    fn run(&mut self) -> Result<(), PutError> {
        let (transactions, store) = (self.transactions, &self.broker.store);
        let mut next = 0;
        loop {
            let end = store.max_offset(HALF_TOPIC, 0);
            let Some(from) = transactions.ledger().ended.next_missing(next, end) else {
                return Ok(());
            };
            let mut failed = None;
            let mut expected = from;
            let looked = look(store, HALF_TOPIC, from, &mut |record| {
                // What is gone waits for nothing.
                transactions.ledger().ended.insert_range(expected, record.queue_offset);
                expected = record.queue_offset + 1;
                match self.see(record, end) {
                    Ok(flow) => flow,
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if !looked.more {
                return Ok(());
            }
            transactions.ledger().ended.insert_range(expected, looked.next);
            next = looked.next;
        }
    }

    /// Looks at one record of the half topic.
    fn see(&mut self, record: &Record<'_>, end: i64) -> Result<ControlFlow<()>, PutError> {
        let offset = record.queue_offset;
        if self.transactions.ledger().ended.contains(offset) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.stop.stopped() || self.begun.elapsed() > ROUND_MAX {
            return Ok(ControlFlow::Break(()));
        }
        let counted = Counted { messages: 1, bytes: record.total_size.into() };
        self.broker.count_read(GROUP, HALF_TOPIC, counted, Duration::ZERO);
        let Some(half) = Half::parked(*record) else {
            tracing::error!(offset, "a half message says not where it belongs, given up");
            self.give_up_record(record)?;
            return Ok(ControlFlow::Continue(()));
        };
        match self.rules.verdict(&half, now_ms()) {
            Verdict::Young => return Ok(ControlFlow::Break(())),
            Verdict::Wait if end - offset <= HELD_BACK_MAX => {
                return Ok(ControlFlow::Continue(()));
            }
            Verdict::Wait => self.hold(&half)?,
            Verdict::GiveUp => self.give_up(&half)?,
            Verdict::Ask => self.ask(&half)?,
        }
        Ok(self.pace())
    }

    fn ask(&mut self, half: &Half<'_>) -> Result<(), PutError> {
        let checks = itoa::Buffer::new().format(half.checks.saturating_add(1)).to_owned();
        let name = property::TRANSACTION_CHECK_TIMES;
        let Some(put) = self.park_again(half, name, &checks)? else { return Ok(()) };
        self.checked += 1;
        let Some(group) = half.group else { return Ok(()) };
        let header = question(self.broker, half, &put);
        encode(half, &put, self.properties.as_str(), &mut self.record);
        let until = Instant::now() + PATIENCE;
        loop {
            match self.send(group, &header) {
                Ok(()) => {
                    self.asked += 1;
                    return Ok(());
                }
                // Once in a round; the other groups are not to wait for this one.
                Err(CallError::Busy) if !self.stuck.contains(group) => {
                    if self.stop.wait_timeout(Duration::from_millis(10)) {
                        return Ok(());
                    }
                    if Instant::now() >= until {
                        self.stuck.insert(group.to_owned());
                    }
                }
                // Counted all the same, as in Java.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Asks a connection of the group, the next in turn that takes the question.
    fn send(
        &self,
        group: &str,
        header: &CheckTransactionStateRequestHeader,
    ) -> Result<(), CallError> {
        let turn = self.transactions.turn.fetch_add(1, Ordering::Relaxed);
        let mut outcome = Err(CallError::Closed);
        let code = RequestCode::CheckTransactionState;
        let broker_name = [("bname", self.broker.config.broker_name.as_str())];
        for peer in self.broker.producers.in_turn(group, turn) {
            outcome = peer.oneway_with(code, header, &broker_name, &self.record);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Parks a half message again that must not be asked about yet.
    fn hold(&mut self, half: &Half<'_>) -> Result<(), PutError> {
        let name = property::TRANSACTION_PREPARED_QUEUE_OFFSET;
        let first = half.record.properties().get(name).map(str::to_owned);
        let first = first.unwrap_or_else(|| half.record.queue_offset.to_string());
        self.park_again(half, name, &first).map(|_| ())
    }

    /// Parks a half message again unless it has ended in the meantime.
    fn park_again(
        &mut self,
        half: &Half<'_>,
        name: &str,
        value: &str,
    ) -> Result<Option<Put>, PutError> {
        half::with(half.record.properties(), name, value, &mut self.properties);
        let identity = half.identity(&self.transactions.keys);
        let offset = half.record.queue_offset;
        let mut ledger = self.transactions.ledger();
        if ledger.ended.contains(offset) {
            return Ok(None);
        }
        let put = self.broker.put(&half.again(self.properties.as_str()))?;
        ledger.moved(offset, identity, put.queue_offset);
        Ok(Some(put))
    }

    fn give_up(&mut self, half: &Half<'_>) -> Result<(), PutError> {
        if self.give_up_record(&half.record)? {
            let (topic, key) = (half.topic, half.unique_key);
            tracing::warn!(topic, key, checks = half.checks, "half message given up");
            self.transactions.metrics.add(half.topic, -1, now_ms());
        }
        Ok(())
    }

    fn give_up_record(&mut self, record: &Record<'_>) -> Result<bool, PutError> {
        let broker = self.broker;
        broker.topics.find_or_create_plain(CHECKED_OUT_TOPIC, 1, perm::READ_WRITE, 0, false);
        let half = Half::parked(*record);
        let identity = half.map_or(0, |half| half.identity(&self.transactions.keys));
        let mut ledger = self.transactions.ledger();
        if ledger.ended.contains(record.queue_offset) {
            return Ok(false);
        }
        let given_up = NewMessage::copy_of(record, CHECKED_OUT_TOPIC, 0, record.properties);
        broker.put_counted(&given_up, CountedFor::Nothing)?;
        ledger.end(record.queue_offset, identity);
        Ok(true)
    }

    /// Pauses behind each batch, longer while producers do not answer.
    fn pace(&mut self) -> ControlFlow<()> {
        self.in_batch += 1;
        if self.in_batch < BATCH {
            return ControlFlow::Continue(());
        }
        self.in_batch = 0;
        let until = Instant::now() + PATIENCE;
        loop {
            if self.stop.wait_timeout(PAUSE) {
                return ControlFlow::Break(());
            }
            let answered = self.transactions.answered.load(Ordering::Relaxed);
            let unanswered = self.asked.saturating_sub(answered.wrapping_sub(self.answered_before));
            if unanswered < UNANSWERED_MAX || Instant::now() >= until {
                return ControlFlow::Continue(());
            }
        }
    }
}

impl Rules {
    /// What is to be done about an open half message.
    ///
    /// Better than Java, which gives up in the round of the last question, before anybody could
    /// answer it.
    fn verdict(&self, half: &Half<'_>, now_ms: i64) -> Verdict {
        let age = now_ms.saturating_sub(half.record.born_timestamp);
        if half.record.store_timestamp >= self.start_ms {
            return Verdict::Young;
        }
        if half.checks >= self.checks_max || age > self.age_max_ms {
            return Verdict::GiveUp;
        }
        match half.immunity {
            Some(text) if age <= immunity_ms(text, self.timeout_ms) => Verdict::Wait,
            // Born in the future: a clock was set back, or the sender's is wrong.
            None if (0..=self.timeout_ms).contains(&age) => Verdict::Young,
            _ => Verdict::Ask,
        }
    }
}

/// `CHECK_IMMUNITY_TIME_IN_SECONDS` as the round of questions understands it.
fn immunity_ms(text: &str, timeout_ms: i64) -> i64 {
    match text.parse::<i64>() {
        Err(_) | Ok(-1) => timeout_ms,
        Ok(seconds) => seconds.saturating_mul(1000),
    }
}

/// `CHECK_IMMUNITY_TIME_IN_SECONDS` as END_TRANSACTION understands it.
///
/// Java quirk: never less than the time-out, other than in the round of questions; pinned by
/// `a_late_end_of_an_immune_half_is_refused`.
pub(crate) fn immunity_at_end_ms(text: &str, timeout_ms: i64) -> i64 {
    text.parse::<i64>().map_or(0, |seconds| seconds.saturating_mul(1000)).max(timeout_ms)
}

fn question(broker: &Broker, half: &Half<'_>, put: &Put) -> CheckTransactionStateRequestHeader {
    let id =
        OffsetMessageId { store_host: broker.store_host(), physical_offset: put.physical_offset };
    let key = (!half.unique_key.is_empty()).then(|| half.unique_key.to_owned());
    CheckTransactionStateRequestHeader {
        tran_state_table_offset: put.queue_offset,
        commit_log_offset: put.physical_offset,
        msg_id: key.clone(),
        transaction_id: key,
        offset_msg_id: Some(id.to_string()),
        topic: Some(HALF_TOPIC.to_owned()),
    }
}

/// Encodes the message a producer is asked about: the newest copy, in its own topic and queue.
fn encode(half: &Half<'_>, put: &Put, properties: &str, out: &mut BytesMut) {
    let record = &half.record;
    out.clear();
    let encoded = NewRecord {
        version: Version::for_topic(half.topic),
        queue_id: half.queue_id,
        flag: record.flag,
        queue_offset: put.queue_offset,
        physical_offset: put.physical_offset,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        store_timestamp: record.store_timestamp,
        store_host: record.store_host,
        reconsume_times: record.reconsume_times,
        prepared_transaction_offset: 0,
        body: record.body,
        topic: half.topic,
        properties: &[properties],
    }
    .encode(out);
    if let Err(error) = encoded {
        // The copy is stored, so only a topic too long for a record remains; nobody can use it.
        tracing::error!(%error, topic = half.topic, "a producer cannot be asked");
    }
}

#[cfg(test)]
mod tests {
    use super::super::half::tests::record;
    use super::*;

    const RULES: Rules =
        Rules { timeout_ms: 6_000, checks_max: 3, age_max_ms: 100_000, start_ms: 50_000 };

    fn verdict(born: i64, stored: i64, now: i64, properties: &str) -> Verdict {
        let properties = format!("REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}{properties}");
        let bytes = record(born, stored, &properties);
        let half = Half::parked(Record::decode(&bytes).unwrap()).unwrap();
        RULES.verdict(&half, now)
    }

    #[test]
    fn the_age_decides() {
        assert_eq!(verdict(40_000, 40_001, 46_000, ""), Verdict::Young);
        assert_eq!(verdict(40_000, 40_001, 46_001, ""), Verdict::Ask);
        assert_eq!(verdict(40_000, 50_000, 56_000, ""), Verdict::Young, "stored in this round");
        assert_eq!(verdict(60_000, 40_001, 59_999, ""), Verdict::Ask, "born in the future");
        assert_eq!(verdict(1, 2, 100_002, ""), Verdict::GiveUp, "as old as the log is kept");
    }

    #[test]
    fn the_number_of_checks_decides() {
        let checks = |number: &str| format!("TRANSACTION_CHECK_TIMES\u{1}{number}\u{2}");
        assert_eq!(verdict(40_000, 40_001, 50_000, &checks("2")), Verdict::Ask);
        assert_eq!(verdict(40_000, 40_001, 50_000, &checks("3")), Verdict::GiveUp);
        assert_eq!(verdict(40_000, 50_001, 50_001, &checks("3")), Verdict::Young);
        assert_eq!(verdict(40_000, 40_001, 50_000, &checks("x")), Verdict::Ask);
    }

    #[test]
    fn immunity_replaces_the_time_out() {
        let immune = |seconds: &str| format!("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}{seconds}\u{2}");
        assert_eq!(verdict(40_000, 40_001, 50_000, &immune("10")), Verdict::Wait);
        assert_eq!(verdict(40_000, 40_001, 50_001, &immune("10")), Verdict::Ask);
        assert_eq!(verdict(40_000, 40_001, 41_001, &immune("1")), Verdict::Ask);
        assert_eq!(verdict(40_000, 40_001, 46_000, &immune("x")), Verdict::Wait);
        assert_eq!(verdict(40_000, 40_001, 46_001, &immune("-1")), Verdict::Ask);
        let forever = i64::MAX.to_string();
        assert_eq!(verdict(40_000, 40_001, 50_000, &immune(&forever)), Verdict::Wait);
        assert_eq!(immunity_at_end_ms("1", 6_000), 6_000);
        assert_eq!(immunity_at_end_ms("10", 6_000), 10_000);
        assert_eq!(immunity_at_end_ms("x", 6_000), 6_000);
        assert_eq!(immunity_at_end_ms(&forever, 6_000), i64::MAX);
    }
}
