//! `brokerStatus` and `brokerConsumeStats`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgAction, Args};
use remoting::protocol::body::{Body, ConsumeStatsList, MessageQueue};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::GetConsumeStatsInBrokerHeader;
use serde::Serialize;

use crate::admin::client::{Admin, Target};
use crate::admin::java;
use crate::admin::output::Out;

/// Shows what brokers tell of themselves.
#[derive(Args, Debug)]
pub struct BrokerStatus {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Status {
    brokers: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip)]
    with_address: bool,
}

impl BrokerStatus {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let with_address = self.target.broker.is_none();
        let mut failed = Vec::new();
        let mut brokers = BTreeMap::new();
        for address in self.target.all(admin).await? {
            match admin.runtime_table(&address).await {
                Ok(table) => {
                    brokers.insert(address, table);
                }
                Err(error) => failed.push(format!("{address}: {error:#}")),
            }
        }
        out.print(&Status { brokers, with_address })?;
        if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (address, table) in &self.brokers {
            for (name, value) in table {
                if self.with_address {
                    write!(f, "{address:<24} ")?;
                }
                writeln!(f, "{name:<32}: {value}")?;
            }
        }
        Ok(())
    }
}

/// Shows how far all groups of a broker are.
#[derive(Args, Debug)]
pub struct BrokerConsumeStats {
    /// Address of the broker.
    #[arg(short, long = "brokerAddr")]
    broker: String,
    /// How long the broker may take, in ms.
    #[arg(short, long = "timeoutMillis", default_value_t = 50_000)]
    timeout_ms: u64,
    /// Only queues with so many messages to consume.
    #[arg(short, long, default_value_t = 0)]
    level: i64,
    /// Only groups that consume in order (true or false).
    #[arg(short, long, action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    order: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupQueue {
    group: String,
    #[serde(flatten)]
    queue: MessageQueue,
    broker_offset: i64,
    consumer_offset: i64,
    diff: i64,
    last_timestamp: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupQueues {
    queues: Vec<GroupQueue>,
    total_diff: i64,
}

impl BrokerConsumeStats {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let header = GetConsumeStatsInBrokerHeader { is_order: self.order };
        let code = RequestCode::GetBrokerConsumeStats;
        let timeout = Duration::from_millis(self.timeout_ms);
        let frame = admin.ask_within(&self.broker, code, &header, &[], timeout).await?;
        let list = ConsumeStatsList::decode(frame.body())?;
        let mut queues = Vec::new();
        for (group, all) in list.consume_stats_list.into_iter().flatten() {
            for stats in all {
                let mut rows: Vec<_> = stats.offset_table.into_iter().collect();
                rows.sort_by(|(a, _), (b, _)| {
                    (&a.topic, &a.broker_name, a.queue_id).cmp(&(
                        &b.topic,
                        &b.broker_name,
                        b.queue_id,
                    ))
                });
                queues.extend(rows.into_iter().map(|(queue, at)| GroupQueue {
                    group: group.clone(),
                    queue,
                    broker_offset: at.broker_offset,
                    consumer_offset: at.consumer_offset,
                    diff: at.broker_offset - at.consumer_offset,
                    last_timestamp: at.last_timestamp,
                }));
            }
        }
        queues.retain(|row| row.diff >= self.level && row.last_timestamp > 0);
        out.print(&GroupQueues { queues, total_diff: list.total_diff })
    }
}

impl Display for GroupQueues {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<64}  {:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {:<20}  #LastTime",
            "#Topic",
            "#Group",
            "#Broker Name",
            "#QID",
            "#Broker Offset",
            "#Consumer Offset",
            "#Diff",
        )?;
        for row in &self.queues {
            writeln!(
                f,
                "{:<64}  {:<64}  {:<32}  {:<4}  {:<20}  {:<20}  {:<20}  {}",
                java::cut(&row.queue.topic, 64),
                row.group,
                java::cut(&row.queue.broker_name, 32),
                row.queue.queue_id,
                row.broker_offset,
                row.consumer_offset,
                row.diff,
                java::date(row.last_timestamp),
            )?;
        }
        writeln!(f, "\nDiff Total: {}", self.total_diff)
    }
}
