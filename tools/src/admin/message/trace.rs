//! `queryMsgTraceById`: what senders and consumers have told about a message.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::Message;
use super::fetch::Query;
use crate::admin::client::Admin;
use crate::admin::java;
use crate::admin::output::Out;

/// Ends a record of a trace.
const RECORD_END: char = '\u{2}';
/// Separates the fields of a record.
const FIELD_END: char = '\u{1}';

/// Shows who has sent and consumed a message, as its clients have traced it.
#[derive(Args, Debug)]
pub struct QueryMsgTraceById {
    /// Unique id of the message.
    #[arg(short = 'i', long = "msgId")]
    id: String,
    /// The topic of traces.
    #[arg(short, long = "traceTopic", default_value = "RMQ_SYS_TRACE_TOPIC")]
    topic: String,
    /// Traced since, in ms.
    #[arg(short, long = "beginTimestamp", default_value_t = 0)]
    begin: i64,
    /// Traced until, in ms.
    #[arg(short, long = "endTimestamp", default_value_t = i64::MAX, hide_default_value = true)]
    end: i64,
    /// Most messages of traces of each broker.
    #[arg(short = 'c', long = "maxNum", default_value_t = 64)]
    max: i32,
}

/// What a sender or a consumer did.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    kind: &'static str,
    group: String,
    client_host: String,
    time_ms: i64,
    cost_ms: i64,
    success: bool,
}

/// The life of a message.
#[derive(Serialize)]
struct Trace {
    published: Vec<Step>,
    consumed: Vec<Step>,
}

impl QueryMsgTraceById {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let query = Query {
            topic: &self.topic,
            key: &self.id,
            unique: false,
            max: self.max,
            begin_ms: self.begin,
            end_ms: self.end,
            cluster: None,
        };
        let steps = admin.query(&query).await?;
        out.print(&Trace::of(&self.id, &steps))
    }
}

impl Trace {
    fn of(id: &str, messages: &[Message]) -> Self {
        let mut trace = Self { published: Vec::new(), consumed: Vec::new() };
        for message in messages {
            let body = String::from_utf8_lossy(&message.body);
            let host = message.born_host.ip().to_string();
            for record in body.split(RECORD_END) {
                let fields: Vec<&str> = record.split(FIELD_END).collect();
                match (fields[0], Step::of(&fields, id, &host)) {
                    ("Pub", Some(step)) => trace.published.push(step),
                    ("SubAfter", Some(step)) => trace.consumed.push(step),
                    _ => {}
                }
            }
        }
        trace.consumed.sort_by(|a, b| a.group.cmp(&b.group));
        trace
    }
}

impl Step {
    /// Reads a record of this message; `None` for those of others.
    fn of(fields: &[&str], id: &str, host: &str) -> Option<Self> {
        let number = |at: usize| fields.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
        let truth = |at: usize| fields.get(at).is_some_and(|text| *text == "true");
        let publishes = fields[0] == "Pub";
        if *fields.get(if publishes { 5 } else { 2 })? != id {
            return None;
        }
        Some(Self {
            kind: if publishes { "Pub" } else { "Sub" },
            group: fields.get(if publishes { 3 } else { 8 }).unwrap_or(&"null").to_string(),
            client_host: host.to_owned(),
            time_ms: number(if publishes { 1 } else { 7 }),
            cost_ms: number(if publishes { 10 } else { 3 }),
            // A publisher of older releases does not tell the place of the message.
            success: truth(match (publishes, fields.len()) {
                (true, 13) => 12,
                (true, _) => 13,
                (false, _) => 4,
            }),
        })
    }
}

fn line(f: &mut Formatter<'_>, cells: [&str; 6]) -> fmt::Result {
    let [kind, group, host, time, cost, status] = cells;
    writeln!(f, "{kind:<10} {group:<20} {host:<20} {time:<20} {cost:<10} {status:<10}")
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (time, cost) = (java::date(self.time_ms), format!("{}ms", self.cost_ms));
        let status = if self.success { "success" } else { "failed" };
        line(f, [self.kind, &self.group, &self.client_host, &time, &cost, status])
    }
}

impl Display for Trace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rest = ["#CostTimes", "#Status"];
        for step in &self.published {
            line(f, ["#Type", "#ProducerGroup", "#ClientHost", "#SendTime", rest[0], rest[1]])?;
            writeln!(f, "{step}")?;
        }
        for group in self.consumed.chunk_by(|a, b| a.group == b.group) {
            line(f, ["#Type", "#ConsumerGroup", "#ClientHost", "#ConsumerTime", rest[0], rest[1]])?;
            group.iter().try_for_each(|step| write!(f, "{step}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_other_messages_are_left_out() {
        let record = |id: &str| {
            let fields =
                ["Pub", "7", "r", "g", "T", id, "null", "k", "h", "1", "5", "0", "o", "true"];
            fields.join("\u{1}")
        };
        let own = record("A");
        let fields: Vec<&str> = own.split(FIELD_END).collect();
        let step = Step::of(&fields, "A", "1.2.3.4").unwrap();
        assert_eq!((step.time_ms, step.cost_ms, step.success), (7, 5, true));
        let other = record("B");
        let fields: Vec<&str> = other.split(FIELD_END).collect();
        assert_eq!(Step::of(&fields, "A", "1.2.3.4"), None);
        assert_eq!(Step::of(&["Pub"], "A", "1.2.3.4"), None);
    }
}
