//! Light queues on their way: messages that stand in queues they name, and offsets on those.

use anyhow::{Result, ensure};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::QueryConsumerOffsetRequestHeader;
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::record::Record;

use super::content;
use super::link::{Link, number};

const TOPIC: &str = "TakeoverLight";
const QUEUES: [&str; 2] = ["%LMQ%takeover-a", "%LMQ%takeover-b"];
const GROUP: &str = "%LMQ%takeover-group";
const COUNT: usize = 5;

/// The messages of the light queues.
#[derive(Default)]
pub struct Lights {
    bodies: Vec<String>,
}

/// Creates the topic.
pub async fn create(link: &Link) -> Result<()> {
    content::create_topic(link, TOPIC, 1, None).await
}

impl Lights {
    /// Sends messages for both queues and commits an offset of each.
    pub async fn go_on(&mut self, link: &Link, word: &str) -> Result<()> {
        for number in 0..COUNT {
            let body = format!("light {number} {word}");
            let mut properties = PropertiesBuf::new();
            properties.push("INNER_MULTI_DISPATCH", &QUEUES.join(","));
            content::send_with(link, TOPIC, 0, &properties, body.as_bytes()).await?;
            self.bodies.push(body);
        }
        for topic in QUEUES {
            link.await_max(topic, 0, self.bodies.len() as i64).await?;
            content::commit_one(link, GROUP, (topic, 0), self.bodies.len() as i64).await?;
        }
        Ok(())
    }

    /// Fails unless both queues hold all messages, and the offsets are there.
    pub async fn check(&self, link: &Link) -> Result<()> {
        for topic in QUEUES {
            let (min, max) = link.bounds(topic, 0).await?;
            let mut bodies = Vec::new();
            for bytes in link.read(topic, 0, min, max).await? {
                bodies.push(String::from_utf8(Record::decode(&bytes)?.body.to_vec())?);
            }
            ensure!(bodies == self.bodies, "{topic}: {bodies:?}, sent were {:?}", self.bodies);
            if self.bodies.is_empty() {
                continue;
            }
            let header = QueryConsumerOffsetRequestHeader {
                consumer_group: GROUP,
                topic,
                queue_id: 0,
                set_zero_if_not_found: Some(false),
            };
            let answer = link.ok(RequestCode::QueryConsumerOffset, &header, &[]).await?;
            let (offset, len) = (number(&answer, "offset")?, self.bodies.len());
            ensure!(offset == len as i64, "{topic}: offset {offset}, committed was {len}");
        }
        Ok(())
    }
}
