//! Making, changing and deleting topics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use remoting::protocol::body::TopicConfig;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{DeleteTopicFromNamesrvRequestHeader, DeleteTopicRequestHeader};

use super::order;
use crate::admin::changes::Changes;
use crate::admin::client::{Admin, Target, master};
use crate::admin::java;
use crate::admin::output::Out;

/// Makes a topic or changes it.
#[derive(Args, Debug)]
pub struct UpdateTopic {
    #[command(flatten)]
    target: Target,
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Queues to read from.
    #[arg(short, long = "readQueueNums", default_value_t = 8)]
    read_queue_nums: i32,
    /// Queues to write to.
    #[arg(short, long = "writeQueueNums", default_value_t = 8)]
    write_queue_nums: i32,
    /// Permission: 2 to write, 4 to read, 6 both.
    #[arg(short, long, default_value_t = 6)]
    perm: i32,
    /// Whether its queues are kept in order over all brokers (true or false).
    #[arg(short, long, action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    order: bool,
    /// Whether it belongs to a unit (true or false).
    #[arg(short, long, action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    unit: bool,
    /// Whether another unit subscribes to it (true or false).
    #[arg(short = 's', long = "hasUnitSub", action = ArgAction::Set, value_parser = java::truth, default_value = "false")]
    has_unit_sub: bool,
    /// Changes of attributes: `+key=value` sets one, `-key` removes one, commas between.
    #[arg(short, long)]
    attributes: Option<String>,
}

impl UpdateTopic {
    fn config(&self) -> Result<TopicConfig> {
        Ok(TopicConfig {
            topic_name: self.topic.clone(),
            read_queue_nums: self.read_queue_nums,
            write_queue_nums: self.write_queue_nums,
            perm: self.perm,
            order: self.order,
            topic_sys_flag: i32::from(self.unit) | i32::from(self.has_unit_sub) << 1,
            attributes: changes_of_attributes(self.attributes.as_deref().unwrap_or_default())?,
            ..TopicConfig::default()
        })
    }

    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if !matches!(self.perm, 0..=7) {
            bail!("topicPermission value: {} is invalid.", self.perm);
        }
        let config = self.config()?;
        let mut changes = Changes::new(out);
        let alone = self.target.broker.is_some();
        let addresses = self.target.masters(admin).await?;
        let mut lines = Vec::new();
        for address in &addresses {
            let text = format!("create topic to {address} success.");
            lines.push((address.clone(), text));
        }
        if self.order && alone {
            // Java sets the order of a single broker's topic before it says that the topic is made.
            self.set_order(admin, &addresses, true, &mut changes).await?;
        }
        for (address, text) in lines {
            changes.make(&address, text, admin.put_topic(&address, &config)).await;
        }
        if self.order && !alone {
            self.set_order(admin, &addresses, false, &mut changes).await?;
        }
        changes.tail(java::topic_config(&config) + "\n");
        changes.print(out)
    }

    async fn set_order(
        &self,
        admin: &Admin,
        addresses: &[String],
        merge: bool,
        changes: &mut Changes,
    ) -> Result<()> {
        let info = admin.cluster_info().await?;
        let named = info.broker_addr_table.values().filter(|broker| {
            broker.broker_addrs.values().any(|address| addresses.contains(address))
        });
        let layout: Vec<String> = named
            .map(|broker| format!("{}:{}", broker.broker_name, self.write_queue_nums))
            .collect();
        let layout = layout.join(";");
        let kind = if merge { "broker" } else { "cluster" };
        let text = format!("set {kind} orderConf. isOrder=true, orderConf=[{layout}]");
        changes.make(kind, text, order::put(admin, &self.topic, &layout, merge)).await;
        Ok(())
    }
}

/// Reads `+k=v,-l`; the signs stay with the names.
pub fn changes_of_attributes(text: &str) -> Result<BTreeMap<String, String>> {
    let mut changes = BTreeMap::new();
    for change in text.split(',').filter(|change| !change.trim().is_empty()) {
        let change = change.trim();
        let (key, value) = match change.split_once('=') {
            Some((key, value)) if key.starts_with('+') => (key, value),
            None if change.starts_with('-') => (change, ""),
            _ => bail!("attribute `{change}`: expected +key=value or -key"),
        };
        if changes.insert(key.to_owned(), value.to_owned()).is_some() {
            bail!("attribute `{key}` stands twice");
        }
    }
    Ok(changes)
}

/// Makes or changes the topics that a file holds as a JSON list.
#[derive(Args, Debug)]
pub struct UpdateTopicList {
    #[command(flatten)]
    target: Target,
    /// File with the settings of topics.
    #[arg(short, long)]
    filename: PathBuf,
}

impl UpdateTopicList {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let text = std::fs::read(&self.filename)
            .with_context(|| format!("the file path {}", self.filename.display()))?;
        let configs: Vec<TopicConfig> = serde_json::from_slice(&text)
            .with_context(|| format!("{}", self.filename.display()))?;
        let mut changes = Changes::new(out);
        if configs.is_empty() {
            return changes.print(out);
        }
        for address in self.target.masters(admin).await? {
            let text = format!(
                "submit batch of topic config to {address} success, please check the result later."
            );
            changes.make(&address, text, admin.put_topics(&address, &configs)).await;
        }
        changes.print(out)
    }
}

/// Deletes a topic from the brokers of a cluster and from the name servers.
#[derive(Args, Debug)]
pub struct DeleteTopic {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Name of the cluster.
    #[arg(short, long = "clusterName")]
    cluster: String,
}

impl DeleteTopic {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { topic, cluster } = self;
        let masters = admin.cluster_addresses(cluster, false).await?;
        out.confirm(&format!(
            "Delete topic {topic} and its messages from {}",
            java::list(&masters)
        ))?;
        let mut changes = Changes::new(out);
        let text = format!("delete topic [{topic}] from cluster [{cluster}] success.");
        let deleted = async {
            for address in &masters {
                admin.delete_topic(address, topic).await?;
            }
            Ok(())
        };
        if changes.make(cluster, text, deleted).await {
            let text = format!("delete topic [{topic}] from NameServer success.");
            let forgotten = admin.forget_topic(topic, Some(cluster));
            changes.make("name servers", text, forgotten).await;
        }
        changes.print(out)
    }
}

impl Admin {
    /// Deletes a topic of one broker.
    pub async fn delete_topic(&self, address: &str, topic: &str) -> Result<()> {
        let header = DeleteTopicRequestHeader { topic: topic.to_owned() };
        self.ask(address, RequestCode::DeleteTopicInBroker, &header, &[]).await.map(|_| ())
    }

    /// Deletes the route of a topic in every name server.
    pub async fn forget_topic(&self, topic: &str, cluster: Option<&str>) -> Result<()> {
        let header = DeleteTopicFromNamesrvRequestHeader {
            topic: topic.to_owned(),
            cluster_name: cluster.map(str::to_owned),
        };
        for address in self.name_servers()? {
            self.ask(&address, RequestCode::DeleteTopicInNamesrv, &header, &[]).await?;
        }
        Ok(())
    }
}

/// Changes the permission of a topic.
#[derive(Args, Debug)]
pub struct UpdateTopicPerm {
    #[command(flatten)]
    target: Target,
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Permission: 2 to write, 4 to read, 6 both.
    #[arg(short, long)]
    perm: i32,
}

impl UpdateTopicPerm {
    /// Carries it out. Other settings of the topic stay as they are on each broker; Java sets the
    /// numbers of queues to those of the first broker and drops order and attributes.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { topic, perm, .. } = self;
        let route = admin.route(topic).await?;
        let mut changes = Changes::new(out);
        for address in self.target.masters(admin).await? {
            if !route.broker_datas.iter().any(|broker| master(broker) == Some(&address)) {
                out.text("updateTopicPerm error broker not exit or broker is not master!.\n")?;
                bail!("{address} is not a master in the route of {topic}");
            }
            let Some(mut config) = admin.topic_config(&address, topic).await? else {
                bail!("{address} does not have topic {topic}");
            };
            let old = config.perm;
            if self.target.broker.is_some() && old == *perm {
                return out.text("new perm equals to the old one!\n");
            }
            config.perm = *perm;
            config.attributes.clear();
            let text = format!("update topic perm from {old} to {perm} in {address} success.");
            changes.make(&address, text, admin.put_topic(&address, &config)).await;
            if self.target.broker.is_some() {
                changes.tail(java::topic_config(&config) + ".\n");
            }
        }
        changes.print(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_and_removed() {
        let changes = changes_of_attributes("+a=1, -b").unwrap();
        let expected =
            BTreeMap::from([("+a".to_owned(), "1".to_owned()), ("-b".into(), "".into())]);
        assert_eq!(changes, expected);
        for wrong in ["a=1", "+a", "-a=1", "+a=1,+a=2"] {
            assert!(changes_of_attributes(wrong).is_err(), "{wrong}");
        }
    }
}
