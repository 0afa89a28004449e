//! The one way into the store: everything that stores a message comes through here.
//!
//! A message for later is parked: the same record goes to the schedule topic (delay levels) or to
//! the timer topic, with its real topic and queue as properties, and is stored again when its time
//! has come. [`Due`] says which; whoever stores what may be delayed asks `Due::of` and hands the
//! message to `put_due`. A delay level beats the timer; a message that comes back from the timer
//! has TIMER_OUT_MS and is not timed again.

use std::cell::RefCell;
use std::time::Instant;

use remoting::protocol::message::properties::{PROPERTIES_LEN_MAX, property};
use remoting::protocol::message::{Properties, PropertiesBuf};
use store::timer::{PROPERTIES_ROOM, slot_of};
use store::{NewBatch, NewMessage, NewSend, Put, PutError, Puts};

use crate::broker::Broker;
use crate::topics::{SCHEDULE_TOPIC, TIMER_TOPIC};

thread_local! {
    /// Properties of the message being parked, reused.
    static PARKED: RefCell<PropertiesBuf> = RefCell::new(PropertiesBuf::new());
}

/// When a message is to be visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// As soon as it is stored.
    Now,
    /// After the time of a delay level, from 1.
    Level(i32),
    /// At this millisecond.
    At(i64),
}

/// Why the time of a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DueError {
    /// Java ends with an exception here.
    #[error("the delay level {0:?} is no number")]
    NoLevel(String),
    /// `timerWheelEnable` is off.
    #[error("timer messages are not enabled on this broker")]
    NotEnabled,
    /// No number, too far away, or a recall of what is due already.
    #[error("timer message illegal: {0}")]
    Illegal(&'static str),
    /// Too many messages are due in the same moment.
    #[error("timer message flow control: too many messages for that time")]
    Congested,
}

/// What the properties of a message say about its time, taken in pair by pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing<'a> {
    level: i32,
    delay_sec: Option<&'a str>,
    delay_ms: Option<&'a str>,
    deliver_ms: Option<&'a str>,
    timed_before: bool,
    recalls: bool,
}

/// How Java calls what became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutStatus {
    /// Stored.
    Ok,
    /// The broker takes nothing at present.
    ServiceNotAvailable,
    /// There is no file for it.
    CreateFileFailed,
    /// It is too large, or for no time that can be.
    MessageIllegal,
    /// Its properties are too long.
    PropertiesTooLong,
    /// The disk is busy.
    Busy,
    /// There are too many light queues.
    LightQueuesExceeded,
    /// Nothing of the above.
    Unknown,
}

impl PutStatus {
    /// All of them, in their order.
    pub(crate) const ALL: [PutStatus; 8] = [
        PutStatus::Ok,
        PutStatus::ServiceNotAvailable,
        PutStatus::CreateFileFailed,
        PutStatus::MessageIllegal,
        PutStatus::PropertiesTooLong,
        PutStatus::Busy,
        PutStatus::LightQueuesExceeded,
        PutStatus::Unknown,
    ];

    /// That of a put that failed.
    pub(crate) fn of(error: &PutError) -> PutStatus {
        match error {
            PutError::MessageIllegal(_) | PutError::Malformed(_) => PutStatus::MessageIllegal,
            PutError::PropertiesSizeExceeded { .. } => PutStatus::PropertiesTooLong,
            PutError::LightQueuesExceeded { .. } => PutStatus::LightQueuesExceeded,
            PutError::Busy => PutStatus::Busy,
            PutError::CreateSegmentFailed => PutStatus::CreateFileFailed,
            PutError::Stopped | PutError::Poisoned | PutError::DiskFull => {
                PutStatus::ServiceNotAvailable
            }
            PutError::QueueUnavailable => PutStatus::Unknown,
        }
    }

    /// Java's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PutStatus::Ok => "PUT_OK",
            PutStatus::ServiceNotAvailable => "SERVICE_NOT_AVAILABLE",
            PutStatus::CreateFileFailed => "CREATE_MAPPED_FILE_FAILED",
            PutStatus::MessageIllegal => "MESSAGE_ILLEGAL",
            PutStatus::PropertiesTooLong => "PROPERTIES_SIZE_EXCEEDED",
            PutStatus::Busy => "OS_PAGE_CACHE_BUSY",
            PutStatus::LightQueuesExceeded => "LMQ_CONSUME_QUEUE_NUM_EXCEEDED",
            PutStatus::Unknown => "UNKNOWN_ERROR",
        }
    }
}

impl Due {
    /// The time the properties of a message ask for.
    ///
    /// Not for half messages and rollbacks: those wait for nothing but their transaction.
    pub(crate) fn of(broker: &Broker, properties: &str, now_ms: i64) -> Result<Due, DueError> {
        let mut timing = Timing::default();
        for (name, value) in Properties::new(properties) {
            timing.see(name, value)?;
        }
        timing.due(broker, now_ms)
    }
}

impl<'a> Timing<'a> {
    /// Takes in one pair; of several with one name the last counts.
    pub(crate) fn see(&mut self, name: &str, value: &'a str) -> Result<(), DueError> {
        match name {
            property::DELAY => {
                // Java quirk: text that is no number is an exception, not an illegal message.
                self.level = value.parse().map_err(|_| DueError::NoLevel(value.to_owned()))?;
            }
            property::TIMER_DELAY_SEC => self.delay_sec = Some(value),
            property::TIMER_DELAY_MS => self.delay_ms = Some(value),
            property::TIMER_DELIVER_MS => self.deliver_ms = Some(value),
            property::TIMER_OUT_MS => self.timed_before = true,
            property::TIMER_DEL_UNIQKEY => self.recalls = true,
            _ => {}
        }
        Ok(())
    }

    /// The delay level, 0 or less for none.
    pub(crate) fn level(&self) -> i32 {
        self.level
    }

    /// Takes the delay level away, as a dead letter loses it.
    pub(crate) fn drop_level(&mut self) {
        self.level = 0;
    }

    /// What all pairs together ask for.
    pub(crate) fn due(&self, broker: &Broker, now_ms: i64) -> Result<Due, DueError> {
        if self.level > 0 {
            return Ok(Due::Level(self.level));
        }
        if self.timed_before {
            return Ok(Due::Now);
        }
        let Some(at) = self.deliver_at(now_ms) else { return Ok(Due::Now) };
        let config = broker.store.config();
        let timer = broker.store.timer().ok_or(DueError::NotEnabled)?;
        let at = at.ok_or(DueError::Illegal("its time is no number"))?;
        if at <= now_ms {
            return match self.recalls {
                true => Err(DueError::Illegal("what it recalls is due already")),
                false => Ok(Due::Now),
            };
        }
        if at - now_ms > i64::from(config.timer_max_delay_sec) * 1000 {
            return Err(DueError::Illegal("its time is beyond timerMaxDelaySec"));
        }
        if timer.congested(at) {
            return Err(DueError::Congested);
        }
        Ok(Due::At(at))
    }

    /// The time asked for, if any, and `None` in place of one that is no number.
    fn deliver_at(&self, now_ms: i64) -> Option<Option<i64>> {
        let after = |text: &str, unit_ms: i64| {
            let delay = text.parse::<i64>().ok()?.checked_mul(unit_ms)?;
            now_ms.checked_add(delay)
        };
        if let Some(seconds) = self.delay_sec {
            return Some(after(seconds, 1000));
        }
        if let Some(millis) = self.delay_ms {
            return Some(after(millis, 1));
        }
        self.deliver_ms.map(|text| text.parse().ok())
    }
}

/// Which statistics of what flows count a put, as Java has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedFor {
    /// The topic and the broker.
    All,
    /// The topic alone.
    Topic,
    /// Neither: the broker keeps it for itself.
    Nothing,
}

impl Broker {
    /// Stores a message in its queue.
    pub(crate) fn put(&self, message: &NewMessage<'_>) -> Result<Put, PutError> {
        self.put_counted(message, CountedFor::All)
    }

    /// Stores a message in its queue.
    pub(crate) fn put_counted(
        &self,
        message: &NewMessage<'_>,
        counted: CountedFor,
    ) -> Result<Put, PutError> {
        let begun = Instant::now();
        let put = self.store.put(message);
        self.count(&put, message, 1, (begun, counted));
        put
    }

    /// Stores messages and batches that came together, each by itself in its queue.
    pub(crate) fn put_group(&self, sends: &[NewSend<'_>]) -> Puts {
        let begun = Instant::now();
        let puts = self.store.put_group(sends);
        for (put, send) in puts.iter().zip(sends) {
            let count = messages_in(put);
            self.count(put, send.message(), count, (begun, CountedFor::All));
        }
        puts
    }

    /// Stores the messages of a batch, all or none.
    pub(crate) fn put_batch(&self, batch: &NewBatch<'_>) -> Result<Put, PutError> {
        let begun = Instant::now();
        let put = self.store.put_batch(batch);
        self.count(&put, &batch.message, messages_in(&put), (begun, CountedFor::All));
        put
    }

    /// Stores one record for so many messages; it cannot wait, as no parking topic counts them.
    pub(crate) fn put_inner_batch(
        &self,
        message: &NewMessage<'_>,
        count: i16,
        due: Due,
    ) -> Result<Put, PutError> {
        if due != Due::Now {
            return Err(PutError::MessageIllegal("a batch cannot be delayed"));
        }
        let begun = Instant::now();
        let put = self.store.put(message);
        let count = usize::from(count.unsigned_abs());
        self.count(&put, message, count, (begun, CountedFor::All));
        put
    }

    fn count(
        &self,
        put: &Result<Put, PutError>,
        message: &NewMessage<'_>,
        messages: usize,
        (begun, counted): (Instant, CountedFor),
    ) {
        let bytes = put.as_ref().map_or(0, |put| (put.end - put.physical_offset).cast_unsigned());
        self.stats.put(put.is_ok(), messages, bytes, begun.elapsed());
        if put.is_ok() {
            let system = self.topics.is_system(message.topic);
            self.traffic.put(message.topic, (system, counted), messages as u64, bytes);
        }
    }

    /// Stores a message, or parks it until it is due; the answer then describes what was parked.
    pub(crate) fn put_due(&self, message: &NewMessage<'_>, due: Due) -> Result<Put, PutError> {
        self.put_due_counted(message, due, CountedFor::All)
    }

    /// Stores a message, or parks it until it is due.
    pub(crate) fn put_due_counted(
        &self,
        message: &NewMessage<'_>,
        due: Due,
        counted: CountedFor,
    ) -> Result<Put, PutError> {
        match due {
            Due::Now => self.put_counted(message, counted),
            Due::Level(level) => self.put_delayed(message, level, counted),
            Due::At(deliver_ms) => self.put_timed(message, deliver_ms, counted),
        }
    }

    /// Stores a batch, or parks its messages until they are due; a delay level it cannot have.
    pub(crate) fn put_batch_due(&self, batch: &NewBatch<'_>, due: Due) -> Result<Put, PutError> {
        let Due::At(deliver_ms) = due else { return self.put_batch(batch) };
        let put = PARKED.with_borrow_mut(|properties| {
            park_timed(&batch.message, self.timer_out_ms(deliver_ms), properties);
            let properties = properties.as_str();
            let message =
                NewMessage { topic: TIMER_TOPIC, queue_id: 0, properties, ..batch.message.clone() };
            self.put_batch(&NewBatch { message })
        });
        self.tell_timer(deliver_ms, &put);
        put
    }

    /// `TIMER_OUT_MS` of a message that is due at `deliver_ms`.
    pub(crate) fn timer_out_ms(&self, deliver_ms: i64) -> i64 {
        slot_of(deliver_ms, i64::from(self.store.config().timer_precision_ms))
    }

    /// Parks a message for the time of a delay level; one above the last counts as the last.
    fn put_delayed(
        &self,
        message: &NewMessage<'_>,
        level: i32,
        counted: CountedFor,
    ) -> Result<Put, PutError> {
        let level = level.min(self.schedule.level_max());
        PARKED.with_borrow_mut(|properties| {
            park_delayed(message, level, properties);
            let properties = properties.as_str();
            let (topic, queue_id) = (SCHEDULE_TOPIC, level - 1);
            let parked = NewMessage { topic, queue_id, properties, ..message.clone() };
            self.put_counted(&parked, counted)
        })
    }

    fn put_timed(
        &self,
        message: &NewMessage<'_>,
        deliver_ms: i64,
        counted: CountedFor,
    ) -> Result<Put, PutError> {
        let put = PARKED.with_borrow_mut(|properties| {
            park_timed(message, self.timer_out_ms(deliver_ms), properties);
            let (len, max) = (properties.len(), PROPERTIES_LEN_MAX - PROPERTIES_ROOM);
            if len > max {
                // Better than Java, which drops the message when it is due.
                return Err(PutError::PropertiesSizeExceeded { len, max });
            }
            let properties = properties.as_str();
            let parked =
                NewMessage { topic: TIMER_TOPIC, queue_id: 0, properties, ..message.clone() };
            self.put_counted(&parked, counted)
        });
        self.tell_timer(deliver_ms, &put);
        put
    }

    fn tell_timer(&self, deliver_ms: i64, put: &Result<Put, PutError>) {
        if let (Some(timer), Ok(_)) = (self.store.timer(), put) {
            timer.parked(deliver_ms);
        }
    }
}

/// How many messages a put of a message or a batch has stored, or one that was refused.
fn messages_in(put: &Result<Put, PutError>) -> usize {
    put.as_ref().map_or(1, |put| put.ids.len().max(1))
}

/// Writes the properties of a message that waits in the schedule topic.
fn park_delayed(message: &NewMessage<'_>, level: i32, out: &mut PropertiesBuf) {
    use property::{DELAY, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS};
    let mut digits = itoa::Buffer::new();
    // A delay level beats the timer properties.
    park(message, &[DELAY, TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS], out);
    out.push(DELAY, digits.format(level));
}

/// Writes the properties of a message that waits in the timer topic.
fn park_timed(message: &NewMessage<'_>, timer_out_ms: i64, out: &mut PropertiesBuf) {
    let mut digits = itoa::Buffer::new();
    park(message, &[property::TIMER_OUT_MS], out);
    out.push(property::TIMER_OUT_MS, digits.format(timer_out_ms));
}

/// Writes the properties of a message and where it is to go, but for those of these names.
fn park(message: &NewMessage<'_>, without: &[&str], out: &mut PropertiesBuf) {
    use property::{REAL_QUEUE_ID, REAL_TOPIC};
    let mut digits = itoa::Buffer::new();
    out.clear();
    for (name, value) in Properties::new(message.properties) {
        if name != REAL_TOPIC && name != REAL_QUEUE_ID && !without.contains(&name) {
            out.push(name, value);
        }
    }
    out.push(REAL_TOPIC, message.topic);
    out.push(REAL_QUEUE_ID, digits.format(message.queue_id));
}
