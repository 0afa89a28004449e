//! `resetOffsetByTime` and `skipAccumulatedMessage`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result};
use clap::{ArgAction, Args};
use remoting::protocol::body::{Body, MessageQueue, ResetOffsetBody};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    GetMaxOffsetRequestHeader, GetMaxOffsetResponseHeader, ResetOffsetRequestHeader,
    SearchOffsetRequestHeader, SearchOffsetResponseHeader,
};
use serde::Serialize;

use super::saved::Saved;
use crate::admin::client::{Admin, code_of, selected};
use crate::admin::output::Out;
use crate::admin::{java, progress, topic};

/// Asks for the ends of queues instead of the messages of a time.
const TO_THE_END: i64 = -1;

/// Sets a group to the messages of a time.
#[derive(Args, Debug)]
pub struct ResetOffsetByTime {
    /// Name of the group.
    #[arg(short, long)]
    group: String,
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// `now`, ms since 1970, or `yyyy-MM-dd#HH:mm:ss:SSS`.
    #[arg(short = 's', long)]
    timestamp: String,
    /// Whether a group that is behind may be set forward (true or false).
    #[arg(short, long, action = ArgAction::Set, value_parser = java::truth, default_value = "true")]
    force: bool,
    /// Address of a broker, with -q for one queue.
    #[arg(short, long)]
    broker: Option<String>,
    /// Id of a queue.
    #[arg(short, long)]
    queue: Option<i32>,
    /// The offset to set, with -q.
    #[arg(short, long)]
    offset: Option<i64>,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl ResetOffsetByTime {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let time = java::parse_time(&self.timestamp, runtime::clock::now_ms())
            .with_context(|| format!("timestamp `{}`", self.timestamp))?;
        out.confirm(&format!("Reset group {} on topic {}", self.group, self.topic))?;
        if let (Some(broker), Some(queue)) = (&self.broker, self.queue.filter(|id| *id >= 0)) {
            return self.one_queue(admin, out, broker, queue, time).await;
        }
        let reset = Reset {
            group: &self.group,
            topic: &self.topic,
            time,
            force: self.force,
            parent: self.cluster.as_deref(),
        };
        let title = format!(
            "start reset consumer offset by specified, group[{}], topic[{}], force[{}], \
             timestamp(string)[{}], timestamp(long)[{time}]\n",
            self.group, self.topic, self.force, self.timestamp
        );
        let old_title =
            title.trim_start_matches("start ").replacen(", group[", " consumerGroup[", 1);
        reset.run(admin, out, [&title, &old_title], "#resetOffset").await
    }

    async fn one_queue(
        &self,
        admin: &Admin,
        out: &Out,
        broker: &str,
        queue_id: i32,
        time: i64,
    ) -> Result<()> {
        let Self { group, topic, timestamp, .. } = self;
        let offset = match self.offset {
            Some(offset) => offset,
            None => admin.offset_at(broker, topic, queue_id, time).await?,
        };
        let queue = MessageQueue { queue_id, topic: topic.clone(), ..MessageQueue::default() };
        // Java quirk: an offset of 0 that was looked up changes nothing.
        if offset > 0 && !out.dry_run {
            Saved::keep(admin, group, Some(topic)).await;
            admin.set_offset(broker, group, &queue, offset).await?;
        }
        let head = format!(
            "start reset consumer offset by specified, group[{group}], topic[{topic}], \
             queueId[{queue_id}], broker[{broker}], timestamp(string)[{timestamp}], \
             timestamp(long)[{time}]"
        );
        out.print(&OneQueue { dry_run: out.dry_run, queue_id, offset, head })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneQueue {
    dry_run: bool,
    queue_id: i32,
    offset: i64,
    #[serde(skip)]
    head: String,
}

impl Display for OneQueue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nreset consumer offset to {}", self.head, self.offset)
    }
}

/// Sets a group to the ends of the queues of a topic.
#[derive(Args, Debug)]
pub struct SkipAccumulatedMessage {
    /// Name of the group.
    #[arg(short, long)]
    group: String,
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// Whether a group that is behind may be set forward (true or false).
    #[arg(short, long, action = ArgAction::Set, value_parser = java::truth, default_value = "true")]
    force: bool,
    /// Name of a cluster, or of the topic that a light queue belongs to.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl SkipAccumulatedMessage {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { group, topic, force, cluster } = self;
        out.confirm(&format!("Skip what group {group} has yet to consume of {topic}"))?;
        let parent = cluster.as_deref();
        let reset = Reset { group, topic, time: TO_THE_END, force: *force, parent };
        reset.run(admin, out, ["", ""], "#rollbackOffset").await
    }
}

/// A group that is to be set to a time.
struct Reset<'a> {
    group: &'a str,
    topic: &'a str,
    time: i64,
    force: bool,
    parent: Option<&'a str>,
}

impl Reset<'_> {
    /// Lets the brokers do it, and where they cannot, because they only tell members and none is
    /// there, does it queue by queue.
    async fn run(
        &self,
        admin: &Admin,
        out: &Out,
        [title, old_title]: [&str; 2],
        last_column: &'static str,
    ) -> Result<()> {
        if out.dry_run {
            return out.print(&self.preview(admin, old_title, last_column).await?);
        }
        Saved::keep(admin, self.group, Some(self.topic)).await;
        match self.by_brokers(admin).await {
            Ok(offsets) => {
                let mut rows: Vec<_> = offsets.into_iter().collect();
                java::queue_order(&mut rows, |(queue, _)| queue);
                let rows = rows.into_iter().map(|(queue, offset)| Row { queue, offset });
                out.print(&Table { title: title.to_owned(), rows: rows.collect() })
            }
            Err(error) if code_of(&error) == Some(ResponseCode::ConsumerNotOnline.into()) => {
                let rows = self.preview(admin, old_title, last_column).await?;
                let bar = progress::steps(rows.rows.len() as u64);
                for row in &rows.rows {
                    bar.inc(1);
                    if row.reset_offset == row.consumer_offset {
                        continue;
                    }
                    let name = &row.queue.broker_name;
                    let address = admin.broker_of(self.parent.unwrap_or(self.topic), name).await?;
                    admin.commit(&address, self.group, &row.queue, row.reset_offset).await?;
                }
                bar.finish_and_clear();
                out.print(&rows)
            }
            Err(error) => Err(error),
        }
    }

    async fn by_brokers(&self, admin: &Admin) -> Result<BTreeMap<MessageQueue, i64>> {
        let route = admin.route_for(self.topic, self.parent).await?;
        let header = ResetOffsetRequestHeader {
            topic: self.topic.to_owned(),
            group: self.group.to_owned(),
            timestamp: self.time,
            is_force: self.force,
            queue_id: -1,
            offset: Some(-1),
        };
        let mut all = BTreeMap::new();
        let bar = progress::steps(route.broker_datas.len() as u64);
        for address in route.broker_datas.iter().filter_map(selected) {
            let code = RequestCode::InvokeBrokerToResetOffset;
            let frame = admin.ask(address, code, &header, &[]).await?;
            if !frame.body().is_empty() {
                all.extend(ResetOffsetBody::decode(frame.body())?.offset_table);
            }
            bar.inc(1);
        }
        Ok(all)
    }

    /// Where each queue would be set to.
    async fn preview(
        &self,
        admin: &Admin,
        title: &str,
        last_column: &'static str,
    ) -> Result<OldTable> {
        let route = admin.route_for(self.topic, self.parent).await?;
        let queues = topic::readable(self.topic, &route);
        let bar = progress::steps(queues.len() as u64);
        let mut rows = Vec::new();
        for broker in &route.broker_datas {
            let Some(address) = selected(broker) else { continue };
            let stats = admin.broker_consume_stats(address, self.group, Some(self.topic)).await?;
            let bounds = admin.broker_topic_stats(address, self.topic).await?;
            for queue in queues.iter().filter(|queue| queue.broker_name == broker.broker_name) {
                bar.inc(1);
                let queue = queue.clone();
                let bounds = bounds.offset_table.get(&queue).cloned().unwrap_or_default();
                let known = stats.offset_table.get(&queue);
                let consumer = known.map_or(bounds.min_offset, |at| at.consumer_offset);
                let at_time = match self.time {
                    TO_THE_END => bounds.max_offset,
                    time => admin.offset_at(address, self.topic, queue.queue_id, time).await?,
                };
                let reset = if self.force || at_time <= consumer { at_time } else { consumer };
                rows.push(OldRow {
                    queue,
                    broker_offset: bounds.max_offset,
                    consumer_offset: consumer,
                    timestamp_offset: at_time,
                    reset_offset: reset,
                });
            }
        }
        Ok(OldTable { title: title.to_owned(), last_column, rows })
    }
}

impl Admin {
    /// Sets the offset of a group in one queue, also where a reset waits for its members: that
    /// would win over a mere commit.
    pub async fn set_offset(
        &self,
        address: &str,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<()> {
        self.commit(address, group, queue, offset).await?;
        let header = ResetOffsetRequestHeader {
            topic: queue.topic.clone(),
            group: group.to_owned(),
            timestamp: 0,
            is_force: false,
            queue_id: queue.queue_id,
            offset: Some(offset),
        };
        let code = RequestCode::InvokeBrokerToResetOffset;
        match self.ask(address, code, &header, &[]).await {
            // The broker does not have the group or the topic, so no reset can wait.
            Err(error) if matches!(code_of(&error), Some(17 | 26)) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// The offset of the first message of a time; the end of the queue for time -1.
    pub async fn offset_at(
        &self,
        address: &str,
        topic: &str,
        queue_id: i32,
        timestamp: i64,
    ) -> Result<i64> {
        let topic = topic.to_owned();
        if timestamp == TO_THE_END {
            let header = GetMaxOffsetRequestHeader { topic, queue_id, committed: true };
            let frame = self.ask(address, RequestCode::GetMaxOffset, &header, &[]).await?;
            return Ok(frame.header::<GetMaxOffsetResponseHeader>()?.offset);
        }
        let header = SearchOffsetRequestHeader { topic, queue_id, timestamp, ..Default::default() };
        let frame = self.ask(address, RequestCode::SearchOffsetByTimestamp, &header, &[]).await?;
        Ok(frame.header::<SearchOffsetResponseHeader>()?.offset)
    }
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    queue: MessageQueue,
    offset: i64,
}

/// Where the brokers have set a group to.
#[derive(Serialize)]
struct Table {
    #[serde(skip)]
    title: String,
    rows: Vec<Row>,
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        writeln!(f, "{:<40}  {:<40}  {:<40}", "#brokerName", "#queueId", "#offset")?;
        for Row { queue, offset } in &self.rows {
            let name = java::cut(&queue.broker_name, 32);
            writeln!(f, "{name:<40}  {:<40}  {offset:<40}", queue.queue_id)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OldRow {
    #[serde(flatten)]
    queue: MessageQueue,
    broker_offset: i64,
    consumer_offset: i64,
    timestamp_offset: i64,
    reset_offset: i64,
}

/// Where a group was and is set to, queue by queue.
#[derive(Serialize)]
struct OldTable {
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    last_column: &'static str,
    rows: Vec<OldRow>,
}

impl Display for OldTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        let mut line = |cells: [&dyn Display; 6]| {
            let cells = cells.map(|cell| format!("{:<20}", cell.to_string()));
            writeln!(f, "{}", cells.join("  "))
        };
        line([
            &"#brokerName",
            &"#queueId",
            &"#brokerOffset",
            &"#consumerOffset",
            &"#timestampOffset",
            &self.last_column,
        ])?;
        for row in &self.rows {
            line([
                &java::cut(&row.queue.broker_name, 32),
                &row.queue.queue_id,
                &row.broker_offset,
                &row.consumer_offset,
                &row.timestamp_offset,
                &row.reset_offset,
            ])?;
        }
        Ok(())
    }
}
