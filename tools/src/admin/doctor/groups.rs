//! Groups: members that agree, lag, dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use remoting::protocol::body::{
    Body, ClusterInfo, ConsumeStatsList, ConsumerConnection, MessageModel, SubscriptionGroupConfig,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::GetConsumeStatsInBrokerHeader;

use super::findings::{Diagnosis, Finding};
use super::{Doctor, failed};
use crate::admin::client::{Admin, master};

/// How long the figures of all groups of a broker may take.
const STATS_TIMEOUT: Duration = Duration::from_secs(50);

/// A topic, or a group's subscription to one.
type Subscriptions = BTreeMap<String, String>;

/// Looks at the groups of every master.
pub async fn check(doctor: &Doctor, admin: &Admin, info: &ClusterInfo, diagnosis: &mut Diagnosis) {
    let mut seen = BTreeSet::new();
    let mut lags = BTreeMap::new();
    for broker in info.broker_addr_table.values() {
        let Some(address) = master(broker) else { continue };
        let subject = format!("broker {}", broker.broker_name);
        match admin.groups_of(address).await {
            Ok((_, groups)) => {
                for (name, config) in groups.into_iter().filter(|(name, _)| !is_system(name)) {
                    let members = admin.consumer_connection(&name, Some(address)).await.ok();
                    let first = seen.insert(name.clone());
                    for finding in settings(address, &config, members.as_ref()) {
                        diagnosis.find(finding);
                    }
                    if let (true, Some(members)) = (first, &members) {
                        subscriptions(admin, &name, members, diagnosis).await;
                    }
                }
            }
            Err(error) => diagnosis.find(failed(&subject, &error)),
        }
        if let Err(error) = add_lags(admin, address, &mut lags).await {
            diagnosis.find(failed(&subject, &error));
        }
    }
    diagnosis.checked.groups = seen.len();
    for (group, topics) in &lags {
        let online = admin.consumer_connection(group, None).await.is_ok();
        for (topic, diff) in topics.iter().filter(|(_, diff)| **diff > doctor.lag) {
            diagnosis.find(lagging(group, topic, *diff, online));
        }
    }
}

fn is_system(group: &str) -> bool {
    let names = ["TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP"];
    group.starts_with("CID_RMQ_SYS_") || group.starts_with("CID_ONS") || names.contains(&group)
}

fn settings(
    address: &str,
    config: &SubscriptionGroupConfig,
    members: Option<&ConsumerConnection>,
) -> Vec<Finding> {
    let Some(members) = members else { return Vec::new() };
    let name = &config.group_name;
    let subject = format!("group {name} on {address}");
    let mut findings = Vec::new();
    if !config.consume_enable {
        findings.push(Finding::error(
            &subject,
            "has members, but may not consume",
            "consumeEnable is false",
            &format!("mqadmin updateSubGroup -b {address} -g {name} -s true"),
        ));
    }
    let broadcasts = members.message_model == Some(MessageModel::Broadcasting);
    if broadcasts && !config.consume_broadcast_enable {
        findings.push(Finding::error(
            &subject,
            "broadcasts, but may not",
            "consumeBroadcastEnable is false, as mqadmin makes groups unless it is told otherwise",
            &format!("mqadmin updateSubGroup -b {address} -g {name} -d true"),
        ));
    }
    findings
}

/// Members of a group must subscribe to the same, or each takes messages away from the others.
async fn subscriptions(
    admin: &Admin,
    group: &str,
    members: &ConsumerConnection,
    diagnosis: &mut Diagnosis,
) {
    if members.connection_set.len() < 2 {
        return;
    }
    let mut known: Vec<(String, Subscriptions)> = Vec::new();
    for member in &members.connection_set {
        // Clients of other languages do not all answer; what they subscribe to stays unknown.
        let Ok(info) = admin.running_info(group, &member.client_id, false).await else { continue };
        let all = info.subscription_set.into_iter().map(|one| (one.topic, one.sub_string));
        known.push((member.client_id.clone(), all.collect()));
    }
    if let Some(finding) = conflict(group, &known) {
        diagnosis.find(finding);
    }
}

fn conflict(group: &str, known: &[(String, Subscriptions)]) -> Option<Finding> {
    let (first, expected) = known.first()?;
    let (other, subscriptions) = known.iter().find(|(_, set)| set != expected)?;
    let text = |set: &Subscriptions| {
        let all: Vec<String> = set.iter().map(|(topic, tags)| format!("{topic}: {tags}")).collect();
        all.join(", ")
    };
    Some(Finding::error(
        &format!("group {group}"),
        &format!(
            "has members that subscribe to different things: {first} to {}, {other} to {}",
            text(expected),
            text(subscriptions)
        ),
        "different programs, or versions of one, use the same group: messages get lost for one",
        &format!("give each its own group; mqadmin consumerStatus -g {group} shows the members"),
    ))
}

/// Adds up what the groups of a broker have yet to consume, by group and topic.
async fn add_lags(
    admin: &Admin,
    address: &str,
    lags: &mut BTreeMap<String, BTreeMap<String, i64>>,
) -> anyhow::Result<()> {
    let header = GetConsumeStatsInBrokerHeader { is_order: false };
    let code = RequestCode::GetBrokerConsumeStats;
    let frame = admin.ask_within(address, code, &header, &[], STATS_TIMEOUT).await?;
    let list = ConsumeStatsList::decode(frame.body())?;
    for (group, all) in list.consume_stats_list.into_iter().flatten() {
        let topics = lags.entry(group).or_default();
        for (queue, at) in all.into_iter().flat_map(|stats| stats.offset_table) {
            *topics.entry(queue.topic).or_default() += at.broker_offset - at.consumer_offset;
        }
    }
    lags.retain(|group, _| !is_system(group));
    Ok(())
}

fn lagging(group: &str, topic: &str, diff: i64, online: bool) -> Finding {
    let subject = format!("group {group} on {topic}");
    let what = format!("has {diff} messages to consume");
    match online {
        true => Finding::warning(
            &subject,
            &what,
            "its members are slower than its messages come, or one is stuck",
            &format!("start more members; mqadmin consumerStatus -g {group} shows who is stuck"),
        ),
        false => Finding::warning(
            &subject,
            &what,
            "it has no members",
            &format!(
                "start members, or mqadmin skipAccumulatedMessage -g {group} -t {topic}, or \
                 mqadmin deleteSubGroup -g {group} -c CLUSTER -r true"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_subscribe_differently_are_named() {
        let member = |name: &str, tags: &str| {
            (name.to_owned(), BTreeMap::from([("T".to_owned(), tags.to_owned())]))
        };
        assert!(conflict("g", &[]).is_none());
        assert!(conflict("g", &[member("a", "*"), member("b", "*")]).is_none());
        let found = conflict("g", &[member("a", "*"), member("b", "X")]).unwrap();
        assert!(found.what.ends_with("a to T: *, b to T: X"), "{}", found.what);
    }

    #[test]
    fn settings_that_keep_members_out_are_found() {
        let broadcasting = ConsumerConnection {
            message_model: Some(MessageModel::Broadcasting),
            ..ConsumerConnection::default()
        };
        let config = SubscriptionGroupConfig {
            consume_enable: false,
            consume_broadcast_enable: false,
            ..SubscriptionGroupConfig::new("g")
        };
        assert_eq!(settings("a:1", &config, Some(&broadcasting)).len(), 2);
        assert!(settings("a:1", &config, None).is_empty());
        let open = SubscriptionGroupConfig::new("g");
        assert!(settings("a:1", &open, Some(&broadcasting)).is_empty());
    }
}
