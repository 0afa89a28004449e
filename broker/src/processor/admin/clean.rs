//! Deleting now what goes by itself later: requests 306, 316, 329.

use std::collections::BTreeSet;
use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use runtime::clock::now_ms;
use store::light::is_light;
use store::retention;

use super::after_disk_work;
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Deletes queues whose messages are gone.
///
/// Java deletes all of them, and their offsets start at 0 again. A group that has an offset there
/// would pass over what comes next, so such a queue keeps its last file.
pub(crate) fn expired_queues(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let work = |broker: &Broker| {
        broker.store.delete_expired_views();
        let consumed = broker.offsets.places();
        let kept = |topic: &str, queue_id: i32| {
            let system = broker.topics.is_system(topic) || is_light(topic);
            system || consumed.contains(&(topic.to_owned(), queue_id))
        };
        let deleted = broker.store.delete_dead_queues(&kept);
        deleted.map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?;
        Ok(())
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}

/// Deletes log files over their time, whatever the hour: one batch now, more in the next rounds.
pub(crate) fn expired_log(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let work = |broker: &Broker| {
        let cleaned = retention::clean_on_request(&broker.store, now_ms());
        tracing::info!(files = cleaned.files, "expired log files deleted on request");
        Ok(())
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}

/// Deletes the queues of topics that are no topics any more.
pub(crate) fn unused_topics(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let work = |broker: &Broker| {
        let queues = broker.store.queues().all();
        let unused = |topic: &str| {
            let known = broker.topics.look(topic).is_some() || broker.topics.is_system(topic);
            !known && !is_light(topic)
        };
        let topics: BTreeSet<&str> = queues
            .iter()
            .map(|queue| queue.topic().as_ref())
            .filter(|topic| unused(topic))
            .collect();
        for topic in topics {
            let deleted = broker.store.delete_topic(topic);
            deleted.map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))?;
            tracing::info!(topic, "queues of an unused topic deleted");
        }
        let deleted = broker.store.queues().delete_empty_directories(&unused);
        deleted.map_err(|error| Reject::new(ResponseCode::SystemError, error.to_string()))
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}
