//! Transactions: messages that are visible only when their producer says so.
//!
//! A half message waits in the half topic (`half.rs`). END_TRANSACTION stores it again in its own
//! topic or drops it, and either way it has ended; op messages say so on disk, many at a time. A
//! producer that says nothing is asked (`check.rs`). Files and progress are Java's, so that a Java
//! broker can go on with the directory and we with Java's.
//!
//! Better than Java: a transaction ends once. Under the lock of the ledger it is looked whether it
//! is open, the message stored and the end noted, so a repeated answer, or one about an older copy
//! of the half message, finds that it has ended. A kill loses nothing of that: a rollback is
//! written at once, and a commit whose op message is missing is found in the log (`rebuild.rs`).
//!
//! Lock order: ledger → append lock → queue lock.

mod check;
mod ended;
mod half;
mod ledger;
mod metrics;
mod rebuild;
mod walk;

use std::cell::RefCell;
use std::hash::RandomState;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::Record;
use runtime::clock::now_ms;
use store::faults::{self, Point};
use store::json_file::JsonFileError;
use store::{LogSlice, MessageStore, NewMessage, Put, PutError};

use self::half::Identity;
use self::ledger::Ledger;
use self::metrics::Metrics;
use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::offsets::ConsumerOffsets;
use crate::put::Due;
use crate::reject::Reject;
use crate::topics::{CHECKED_OUT_TOPIC, HALF_TOPIC, OP_TOPIC};

pub(crate) use check::{immunity_at_end_ms, run};
pub(crate) use half::Half;

/// Java's group for the progress in both topics.
const GROUP: &str = "CID_RMQ_SYS_TRANS";

/// Tag of an op message that says which halves have ended.
const OP_TAG: &str = "d";

/// Copies of one message that are looked at for one that was given up or committed late.
const LATE_COPIES_MAX: usize = 32;

thread_local! {
    /// Properties of the half message being stored, reused.
    static PARKED: RefCell<PropertiesBuf> = RefCell::new(PropertiesBuf::new());
}

/// The open transactions of a broker.
pub(crate) struct Transactions {
    ledger: Mutex<Ledger>,
    /// Keys of the hash that identifies transactions.
    keys: RandomState,
    /// Progress that may be told to the table of offsets once the log is flushed so far.
    staged: Mutex<Option<Staged>>,
    pub(crate) metrics: Metrics,
    /// Answers to questions so far, also those that say nothing.
    answered: AtomicU64,
    /// Whose turn it is to be asked.
    turn: AtomicUsize,
}

/// Progress in both topics and the log position it depends on.
struct Staged {
    half: i64,
    op: i64,
    end: i64,
}

/// How a producer ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The message becomes visible.
    Commit,
    /// The message is dropped.
    Rollback,
}

impl Transactions {
    /// Finds out which transactions are open.
    ///
    /// # Errors
    /// Fails when the file of counts cannot be read.
    pub(crate) fn open(
        root: &Path,
        store: &MessageStore,
        offsets: &ConsumerOffsets,
        op_len_max: usize,
    ) -> Result<Transactions, JsonFileError> {
        let metrics = Metrics::load(root)?;
        let keys = RandomState::new();
        let rebuilt = rebuild::rebuild(store, offsets, &keys, op_len_max);
        metrics.correct(&rebuilt.open, now_ms());
        Ok(Transactions {
            ledger: Mutex::new(rebuilt.ledger),
            keys,
            staged: Mutex::new(None),
            metrics,
            answered: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        })
    }

    /// Ends the transaction of a half message; does nothing if it has ended. Returns where the
    /// message was stored, if it was.
    pub(crate) fn end(
        &self,
        broker: &Broker,
        half: &Half<'_>,
        how: End,
    ) -> Result<Option<Put>, Reject> {
        let identity = half.identity(&self.keys);
        let mut ledger = self.ledger();
        let Some(offset) = ledger.open(half.record.queue_offset, identity) else {
            let late = how == End::Commit && self.was_given_up(broker, half, identity);
            return if late { commit(broker, half).map(Some) } else { Ok(None) };
        };
        let put = match how {
            End::Commit => Some(commit(broker, half)?),
            End::Rollback => None,
        };
        faults::pass(Point::HalfCommitted);
        ledger.end(offset, identity);
        let full = ledger.unwritten_len() > broker.config.op_len_max();
        // A commit can be found in the log, a rollback leaves no other trace.
        if full || how == End::Rollback {
            write_ops(broker, &mut ledger);
        }
        drop(ledger);
        let now = now_ms();
        self.metrics.add(half.topic, -1, now);
        if broker.measures.on {
            let ended = &broker.measures.ended;
            match how {
                End::Commit => {
                    ended.committed(half.topic, (now - half.record.born_timestamp) / 1000)
                }
                End::Rollback => ended.rolled_back(half.topic),
            }
        }
        Ok(put)
    }

    /// Counts an answer to a question.
    pub(crate) fn note_answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Parks a message again whose producer was asked too often: it will be asked once more.
    pub(crate) fn resume(&self, broker: &Broker, half: &Half<'_>) -> Result<Option<Put>, PutError> {
        let identity = half.identity(&self.keys);
        let mut properties = PropertiesBuf::new();
        let name = property::TRANSACTION_CHECK_TIMES;
        half::with(half.record.properties(), name, "0", &mut properties);
        let mut ledger = self.ledger();
        let open = match half.record.topic {
            HALF_TOPIC => ledger.open(half.record.queue_offset, identity),
            _ => ledger.copies.get(&identity).copied(),
        };
        let given_up = || self.was_given_up(broker, half, identity);
        if open.is_none() && !given_up() {
            return Ok(None);
        }
        let put = broker.put(&half.again(properties.as_str()))?;
        match open {
            Some(offset) => ledger.moved(offset, identity, put.queue_offset),
            None => {
                ledger.copies.insert(identity, put.queue_offset);
                self.metrics.add(half.topic, 1, now_ms());
            }
        }
        Ok(Some(put))
    }

    /// Whether a transaction that is not open was given up and has not been committed since.
    ///
    /// Java accepts the commit of such a message at any time. Without the index nobody can say
    /// whether that was done before, and it is not done.
    fn was_given_up(&self, broker: &Broker, half: &Half<'_>, identity: Identity) -> bool {
        let same = |found: &LogSlice, committed: bool| {
            let record = Record::decode(found.as_ref()).ok();
            let half = record.and_then(Half::of);
            half.is_some_and(|half| {
                half.identity(&self.keys) == identity && is_commit(&half.record) == committed
            })
        };
        let stored = |topic: &str, committed: bool| {
            let found = broker.store.query(topic, half.unique_key, LATE_COPIES_MAX, 0, i64::MAX);
            found.iter().any(|found| same(found, committed))
        };
        broker.store.max_offset(CHECKED_OUT_TOPIC, 0) > 0
            && stored(CHECKED_OUT_TOPIC, false)
            && !stored(half.topic, true)
    }

    /// Writes what has waited long enough and notes progress; called every moment.
    pub(crate) fn tick(&self, broker: &Broker) {
        let interval = i64::from(broker.config.transaction_op_batch_interval);
        let mut ledger = self.ledger();
        let now = now_ms();
        // Absolute: a clock that was set back must not put writing off.
        if (now - ledger.written_at).abs() >= interval {
            write_ops(broker, &mut ledger);
        }
        let (half, op) = ledger.advance(broker.store.max_offset(HALF_TOPIC, 0));
        drop(ledger);
        self.stage(broker, half, op);
    }

    /// Tells progress to the table of offsets once the log is on disk that far: a half message
    /// that was parked again must be there before its former place is passed.
    fn stage(&self, broker: &Broker, half: i64, op: i64) {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        if staged.is_none() && self.progress(broker) != (Some(half), Some(op)) {
            *staged = Some(Staged { half, op, end: broker.store.max_physical_offset() });
        }
        let flushed = broker.store.flushed_offset();
        if let Some(Staged { half, op, .. }) = staged.take_if(|staged| staged.end <= flushed) {
            self.commit_progress(broker, half, op);
        }
    }

    fn progress(&self, broker: &Broker) -> (Option<i64>, Option<i64>) {
        let of = |topic| broker.offsets.of(GROUP, topic)?.get(&0).copied();
        (of(HALF_TOPIC), of(OP_TOPIC))
    }

    fn commit_progress(&self, broker: &Broker, half: i64, op: i64) {
        let (half_before, op_before) = self.progress(broker);
        let now = now_ms();
        if half_before.unwrap_or(0) != half {
            broker.offsets.commit(GROUP, HALF_TOPIC, 0, half, now);
        }
        if op_before.unwrap_or(0) != op {
            broker.offsets.commit(GROUP, OP_TOPIC, 0, op, now);
        }
    }

    /// Writes everything that is known; for the stop, when nothing ends any more.
    pub(crate) fn close(&self, broker: &Broker) {
        let mut ledger = self.ledger();
        write_ops(broker, &mut ledger);
        let (half, op) = ledger.advance(broker.store.max_offset(HALF_TOPIC, 0));
        drop(ledger);
        match broker.store.log().flush() {
            Ok(_) => self.commit_progress(broker, half, op),
            Err(error) => tracing::error!(%error, "progress of transactions not saved"),
        }
        self.save_metrics();
    }

    /// Open half messages by topic.
    pub(crate) fn open_by_topic(&self) -> Vec<(String, i64)> {
        self.metrics.counts()
    }

    /// Writes the counts of open half messages if they changed.
    pub(crate) fn save_metrics(&self) {
        if let Err(error) = self.metrics.persist() {
            tracing::error!(%error, "transaction metrics not saved, trying again");
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Stores a message that waits for the end of its transaction.
    pub(crate) fn put_half(&self, message: &NewMessage<'_>) -> Result<Put, PutError> {
        use remoting::protocol::message::sys_flag::with_transaction;
        let put = PARKED.with_borrow_mut(|properties| {
            half::park(message, properties);
            self.put(&NewMessage {
                topic: HALF_TOPIC,
                queue_id: 0,
                sys_flag: with_transaction(message.sys_flag, 0),
                properties: properties.as_str(),
                ..message.clone()
            })
        })?;
        self.transactions.metrics.add(message.topic, 1, now_ms());
        Ok(put)
    }
}

/// Makes a message visible, now or when the delay it asks for is over.
fn commit(broker: &Broker, half: &Half<'_>) -> Result<Put, Reject> {
    let message = half.committed();
    let due = Due::of(broker, message.properties, now_ms())?;
    if due == Due::Now {
        return Ok(broker.put(&message)?);
    }
    // As Java, what comes back from a delay does not say any more that it was half.
    let mut properties = PropertiesBuf::from_raw(message.properties);
    properties.remove(property::TRANSACTION_PREPARED);
    Ok(broker.put_due(&NewMessage { properties: properties.as_str(), ..message }, due)?)
}

fn is_commit(record: &Record<'_>) -> bool {
    use remoting::protocol::message::sys_flag::{TRANSACTION_COMMIT, transaction};
    transaction(record.sys_flag) == TRANSACTION_COMMIT
}

impl BrokerConfig {
    /// Characters after which an op message is full.
    pub(crate) fn op_len_max(&self) -> usize {
        usize::try_from(self.transaction_op_msg_max_size).unwrap_or(1).max(1)
    }
}

/// Writes op messages about everything that has ended; what the store refuses stays for later.
fn write_ops(broker: &Broker, ledger: &mut Ledger) {
    let mut properties = PropertiesBuf::new();
    properties.push(property::WAIT, "true");
    properties.push(property::TAGS, OP_TAG);
    let now = now_ms();
    loop {
        let (body, count) = ledger.op_body(broker.config.op_len_max());
        if count == 0 {
            return;
        }
        let message = NewMessage {
            topic: OP_TOPIC,
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: now,
            born_host: broker.store_host(),
            store_host: broker.store_host(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: properties.as_str(),
        };
        match broker.put(&message) {
            Ok(put) => {
                faults::pass(Point::OpWritten);
                ledger.op_written(put.queue_offset, count);
            }
            Err(error) => {
                tracing::warn!(%error, "ends of transactions not written, trying again");
                return;
            }
        }
        ledger.written_at = now;
    }
}
