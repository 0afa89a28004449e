//! Who has consumed a message.

use anyhow::Result;
use remoting::protocol::body::{ConsumeType, ConsumerConnection};
use remoting::protocol::code::ResponseCode;
use serde::Serialize;

use super::Message;
use crate::admin::client::{Admin, Refused, code_of, master};

/// What a group has made of a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// The group.
    pub consumer_group: String,
    /// Java's name of what it has made of it.
    pub track_type: &'static str,
    /// Why that is not known.
    pub exception_desc: Option<String>,
}

impl Track {
    /// As Java prints it.
    pub fn java_text(&self) -> String {
        format!(
            "MessageTrack [consumerGroup={}, trackType={}, exceptionDesc={}]",
            self.consumer_group,
            self.track_type,
            self.exception_desc.as_deref().unwrap_or("null"),
        )
    }
}

impl Admin {
    /// What every group that consumes the topic of a message has made of it.
    pub async fn tracks(&self, message: &Message) -> Result<Vec<Track>> {
        let route = self.route(&message.topic).await?;
        let mut tracks = Vec::new();
        for group in self.groups_on(&message.topic, &route).await? {
            let (track_type, exception_desc) = match self.track(message, &group).await {
                Ok(kind) => (kind, None),
                Err(error) => failed(&error),
            };
            tracks.push(Track { consumer_group: group, track_type, exception_desc });
        }
        Ok(tracks)
    }

    async fn track(&self, message: &Message, group: &str) -> Result<&'static str> {
        let members = self.consumer_connection(group, None).await?;
        match members.consume_type {
            Some(ConsumeType::Actively) => Ok("PULL"),
            Some(ConsumeType::Passively) => {
                let consumed = match self.consumed(message, group).await {
                    Err(error) if code_of(&error) == Some(213) => {
                        return Ok("CONSUME_BROADCASTING");
                    }
                    consumed => consumed?,
                };
                Ok(match (consumed, filtered(message, &members)) {
                    (false, _) => "NOT_CONSUME_YET",
                    (true, false) => "CONSUMED",
                    (true, true) => "CONSUMED_BUT_FILTERED",
                })
            }
            Some(ConsumeType::Pop) | None => Ok("UNKNOWN"),
        }
    }

    async fn consumed(&self, message: &Message, group: &str) -> Result<bool> {
        let stats = self.consume_stats(group, None, None).await?;
        let info = self.cluster_info().await?;
        let host = message.store_host.to_string();
        Ok(stats.offset_table.iter().any(|(queue, at)| {
            let broker = info.broker_addr_table.get(&queue.broker_name);
            queue.topic == message.topic
                && queue.queue_id == message.queue_id
                && broker.and_then(master) == Some(&host)
                && at.consumer_offset > message.queue_offset
        }))
    }
}

fn filtered(message: &Message, members: &ConsumerConnection) -> bool {
    let Some(subscription) = members.subscription_table.get(&message.topic) else { return false };
    let tags = &subscription.tags_set;
    let named = |name: &str| tags.iter().any(|tag| tag == name);
    !tags.is_empty() && !named("*") && !message.tags().is_some_and(named)
}

/// A group that a broker knows to be away is not online; of others nothing is known.
fn failed(error: &anyhow::Error) -> (&'static str, Option<String>) {
    match error.downcast_ref::<Refused>() {
        Some(Refused { code, remark, address }) => {
            let away = *code == i32::from(ResponseCode::ConsumerNotOnline) && !address.is_empty();
            let text = format!("CODE:{code} DESC:{remark}");
            (if away { "NOT_ONLINE" } else { "UNKNOWN" }, Some(text))
        }
        None => ("UNKNOWN", Some(format!("{error:#}"))),
    }
}
