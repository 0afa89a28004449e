//! All topics and all groups of a broker, a page at a time.

use std::collections::BTreeMap;

use anyhow::Result;
use remoting::protocol::body::{
    Body, DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper, TopicConfig,
    TopicConfigAndMappingSerializeWrapper,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    GetAllSubscriptionGroupRequestHeader, GetAllTopicConfigRequestHeader,
};

use super::Admin;

/// Entries asked for at once, as Java's client does.
const PAGE: i32 = 2000;
/// Beginnings anew when the table changes meanwhile, before what was got is taken.
const RESTARTS_MAX: usize = 8;

/// A page as it came: its version and its entries.
type Page<T> = (DataVersion, BTreeMap<String, T>);

impl Admin {
    /// The settings of all topics of a broker, with the version of the table.
    pub async fn topics_of(
        &self,
        address: &str,
    ) -> Result<(DataVersion, BTreeMap<String, TopicConfig>)> {
        self.pages("totalTopicNum", async |seq, data_version| {
            let header = GetAllTopicConfigRequestHeader {
                topic_seq: Some(seq),
                data_version,
                max_topic_num: Some(PAGE),
            };
            let frame = self.ask(address, RequestCode::GetAllTopicConfig, &header, &[]).await?;
            let body = TopicConfigAndMappingSerializeWrapper::decode(frame.body())?;
            Ok((frame, (body.data_version, body.topic_config_table)))
        })
        .await
    }

    /// The settings of all groups of a broker, with the version of the table.
    pub async fn groups_of(
        &self,
        address: &str,
    ) -> Result<(DataVersion, BTreeMap<String, SubscriptionGroupConfig>)> {
        self.pages("totalGroupNum", async |seq, data_version| {
            let header = GetAllSubscriptionGroupRequestHeader {
                group_seq: Some(seq),
                data_version,
                max_group_num: Some(PAGE),
            };
            let code = RequestCode::GetAllSubscriptiongroupConfig;
            let frame = self.ask(address, code, &header, &[]).await?;
            let body = SubscriptionGroupWrapper::decode(frame.body())?;
            Ok((frame, (body.data_version, body.subscription_group_table)))
        })
        .await
    }

    /// Asks for pages until all are there; begins anew when the table changes meanwhile. A server
    /// that does not name a total has sent everything.
    async fn pages<T>(
        &self,
        total_field: &str,
        ask: impl AsyncFn(i32, Option<String>) -> Result<(Frame, Page<T>)>,
    ) -> Result<Page<T>> {
        let mut all = BTreeMap::new();
        let mut version: Option<DataVersion> = None;
        let mut restarts = 0;
        loop {
            let text = version
                .as_ref()
                .map(|version| String::from_utf8_lossy(&version.encode()).into_owned());
            let (frame, (got, page)) = ask(i32::try_from(all.len())?, text).await?;
            let changed = version.as_ref().is_some_and(|version| *version != got);
            if changed && restarts < RESTARTS_MAX {
                restarts += 1;
                all.clear();
                version = None;
                continue;
            }
            let total = frame.field(total_field).and_then(|total| total.parse::<usize>().ok());
            let empty = page.is_empty();
            all.extend(page);
            if empty || total.is_none_or(|total| all.len() >= total) {
                return Ok((got, all));
            }
            version = Some(got);
        }
    }
}
