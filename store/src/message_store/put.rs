//! Storing: check, encode, append, make visible.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::runtime::clock::now_ms;
use bytes::BytesMut;
use remoting::protocol::message::properties::PROPERTIES_LEN_MAX;
use remoting::protocol::message::record::{Version, patch_positions};
use remoting::protocol::message::{NewRecord, sys_flag};
use smallvec::SmallVec;

use super::MessageStore;
use super::indexing::EncodedKey;
use crate::consume_queue::Queue;
use crate::dispatch::{DispatchRequest, SCHEDULE_TOPIC, ViewError};
use crate::faults::{self, Point};
use crate::properties::StoreProperties;
use crate::segment::SECTOR_LEN;
use crate::{Arrival, NewMessage, Put, PutError};

/// Longest topic that is not a retry topic, in bytes.
const TOPIC_LEN_MAX: usize = 127;
/// Longest topic at all.
const RETRY_TOPIC_LEN_MAX: usize = 255;
const RETRY_PREFIX: &str = "%RETRY%";
/// What a record may be longer than the longest body.
const RECORD_SLACK: usize = 65_536;

/// Buffers of one thread, kept from put to put.
#[derive(Default)]
pub(super) struct Encoder {
    pub(super) records: BytesMut,
    pub(super) keys: Vec<EncodedKey>,
}

impl Encoder {
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
    }
}

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

impl MessageStore {
    /// Stores one message; it is visible when this returns.
    pub fn put(&self, message: &NewMessage<'_>) -> Result<Put, PutError> {
        self.check(message)?;
        let seen = StoreProperties::of(message.properties);
        let (put, tags_code) = if message.sys_flag & sys_flag::INNER_BATCH != 0 {
            self.put_inner_batch(message, &seen)
        } else if seen.inner_num.is_some() {
            Err(PutError::MessageIllegal("INNER_NUM on a message that is no inner batch"))
        } else if let Some(names) = self.lights_of(message, &seen) {
            self.put_light(message, names, &seen)
        } else {
            ENCODER.with_borrow_mut(|encoder| self.put_single(message, &seen, encoder))
        }?;
        let place = (&put, put.queue_offset);
        self.tell(message, place, tags_code, message.properties.as_bytes());
        Ok(put)
    }

    fn put_single(
        &self,
        message: &NewMessage<'_>,
        seen: &StoreProperties<'_>,
        encoder: &mut Encoder,
    ) -> Result<(Put, i64), PutError> {
        let queue = self.queue_of(message)?;
        encoder.clear();
        self.encode(message, message.body, &[message.properties], message.flag, encoder)?;
        self.take_keys(message, seen, 0, &mut encoder.keys);
        let record = &mut encoder.records[..];
        let mut request = request_of(message, record.len());
        let delayed = message.topic == SCHEDULE_TOPIC;
        if !delayed {
            request.tags_code = seen.tags_code(message.topic, 0, &self.delays);
        }

        let mut log = self.log.lock()?;
        let queue = queue.map(|queue| self.there(queue)).transpose()?;
        let end = self.log.end();
        let physical_offset = log.place(record.len())?;
        let now = now_ms();
        request.physical_offset = physical_offset;
        request.store_timestamp = now;
        request.queue_offset = queue.as_ref().map_or(0, |queue| queue.next_offset());
        if delayed {
            request.tags_code = seen.tags_code(message.topic, now, &self.delays);
        }
        patch_positions(record, request.queue_offset, physical_offset, now);
        log.write(record, now)?;
        if let Some(queue) = &queue {
            self.append_unit(queue, &request)?;
        }
        self.note((end, request.physical_end()), physical_offset, now, &encoder.keys);
        drop(log);

        let put = Put {
            physical_offset,
            queue_offset: request.queue_offset,
            store_timestamp: now,
            end: physical_offset + record.len() as i64,
            ids: SmallVec::new(),
        };
        Ok((put, request.tags_code))
    }

    /// Appends the unit of a record that is in the log already. Without its unit the record
    /// would be seen only after a restart: nothing is acknowledged any more.
    pub(super) fn append_unit(
        &self,
        queue: &Arc<Queue>,
        request: &DispatchRequest<'_>,
    ) -> Result<(), PutError> {
        faults::pass(Point::Appended);
        let appended = queue.append(request);
        faults::pass(Point::UnitAppended);
        appended.map_err(|error| {
            self.poison_by(&error);
            PutError::Poisoned
        })
    }

    /// The queue that will hold the message; none for halves and rollbacks.
    pub(super) fn queue_of(
        &self,
        message: &NewMessage<'_>,
    ) -> Result<Option<Arc<Queue>>, PutError> {
        match sys_flag::transaction(message.sys_flag) {
            sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK => Ok(None),
            _ => self.queues.queue(message.topic, message.queue_id).map(Some).map_err(refused),
        }
    }

    /// The queue a record goes to: another one if this one has been deleted since it was looked
    /// up. Under the append lock none is deleted.
    pub(super) fn there(&self, queue: Arc<Queue>) -> Result<Arc<Queue>, PutError> {
        if !queue.deleted() {
            return Ok(queue);
        }
        let anew = self.queues.queue(queue.topic(), queue.id()).map_err(refused)?;
        match anew.kind() == queue.kind() {
            true => Ok(anew),
            false => Err(PutError::QueueUnavailable),
        }
    }

    #[inline(always)]
    pub(super) fn encode(
        &self,
        message: &NewMessage<'_>,
        body: &[u8],
        properties: &[&str],
        flag: i32,
        encoder: &mut Encoder,
    ) -> Result<(), PutError> {
        let record = NewRecord {
            version: Version::for_topic(message.topic),
            queue_id: message.queue_id,
            flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: message.sys_flag,
            born_timestamp: message.born_timestamp,
            born_host: message.born_host,
            store_timestamp: 0,
            store_host: message.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            body,
            topic: message.topic,
            properties,
        };
        if record.properties_len() > PROPERTIES_LEN_MAX {
            let (len, max) = (record.properties_len(), PROPERTIES_LEN_MAX);
            return Err(PutError::PropertiesSizeExceeded { len, max });
        }
        // A start after a crash takes a sector of zeros for one that a power cut took.
        if properties.iter().any(|part| memchr::memchr(0, part.as_bytes()).is_some())
            && properties.concat().split(|unit| unit != '\0').any(|run| run.len() >= SECTOR_LEN)
        {
            return Err(PutError::MessageIllegal("the properties hold a run of zeros"));
        }
        let len = record.encoded_len();
        if len > self.body_len_max() + RECORD_SLACK {
            return Err(PutError::MessageIllegal(
                "the record is longer than maxMessageSize allows",
            ));
        }
        if len > self.log.record_len_max() {
            return Err(PutError::MessageIllegal("the record is longer than a log file"));
        }
        record
            .encode(&mut encoder.records)
            .map_err(|_| PutError::MessageIllegal("a part of the message is too long"))
    }

    fn body_len_max(&self) -> usize {
        self.config().max_message_size.max(0) as usize
    }

    /// What Java checks before it stores, in its order.
    pub(super) fn check(&self, message: &NewMessage<'_>) -> Result<(), PutError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(PutError::Stopped);
        }
        // The queues know first: the log hears of a failed sync when all of them have been asked.
        if self.log.poisoned() || self.queues.poisoned() {
            return Err(PutError::Poisoned);
        }
        if self.disk_full() {
            return Err(PutError::DiskFull);
        }
        let topic = message.topic;
        let retry = topic.starts_with(RETRY_PREFIX);
        if topic.len() > RETRY_TOPIC_LEN_MAX || (!retry && topic.len() > TOPIC_LEN_MAX) {
            return Err(PutError::MessageIllegal("the topic is too long"));
        }
        if message.body.len() > self.body_len_max() {
            return Err(PutError::MessageIllegal("the body is longer than maxMessageSize"));
        }
        if message.properties.len() > PROPERTIES_LEN_MAX {
            let (len, max) = (message.properties.len(), PROPERTIES_LEN_MAX);
            return Err(PutError::PropertiesSizeExceeded { len, max });
        }
        Ok(())
    }

    /// Wakes whom the message at an offset of a put concerns: after the lock, on this thread.
    pub(super) fn tell(
        &self,
        message: &NewMessage<'_>,
        (put, queue_offset): (&Put, i64),
        tags_code: i64,
        properties: &[u8],
    ) {
        let invisible = matches!(
            sys_flag::transaction(message.sys_flag),
            sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK
        );
        if !invisible {
            (self.arrivals)(&Arrival {
                topic: message.topic,
                queue_id: message.queue_id,
                queue_offset,
                tags_code,
                store_timestamp: put.store_timestamp,
                properties,
            });
        }
    }
}

pub(super) fn request_of<'a>(message: &NewMessage<'a>, len: usize) -> DispatchRequest<'a> {
    DispatchRequest {
        topic: message.topic,
        queue_id: message.queue_id,
        physical_offset: 0,
        size: len as i32,
        tags_code: 0,
        store_timestamp: 0,
        queue_offset: 0,
        sys_flag: message.sys_flag,
        properties: message.properties,
        batch_size: 1,
    }
}

pub(super) fn refused(error: ViewError) -> PutError {
    match error {
        ViewError::IllegalTopic { .. } => {
            PutError::MessageIllegal("the topic cannot name a directory")
        }
        ViewError::Poisoned { .. } => PutError::Poisoned,
        ViewError::Io { .. } | ViewError::Gap { .. } | ViewError::Open(_) => {
            PutError::QueueUnavailable
        }
    }
}
