//! Connected clients: requests 203, 204, 328, 345.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, ProducerConnection, ProducerInfo, ProducerTableInfo, QuerySubscriptionResponseBody,
};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    GetConsumerConnectionListRequestHeader, GetProducerConnectionListRequestHeader,
    QuerySubscriptionByConsumerRequestHeader,
};

use crate::broker::Broker;
use crate::call::Call;
use crate::clients::{Client, ConsumerGroup};
use crate::reject::Reject;

/// Answers the members and subscriptions of a consumer group.
pub(crate) fn consumers(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetConsumerConnectionListRequestHeader = call.header()?;
    let group = &header.consumer_group;
    let body = broker.consumers.with_group(group, ConsumerGroup::connections).ok_or_else(|| {
        let remark = format!("the consumer group[{group}] not online");
        Reject::new(ResponseCode::ConsumerNotOnline, remark)
    })?;
    out.ok_body(&body.encode());
    Ok(Outcome::Done)
}

/// Answers the members of a producer group.
pub(crate) fn producers(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetProducerConnectionListRequestHeader = call.header()?;
    let group = &header.producer_group;
    let clients = broker.producers.of(group).ok_or_else(|| {
        let remark = format!("the producer group[{group}] not exist");
        Reject::new(ResponseCode::SystemError, remark)
    })?;
    let connection_set = clients.iter().map(Client::connection).collect();
    out.ok_body(&ProducerConnection { connection_set }.encode());
    Ok(Outcome::Done)
}

/// Answers all producers by group.
pub(crate) fn all_producers(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let info = |client: Client| ProducerInfo {
        language: Some(client.language),
        last_update_timestamp: client.last_seen,
        // Java writes its socket address with a slash in front.
        remote_ip: format!("/{}", client.peer.remote()),
        version: client.version,
        client_id: client.client_id,
    };
    let groups = broker.producers.all().into_iter();
    let data = groups.map(|(group, all)| (group, all.into_iter().map(info).collect())).collect();
    out.ok_body(&ProducerTableInfo { data }.encode());
    Ok(Outcome::Done)
}

/// Answers what a group subscribes to of a topic.
pub(crate) fn subscription(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let QuerySubscriptionByConsumerRequestHeader { group, topic } = call.header()?;
    let topic = topic.unwrap_or_default();
    let subscription_data = broker.consumers.wanted(&group, &topic);
    out.ok_body(&QuerySubscriptionResponseBody { group, subscription_data, topic }.encode());
    Ok(Outcome::Done)
}
