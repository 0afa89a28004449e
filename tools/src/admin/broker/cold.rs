//! Flow control of reads that the disk must serve.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result, bail};
use clap::Args;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use remoting::protocol::lenient_json::to_standard;
use serde::Serialize;
use serde_json::Value;

use super::config::titled;
use crate::admin::changes::Changes;
use crate::admin::client::{Admin, TIMEOUT, Target, refuse};
use crate::admin::output::Out;
use crate::admin::{java, java_json};

/// Shows how much groups read from the disk and how much they may.
#[derive(Args, Debug)]
pub struct GetColdDataFlowCtrInfo {
    #[command(flatten)]
    target: Target,
}

/// What one broker tells.
#[derive(Serialize)]
struct Table {
    address: String,
    table: Value,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Tables(Vec<Table>);

impl GetColdDataFlowCtrInfo {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut all = Vec::new();
        for (address, title) in titled(&self.target, admin).await? {
            let code = RequestCode::GetColdDataFlowCtrInfo;
            let frame = admin.ask(&address, code, &NoHeader, &[]).await?;
            let mut table = Value::Null;
            if !frame.body().is_empty() {
                table = serde_json::from_slice(&to_standard(frame.body()))
                    .with_context(|| format!("the answer of {address}"))?;
                readable_times(&mut table);
            }
            all.push(Table { address, table, title });
        }
        out.print(&Tables(all))
    }
}

/// Puts times that people can read in the place of numbers.
fn readable_times(table: &mut Value) {
    let Some(groups) = table["runtimeTable"].as_object_mut() else { return };
    for group in groups.values_mut().filter_map(Value::as_object_mut) {
        for (number, text) in [
            ("lastColdReadTimeMills", "lastColdReadTimeFormat"),
            ("createTimeMills", "createTimeFormat"),
        ] {
            let ms = group.remove(number).and_then(|ms| ms.as_i64()).unwrap_or_default();
            group.insert(text.to_owned(), java::date(ms).into());
        }
    }
}

impl Display for Tables {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Table { address, table, title } in &self.0 {
            writeln!(f, " {title}")?;
            match table {
                Value::Null => writeln!(f, "Broker[{address}] has no cold ctr table !")?,
                table => writeln!(f, "{}", java_json::pretty_value(table))?,
            }
        }
        Ok(())
    }
}

/// Sets how much a group may read from the disk.
#[derive(Args, Debug)]
pub struct UpdateColdDataFlowCtrGroupConfig {
    #[command(flatten)]
    target: Target,
    /// Name of the group.
    #[arg(short = 'g', long = "consumerGroup")]
    group: String,
    /// Bytes a second.
    #[arg(short = 'v', long)]
    threshold: String,
}

impl UpdateColdDataFlowCtrGroupConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let body = format!("{}={}\n", self.group, self.threshold);
        let what = "updateColdDataFlowCtrGroupConfig success";
        let code = RequestCode::UpdateColdDataFlowCtrConfig;
        change(&self.target, admin, out, code, &body, what).await
    }
}

/// Lets a group read from the disk as all others.
#[derive(Args, Debug)]
pub struct RemoveColdDataFlowCtrGroupConfig {
    #[command(flatten)]
    target: Target,
    /// Name of the group.
    #[arg(short = 'g', long = "consumerGroup")]
    group: String,
}

impl RemoveColdDataFlowCtrGroupConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let what = "remove broker cold read threshold success";
        let code = RequestCode::RemoveColdDataFlowCtrConfig;
        change(&self.target, admin, out, code, &self.group, what).await
    }
}

async fn change(
    target: &Target,
    admin: &Admin,
    out: &Out,
    code: RequestCode,
    body: &str,
    what: &str,
) -> Result<()> {
    let mut changes = Changes::new(out);
    for address in target.masters(admin).await? {
        let ask = async { admin.ask(&address, code, &NoHeader, body.as_bytes()).await.map(|_| ()) };
        changes.make(&address, format!("{what}, {address}"), ask).await;
    }
    changes.print(out)
}

/// Tells the system how the commit log will be read.
#[derive(Args, Debug)]
pub struct SetCommitLogReadAheadMode {
    #[command(flatten)]
    target: Target,
    /// 0 as usual, 1 at random.
    #[arg(short, long = "commitLogReadAheadMode")]
    mode: String,
}

/// What one broker says.
#[derive(Serialize)]
struct Answer {
    address: String,
    remark: String,
    #[serde(skip)]
    title: String,
}

impl SetCommitLogReadAheadMode {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        if !matches!(self.mode.as_str(), "0" | "1") {
            bail!("set the read mode error; 0 is default, 1 random read");
        }
        for (address, title) in titled(&self.target, admin).await? {
            if out.dry_run {
                out.text(&format!("dry run: set read ahead mode {} of {address}\n", self.mode))?;
                continue;
            }
            let code = RequestCode::SetCommitlogReadMode;
            let fields = [("READ_AHEAD_MODE", self.mode.as_str())];
            let frame = admin.call(&address, code, &NoHeader, &fields, &[], TIMEOUT).await?;
            let remark = frame.remark().unwrap_or("null").to_owned();
            if frame.code() != 0 {
                return Err(refuse(frame.code(), remark));
            }
            out.item(&Answer { address, remark, title })?;
        }
        Ok(())
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { remark, title, .. } = self;
        writeln!(f, " {title}\ncommitLog set readAhead mode rstStr{remark}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_made_readable() {
        let mut table = json!({"runtimeTable": {"g": {"createTimeMills": 0, "x": 1}}});
        readable_times(&mut table);
        let group = &table["runtimeTable"]["g"];
        assert_eq!(
            (&group["createTimeFormat"], &group["x"]),
            (&"1970-01-01 00:00:00".into(), &1.into())
        );
        assert!(group["createTimeMills"].is_null());
    }
}
