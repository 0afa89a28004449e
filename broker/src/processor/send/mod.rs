//! Sending: requests 10, 310 and 320.
//!
//! A send under asynchronous flush runs to its end on the connection's thread: no spawn, no
//! channel and no allocation. Under synchronous flush only the wait for the disk is left behind.
//! The checks come in Java's order, because clients see which of several errors they get.

mod answer;
mod batch;
mod check;
mod reply;
mod stamp;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Responder;
use remoting::protocol::header::{SendMessageRequestHeader, SendMessageResponseHeader, Short};
use remoting::protocol::message::properties::property;
use remoting::protocol::message::recall::RecallHandle;
use remoting::protocol::message::{PropertiesBuf, sys_flag};
use runtime::clock::now_ms;
use smallvec::SmallVec;
use store::{GROUP_LEN, NewBatch, NewMessage, NewSend, Put, PutError};

pub(crate) use self::reply::{send_reply, send_reply_v2};

pub(super) use self::answer::flush_patience;
use self::answer::{Waits, answer, with_region, write_ids};
use self::batch::Shape;
use self::check::{check, dead_letter, queue_of};
use self::stamp::{Stamped, stamp};
use crate::admission::Unanswered;
use crate::broker::Broker;
use crate::call::Call;
use crate::dispatch::Together;
use crate::metrics::{self, Kind};
use crate::put::Due;
use crate::reject::Reject;
use crate::topics::{self, Facts};

/// Buffers of one send, reused by the next on this thread.
#[derive(Default)]
struct Scratch {
    properties: PropertiesBuf,
    texts: Texts,
}

/// Texts of an answer.
#[derive(Default)]
struct Texts {
    message_id: String,
    recall_handle: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Properties of the messages that came together, and the texts of one answer after the other.
    static TOGETHER: RefCell<(Vec<PropertiesBuf>, Texts)> = RefCell::default();
}

type Header<'a> = SendMessageRequestHeader<'a>;

/// Serves 10, whose header has long names, 310 and 320, whose header has one-letter names.
pub(crate) fn send(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    SCRATCH.with_borrow_mut(|Scratch { properties, texts }| {
        let checked = Checked::of(broker, call, properties)?;
        checked.store(broker, call, properties, texts, out)
    })
}

/// Serves requests that came together; plain messages and batches among them are stored together.
pub(crate) fn send_together(together: &mut Together<'_, '_>) {
    TOGETHER.with_borrow_mut(|(properties, texts)| {
        let broker = together.broker();
        let calls = together.calls.clone();
        properties.resize_with(calls.len().max(properties.len()), PropertiesBuf::default);
        let mut plain = SmallVec::<[_; GROUP_LEN]>::new();
        for (at, call) in calls.iter().enumerate() {
            match Checked::of(broker, call, &mut properties[at]) {
                Ok(checked) if checked.is_plain() => plain.push((at, checked)),
                checked => {
                    // In their order.
                    store_plain(together, &mut plain, properties, texts);
                    let properties = &properties[at];
                    together.answer(at, |out| checked?.store(broker, call, properties, texts, out));
                }
            }
        }
        store_plain(together, &mut plain, properties, texts);
    });
}

fn store_plain(
    together: &mut Together<'_, '_>,
    plain: &mut SmallVec<[(usize, Checked<'_>); GROUP_LEN]>,
    properties: &[PropertiesBuf],
    texts: &mut Texts,
) {
    let broker = together.broker();
    let sends: SmallVec<[NewSend<'_>; GROUP_LEN]> = plain
        .iter()
        .map(|(at, checked)| {
            let message = checked.message(broker, &together.calls[*at], &properties[*at]);
            match checked.shape {
                Shape::Batch => NewSend::Batch(NewBatch { message }),
                _ => NewSend::Message(message),
            }
        })
        .collect();
    let puts = broker.put_group(&sends);
    drop(sends);
    let mut to_flush = None;
    for ((at, checked), put) in plain.drain(..).zip(puts) {
        let properties = &properties[at];
        match checked.waits(broker, put) {
            Ok((put, Waits { to_flush: Some(end), to_save: None })) if together.may_keep(at) => {
                to_flush = to_flush.max(Some(end));
                together.keep(at, |out| checked.write(broker, &put, properties, texts, out));
            }
            put => together.answer(at, |out| checked.answer(broker, put, properties, texts, out)),
        }
    }
    if to_flush.is_some() {
        let broker = Arc::clone(broker);
        let waits = Waits { to_flush, to_save: None };
        together.give_kept(async move { waits.end(&broker).await });
    }
}

/// A send that may be stored, and what is known of it.
struct Checked<'a> {
    header: Header<'a>,
    facts: Facts,
    queue_id: i32,
    /// The dead-letter topic that it goes to instead.
    redirect: Option<String>,
    stamped: Stamped<'a>,
    due: Due,
    shape: Shape,
    place: Option<Unanswered>,
}

impl<'a> Checked<'a> {
    /// Looks through a send and writes the properties to store.
    fn of(
        broker: &Arc<Broker>,
        call: &Call<'a>,
        properties: &mut PropertiesBuf,
    ) -> Result<Checked<'a>, Reject> {
        let header = match RequestCode::from_i32(call.frame.code()) {
            Some(RequestCode::SendMessage) => call.header::<Header<'_>>()?,
            _ => call.header::<Short<Header<'_>>>()?.0,
        };
        let place = broker.admit()?;
        // Java quirk: an absent body is looked at before anything else and ends in an exception.
        if call.body().is_empty() {
            return Err(Reject::thrown("the message has no body"));
        }
        let checked = Checked::look(broker, call, header, place, properties);
        checked.map_err(|reject| with_region(broker, reject))
    }

    fn look(
        broker: &Broker,
        call: &Call<'a>,
        header: Header<'a>,
        place: Option<Unanswered>,
        properties: &mut PropertiesBuf,
    ) -> Result<Checked<'a>, Reject> {
        let facts = check(broker, &header)?;
        broker.may_send(call, header.topic, header.producer_group)?;
        let queue_id = queue_of(broker, &header, &facts)?;
        let redirect = dead_letter(broker, call, &header)?;
        let raw = header.properties.unwrap_or("");
        let stamped = stamp(broker, raw, !header.batch, redirect.is_some(), properties)?;
        refuse_unsupported(broker, &header, &facts, &stamped)?;
        let due = due(broker, &header, &stamped)?;
        let shape = Shape::of(broker, &header, &facts, &stamped, call.body())?;
        if let Shape::InnerBatch(count) = shape {
            properties.push(property::INNER_NUM, itoa::Buffer::new().format(count));
        }
        Ok(Checked { header, facts, queue_id, redirect, stamped, due, shape, place })
    }

    /// Whether it is a message, or a batch of such, that goes where it says, now.
    fn is_plain(&self) -> bool {
        matches!(self.shape, Shape::Single | Shape::Batch)
            && self.due == Due::Now
            && !self.stamped.is_half(&self.header)
    }

    fn topic(&self) -> &str {
        self.redirect.as_deref().unwrap_or(self.header.topic)
    }

    fn message<'m>(
        &'m self,
        broker: &Broker,
        call: &Call<'m>,
        properties: &'m PropertiesBuf,
    ) -> NewMessage<'m> {
        let header = &self.header;
        NewMessage {
            topic: self.topic(),
            queue_id: if self.redirect.is_some() { 0 } else { self.queue_id },
            flag: header.flag,
            sys_flag: header.sys_flag | self.shape.sys_flag() | self.facts.message_sys_flag(),
            born_timestamp: header.born_timestamp,
            born_host: born_host(call),
            store_host: broker.store_host(),
            reconsume_times: header.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            body: call.body(),
            properties: properties.as_str(),
        }
    }

    /// Stores it and answers; or leaves behind the wait for the disk.
    fn store(
        self,
        broker: &Arc<Broker>,
        call: &Call<'_>,
        properties: &PropertiesBuf,
        texts: &mut Texts,
        out: &mut Responder<'_>,
    ) -> Result<Outcome, Reject> {
        let message = self.message(broker, call, properties);
        let put = match self.shape {
            Shape::Single if self.stamped.is_half(&self.header) => broker.put_half(&message),
            Shape::Single => broker.put_due(&message, self.due),
            Shape::Batch => broker.put_batch_due(&NewBatch { message }, self.due),
            Shape::InnerBatch(count) => broker.put_inner_batch(&message, count, self.due),
        };
        let put = self.waits(broker, put);
        self.answer(broker, put, properties, texts, out)
    }

    /// Answers, or leaves behind the wait for the disk.
    fn answer(
        self,
        broker: &Arc<Broker>,
        put: Result<(Put, Waits), PutError>,
        properties: &PropertiesBuf,
        texts: &mut Texts,
        out: &mut Responder<'_>,
    ) -> Result<Outcome, Reject> {
        let (put, waits) = put.map_err(|error| with_region(broker, error.into()))?;
        let start = out.buffer().len();
        self.write(broker, &put, properties, texts, out);
        if waits == Waits::default() {
            return Ok(Outcome::Done);
        }
        let place = self.place.unwrap_or_else(|| broker.unanswered());
        Ok(waits.hold(broker, place, start, out))
    }

    /// What has to be on disk before it is answered.
    fn waits(&self, broker: &Broker, put: Result<Put, PutError>) -> Result<(Put, Waits), PutError> {
        let put = put?;
        let to_flush = (self.stamped.waits && !broker.store.durable(put.end)).then_some(put.end);
        Ok((put, Waits { to_flush, to_save: broker.topics.unsaved(self.topic()) }))
    }

    /// Counts what is stored, and writes the answer that it is.
    fn write(
        &self,
        broker: &Broker,
        put: &Put,
        properties: &PropertiesBuf,
        texts: &mut Texts,
        out: &mut Responder<'_>,
    ) {
        let (header, topic, shape) = (&self.header, self.topic(), self.shape);
        count(broker, header, &self.stamped, self.due, topic, put);
        broker.has_sent(header.topic, header.producer_group, put.ids.len().max(1) as u64);
        write_ids(broker, put, &mut texts.message_id);
        let unique = &properties.as_str()[self.stamped.unique_key.clone()];
        let unique = (!unique.is_empty()).then_some(unique);
        let key = unique.filter(|_| !header.batch && !topics::is_retry_topic(topic));
        write_recall_handle(broker, topic, self.due, key, &mut texts.recall_handle);
        let handle = texts.recall_handle.as_str();
        let sent = SendMessageResponseHeader {
            msg_id: &texts.message_id,
            queue_id: self.queue_id,
            queue_offset: put.queue_offset,
            transaction_id: unique,
            batch_uniq_id: unique.filter(|_| matches!(shape, Shape::InnerBatch(_))),
            recall_handle: (!handle.is_empty()).then_some(handle),
        };
        answer(broker, ResponseCode::Success, None, &sent, out);
    }
}

/// Counts what was sent, under the topic where it is stored, as Java does.
fn count(
    broker: &Broker,
    header: &Header<'_>,
    stamped: &Stamped<'_>,
    due: Due,
    topic: &str,
    put: &store::Put,
) {
    if !broker.measures.on {
        return;
    }
    let stored_in = match due {
        Due::Now if stamped.is_half(header) => topics::HALF_TOPIC,
        Due::Now => topic,
        Due::Level(_) => topics::SCHEDULE_TOPIC,
        Due::At(_) => topics::TIMER_TOPIC,
    };
    let kind = match due {
        _ if stamped.transactional => Kind::Transaction,
        _ if stamped.ordered => Kind::Fifo,
        Due::Now => Kind::Normal,
        Due::Level(_) | Due::At(_) => Kind::Delay,
    };
    if header.topic != topic {
        broker.traffic.dead(header.producer_group, header.topic);
    }
    if metrics::is_counted(stored_in) {
        let bytes = (put.end - put.physical_offset).cast_unsigned();
        broker.traffic.sent(stored_in, kind, put.ids.len().max(1) as u64, bytes);
    }
}

fn refuse_unsupported(
    broker: &Broker,
    header: &Header<'_>,
    facts: &Facts,
    stamped: &Stamped<'_>,
) -> Result<(), Reject> {
    let illegal = |remark: &'static str| Err(Reject::new(ResponseCode::MessageIllegal, remark));
    if facts.compacted && !stamped.has_keys {
        return illegal("a message of a compaction topic needs KEYS");
    }
    if header.batch {
        if topics::is_retry_topic(header.topic) {
            return illegal("a batch cannot be sent to a retry topic");
        }
        if stamped.timing.level() > 0 {
            return illegal("a batch cannot be delayed");
        }
    }
    if stamped.is_half(header) && broker.live().reject_transaction_message {
        let address = broker.store_host().ip();
        let remark = format!("the broker[{address}] sending transaction message is forbidden");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    Ok(())
}

/// Writes what the sender takes a timer message of this key back with; nothing for others.
fn write_recall_handle(
    broker: &Broker,
    topic: &str,
    due: Due,
    key: Option<&str>,
    out: &mut String,
) {
    out.clear();
    if let (Due::At(deliver_ms), Some(key)) = (due, key) {
        let timestamp = broker.timer_out_ms(deliver_ms) + 1;
        RecallHandle::append(topic, &broker.config.broker_name, timestamp, key, out);
    }
}

/// When the message is to be visible; what waits for its transaction waits for nothing else.
fn due(broker: &Broker, header: &Header<'_>, stamped: &Stamped<'_>) -> Result<Due, Reject> {
    if stamped.is_half(header) {
        return Ok(Due::Now);
    }
    match sys_flag::transaction(header.sys_flag) {
        sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK => Ok(Due::Now),
        _ => Ok(stamped.timing.due(broker, now_ms())?),
    }
}

/// The peer of the connection, also behind a proxy that announces another source.
pub(super) fn born_host(call: &Call<'_>) -> SocketAddr {
    call.peer.remote()
}
