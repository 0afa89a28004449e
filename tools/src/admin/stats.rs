//! `statsAll`: rates of every topic and group.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::{BrokerStatsData, TopicRouteData};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::ViewBrokerStatsDataRequestHeader;
use serde::Serialize;

use super::client::{Admin, master, total_diff};
use super::output::Out;
use super::{java, topic};

/// Shows the rates of topics and of the groups that consume them.
#[derive(Args, Debug)]
pub struct StatsAll {
    /// Only where there were messages today.
    #[arg(short, long = "activeTopic")]
    active: bool,
    /// Only this topic.
    #[arg(short, long)]
    topic: Option<String>,
}

/// The rates of a topic and one of its groups; without a group if it has none.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rates {
    topic: String,
    group: Option<String>,
    accumulation: i64,
    in_tps: f64,
    out_tps: f64,
    in_24_hours: i64,
    out_24_hours: i64,
}

impl StatsAll {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut topics = admin.topic_names().await?;
        java::hash_order(&mut topics, java::CAPACITY, |topic| topic);
        out.text(&format!(
            "{:<64}  {:<64} {:>12} {:>11} {:>11} {:>14} {:>14}\n",
            "#Topic",
            "#Consumer Group",
            "#Accumulation",
            "#InTPS",
            "#OutTPS",
            "#InMsg24Hour",
            "#OutMsg24Hour"
        ))?;
        let wanted = |name: &String| {
            !topic::is_of_group(name) && self.topic.as_ref().is_none_or(|topic| topic == name)
        };
        for topic in topics.iter().filter(|topic| wanted(topic)) {
            // What cannot be asked is left out, as Java does.
            let Ok(route) = admin.route(topic).await else { continue };
            let Ok(groups) = admin.groups_on(topic, &route).await else { continue };
            for rates in self.rates(admin, topic, &route, groups).await {
                out.item(&rates)?;
            }
        }
        Ok(())
    }

    async fn rates(
        &self,
        admin: &Admin,
        topic: &str,
        route: &TopicRouteData,
        groups: Vec<String>,
    ) -> Vec<Rates> {
        let (in_tps, in_24_hours) = rate(admin, route, "TOPIC_PUT_NUMS", topic).await;
        let row = |group: Option<String>| Rates {
            topic: topic.to_owned(),
            group,
            accumulation: 0,
            in_tps,
            out_tps: 0.0,
            in_24_hours,
            out_24_hours: 0,
        };
        let mut rows = Vec::new();
        if groups.is_empty() {
            rows.push(row(None));
        }
        for group in groups {
            let key = format!("{topic}@{group}");
            let (out_tps, out_24_hours) = rate(admin, route, "GROUP_GET_NUMS", &key).await;
            let stats = admin.consume_stats(&group, Some(topic), None).await;
            let accumulation = stats.map_or(0, |stats| total_diff(&stats).max(0));
            rows.push(Rates { accumulation, out_tps, out_24_hours, ..row(Some(group)) });
        }
        rows.retain(|row| !self.active || row.in_24_hours > 0 || row.out_24_hours > 0);
        rows
    }
}

/// The rate of the last minute and the sum of the longest period that has one, over all masters.
async fn rate(admin: &Admin, route: &TopicRouteData, name: &str, key: &str) -> (f64, i64) {
    let header =
        ViewBrokerStatsDataRequestHeader { stats_name: name.to_owned(), stats_key: key.to_owned() };
    let (mut tps, mut sum) = (0.0, 0);
    for address in route.broker_datas.iter().filter_map(master) {
        let code = RequestCode::ViewBrokerStatsData;
        let Ok(data) = admin.body::<BrokerStatsData>(address, code, &header).await else {
            continue;
        };
        tps += data.stats_minute.as_ref().map_or(0.0, |minute| minute.tps);
        let periods = [data.stats_day, data.stats_hour, data.stats_minute];
        let mut sums = periods.iter().flatten().map(|period| period.sum);
        sum += sums.find(|sum| *sum != 0).unwrap_or_default();
    }
    (tps, sum)
}

impl Display for Rates {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let topic = java::cut(&self.topic, 64);
        let group = java::cut(self.group.as_deref().unwrap_or_default(), 64);
        let (accumulation, input) = (self.accumulation, java::fixed(self.in_tps, 2));
        write!(f, "{topic:<64}  {group:<64} {accumulation:>12} {input:>11} ")?;
        let in_24_hours = self.in_24_hours;
        match self.group {
            Some(_) => {
                let (output, out_24_hours) = (java::fixed(self.out_tps, 2), self.out_24_hours);
                writeln!(f, "{output:>11} {in_24_hours:>14} {out_24_hours:>14}")
            }
            None => writeln!(f, "{:>11} {in_24_hours:>14} {:>14}", "", "NO_CONSUMER"),
        }
    }
}
