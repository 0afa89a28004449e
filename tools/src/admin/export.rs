//! Exports of settings, topics, groups and load into JSON files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use remoting::protocol::body::{
    BrokerStatsData, DataVersion, SubscriptionGroupConfig, TopicConfig, TopicList,
};
use remoting::protocol::code::{RequestCode, VERSION, version_name};
use remoting::protocol::header::{NoHeader, ViewBrokerStatsDataRequestHeader};
use serde::Serialize;
use serde_json::{Value, json};

use super::broker::config_of;
use super::changes::Changes;
use super::client::{Admin, master, unknown_cluster};
use super::java_json;
use super::output::Out;
use super::progress;
use super::topic::is_of_group;

/// Groups that no user made.
const SYSTEM_GROUPS: [&str; 10] = [
    "DEFAULT_CONSUMER",
    "DEFAULT_PRODUCER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "CLIENT_INNER_PRODUCER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
];
/// Settings that an export holds.
const SETTINGS: [&str; 16] = [
    "brokerClusterName",
    "brokerId",
    "brokerName",
    "brokerRole",
    "fileReservedTime",
    "filterServerNums",
    "flushDiskType",
    "maxMessageSize",
    "messageDelayLevel",
    "msgTraceTopicName",
    "slaveReadEnable",
    "traceOn",
    "traceTopicEnable",
    "useTLS",
    "autoCreateTopicEnable",
    "autoCreateSubscriptionGroup",
];

/// Where exports go.
#[derive(Args, Debug)]
struct Directory {
    /// Directory of the file.
    #[arg(short, long = "filePath", default_value = "/tmp/rocketmq/export")]
    file_path: PathBuf,
}

impl Directory {
    /// Writes a file and tells of it as Java does.
    async fn write(&self, out: &Out, name: &str, value: &Value, end: &'static str) -> Result<()> {
        let path = self.file_path.join(name);
        let text = format!("export {} success", path.display());
        let mut changes = Changes::new(out);
        let written = async { write(&path, &java_json::pretty_value(value)) };
        changes.make_ending(&path.display().to_string(), text, end, written).await;
        changes.print(out)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// A name and the address of its master.
async fn masters(admin: &Admin, cluster: &str) -> Result<Vec<(String, String, usize)>> {
    let info = admin.cluster_info().await?;
    let Some(names) = info.cluster_addr_table.get(cluster) else {
        bail!(unknown_cluster(cluster));
    };
    let brokers = names.iter().filter_map(|name| info.broker_addr_table.get(name));
    let masters = brokers.filter_map(|broker| {
        let slaves = broker.broker_addrs.len() - 1;
        master(broker).map(|address| (broker.broker_name.clone(), address.to_owned(), slaves))
    });
    Ok(masters.collect())
}

/// Exports settings of the brokers of a cluster.
#[derive(Args, Debug)]
pub struct ExportConfigs {
    /// Name of the cluster.
    #[arg(short, long = "clusterName")]
    cluster: String,
    #[command(flatten)]
    directory: Directory,
}

impl ExportConfigs {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut configs = BTreeMap::new();
        let (mut count, mut slave_count) = (0, 0);
        let masters = masters(admin, &self.cluster).await?;
        let bar = progress::steps(masters.len() as u64);
        for (name, address, slaves) in masters {
            let mut config = config_of(admin, &address).await?;
            config.retain(|key, _| SETTINGS.contains(&key.as_str()));
            configs.insert(name, config);
            count += 1;
            slave_count += slaves;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let scale = json!({
            "namesrvSize": admin.name_servers()?.len(),
            "masterBrokerSize": count,
            "slaveBrokerSize": slave_count,
        });
        let value = json!({"brokerConfigs": configs, "clusterScale": scale});
        self.directory.write(out, "configs.json", &value, "").await
    }
}

/// Exports topics and groups of a broker or a cluster.
#[derive(Args, Debug)]
pub struct ExportMetadata {
    /// Name of the cluster.
    #[arg(short, long = "clusterName", required_unless_present = "broker")]
    cluster: Option<String>,
    /// Address of a broker; with -t or -g.
    #[arg(short, long = "brokerAddr")]
    broker: Option<String>,
    #[command(flatten)]
    directory: Directory,
    /// Only topics.
    #[arg(short, long)]
    topic: bool,
    /// Only groups.
    #[arg(short = 'g', long = "subscriptionGroup")]
    groups: bool,
    /// With what groups are to try again and what they gave up.
    #[arg(short, long = "specialTopic")]
    special: bool,
}

/// Topics or groups by name, with the version of the table.
type Named<T> = (DataVersion, BTreeMap<String, T>);

impl Admin {
    /// The topics that users made.
    async fn user_topics(&self, address: &str, special: bool) -> Result<Named<TopicConfig>> {
        let code = RequestCode::GetSystemTopicListFromBroker;
        let system: TopicList = self.body(address, code, &NoHeader).await?;
        let system: BTreeSet<String> = system.topic_list.into_iter().collect();
        let (version, mut topics) = self.topics_of(address).await?;
        topics.retain(|name, config| {
            let own = !system.contains(name) && (0..8).contains(&config.perm);
            own && (special || !is_of_group(name))
        });
        Ok((version, topics))
    }

    /// The groups that users made.
    async fn user_groups(&self, address: &str) -> Result<Named<SubscriptionGroupConfig>> {
        let (version, mut groups) = self.groups_of(address).await?;
        groups.retain(|name, _| {
            let system = ["CID_RMQ_SYS_", "CID_ONSAPI_"];
            let prefixed = system.iter().any(|prefix| name.starts_with(prefix));
            !prefixed && !SYSTEM_GROUPS.contains(&name.as_str())
        });
        Ok((version, groups))
    }
}

impl ExportMetadata {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        match (&self.broker, &self.cluster) {
            (Some(broker), _) => self.of_broker(admin, out, broker).await,
            (None, Some(cluster)) => self.of_cluster(admin, out, cluster).await,
            // Invariant: clap refuses a line with neither.
            (None, None) => Ok(()),
        }
    }

    async fn of_broker(&self, admin: &Admin, out: &Out, broker: &str) -> Result<()> {
        let table = |version: DataVersion, name: &str, table: Value| {
            let mut value = json!({"dataVersion": version});
            value[name] = table;
            value
        };
        if self.topic {
            let (version, topics) = admin.user_topics(broker, self.special).await?;
            let value = table(version, "topicConfigTable", json!(topics));
            return self.directory.write(out, "topic.json", &value, "").await;
        }
        if self.groups {
            let (version, groups) = admin.user_groups(broker).await?;
            let mut value = table(version, "subscriptionGroupTable", json!(groups));
            value["forbiddenTable"] = json!({});
            return self.directory.write(out, "subscriptionGroup.json", &value, "").await;
        }
        bail!("with -b, -t or -g says what to export")
    }

    /// Numbers of queues of several brokers add up, as in Java.
    async fn of_cluster(&self, admin: &Admin, out: &Out, cluster: &str) -> Result<()> {
        let mut topics: BTreeMap<String, TopicConfig> = BTreeMap::new();
        let mut groups: BTreeMap<String, SubscriptionGroupConfig> = BTreeMap::new();
        let masters = masters(admin, cluster).await?;
        let bar = progress::steps(masters.len() as u64);
        for (_, address, _) in masters {
            for (name, mut config) in admin.user_topics(&address, self.special).await?.1 {
                if let Some(other) = topics.get(&name) {
                    config.read_queue_nums += other.read_queue_nums;
                    config.write_queue_nums += other.write_queue_nums;
                }
                topics.insert(name, config);
            }
            for (name, mut config) in admin.user_groups(&address).await?.1 {
                config.retry_queue_nums +=
                    groups.get(&name).map_or(0, |other| other.retry_queue_nums);
                groups.insert(name, config);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut value = json!({"exportTime": runtime::clock::now_ms()});
        if self.topic || !self.groups {
            value["topicConfigTable"] = json!(topics);
        }
        if !self.topic {
            value["subscriptionGroupTable"] = json!(groups);
        }
        let name = match (self.topic, self.groups) {
            (true, _) => "topic.json",
            (false, true) => "subscriptionGroup.json",
            (false, false) => "metadata.json",
        };
        self.directory.write(out, name, &value, "\n").await
    }
}

/// Exports the load of the brokers of a cluster.
#[derive(Args, Debug)]
pub struct ExportMetrics {
    /// Name of the cluster.
    #[arg(short, long = "clusterName")]
    cluster: String,
    #[command(flatten)]
    directory: Directory,
}

/// The load of one broker, or the sum of all.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Flow {
    tps: [f64; 4],
    one_day: [i64; 4],
}

/// What the four numbers of a flow count, in the order of Java's names.
const TPS: [&str; 4] = ["normalInTps", "normalOutTps", "transInTps", "scheduleInTps"];
const TOTAL_TPS: [&str; 4] =
    ["totalNormalInTps", "totalNormalOutTps", "totalTransInTps", "totalScheduleInTps"];
const ONE_DAY: [&str; 4] =
    ["normalOneDayInNum", "normalOneDayOutNum", "transOneDayInNum", "scheduleOneDayInNum"];

fn named<T: Copy + Serialize>(names: [&str; 4], values: [T; 4]) -> Value {
    let pairs = names.iter().zip(values).map(|(name, value)| (name.to_string(), json!(value)));
    Value::Object(pairs.collect())
}

impl ExportMetrics {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut total = Flow::default();
        let mut report = BTreeMap::new();
        let bar = progress::steps(0);
        for (name, address, _) in masters(admin, &self.cluster).await? {
            let (flow, value) = self.broker(admin, &address, &bar).await?;
            for at in 0..4 {
                total.tps[at] += flow.tps[at];
                total.one_day[at] += flow.one_day[at];
            }
            report.insert(name, value);
        }
        bar.finish_and_clear();
        let value = json!({
            "evaluateReport": report,
            "totalData": {
                "totalTps": named(TOTAL_TPS, total.tps),
                "totalOneDayNum": named(ONE_DAY, total.one_day),
            },
        });
        self.directory.write(out, "metrics.json", &value, "").await
    }

    async fn broker(
        &self,
        admin: &Admin,
        address: &str,
        bar: &ProgressBar,
    ) -> Result<(Flow, Value)> {
        let table = admin.runtime_table(address).await?;
        let config = config_of(admin, address).await?;
        let (_, groups) = admin.user_groups(address).await?;
        let (_, topics) = admin.user_topics(address, false).await?;
        let number = |name: &str| table.get(name).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
        let rate = |name: &str| {
            let first = table.get(name).and_then(|rates| rates.split(' ').next());
            first.and_then(|rate| rate.parse::<f64>().ok()).unwrap_or_default()
        };
        let (trans_tps, trans) = admin.put_rate(address, "RMQ_SYS_TRANS_HALF_TOPIC").await;
        let (schedule_tps, schedule) = admin.put_rate(address, "SCHEDULE_TOPIC_XXXX").await;
        let yesterday = |kind: &str| {
            number(&format!("msg{kind}TotalTodayMorning"))
                - number(&format!("msg{kind}TotalYesterdayMorning"))
        };
        let flow = Flow {
            tps: [rate("putTps"), rate("getTransferredTps"), trans_tps, schedule_tps],
            one_day: [yesterday("Put"), yesterday("Get"), trans, schedule],
        };
        let mut clients = BTreeSet::new();
        bar.inc_length(groups.len() as u64);
        for group in groups.keys() {
            bar.inc(1);
            let Ok(members) = admin.consumer_connection(group, None).await else { continue };
            clients.extend(members.connection_set.iter().map(|member| {
                let language = member.language.map_or("null", |language| language.java_name());
                format!("{language}%{}", version_name(member.version))
            }));
        }
        let value = json!({
            "runtimeEnv": {"cpuNum": config.get("clientCallbackExecutorThreads")},
            "runtimeQuota": {
                "diskRatio": {
                    "commitLogDiskRatio": table.get("commitLogDiskRatio"),
                    "consumeQueueDiskRatio": table.get("consumeQueueDiskRatio"),
                },
                "tps": named(TPS, flow.tps),
                "oneDayNum": named(ONE_DAY, flow.one_day),
                "messageAverageSize": table.get("putMessageAverageSize"),
                "topicSize": topics.len(),
                "groupSize": groups.len(),
            },
            "runtimeVersion": {"rocketmqVersion": version_name(VERSION), "clientInfo": clients},
        });
        Ok((flow, value))
    }
}

impl Admin {
    /// The rate of puts into a topic and their number of a day; 0 where nothing was counted.
    async fn put_rate(&self, address: &str, topic: &str) -> (f64, i64) {
        let header = ViewBrokerStatsDataRequestHeader {
            stats_name: "TOPIC_PUT_NUMS".to_owned(),
            stats_key: topic.to_owned(),
        };
        let code = RequestCode::ViewBrokerStatsData;
        let data: BrokerStatsData = self.body(address, code, &header).await.unwrap_or_default();
        let tps = data.stats_minute.as_ref().map_or(0.0, |minute| minute.tps);
        let periods = [data.stats_day, data.stats_hour, data.stats_minute];
        let mut sums = periods.iter().flatten().map(|period| period.sum);
        (tps, sums.find(|sum| *sum != 0).unwrap_or_default())
    }
}
