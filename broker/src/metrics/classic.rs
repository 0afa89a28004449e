//! The names of the exporter for 4.x brokers (`rocketmq-exporter`), for boards that were made for
//! it: `?classic=1`. The labels of the cluster and of this broker are on every series anyway.
//!
//! Absent: `rocketmq_client_*`, which the exporter asks every client for.

use std::collections::BTreeMap;

use runtime::clock::now_ms;
use store::disk::DiskSpace;

use super::family::{Families, Labels, label};
use super::is_counted;
use crate::broker::Broker;
use crate::processor::admin::runtime_info;
use crate::topics::{DLQ_PREFIX, is_retry_topic};

/// Families of the runtime information with one number: name, key, and which word of its text.
const RUNTIME: [(&str, &str, usize); 47] = [
    ("rocketmq_brokeruntime_commitlog_disk_ratio", "commitLogDiskRatio", 0),
    ("rocketmq_brokeruntime_commitlog_maxoffset", "commitLogMaxOffset", 0),
    ("rocketmq_brokeruntime_commitlog_minoffset", "commitLogMinOffset", 0),
    ("rocketmq_brokeruntime_consumequeue_disk_ratio", "consumeQueueDiskRatio", 0),
    ("rocketmq_brokeruntime_dispatch_behind_bytes", "dispatchBehindBytes", 0),
    ("rocketmq_brokeruntime_dispatch_maxbuffer", "dispatchMaxBuffer", 0),
    ("rocketmq_brokeruntime_earliest_message_timestamp", "earliestMessageTimeStamp", 0),
    ("rocketmq_brokeruntime_getfound_tps10", "getFoundTps", 0),
    ("rocketmq_brokeruntime_getfound_tps60", "getFoundTps", 1),
    ("rocketmq_brokeruntime_getfound_tps600", "getFoundTps", 2),
    ("rocketmq_brokeruntime_getmessage_entire_time_max", "getMessageEntireTimeMax", 0),
    ("rocketmq_brokeruntime_getmiss_tps10", "getMissTps", 0),
    ("rocketmq_brokeruntime_getmiss_tps60", "getMissTps", 1),
    ("rocketmq_brokeruntime_getmiss_tps600", "getMissTps", 2),
    ("rocketmq_brokeruntime_gettotal_tps10", "getTotalTps", 0),
    ("rocketmq_brokeruntime_gettotal_tps60", "getTotalTps", 1),
    ("rocketmq_brokeruntime_gettotal_tps600", "getTotalTps", 2),
    ("rocketmq_brokeruntime_gettransfered_tps10", "getTransferredTps", 0),
    ("rocketmq_brokeruntime_gettransfered_tps60", "getTransferredTps", 1),
    ("rocketmq_brokeruntime_gettransfered_tps600", "getTransferredTps", 2),
    ("rocketmq_brokeruntime_msg_gettotal_today_now", "msgGetTotalTodayNow", 0),
    ("rocketmq_brokeruntime_msg_gettotal_todaymorning", "msgGetTotalTodayMorning", 0),
    ("rocketmq_brokeruntime_msg_gettotal_yesterdaymorning", "msgGetTotalYesterdayMorning", 0),
    ("rocketmq_brokeruntime_msg_put_total_today_now", "msgPutTotalTodayNow", 0),
    ("rocketmq_brokeruntime_msg_puttotal_todaymorning", "msgPutTotalTodayMorning", 0),
    ("rocketmq_brokeruntime_msg_puttotal_yesterdaymorning", "msgPutTotalYesterdayMorning", 0),
    ("rocketmq_brokeruntime_pagecache_lock_time_mills", "pageCacheLockTimeMills", 0),
    ("rocketmq_brokeruntime_pull_threadpoolqueue_capacity", "pullThreadPoolQueueCapacity", 0),
    (
        "rocketmq_brokeruntime_pull_threadpoolqueue_headwait_timemills",
        "pullThreadPoolQueueHeadWaitTimeMills",
        0,
    ),
    ("rocketmq_brokeruntime_pull_threadpoolqueue_size", "pullThreadPoolQueueSize", 0),
    ("rocketmq_brokeruntime_put_latency_99", "putLatency99", 0),
    ("rocketmq_brokeruntime_put_latency_999", "putLatency999", 0),
    ("rocketmq_brokeruntime_put_message_average_size", "putMessageAverageSize", 0),
    ("rocketmq_brokeruntime_put_message_size_total", "putMessageSizeTotal", 0),
    ("rocketmq_brokeruntime_put_tps10", "putTps", 0),
    ("rocketmq_brokeruntime_put_tps60", "putTps", 1),
    ("rocketmq_brokeruntime_put_tps600", "putTps", 2),
    ("rocketmq_brokeruntime_putmessage_entire_time_max", "putMessageEntireTimeMax", 0),
    ("rocketmq_brokeruntime_putmessage_times_total", "putMessageTimesTotal", 0),
    ("rocketmq_brokeruntime_query_threadpool_queue_capacity", "queryThreadPoolQueueCapacity", 0),
    (
        "rocketmq_brokeruntime_query_threadpoolqueue_headwait_timemills",
        "queryThreadPoolQueueHeadWaitTimeMills",
        0,
    ),
    ("rocketmq_brokeruntime_query_threadpoolqueue_size", "queryThreadPoolQueueSize", 0),
    (
        "rocketmq_brokeruntime_remain_transientstore_buffer_numbs",
        "remainTransientStoreBufferNumbs",
        0,
    ),
    ("rocketmq_brokeruntime_send_threadpool_queue_size", "sendThreadPoolQueueSize", 0),
    ("rocketmq_brokeruntime_send_threadpoolqueue_capacity", "sendThreadPoolQueueCapacity", 0),
    (
        "rocketmq_brokeruntime_send_threadpoolqueue_headwait_timemills",
        "sendThreadPoolQueueHeadWaitTimeMills",
        0,
    ),
    ("rocketmq_brokeruntime_start_accept_sendrequest_time", "startAcceptSendRequestTimeStamp", 0),
];

/// Families of put times, in the order of the runtime information.
const PUT_TIMES: [&str; 13] = [
    "rocketmq_brokeruntime_pmdt_0ms",
    "rocketmq_brokeruntime_pmdt_0to10ms",
    "rocketmq_brokeruntime_pmdt_10to50ms",
    "rocketmq_brokeruntime_pmdt_50to100ms",
    "rocketmq_brokeruntime_pmdt_100to200ms",
    "rocketmq_brokeruntime_pmdt_200to500ms",
    "rocketmq_brokeruntime_pmdt_500to1s",
    "rocketmq_brokeruntime_pmdt_1to2s",
    "rocketmq_brokeruntime_pmdt_2to3s",
    "rocketmq_brokeruntime_pmdt_3to4s",
    "rocketmq_brokeruntime_pmdt_4to5s",
    "rocketmq_brokeruntime_pmdt_5to10s",
    "rocketmq_brokeruntime_pmdt_10stomore",
];

const HELP: &str = "As rocketmq-exporter defines it";

/// Collects what the exporter would.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    runtime(broker, families);
    topics(broker, families);
    groups(broker, families);
    lag(broker, families);
}

fn runtime(broker: &Broker, families: &mut Families) {
    let table = runtime_info::table(broker);
    let text = |key: &str| table.get(key).map_or("", String::as_str);
    let labels = || {
        vec![
            label("brokerIP", broker.store_host().to_string()),
            label("brokerHost", broker.config.broker_name.as_str()),
            label("des", text("brokerVersionDesc")),
            label("boottime", text("bootTimestamp")),
            label("broker_version", text("brokerVersion")),
        ]
    };
    let mut one = |name, value: f64| families.gauge((name, ""), HELP, [(labels(), value)]);
    for (name, key, word) in RUNTIME {
        // A rate that has no time yet is empty, and counts as 0 for the exporter.
        let number = text(key).split(' ').nth(word).and_then(|word| word.parse().ok());
        one(name, number.unwrap_or(0.0));
    }
    let counts = text("putMessageDistributeTime").split_whitespace();
    let mut counts = counts.map(|pair| pair.rsplit(':').next().and_then(|n| n.parse().ok()));
    for name in PUT_TIMES {
        one(name, counts.next().flatten().unwrap_or(0.0));
    }
    let behind = broker.store.max_physical_offset() - broker.store.flushed_offset();
    one("rocketmq_brokeruntime_remain_howmanydata_toflush", behind as f64);
    if let Ok(space) = DiskSpace::of(broker.store.config().root()) {
        let total = (space.used + space.usable) as f64;
        one("rocketmq_brokeruntime_commitlogdir_capacity_total", total);
        one("rocketmq_brokeruntime_commitlogdir_capacity_free", space.usable as f64);
    }
    let rate = |name| {
        let found = broker.traffic.find(name, &broker.config.broker_cluster_name);
        found.and_then(|data| data.stats_minute).map_or(0.0, |minute| minute.tps)
    };
    let own = || {
        vec![
            label("brokerIP", broker.store_host().to_string()),
            label("broker", broker.config.broker_name.as_str()),
        ]
    };
    let tps = [(own(), rate("BROKER_PUT_NUMS"))];
    families.gauge(("rocketmq_broker_tps", ""), HELP, tps);
    let qps = [(own(), rate("BROKER_GET_NUMS"))];
    families.gauge(("rocketmq_broker_qps", ""), HELP, qps);
}

fn of_topic(broker: &Broker, topic: &str) -> Labels {
    vec![label("broker", broker.config.broker_name.as_str()), label("topic", topic)]
}

fn topics(broker: &Broker, families: &mut Families) {
    let mut names: Vec<String> =
        broker.topics.all().iter().map(|config| config.topic_name.clone()).collect();
    names.sort_unstable();
    let end = |topic: &str| {
        let queues = broker.topics.look(topic).map_or(0, |facts| facts.write_queues);
        let ends = (0..queues).map(|queue_id| broker.store.max_offset(topic, queue_id).max(0));
        ends.sum::<i64>() as f64
    };
    let of = |wanted: fn(&str) -> bool| {
        let names = names.iter().filter(move |topic| wanted(topic));
        names.map(|topic| (topic.as_str(), end(topic)))
    };
    let plain = of(is_counted).map(|(topic, end)| (of_topic(broker, topic), end));
    families.gauge(("rocketmq_producer_offset", ""), HELP, plain);
    let retry = of(is_retry_topic).map(|(topic, end)| (of_topic(broker, topic), end));
    families.gauge(("rocketmq_topic_retry_offset", ""), HELP, retry);
    let dead = of(|topic| topic.starts_with(DLQ_PREFIX)).map(|(topic, end)| {
        let group = topic.trim_start_matches(DLQ_PREFIX);
        let broker = label("broker", broker.config.broker_name.as_str());
        (vec![broker, label("group", group)], end)
    });
    families.gauge(("rocketmq_topic_dlq_offset", ""), HELP, dead);
    let rates = |statistic: &'static str| {
        names.iter().filter_map(move |topic| {
            let minute = broker.traffic.find(statistic, topic)?.stats_minute?;
            Some((of_topic(broker, topic), minute.tps))
        })
    };
    families.gauge(("rocketmq_producer_tps", ""), HELP, rates("TOPIC_PUT_NUMS"));
    families.gauge(("rocketmq_producer_message_size", ""), HELP, rates("TOPIC_PUT_SIZE"));
}

fn of_group(broker: &Broker, topic: &str, group: &str) -> Labels {
    of_topic(broker, topic).into_iter().chain([label("group", group)]).collect()
}

fn groups(broker: &Broker, families: &mut Families) {
    let producers = broker.producers.all().into_iter().map(|(group, clients)| {
        let broker = label("broker", broker.config.broker_name.as_str());
        (vec![broker, label("group", group)], clients.len() as f64)
    });
    families.gauge(("rocketmq_producer_count", ""), HELP, producers);
    let mut consumers = Vec::new();
    broker.consumers.each_group(|name, group| {
        let connections = group.connections().connection_set;
        let list = |of: &dyn Fn(&remoting::protocol::body::Connection) -> String| {
            connections.iter().map(of).collect::<Vec<_>>().join(",")
        };
        let labels = vec![
            label("caddr", list(&|connection| connection.client_addr.clone())),
            label("localaddr", list(&|connection| connection.client_id.clone())),
            label("group", name),
        ];
        consumers.push((labels, connections.len() as f64));
    });
    families.gauge(("rocketmq_group_count", ""), HELP, consumers);
    for (name, statistic) in [
        ("rocketmq_consumer_tps", "GROUP_GET_NUMS"),
        ("rocketmq_consumer_message_size", "GROUP_GET_SIZE"),
        ("rocketmq_send_back_nums", "SNDBCK_PUT_NUMS"),
    ] {
        let mut series = Vec::new();
        broker.traffic.each_group(|told| {
            let key = format!("{}@{}", told.topic, told.group);
            series.push((of_group(broker, told.topic, told.group), key));
        });
        let series = series.into_iter().filter_map(|(labels, key)| {
            Some((labels, broker.traffic.find(statistic, &key)?.stats_minute?.tps))
        });
        families.gauge((name, ""), HELP, series);
    }
}

/// How far groups are in the topics that they have offsets on.
fn lag(broker: &Broker, families: &mut Families) {
    let mut diffs: BTreeMap<&str, Vec<(Labels, f64)>> = BTreeMap::new();
    let (mut offsets, mut latencies) = (Vec::new(), Vec::new());
    for group in broker.groups.names() {
        let (online, model) = broker
            .consumers
            .with_group(&group, |members| (members.members().count(), members.broadcasts()))
            .unwrap_or((0, false));
        for topic in broker.offsets.topics_of(&group) {
            let behind = behind(broker, &group, &topic);
            offsets.push((of_group(broker, &topic, &group), behind.consumed as f64));
            if model {
                continue;
            }
            latencies.push((of_group(broker, &topic, &group), behind.latency_ms as f64));
            let name = match topic.as_str() {
                topic if is_retry_topic(topic) => "rocketmq_group_retrydiff",
                topic if topic.starts_with(DLQ_PREFIX) => "rocketmq_group_dlqdiff",
                _ => "rocketmq_group_diff",
            };
            let labels = vec![
                label("group", group.as_str()),
                label("topic", topic.as_str()),
                label("countOfOnlineConsumers", online.to_string()),
                label("msgModel", "1"),
            ];
            diffs.entry(name).or_default().push((labels, behind.messages as f64));
        }
    }
    for name in ["rocketmq_group_diff", "rocketmq_group_retrydiff", "rocketmq_group_dlqdiff"] {
        families.gauge((name, ""), HELP, diffs.remove(name).unwrap_or_default());
    }
    families.gauge(("rocketmq_consumer_offset", ""), HELP, offsets);
    families.gauge(("rocketmq_group_get_latency_by_storetime", ""), HELP, latencies);
}

/// How far a group is in a topic.
#[derive(Default)]
struct Behind {
    consumed: i64,
    messages: i64,
    latency_ms: i64,
}

fn behind(broker: &Broker, group: &str, topic: &str) -> Behind {
    let queues = broker.topics.look(topic).map_or(0, |facts| facts.read_queues);
    (0..queues).fold(Behind::default(), |sum, queue_id| {
        let consumed = broker.offsets.query(group, topic, queue_id).unwrap_or(0).max(0);
        let end = broker.store.max_offset(topic, queue_id).max(0);
        let time =
            if consumed < end { broker.store.store_time(topic, queue_id, consumed) } else { 0 };
        let latency_ms = if time > 0 { now_ms() - time } else { 0 };
        Behind {
            consumed: sum.consumed + consumed,
            messages: sum.messages + (end - consumed).max(0),
            latency_ms: sum.latency_ms.max(latency_ms),
        }
    })
}
