//! The one way into the store: everything that stores a message comes through here.
//!
//! Delayed messages are parked: the same record goes to the schedule topic, with its real topic
//! and queue as properties, and the schedule service stores it again when its time has come.

use std::cell::RefCell;
use std::time::Instant;

use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, PropertiesBuf};
use store::{NewBatch, NewMessage, Put, PutError};

use crate::broker::Broker;
use crate::topics::SCHEDULE_TOPIC;

thread_local! {
    /// Properties of the delayed message being stored, reused.
    static DELAYED: RefCell<PropertiesBuf> = RefCell::new(PropertiesBuf::new());
}

impl Broker {
    /// Stores a message in its queue.
    pub(crate) fn put(&self, message: &NewMessage<'_>) -> Result<Put, PutError> {
        let begun = Instant::now();
        let put = self.store.put(message);
        self.stats.put(put.is_ok(), 1, message.body.len(), begun.elapsed());
        put
    }

    /// Stores the messages of a batch, all or none.
    pub(crate) fn put_batch(&self, batch: &NewBatch<'_>) -> Result<Put, PutError> {
        let begun = Instant::now();
        let put = self.store.put_batch(batch);
        let count = put.as_ref().map_or(1, |put| put.ids.len().max(1));
        self.stats.put(put.is_ok(), count, batch.message.body.len(), begun.elapsed());
        put
    }

    /// Parks a message for the time of a delay level; one above the last counts as the last.
    pub(crate) fn put_delayed(
        &self,
        message: &NewMessage<'_>,
        level: i32,
    ) -> Result<Put, PutError> {
        let level = level.min(self.schedule.level_max());
        DELAYED.with_borrow_mut(|properties| {
            park(message, level, properties);
            self.put(&NewMessage {
                topic: SCHEDULE_TOPIC,
                queue_id: level - 1,
                properties: properties.as_str(),
                ..message.clone()
            })
        })
    }
}

/// Writes the properties of a parked message.
fn park(message: &NewMessage<'_>, level: i32, out: &mut PropertiesBuf) {
    use property::{
        DELAY, REAL_QUEUE_ID, REAL_TOPIC, TIMER_DELAY_MS, TIMER_DELAY_SEC, TIMER_DELIVER_MS,
    };
    let mut digits = itoa::Buffer::new();
    out.clear();
    for (name, value) in Properties::new(message.properties) {
        // A delay level beats the timer properties.
        let replaced = matches!(
            name,
            DELAY
                | REAL_TOPIC
                | REAL_QUEUE_ID
                | TIMER_DELAY_SEC
                | TIMER_DELAY_MS
                | TIMER_DELIVER_MS
        );
        if !replaced {
            out.push(name, value);
        }
    }
    out.push(DELAY, digits.format(level));
    out.push(REAL_TOPIC, message.topic);
    out.push(REAL_QUEUE_ID, digits.format(message.queue_id));
}
