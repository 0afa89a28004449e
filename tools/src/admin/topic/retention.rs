//! `mqadmin topic retention`: how long topics keep their messages.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::admin::changes::Changes;
use crate::admin::client::{Admin, master};
use crate::admin::output::Out;
use crate::admin::table::table;

/// The attribute that holds the hours.
const RESERVE_TIME: &str = "reserve.time";

/// What can be done with topics beside what Java's commands do.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Shows or sets for how many hours topics keep their messages.
    Retention(Retention),
}

impl TopicCommand {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        match self {
            Self::Retention(retention) => retention.run(admin, out).await,
        }
    }
}

/// A topic and its time.
#[derive(Args, Debug)]
pub struct Retention {
    /// Name of the topic; all that have a time of their own without it.
    topic: Option<String>,
    /// Sets the time in hours.
    #[arg(long, requires = "topic", conflicts_with = "default")]
    hours: Option<u32>,
    /// Lets the topic be like all others again.
    #[arg(long, requires = "topic")]
    default: bool,
}

/// A topic's time on one broker.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    topic: String,
    broker: String,
    /// `None` if it is the broker's own.
    hours: Option<i64>,
    /// What counts without a time of its own.
    of_broker: Option<i64>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllKept(Vec<Kept>);

impl Retention {
    async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        match (&self.topic, self.hours, self.default) {
            (Some(topic), Some(0), _) => bail!("{topic}: 0 hours would keep nothing"),
            (Some(topic), Some(hours), _) => set(admin, out, topic, &hours.to_string()).await,
            (Some(topic), None, true) => set(admin, out, topic, "-1").await,
            (topic, _, _) => out.print(&show(admin, topic.as_deref()).await?),
        }
    }
}

/// Sets the attribute on every master that has the topic; all else of the topic stays.
async fn set(admin: &Admin, out: &Out, topic: &str, hours: &str) -> Result<()> {
    let route = admin.route(topic).await?;
    let shorter = hours != "-1";
    if shorter {
        out.confirm(&format!("Let {topic} keep its messages for {hours} hours"))?;
    }
    let mut changes = Changes::new(out);
    for address in route.broker_datas.iter().filter_map(master) {
        let Some(mut config) = admin.topic_config(address, topic).await? else { continue };
        config.attributes = BTreeMap::from([(format!("+{RESERVE_TIME}"), hours.to_owned())]);
        let text = match shorter {
            true => format!("{topic} keeps its messages for {hours} hours on {address}"),
            false => format!("{topic} keeps its messages as long as all others on {address}"),
        };
        changes.make(address, text, admin.put_topic(address, &config)).await;
    }
    changes.print(out)
}

async fn show(admin: &Admin, topic: Option<&str>) -> Result<AllKept> {
    let info = admin.cluster_info().await?;
    let mut all = Vec::new();
    for broker in info.broker_addr_table.values() {
        let Some(address) = master(broker) else { continue };
        let (_, topics) = admin.topics_of(address).await?;
        let config = crate::admin::broker::config_of(admin, address).await?;
        let of_broker = config.get("fileReservedTime").and_then(|hours| hours.parse().ok());
        for (name, config) in topics {
            let own = config.attributes.get(RESERVE_TIME).and_then(|hours| hours.parse().ok());
            let own = own.filter(|hours: &i64| *hours >= 0);
            if topic.map_or(own.is_some(), |topic| topic == name) {
                let broker = broker.broker_name.clone();
                all.push(Kept { topic: name, broker, hours: own, of_broker });
            }
        }
    }
    if let (Some(topic), true) = (topic, all.is_empty()) {
        bail!("no broker has topic {topic}");
    }
    Ok(AllKept(all))
}

impl Display for AllKept {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|kept| {
            let text = |hours: Option<i64>| hours.map_or("-".to_owned(), |hours| hours.to_string());
            [kept.topic.clone(), kept.broker.clone(), text(kept.hours), text(kept.of_broker)]
        });
        f.write_str(&table(&["Topic", "Broker", "Hours", "Hours of the broker"], rows))
    }
}
