//! What flows through topics, groups and the broker, for request 315 and the rates of groups.
//!
//! The hot path looks a [`Meter`] up by a text that it puts together in a buffer of its thread, and
//! allocates for the first message of a topic or group alone.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use remoting::protocol::body::BrokerStatsData;
use store::lookup::Lookup;
use store::{Got, Put};

use crate::broker::Broker;
use crate::meter::{Meter, WINDOWS};
use crate::metrics::{Handed, Kind, Revived, Sent, Way};
use crate::put::CountedFor;
use crate::stats::Totals;
use crate::topics::SCHEDULE_TOPIC;

/// Java's group for what is delivered after a delay level.
const SCHEDULE_GROUP: &str = "SCHEDULE_CONSUMER";

thread_local! {
    /// `topic@group`, reused.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What is stored in a topic.
#[derive(Default)]
struct TopicTraffic {
    messages: Meter,
    bytes: Meter,
    sent: Sent,
}

/// What a group does with a topic.
#[derive(Default)]
struct GroupTraffic {
    got: Meter,
    got_bytes: Meter,
    acked: Meter,
    hidden: Meter,
    sent_back: Meter,
    /// What metrics tell of it.
    handed: Handed,
    /// Messages that became dead letters.
    dead: AtomicU64,
    /// Of a group that pops.
    revived: OnceLock<Box<Revived>>,
}

/// What metrics tell of a group and a topic.
pub(crate) struct Told<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The group.
    pub group: &'a str,
    /// Messages handed out.
    pub handed: &'a Handed,
    /// Messages that became dead letters.
    pub dead: u64,
    /// Of a group that pops.
    pub revived: Option<&'a Revived>,
}

/// Messages and the bytes of their records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All that flows.
pub(crate) struct Traffic {
    cluster: String,
    topics: Lookup<Box<str>, Arc<TopicTraffic>>,
    /// By `topic@group`, as Java names them.
    groups: Lookup<Box<str>, Arc<GroupTraffic>>,
    put: Meter,
    got: Meter,
    acked: Meter,
    hidden: Meter,
    put_by_users: Meter,
    got_by_users: Meter,
    ticks: AtomicU64,
}

impl Traffic {
    /// Nothing yet, in a broker of this cluster.
    pub(crate) fn new(cluster: &str) -> Traffic {
        Traffic {
            cluster: cluster.to_owned(),
            topics: Lookup::default(),
            groups: Lookup::default(),
            put: Meter::default(),
            got: Meter::default(),
            acked: Meter::default(),
            hidden: Meter::default(),
            put_by_users: Meter::default(),
            got_by_users: Meter::default(),
            ticks: AtomicU64::new(0),
        }
    }

    /// Counts messages stored by one put, and the bytes of their records.
    pub(crate) fn put(
        &self,
        topic: &str,
        (system, counted): (bool, CountedFor),
        messages: u64,
        bytes: u64,
    ) {
        if counted == CountedFor::Nothing {
            return;
        }
        if counted == CountedFor::All {
            self.put.add_value(messages);
            if !system {
                self.put_by_users.add_value(messages);
            }
        }
        let topic = find_or_make(&self.topics, topic);
        topic.messages.add(messages);
        topic.bytes.add(bytes);
    }

    /// Counts messages that a sender had stored by one put, by their kind.
    pub(crate) fn sent(&self, topic: &str, kind: Kind, messages: u64, bytes: u64) {
        find_or_make(&self.topics, topic).sent.add(kind, messages, bytes);
    }

    /// Calls `see` with every topic and what was sent to it.
    pub(crate) fn each_topic(&self, mut see: impl FnMut(&str, &Sent)) {
        for topic in &self.topics {
            see(topic.key(), &topic.sent);
        }
    }

    /// Calls `see` with every topic and group that had to do with it.
    pub(crate) fn each_group(&self, mut see: impl FnMut(&Told<'_>)) {
        for traffic in &self.groups {
            if let Some((topic, group)) = traffic.key().split_once('@') {
                let GroupTraffic { handed, dead, revived, .. } = &**traffic;
                let dead = dead.load(Ordering::Relaxed);
                see(&Told { topic, group, handed, dead, revived: revived.get().map(|r| &**r) });
            }
        }
    }

    /// Counts messages that were handed out, for metrics: those of a retry topic under its origin.
    pub(crate) fn handed(&self, group: &str, topic: &str, way: Way, counted: Counted) {
        self.group(group, topic).handed.add(way, counted);
    }

    /// Counts a message of a topic that became a dead letter.
    pub(crate) fn dead(&self, group: &str, topic: &str) {
        self.group(group, topic).dead.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets `count` count what becomes of popped messages.
    pub(crate) fn revived(&self, group: &str, topic: &str, count: impl FnOnce(&Revived)) {
        count(self.group(group, topic).revived.get_or_init(Box::default));
    }

    /// Counts messages that a group got by one pull or pop; what was pulled is handed out, too.
    pub(crate) fn got(&self, group: &str, topic: &str, system: bool, way: Way, got: Counted) {
        let Counted { messages, bytes } = got;
        self.got.add_value(messages);
        if !system {
            self.got_by_users.add_value(messages);
        }
        let group = self.group(group, topic);
        group.got.add(messages);
        group.got_bytes.add(bytes);
        if way == Way::Pull {
            group.handed.add(way, got);
        }
    }

    /// Counts messages that a group of the system got, not as gets of the broker.
    fn got_inside(&self, group: &str, topic: &str, Counted { messages, bytes }: Counted) {
        let group = self.group(group, topic);
        group.got.add(messages);
        group.got_bytes.add(bytes);
    }

    /// What was stored and got since the start in topics that are not the system's.
    pub(crate) fn by_users(&self) -> Totals {
        Totals { put: self.put_by_users.value(), got: self.got_by_users.value() }
    }

    /// Counts popped messages that a group acknowledged.
    pub(crate) fn acked(&self, group: &str, topic: &str, messages: u64) {
        self.acked.add_value(messages);
        self.group(group, topic).acked.add(messages);
    }

    /// Counts a check point: messages hidden for a group.
    pub(crate) fn hidden(&self, group: &str, topic: &str) {
        self.hidden.add_value(1);
        self.group(group, topic).hidden.add(1);
    }

    /// Counts a message that a group sent back.
    pub(crate) fn sent_back(&self, group: &str, topic: &str) {
        self.group(group, topic).sent_back.add(1);
    }

    /// Messages a second that a group got of a topic in the last minute.
    pub(crate) fn got_rate(&self, group: &str, topic: &str) -> f64 {
        with_key(topic, group, |key| self.groups.get(key).map(|group| Arc::clone(&group)))
            .map_or(0.0, |group| group.got.windows()[0].tps)
    }

    /// Messages a second that were stored in a topic in the last minute.
    pub(crate) fn put_rate(&self, topic: &str) -> f64 {
        self.topics.get(topic).map_or(0.0, |topic| topic.messages.windows()[0].tps)
    }

    /// Forgets a topic and what groups did with it.
    pub(crate) fn topic_deleted(&self, topic: &str) {
        self.topics.remove(topic);
        self.groups.retain(|key, _| key.split_once('@').is_none_or(|(name, _)| name != topic));
    }

    /// Forgets what a group did.
    pub(crate) fn group_deleted(&self, group: &str) {
        self.groups.retain(|key, _| key.split_once('@').is_none_or(|(_, name)| name != group));
    }

    /// Takes samples that are due; called every second.
    pub(crate) fn tick(&self, now_ms: i64) {
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
        for (at, (period, _)) in WINDOWS.iter().enumerate() {
            if tick.is_multiple_of(*period) {
                self.each(|meter| meter.sample(at, now_ms));
            }
        }
    }

    fn each(&self, see: impl Fn(&Meter)) {
        for topic in &self.topics {
            [&topic.messages, &topic.bytes].into_iter().for_each(&see);
        }
        for group in &self.groups {
            let GroupTraffic { got, got_bytes, acked, hidden, sent_back, .. } = &**group.value();
            [got, got_bytes, acked, hidden, sent_back].into_iter().for_each(&see);
        }
        let Traffic { put, got, acked, hidden, put_by_users, got_by_users, .. } = self;
        [put, got, acked, hidden, put_by_users, got_by_users].into_iter().for_each(&see);
    }

    /// Java's statistics of this name and key; `None` if nothing was counted under them.
    pub(crate) fn find(&self, name: &str, key: &str) -> Option<BrokerStatsData> {
        let topic = || self.topics.get(key).map(|topic| Arc::clone(&topic));
        let group = || self.groups.get(key).map(|group| Arc::clone(&group));
        let broker = |meter: &Meter| (key == self.cluster).then(|| meter.stats()).flatten();
        match name {
            "TOPIC_PUT_NUMS" => topic()?.messages.stats(),
            "TOPIC_PUT_SIZE" => topic()?.bytes.stats(),
            "GROUP_GET_NUMS" => group()?.got.stats(),
            "GROUP_GET_SIZE" => group()?.got_bytes.stats(),
            "GROUP_ACK_NUMS" => group()?.acked.stats(),
            "GROUP_CK_NUMS" => group()?.hidden.stats(),
            "SNDBCK_PUT_NUMS" => group()?.sent_back.stats(),
            "BROKER_PUT_NUMS" => broker(&self.put),
            "BROKER_GET_NUMS" => broker(&self.got),
            "BROKER_ACK_NUMS" => broker(&self.acked),
            "BROKER_CK_NUMS" => broker(&self.hidden),
            "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => broker(&self.put_by_users),
            "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" => broker(&self.got_by_users),
            _ => None,
        }
    }

    fn group(&self, group: &str, topic: &str) -> Arc<GroupTraffic> {
        with_key(topic, group, |key| find_or_make(&self.groups, key))
    }
}

impl Broker {
    /// Counts what a group got by one look into a queue; `origin` is the topic whose messages a
    /// retry topic has.
    pub(crate) fn count_got(
        &self,
        group: &str,
        (topic, origin): (&str, &str),
        way: Way,
        got: &Got,
        took: Duration,
    ) {
        let messages = u64::try_from(got.count).unwrap_or(0);
        self.stats.got(messages, took);
        if messages == 0 {
            return;
        }
        let (system, bytes) = (self.topics.is_system(topic), got.bytes as u64);
        self.traffic.got(group, topic, system, way, Counted { messages, bytes });
        self.has_got(group, messages);
        if way != Way::Pull && self.measures.on {
            self.traffic.handed(group, origin, way, Counted { messages, bytes });
        }
    }
}

impl Broker {
    /// Counts a message with a delay level that was stored in its own topic, as Java does also
    /// where it is a retry topic.
    pub(crate) fn count_scheduled(&self, topic: &str, put: &Put, took: Duration) {
        let counted = self.count_due(topic, put, took);
        self.traffic.got_inside(SCHEDULE_GROUP, SCHEDULE_TOPIC, counted);
        if self.measures.on {
            self.traffic.handed(SCHEDULE_GROUP, SCHEDULE_TOPIC, Way::Pull, counted);
            self.traffic.sent(topic, Kind::Delay, 1, counted.bytes);
        }
    }

    /// Counts a message that had waited for its time and was stored in its own topic.
    pub(crate) fn count_due(&self, topic: &str, put: &Put, took: Duration) -> Counted {
        let bytes = (put.end - put.physical_offset).cast_unsigned();
        self.stats.put(true, 1, bytes, took);
        let system = self.topics.is_system(topic);
        self.traffic.put(topic, (system, CountedFor::All), 1, bytes);
        Counted { messages: 1, bytes }
    }

    /// Counts messages that a service of the broker read.
    pub(crate) fn count_read(&self, group: &str, topic: &str, counted: Counted, took: Duration) {
        self.stats.got(counted.messages, took);
        if counted.messages > 0 {
            let system = self.topics.is_system(topic);
            self.traffic.got(group, topic, system, Way::Pull, counted);
        }
    }
}

fn with_key<R>(topic: &str, group: &str, use_key: impl FnOnce(&str) -> R) -> R {
    KEY.with_borrow_mut(|key| {
        key.clear();
        key.push_str(topic);
        key.push('@');
        key.push_str(group);
        use_key(key)
    })
}

fn find_or_make<T: Default>(table: &Lookup<Box<str>, Arc<T>>, key: &str) -> Arc<T> {
    if let Some(found) = table.get(key) {
        return Arc::clone(&found);
    }
    Arc::clone(&table.entry(key.into()).or_default())
}

#[cfg(test)]
mod tests {
    use remoting::protocol::body::BrokerStatsItem;

    use super::*;

    const START: i64 = 1_700_000_000_000;

    fn run(traffic: &Traffic, from: i64, seconds: i64) {
        for second in from..from + seconds {
            traffic.tick(START + second * 1000);
        }
    }

    #[test]
    fn what_was_never_counted_does_not_exist() {
        let traffic = Traffic::new("c");
        traffic.put("T", (false, CountedFor::All), 1, 10);
        traffic.sent_back("g", "T");
        for (name, key) in [
            ("TOPIC_PUT_NUMS", "U"),
            ("GROUP_GET_NUMS", "T@g"),
            ("BROKER_GET_NUMS", "c"),
            ("BROKER_PUT_NUMS", "T"),
            ("NO_SUCH_NUMS", "T"),
        ] {
            assert_eq!(traffic.find(name, key), None, "{name} {key}");
        }
        assert_eq!(traffic.find("SNDBCK_PUT_NUMS", "T@g").unwrap().stats_minute.unwrap().sum, 0);
    }

    #[test]
    fn a_minute_is_six_steps_of_ten_seconds() {
        let traffic = Traffic::new("c");
        traffic.put("T", (false, CountedFor::All), 4, 1000);
        traffic.put("T", (false, CountedFor::All), 8, 2000);
        run(&traffic, 0, 1);
        let minute = |name, key| traffic.find(name, key).unwrap().stats_minute.unwrap();
        assert_eq!(
            minute("TOPIC_PUT_NUMS", "T"),
            BrokerStatsItem { sum: 12, tps: 1.2, avgpt: 6.0 }
        );
        assert_eq!(minute("TOPIC_PUT_SIZE", "T").avgpt, 1500.0);
        assert_eq!(
            minute("BROKER_PUT_NUMS", "c"),
            BrokerStatsItem { sum: 12, tps: 1.2, avgpt: 0.0 }
        );
        run(&traffic, 1, 60);
        assert_eq!(minute("TOPIC_PUT_NUMS", "T").sum, 0);
        let day = traffic.find("TOPIC_PUT_NUMS", "T").unwrap().stats_day.unwrap();
        assert_eq!((day.sum, day.tps), (12, 12.0 / 3600.0));
    }

    #[test]
    fn groups_have_their_own_meters_and_a_rate() {
        let traffic = Traffic::new("c");
        traffic.got("g", "T", true, Way::Pull, Counted { messages: 30, bytes: 900 });
        traffic.got("h", "T", false, Way::Pull, Counted { messages: 1, bytes: 9 });
        traffic.acked("g", "T", 2);
        traffic.hidden("g", "T");
        run(&traffic, 0, 1);
        assert_eq!(traffic.got_rate("g", "T"), 3.0);
        assert_eq!(traffic.got_rate("g", "U"), 0.0);
        let sum = |name, key| traffic.find(name, key).unwrap().stats_minute.unwrap().sum;
        assert_eq!(sum("GROUP_GET_SIZE", "T@g"), 900);
        assert_eq!(sum("GROUP_ACK_NUMS", "T@g"), 2);
        assert_eq!(sum("GROUP_CK_NUMS", "T@g"), 1);
        assert_eq!(sum("BROKER_GET_NUMS", "c"), 31);
        assert_eq!(sum("BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC", "c"), 1);
        traffic.group_deleted("g");
        assert_eq!(traffic.find("GROUP_GET_SIZE", "T@g"), None);
        traffic.topic_deleted("T");
        assert_eq!(traffic.find("GROUP_GET_SIZE", "T@h"), None);
    }
}
