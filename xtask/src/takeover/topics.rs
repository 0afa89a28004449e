//! Topics on their way: many made together, the last of them right before a broker ends.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use remoting::protocol::body::{Body, TopicConfigSerializeWrapper};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::GetAllTopicConfigRequestHeader;

use super::content;
use super::link::Link;

/// Topics made after each other, and those that are made at a time.
const ROUNDS: i32 = 12;
const TOGETHER: i32 = 25;

/// The topics by their numbers of queues.
#[derive(Default)]
pub struct Topics {
    made: BTreeMap<String, i32>,
}

impl Topics {
    /// Makes more.
    pub async fn go_on(&mut self, link: &Link) -> Result<()> {
        for _ in 0..ROUNDS {
            let first = self.made.len();
            let new =
                (1..=TOGETHER).map(|queues| (format!("TakeoverMany-{first}-{queues}"), queues));
            let new: Vec<_> = new.collect();
            let made =
                new.iter().map(|(name, queues)| content::create_topic(link, name, *queues, None));
            try_join_all(made).await?;
            self.made.extend(new);
        }
        Ok(())
    }

    /// Fails unless all are there as they were made; returns how many.
    pub async fn check(&self, link: &Link) -> Result<usize> {
        let header = GetAllTopicConfigRequestHeader::default();
        let answer = link.ok(RequestCode::GetAllTopicConfig, &header, &[]).await?;
        let known = TopicConfigSerializeWrapper::decode(answer.body())?.topic_config_table;
        for (name, queues) in &self.made {
            let got = known.get(name).map(|topic| (topic.write_queue_nums, topic.perm));
            ensure!(got == Some((*queues, 6)), "{name} is {got:?}, made with {queues} queues");
        }
        Ok(self.made.len())
    }
}
