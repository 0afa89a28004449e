//! The layout of order topics, which the name servers keep.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    DeleteKVConfigRequestHeader, GetKVConfigRequestHeader, PutKVConfigRequestHeader,
};
use serde::Serialize;

use crate::admin::changes::Changes;
use crate::admin::client::{Admin, code_of};
use crate::admin::output::Out;

/// Where name servers keep the layouts.
const NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// Shows, sets or deletes the layout of an order topic.
#[derive(Args, Debug)]
pub struct UpdateOrderConf {
    /// Name of the topic.
    #[arg(short, long)]
    topic: String,
    /// What to do.
    #[arg(short, long)]
    method: Method,
    /// Brokers and their queues: `brokerA:8;brokerB:8`.
    #[arg(short = 'v', long = "orderConf")]
    layout: Option<String>,
}

/// What to do with a layout.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
enum Method {
    Put,
    Get,
    Delete,
}

impl UpdateOrderConf {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        let topic = &self.topic;
        let mut changes = Changes::new(out);
        match self.method {
            Method::Get => {
                let layout = layout(admin, topic).await?.unwrap_or_default();
                let text = format!("get orderConf success. topic=[{topic}], orderConf=[{layout}] ");
                changes.make_ending(topic, text, "", async { Ok(()) }).await;
            }
            Method::Put => {
                let layout =
                    self.layout.as_deref().context("please set orderConf with option -v.")?;
                let text =
                    format!("update orderConf success. topic=[{topic}], orderConf=[{layout}]");
                changes.make_ending(topic, text, "", put(admin, topic, layout, false)).await;
            }
            Method::Delete => {
                let text = format!("delete orderConf success. topic=[{topic}]");
                changes.make_ending(topic, text, "", delete(admin, topic)).await;
            }
        }
        changes.print(out)
    }
}

async fn layout(admin: &Admin, topic: &str) -> Result<Option<String>> {
    let header =
        GetKVConfigRequestHeader { namespace: NAMESPACE.to_owned(), key: topic.to_owned() };
    let frame = admin.ask_name_server(RequestCode::GetKvConfig, &header).await?;
    Ok(frame.field("value").map(str::to_owned))
}

/// Sets the layout of a topic in every name server; merging keeps brokers that it does not name.
pub async fn put(admin: &Admin, topic: &str, layout: &str, merge: bool) -> Result<()> {
    let mut value = layout.to_owned();
    if merge {
        let known = match self::layout(admin, topic).await {
            Ok(known) => known.unwrap_or_default(),
            Err(error) if code_of(&error) == Some(ResponseCode::QueryNotFound.into()) => {
                String::new()
            }
            Err(error) => return Err(error),
        };
        value = merged(&known, layout);
    }
    admin.put_kv(NAMESPACE, topic, &value).await
}

/// Deletes the layout of a topic in every name server.
pub async fn delete(admin: &Admin, topic: &str) -> Result<()> {
    admin.delete_kv(NAMESPACE, topic).await
}

impl Admin {
    /// Sets a key in every name server.
    pub async fn put_kv(&self, namespace: &str, key: &str, value: &str) -> Result<()> {
        let header = PutKVConfigRequestHeader {
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        for address in self.name_servers()? {
            self.ask(&address, RequestCode::PutKvConfig, &header, &[]).await?;
        }
        Ok(())
    }

    /// Deletes a key in every name server.
    pub async fn delete_kv(&self, namespace: &str, key: &str) -> Result<()> {
        let header =
            DeleteKVConfigRequestHeader { namespace: namespace.to_owned(), key: key.to_owned() };
        for address in self.name_servers()? {
            self.ask(&address, RequestCode::DeleteKvConfig, &header, &[]).await?;
        }
        Ok(())
    }
}

fn merged(known: &str, layout: &str) -> String {
    let name = |part: &str| part.split(':').next().unwrap_or_default().to_owned();
    let mut parts: Vec<&str> = known.split(';').filter(|part| !part.is_empty()).collect();
    for part in layout.split(';') {
        match parts.iter_mut().find(|other| name(other) == name(part)) {
            Some(other) => *other = part,
            None => parts.push(part),
        }
    }
    parts.join(";")
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn a_layout_keeps_the_brokers_it_does_not_name() {
        assert_eq!(merged("", "a:8"), "a:8");
        assert_eq!(merged("a:4;b:4", "b:8"), "a:4;b:8");
        assert_eq!(merged("a:4", "c:8"), "a:4;c:8");
    }
}
