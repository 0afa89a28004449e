//! `clusterRT`: how long sends to every broker take, again and again.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{ArgAction, Args};
use serde::Serialize;

use super::NewMessage;
use crate::admin::client::{Admin, unknown_cluster};
use crate::admin::java;
use crate::admin::output::Out;

/// The zone of the lines for a log, 8 hours east, in ms.
const LOG_ZONE_MS: i64 = 8 * 3_600_000;

/// Sends to the topic of every broker, again and again, and shows how long that took.
#[derive(Args, Debug)]
pub struct ClusterRt {
    /// Number of messages to each.
    #[arg(short, long, default_value_t = 100)]
    amount: u32,
    /// Bytes of each.
    #[arg(short, long, default_value_t = 128)]
    size: usize,
    /// Only this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Lines for a log instead of a table (true or false).
    #[arg(short = 'p', long = "print", action = ArgAction::Set, value_parser = java::truth)]
    #[arg(default_value = "false")]
    log: bool,
    /// Name of the place, for the log.
    #[arg(short, long = "machine", default_value = "noname")]
    machine_room: String,
    /// Seconds between two rounds.
    #[arg(short, long, default_value_t = 10)]
    interval: u64,
}

/// How sends to one broker went.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    cluster: String,
    broker: String,
    average_ms: f64,
    sent: u32,
    failed: u32,
    #[serde(skip)]
    log: Option<String>,
}

impl ClusterRt {
    /// Carries it out; it ends when it is stopped.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if !self.log {
            let [cluster, broker, rt] = ["#Cluster Name", "#Broker Name", "#RT"];
            out.text(&format!(
                "{cluster:<24}  {broker:<24}  {rt:<4}  {:<8}  {:<8}\n",
                "#successCount", "#failCount"
            ))?;
        }
        let info = admin.cluster_info().await?;
        if let Some(cluster) = &self.cluster
            && !info.cluster_addr_table.contains_key(cluster)
        {
            bail!(unknown_cluster(cluster));
        }
        loop {
            for (cluster, brokers) in &info.cluster_addr_table {
                if self.cluster.as_ref().is_some_and(|wanted| wanted != cluster) {
                    continue;
                }
                for broker in brokers {
                    out.item(&self.round(admin, cluster, broker).await)?;
                }
            }
            tokio::time::sleep(Duration::from_secs(self.interval)).await;
        }
    }

    async fn round(&self, admin: &Admin, cluster: &str, broker: &str) -> Round {
        let group = runtime::clock::now_ms().to_string();
        let message = NewMessage::new(&group, broker, vec![b'a'; self.size]);
        let (mut sent, mut failed, mut total_ms) = (0, 0, 0);
        for turn in 0..self.amount {
            let start = Instant::now();
            match admin.send(&message, None).await {
                Ok(_) => sent += 1,
                Err(_) => failed += 1,
            }
            // The first one connects.
            total_ms += if turn == 0 { 0 } else { start.elapsed().as_millis() };
        }
        let average_ms = total_ms as f64 / (f64::from(self.amount) - 1.0);
        let now = java::date_utc(runtime::clock::now_ms() + LOG_ZONE_MS);
        let log = format!("{now}|{}|{cluster}|{broker}|{average_ms:.0}\n", self.machine_room);
        Round {
            cluster: cluster.to_owned(),
            broker: broker.to_owned(),
            average_ms,
            sent,
            failed,
            log: self.log.then_some(log),
        }
    }
}

impl Display for Round {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { cluster, broker, average_ms, sent, failed, log } = self;
        match log {
            Some(line) => f.write_str(line),
            None => {
                let rt = java::fixed(*average_ms, 2);
                writeln!(f, "{cluster:<24}  {broker:<24}  {rt:<8}  {sent:<16}  {failed:<16}")
            }
        }
    }
}
