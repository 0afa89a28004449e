//! `consumerStatus`: what the members of a group tell about themselves.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use remoting::protocol::body::{ConsumerRunningInfo, MessageQueue, ProcessQueueInfo};
use remoting::protocol::code::version_name;
use serde::Serialize;

use crate::admin::client::Admin;
use crate::admin::java;
use crate::admin::output::Out;

/// A client that started so long ago has subscribed to everything.
const STARTED_MS: i64 = 120_000;
/// Messages that wait so long are stuck.
const STUCK_MS: i64 = 60_000;

/// Shows what the members of a consumer group tell about themselves.
#[derive(Args, Debug)]
pub struct ConsumerStatus {
    /// Name of the group.
    #[arg(short = 'g', long = "consumerGroup")]
    group: String,
    /// Only this member.
    #[arg(short = 'i', long = "clientId")]
    client: Option<String>,
    /// Address of the broker to ask for the members.
    #[arg(short, long = "brokerAddr")]
    broker: Option<String>,
    /// With the stacks of its threads.
    #[arg(short = 's', long)]
    jstack: bool,
}

/// A member and the file that holds what it told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    client_id: String,
    version: String,
    file: PathBuf,
    #[serde(skip)]
    info: ConsumerRunningInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    members: Vec<Member>,
    same_subscription: bool,
    warnings: Vec<String>,
}

/// What one member tells.
#[derive(Serialize)]
#[serde(transparent)]
struct Told<'a>(&'a ConsumerRunningInfo);

impl ConsumerStatus {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if let Some(client) = &self.client {
            let info = admin.running_info(&self.group, client, self.jstack).await?;
            return out.print(&Told(&info));
        }
        let connection = admin.consumer_connection(&self.group, self.broker.as_deref()).await?;
        let now_ms = runtime::clock::now_ms();
        let mut members = Vec::new();
        for one in connection.connection_set {
            let id = one.client_id;
            let info = match admin.running_info(&self.group, &id, self.jstack).await {
                Ok(info) => info,
                Err(error) => {
                    eprintln!("{id}: {error:#}");
                    continue;
                }
            };
            let file = write(now_ms, &id, &Told(&info))?;
            members.push(Member { client_id: id, version: version_name(one.version), file, info });
        }
        out.print(&Members::of(members, now_ms))
    }
}

/// Writes what a member told below the working directory, as Java does.
fn write(now_ms: i64, client_id: &str, told: &Told<'_>) -> Result<PathBuf> {
    let directory = PathBuf::from(now_ms.to_string());
    // The id comes from outside: it must not lead out of the directory.
    let file = directory.join(client_id.replace(['/', '\\'], "_"));
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    fs::write(&file, told.to_string()).with_context(|| file.display().to_string())?;
    Ok(file)
}

impl Members {
    fn of(members: Vec<Member>, now_ms: i64) -> Self {
        let same_subscription = same(&members, now_ms);
        let mut by_id: Vec<&Member> = members.iter().collect();
        by_id.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        let warnings = match same_subscription {
            true => by_id.iter().flat_map(|member| warnings(member, now_ms)).collect(),
            false => Vec::new(),
        };
        Self { members, same_subscription, warnings }
    }
}

fn is_push(info: &ConsumerRunningInfo) -> bool {
    info.properties.get("PROP_CONSUME_TYPE").is_some_and(|kind| kind == "CONSUME_PASSIVELY")
}

/// Whether all have the same subscriptions; not asked of those that have just started.
fn same(members: &[Member], now_ms: i64) -> bool {
    let Some(first) = members.iter().min_by_key(|member| &member.client_id) else { return true };
    let started = first.info.properties.get("PROP_CONSUMER_START_TIMESTAMP");
    let started = started.and_then(|ms| ms.parse::<i64>().ok()).unwrap_or(now_ms);
    if !is_push(&first.info) || now_ms - started <= STARTED_MS {
        return true;
    }
    let set = |member: &Member| {
        let all = member.info.subscription_set.iter();
        all.map(|one| (one.topic.clone(), one.sub_string.clone())).collect::<BTreeMap<_, _>>()
    };
    let expected = set(first);
    members.iter().all(|member| set(member) == expected)
}

fn warnings(member: &Member, now_ms: i64) -> Vec<String> {
    let info = &member.info;
    if !is_push(info) {
        return Vec::new();
    }
    let in_order = info.properties.get("PROP_CONSUMEORDERLY").is_some_and(|text| text == "true");
    let queues = info.mq_table.iter();
    queues
        .filter_map(|(queue, state)| warning(&member.client_id, queue, state, in_order, now_ms))
        .collect()
}

fn warning(
    client_id: &str,
    queue: &MessageQueue,
    state: &ProcessQueueInfo,
    in_order: bool,
    now_ms: i64,
) -> Option<String> {
    let MessageQueue { topic, broker_name, queue_id } = queue;
    let place = format!(
        "{client_id} MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]"
    );
    let idle = now_ms - state.last_consume_timestamp;
    let tries = state.try_unlock_times;
    match in_order {
        true if !state.locked => {
            let since = now_ms - state.last_lock_timestamp;
            Some(format!("{place} can't lock for a while, {since}ms"))
        }
        true if state.droped && tries > 0 => {
            Some(format!("{place} unlock {tries} times, still failed"))
        }
        false if idle > STUCK_MS && state.cached_msg_count > 0 => {
            Some(format!("{place} can't consume for a while, maybe blocked, {idle}ms"))
        }
        _ => None,
    }
}

impl Display for Members {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [index, id, version] = ["#Index", "#ClientId", "#Version"];
        writeln!(f, "{index:<10} {id:<40} {version:<20} #ConsumerRunningInfoFile")?;
        for (at, Member { client_id, version, file, .. }) in self.members.iter().enumerate() {
            writeln!(f, "{:<10} {client_id:<40} {version:<20} {}", at + 1, file.display())?;
        }
        if self.members.is_empty() {
            return Ok(());
        }
        if !self.same_subscription {
            let warning = "WARN: Different subscription in the same group of consumer!!!";
            return write!(f, "\n\n{warning}");
        }
        writeln!(f, "\n\nSame subscription in the same group of consumer\n\nRebalance OK")?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "{warning}"))
    }
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(info) = self;
        writeln!(f, "#Consumer Properties#")?;
        let mut properties: Vec<_> = info.properties.iter().collect();
        java::hash_order(&mut properties, java::CAPACITY, |(name, _)| name);
        for (name, value) in properties {
            writeln!(f, "{name:<40}: {value}")?;
        }
        writeln!(f, "\n\n#Consumer Subscription#")?;
        for (at, one) in info.subscription_set.iter().enumerate() {
            writeln!(
                f,
                "{:03} Topic: {:<40} ClassFilter: {:<8} SubExpression: {}",
                at + 1,
                one.topic,
                one.class_filter_mode.to_string(),
                one.sub_string
            )?;
        }
        self.queues(f)?;
        self.rates(f)?;
        writeln!(f, "\n\n#User Consume Info#")?;
        for (name, value) in &info.user_consumer_info {
            writeln!(f, "{name:<40}: {value}")?;
        }
        match &info.jstack {
            Some(jstack) => write!(f, "\n\n#Consumer jstack#\n{jstack}"),
            None => Ok(()),
        }
    }
}

impl Told<'_> {
    /// Queues in Java's order; columns are wider in heads than in rows, as in Java.
    fn queues(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut pulled: Vec<_> = self.0.mq_table.iter().collect();
        pulled.sort_by_key(|(queue, _)| super::progress::order(queue));
        let mut popped: Vec<_> = self.0.mq_pop_table.iter().collect();
        popped.sort_by_key(|(queue, _)| super::progress::order(queue));
        let [topic, broker, id] = ["#Topic", "#Broker Name", "#QID"];
        let head = |width: usize| format!("{topic:<width$}  {broker:<32}  {id:<4}  ");
        let place = |queue: &MessageQueue, width: usize| {
            let MessageQueue { topic, broker_name, queue_id } = queue;
            format!("{topic:<width$}  {broker_name:<32}  {queue_id:<4}  ")
        };
        writeln!(f, "\n\n#Consumer Offset#\n{}{:<20}", head(64), "#Consumer Offset")?;
        for (queue, state) in &pulled {
            writeln!(f, "{}{:<20}", place(queue, 32), state.commit_offset)?;
        }
        writeln!(f, "\n\n#Consumer MQ Detail#\n{}{:<20}", head(64), "#ProcessQueueInfo")?;
        for (queue, state) in &pulled {
            writeln!(f, "{}{}", place(queue, 64), detail(state))?;
        }
        writeln!(f, "\n\n#Consumer Pop Detail#\n{}{:<20}", head(32), "#ProcessQueueInfo")?;
        for (queue, state) in &popped {
            writeln!(
                f,
                "{}PopProcessQueueInfo [waitAckCount:{}, droped:{}, lastPopTimestamp:{}]",
                place(queue, 32),
                state.wait_ack_count,
                state.droped,
                state.last_pop_timestamp
            )?;
        }
        Ok(())
    }

    fn rates(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n\n#Consumer RT&TPS#\n{:<64}  {:>14} {:>14} {:>14} {:>14} {:>18} {:>25}",
            "#Topic",
            "#Pull RT",
            "#Pull TPS",
            "#Consume RT",
            "#ConsumeOK TPS",
            "#ConsumeFailed TPS",
            "#ConsumeFailedMsgsInHour"
        )?;
        for (topic, status) in &self.0.status_table {
            let fixed = |value| java::fixed(value, 2);
            writeln!(
                f,
                "{topic:<32}  {:>14} {:>14} {:>14} {:>14} {:>18} {:>25}",
                fixed(status.pull_rt),
                fixed(status.pull_tps),
                fixed(status.consume_rt),
                fixed(status.consume_ok_tps),
                fixed(status.consume_failed_tps),
                status.consume_failed_msgs
            )?;
        }
        Ok(())
    }
}

fn detail(state: &ProcessQueueInfo) -> String {
    format!(
        "ProcessQueueInfo [commitOffset={}, cachedMsgMinOffset={}, cachedMsgMaxOffset={}, \
         cachedMsgCount={}, cachedMsgSizeInMiB={}, transactionMsgMinOffset={}, \
         transactionMsgMaxOffset={}, transactionMsgCount={}, locked={}, tryUnlockTimes={}, \
         lastLockTimestamp={}, droped={}, lastPullTimestamp={}, lastConsumeTimestamp={}]",
        state.commit_offset,
        state.cached_msg_min_offset,
        state.cached_msg_max_offset,
        state.cached_msg_count,
        state.cached_msg_size_in_mib,
        state.transaction_msg_min_offset,
        state.transaction_msg_max_offset,
        state.transaction_msg_count,
        state.locked,
        state.try_unlock_times,
        java::digits(state.last_lock_timestamp),
        state.droped,
        java::digits(state.last_pull_timestamp),
        java::digits(state.last_consume_timestamp),
    )
}
