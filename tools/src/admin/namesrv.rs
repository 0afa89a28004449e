//! Name servers: keys, settings, write permission of brokers.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    AddWritePermOfBrokerRequestHeader, AddWritePermOfBrokerResponseHeader, NoHeader,
    WipeWritePermOfBrokerRequestHeader, WipeWritePermOfBrokerResponseHeader,
};
use serde::Serialize;

use super::broker::properties;
use super::changes::Changes;
use super::client::Admin;
use super::java;
use super::output::Out;

/// Sets a key in every name server.
#[derive(Args, Debug)]
pub struct UpdateKvConfig {
    /// Namespace of the key.
    #[arg(short = 's', long)]
    namespace: String,
    /// The key.
    #[arg(short, long)]
    key: String,
    /// Its value.
    #[arg(short, long)]
    value: String,
}

impl UpdateKvConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut changes = Changes::new(out);
        let text = "create or update kv config to namespace success.".to_owned();
        let put = admin.put_kv(&self.namespace, &self.key, &self.value);
        changes.make("name servers", text, put).await;
        changes.print(out)
    }
}

/// Deletes a key in every name server.
#[derive(Args, Debug)]
pub struct DeleteKvConfig {
    /// Namespace of the key.
    #[arg(short = 's', long)]
    namespace: String,
    /// The key.
    #[arg(short, long)]
    key: String,
}

impl DeleteKvConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { namespace, key } = self;
        out.confirm(&format!("Delete key {key} of {namespace} from the name servers"))?;
        let mut changes = Changes::new(out);
        let text = "delete kv config from namespace success.".to_owned();
        changes.make("name servers", text, admin.delete_kv(namespace, key)).await;
        changes.print(out)
    }
}

/// Lets no topic of a broker be written to, in every name server.
#[derive(Args, Debug)]
pub struct WipeWritePerm {
    #[command(flatten)]
    name: BrokerName,
}

/// Lets the topics of a broker be written to again, in every name server.
#[derive(Args, Debug)]
pub struct AddWritePerm {
    #[command(flatten)]
    name: BrokerName,
}

/// The name of a broker.
#[derive(Args, Debug)]
struct BrokerName {
    /// Name of the broker.
    #[arg(short, long = "brokerName")]
    broker: String,
}

/// What every name server made of a change of permission.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    name_server: String,
    topics: Option<i32>,
    error: Option<String>,
    #[serde(skip)]
    line: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Permissions(Vec<Permission>);

impl Display for Permissions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Permission { line, topics, .. } in &self.0 {
            match topics {
                Some(topics) => writeln!(f, "{line} OK, {topics}")?,
                None => writeln!(f, "{line} Failed")?,
            }
        }
        Ok(())
    }
}

impl WipeWritePerm {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let broker = &self.name.broker;
        out.confirm(&format!("Take the write permission from broker {broker}"))?;
        let header = WipeWritePermOfBrokerRequestHeader { broker_name: broker.clone() };
        self.name
            .each(admin, out, "wipe", async |address: &str| {
                let code = RequestCode::WipeWritePermOfBroker;
                let frame = admin.ask(address, code, &header, &[]).await?;
                Ok(frame.header::<WipeWritePermOfBrokerResponseHeader>()?.wipe_topic_count)
            })
            .await
    }
}

impl AddWritePerm {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let header = AddWritePermOfBrokerRequestHeader { broker_name: self.name.broker.clone() };
        self.name
            .each(admin, out, "add", async |address: &str| {
                let code = RequestCode::AddWritePermOfBroker;
                let frame = admin.ask(address, code, &header, &[]).await?;
                Ok(frame.header::<AddWritePermOfBrokerResponseHeader>()?.add_topic_count)
            })
            .await
    }
}

impl BrokerName {
    async fn each(
        &self,
        admin: &Admin,
        out: &Out,
        verb: &str,
        change: impl AsyncFn(&str) -> Result<i32>,
    ) -> Result<()> {
        let mut all = Vec::new();
        for address in admin.name_servers()? {
            let line =
                format!("{verb} write perm of broker[{}] in name server[{address}]", self.broker);
            if out.dry_run {
                out.text(&format!("dry run: {line}\n"))?;
                continue;
            }
            let (topics, error) = match change(&address).await {
                Ok(topics) => (Some(topics), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            all.push(Permission { name_server: address, topics, error, line });
        }
        let failed: Vec<_> = all.iter().filter_map(|one| one.error.clone()).collect();
        out.print(&Permissions(all))?;
        if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
    }
}

/// Shows the settings of the name servers.
#[derive(Args, Debug)]
pub struct GetNamesrvConfig {}

#[derive(Serialize)]
#[serde(transparent)]
struct Configs(BTreeMap<String, BTreeMap<String, String>>);

impl GetNamesrvConfig {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let mut all = BTreeMap::new();
        for address in admin.name_servers()? {
            let code = RequestCode::GetNamesrvConfig;
            let frame = admin.ask(&address, code, &NoHeader, &[]).await?;
            all.insert(address, properties(frame.body()));
        }
        out.print(&Configs(all))
    }
}

impl Display for Configs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = "=".repeat(12);
        for (address, settings) in &self.0 {
            writeln!(f, "{rule}{address}{rule}")?;
            for (key, value) in settings {
                writeln!(f, "{key:<50}=  {value}")?;
            }
        }
        Ok(())
    }
}

/// Changes one setting of the name servers while they run.
#[derive(Args, Debug)]
pub struct UpdateNamesrvConfig {
    /// Name of the setting.
    #[arg(short, long)]
    key: String,
    /// Its new value.
    #[arg(short, long, allow_hyphen_values = true)]
    value: String,
}

impl UpdateNamesrvConfig {
    /// Carries it out; Java repeats the name servers of the command line.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let Self { key, value } = self;
        let addresses = admin.name_servers()?;
        let body = format!("{key}={value}\n");
        let update = async {
            for address in &addresses {
                let code = RequestCode::UpdateNamesrvConfig;
                admin.ask(address, code, &NoHeader, body.as_bytes()).await?;
            }
            Ok(())
        };
        let named = if out.named { java::list(&addresses) } else { String::new() };
        let text = format!("update name server config success!{named}\n{key} : {value}");
        let mut changes = Changes::new(out);
        changes.make("name servers", text, update).await;
        changes.print(out)
    }
}
