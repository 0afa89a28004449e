//! The copies of popped messages in retry topics.
//!
//! A copy has what the message had, one more try counted, the time of its first pop noted, and
//! this broker as its sender. The retry topic comes into being with its first copy, and the group
//! begins with that copy. What cannot be read or stored now gets a check point of its own.

use std::borrow::Cow;
use std::cell::RefCell;

use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::{Record, records};
use remoting::protocol::message::{Properties, PropertiesBuf};
use store::{GetRequest, GetStatus, LogSlice, NewMessage, PutError};

use crate::broker::Broker;
use crate::pop::{CheckPoint, journal};
use crate::put::PutStatus;
use crate::topics::{PopRetry, group_of_retry_topic, is_retry_topic, perm, pop_retry_topic};

thread_local! {
    /// Properties of the copy, reused.
    static COPIED: RefCell<PropertiesBuf> = RefCell::new(PropertiesBuf::new());
}

/// What became of a check point that was due.
pub(super) enum Revived {
    /// Its messages are stored again, gone, or will be tried again; all in the log up to `end`.
    Done {
        /// Log position behind the last record.
        end: i64,
    },
    /// The log takes nothing now; what is left of it has to wait.
    Refused(Box<CheckPoint<'static>>),
}

/// Stores the messages of a check point that nobody acknowledged again.
pub(super) fn revive(
    broker: &Broker,
    mut point: CheckPoint<'static>,
    revive_queue: i32,
    now_ms: i64,
) -> Revived {
    let mut end = 0;
    if !wanted(broker, &point) {
        return Revived::Done { end };
    }
    let open: Vec<i64> = point.open().collect();
    for offset in open {
        let stored = match copy(broker, &point, offset) {
            Copied::Stored(stored) => stored,
            Copied::Gone => 0,
            Copied::Failed => match try_again_later(broker, &point, offset, revive_queue, now_ms) {
                Some(stored) => stored,
                None => return Revived::Refused(Box::new(point)),
            },
        };
        point.ack(offset);
        end = stored.max(end);
    }
    Revived::Done { end }
}

/// Whether topic and group of a check point are still there.
fn wanted(broker: &Broker, point: &CheckPoint<'_>) -> bool {
    let topic = normal_topic(&point.topic, &point.group);
    broker.topics.look(topic).is_some() && broker.groups.contains(&point.group)
}

/// The topic whose messages return to a retry topic of the group; any other topic is itself.
fn normal_topic<'a>(topic: &'a str, group: &str) -> &'a str {
    let returned = group_of_retry_topic(topic).and_then(|rest| rest.strip_prefix(group));
    let normal = returned.and_then(|rest| rest.strip_prefix(['_', '+']));
    normal.filter(|name| !name.is_empty()).unwrap_or(topic)
}

enum Copied {
    Stored(i64),
    Gone,
    Failed,
}

fn copy(broker: &Broker, point: &CheckPoint<'_>, offset: i64) -> Copied {
    let own = &broker.config.broker_name;
    if point.broker_name.as_ref().is_some_and(|name| !name.trim().is_empty() && name != own) {
        tracing::warn!(broker = ?point.broker_name, offset, "popped from a broker not known here");
        return Copied::Failed;
    }
    let slice = match read(broker, point, offset) {
        Ok(Some(slice)) => slice,
        Ok(None) => return Copied::Gone,
        Err(status) => {
            tracing::warn!(?status, topic = %point.topic, offset, "a popped message is not read");
            return Copied::Failed;
        }
    };
    let Some(Ok(record)) = records(slice.as_ref()).next() else {
        tracing::error!(topic = %point.topic, offset, "a popped message is damaged, given up");
        return Copied::Gone;
    };
    match store(broker, point, &record) {
        Ok(end) => {
            let (topic, group) = (&point.topic, &point.group);
            broker.pops.in_flight.done(topic, group, point.queue_id, 1, point.pop_time);
            Copied::Stored(end)
        }
        Err(error) => {
            tracing::warn!(%error, topic = %point.topic, offset, "a popped message waits");
            Copied::Failed
        }
    }
}

/// Reads a popped message; none when it is no longer there.
fn read(
    broker: &Broker,
    point: &CheckPoint<'_>,
    offset: i64,
) -> Result<Option<LogSlice>, GetStatus> {
    let request = GetRequest {
        topic: &point.topic,
        queue_id: point.queue_id,
        queue_offset: offset,
        count_max: 1,
        bytes_max: 1,
    };
    let mut got = broker.store.get(&request, &|_| true);
    match got.status {
        GetStatus::Found => Ok(got.slices.drain(..).next()),
        GetStatus::OffsetFoundNull => Err(got.status),
        _ => Ok(None),
    }
}

fn store(broker: &Broker, point: &CheckPoint<'_>, record: &Record<'_>) -> Result<i64, PutError> {
    let version = match broker.config.enable_retry_topic_v2 {
        true => PopRetry::V2,
        false => PopRetry::V1,
    };
    let topic = match is_retry_topic(&point.topic) {
        true => Cow::Borrowed(point.topic.as_ref()),
        false => Cow::Owned(pop_retry_topic(&point.group, &point.topic, version)),
    };
    let host = broker.store_host();
    COPIED.with_borrow_mut(|properties| {
        note_first_pop(record, point.pop_time, properties);
        make_retry_topic(broker, &topic, &point.group);
        let put = broker.put(&NewMessage {
            born_host: host,
            store_host: host,
            reconsume_times: record.reconsume_times.saturating_add(1),
            ..NewMessage::copy_of(record, &topic, 0, properties.as_str())
        });
        if broker.measures.on {
            let status = put.as_ref().map_or_else(PutStatus::of, |_| PutStatus::Ok);
            broker.traffic.revived(&point.group, &point.topic, |revived| revived.retried(status));
        }
        Ok(put?.end)
    })
}

/// Copies the properties, with the time of the first pop of all.
fn note_first_pop(record: &Record<'_>, pop_time: i64, out: &mut PropertiesBuf) {
    let mut digits = itoa::Buffer::new();
    let pairs = || Properties::new(record.properties).into_iter();
    let known = pairs().any(|(name, _)| name == property::FIRST_POP_TIME);
    let set = record.reconsume_times == 0 || !known;
    out.clear();
    for (name, value) in pairs().filter(|(name, _)| !set || *name != property::FIRST_POP_TIME) {
        out.push(name, value);
    }
    if set {
        out.push(property::FIRST_POP_TIME, digits.format(pop_time));
    }
}

fn make_retry_topic(broker: &Broker, topic: &str, group: &str) {
    if broker.topics.look(topic).is_some() {
        return;
    }
    broker.topics.find_or_create_plain(topic, 1, perm::READ_WRITE, 0, false);
    if broker.offsets.query(group, topic, 0).is_none() {
        broker.offsets.commit(group, topic, 0, 0, runtime::clock::now_ms());
    }
}

/// Writes a check point for one message; returns where it ends, or none if the log refuses it too.
fn try_again_later(
    broker: &Broker,
    point: &CheckPoint<'_>,
    offset: i64,
    revive_queue: i32,
    now_ms: i64,
) -> Option<i64> {
    if point.tried_enough() && broker.live().skip_when_ck_re_put_reach_max_times {
        tracing::warn!(topic = %point.topic, group = %point.group, offset, "given up");
        return Some(0);
    }
    let again = point.for_another_try(offset, now_ms);
    match journal::put_check_point(broker, &again, revive_queue) {
        Ok(put) => Some(put.end),
        Err(error) => {
            tracing::error!(%error, topic = %point.topic, offset, "a check point is not written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_behind_a_retry_topic_is_found() {
        for (topic, normal) in [
            ("%RETRY%g_T", "T"),
            ("%RETRY%g+T_1", "T_1"),
            ("%RETRY%g_1_T", "1_T"),
            ("%RETRY%g", "%RETRY%g"),
            ("%RETRY%g_", "%RETRY%g_"),
            ("%RETRY%other_T", "%RETRY%other_T"),
            ("T", "T"),
        ] {
            assert_eq!(normal_topic(topic, "g"), normal, "{topic}");
        }
        assert_eq!(normal_topic("%RETRY%g_1", "g"), "1");
    }
}
