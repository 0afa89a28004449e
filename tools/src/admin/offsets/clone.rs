//! `cloneGroupOffset`.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::saved::Saved;
use crate::admin::changes::Changes;
use crate::admin::client::{Admin, selected};
use crate::admin::output::Out;

/// Gives a group the offsets of another.
#[derive(Args, Debug)]
pub struct CloneGroupOffset {
    /// The group whose offsets are taken.
    #[arg(short, long = "srcGroup")]
    src_group: String,
    /// The group that gets them.
    #[arg(short, long = "destGroup")]
    dest_group: String,
    /// A topic of the groups.
    #[arg(short, long)]
    topic: String,
    /// Taken and not looked at.
    #[arg(short, long)]
    offline: Option<String>,
}

impl CloneGroupOffset {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { src_group, dest_group, topic, .. } = self;
        let mut changes = Changes::new(out);
        let text = format!(
            "clone group offset success. srcGroup[{src_group}], destGroup=[{dest_group}], \
             topic[{topic}]"
        );
        let copy = async {
            let source = Saved::read(admin, src_group, None).await?;
            if source.offsets.is_empty() {
                bail!("group {src_group} has no offsets");
            }
            Saved::keep(admin, dest_group, None).await;
            admin.restore(dest_group, &source, topic).await
        };
        changes.make_ending(dest_group, text, "", copy).await;
        changes.print(out)
    }
}

impl Admin {
    /// Sets the offsets of a group, in all topics of `saved`; brokers are those of a topic's route.
    async fn restore(&self, group: &str, saved: &Saved, topic: &str) -> Result<()> {
        let route = self.route(topic).await?;
        for at in &saved.offsets {
            let name = &at.queue.broker_name;
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == *name);
            let address = broker.and_then(selected);
            let address = address.with_context(|| format!("broker {name} has no {topic}"))?;
            self.set_offset(address, group, &at.queue, at.offset).await?;
        }
        Ok(())
    }
}
