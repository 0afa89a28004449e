//! Storing what came together: one hold of the append lock and one write of the log for many
//! messages, each of which is stored or refused by itself.

use std::cell::RefCell;
use std::sync::Arc;

use ::runtime::clock::now_ms;
use remoting::protocol::message::record::patch_positions;
use remoting::protocol::message::sys_flag;
use smallvec::{SmallVec, smallvec};

use super::MessageStore;
use super::put::{Encoder, request_of};
use crate::commit_log::Append;
use crate::consume_queue::Queue;
use crate::dispatch::{DispatchRequest, SCHEDULE_TOPIC};
use crate::properties::StoreProperties;
use crate::{NewMessage, Put, PutError};

/// Messages of a group that need no memory of their own.
pub const GROUP_LEN: usize = 32;

/// What became of the messages of a group, in their order.
pub type Puts = SmallVec<[Result<Put, PutError>; GROUP_LEN]>;

/// Buffers of one thread, kept from group to group.
#[derive(Default)]
struct Group {
    encoder: Encoder,
    entries: Vec<Entry>,
}

/// One record in the buffer.
struct Entry {
    /// Which of the messages it is of.
    message: usize,
    len: usize,
    tags_code: i64,
    queue: Option<Arc<Queue>>,
    /// Known under the append lock.
    queue_offset: i64,
}

thread_local! {
    static GROUP: RefCell<Group> = RefCell::default();
}

impl MessageStore {
    /// Stores messages in their order; each is visible, or refused, when this returns. A failed
    /// write is an error for all that it was made for.
    pub fn put_group(&self, messages: &[NewMessage<'_>]) -> Puts {
        let mut puts: Puts = smallvec![Err(PutError::Poisoned); messages.len()];
        GROUP.with_borrow_mut(|group| {
            group.encoder.clear();
            let plain = messages.iter().enumerate().all(|(at, message)| {
                match self.enter(at, message, &mut group.encoder) {
                    Ok(Some(entry)) => group.entries.push(entry),
                    Ok(None) => return false,
                    Err(error) => puts[at] = Err(error),
                }
                true
            });
            if plain {
                let mut stored = 0;
                if let Err(error) = self.append(messages, group, &mut stored, &mut puts) {
                    let failed = group.entries[stored..].iter();
                    failed.for_each(|entry| puts[entry.message] = Err(error.clone()));
                }
                self.tell_all(messages, &group.entries, &puts);
            } else {
                puts.iter_mut().zip(messages).for_each(|(put, message)| *put = self.put(message));
            }
            group.entries.clear();
        });
        puts
    }

    /// Encodes a message; nothing for one whose record is known under the append lock only.
    fn enter(
        &self,
        at: usize,
        message: &NewMessage<'_>,
        encoder: &mut Encoder,
    ) -> Result<Option<Entry>, PutError> {
        self.check(message)?;
        let seen = StoreProperties::of(message.properties);
        let numbered = message.sys_flag & sys_flag::INNER_BATCH != 0 || seen.inner_num.is_some();
        // The tags code of a delayed message is the time of its delivery.
        if numbered || message.topic == SCHEDULE_TOPIC || self.lights_of(message, &seen).is_some() {
            return Ok(None);
        }
        let queue = self.queue_of(message)?;
        let before = encoder.records.len();
        self.encode(message, message.body, &[message.properties], message.flag, encoder)?;
        let len = encoder.records.len() - before;
        self.take_keys(message, &seen, before, &mut encoder.keys);
        let tags_code = seen.tags_code(message.topic, 0, &self.delays);
        Ok(Some(Entry { message: at, len, tags_code, queue, queue_offset: 0 }))
    }

    /// Appends every record, as many at a time as a file takes; `stored` says how many entries
    /// have their outcome.
    fn append(
        &self,
        messages: &[NewMessage<'_>],
        group: &mut Group,
        stored: &mut usize,
        puts: &mut Puts,
    ) -> Result<(), PutError> {
        let Group { encoder, entries } = group;
        if entries.is_empty() {
            return Ok(());
        }
        let mut log = self.log.lock()?;
        for entry in entries.iter_mut() {
            entry.queue = entry.queue.take().map(|queue| self.there(queue)).transpose()?;
        }
        let mut at = 0;
        let mut keys = &encoder.keys[..];
        while let Some(first) = entries.get(*stored) {
            let end = self.log.end();
            let position = log.place(first.len)?;
            let (count, len) = fitting(&entries[*stored..], log.room());
            let run = &mut encoder.records[at..at + len];
            let run_entries = &mut entries[*stored..*stored + count];
            let now = self.append_run(messages, &mut log, position, run, run_entries, puts)?;
            let (of_run, rest) = keys.split_at(keys.partition_point(|key| key.at < at + len));
            self.note((end, position + len as i64), position - at as i64, now, of_run);
            *stored += count;
            (at, keys) = (at + len, rest);
        }
        Ok(())
    }

    /// Writes records that follow each other, then their units; returns their store time.
    fn append_run(
        &self,
        messages: &[NewMessage<'_>],
        log: &mut Append<'_>,
        position: i64,
        run: &mut [u8],
        entries: &mut [Entry],
        puts: &mut Puts,
    ) -> Result<i64, PutError> {
        let now = now_ms();
        let mut at = 0;
        for index in 0..entries.len() {
            let queue_offset = next_offset(&entries[..=index]);
            let entry = &mut entries[index];
            entry.queue_offset = queue_offset;
            let record = &mut run[at..at + entry.len];
            patch_positions(record, queue_offset, position + at as i64, now);
            at += entry.len;
        }
        log.write(run, now)?;
        let mut physical_offset = position;
        for entry in entries {
            let request = DispatchRequest {
                physical_offset,
                tags_code: entry.tags_code,
                store_timestamp: now,
                queue_offset: entry.queue_offset,
                ..request_of(&messages[entry.message], entry.len)
            };
            if let Some(queue) = &entry.queue {
                self.append_unit(queue, &request)?;
            }
            let end = request.physical_end();
            puts[entry.message] = Ok(Put {
                physical_offset,
                queue_offset: entry.queue_offset,
                store_timestamp: now,
                end,
                ids: SmallVec::new(),
            });
            physical_offset = end;
        }
        Ok(now)
    }

    fn tell_all(&self, messages: &[NewMessage<'_>], entries: &[Entry], puts: &Puts) {
        for entry in entries {
            if let Ok(put) = &puts[entry.message] {
                let message = &messages[entry.message];
                self.tell(message, put, 0, entry.tags_code, message.properties.as_bytes());
            }
        }
    }
}

/// How many records fit into `room` bytes, and how long they are together.
fn fitting(entries: &[Entry], room: usize) -> (usize, usize) {
    let (mut count, mut len) = (0, 0);
    for entry in entries {
        if len + entry.len > room {
            break;
        }
        (count, len) = (count + 1, len + entry.len);
    }
    (count, len)
}

/// The offset of the last entry in its queue, behind those before it.
fn next_offset(entries: &[Entry]) -> i64 {
    let Some((last, before)) = entries.split_last() else { return 0 };
    let Some(queue) = &last.queue else { return 0 };
    let same = |entry: &&Entry| entry.queue.as_ref().is_some_and(|other| Arc::ptr_eq(other, queue));
    before.iter().rev().find(same).map_or_else(|| queue.next_offset(), |one| one.queue_offset + 1)
}
