//! The queues of a topic on all brokers, as the name servers tell.
//!
//! A topic enters with the first question for it (400) and is looked at again at every interval,
//! so an answer is as old as that at most. While no name server answers, what is known stays;
//! a topic that no broker holds any more is forgotten, unless it is a retry topic.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use remoting::protocol::body::{MessageQueue, TopicRouteData};
use runtime::services::Stop;
use tracing::warn;

use crate::broker::Broker;
use crate::peers::Peers;
use crate::topics::{QUEUES_MAX, is_retry_topic, perm};

/// Pause before the first look at all topics, as in Java.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Queues to consume from, in the order of broker and number.
pub(crate) type TopicQueues = Arc<[MessageQueue]>;

/// The topics that were asked for.
#[derive(Default)]
pub(crate) struct Routes {
    queues: DashMap<String, TopicQueues>,
}

impl Routes {
    /// Returns the queues of a topic, if any are known.
    pub(crate) fn known(&self, topic: &str) -> Option<TopicQueues> {
        self.queues.get(topic).map(|queues| Arc::clone(&queues)).filter(|queues| !queues.is_empty())
    }

    /// Asks the name servers for a topic, and returns what is known then.
    pub(crate) async fn ask(&self, peers: &Peers, topic: &str) -> Option<TopicQueues> {
        match peers.route(topic).await {
            Ok(Some(route)) => {
                self.queues.insert(topic.to_owned(), queues_of(topic, &route));
            }
            Ok(None) if is_retry_topic(topic) => {}
            Ok(None) => {
                self.queues.remove(topic);
            }
            Err(error) => warn!(%error, topic, "no route from any name server"),
        }
        self.queues.get(topic).map(|queues| Arc::clone(&queues))
    }

    fn topics(&self) -> Vec<String> {
        self.queues.iter().map(|entry| entry.key().clone()).collect()
    }
}

/// Looks at all known topics at every interval, until the stop.
pub(crate) async fn refresh(broker: Arc<Broker>, stop: Stop) {
    let interval = broker.live().load_balance_poll_name_server_interval.max(1).unsigned_abs();
    let mut pause = FIRST_LOOK;
    while !stop.pause(pause).await {
        for topic in broker.routes.topics() {
            tokio::select! {
                () = stop.wait() => return,
                _ = broker.routes.ask(&broker.peers, &topic) => {}
            }
        }
        pause = Duration::from_millis(interval);
    }
}

/// The queues a route permits to read, sorted.
fn queues_of(topic: &str, route: &TopicRouteData) -> TopicQueues {
    let readable = route.queue_datas.iter().filter(|data| perm::readable(data.perm));
    let queues = readable.flat_map(|data| {
        // The count comes from the network.
        (0..data.read_queue_nums.min(QUEUES_MAX)).map(|queue_id| MessageQueue {
            broker_name: data.broker_name.clone(),
            queue_id,
            topic: topic.to_owned(),
        })
    });
    let mut queues: Vec<MessageQueue> = queues.collect();
    queues.sort_unstable();
    queues.dedup();
    queues.into()
}

#[cfg(test)]
mod tests {
    use remoting::protocol::body::QueueData;

    use super::*;

    #[test]
    fn only_readable_queues_count_and_numbers_are_bounded() {
        let data = |broker_name: &str, perm, read_queue_nums| QueueData {
            broker_name: broker_name.to_owned(),
            perm,
            read_queue_nums,
            ..QueueData::default()
        };
        let queue_datas = vec![data("b", 6, 2), data("a", 4, 1), data("c", 2, 3), data("a", 6, 1)];
        let route = TopicRouteData { queue_datas, ..TopicRouteData::default() };
        let queues = queues_of("T", &route);
        let names: Vec<(&str, i32)> =
            queues.iter().map(|queue| (queue.broker_name.as_str(), queue.queue_id)).collect();
        assert_eq!(names, [("a", 0), ("b", 0), ("b", 1)]);
        let queue_datas = vec![data("a", 6, i32::MAX), data("b", 6, -1)];
        let route = TopicRouteData { queue_datas, ..TopicRouteData::default() };
        assert_eq!(queues_of("T", &route).len(), 65_535);
    }
}
