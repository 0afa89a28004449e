//! Storing what came together: one hold of the append lock and one write of the log for many
//! messages and batches, each of which is stored or refused by itself.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use ::runtime::clock::now_ms;
use remoting::protocol::message::batch::BatchMessages;
use remoting::protocol::message::properties::VALUE_END;
use remoting::protocol::message::record::patch_positions;
use remoting::protocol::message::sys_flag;
use smallvec::{SmallVec, smallvec};

use super::MessageStore;
use super::put::{Encoder, refused, request_of};
use crate::commit_log::Append;
use crate::consume_queue::Queue;
use crate::dispatch::SCHEDULE_TOPIC;
use crate::properties::StoreProperties;
use crate::{NewBatch, NewMessage, NewSend, Put, PutError};

/// Sends of a group that need no memory of their own.
pub const GROUP_LEN: usize = 32;

/// What became of the sends of a group, in their order.
pub type Puts = SmallVec<[Result<Put, PutError>; GROUP_LEN]>;

/// Buffers of one thread, kept from group to group.
#[derive(Default)]
struct Group {
    encoder: Encoder,
    entries: Vec<Entry>,
    /// Of each send, the queue that will hold it; none for halves and rollbacks.
    queues: Vec<Option<Arc<Queue>>>,
}

/// One record in the buffer.
struct Entry {
    /// Which of the sends it is of.
    send: usize,
    len: usize,
    tags_code: i64,
    /// Where its properties stand among the records.
    properties: Range<usize>,
    /// Known under the append lock.
    queue_offset: i64,
}

thread_local! {
    static GROUP: RefCell<Group> = RefCell::default();
}

impl Group {
    fn clear(&mut self) {
        self.encoder.clear();
        self.entries.clear();
        self.queues.clear();
    }
}

impl MessageStore {
    /// Stores the messages of a batch one after the other, all or none.
    pub fn put_batch(&self, batch: &NewBatch<'_>) -> Result<Put, PutError> {
        let puts = self.put_group(&[NewSend::Batch(batch.clone())]);
        puts.into_iter().next().unwrap_or(Err(PutError::Poisoned))
    }

    /// Stores messages and batches in their order; each is visible, or refused, when this returns.
    /// A failed write is an error for all that it was made for.
    pub fn put_group(&self, sends: &[NewSend<'_>]) -> Puts {
        let mut puts: Puts = smallvec![Err(PutError::Poisoned); sends.len()];
        let together = GROUP.with_borrow_mut(|group| {
            group.clear();
            let together = self.put_together(sends, group, &mut puts);
            // Queues are not kept alive until the next group.
            group.queues.clear();
            together
        });
        if together {
            return puts;
        }
        for (put, send) in puts.iter_mut().zip(sends) {
            *put = match send {
                NewSend::Message(message) => self.put(message),
                NewSend::Batch(batch) => self.put_batch(batch),
            };
        }
        puts
    }

    /// Stores all, or nothing if the record of any is known under the append lock only; false then.
    fn put_together(&self, sends: &[NewSend<'_>], group: &mut Group, puts: &mut Puts) -> bool {
        group.queues.resize(sends.len(), None);
        for (at, send) in sends.iter().enumerate() {
            let entered = match send {
                NewSend::Message(message) => self.enter(at, message, group),
                NewSend::Batch(batch) => self.enter_batch(at, batch, group).map(|()| true),
            };
            match entered {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    group.queues[at] = None;
                    puts[at] = Err(error);
                }
            }
        }
        let mut stored = 0;
        if let Err(error) = self.append(sends, group, &mut stored, puts) {
            let failed = group.entries[stored..].iter();
            failed.for_each(|entry| puts[entry.send] = Err(error.clone()));
        }
        self.tell_all(sends, group, puts);
        true
    }

    /// Encodes a message; false for one whose record is known under the append lock only.
    fn enter(
        &self,
        at: usize,
        message: &NewMessage<'_>,
        group: &mut Group,
    ) -> Result<bool, PutError> {
        self.check(message)?;
        let seen = StoreProperties::of(message.properties);
        let numbered = message.sys_flag & sys_flag::INNER_BATCH != 0 || seen.inner_num.is_some();
        // The tags code of a delayed message is the time of its delivery.
        if numbered || message.topic == SCHEDULE_TOPIC || self.lights_of(message, &seen).is_some() {
            return Ok(false);
        }
        group.queues[at] = self.queue_of(message)?;
        let content = (message.flag, message.body, &[message.properties][..]);
        self.encode_entry(at, (message, &seen), content, group)?;
        Ok(true)
    }

    /// Encodes the messages of a batch, all or none; each has its own properties, then those of the
    /// request.
    fn enter_batch(
        &self,
        at: usize,
        batch: &NewBatch<'_>,
        group: &mut Group,
    ) -> Result<(), PutError> {
        let Group { encoder: Encoder { records, keys }, entries, .. } = &*group;
        let before = (records.len(), keys.len(), entries.len());
        let entered = self.enter_parts(at, &batch.message, group);
        if entered.is_err() {
            group.encoder.records.truncate(before.0);
            group.encoder.keys.truncate(before.1);
            group.entries.truncate(before.2);
        }
        entered
    }

    fn enter_parts(
        &self,
        at: usize,
        message: &NewMessage<'_>,
        group: &mut Group,
    ) -> Result<(), PutError> {
        self.check(message)?;
        if message.sys_flag & sys_flag::TRANSACTION_MASK != 0 {
            return Err(PutError::MessageIllegal("a batch takes no part in a transaction"));
        }
        let of_request = StoreProperties::of(message.properties);
        if of_request.delay.is_some() {
            return Err(PutError::MessageIllegal("a batch cannot be delayed"));
        }
        let queue = self.queues.queue(message.topic, message.queue_id).map_err(refused)?;
        group.queues[at] = Some(queue);
        let before = (group.encoder.records.len(), group.entries.len());
        for part in BatchMessages::new(message.body) {
            let part = part?;
            let seen = StoreProperties::of(part.properties).then(of_request);
            // A batch stands in no light queue; building the queues again must find that, too.
            if seen.light_offsets.is_some() && self.lights_of(message, &seen).is_some() {
                return Err(PutError::MessageIllegal("a batch stands in no light queue"));
            }
            let properties = joined(part.properties, message.properties);
            let content = (part.flag, part.body, &properties[..]);
            self.encode_entry(at, (message, &seen), content, group)?;
            if group.encoder.records.len() - before.0 > self.log.record_len_max() {
                return Err(PutError::MessageIllegal("the batch is longer than a log file"));
            }
        }
        match group.entries.len() == before.1 {
            true => Err(PutError::MessageIllegal("the batch is empty")),
            false => Ok(()),
        }
    }

    /// Encodes one record, of a flag, a body and the parts of its properties, whose number is known
    /// where this is called.
    #[inline(always)]
    fn encode_entry(
        &self,
        send: usize,
        (message, seen): (&NewMessage<'_>, &StoreProperties<'_>),
        (flag, body, properties): (i32, &[u8], &[&str]),
        group: &mut Group,
    ) -> Result<(), PutError> {
        let Group { encoder, entries, .. } = group;
        let begin = encoder.records.len();
        self.encode(message, body, properties, flag, encoder)?;
        self.take_keys(message, seen, begin, &mut encoder.keys);
        let end = encoder.records.len();
        let properties_len: usize = properties.iter().map(|part| part.len()).sum();
        entries.push(Entry {
            send,
            len: end - begin,
            tags_code: seen.tags_code(message.topic, 0, &self.delays),
            properties: end - properties_len..end,
            queue_offset: 0,
        });
        Ok(())
    }

    /// Appends every record, as many at a time as a file takes; `stored` says how many entries
    /// have their outcome.
    fn append(
        &self,
        sends: &[NewSend<'_>],
        group: &mut Group,
        stored: &mut usize,
        puts: &mut Puts,
    ) -> Result<(), PutError> {
        let Group { encoder, entries, queues } = group;
        if entries.is_empty() {
            return Ok(());
        }
        let mut log = self.log.lock()?;
        for queue in queues.iter_mut() {
            *queue = queue.take().map(|queue| self.there(queue)).transpose()?;
        }
        let mut at = 0;
        let mut keys = &encoder.keys[..];
        while *stored < entries.len() {
            let end = self.log.end();
            let (_, first) = fitting(&entries[*stored..], 0);
            let position = log.place(first)?;
            let (count, len) = fitting(&entries[*stored..], log.room());
            let run = &mut encoder.records[at..at + len];
            let entries = &mut entries[*stored..*stored + count];
            let now = self.append_run(sends, queues, (&mut log, position, run), entries, puts)?;
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
        sends: &[NewSend<'_>],
        queues: &[Option<Arc<Queue>>],
        (log, position, run): (&mut Append<'_>, i64, &mut [u8]),
        entries: &mut [Entry],
        puts: &mut Puts,
    ) -> Result<i64, PutError> {
        let now = now_ms();
        let (mut at, mut numbered) = (0, 0);
        while numbered < entries.len() {
            let (before, rest) = entries.split_at_mut(numbered);
            let send = rest[0].send;
            let mut next = next_offset(before, queues, send);
            for entry in rest.iter_mut().take_while(|entry| entry.send == send) {
                entry.queue_offset = next;
                let record = &mut run[at..at + entry.len];
                patch_positions(record, next, position + at as i64, now);
                (at, next, numbered) = (at + entry.len, next + 1, numbered + 1);
            }
        }
        log.write(run, now)?;
        let mut end = position;
        for of_send in entries.chunk_by(Entry::same_send) {
            let [first, ..] = of_send else { continue };
            let (send, queue) = (&sends[first.send], &queues[first.send]);
            let (physical_offset, queue_offset) = (end, first.queue_offset);
            let mut ids = match send {
                NewSend::Message(_) => SmallVec::new(),
                NewSend::Batch(_) => SmallVec::with_capacity(of_send.len()),
            };
            let mut request = request_of(send.message(), 0);
            request.store_timestamp = now;
            // The queue looks at no properties, and keys are noted apart.
            request.properties = "";
            for entry in of_send {
                request.physical_offset = end;
                request.size = entry.len as i32;
                request.tags_code = entry.tags_code;
                request.queue_offset = entry.queue_offset;
                if let Some(queue) = queue {
                    self.append_unit(queue, &request)?;
                }
                if let NewSend::Batch(_) = send {
                    ids.push(end);
                }
                end = request.physical_end();
            }
            let put = Put { physical_offset, queue_offset, store_timestamp: now, end, ids };
            puts[first.send] = Ok(put);
        }
        Ok(now)
    }

    fn tell_all(&self, sends: &[NewSend<'_>], group: &Group, puts: &Puts) {
        for of_send in group.entries.chunk_by(Entry::same_send) {
            let [Entry { send, .. }, ..] = of_send else { continue };
            let Ok(put) = &puts[*send] else { continue };
            let message = sends[*send].message();
            for entry in of_send {
                let properties = &group.encoder.records[entry.properties.clone()];
                self.tell(message, (put, entry.queue_offset), entry.tags_code, properties);
            }
        }
    }
}

impl Entry {
    fn same_send(&self, other: &Entry) -> bool {
        self.send == other.send
    }
}

/// A message's own properties, then those of the request: of equal names the last one wins.
fn joined<'a>(own: &'a str, request: &'a str) -> [&'a str; 3] {
    let closed = own.is_empty() || own.ends_with(VALUE_END) || request.is_empty();
    [own, if closed { "" } else { "\u{2}" }, request]
}

/// How many records fit into `room` bytes, and how long they are together: at least those of the
/// first send, and of each send all or none.
fn fitting(entries: &[Entry], room: usize) -> (usize, usize) {
    let (mut count, mut len) = (0, 0);
    for send in entries.chunk_by(Entry::same_send) {
        let more: usize = send.iter().map(|entry| entry.len).sum();
        if count > 0 && len + more > room {
            break;
        }
        (count, len) = (count + send.len(), len + more);
    }
    (count, len)
}

/// The offset of the first entry of a send in its queue, behind those of the sends before it.
fn next_offset(before: &[Entry], queues: &[Option<Arc<Queue>>], send: usize) -> i64 {
    let Some(queue) = &queues[send] else { return 0 };
    let same = |other: &Arc<Queue>| Arc::ptr_eq(other, queue);
    let nearest = before.iter().rev().find(|entry| queues[entry.send].as_ref().is_some_and(same));
    nearest.map_or_else(|| queue.next_offset(), |entry| entry.queue_offset + 1)
}
