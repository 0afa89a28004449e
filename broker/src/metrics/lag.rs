//! How far consumer groups are behind (`ConsumerLagCalculator.java`).
//!
//! Of groups that are connected, every topic they subscribe to, without their retry topics. What a
//! filter drops is not estimated: a message counts until the group has passed it.

use runtime::clock::now_ms;

use super::family::{Families, Labels, label};
use super::is_system;
use crate::broker::Broker;
use crate::pop;
use crate::topics::{is_retry_topic, perm, pop_retry_topics};

/// How far a group is in one queue, or in all of a topic.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    /// Not consumed.
    messages: i64,
    /// Handed out, not consumed.
    inflight: i64,
    /// Not handed out.
    ready: i64,
    /// Store time of the first that is not consumed, and of the first that is not handed out.
    unconsumed_since: Option<i64>,
    unpulled_since: Option<i64>,
}

/// A group and a topic, or its retry topics.
struct Reader<'a> {
    group: &'a str,
    pops: bool,
}

/// Collects how far groups are; with `by_queue` in each queue, too.
pub(super) fn collect(broker: &Broker, families: &mut Families, by_queue: bool) {
    let mut all: Vec<(Labels, Lag)> = Vec::new();
    let mut queues: Vec<(Labels, Lag)> = Vec::new();
    for (group, pops, topics) in groups(broker) {
        let reader = Reader { group: &group, pops };
        for topic in topics {
            let mut add = |is_retry: bool, read: &[String]| {
                let labels = vec![
                    label("consumer_group", &group),
                    label("topic", &topic),
                    label("is_retry", is_retry.to_string()),
                    is_system(broker, &topic, Some(&group)),
                ];
                let mut sum = Lag::default();
                for (read, queue_id, lag) in reader.lags(broker, read) {
                    sum.add(lag);
                    if by_queue && !is_retry {
                        debug_assert_eq!(read, topic);
                        let queue = label("queue_id", queue_id.to_string());
                        queues.push((labels.iter().cloned().chain([queue]).collect(), lag));
                    }
                }
                all.push((labels, sum));
            };
            add(false, std::slice::from_ref(&topic));
            if pops {
                add(true, &pop_retry_topics(&group, &topic));
            }
        }
    }
    write(families, &all);
    if by_queue {
        let help = "Messages of a queue that are not consumed";
        let series = queues.into_iter().map(|(labels, lag)| (labels, lag.messages as f64));
        families.gauge(("raptormq_consumer_queue_lag_messages", ""), help, series);
    }
}

fn write(families: &mut Families, all: &[(Labels, Lag)]) {
    let now = now_ms();
    let age = |since: Option<i64>| since.map_or(0.0, |since| (now - since).max(0) as f64);
    let mut family = |name, help, value: &dyn Fn(&Lag) -> f64| {
        let series = all.iter().map(|(labels, lag)| (labels.clone(), value(lag)));
        families.gauge(name, help, series);
    };
    let name = ("rocketmq_consumer_lag_messages", "");
    family(name, "Messages not consumed", &|lag| lag.messages as f64);
    let name = ("rocketmq_consumer_lag_latency", "milliseconds");
    let help = "Age of the oldest message that is not consumed";
    family(name, help, &|lag| age(lag.unconsumed_since));
    let name = ("rocketmq_consumer_inflight_messages", "");
    family(name, "Messages handed out and not consumed", &|lag| lag.inflight as f64);
    let name = ("rocketmq_consumer_queueing_latency", "milliseconds");
    let help = "Age of the oldest message that is not handed out";
    family(name, help, &|lag| age(lag.unpulled_since));
    let name = ("rocketmq_consumer_ready_messages", "");
    family(name, "Messages not handed out", &|lag| lag.ready as f64);
}

/// The connected groups, whether they pop, and the topics that they may see.
fn groups(broker: &Broker) -> Vec<(String, bool, Vec<String>)> {
    let permission = broker.live().broker_permission;
    let seen = |topic: &str| {
        let facts = broker.topics.look(topic);
        facts.is_some_and(|facts| facts.perm & permission & perm::READ_WRITE != 0)
    };
    let mut groups = Vec::new();
    broker.consumers.each_group(|name, group| {
        let topics = group.topics().filter(|topic| !is_retry_topic(topic) && seen(topic));
        groups.push((name.to_owned(), group.pops(), topics.map(str::to_owned).collect()));
    });
    groups
}

impl Lag {
    fn add(&mut self, other: Lag) {
        let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        self.messages += other.messages;
        self.inflight += other.inflight;
        self.ready += other.ready;
        self.unconsumed_since = earlier(self.unconsumed_since, other.unconsumed_since);
        self.unpulled_since = earlier(self.unpulled_since, other.unpulled_since);
    }
}

impl Reader<'_> {
    /// How far it is in every queue of these topics.
    fn lags<'t>(&self, broker: &Broker, topics: &'t [String]) -> Vec<(&'t str, i32, Lag)> {
        let mut lags = Vec::new();
        for topic in topics {
            let queues = broker.topics.look(topic).map_or(0, |facts| facts.write_queues);
            for queue_id in 0..queues {
                lags.push((topic.as_str(), queue_id, self.lag(broker, topic, queue_id)));
            }
        }
        lags
    }

    /// Java quirk: a group without an offset is not behind, and where nobody has pulled yet
    /// nothing is ready.
    fn lag(&self, broker: &Broker, topic: &str, queue_id: i32) -> Lag {
        let Reader { group, pops } = *self;
        let end = broker.store.max_offset(topic, queue_id).max(0);
        let since = |offset: i64| {
            let time = broker.store.store_time(topic, queue_id, offset);
            Some(time).filter(|time| (0..end).contains(&offset) && *time > 0)
        };
        if pops {
            let next = pop::next_offset(broker, topic, group, queue_id).unwrap_or(end);
            let inflight = broker.pops.in_flight.count(topic, group, queue_id).max(0);
            let ready = (end - next).max(0);
            return Lag {
                messages: ready + inflight,
                inflight,
                ready,
                unconsumed_since: since(next - inflight),
                unpulled_since: since(next),
            };
        }
        let committed = broker.offsets.query(group, topic, queue_id).filter(|at| *at >= 0);
        let pulled = broker.offsets.query_pull(group, topic, queue_id).filter(|at| *at >= 0);
        let consumed = committed.unwrap_or(end);
        Lag {
            messages: (end - consumed).max(0),
            inflight: pulled.zip(committed).map_or(0, |(pulled, done)| (pulled - done).max(0)),
            ready: (end - pulled.unwrap_or(end)).max(0),
            unconsumed_since: since(consumed),
            unpulled_since: since(pulled.unwrap_or(0)),
        }
    }
}
