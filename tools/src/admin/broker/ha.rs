//! `haStatus`: masters and their slaves.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::HARuntimeInfo;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use serde::Serialize;

use crate::admin::client::{Admin, Target};
use crate::admin::java;
use crate::admin::output::Out;

/// Shows how far slaves are behind their masters.
#[derive(Args, Debug)]
pub struct HaStatus {
    #[command(flatten)]
    target: Target,
    /// Again and again, every so many seconds.
    #[arg(short, long, value_name = "SECONDS")]
    interval: Option<u64>,
}

#[derive(Serialize)]
struct Status {
    address: String,
    #[serde(flatten)]
    info: HARuntimeInfo,
}

impl HaStatus {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        loop {
            for address in self.target.masters(admin).await? {
                let code = RequestCode::GetBrokerHaStatus;
                let info = admin.body(&address, code, &NoHeader).await?;
                out.item(&Status { address, info })?;
            }
            let Some(seconds) = self.interval else { return Ok(()) };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}

fn speed(bytes_per_second: i64) -> String {
    java::fixed(bytes_per_second as f64 / 1024.0, 2)
}

impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        if !info.master {
            let slave = &info.ha_client_runtime_info;
            writeln!(f, "\n#MasterAddr\t{}", slave.master_addr.as_deref().unwrap_or("null"))?;
            writeln!(f, "#CommitLogMaxOffset\t{}", slave.max_offset)?;
            let speed = speed(slave.transferred_byte_in_second);
            writeln!(f, "#TransferSpeed(KB/s)\t{speed}")?;
            writeln!(f, "#LastReadTime\t{}", java::date_ms(slave.last_read_timestamp))?;
            writeln!(f, "#LastWriteTime\t{}", java::date_ms(slave.last_write_timestamp))?;
            return writeln!(f, "#MasterFlushOffset\t{}", slave.master_flush_offset);
        }
        writeln!(f, "\n#MasterAddr\t{}", self.address)?;
        writeln!(f, "#MasterCommitLogMaxOffset\t{}", info.master_commit_log_max_offset)?;
        writeln!(f, "#SlaveNum\t{}", info.ha_connection_info.len())?;
        writeln!(f, "#InSyncSlaveNum\t{}", info.in_sync_slave_nums)?;
        let mut line = |cells: [&dyn Display; 6]| {
            let [addr, ack, diff, speed, status, from] = cells.map(|cell| cell.to_string());
            writeln!(f, "{addr:<32}  {ack:<16} {diff:>16} {speed:>16} {status:>16} {from:>16}")
        };
        line([
            &"#SlaveAddr",
            &"#SlaveAckOffset",
            &"#Diff",
            &"#TransferSpeed(KB/s)",
            &"#Status",
            &"#TransferFromWhere",
        ])?;
        for slave in &info.ha_connection_info {
            line([
                &slave.addr.as_deref().unwrap_or("null"),
                &slave.slave_ack_offset,
                &slave.diff,
                &speed(slave.transferred_byte_in_second),
                if slave.in_sync { &"OK" } else { &"Fall Behind" },
                &slave.transfer_from_where,
            ])?;
        }
        Ok(())
    }
}
