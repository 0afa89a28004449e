//! How far groups are, and who is in them.

use std::time::Duration;

use anyhow::{Result, anyhow};
use remoting::protocol::body::{
    Body, ConsumeStats, ConsumerConnection, ConsumerRunningInfo, MessageModel, MessageQueue,
    ProducerConnection, TopicRouteData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    GetConsumeStatsRequestHeader, GetConsumerConnectionListRequestHeader,
    GetConsumerRunningInfoRequestHeader, GetProducerConnectionListRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};

use super::{Admin, refuse, selected};

/// How long figures about a group may take.
const STATS_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client may take to tell about itself, through its broker.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Prefix of the topic that holds what a group is to try again.
pub const RETRY: &str = "%RETRY%";
/// Topics that have no route of their own.
const WHEEL: &str = "rmq_sys_wheel_timer";

/// What a group has yet to consume.
pub fn total_diff(stats: &ConsumeStats) -> i64 {
    stats.offset_table.values().map(|queue| queue.broker_offset - queue.consumer_offset).sum()
}

impl Admin {
    /// The route that a topic is reached by: its own, or that of `parent` for a light queue and for
    /// the timer's topic.
    pub async fn route_for(&self, topic: &str, parent: Option<&str>) -> Result<TopicRouteData> {
        let light = topic.starts_with("%LMQ%") || topic == WHEEL;
        self.route(parent.filter(|_| light).unwrap_or(topic)).await
    }

    /// How far a group is. Asked are the brokers of its retry topic, or else of the topic.
    pub async fn consume_stats(
        &self,
        group: &str,
        topic: Option<&str>,
        parent: Option<&str>,
    ) -> Result<ConsumeStats> {
        let route = self.group_route(group, topic, parent).await?;
        let mut all = ConsumeStats::default();
        for address in route.broker_datas.iter().filter_map(selected) {
            let stats = self.broker_consume_stats(address, group, topic).await?;
            all.offset_table.extend(stats.offset_table);
            all.consume_tps += stats.consume_tps;
        }
        if all.offset_table.is_empty() {
            self.explain_no_stats(group).await?;
        }
        Ok(all)
    }

    /// How far a group is on one broker.
    pub async fn broker_consume_stats(
        &self,
        address: &str,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats> {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: group.to_owned(),
            topic: topic.map(str::to_owned),
            topic_list: None,
        };
        let code = RequestCode::GetConsumeStats;
        let frame = self.ask_within(address, code, &header, &[], STATS_TIMEOUT).await?;
        Ok(ConsumeStats::decode(frame.body())?)
    }

    /// How far a group is on every broker there is, whether or not it has a retry topic.
    pub async fn consume_stats_anywhere(
        &self,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats> {
        let info = self.cluster_info().await?;
        let mut all = ConsumeStats::default();
        for address in info.broker_addr_table.values().filter_map(selected) {
            let stats = self.broker_consume_stats(address, group, topic).await?;
            all.offset_table.extend(stats.offset_table);
            all.consume_tps += stats.consume_tps;
        }
        Ok(all)
    }

    async fn group_route(
        &self,
        group: &str,
        topic: Option<&str>,
        parent: Option<&str>,
    ) -> Result<TopicRouteData> {
        let mut names = vec![format!("{RETRY}{group}")];
        if let Some(topic) = topic {
            names.extend([topic.to_owned(), format!("{RETRY}{group}_{topic}")]);
            let light = topic.starts_with("%LMQ%") || topic == WHEEL;
            names.extend(parent.filter(|_| light).map(str::to_owned));
        }
        let mut failure = anyhow!("no route");
        for name in names {
            match self.route(&name).await {
                Ok(route) => return Ok(route),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A group without figures is an error unless its members are there and share the messages.
    async fn explain_no_stats(&self, group: &str) -> Result<()> {
        let nothing = "Not found the consumer group consume stats, because return offset table is \
                       empty, ";
        match self.consumer_connection(group, None).await {
            Err(_) => {
                let remark = format!("{nothing}maybe the consumer not online");
                Err(refuse(ResponseCode::ConsumerNotOnline, remark))
            }
            Ok(members) if members.message_model == Some(MessageModel::Broadcasting) => {
                let remark = format!("{nothing}the consumer is under the broadcast mode");
                Err(refuse(ResponseCode::BroadcastConsumption, remark))
            }
            Ok(_) => Ok(()),
        }
    }

    /// The members of a consumer group, told by one broker of its retry topic or by the given one.
    pub async fn consumer_connection(
        &self,
        group: &str,
        broker: Option<&str>,
    ) -> Result<ConsumerConnection> {
        let address = match broker {
            Some(address) => address.to_owned(),
            None => self.first_broker(&format!("{RETRY}{group}")).await?,
        };
        let header = GetConsumerConnectionListRequestHeader { consumer_group: group.to_owned() };
        let code = RequestCode::GetConsumerConnectionList;
        let members: ConsumerConnection = self.body(&address, code, &header).await?;
        if members.connection_set.is_empty() {
            let remark = "Not found the consumer group connection";
            return Err(refuse(ResponseCode::ConsumerNotOnline, remark));
        }
        Ok(members)
    }

    /// The members of a producer group, told by one broker of a topic.
    pub async fn producer_connection(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<ProducerConnection> {
        let address = self.first_broker(topic).await?;
        let header = GetProducerConnectionListRequestHeader { producer_group: group.to_owned() };
        let code = RequestCode::GetProducerConnectionList;
        let members: ProducerConnection = self.body(&address, code, &header).await?;
        if members.connection_set.is_empty() {
            let remark = "Not found the producer group connection";
            return Err(refuse(ResponseCode::SystemError, remark));
        }
        Ok(members)
    }

    /// What a member of a group tells about itself, through the group's first broker.
    pub async fn running_info(
        &self,
        group: &str,
        client_id: &str,
        jstack: bool,
    ) -> Result<ConsumerRunningInfo> {
        let address = self.first_broker(&format!("{RETRY}{group}")).await?;
        let header = GetConsumerRunningInfoRequestHeader {
            consumer_group: group.to_owned(),
            client_id: client_id.to_owned(),
            jstack_enable: jstack,
        };
        let code = RequestCode::GetConsumerRunningInfo;
        let frame = self.ask_within(&address, code, &header, &[], CLIENT_TIMEOUT).await?;
        Ok(ConsumerRunningInfo::decode(frame.body())?)
    }

    /// Sets the offset of a group in one queue.
    pub async fn commit(
        &self,
        address: &str,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<()> {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: Some(queue.queue_id),
            commit_offset: Some(offset),
        };
        self.ask(address, RequestCode::UpdateConsumerOffset, &header, &[]).await.map(|_| ())
    }

    /// The first broker of a route that has an address.
    pub async fn first_broker(&self, topic: &str) -> Result<String> {
        let route = self.route(topic).await?;
        let address = route.broker_datas.iter().find_map(selected).map(str::to_owned);
        address.ok_or_else(|| anyhow!("the route of {topic} names no broker"))
    }
}
