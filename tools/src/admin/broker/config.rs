//! Settings of brokers.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use serde::Serialize;

use crate::admin::changes::Changes;
use crate::admin::client::{Admin, Target, unknown_cluster};
use crate::admin::output::Out;

/// Shows the settings of brokers.
#[derive(Args, Debug)]
pub struct GetBrokerConfig {
    #[command(flatten)]
    target: Target,
}

/// A broker's settings under Java's title.
#[derive(Serialize)]
struct Settings {
    address: String,
    settings: BTreeMap<String, String>,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllSettings(Vec<Settings>);

impl GetBrokerConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut all = Vec::new();
        for (address, title) in titled(&self.target, admin).await? {
            let settings = match address.is_empty() {
                true => BTreeMap::new(),
                false => config_of(admin, &address).await?,
            };
            all.push(Settings { address, settings, title });
        }
        out.print(&AllSettings(all))
    }
}

/// The addresses of a target, each with the title that Java prints above what it tells. A title
/// without an address stands for slaves that have no master.
pub async fn titled(target: &Target, admin: &Admin) -> Result<Vec<(String, String)>> {
    let rule = "=".repeat(12);
    let Some(cluster) = &target.cluster else {
        let addresses = target.all(admin).await?;
        return Ok(addresses
            .into_iter()
            .map(|a| (a.clone(), format!("{rule}{a}{rule}")))
            .collect());
    };
    let info = admin.cluster_info().await?;
    let Some(names) = info.cluster_addr_table.get(cluster) else {
        bail!(unknown_cluster(cluster));
    };
    let mut all = Vec::new();
    for broker in names.iter().filter_map(|name| info.broker_addr_table.get(name)) {
        let master = broker.broker_addrs.get(&0);
        let name = master.map_or("NO_MASTER", String::as_str);
        let address = master.cloned().unwrap_or_default();
        all.push((address, format!("{rule}Master: {name}{rule}")));
        for (_, slave) in broker.broker_addrs.iter().filter(|(id, _)| **id != 0) {
            all.push((slave.clone(), format!("{rule}My Master: {name}=====Slave: {slave}{rule}")));
        }
    }
    Ok(all)
}

/// The settings of a broker.
pub async fn config_of(admin: &Admin, address: &str) -> Result<BTreeMap<String, String>> {
    let frame = admin.ask(address, RequestCode::GetBrokerConfig, &NoHeader, &[]).await?;
    Ok(properties(frame.body()))
}

/// Reads lines of `key=value`.
pub fn properties(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim_start().to_owned())).collect()
}

impl Display for AllSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Settings { address, settings, title } in &self.0 {
            writeln!(f, "{title}")?;
            if address.is_empty() {
                continue;
            }
            if settings.is_empty() {
                writeln!(f, "Broker[{address}] has no config property!")?;
                continue;
            }
            for (key, value) in settings {
                writeln!(f, "{key:<50}=  {value}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Changes one setting of brokers while they run.
#[derive(Args, Debug)]
pub struct UpdateBrokerConfig {
    #[command(flatten)]
    target: Target,
    /// Also of the slaves of the cluster; any value will do.
    #[arg(short = 'a', long = "updateAllBroker")]
    all: Option<String>,
    /// Name of the setting.
    #[arg(short, long)]
    key: String,
    /// Its new value.
    #[arg(short, long, allow_hyphen_values = true)]
    value: String,
}

impl UpdateBrokerConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { key, value, .. } = self;
        if key == "brokerPermission" && !matches!(value.as_str(), "2" | "4" | "6") {
            bail!("updateBrokerConfig error: brokerPermission {value}: expected 2, 4 or 6");
        }
        let body = format!("{key}={value}\n");
        let addresses = match self.all {
            Some(_) => self.target.all(admin).await?,
            None => self.target.masters(admin).await?,
        };
        let mut changes = Changes::new(out);
        for address in addresses {
            let code = RequestCode::UpdateBrokerConfig;
            let update =
                async { admin.ask(&address, code, &NoHeader, body.as_bytes()).await.map(|_| ()) };
            let text = format!("update broker config success, {address}");
            changes.make(&address, text, update).await;
        }
        changes.print(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_lines_of_pairs() {
        let read = properties(b"# a comment\na=1\nb= x=y\nnothing\n");
        let expected = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "x=y".into())]);
        assert_eq!(read, expected);
    }
}
