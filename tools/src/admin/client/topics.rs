//! Topics: names, bounds, who consumes them.

use anyhow::Result;
use remoting::protocol::body::{
    Body, CreateTopicListRequestBody, GroupList, TopicConfig, TopicConfigAndQueueMapping,
    TopicList, TopicRouteData, TopicStatsTable,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    CreateTopicRequestHeader, GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader,
    NoHeader, QueryTopicConsumeByWhoRequestHeader,
};

use super::{Admin, code_of, selected};
use crate::admin::java;

/// Sent as the template of topics that are made.
const DEFAULT_TOPIC: &str = "TBW102";

impl Admin {
    /// The names of all topics, in the order of the answer.
    pub async fn topic_names(&self) -> Result<Vec<String>> {
        let code = RequestCode::GetAllTopicListFromNameserver;
        let list = TopicList::decode(self.ask_name_server(code, &NoHeader).await?.body())?;
        Ok(list.topic_list)
    }

    /// The bounds of all queues of a topic, on the brokers of a route.
    pub async fn topic_stats(
        &self,
        topic: &str,
        route: &TopicRouteData,
    ) -> Result<TopicStatsTable> {
        let mut all = TopicStatsTable::default();
        for address in route.broker_datas.iter().filter_map(selected) {
            let stats = self.broker_topic_stats(address, topic).await?;
            all.offset_table.extend(stats.offset_table);
        }
        Ok(all)
    }

    /// The bounds of the queues of a topic on one broker.
    pub async fn broker_topic_stats(&self, address: &str, topic: &str) -> Result<TopicStatsTable> {
        let header = GetTopicStatsInfoRequestHeader { topic: topic.to_owned() };
        self.body(address, RequestCode::GetTopicStatsInfo, &header).await
    }

    /// The settings of a topic on one broker; `None` if the broker does not have it.
    pub async fn topic_config(&self, address: &str, topic: &str) -> Result<Option<TopicConfig>> {
        let header = GetTopicConfigRequestHeader { topic: topic.to_owned() };
        let code = RequestCode::GetTopicConfig;
        match self.body::<TopicConfigAndQueueMapping>(address, code, &header).await {
            Ok(config) => Ok(Some(TopicConfig {
                attributes: config.attributes,
                order: config.order,
                perm: config.perm,
                read_queue_nums: config.read_queue_nums,
                topic_filter_type: config.topic_filter_type,
                topic_name: config.topic_name,
                topic_sys_flag: config.topic_sys_flag,
                write_queue_nums: config.write_queue_nums,
            })),
            Err(error) if code_of(&error) == Some(ResponseCode::TopicNotExist.into()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes or changes a topic on one broker; attributes are changes (`+k` sets, `-k` removes).
    pub async fn put_topic(&self, address: &str, config: &TopicConfig) -> Result<()> {
        let attributes: Vec<String> = config
            .attributes
            .iter()
            .map(|(key, value)| match value.is_empty() {
                true => key.clone(),
                false => format!("{key}={value}"),
            })
            .collect();
        let header = CreateTopicRequestHeader {
            topic: config.topic_name.clone(),
            default_topic: DEFAULT_TOPIC.to_owned(),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: config.order,
            attributes: Some(attributes.join(",")).filter(|text| !text.is_empty()),
            force: false,
        };
        self.ask(address, RequestCode::UpdateAndCreateTopic, &header, &[]).await.map(|_| ())
    }

    /// Makes or changes topics on one broker at once.
    pub async fn put_topics(&self, address: &str, configs: &[TopicConfig]) -> Result<()> {
        let body = CreateTopicListRequestBody { topic_config_list: configs.to_vec() }.encode();
        let code = RequestCode::UpdateAndCreateTopicList;
        self.ask(address, code, &NoHeader, &body).await.map(|_| ())
    }

    /// The groups that consume a topic, told by the first broker of its route.
    pub async fn groups_on(&self, topic: &str, route: &TopicRouteData) -> Result<Vec<String>> {
        let Some(address) = route.broker_datas.iter().find_map(selected) else {
            return Ok(Vec::new());
        };
        let header = QueryTopicConsumeByWhoRequestHeader { topic: topic.to_owned() };
        let list: GroupList =
            self.body(address, RequestCode::QueryTopicConsumeByWho, &header).await?;
        let mut groups = list.group_list;
        java::hash_order(&mut groups, java::CAPACITY, |group| group);
        Ok(groups)
    }
}
