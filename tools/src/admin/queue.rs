//! `queryCq`: units of a consume queue.

use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::body::{Body, QueryConsumeQueueResponseBody};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::QueryConsumeQueueRequestHeader;
use serde::Serialize;

use super::client::Admin;
use super::java_json;
use super::output::Out;

/// Shows units of a consume queue.
#[derive(Args, Debug)]
pub struct QueryCq {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Id of the queue.
    #[arg(short, long)]
    queue: i32,
    /// Offset of the first unit.
    #[arg(short, long)]
    index: i64,
    /// Most units.
    #[arg(short, long, default_value_t = 10)]
    count: i32,
    /// Address of the broker; the first of the route without it.
    #[arg(short, long)]
    broker: Option<String>,
    /// Whether each would be delivered to this group.
    #[arg(short = 'g', long = "consumer")]
    group: Option<String>,
}

#[derive(Serialize)]
struct Units {
    first: i64,
    #[serde(flatten)]
    body: QueryConsumeQueueResponseBody,
}

impl QueryCq {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let broker = match &self.broker {
            Some(broker) => broker.clone(),
            None => admin.first_broker(&self.topic).await?,
        };
        let header = QueryConsumeQueueRequestHeader {
            topic: Some(self.topic.clone()),
            queue_id: self.queue,
            index: self.index,
            count: self.count,
            consumer_group: self.group.clone(),
        };
        let frame = admin.ask(&broker, RequestCode::QueryConsumeQueue, &header, &[]).await?;
        if frame.body().is_empty() {
            bail!("{}", frame.remark().unwrap_or("the broker answers without units"));
        }
        let body = QueryConsumeQueueResponseBody::decode(frame.body())?;
        out.print(&Units { first: self.index, body })
    }
}

impl Display for Units {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = "=".repeat(38);
        let body = &self.body;
        if let Some(subscription) = &body.subscription_data {
            writeln!(f, "Subscription data: \n{}\n{rule}", java_json::pretty(subscription))?;
        }
        if let Some(filter) = &body.filter_data {
            writeln!(f, "Filter data: \n{filter}\n{rule}")?;
        }
        let (max, min) = (body.max_queue_index, body.min_queue_index);
        writeln!(f, "Queue data: \nmax: {max}, min: {min}\n{rule}")?;
        for (unit, index) in body.queue_data.iter().zip(self.first..) {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
            writeln!(
                f,
                "idx: {index}\nConsumeQueueData{{physicOffset={}, physicSize={}, tagsCode={}, \
                 extendDataJson='{}', bitMap='{}', eval={}, msg='{}'}}\n{rule}",
                unit.physic_offset,
                unit.physic_size,
                unit.tags_code,
                text(&unit.extend_data_json),
                text(&unit.bit_map),
                unit.eval,
                text(&unit.msg),
            )?;
        }
        Ok(())
    }
}
