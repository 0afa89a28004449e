//! `clusterList`: brokers with their load.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::KVTable;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use serde::Serialize;

use super::client::Admin;
use super::java;
use super::output::Out;

/// Lists the brokers of clusters with their load.
#[derive(Args, Debug)]
pub struct ClusterList {
    /// With the messages of yesterday and today.
    #[arg(short, long = "moreStats")]
    more_stats: bool,
    /// Again and again, every so many seconds.
    #[arg(short, long, value_name = "SECONDS")]
    interval: Option<u64>,
    /// Only this cluster.
    #[arg(short, long = "clusterName")]
    cluster: Option<String>,
}

impl ClusterList {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        loop {
            let brokers = admin.brokers(self.cluster.as_deref()).await?;
            if self.more_stats {
                out.print(&Totals(brokers.iter().map(Total::of).collect()))?;
            } else {
                let now_ms = runtime::clock::now_ms();
                let loads = brokers.iter().map(|broker| Load::of(broker, now_ms));
                out.print(&Loads(loads.collect()))?;
            }
            for Asked { address, error, .. } in &brokers {
                if let Some(error) = error {
                    eprintln!("{address}: {error}");
                }
            }
            let Some(seconds) = self.interval else { return Ok(()) };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}

/// A broker and what it tells of itself.
pub struct Asked {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub broker: String,
    /// Its id; 0 is a master.
    pub id: i64,
    /// Its address.
    pub address: String,
    /// What it tells; empty if it could not be asked.
    pub table: BTreeMap<String, String>,
    /// Why it could not.
    pub error: Option<String>,
}

impl Asked {
    /// The first of the rates over 10 s, 1 min, 10 min.
    pub fn rate(&self, name: &str) -> f64 {
        let rates = self.table.get(name).map(String::as_str).unwrap_or_default();
        rates.split(' ').next().and_then(|rate| rate.parse().ok()).unwrap_or_default()
    }

    /// A number, 0 if there is none.
    pub fn number(&self, name: &str) -> i64 {
        self.table.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }

    /// A text as Java shows it: empty if the broker could not be asked, `null` if it left it out.
    fn text(&self, name: &str) -> String {
        let missing = if self.error.is_some() { "" } else { "null" };
        self.table.get(name).map_or(missing, String::as_str).to_owned()
    }
}

impl Admin {
    /// What a broker tells of itself.
    pub async fn runtime_table(&self, address: &str) -> Result<BTreeMap<String, String>> {
        let code = RequestCode::GetBrokerRuntimeInfo;
        Ok(self.body::<KVTable>(address, code, &NoHeader).await?.table)
    }

    /// Every broker of a cluster, or of all, asked about itself, in the order of names and ids.
    pub async fn brokers(&self, cluster: Option<&str>) -> Result<Vec<Asked>> {
        let info = self.cluster_info().await?;
        let mut all = Vec::new();
        for (name, brokers) in &info.cluster_addr_table {
            if cluster.is_some_and(|cluster| cluster != name) {
                continue;
            }
            let mut brokers = brokers.clone();
            brokers.sort();
            for broker in brokers.iter().filter_map(|name| info.broker_addr_table.get(name)) {
                for (id, address) in &broker.broker_addrs {
                    let table = self.runtime_table(address).await;
                    let (table, error) = match table {
                        Ok(table) => (table, None),
                        Err(error) => (BTreeMap::new(), Some(format!("{error:#}"))),
                    };
                    let (cluster, broker) = (name.clone(), broker.broker_name.clone());
                    all.push(Asked {
                        cluster,
                        broker,
                        id: *id,
                        address: address.clone(),
                        table,
                        error,
                    });
                }
            }
        }
        Ok(all)
    }
}

/// The load of a broker.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Load {
    cluster: String,
    broker: String,
    broker_id: i64,
    address: String,
    version: String,
    in_tps: f64,
    out_tps: f64,
    send_queue: [String; 2],
    pull_queue: [String; 2],
    ack_queue: [String; 2],
    timer_read_behind: i64,
    timer_offset_behind: i64,
    timer_congest_num: i64,
    timer_enqueue_tps: f64,
    timer_dequeue_tps: f64,
    page_cache_lock_ms: String,
    hours: f64,
    disk_ratio: f64,
    active: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Loads(Vec<Load>);

impl Load {
    fn of(asked: &Asked, now_ms: i64) -> Self {
        let queue = |kind: &str| {
            [
                format!("{kind}ThreadPoolQueueSize"),
                format!("{kind}ThreadPoolQueueHeadWaitTimeMills"),
            ]
        };
        let numbers = |kind: &str| queue(kind).map(|name| asked.text(&name));
        // Older brokers do not tell about acknowledgements.
        let ack = queue("ack").map(|name| match asked.table.get(&name) {
            Some(value) => value.clone(),
            None if asked.error.is_some() => String::new(),
            None => "N".to_owned(),
        });
        let earliest = asked.table.get("earliestMessageTimeStamp");
        let hours = earliest.and_then(|ms| ms.parse::<i64>().ok());
        let float = |name| asked.table.get(name).and_then(|value| value.parse().ok());
        Self {
            cluster: asked.cluster.clone(),
            broker: asked.broker.clone(),
            broker_id: asked.id,
            address: asked.address.clone(),
            version: asked.text("brokerVersionDesc"),
            in_tps: asked.rate("putTps"),
            out_tps: asked.rate("getTransferredTps"),
            send_queue: numbers("send"),
            pull_queue: numbers("pull"),
            ack_queue: ack,
            timer_read_behind: asked.number("timerReadBehind"),
            timer_offset_behind: asked.number("timerOffsetBehind"),
            timer_congest_num: asked.number("timerCongestNum"),
            timer_enqueue_tps: float("timerEnqueueTps").unwrap_or_default(),
            timer_dequeue_tps: float("timerDequeueTps").unwrap_or_default(),
            page_cache_lock_ms: asked.text("pageCacheLockTimeMills"),
            hours: hours.map_or(0.0, |ms| (now_ms - ms) as f64 / 3_600_000.0),
            disk_ratio: float("commitLogDiskRatio").unwrap_or_default(),
            active: asked.table.get("brokerActive").is_some_and(|value| value == "true"),
        }
    }
}

impl Display for Loads {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<22}  {:<22}  {:<4}  {:<22} {:<16}  {:>16}  {:>30}  {:<22}  {:<11}  {:<12}  \
             {:<8}  {:<10}",
            "#Cluster Name",
            "#Broker Name",
            "#BID",
            "#Addr",
            "#Version",
            "#InTPS(LOAD)",
            "#OutTPS(LOAD)",
            "#Timer(Progress)",
            "#PCWait(ms)",
            "#Hour",
            "#SPACE",
            "#ACTIVATED"
        )?;
        self.0.iter().try_for_each(|load| writeln!(f, "{load}"))
    }
}

impl Display for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [send, send_wait] = &self.send_queue;
        let [pull, pull_wait] = &self.pull_queue;
        let [ack, ack_wait] = &self.ack_queue;
        let (input, output) = (java::fixed(self.in_tps, 2), java::fixed(self.out_tps, 2));
        let input = format!("{input:>9}({send},{send_wait}ms)");
        let output = format!("{output:>9}({pull},{pull_wait}ms|{ack},{ack_wait}ms)");
        let timer = format!(
            "{}-{}({}w, {}, {})",
            self.timer_read_behind,
            self.timer_offset_behind,
            java::fixed(self.timer_congest_num as f64 / 10_000.0, 1),
            java::fixed(self.timer_enqueue_tps, 1),
            java::fixed(self.timer_dequeue_tps, 1),
        );
        write!(
            f,
            "{:<22}  {:<22}  {:<4}  {:<22} {:<16}  {input:>16}  {output:>30}  {timer:<22}  \
             {:>11}  {:<12}  {:<8}  {:>10}",
            self.cluster,
            self.broker,
            self.broker_id,
            self.address,
            self.version,
            self.page_cache_lock_ms,
            java::fixed(self.hours, 2),
            java::fixed(self.disk_ratio, 4),
            self.active,
        )
    }
}

/// The messages of a broker yesterday and today.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    cluster: String,
    broker: String,
    in_yesterday: i64,
    out_yesterday: i64,
    in_today: i64,
    out_today: i64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Totals(Vec<Total>);

impl Total {
    fn of(asked: &Asked) -> Self {
        let since = |kind: &str, now: &str, then: &str| {
            asked.number(&format!("msg{kind}Total{now}"))
                - asked.number(&format!("msg{kind}Total{then}"))
        };
        Self {
            cluster: asked.cluster.clone(),
            broker: asked.broker.clone(),
            in_yesterday: since("Put", "TodayMorning", "YesterdayMorning"),
            out_yesterday: since("Get", "TodayMorning", "YesterdayMorning"),
            in_today: since("Put", "TodayNow", "TodayMorning"),
            out_today: since("Get", "TodayNow", "TodayMorning"),
        }
    }
}

impl Display for Totals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16}  {:<32} {:>14} {:>14} {:>14} {:>14}",
            "#Cluster Name",
            "#Broker Name",
            "#InTotalYest",
            "#OutTotalYest",
            "#InTotalToday",
            "#OutTotalToday"
        )?;
        for t in &self.0 {
            writeln!(
                f,
                "{:<16}  {:<32} {:>14} {:>14} {:>14} {:>14}",
                t.cluster, t.broker, t.in_yesterday, t.out_yesterday, t.in_today, t.out_today
            )?;
        }
        Ok(())
    }
}
