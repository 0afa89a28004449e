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

/// Deletes consume queue files whose messages are gone.
pub(crate) fn expired_queues(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let work = |broker: &Broker| {
        broker.store.delete_expired_views();
        Ok(())
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}

/// Deletes log files over their time, whatever the hour.
pub(crate) fn expired_log(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let work = |broker: &Broker| {
        let files = retention::delete_expired(&broker.store, now_ms());
        tracing::info!(files, "expired log files deleted on request");
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
        Ok(())
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}
