//! Cleaning: consume queues, unused topics, the commit log; the flush offset of a master.

use anyhow::Result;
use clap::Args;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{NoHeader, ResetMasterFlushOffsetHeader};

use crate::admin::changes::Changes;
use crate::admin::client::Admin;
use crate::admin::output::Out;

/// A broker, the brokers of a cluster, or all.
#[derive(Args, Debug)]
struct Everywhere {
    /// Address of a broker.
    #[arg(short, long = "brokerAddr")]
    broker: Option<String>,
    /// Name of a cluster; every cluster without both.
    #[arg(short, long, alias = "clusterName")]
    cluster: Option<String>,
}

impl Everywhere {
    async fn addresses(&self, admin: &Admin) -> Result<Vec<String>> {
        match (&self.broker, &self.cluster) {
            (Some(broker), _) => Ok(vec![broker.clone()]),
            (None, Some(cluster)) => admin.cluster_addresses(cluster, true).await,
            (None, None) => {
                let info = admin.cluster_info().await?;
                let brokers = info.broker_addr_table.values();
                Ok(brokers.flat_map(|broker| broker.broker_addrs.values().cloned()).collect())
            }
        }
    }

    async fn clean(&self, admin: &Admin, out: &Out, what: &str, code: RequestCode) -> Result<()> {
        let addresses = self.addresses(admin).await?;
        out.confirm(&format!("Clean {what} of {} brokers", addresses.len()))?;
        let mut changes = Changes::new(out);
        let last = addresses.len().saturating_sub(1);
        for (at, address) in addresses.iter().enumerate() {
            let clean = async { admin.ask(address, code, &NoHeader, &[]).await.map(|_| ()) };
            // Java prints one word for all.
            let text = if at == last { "success" } else { "" };
            match out.dry_run {
                true => changes.make(address, format!("clean {what} of {address}"), clean).await,
                false => changes.make_ending(address, text.to_owned(), "", clean).await,
            };
        }
        changes.print(out)
    }
}

/// Deletes files of consume queues whose messages are gone.
#[derive(Args, Debug)]
pub struct CleanExpiredCq {
    #[command(flatten)]
    everywhere: Everywhere,
}

impl CleanExpiredCq {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let code = RequestCode::CleanExpiredConsumequeue;
        self.everywhere.clean(admin, out, "consume queues", code).await
    }
}

/// Deletes consume queues of topics that are gone.
#[derive(Args, Debug)]
pub struct CleanUnusedTopic {
    #[command(flatten)]
    everywhere: Everywhere,
}

impl CleanUnusedTopic {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        self.everywhere.clean(admin, out, "unused topics", RequestCode::CleanUnusedTopic).await
    }
}

/// Deletes expired files of commit logs.
#[derive(Args, Debug)]
pub struct DeleteExpiredCommitLog {
    #[command(flatten)]
    everywhere: Everywhere,
}

impl DeleteExpiredCommitLog {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let code = RequestCode::DeleteExpiredCommitlog;
        self.everywhere.clean(admin, out, "expired commit logs", code).await
    }
}

/// Sets the flush offset that a slave believes of its master.
#[derive(Args, Debug)]
pub struct ResetMasterFlushOffset {
    /// Address of the slave.
    #[arg(short, long = "brokerAddr")]
    broker: String,
    /// The offset.
    #[arg(short, long)]
    offset: i64,
}

impl ResetMasterFlushOffset {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let header = ResetMasterFlushOffsetHeader { master_flush_offset: self.offset };
        let code = RequestCode::ResetMasterFlushOffset;
        let mut changes = Changes::new(out);
        let text = format!("reset master flush offset to {} success", self.offset);
        let reset = async { admin.ask(&self.broker, code, &header, &[]).await.map(|_| ()) };
        changes.make(&self.broker, text, reset).await;
        changes.print(out)
    }
}
