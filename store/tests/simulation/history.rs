//! What a store was told and has answered, up to a moment: the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, Record};
use store::light;

use crate::common::messages_in;

/// A message that was stored, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub position: i64,
    pub body: Vec<u8>,
    pub properties: String,
    pub key: String,
    /// More than one in an inner batch.
    pub count: i64,
    /// Light queues it stands in, and its offset in each.
    pub lights: Vec<(String, i64)>,
}

impl Message {
    pub fn of(record: &Record<'_>) -> Message {
        let properties = Properties::new(record.properties);
        let key = properties.get(property::UNIQ_KEY).or_else(|| properties.keys().next());
        let of = |name| properties.get(name).unwrap_or_default();
        let names = of(property::INNER_MULTI_DISPATCH);
        let lights = light::places(names, of(property::INNER_MULTI_QUEUE_OFFSET));
        Message {
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            position: record.physical_offset,
            body: record.body.to_vec(),
            properties: record.properties.to_owned(),
            key: key.unwrap_or_default().to_owned(),
            count: messages_in(record),
            lights: lights.map(|(name, offset)| (name.to_owned(), offset)).collect(),
        }
    }

    /// Its offset in a queue, its own or a light one, if it stands there.
    pub fn offset_in(&self, topic: &str, queue_id: i32) -> Option<i64> {
        if self.topic == topic && self.queue_id == queue_id {
            return Some(self.queue_offset);
        }
        let light = self.lights.iter().find(|(name, _)| name == topic);
        light.map(|(_, offset)| *offset)
    }

    /// The offset behind it in a queue that it stands in.
    pub fn next_in(&self, topic: &str, queue_id: i32) -> Option<i64> {
        self.offset_in(topic, queue_id).map(|offset| offset + self.count)
    }
}

/// Something happened between two calls to the disk.
#[derive(Clone, Debug)]
pub enum Note {
    /// The next message of the log was put.
    Put,
    /// The log is acknowledged as durable up to a position.
    Durable(i64),
    /// A topic is about to be deleted.
    Deleting(String),
    /// It is.
    Deleted(String),
    /// A JSON file of a generation is about to be saved.
    Saving(i64),
    /// It is.
    Saved(i64),
    /// The log may start at a position from now on.
    Removing(i64),
}

/// The notes so far, summed up.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Queues of each topic.
    pub queues: i32,
    /// Messages put and answered.
    pub messages: usize,
    /// Log position up to which everything must be there.
    pub durable: i64,
    /// Topics that were deleted, and the number of messages put before.
    pub deleted: BTreeMap<String, usize>,
    /// Topics whose deletion was cut short: nobody knows what of their queues is left.
    pub unclear: BTreeSet<String>,
    /// Generation of the JSON file that must be there at least.
    pub saved: i64,
    /// The newest one that may be.
    pub saving: i64,
    /// Highest position the log may start at.
    pub removing: i64,
    /// Directories of the log.
    pub log_paths: u64,
}

impl History {
    pub fn note(&mut self, note: &Note) {
        match note {
            Note::Put => self.messages += 1,
            Note::Durable(position) => self.durable = self.durable.max(*position),
            Note::Deleting(topic) => _ = self.unclear.insert(topic.clone()),
            Note::Deleted(topic) => {
                self.unclear.remove(topic);
                self.deleted.insert(topic.clone(), self.messages);
            }
            Note::Saving(generation) => self.saving = *generation,
            Note::Saved(generation) => self.saved = *generation,
            Note::Removing(position) => self.removing = self.removing.max(*position),
        }
    }

    /// What a queue holds when the log has the first `count` of these messages.
    pub fn queue<'a>(
        &self,
        all: &'a [Arc<Message>],
        count: usize,
        topic: &'a str,
        queue_id: i32,
    ) -> impl Iterator<Item = &'a Message> {
        let from = self.deleted.get(topic).copied().unwrap_or(0).min(count);
        all[from..count]
            .iter()
            .map(Arc::as_ref)
            .filter(move |message| message.offset_in(topic, queue_id).is_some())
    }
}
