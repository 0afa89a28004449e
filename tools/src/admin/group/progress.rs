//! `consumerProgress`: how far groups are.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use clap::{ArgAction, Args};
use remoting::protocol::body::{ConsumeStats, ConsumeType, ConsumerConnection, MessageQueue};
use remoting::protocol::code::version_name;
use serde::Serialize;

use crate::admin::client::{Admin, total_diff};
use crate::admin::java;
use crate::admin::output::Out;

/// Shows how far a group is in each queue, or how far all groups are.
#[derive(Args, Debug)]
pub struct ConsumerProgress {
    /// Name of the group; all without it.
    #[arg(short, long = "groupName")]
    group: Option<String>,
    /// Only this topic.
    #[arg(short, long = "topicName")]
    topic: Option<String>,
    /// With the address of the member that has each queue (true or false).
    #[arg(short, long = "showClientIP", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    show_client_ip: bool,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl ConsumerProgress {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Some(group) = &self.group else {
            let mut all = Vec::new();
            for group in retry_groups(admin).await? {
                all.push(Summary::of(admin, group).await);
            }
            return out.print(&Summaries(all));
        };
        let cluster = self.cluster.as_deref();
        let stats = admin.consume_stats(group, self.topic.as_deref(), cluster).await?;
        let owners = match self.show_client_ip {
            true => Some(owners(admin, group).await),
            false => None,
        };
        out.print(&Progress::of(stats, owners))
    }
}

/// The groups that have a retry topic, in the order of the topics in Java's list.
async fn retry_groups(admin: &Admin) -> Result<Vec<String>> {
    let mut topics = admin.topic_names().await?;
    java::hash_order(&mut topics, java::CAPACITY, |topic| topic);
    let groups = topics.iter().filter_map(|topic| topic.strip_prefix("%RETRY%"));
    // The retry topic of a popped topic holds both names, joined by `+`.
    Ok(groups.map(|group| group.split('+').next().unwrap_or(group).to_owned()).collect())
}

/// The address of the member that has each queue; who does not answer has none.
async fn owners(admin: &Admin, group: &str) -> BTreeMap<MessageQueue, String> {
    let mut owners = BTreeMap::new();
    let Ok(members) = admin.consumer_connection(group, None).await else { return owners };
    for member in members.connection_set {
        let id = member.client_id;
        let Ok(info) = admin.running_info(group, &id, false).await else { continue };
        let ip = id.split('@').next().unwrap_or_default().to_owned();
        owners.extend(info.mq_table.into_keys().map(|queue| (queue, ip.clone())));
    }
    owners
}

/// How far a group is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    queues: Vec<QueueProgress>,
    consume_tps: f64,
    diff_total: i64,
    inflight_total: i64,
    #[serde(skip)]
    with_owners: bool,
}

/// How far a group is in a queue.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueProgress {
    #[serde(flatten)]
    queue: MessageQueue,
    broker_offset: i64,
    consumer_offset: i64,
    diff: i64,
    inflight: i64,
    last_timestamp: i64,
    client_ip: Option<String>,
}

impl Progress {
    fn of(stats: ConsumeStats, owners: Option<BTreeMap<MessageQueue, String>>) -> Self {
        let with_owners = owners.is_some();
        let owners = owners.unwrap_or_default();
        let queues = stats.offset_table.into_iter().map(|(queue, at)| QueueProgress {
            client_ip: owners.get(&queue).cloned(),
            queue,
            broker_offset: at.broker_offset,
            consumer_offset: at.consumer_offset,
            diff: at.broker_offset - at.consumer_offset,
            inflight: at.pull_offset - at.consumer_offset,
            last_timestamp: at.last_timestamp,
        });
        let mut queues: Vec<_> = queues.collect();
        queues.sort_by(|a, b| order(&a.queue).cmp(&order(&b.queue)));
        Self {
            consume_tps: stats.consume_tps,
            diff_total: queues.iter().map(|queue| queue.diff).sum(),
            inflight_total: queues.iter().map(|queue| queue.inflight).sum(),
            queues,
            with_owners,
        }
    }
}

/// Java's order of queues.
pub fn order(queue: &MessageQueue) -> (&str, &str, i32) {
    (&queue.topic, &queue.broker_name, queue.queue_id)
}

impl Display for Progress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let owner = if self.with_owners { format!("{:<20} ", "#Client IP") } else { String::new() };
        writeln!(
            f,
            "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {owner}{:<20} {:<20}#LastTime",
            "#Topic",
            "#Broker Name",
            "#QID",
            "#Broker Offset",
            "#Consumer Offset",
            "#Diff",
            "#Inflight",
        )?;
        for row in &self.queues {
            let owner = match (self.with_owners, &row.client_ip) {
                (false, _) => String::new(),
                (true, ip) => format!("{:<20} ", ip.as_deref().unwrap_or("N/A")),
            };
            let last = match row.last_timestamp {
                0 => "N/A".to_owned(),
                ms => java::date(ms),
            };
            writeln!(
                f,
                "{:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {owner}{:<20} {:<20} {last}",
                java::cut(&row.queue.topic, 64),
                java::cut(&row.queue.broker_name, 32),
                row.queue.queue_id,
                row.broker_offset,
                row.consumer_offset,
                row.diff,
                row.inflight,
            )?;
        }
        writeln!(f, "\nConsume TPS: {}", java::fixed(self.consume_tps, 2))?;
        writeln!(f, "Consume Diff Total: {}", self.diff_total)?;
        writeln!(f, "Consume Inflight Total: {}", self.inflight_total)
    }
}

/// A group on one line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    group: String,
    count: usize,
    version: String,
    consume_type: &'static str,
    message_model: &'static str,
    tps: i64,
    diff_total: i64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Summaries(Vec<Summary>);

impl Summary {
    /// What cannot be found out stays at nothing.
    async fn of(admin: &Admin, group: String) -> Self {
        let stats = admin.consume_stats(&group, None, None).await.unwrap_or_default();
        let members = admin.consumer_connection(&group, None).await.unwrap_or_default();
        let ConsumerConnection { connection_set, consume_type, message_model, .. } = members;
        let version = connection_set.iter().map(|member| member.version).min();
        let online = version.is_some();
        Self {
            group,
            count: connection_set.len(),
            version: version.map_or_else(|| "OFFLINE".to_owned(), version_name),
            consume_type: match consume_type {
                _ if !online => "",
                Some(ConsumeType::Actively) => "PULL",
                _ => "PUSH",
            },
            message_model: match (consume_type, message_model) {
                (Some(ConsumeType::Passively), Some(model)) if online => model.name(),
                _ => "",
            },
            tps: stats.consume_tps as i64,
            diff_total: total_diff(&stats),
        }
    }
}

impl Display for Summaries {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<64}  {:<6}  {:<24} {:<5}  {:<14}  {:<7}  #Diff Total",
            "#Group", "#Count", "#Version", "#Type", "#Model", "#TPS"
        )?;
        for s in &self.0 {
            writeln!(
                f,
                "{:<64}  {:<6}  {:<24} {:<5}  {:<14}  {:<7}  {}",
                java::cut(&s.group, 64),
                s.count,
                s.version,
                s.consume_type,
                s.message_model,
                s.tps,
                s.diff_total
            )?;
        }
        Ok(())
    }
}
