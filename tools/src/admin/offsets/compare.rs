//! `mqadmin offsets`: two groups side by side, one set to another, a change undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use remoting::protocol::body::{ClusterInfo, MessageQueue};
use serde::Serialize;

use super::saved::{At, Saved};
use crate::admin::changes::Changes;
use crate::admin::client::{Admin, selected};
use crate::admin::output::Out;
use crate::admin::table::table;

/// Compares, copies and restores offsets of groups.
#[derive(Debug, Subcommand)]
pub enum OffsetsCommand {
    /// Shows where two groups are in the same queues.
    Diff(TwoGroups),
    /// Sets a group to where another is, on the topics that both are asked for.
    Copy(TwoGroups),
    /// Sets a group to where it was before this tool last changed it.
    Rollback(Rollback),
}

/// Two groups and a topic.
#[derive(Args, Debug)]
pub struct TwoGroups {
    /// The group to compare with or to copy from.
    from: String,
    /// The other group.
    to: String,
    /// Only this topic.
    #[arg(short, long)]
    topic: Option<String>,
}

/// A group to be set back.
#[derive(Args, Debug)]
pub struct Rollback {
    /// Name of the group.
    group: String,
    /// The file of offsets to use; the newest without it.
    #[arg(long)]
    file: Option<PathBuf>,
}

impl OffsetsCommand {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        match self {
            Self::Diff(groups) => groups.diff(admin, out).await,
            Self::Copy(groups) => {
                let source = Saved::read(admin, &groups.from, groups.topic.as_deref()).await?;
                out.confirm(&format!("Set group {} to where {} is", groups.to, groups.from))?;
                set(admin, out, &groups.to, source.offsets).await
            }
            Self::Rollback(rollback) => {
                let group = &rollback.group;
                let saved = Saved::load(group, rollback.file.as_deref())?;
                let then = crate::admin::java::date(saved.at_ms);
                out.confirm(&format!("Set group {group} to where it was at {then}"))?;
                set(admin, out, group, saved.offsets).await
            }
        }
    }
}

/// Sets a group queue by queue; what it was is kept first.
async fn set(admin: &Admin, out: &Out, group: &str, offsets: Vec<At>) -> Result<()> {
    if offsets.is_empty() {
        bail!("there are no offsets to set");
    }
    if !out.dry_run {
        Saved::keep(admin, group, None).await;
    }
    let info = admin.cluster_info().await?;
    let mut changes = Changes::new(out);
    for At { queue, offset } in offsets {
        let place = format!("{}/{}/{}", queue.topic, queue.broker_name, queue.queue_id);
        let text = format!("{group} at {place}: {offset}");
        let commit = async {
            let address = address(&info, &queue.broker_name)?;
            admin.set_offset(&address, group, &queue, offset).await
        };
        changes.make(&place, text, commit).await;
    }
    changes.print(out)
}

fn address(info: &ClusterInfo, broker: &str) -> Result<String> {
    let address = info.broker_addr_table.get(broker).and_then(selected);
    address.map(str::to_owned).with_context(|| format!("broker {broker} is not known"))
}

impl TwoGroups {
    async fn diff(&self, admin: &Admin, out: &Out) -> Result<()> {
        let topic = self.topic.as_deref();
        let from = Saved::read(admin, &self.from, topic).await?;
        let to = Saved::read(admin, &self.to, topic).await?;
        out.print(&Diff::of(from, to))
    }
}

/// Where two groups are.
#[derive(Serialize)]
struct Diff {
    groups: [String; 2],
    queues: Vec<Pair>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Pair {
    #[serde(flatten)]
    queue: MessageQueue,
    offsets: [Option<i64>; 2],
}

impl Diff {
    fn of(from: Saved, to: Saved) -> Self {
        let own = |topic: &str, group: &str| topic.starts_with(&format!("%RETRY%{group}"));
        let table = |saved: Saved| {
            let offsets = saved.offsets.into_iter();
            let shared = offsets.filter(|at| !own(&at.queue.topic, &saved.group));
            shared.map(|at| (at.queue, at.offset)).collect::<BTreeMap<_, _>>()
        };
        let groups = [from.group.clone(), to.group.clone()];
        let (from, to) = (table(from), table(to));
        let queues: BTreeSet<&MessageQueue> = from.keys().chain(to.keys()).collect();
        let pair = |queue: &MessageQueue| Pair {
            queue: queue.clone(),
            offsets: [from.get(queue).copied(), to.get(queue).copied()],
        };
        let mut queues: Vec<Pair> = queues.into_iter().map(pair).collect();
        queues.sort_by(|a, b| (&a.queue.topic, &a.queue).cmp(&(&b.queue.topic, &b.queue)));
        Self { groups, queues }
    }
}

impl Display for Diff {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [from, to] = &self.groups;
        let text = |offset: Option<i64>| offset.map_or("-".to_owned(), |at| at.to_string());
        let rows = self.queues.iter().map(|Pair { queue, offsets: [a, b] }| {
            let ahead = a.zip(*b).map(|(a, b)| b - a);
            [
                queue.topic.clone(),
                queue.broker_name.clone(),
                queue.queue_id.to_string(),
                text(*a),
                text(*b),
                ahead.map_or("-".to_owned(), |ahead| format!("{ahead:+}")),
            ]
        });
        f.write_str(&table(&["Topic", "Broker", "Queue", from, to, "Ahead"], rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_either_group_are_shown_but_not_their_retries() {
        let at = |topic: &str, queue_id, offset| At {
            queue: MessageQueue { broker_name: "b".into(), queue_id, topic: topic.into() },
            offset,
        };
        let saved = |group: &str, offsets| Saved { group: group.to_owned(), at_ms: 0, offsets };
        let from = saved("g", vec![at("T", 0, 5), at("T", 1, 6), at("%RETRY%g", 0, 1)]);
        let to = saved("h", vec![at("T", 0, 3), at("U", 0, 1), at("%RETRY%h", 0, 1)]);
        let diff = Diff::of(from, to);
        let offsets: Vec<_> = diff.queues.iter().map(|pair| pair.offsets).collect();
        assert_eq!(offsets, [[Some(5), Some(3)], [Some(6), None], [None, Some(1)]]);
        let text = diff.to_string();
        assert!(text.lines().nth(1).unwrap().ends_with("-2"), "{text}");
    }
}
