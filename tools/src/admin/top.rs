//! `mqadmin top`: brokers, topics and groups with their rates, again and again.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::{Body, ConsumeStatsList, MessageQueue, OffsetWrapper};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::GetConsumeStatsInBrokerHeader;
use serde::Serialize;

use super::client::Admin;
use super::cluster::Asked;
use super::output::Out;
use super::table::table;

/// Moves to the first cell and clears the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// How long the figures of all groups of a broker may take.
const STATS_TIMEOUT: Duration = Duration::from_secs(50);

/// Shows brokers, and the groups with the most to consume, again and again.
#[derive(Args, Debug)]
pub struct Top {
    /// Only this cluster.
    #[arg(short, long = "clusterName")]
    cluster: Option<String>,
    /// Seconds between two looks.
    #[arg(short, long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Looks once, over one interval, and ends.
    #[arg(long)]
    once: bool,
    /// Most groups to show.
    #[arg(long, default_value_t = 20)]
    groups: usize,
}

/// Where every group is in every queue.
type Offsets = BTreeMap<(String, MessageQueue), OffsetWrapper>;

impl Top {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let interval = Duration::from_secs(self.interval);
        let clears = !self.once && stdout().is_terminal();
        let mut before = offsets(admin, &admin.brokers(self.cluster.as_deref()).await?).await;
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(interval).await;
            let brokers = admin.brokers(self.cluster.as_deref()).await?;
            let now = offsets(admin, &brokers).await;
            let passed = since.elapsed();
            since = Instant::now();
            let mut view = View {
                brokers: brokers.iter().map(Broker::of).collect(),
                groups: groups(&before, &now, passed),
            };
            view.groups.truncate(self.groups);
            out.text(if clears { CLEAR } else { "" })?;
            out.item(&view)?;
            if self.once {
                return Ok(());
            }
            before = now;
        }
    }
}

/// Asks every master where the groups are; who does not answer is left out.
async fn offsets(admin: &Admin, brokers: &[Asked]) -> Offsets {
    let mut all = Offsets::new();
    for broker in brokers.iter().filter(|broker| broker.id == 0 && broker.error.is_none()) {
        let header = GetConsumeStatsInBrokerHeader { is_order: false };
        let code = RequestCode::GetBrokerConsumeStats;
        let asked = admin.ask_within(&broker.address, code, &header, &[], STATS_TIMEOUT).await;
        let Ok(frame) = asked else { continue };
        let Ok(list) = ConsumeStatsList::decode(frame.body()) else { continue };
        for (group, stats) in list.consume_stats_list.into_iter().flatten() {
            let queues = stats.into_iter().flat_map(|stats| stats.offset_table);
            all.extend(queues.map(|(queue, at)| ((group.clone(), queue), at)));
        }
    }
    all
}

/// What is seen at one look.
#[derive(Serialize)]
struct View {
    brokers: Vec<Broker>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Broker {
    cluster: String,
    name: String,
    id: i64,
    address: String,
    in_tps: f64,
    out_tps: f64,
    send_wait_ms: i64,
    disk_ratio: f64,
    error: Option<String>,
}

impl Broker {
    fn of(asked: &Asked) -> Self {
        let ratio = asked.table.get("commitLogDiskRatio").and_then(|ratio| ratio.parse().ok());
        Self {
            cluster: asked.cluster.clone(),
            name: asked.broker.clone(),
            id: asked.id,
            address: asked.address.clone(),
            in_tps: asked.rate("putTps"),
            out_tps: asked.rate("getTransferredTps"),
            send_wait_ms: asked.number("sendThreadPoolQueueHeadWaitTimeMills"),
            disk_ratio: ratio.unwrap_or_default(),
            error: asked.error.clone(),
        }
    }
}

/// A group on a topic.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group: String,
    topic: String,
    diff: i64,
    inflight: i64,
    in_per_second: f64,
    out_per_second: f64,
}

/// The groups with their rates between two looks, the one with the most to consume first.
fn groups(before: &Offsets, now: &Offsets, passed: Duration) -> Vec<Group> {
    let mut all: BTreeMap<(&str, &str), Group> = BTreeMap::new();
    for (key @ (group, queue), at) in now {
        let row = all.entry((group, &queue.topic)).or_insert_with(|| Group {
            group: group.clone(),
            topic: queue.topic.clone(),
            diff: 0,
            inflight: 0,
            in_per_second: 0.0,
            out_per_second: 0.0,
        });
        row.diff += at.broker_offset - at.consumer_offset;
        row.inflight += at.pull_offset - at.consumer_offset;
        if let Some(then) = before.get(key) {
            row.in_per_second += (at.broker_offset - then.broker_offset) as f64;
            row.out_per_second += (at.consumer_offset - then.consumer_offset) as f64;
        }
    }
    let mut rows: Vec<Group> = all.into_values().collect();
    for row in &mut rows {
        row.in_per_second /= passed.as_secs_f64();
        row.out_per_second /= passed.as_secs_f64();
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.diff));
    rows
}

impl Display for View {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let brokers = self.brokers.iter().map(|broker| {
            [
                broker.cluster.clone(),
                broker.name.clone(),
                broker.id.to_string(),
                broker.address.clone(),
                format!("{:.1}", broker.in_tps),
                format!("{:.1}", broker.out_tps),
                broker.send_wait_ms.to_string(),
                format!("{:.0} %", broker.disk_ratio * 100.0),
                broker.error.clone().unwrap_or_default(),
            ]
        });
        let heads = ["Cluster", "Broker", "Id", "Address", "In/s", "Out/s", "Wait ms", "Disk", ""];
        writeln!(f, "{}", table(&heads, brokers))?;
        let groups = self.groups.iter().map(|group| {
            [
                group.group.clone(),
                group.topic.clone(),
                group.diff.to_string(),
                group.inflight.to_string(),
                format!("{:.1}", group.in_per_second),
                format!("{:.1}", group.out_per_second),
            ]
        });
        let heads = ["Group", "Topic", "To consume", "In flight", "In/s", "Out/s"];
        writeln!(f, "{}", table(&heads, groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let look = |broker_offset, consumer_offset| {
            let queue = MessageQueue { broker_name: "b".into(), queue_id: 0, topic: "T".into() };
            let at = OffsetWrapper {
                broker_offset,
                consumer_offset,
                pull_offset: consumer_offset + 1,
                last_timestamp: 0,
            };
            Offsets::from([(("g".to_owned(), queue), at)])
        };
        let rows = groups(&look(10, 4), &look(30, 8), Duration::from_secs(2));
        assert_eq!((rows[0].diff, rows[0].inflight), (22, 1));
        assert_eq!((rows[0].in_per_second, rows[0].out_per_second), (10.0, 2.0));
    }
}
