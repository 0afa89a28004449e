//! A message that waits in the timer topic, and the copies that are made of it.
//!
//! The slot of a message ends at or after the millisecond it is due, as Java needs it. The exact
//! time comes from what the sender asked for: it lies within the slot, or the end of the slot
//! counts.

use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, PropertiesBuf, Record};

use super::TIMER_TOPIC;
use crate::NewMessage;

/// `TIMER_ENQUEUE_MS` of a message that was due before it had a unit.
pub const NEVER_ENQUEUED: i64 = i64::MAX;

/// What the timer needs to know of a parked message.
#[derive(Clone, Copy, Debug)]
pub struct Parked<'a> {
    record: Record<'a>,
    /// `TIMER_OUT_MS`: start of the slot.
    pub out_ms: i64,
    /// Topic it is for.
    pub topic: &'a str,
    /// Queue it is for.
    pub queue_id: i32,
    /// Its unique key.
    pub unique_key: Option<&'a str>,
    /// Topic and unique key, joined by `+`, of the message it takes back.
    pub takes_back: Option<&'a str>,
    delay_sec: Option<&'a str>,
    delay_ms: Option<&'a str>,
    deliver_ms: Option<&'a str>,
    rolled: i32,
}

impl<'a> Parked<'a> {
    /// Reads a record of the timer topic; `None` when it is no timer message.
    pub fn of(record: Record<'a>) -> Option<Parked<'a>> {
        if record.topic != TIMER_TOPIC {
            return None;
        }
        let (mut out_ms, mut topic, mut queue_id) = (None, None, None);
        let mut parked = Parked {
            record,
            out_ms: 0,
            topic: "",
            queue_id: 0,
            unique_key: None,
            takes_back: None,
            delay_sec: None,
            delay_ms: None,
            deliver_ms: None,
            rolled: 0,
        };
        for (name, value) in Properties::new(record.properties) {
            match name {
                property::TIMER_OUT_MS => out_ms = value.parse().ok(),
                property::REAL_TOPIC => topic = Some(value),
                property::REAL_QUEUE_ID => queue_id = value.parse().ok(),
                property::UNIQ_KEY => parked.unique_key = Some(value),
                property::TIMER_DEL_UNIQKEY => parked.takes_back = Some(value),
                property::TIMER_DELAY_SEC => parked.delay_sec = Some(value),
                property::TIMER_DELAY_MS => parked.delay_ms = Some(value),
                property::TIMER_DELIVER_MS => parked.deliver_ms = Some(value),
                property::TIMER_ROLL_TIMES => parked.rolled = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        parked.out_ms = out_ms.filter(|out_ms| *out_ms >= 0)?;
        parked.topic = topic?;
        parked.queue_id = queue_id.filter(|queue_id| *queue_id >= 0)?;
        Some(parked)
    }

    /// The record.
    pub fn record(&self) -> &Record<'a> {
        &self.record
    }

    /// The millisecond it is due, never before the one its sender asked for.
    pub fn due_ms(&self, precision_ms: i64) -> i64 {
        let slot_end = self.out_ms.saturating_add(precision_ms);
        let after = |delay: Option<&str>, unit_ms: i64| {
            let delay = delay?.parse::<i64>().ok()?.checked_mul(unit_ms)?;
            // Stored a moment after the delay was added to the clock: not before that time.
            self.record.store_timestamp.checked_add(delay)
        };
        let asked = [
            after(self.delay_sec, 1000),
            after(self.delay_ms, 1),
            self.deliver_ms.and_then(|time| time.parse().ok()),
        ];
        let within = |time: &i64| *time > self.out_ms && *time <= slot_end;
        asked.into_iter().flatten().find(within).unwrap_or(slot_end)
    }

    /// Whether a message of this topic and key is taken back by one of these keys.
    pub fn taken_back(&self, mut keys: impl Iterator<Item = impl AsRef<str>>) -> bool {
        let Some(unique_key) = self.unique_key else { return false };
        keys.any(|key| {
            let rest = key.as_ref().strip_prefix(self.topic);
            rest.and_then(|rest| rest.strip_prefix('+')) == Some(unique_key)
        })
    }

    /// The copy for its own topic and queue.
    pub fn delivered<'b>(
        &'b self,
        enqueue_ms: i64,
        now_ms: i64,
        properties: &'b mut PropertiesBuf,
    ) -> NewMessage<'b> {
        self.write_properties(enqueue_ms, now_ms, None, properties);
        self.copy(self.topic, self.queue_id, properties)
    }

    /// The copy for the timer topic, for the rest of the time.
    pub fn rolled<'b>(
        &'b self,
        enqueue_ms: i64,
        now_ms: i64,
        due_ms: i64,
        properties: &'b mut PropertiesBuf,
    ) -> NewMessage<'b> {
        self.write_properties(enqueue_ms, now_ms, Some(due_ms), properties);
        self.copy(TIMER_TOPIC, self.record.queue_id, properties)
    }

    fn write_properties(
        &self,
        enqueue_ms: i64,
        now_ms: i64,
        rolled_due_ms: Option<i64>,
        out: &mut PropertiesBuf,
    ) {
        use property::{TIMER_DELIVER_MS, TIMER_DEQUEUE_MS, TIMER_ENQUEUE_MS, TIMER_ROLL_TIMES};
        let mut digits = itoa::Buffer::new();
        out.clear();
        for (name, value) in Properties::new(self.record.properties) {
            let replaced = matches!(name, TIMER_ENQUEUE_MS | TIMER_DEQUEUE_MS)
                || (rolled_due_ms.is_some() && name == TIMER_ROLL_TIMES);
            if !replaced {
                out.push(name, value);
            }
        }
        out.push(TIMER_ENQUEUE_MS, digits.format(enqueue_ms));
        if let Some(due_ms) = rolled_due_ms {
            out.push(TIMER_ROLL_TIMES, digits.format(self.rolled.saturating_add(1)));
            // A delay counts from the store time, which the copy has not: it carries the time.
            if self.deliver_ms.is_none() {
                out.push(TIMER_DELIVER_MS, digits.format(due_ms));
            }
        }
        out.push(TIMER_DEQUEUE_MS, digits.format(now_ms));
    }

    fn copy<'b>(
        &'b self,
        topic: &'b str,
        queue_id: i32,
        properties: &'b PropertiesBuf,
    ) -> NewMessage<'b> {
        NewMessage::copy_of(&self.record, topic, queue_id, properties.as_str())
    }

    /// Whether another record is the copy that was made of this message.
    pub fn is_copy(&self, other: &Record<'_>) -> bool {
        (self.topic, self.queue_id) == (other.topic, other.queue_id) && self.same_message(other)
    }

    /// Whether another record is this message, stored anew for the rest of its time.
    pub fn is_rolled_copy(&self, other: &Record<'_>) -> bool {
        let times = other.properties().get(property::TIMER_ROLL_TIMES);
        let rolled = times.and_then(|times| times.parse().ok()) == Some(self.rolled + 1);
        other.topic == TIMER_TOPIC && rolled && self.same_message(other)
    }

    fn same_message(&self, other: &Record<'_>) -> bool {
        let (mut out_ms, mut unique_key, mut takes_back) = (None, None, None);
        for (name, value) in other.properties() {
            match name {
                property::TIMER_OUT_MS => out_ms = value.parse().ok(),
                property::UNIQ_KEY => unique_key = Some(value),
                property::TIMER_DEL_UNIQKEY => takes_back = Some(value),
                _ => {}
            }
        }
        let record = &self.record;
        let timer = (out_ms, unique_key, takes_back)
            == (Some(self.out_ms), self.unique_key, self.takes_back);
        let sent = (record.born_timestamp, record.born_host, record.flag, record.body)
            == (other.born_timestamp, other.born_host, other.flag, other.body);
        timer && sent
    }
}
