//! Clients that come, stay and go: requests 34, 35 and 46.
//!
//! A heartbeat of the second version has a fingerprint of its subscriptions and may leave them
//! out; the answer tells whether they are news (`IS_SUB_CHANGE`), and the client then sends them.

use std::sync::Arc;

use remoting::net::{Outcome, Peer};
use remoting::protocol::body::{
    Body, CheckClientRequestBody, ConsumeType, ConsumerData, HeartbeatData, SubscriptionGroupConfig,
};
use remoting::protocol::code::{LanguageCode, ResponseCode};
use remoting::protocol::command::Responder;
use remoting::protocol::header::{NoHeader, UnregisterClientRequestHeader};
use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::call::Call;
use crate::clients::{Client, Notify};
use crate::filter::{Filter, is_tag_type};
use crate::reject::Reject;
use crate::topics::{perm, retry_topic};

/// Flag bit of a topic that units subscribe to.
pub(crate) const UNIT_SUB: i32 = 2;

/// Registers the groups of a client and answers whether its subscriptions were news.
pub(crate) fn heartbeat(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let data = HeartbeatData::decode(call.body())?;
    let client = client_of(call, data.client_id);
    let fingerprint = data.heartbeat_fingerprint;
    // A classic heartbeat has the fingerprint 0 and always brings its subscriptions.
    let mut news = fingerprint == 0;
    let with_subscriptions = fingerprint == 0 || !data.without_sub;
    for consumer in &data.consumer_data_set {
        let pulls = consumer.consume_type == Some(ConsumeType::Actively);
        if pulls && broker.live().reject_pull_consumer_enable {
            continue;
        }
        // Java quirk: a group that may not be created is passed over without a word.
        let Some(group) = broker.group(&consumer.group_name) else { continue };
        // Better than Java, where a client that was here before a restart of the broker, or whose
        // last subscriptions did not get here, goes on sending none, and its pulls are refused.
        news |= match broker.consumers.note_fingerprint(&consumer.group_name, fingerprint) {
            Some(former) => former != fingerprint,
            None => !with_subscriptions,
        };
        register_consumer(broker, consumer, &group, &client, with_subscriptions);
    }
    for producer in &data.producer_data_set {
        // Without transactions nobody has to find a producer, so they need not be known.
        if broker.live().enable_register_producer || !broker.live().reject_transaction_message {
            broker.producers.register(&producer.group_name, &client);
        }
    }
    let news = if news { "true" } else { "false" };
    let fields = [("IS_SUPPORT_HEART_BEAT_V2", "true"), ("IS_SUB_CHANGE", news)];
    out.respond(ResponseCode::Success, None, &NoHeader, &fields, &[]);
    Ok(Outcome::Done)
}

fn client_of(call: &Call<'_>, client_id: String) -> Client {
    Client {
        peer: Arc::clone(call.peer),
        client_id,
        language: LanguageCode::from_i32(call.frame.language().into())
            .unwrap_or(LanguageCode::Other),
        version: call.frame.version(),
        last_seen: now_ms(),
    }
}

fn register_consumer(
    broker: &Broker,
    consumer: &ConsumerData,
    group: &SubscriptionGroupConfig,
    client: &Client,
    with_subscriptions: bool,
) {
    let ordered = |topic: &str| broker.topics.look(topic).is_some_and(|facts| facts.order);
    let order = consumer.subscription_data_set.iter().any(|data| ordered(&data.topic));
    let sys_flag = if consumer.unit_mode { UNIT_SUB } else { 0 };
    broker.topics.find_or_create_plain(
        &retry_topic(&consumer.group_name),
        group.retry_queue_nums,
        perm::READ_WRITE,
        sys_flag,
        order,
    );
    let notify = broker.notify(Some(group));
    broker.consumers.register(consumer, client, with_subscriptions, notify);
    if with_subscriptions {
        let subscriptions = &consumer.subscription_data_set;
        broker.filters.register(&consumer.group_name, subscriptions, now_ms());
    }
}

/// Removes a client that leaves from its groups.
pub(crate) fn unregister_client(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: UnregisterClientRequestHeader = call.header()?;
    if let Some(group) = &header.producer_group {
        broker.producers.unregister(group, call.peer.id());
    }
    if let Some(group) = &header.consumer_group {
        let config = broker.group(group);
        let notify = broker.notify(config.as_deref());
        broker.consumers.unregister(group, call.peer.id(), notify);
    }
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Checks a subscription before its consumer starts.
pub(crate) fn check_client_config(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    // Java quirk: without a body there is nothing to refuse (`no_body_is_no_bad_expression`).
    let body = match call.body() {
        [] => CheckClientRequestBody::default(),
        bytes => CheckClientRequestBody::decode(bytes)?,
    };
    if let Some(data) = &body.subscription_data
        && !is_tag_type(Some(&data.expression_type))
    {
        if !broker.live().enable_property_filter {
            return Err(filter_not_enabled(&data.expression_type));
        }
        let (kind, text) = (&data.expression_type, &data.sub_string);
        Filter::parse(Some(kind), Some(text)).map_err(|error| {
            Reject::new(ResponseCode::SubscriptionParseFailed, error.to_string())
        })?;
    }
    out.ok_empty();
    Ok(Outcome::Done)
}

/// Refuses an expression over properties while `enablePropertyFilter` is off.
pub(crate) fn filter_not_enabled(kind: &str) -> Reject {
    let remark = format!("The broker does not support consumer to filter message by {kind}");
    Reject::new(ResponseCode::SystemError, remark)
}

/// Removes the clients of a closed connection.
pub(crate) fn connection_closed(broker: &Broker, peer: &Peer) {
    broker.producers.closed(peer.id());
    // Java quirk: a group that is set quiet is told all the same when a connection closes.
    broker.consumers.closed(peer.id(), broker.notify(None));
}

impl Broker {
    /// Whether the members of a group hear of changes.
    pub(crate) fn notify(&self, group: Option<&SubscriptionGroupConfig>) -> Notify {
        let group_wants = group.is_none_or(|group| group.notify_consumer_ids_changed_enable);
        match self.live().notify_consumer_ids_changed_enable && group_wants {
            true if self.config.real_time_notify_consumer_change => Notify::Members,
            true => Notify::NextRound,
            false => Notify::Nobody,
        }
    }

    /// Removes clients and locks that have been silent for too long; called every 10 s.
    pub(crate) fn expire_clients(&self) {
        let now = now_ms();
        self.producers.expire(now);
        self.consumers.expire(self.live().channel_expired_timeout, now, self.notify(None));
        self.consumers.assumed.expire(now, self.live().subscription_expired_timeout);
        self.locks.sweep(now);
        self.quotas.tidy(now);
    }
}
