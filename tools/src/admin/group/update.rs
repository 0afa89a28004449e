//! Making, changing and deleting consumer groups.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgAction, Args, ValueEnum};
use remoting::protocol::body::{
    Body, GroupRetryPolicy, MessageRequestMode, SetMessageRequestModeRequestBody,
    SubscriptionGroupConfig, SubscriptionGroupList,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{DeleteSubscriptionGroupRequestHeader, NoHeader};

use crate::admin::changes::Changes;
use crate::admin::client::{Admin, Target};
use crate::admin::java;
use crate::admin::output::Out;
use crate::admin::topic::changes_of_attributes;

/// Makes a consumer group or changes it.
#[derive(Args, Debug)]
pub struct UpdateSubGroup {
    #[command(flatten)]
    target: Target,
    /// Name of the group.
    #[arg(short, long = "groupName")]
    group: String,
    /// Whether it may consume (true or false).
    #[arg(short = 's', action = ArgAction::Set, value_parser = java::truth, default_value = "true")]
    #[arg(long = "consumeEnable")]
    consume_enable: bool,
    /// Whether it may begin with the first message (true or false).
    #[arg(short = 'm', action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    #[arg(long = "consumeFromMinEnable")]
    consume_from_min_enable: bool,
    /// Whether each member may get every message (true or false).
    #[arg(short = 'd', action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    #[arg(long = "consumeBroadcastEnable")]
    consume_broadcast_enable: bool,
    /// Whether it consumes in order (true or false).
    #[arg(short = 'o', action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    #[arg(long = "consumeMessageOrderly")]
    consume_message_orderly: bool,
    /// Queues of its retry topic.
    #[arg(short = 'q', long = "retryQueueNums", default_value_t = 1)]
    retry_queue_nums: i32,
    /// How often a message is tried again.
    #[arg(short = 'r', long = "retryMaxTimes", default_value_t = 16)]
    retry_max_times: i32,
    /// The delays between tries as JSON, as `{"type":"CUSTOMIZED","customizedRetryPolicy":…}`.
    #[arg(short = 'p', long = "groupRetryPolicy")]
    retry_policy: Option<String>,
    /// Id of the broker to consume from.
    #[arg(short = 'i', long = "brokerId", default_value_t = 0)]
    broker_id: i64,
    /// Id of the broker to consume from when the group is slow.
    #[arg(short = 'w', long = "whichBrokerWhenConsumeSlowly", default_value_t = 1)]
    slow_broker_id: i64,
    /// Whether members are told when others come and go (true or false).
    #[arg(short = 'a', action = ArgAction::Set, value_parser = java::truth, default_value = "true")]
    #[arg(long = "notifyConsumerIdsChanged")]
    notify: bool,
    /// Changes of attributes: `+key=value` sets one, `-key` removes one, commas between.
    #[arg(long)]
    attributes: Option<String>,
}

impl UpdateSubGroup {
    fn config(&self) -> Result<SubscriptionGroupConfig> {
        let policy = match &self.retry_policy {
            Some(json) => GroupRetryPolicy::decode(json.as_bytes()).context("groupRetryPolicy")?,
            None => GroupRetryPolicy::default(),
        };
        Ok(SubscriptionGroupConfig {
            group_name: self.group.clone(),
            consume_enable: self.consume_enable,
            consume_from_min_enable: self.consume_from_min_enable,
            consume_broadcast_enable: self.consume_broadcast_enable,
            consume_message_orderly: self.consume_message_orderly,
            retry_queue_nums: self.retry_queue_nums,
            retry_max_times: self.retry_max_times,
            group_retry_policy: policy,
            broker_id: self.broker_id,
            which_broker_when_consume_slowly: self.slow_broker_id,
            notify_consumer_ids_changed_enable: self.notify,
            attributes: changes_of_attributes(self.attributes.as_deref().unwrap_or_default())?,
            ..SubscriptionGroupConfig::default()
        })
    }

    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let config = self.config()?;
        let mut changes = Changes::new(out);
        for address in self.target.masters(admin).await? {
            let text = format!("create subscription group to {address} success.");
            changes.make(&address, text, admin.put_group(&address, &config)).await;
        }
        changes.tail(java::group_config(&config));
        changes.print(out)
    }
}

impl Admin {
    /// Makes or changes a group on one broker.
    pub async fn put_group(&self, address: &str, config: &SubscriptionGroupConfig) -> Result<()> {
        let code = RequestCode::UpdateAndCreateSubscriptiongroup;
        self.ask(address, code, &NoHeader, &config.encode()).await.map(|_| ())
    }
}

/// Makes or changes the groups that a file holds as a JSON list.
#[derive(Args, Debug)]
pub struct UpdateSubGroupList {
    #[command(flatten)]
    target: Target,
    /// File with the settings of groups.
    #[arg(short, long)]
    filename: PathBuf,
}

impl UpdateSubGroupList {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let text = std::fs::read(&self.filename)
            .with_context(|| format!("the file path {}", self.filename.display()))?;
        let groups: Vec<SubscriptionGroupConfig> = serde_json::from_slice(&text)
            .with_context(|| format!("{}", self.filename.display()))?;
        let mut changes = Changes::new(out);
        if groups.is_empty() {
            return changes.print(out);
        }
        let body = SubscriptionGroupList { group_config_list: groups }.encode();
        let what = if self.target.broker.is_some() { "group" } else { "subscription group" };
        let code = RequestCode::UpdateAndCreateSubscriptiongroupList;
        for address in self.target.masters(admin).await? {
            let text = format!(
                "submit batch of {what} config to {address} success, please check the result later."
            );
            let put = async { admin.ask(&address, code, &NoHeader, &body).await.map(|_| ()) };
            changes.make(&address, text, put).await;
        }
        changes.print(out)
    }
}

/// Lets a group pull or pop a topic.
#[derive(Args, Debug)]
pub struct SetConsumeMode {
    #[command(flatten)]
    target: Target,
    /// Name of the topic.
    #[arg(short, long = "topicName")]
    topic: String,
    /// Name of the group.
    #[arg(short, long = "groupName")]
    group: String,
    /// PULL or POP.
    #[arg(short, long, ignore_case = true)]
    mode: Mode,
    /// How many queues each member of a popping group shares.
    #[arg(short = 'q', long = "popShareQueueNum", default_value_t = 0)]
    share: i32,
}

/// How a group gets messages.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Mode {
    Pull,
    Pop,
}

impl SetConsumeMode {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mode = match self.mode {
            Mode::Pull => MessageRequestMode::Pull,
            Mode::Pop => MessageRequestMode::Pop,
        };
        let Self { topic, group, share, .. } = self;
        let body = SetMessageRequestModeRequestBody {
            consumer_group: group.clone(),
            mode: Some(mode),
            pop_share_queue_num: *share,
            topic: topic.clone(),
        }
        .encode();
        let mut changes = Changes::new(out);
        for address in self.target.masters(admin).await? {
            let text = format!("set consume mode to {address} success.");
            let code = RequestCode::SetMessageRequestMode;
            let set = async { admin.ask(&address, code, &NoHeader, &body).await.map(|_| ()) };
            changes.make(&address, text, set).await;
        }
        changes.tail(format!(
            "topic[{topic}] group[{group}] consume mode[{}] popShareQueueNum[{share}]",
            mode.name()
        ));
        changes.print(out)
    }
}

/// Deletes a consumer group.
#[derive(Args, Debug)]
pub struct DeleteSubGroup {
    #[command(flatten)]
    target: Target,
    /// Name of the group.
    #[arg(short, long = "groupName")]
    group: String,
    /// With its offsets (true or false).
    #[arg(short, long = "removeOffset", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    remove_offset: bool,
}

impl DeleteSubGroup {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let group = &self.group;
        let addresses = self.target.masters(admin).await?;
        let offsets = if self.remove_offset { " and its offsets" } else { "" };
        out.confirm(&format!("Delete group {group}{offsets} from {}", java::list(&addresses)))?;
        let header = DeleteSubscriptionGroupRequestHeader {
            group_name: group.clone(),
            clean_offset: self.remove_offset,
        };
        let code = RequestCode::DeleteSubscriptiongroup;
        let mut changes = Changes::new(out);
        for address in &addresses {
            let place = match &self.target.cluster {
                Some(cluster) => format!("[{address}] in cluster [{cluster}]"),
                None => format!("[{address}]"),
            };
            let text = format!("delete subscription group [{group}] from broker {place} success.");
            let delete = async { admin.ask(address, code, &header, &[]).await.map(|_| ()) };
            changes.make(address, text, delete).await;
        }
        if let Some(cluster) = self.target.cluster.as_ref().filter(|_| !out.dry_run) {
            self.delete_topics(admin, cluster).await;
        }
        changes.print(out)
    }

    /// Deletes what the group was to try again and what it gave up; as in Java a failure is only
    /// shown.
    async fn delete_topics(&self, admin: &Admin, cluster: &str) {
        for topic in [format!("%RETRY%{}", self.group), format!("%DLQ%{}", self.group)] {
            let deleted = async {
                for address in admin.cluster_addresses(cluster, true).await? {
                    admin.delete_topic(&address, &topic).await?;
                }
                admin.forget_topic(&topic, None).await?;
                admin.delete_kv("ORDER_TOPIC_CONFIG", &topic).await
            };
            if let Err(error) = deleted.await {
                eprintln!("{topic}: {error:#}");
            }
        }
    }
}
