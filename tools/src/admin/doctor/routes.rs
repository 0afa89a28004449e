//! Topics: what brokers have and what name servers tell of it.

use std::collections::BTreeMap;

use remoting::protocol::body::{ClusterInfo, TopicConfig, TopicRouteData};

use super::failed;
use super::findings::{Diagnosis, Finding};
use crate::admin::broker::config_of;
use crate::admin::client::{Admin, master};
use crate::admin::topic::is_of_group;

/// Permission bits. What passes its permission on is a template, and need have none itself.
const INHERIT: i32 = 1;
const WRITE: i32 = 2;
const READ: i32 = 4;

/// Compares the topics of every master with their routes.
pub async fn check(admin: &Admin, info: &ClusterInfo, diagnosis: &mut Diagnosis) {
    let mut routes: BTreeMap<String, Option<TopicRouteData>> = BTreeMap::new();
    for broker in info.broker_addr_table.values() {
        let Some(address) = master(broker) else { continue };
        let topics = match admin.topics_of(address).await {
            Ok((_, topics)) => topics,
            Err(error) => {
                diagnosis.find(failed(&format!("broker {}", broker.broker_name), &error));
                continue;
            }
        };
        // What the broker as a whole may not do is no finding about each of its topics.
        let allowed = config_of(admin, address).await.ok();
        let allowed = allowed.and_then(|config| config.get("brokerPermission")?.parse().ok());
        let allowed = allowed.unwrap_or(READ | WRITE);
        for (name, config) in topics {
            if !routes.contains_key(&name) {
                routes.insert(name.clone(), admin.route(&name).await.ok());
            }
            let route = routes.get(&name).and_then(Option::as_ref);
            for finding in compare(&broker.broker_name, address, &config, allowed, route) {
                diagnosis.find(finding);
            }
        }
    }
    diagnosis.checked.topics = routes.len();
    for (name, route) in &routes {
        if let Some(finding) = route.as_ref().and_then(|route| unequal(name, route)) {
            diagnosis.find(finding);
        }
    }
}

fn compare(
    broker: &str,
    address: &str,
    config: &TopicConfig,
    allowed: i32,
    route: Option<&TopicRouteData>,
) -> Vec<Finding> {
    let name = &config.topic_name;
    let subject = format!("topic {name} on {broker}");
    let mut queues = route.iter().flat_map(|route| &route.queue_datas);
    let Some(queues) = queues.find(|queues| queues.broker_name == *broker) else {
        let cure = format!(
            "mqadmin updateTopic -b {address} -t {name} -r {} -w {}",
            config.read_queue_nums, config.write_queue_nums
        );
        return vec![Finding::error(
            &subject,
            "is in no route",
            "the broker has not told the name server, or the topic was deleted there only",
            &cure,
        )];
    };
    let mut findings = Vec::new();
    let lost = config.perm & allowed & !queues.perm;
    if lost & WRITE != 0 {
        findings.push(Finding::warning(
            &subject,
            "can be written to by its broker's settings, but not by its route",
            "wipeWritePerm took the permission",
            &format!("mqadmin addWritePerm -b {broker}"),
        ));
    }
    if config.perm & (READ | WRITE | INHERIT) == 0 && !is_of_group(name) {
        findings.push(Finding::warning(
            &subject,
            "can be neither read nor written",
            "its permission was taken",
            &format!("mqadmin updateTopicPerm -b {address} -t {name} -p 6"),
        ));
    }
    if config.read_queue_nums < config.write_queue_nums && config.perm & READ != 0 {
        let unread = config.write_queue_nums - config.read_queue_nums;
        findings.push(Finding::error(
            &subject,
            &format!("takes messages in {unread} queues that nobody reads"),
            "it has more queues to write than to read",
            &format!(
                "mqadmin updateTopic -b {address} -t {name} -r {0} -w {0}",
                config.write_queue_nums
            ),
        ));
    }
    findings
}

/// Brokers with different numbers of queues get different shares of the messages.
fn unequal(name: &str, route: &TopicRouteData) -> Option<Finding> {
    let counts: Vec<i32> = route.queue_datas.iter().map(|queues| queues.write_queue_nums).collect();
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (least != most).then(|| {
        Finding::warning(
            &format!("topic {name}"),
            &format!("has {least} queues on one broker and {most} on another"),
            "it was made on each of them, at different times",
            &format!("mqadmin updateTopic -c CLUSTER -t {name} -r {most} -w {most}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use remoting::protocol::body::QueueData;

    use super::*;

    fn route(perm: i32, counts: &[i32]) -> TopicRouteData {
        let queue_datas = counts.iter().zip(["b", "c"]).map(|(count, name)| QueueData {
            broker_name: name.to_owned(),
            perm,
            read_queue_nums: *count,
            write_queue_nums: *count,
            topic_sys_flag: 0,
        });
        TopicRouteData { queue_datas: queue_datas.collect(), ..TopicRouteData::default() }
    }

    #[test]
    fn topics_and_routes_are_compared() {
        let config = TopicConfig::new("T", 4, 6);
        let found = |config: &TopicConfig, route: Option<&TopicRouteData>| -> Vec<String> {
            let all = compare("b", "a:1", config, 6, route);
            all.into_iter().map(|finding| finding.cure).collect()
        };
        assert!(found(&config, Some(&route(6, &[4]))).is_empty());
        assert_eq!(found(&config, None), ["mqadmin updateTopic -b a:1 -t T -r 4 -w 4"]);
        assert_eq!(found(&config, Some(&route(4, &[4]))), ["mqadmin addWritePerm -b b"]);
        let closed = TopicConfig::new("T", 4, 0);
        let cures = found(&closed, Some(&route(0, &[4])));
        assert_eq!(cures, ["mqadmin updateTopicPerm -b a:1 -t T -p 6"]);
        let unread = TopicConfig { read_queue_nums: 1, ..config };
        let cures = found(&unread, Some(&route(6, &[4])));
        assert_eq!(cures, ["mqadmin updateTopic -b a:1 -t T -r 4 -w 4"]);
        assert!(
            unequal("T", &route(6, &[4, 8])).is_some()
                && unequal("T", &route(6, &[4, 4])).is_none()
        );
    }
}
