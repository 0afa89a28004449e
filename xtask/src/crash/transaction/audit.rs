//! Reads what is visible of a topic.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use remoting::protocol::message::record::Record;
use tokio::runtime::Runtime;

use crate::takeover::link::Link;

/// A reader of one broker.
pub struct Audit {
    runtime: Runtime,
    link: Link,
}

impl Audit {
    /// A reader that connects when it is used.
    pub fn new(broker: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, link: Link::new(broker.parse()?) })
    }

    /// How often each number is visible in a topic of so many queues.
    pub fn read(&self, topic: &str, queues: i32) -> Result<BTreeMap<u64, usize>> {
        let mut visible = BTreeMap::new();
        self.runtime.block_on(async {
            for queue_id in 0..queues {
                let (min, max) = self.link.bounds(topic, queue_id).await?;
                for bytes in self.link.read(topic, queue_id, min, max).await? {
                    let number = number_of(Record::decode(&bytes)?.body);
                    *visible.entry(number.context("a body without number")?).or_default() += 1;
                }
            }
            Ok(visible)
        })
    }
}

/// The number at the start of a body.
pub fn number_of(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.split(' ').next()?.parse().ok()
}
