//! Looking at groups: their members and settings.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::{
    Connection, ConsumerConnection, ProducerConnection, ProducerTableInfo, SubscriptionGroupConfig,
};
use remoting::protocol::code::{RequestCode, version_name};
use remoting::protocol::header::GetAllProducerInfoRequestHeader;
use serde::Serialize;

use crate::admin::client::{Admin, selected};
use crate::admin::java;
use crate::admin::output::Out;

/// Lists the members and subscriptions of a consumer group.
#[derive(Args, Debug)]
pub struct ConsumerConnections {
    /// Name of the group.
    #[arg(short = 'g', long = "consumerGroup")]
    group: String,
    /// Address of the broker to ask.
    #[arg(short, long = "brokerAddr")]
    broker: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Consumers(ConsumerConnection);

impl ConsumerConnections {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut members = admin.consumer_connection(&self.group, self.broker.as_deref()).await?;
        members.connection_set.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        out.print(&Consumers(members))
    }
}

fn language(member: &Connection) -> &'static str {
    member.language.map_or("null", |language| language.java_name())
}

impl Display for Consumers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(group) = self;
        let [id, address, lang, version] = ["#ClientId", "#ClientAddr", "#Language", "#Version"];
        writeln!(f, "{id:<36} {address:<22} {lang:<10} {version}")?;
        for member in &group.connection_set {
            let (id, address) = (&member.client_id, &member.client_addr);
            let version = version_name(member.version);
            writeln!(f, "{id:<36} {address:<22} {:<10} {version}", language(member))?;
        }
        writeln!(f, "\nBelow is subscription:\n{:<20} #SubExpression", "#Topic")?;
        let mut subscriptions: Vec<_> = group.subscription_table.values().collect();
        java::hash_order(&mut subscriptions, java::CAPACITY, |one| &one.topic);
        for one in subscriptions {
            writeln!(f, "{:<20} {}", one.topic, one.sub_string)?;
        }
        let name = |name: Option<&'static str>| name.unwrap_or("null");
        writeln!(f, "\nConsumeType: {}", name(group.consume_type.map(|kind| kind.name())))?;
        writeln!(f, "MessageModel: {}", name(group.message_model.map(|model| model.name())))?;
        writeln!(f, "ConsumeFromWhere: {}", name(group.consume_from_where.map(|at| at.name())))
    }
}

/// Lists the members of a producer group.
#[derive(Args, Debug)]
pub struct ProducerConnections {
    /// Name of the group.
    #[arg(short = 'g', long = "producerGroup")]
    group: String,
    /// A topic that it sends to.
    #[arg(short, long)]
    topic: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct ProducersOfGroup(ProducerConnection);

impl ProducerConnections {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut members = admin.producer_connection(&self.group, &self.topic).await?;
        members.connection_set.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        out.print(&ProducersOfGroup(members))
    }
}

impl Display for ProducersOfGroup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, member) in self.0.connection_set.iter().enumerate() {
            let (id, address) = (&member.client_id, &member.client_addr);
            let version = version_name(member.version);
            writeln!(f, "{:04}  {id:<32} {address:<22} {:<8} {version}", at + 1, language(member))?;
        }
        Ok(())
    }
}

/// Lists all producers of a broker.
#[derive(Args, Debug)]
pub struct Producers {
    /// Address of the broker.
    #[arg(short, long)]
    broker: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllProducers(ProducerTableInfo);

impl Producers {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let code = RequestCode::GetAllProducerInfo;
        let header = GetAllProducerInfoRequestHeader {};
        out.print(&AllProducers(admin.body(&self.broker, code, &header).await?))
    }
}

impl Display for AllProducers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<_> = self.0.data.iter().collect();
        java::hash_order(&mut groups, java::CAPACITY, |(group, _)| group);
        for (group, members) in groups {
            if members.is_empty() {
                writeln!(f, "producer group ({group}) instances are empty")?;
            }
            for one in members {
                writeln!(
                    f,
                    "producer group ({group}) instance : clientId={},remoteIP={}, language={}, \
                     version={}, lastUpdateTimestamp={}",
                    one.client_id,
                    one.remote_ip,
                    one.language.map_or("null", |language| language.java_name()),
                    one.version,
                    one.last_update_timestamp,
                )?;
            }
        }
        Ok(())
    }
}

/// Shows the settings of a consumer group on every broker.
#[derive(Args, Debug)]
pub struct GetConsumerConfig {
    /// Name of the group.
    #[arg(short, long = "groupName")]
    group: String,
}

#[derive(Serialize)]
struct ConfigAt {
    cluster: String,
    broker: String,
    config: SubscriptionGroupConfig,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Configs(Vec<ConfigAt>);

impl GetConsumerConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let info = admin.cluster_info().await?;
        let mut configs = Vec::new();
        for broker in info.broker_addr_table.values() {
            let Some(address) = selected(broker) else { continue };
            let (_, mut groups) = admin.groups_of(address).await?;
            let Some(config) = groups.remove(&self.group) else { continue };
            let (cluster, broker) = (broker.cluster.clone(), broker.broker_name.clone());
            configs.push(ConfigAt { cluster, broker, config });
        }
        out.print(&Configs(configs))
    }
}

impl Display for Configs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for ConfigAt { cluster, broker, config } in &self.0 {
            let rule = "=".repeat(29);
            writeln!(f, "{rule}{cluster}:{broker}{rule}")?;
            let subscriptions = match config.subscription_data_set {
                Some(_) => java::subscriptions(config),
                None => String::new(),
            };
            for (name, value) in [
                ("groupName", &config.group_name as &dyn Display),
                ("consumeEnable", &config.consume_enable),
                ("consumeFromMinEnable", &config.consume_from_min_enable),
                ("consumeBroadcastEnable", &config.consume_broadcast_enable),
                ("consumeMessageOrderly", &config.consume_message_orderly),
                ("retryQueueNums", &config.retry_queue_nums),
                ("retryMaxTimes", &config.retry_max_times),
                ("groupRetryPolicy", &java::retry_policy(&config.group_retry_policy)),
                ("brokerId", &config.broker_id),
                ("whichBrokerWhenConsumeSlowly", &config.which_broker_when_consume_slowly),
                ("notifyConsumerIdsChangedEnable", &config.notify_consumer_ids_changed_enable),
                ("groupSysFlag", &config.group_sys_flag),
                ("consumeTimeoutMinute", &config.consume_timeout_minute),
                ("subscriptionDataSet", &subscriptions),
                ("attributes", &java::table(&config.attributes)),
            ] {
                writeln!(f, "{name:<40}=  {value}")?;
            }
        }
        Ok(())
    }
}
