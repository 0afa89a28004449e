//! Records that carry queue offsets as text: inner batches, and those that stand in light queues.
//!
//! The text is known under the append lock only, so these records are encoded there.

use std::sync::Arc;

use ::runtime::clock::now_ms;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::patch_positions;
use remoting::protocol::message::{PropertiesBuf, sys_flag};
use smallvec::SmallVec;

use super::MessageStore;
use super::put::{Encoder, refused, request_of};
use crate::consume_queue::Queue;
use crate::dispatch::DispatchRequest;
use crate::light::{self, Name};
use crate::properties::StoreProperties;
use crate::{Arrival, NewMessage, Put, PutError, QueueKind};

/// The names a message gives, each with its light queue if it has one.
type Named<'a> = SmallVec<[(&'a str, Option<Arc<Queue>>); 4]>;

/// What a record is numbered by, apart from its own queue.
enum Numbers<'a> {
    /// So many messages in one record.
    InnerBatch(i16),
    /// Light queues.
    Light(Named<'a>),
}

impl MessageStore {
    /// One record for all messages of a batch; its queue counts them.
    pub(super) fn put_inner_batch(
        &self,
        message: &NewMessage<'_>,
        seen: &StoreProperties<'_>,
    ) -> Result<(Put, i64), PutError> {
        if message.sys_flag & sys_flag::TRANSACTION_MASK != 0 {
            return Err(PutError::MessageIllegal("a batch takes no part in a transaction"));
        }
        let queue = self.queues.queue(message.topic, message.queue_id).map_err(refused)?;
        if queue.kind() != QueueKind::Batch {
            return Err(PutError::MessageIllegal("an inner batch needs a topic of type BatchCQ"));
        }
        let needs_number = PutError::MessageIllegal("an inner batch needs INNER_NUM");
        let count = seen.inner_count().ok_or(needs_number)?;
        self.put_numbered(message, seen, queue, Numbers::InnerBatch(count))
    }

    /// The names a message gives of light queues, if it may stand in any.
    pub(super) fn lights_of<'a>(
        &self,
        message: &NewMessage<'a>,
        seen: &StoreProperties<'a>,
    ) -> Option<&'a str> {
        let names = seen.light_queues?;
        let visible = !matches!(
            sys_flag::transaction(message.sys_flag),
            sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK
        );
        let stands = self.config().light_queues() && visible && light::allowed_in(message.topic);
        (stands && !names.trim().is_empty()).then_some(names)
    }

    /// One record that stands in light queues, too.
    pub(super) fn put_light(
        &self,
        message: &NewMessage<'_>,
        names: &str,
        seen: &StoreProperties<'_>,
    ) -> Result<(Put, i64), PutError> {
        let queue = self.queues.queue(message.topic, message.queue_id).map_err(refused)?;
        let mut queues = SmallVec::new();
        for name in light::names(names) {
            queues.push((name, self.light_queue(name)?));
        }
        self.put_numbered(message, seen, queue, Numbers::Light(queues))
    }

    /// The light queue of a name; none for a name that has none.
    fn light_queue(&self, name: &str) -> Result<Option<Arc<Queue>>, PutError> {
        match Name::of(name) {
            Name::Other | Name::Path => return Ok(None),
            Name::Illegal => {
                return Err(PutError::MessageIllegal("a light queue cannot name a directory"));
            }
            Name::Light => {}
        }
        if let Some(known) = self.queues.find(name, light::QUEUE_ID) {
            return Ok(Some(known));
        }
        let max = usize::try_from(self.config().max_lmq_consume_queue_num).unwrap_or(0);
        if self.queues.light_count() >= max {
            return Err(PutError::LightQueuesExceeded { max });
        }
        self.queues.queue(name, light::QUEUE_ID).map(Some).map_err(refused)
    }

    fn put_numbered(
        &self,
        message: &NewMessage<'_>,
        seen: &StoreProperties<'_>,
        queue: Arc<Queue>,
        numbers: Numbers<'_>,
    ) -> Result<(Put, i64), PutError> {
        let mut encoder = Encoder::default();
        let mut properties = PropertiesBuf::from_raw(message.properties);

        let mut log = self.log.lock()?;
        let queue = self.there(queue)?;
        let numbers = numbers.there(self)?;
        let queue_offset = queue.next_offset();
        let offsets = numbers.write(queue_offset, &mut properties);
        let properties = properties.as_str();
        self.encode(message, message.body, &[properties], message.flag, &mut encoder)?;
        self.take_keys(message, seen, 0, &mut encoder.keys);
        let record = &mut encoder.records[..];
        let end = self.log.end();
        let physical_offset = log.place(record.len())?;
        let now = now_ms();
        patch_positions(record, queue_offset, physical_offset, now);
        log.write(record, now)?;
        let request = DispatchRequest {
            physical_offset,
            tags_code: seen.tags_code(message.topic, now, &self.delays),
            store_timestamp: now,
            queue_offset,
            batch_size: numbers.batch_size(),
            ..request_of(message, record.len())
        };
        self.append_unit(&queue, &request)?;
        for (name, light, offset) in numbers.queues(&offsets) {
            self.append_unit(light, &request.in_light_queue(name, offset))?;
        }
        self.note((end, request.physical_end()), physical_offset, now, &encoder.keys);
        drop(log);

        for (name, _, offset) in numbers.queues(&offsets) {
            (self.arrivals)(&Arrival {
                topic: name,
                queue_id: light::QUEUE_ID,
                queue_offset: offset,
                tags_code: request.tags_code,
                store_timestamp: now,
                properties: properties.as_bytes(),
            });
        }
        let (end, ids) = (request.physical_end(), SmallVec::new());
        let put = Put { physical_offset, queue_offset, store_timestamp: now, end, ids };
        Ok((put, request.tags_code))
    }
}

impl<'a> Numbers<'a> {
    /// Writes the offsets the record gets; returns those in its light queues.
    fn write(&self, queue_offset: i64, properties: &mut PropertiesBuf) -> SmallVec<[i64; 4]> {
        let mut offsets = SmallVec::new();
        let Numbers::Light(queues) = self else {
            properties.set(property::INNER_BASE, &queue_offset.to_string());
            return offsets;
        };
        let mut text = String::new();
        for (index, (name, queue)) in queues.iter().enumerate() {
            // Java quirk: what is no light queue has no offset, what leads elsewhere has one that
            // nobody uses. Pinned by `names_with_separators_are_passed_over`.
            let unused = (Name::of(name) == Name::Path).then_some(0);
            let offset = queue.as_ref().map(|queue| queue.next_offset()).or(unused);
            light::push_offset(index == 0, offset, &mut text);
            offsets.push(offset.unwrap_or(0));
        }
        properties.set(property::INNER_MULTI_QUEUE_OFFSET, &text);
        offsets
    }

    /// With the queues that are there now.
    fn there(self, store: &MessageStore) -> Result<Numbers<'a>, PutError> {
        let Numbers::Light(queues) = self else { return Ok(self) };
        let there = |(name, queue): (&'a str, Option<Arc<Queue>>)| {
            Ok((name, queue.map(|queue| store.there(queue)).transpose()?))
        };
        queues.into_iter().map(there).collect::<Result<_, _>>().map(Numbers::Light)
    }

    fn batch_size(&self) -> i16 {
        match self {
            Numbers::InnerBatch(count) => *count,
            Numbers::Light(_) => 1,
        }
    }

    /// The light queues and the record's offset in each.
    fn queues(&self, offsets: &[i64]) -> impl Iterator<Item = (&'a str, &Arc<Queue>, i64)> {
        let queues = match self {
            Numbers::InnerBatch(_) => &[][..],
            Numbers::Light(queues) => &queues[..],
        };
        let placed = queues.iter().zip(offsets);
        placed.filter_map(|((name, queue), offset)| Some((*name, queue.as_ref()?, *offset)))
    }
}
